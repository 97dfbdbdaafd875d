//! Properties over generated files: the layout is a fixed point, and the file says what it said. The second is what
//! `format` itself looks at, so here it must never find anything.

use crate::format::{FormatError, format, layout};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::cell::Cell;

/// What may stand between two values.
const SPACES: &[&str] = &[
    " ",
    "  ",
    "\t",
    "\u{a0}",
    "\u{3000}",
    " /* c */ ",
    "/* a\n\n\n{ */",
    " \\\n",
    " \\\r\n\t",
    " \\ // c \n  ",
    " \\ \n \\\n ",
];
/// What may end a setting.
const ENDS: &[&str] = &[
    "\n",
    "\r\n",
    ";",
    " ; ",
    "  \n",
    "\n\n\n",
    "\n \n\t\n",
    " // c  \n",
    "\n    // c\n",
    "\u{85}",
    "\u{2028}",
    "\n\r",
    "\u{c}\n",
    " /* c */\n",
    "\n/* c */",
    " \\\n\n",
    "; // c\n\n",
];
/// What may stand before a setting.
const MARGINS: &[&str] =
    &["", "", " ", "      ", "\t", "\n\n", "/* c */ ", "/* a\n b */\n", "// c\n\n", "\\\n"];
const NAMES: &[&str] = &["a", "run", "sh", "x-y", "é", "\"a b\"", "#\"{\"#"];
const VALUES: &[&str] = &[
    "b",
    "-x",
    "1",
    "-3.10",
    "0xff",
    "1_000",
    "1e3",
    "#true",
    "#null",
    "#nan",
    "#-inf",
    "\"\"",
    "\"a  {\"",
    "\"\\\"}\\\\\"",
    "\"a \\\n\n   b\"",
    "#\"}\"#",
    "##\"\"# \"##",
    "\"\"\"\n\"\"\"",
    "\"\"\"\n    {  \n\n\n      }\n    \"\"\"",
    "\"\"\"\r\n\ta\r\n\r\n\r\n\t\"\"\"",
    "#\"\"\"\n \\\n\n\n \"\"\"#",
];

fn text(list: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(list).prop_map(str::to_owned)
}

fn annotation() -> impl Strategy<Value = String> {
    prop_oneof![8 => Just(String::new()), 1 => Just("(add)".to_owned()), 1 => Just("( \"t\" ) ".to_owned())]
}

/// An argument or a property, perhaps commented out, with the space before it.
fn entry() -> impl Strategy<Value = String> {
    let slashdash = prop_oneof![9 => Just(""), 1 => Just("/-"), 1 => Just("/-\n\n ")];
    let key = prop_oneof![3 => Just(""), 1 => Just("p="), 1 => Just("q = ")];
    (text(SPACES), slashdash, key, annotation(), text(VALUES))
        .prop_map(|(space, slashdash, key, kind, value)| format!("{space}{slashdash}{key}{kind}{value}"))
}

/// One setting with what surrounds it.
fn node(block: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let slashdash = prop_oneof![12 => Just(""), 1 => Just("/-"), 1 => Just("/- \n")];
    let entries = prop::collection::vec(entry(), 0..4);
    (text(MARGINS), slashdash, annotation(), text(NAMES), entries, block, text(ENDS)).prop_map(
        |(margin, slashdash, marker, name, entries, block, end)| {
            let end = if slashdash.is_empty() { &end } else { "\n" };
            format!("{margin}{slashdash}{marker}{name}{}{block}{end}", entries.concat())
        },
    )
}

/// A file of settings, some with blocks.
fn file() -> impl Strategy<Value = String> {
    let leaf = prop::collection::vec(node(Just(String::new())), 0..4).prop_map(|nodes| nodes.concat());
    let nodes = leaf.prop_recursive(4, 24, 4, |inner| {
        let block = prop_oneof![
            1 => Just(String::new()),
            3 => (text(SPACES), inner, text(MARGINS)).prop_map(|(space, nodes, end)| format!("{space}{{{nodes}{end}}}")),
        ];
        prop::collection::vec(node(block), 0..4).prop_map(|nodes| nodes.concat())
    });
    (nodes, text(MARGINS)).prop_map(|(nodes, end)| nodes + &end)
}

/// Pieces in any order: mostly not KDL, and always answered.
fn soup() -> impl Strategy<Value = String> {
    let pieces =
        [SPACES, ENDS, MARGINS, NAMES, VALUES, &["{", "}", "\n", "\n\n", "/-", "=", "(t)", "\\", "\"", "/"]]
            .concat();
    prop::collection::vec(select(pieces), 0..10).prop_map(|pieces| pieces.concat())
}

/// Whether it could be laid out; the property is held if it could.
fn hold(text: &str) -> Result<bool, String> {
    let formatted = match format("a.kdl", text.as_bytes().to_vec()) {
        Ok(formatted) => formatted,
        Err(FormatError::Invalid(_)) => return Ok(false),
        Err(bug) => return Err(format!("{bug}\n{text}\n---\n{}", layout::of(text))),
    };
    let after = formatted.after;
    let again = format("a.kdl", after.clone().into_bytes()).map_err(|e| e.to_string())?;
    if again.changes() {
        return Err(format!("changed again\n{after}\n---\n{}", again.after));
    }
    let ends_well = after.is_empty() || after.ends_with('\n') && !after.starts_with(['\n', '\r', ' ']);
    if ends_well { Ok(true) } else { Err(format!("ends of the file: {after:?}")) }
}

/// Tries `cases` texts, the same ones every time; tells how many of them could be laid out.
fn try_all(cases: u32, texts: impl Strategy<Value = String>) -> u32 {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let valid = Cell::new(0);
    let tried = TestRunner::new_with_rng(config, rng).run(&texts, |text| {
        let fine = hold(&text).map_err(TestCaseError::fail)?;
        valid.set(valid.get() + u32::from(fine));
        Ok(())
    });
    if let Err(error) = tried {
        panic!("{error}");
    }
    valid.get()
}

#[test]
fn files_say_what_they_said() {
    let valid = try_all(1500, file());
    assert!(valid > 1000, "only {valid} of 1500 were KDL");
}

#[test]
fn anything_is_answered() {
    let valid = try_all(3000, soup());
    assert!(valid > 100, "only {valid} of 3000 were KDL");
}

/// Every text of three of these pieces: small, and complete.
#[test]
fn small_files_say_what_they_said() {
    let pieces = [
        "a",
        " ",
        "\n",
        ";",
        "{",
        "}",
        "/-",
        "=",
        "(t)",
        "\"x\"",
        "1",
        "\\\n",
        "//c \n",
        "/*\n*/",
        "\"\"\"\n \n \"\"\"",
    ];
    for n in 0..pieces.len().pow(3) {
        let mut rest = n;
        let mut text = String::from("n");
        for _ in 0..3 {
            text.push_str(pieces[rest % pieces.len()]);
            rest /= pieces.len();
        }
        if let Err(error) = hold(&text) {
            panic!("{error}");
        }
    }
}
