//! The generated references: what is committed is what the program prints now. Also the two tables that people write by
//! hand, exit codes and the README's picture of CI, against the code that they are about.

use crate::{page, repository, updating};
use deployfile_exec::drive;
use deployfile_record::RunResult;
use deployfile_report::codes;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::process::Command;

/// What the program prints.
fn program(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_deployfile")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Compares a page with what it must be; with UPDATE_DOCS=1 writes it.
fn hold(path: &str, made: &str) {
    let note = "<!-- Made by: UPDATE_DOCS=1 cargo test -p deployfile --test docs -->\n\n";
    let (file, made) = (repository().join(path), format!("{note}{made}"));
    if updating() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &made).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(there == made, "{path} is not what the program says now: run this test with UPDATE_DOCS=1");
}

#[test]
fn settings() {
    hold("docs/src/reference/settings.md", &program(&["schema"]));
}

#[test]
fn errors() {
    let mut made = String::from(
        "# Errors\n\nAn error is told as `error[area::code]: what`. Each code has a page here; `deployfile explain CODE` \
         shows the same, `deployfile explain ::` lists all codes. What the exit codes mean stands in \
         [Exit codes](exit-codes.md); 0 is that of a warning.\n",
    );
    for area in codes::areas() {
        let _ = write!(made, "\n## {}\n\n{}\n", area.name, area.about());
        for page in area.pages() {
            let _ = write!(made, "\n### `{}`\n\n{}\n", page.code, page.markdown);
        }
    }
    hold("docs/src/reference/errors.md", &made);
}

/// The exit codes that pages name are those that there are.
#[test]
fn errors_end_with_exit_codes_that_there_are() {
    let table = fs::read_to_string(repository().join("docs/src/reference/exit-codes.md")).unwrap();
    for page in codes::pages() {
        for exit in page.exits() {
            assert!(table.contains(&format!("\n| {exit} | ")), "{} ends with {exit}", page.code);
        }
    }
}

/// What a page tells to type is a verb that there is, with options that it has.
#[test]
fn errors_name_commands_that_there_are() {
    let mut commands = BTreeSet::new();
    for page in codes::pages() {
        let spans = page.markdown.split('`').skip(1).step_by(2);
        commands.extend(spans.filter_map(|span| span.strip_prefix("deployfile ")));
    }
    assert!(commands.len() > 30, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let is_lower = |word: &&&str| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let verbs: Vec<&str> =
            words.iter().take_while(|word| is_lower(word) && !word.starts_with('-')).copied().collect();
        // A word after the verb may be an environment.
        let ask = |verbs: &[&str]| {
            let asked = [verbs, &["--help"]].concat();
            Command::new(env!("CARGO_BIN_EXE_deployfile")).args(asked).output().unwrap()
        };
        let help = ask(verbs.get(..2).unwrap_or(&verbs));
        let help = String::from_utf8(help.stdout).unwrap() + &String::from_utf8(help.stderr).unwrap();
        assert!(help.contains("Usage: ") && !help.contains("unrecognized"), "deployfile {command}: {help}");
        for option in words.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
            assert!(help.contains(*option), "deployfile {command}: there is no {option}");
        }
    }
}

#[test]
fn hook_wit() {
    let wit = fs::read_to_string(repository().join("plugins/wit/hook.wit")).unwrap();
    let text = "# hook.wit\n\nThe contract between deployfile and its plugins (`plugins/wit/hook.wit`). This version runs \
                the world `hook`.\n\n";
    hold("docs/src/reference/hook-wit.md", &format!("{text}```wit\n{}\n```\n", wit.trim_end()));
}

#[test]
fn command_line() {
    let mut made = String::from("# Command line\n\nWhat `--help` says, verb by verb.\n");
    let mut verbs: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(verb) = verbs.pop() {
        let mut args: Vec<&str> = verb.iter().map(String::as_str).collect();
        args.push("--help");
        let help = program(&args);
        let title = [&["deployfile".to_owned()], verb.as_slice()].concat().join(" ");
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        let _ = write!(made, "\n## `{title}`\n\n```text\n{}\n```\n", help.join("\n").trim_end());
        let beneath = subcommands(&help).into_iter().rev().map(|name| [verb.as_slice(), &[name]].concat());
        verbs.extend(beneath);
    }
    hold("docs/src/reference/command-line.md", &made);
}

/// The names under `Commands:`.
fn subcommands(help: &[&str]) -> Vec<String> {
    let list =
        help.iter().skip_while(|line| **line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    list.filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// What the schema knows and refuses stands in the page of what is not built.
#[test]
fn what_is_not_built() {
    let page = fs::read_to_string(repository().join("docs/src/explanation/not-built.md")).unwrap();
    let schema: Value = serde_json::from_str(&program(&["schema", "--format", "json"])).unwrap();
    let mut planned = Vec::new();
    for setting in schema["settings"].as_array().unwrap() {
        let properties = setting["properties"].as_array().unwrap().iter();
        planned.extend(std::iter::once(setting).chain(properties).filter(|it| it["built"] == false));
    }
    assert!(planned.len() > 10);
    for it in planned {
        let name = it["name"].as_str().unwrap();
        let named = page.contains(&format!("`{name}`")) || page.contains(&format!("`{name}=`"));
        assert!(named, "`{name}` is not built, and the page does not say so");
    }
}

/// Every exit code of the program has a row, and no other.
#[test]
fn exit_codes() {
    let source = include_str!("../../src/error.rs");
    let constants =
        source.lines().filter(|line| line.contains("pub(crate) const ") && line.contains(": u8 = "));
    let mut codes: BTreeSet<u8> =
        constants.filter_map(|line| line.rsplit_once("= ")?.1.trim_end_matches(';').parse().ok()).collect();
    assert!(codes.len() > 8, "error.rs holds the exit codes: {codes:?}");
    use RunResult::{Done, Failed, Interrupted, Refused, Reverted, Stuck};
    codes.extend([Done, Failed, Refused, Reverted, Stuck, Interrupted].map(drive::exit_code));
    let page = fs::read_to_string(repository().join("docs/src/reference/exit-codes.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(' ')?.0.parse().ok());
    assert_eq!(rows.collect::<BTreeSet<u8>>(), codes);
}

/// The README shows the steps of `cargo xtask ci` by name, in order, and the sum of the tests.
#[test]
fn the_readme_shows_the_steps_of_ci() {
    let source = fs::read_to_string(repository().join("crates/xtask/src/ci/steps.rs")).unwrap();
    let steps: Vec<&str> = source
        .split("name: \"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(name, _)| name)
        .collect();
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let shown = page::parse(&readme).unwrap().into_iter().find_map(|item| match item {
        page::Item::Block(block) if block.marks.contains_key("norun") => {
            page::commands(&block).unwrap().pop()
        }
        _ => None,
    });
    let shown = shown.unwrap();
    assert_eq!(shown.text, "cargo xtask ci");
    let (sum, lines) = shown.expected.split_last().unwrap();
    let lines: Vec<&str> = lines.iter().map(String::as_str).filter(|line| *line != "[…]").collect();
    let names: Vec<&str> =
        lines.iter().filter_map(|line| line.split_once("  ")).map(|(name, _)| name).collect();
    assert_eq!(names, steps);
    assert!(lines.iter().all(|line| line.contains(" s  ok") || line.starts_with("deny ")), "{lines:?}");
    assert_eq!(sum, "… passed, 0 failed, 0 skipped");
}
