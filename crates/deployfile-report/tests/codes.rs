//! Every error code that the program can print has a page, and every page is of such a code.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should stop, loudly")]

use deployfile_report::codes::{self, Page};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// No part of the program: what looks like a code there is none.
const TOOLS: [&str; 2] = ["xtask", "deployfile-testkit"];

fn crates() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The sources of the program, without their tests.
fn sources() -> Vec<String> {
    let mut folders: Vec<PathBuf> = fs::read_dir(crates())
        .unwrap()
        .flatten()
        .filter(|entry| !TOOLS.iter().any(|tool| entry.file_name() == *tool))
        .map(|entry| entry.path().join("src"))
        .collect();
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if is_source(&path) {
                texts.push(without_tests(&fs::read_to_string(&path).unwrap()).to_owned());
            }
        }
    }
    assert!(texts.len() > 100, "{} files", texts.len());
    texts
}

fn is_source(path: &Path) -> bool {
    let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
    path.extension().is_some_and(|extension| extension == "rs") && !is_test
}

/// What stands before the tests of a file, which stand at its end.
fn without_tests(text: &str) -> &str {
    text.split_once("\n#[cfg(test)]\nmod tests {").map_or(text, |(code, _)| code)
}

/// String literals that are `area::name` as a whole. A code is always written so, so that it can be looked for.
fn codes_in(source: &str) -> BTreeSet<String> {
    let is_word = |word: &str, more: fn(u8) -> bool| {
        word.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
            && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-' || more(b))
    };
    let is_code = |text: &&str| {
        text.split_once("::")
            .is_some_and(|(area, name)| is_word(area, |_| false) && is_word(name, |b| b.is_ascii_digit()))
    };
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split('"').skip(1).filter(is_code).map(str::to_owned)).collect()
}

/// What is wrong between codes and pages.
fn mistakes(codes: &BTreeSet<String>, pages: &[Page]) -> Vec<String> {
    let mut wrong = Vec::new();
    for code in codes {
        match pages.iter().filter(|page| page.code == code).count() {
            1 => {}
            0 => wrong.push(format!("{code} has no page: write one in crates/deployfile-report/src/codes")),
            n => wrong.push(format!("{code} has {n} pages")),
        }
    }
    for page in pages {
        if !codes.contains(page.code) {
            wrong.push(format!("the page of {} is of a code that nothing raises: delete it", page.code));
        }
        wrong.extend(flaws(*page).into_iter().map(|flaw| format!("the page of {} {flaw}", page.code)));
    }
    wrong
}

/// What a page lacks.
fn flaws(page: Page) -> Vec<&'static str> {
    let mut flaws = Vec::new();
    let paragraphs: Vec<&str> = page.markdown.split("\n\n").collect();
    let labels = ["**Why:** ", "**Do:** ", "**Exit:** "];
    let is_whole =
        paragraphs.len() == 4 && labels.iter().zip(&paragraphs[1..]).all(|(label, it)| it.starts_with(label));
    if !is_whole {
        flaws.push("must have four paragraphs: the meaning, Why, Do, Exit");
    }
    // Lists show it alone, as one line.
    if page.summary().len() < 20 || page.summary().starts_with("**") || paragraphs[0].contains('\n') {
        flaws.push("does not say in one line what the code means");
    }
    if page.summary().chars().count() > 125 {
        flaws.push("says what the code means in more than 125 characters");
    }
    if page.part("Do").is_none_or(|text| text.len() < 15) {
        flaws.push("does not say what to do");
    }
    if page.exits().is_empty() && !page.part("Exit").is_some_and(|text| text.starts_with("none")) {
        flaws.push("does not say how the program ends");
    }
    if page.markdown.lines().any(|line| line.chars().count() > 130) {
        flaws.push("has a line of more than 130 characters");
    }
    flaws
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let codes: BTreeSet<String> = sources().iter().flat_map(|source| codes_in(source)).collect();
    assert!(codes.len() > 200, "{} codes", codes.len());
    let pages: Vec<Page> = codes::pages().collect();
    assert_eq!(mistakes(&codes, &pages), Vec::<String>::new());

    // The comparison finds each kind of mistake.
    let (kept, lost) = (&pages[1..], pages[0]);
    assert!(mistakes(&codes, kept)[0].starts_with(&format!("{} has no page", lost.code)));
    let twice: Vec<Page> = pages.iter().copied().chain([lost]).collect();
    assert_eq!(mistakes(&codes, &twice), [format!("{} has 2 pages", lost.code)]);
    let mut fewer = codes.clone();
    fewer.remove(lost.code);
    assert!(mistakes(&fewer, &pages)[0].contains("nothing raises"));
    let silent = Page { markdown: "It means that something is wrong.\n\n**Exit:** 1", ..lost };
    let told = mistakes(&codes, &[&[silent], kept].concat());
    assert!(told.iter().any(|it| it.ends_with("does not say what to do")), "{told:?}");
}

#[test]
fn a_code_is_found_where_it_is_raised_and_nowhere_else() {
    let source = r#"
        // "not::this" is a comment
        use std::fs;
        const WORDS: [&str; 2] = ["area::one", "area::two-3"];
        fn f() { CliError::new("area::three", 1, format!("{} is not `a::b`", "x::Y")); }
        fn g() { file("ext::sh -c true"); old.starts_with("area::"); }
    "#;
    let found = codes_in(source);
    assert_eq!(
        found.iter().map(String::as_str).collect::<Vec<_>>(),
        ["area::one", "area::three", "area::two-3"]
    );
    let tested = "fn f() {}\n#[cfg(test)]\nmod tests {\n \"area::tested\" }";
    assert!(codes_in(without_tests(tested)).is_empty());
}

/// A code that is put together from parts would not be found, so none is.
#[test]
fn no_code_is_put_together() {
    let areas: Vec<String> = codes::areas().map(|area| format!("\"{}::{{", area.name)).collect();
    for source in sources() {
        assert!(!areas.iter().any(|area| source.contains(area)), "write the code as one literal");
    }
}

/// Each file holds the codes of its area, sorted, and each file is known.
#[test]
fn files_are_areas() {
    let folder = crates().join("deployfile-report/src/codes");
    let files = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    let known = codes::areas().map(|area| format!("{}.md", area.name));
    assert_eq!(files.collect::<BTreeSet<_>>(), known.collect::<BTreeSet<_>>());
    for area in codes::areas() {
        let codes: Vec<&str> = area.pages().map(|page| page.code).collect();
        assert!(codes.is_sorted() && !codes.is_empty(), "{}: {codes:?}", area.name);
        assert!(codes.iter().all(|code| code.starts_with(&format!("{}::", area.name))), "{codes:?}");
        assert!(
            area.about().len() > 10 && !area.about().contains("\n\n"),
            "{} says nothing of itself",
            area.name
        );
    }
}
