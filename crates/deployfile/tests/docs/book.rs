//! The book as a whole: every page is run, in the table of contents, and its links lead somewhere.

use crate::{PAGES, page, repository};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The pages that are there.
fn pages() -> BTreeSet<String> {
    let mut found = BTreeSet::from(["README.md".to_owned()]);
    let mut folders = vec![repository().join("docs/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(repository()).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".md") && !name.ends_with("SUMMARY.md") {
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn every_page_is_run() {
    let run: BTreeSet<String> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    assert_eq!(pages(), run);
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let summary = fs::read_to_string(repository().join("docs/src/SUMMARY.md")).unwrap();
    let listed: BTreeSet<String> = links(&summary).map(|link| format!("docs/src/{link}")).collect();
    let mut there = pages();
    there.remove("README.md");
    assert_eq!(there, listed);
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        let file = repository().join(&page);
        let text = fs::read_to_string(&file).unwrap();
        for link in links(&text).filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target: PathBuf =
                if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            assert!(target.exists(), "{page}: {link}");
            assert!(anchor.is_empty() || anchors(&target).contains(anchor), "{page}: {link}");
        }
    }
}

/// Only what cannot be run by a test is not run.
#[test]
fn hardly_a_block_is_not_run() {
    let mut not_run = Vec::new();
    for name in pages() {
        let text = fs::read_to_string(repository().join(&name)).unwrap();
        for item in page::parse(&text).unwrap() {
            if let page::Item::Block(block) = item
                && block.marks.contains_key("norun")
            {
                not_run.extend(page::commands(&block).unwrap().into_iter().map(|command| command.text));
            }
        }
    }
    // CI itself; and programs of age, which are not needed to read what they made.
    let age =
        ["age-keygen -o /etc/shop/key.txt", "age --encrypt --armor -r age1… -o signing-key.age signing-key"];
    assert_eq!(not_run, [&["cargo xtask ci"][..], &age].concat());
}

/// The targets of Markdown links outside of code.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|text| {
        text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link)
    })
}

/// The anchors of a page's headings, as mdBook makes them.
fn anchors(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}
