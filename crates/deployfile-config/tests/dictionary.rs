//! `fuzz/deployfile.dict`, the words that the fuzzer puts together, is made of the schema. `UPDATE_GOLDEN=1` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_config::{Type, schema};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// What the language has beside its settings.
const SYNTAX: [&str; 35] = [
    "deployfile 1\n",
    "(default)",
    "(force)",
    "(add)",
    "(only)",
    "(remove)",
    "(secret)",
    "#true",
    "#false",
    "#null",
    "/-",
    "/*",
    "*/",
    "//",
    "\"\"\"",
    "#\"",
    "\"#",
    "{{ ",
    " }}",
    "{{ vars.a }}",
    "{{ app }}",
    "{{ release }}",
    " | upper",
    "[1:3]",
    "[01:10]",
    "\"*\"",
    "\\\n",
    "// file: a.kdl\n",
    "import \"*.kdl\"\n",
    "import \"a.kdl\"\n",
    "\"30s\"",
    "\"1MiB\"",
    "\u{202E}",
    "\u{FEFF}",
    "localhost",
];

fn made() -> String {
    let mut words: BTreeSet<String> = SYNTAX.map(str::to_owned).into();
    let mut of_type = |ty: Type| {
        if let Type::Word { built, planned } = ty {
            words.extend(built.iter().chain(planned).map(|word| (*word).to_owned()));
        }
    };
    let nodes: Vec<_> = schema().nodes().collect();
    for node in &nodes {
        node.args.iter().for_each(|arg| of_type(arg.ty));
        node.props.iter().for_each(|prop| of_type(prop.ty));
    }
    for node in &nodes {
        words.insert(node.name.to_owned());
        words.insert(format!("{}\n", node.example));
        words.extend(node.props.iter().map(|prop| format!("{}=", prop.name)));
    }
    let escaped = |text: &str| -> String {
        let byte = |byte: u8| match byte {
            b'"' | b'\\' => format!("\\{}", char::from(byte)),
            0x20..0x7F => char::from(byte).to_string(),
            _ => format!("\\x{byte:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    words.iter().fold(String::new(), |mut text, word| {
        writeln!(text, "\"{}\"", escaped(word)).unwrap();
        text
    })
}

#[test]
fn the_dictionary_of_the_fuzzer_has_the_words_of_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/deployfile.dict");
    let made = made();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &made).unwrap();
    }
    assert!(made.lines().count() > 150);
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), made, "run this test with UPDATE_GOLDEN=1");
}
