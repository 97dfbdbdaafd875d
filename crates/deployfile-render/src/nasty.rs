//! Strings that break configuration files, for properties of the form "refused, or read back the same".

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Pieces that some target reads as more than text.
const HAZARDS: [&str; 40] = [
    "\n",
    "\r",
    "\t",
    "\0",
    "\x1b",
    " ",
    "  ",
    "\u{a0}",
    "\u{2028}",
    "\u{85}",
    ";",
    " ;",
    "\t;",
    "#",
    " #",
    "%",
    "%%",
    "%(here)s",
    "%(ENV_HOME)s",
    "%i",
    "'",
    "\"",
    "\\",
    "\\n",
    "\\\\",
    "\\\"",
    "$",
    "$$",
    "$x",
    "${x}",
    "`",
    "{",
    "}",
    "[section]",
    "=",
    ",",
    ":",
    "é",
    "a",
    "name=value",
];

pub(crate) fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(&HAZARDS[..]).prop_map(str::to_owned),
        2 => "[a-zA-Z0-9/._-]{1,4}",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat())
}

/// Tries `property` on the same 2,000 cases every time; the smallest case that fails is the error.
pub(crate) fn for_all<S: Strategy>(
    strategy: S,
    property: impl Fn(S::Value) -> Result<(), String>,
) -> Result<(), String> {
    let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng)
        .run(&strategy, |value| property(value).map_err(TestCaseError::fail))
        .map_err(|e| e.to_string())
}
