//! What `fmt` does to a file, case by case; properties over generated files stand in `generated`.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should stop, loudly")]

mod generated;

use super::{FormatError, format, same, tree};

#[track_caller]
fn laid_out(text: &str) -> String {
    match format("a.kdl", text.as_bytes().to_vec()) {
        Ok(formatted) => formatted.after,
        Err(error) => panic!("{text:?}: {error}"),
    }
}

/// Each case: what it is about, before, after. The result is held to be a fixed point, too.
#[track_caller]
fn cases(cases: &[(&str, &str, &str)]) {
    for (about, before, after) in cases {
        assert_eq!(laid_out(before), *after, "{about}");
        assert_eq!(laid_out(after), *after, "{about}, again");
    }
}

#[test]
fn indentation() {
    cases(&[
        ("by depth", "a {\nb {\n      c 1\n}\n  }\n", "a {\n  b {\n    c 1\n  }\n}\n"),
        ("tabs", "a {\n\tb 1\n\t}\n", "a {\n  b 1\n}\n"),
        ("blocks of one line stay", "a { b; c 1; }\n   d { e; }\n", "a { b; c 1; }\nd { e; }\n"),
        ("two blocks of one line", "a { b {\nc\n} }\n", "a { b {\n    c\n} }\n"),
        ("two braces at the start of a line", "a {\nb {\nc\n}; }\n", "a {\n  b {\n    c\n}; }\n"),
        ("a brace at the end of a line", "a {\nb\nc }\nd\n", "a {\n  b\n  c }\nd\n"),
        ("one closes, one opens", "a {\nb\n}; c {\nd\n}\n", "a {\n  b\n}; c {\n  d\n}\n"),
        (
            "braces in strings and comments",
            "a \"{\" // {\n/* { */\nb #\"}\"#\n",
            "a \"{\" // {\n/* { */\nb #\"}\"#\n",
        ),
        ("a comment before the brace", "a {\n      // why\n}\n", "a {\n  // why\n}\n"),
        ("commented out", "a {\n/- b {\nc\n}\n}\n", "a {\n  /- b {\n    c\n  }\n}\n"),
    ]);
}

#[test]
fn lines_that_go_on() {
    cases(&[
        (
            "one level more",
            "a {\nrun b \\\nc \\\n// why\nd\n}\n",
            "a {\n  run b \\\n    c \\\n    // why\n  d\n}\n",
        ),
        ("and their block", "run b \\\nc {\nd\n}\ne\n", "run b \\\n  c {\n    d\n  }\ne\n"),
        ("and a block behind them", "run b \\\nc; d {\ne\n}\nf\n", "run b \\\n  c; d {\n    e\n  }\nf\n"),
        ("and a brace behind them", "a {\nb\nc }; d {\ne\n}\n", "a {\n  b\n  c }; d {\n  e\n}\n"),
        ("with a comment", "run b \\ // why  \n        c\n", "run b \\ // why\n  c\n"),
        ("up to a blank line", "run b \\\n\n\n  c\n", "run b \\\n\nc\n"),
        ("at the end of a block", "a { b \\\n\n}\n", "a { b \\\n}\n"),
    ]);
}

#[test]
fn blank_lines() {
    cases(&[
        ("at most one", "a\n\n\n\nb\n\nc\n", "a\n\nb\n\nc\n"),
        ("of white space", "a\n  \n\t\nb\n", "a\n\nb\n"),
        ("at the start and end of the file", "\n\n  \na\n\n \n", "a\n"),
        ("at the start and end of a block", "a {\n\n\nb\n\n\n}\n", "a {\n  b\n}\n"),
        ("behind a comment at the start", "a { // why\n\nb\n}\n", "a { // why\n  b\n}\n"),
        ("around a comment", "a {\n\n// why\n\nb\n\n// end\n\n}\n", "a {\n  // why\n\n  b\n\n  // end\n}\n"),
        ("in an empty block", "a {\n\n}\n", "a {\n}\n"),
    ]);
}

#[test]
fn line_ends() {
    cases(&[
        ("a newline is added", "a", "a\n"),
        ("also behind a comment", "a // why", "a // why\n"),
        ("also behind a line that goes on", "a \\", "a \\\n"),
        ("nothing stays nothing", "", ""),
        ("only white space", " \n\n\t", ""),
        ("white space at the end", "a 1 \t\nb \u{a0}\n// why  \n", "a 1\nb\n// why\n"),
        ("CRLF stays", "a {\r\n\r\nb\r\n}\r\n", "a {\r\n  b\r\n}\r\n"),
        ("the first line decides", "a\nb\r\nc\rd\u{2028}e\u{85}f", "a\nb\nc\nd\ne\nf\n"),
    ]);
}

#[test]
fn within_a_line_nothing_moves() {
    let line = "a   (add)b\tc = 1  /* two  */ /- d   { e;f  1 }   // why\n";
    assert_eq!(laid_out(line), line);
    let table = "root \"/srv\"   // holds releases\nuser deploy    // who owns them\n";
    assert_eq!(laid_out(table), table);
}

#[test]
fn strings_and_comments_are_the_bytes_that_they_were() {
    for token in [
        "\"\"\"\n    {  \n\n\n    \t}\n    \"\"\"",
        "\"\"\"\r\n  a\r\n\r\n\r\n  \"\"\"",
        "#\"\"\"\n \\ \n\n\n \"\"\"#",
        "##\"\"\"\n\"\"\"#  \n\"\"\"##",
        "\"a \\\n\n\n     b\"",
        "\"\\\"{\\\\\"",
        "#\"a\"b  \"#",
    ] {
        let text = format!("x {{\n        sh {token} timeout=\"10m\" {{\ny\n}}\n}}\n");
        let wanted = format!("x {{\n  sh {token} timeout=\"10m\" {{\n    y\n  }}\n}}\n");
        assert_eq!(laid_out(&text), wanted);
    }
    let comment = "/* a  \n\n\n      b { /* c\n */ \t\n */";
    assert_eq!(laid_out(&format!("x {{\n    {comment} y\n}}")), format!("x {{\n  {comment} y\n}}\n"));
    assert_eq!(laid_out(&format!("x {{\n    {comment}   \n}}")), format!("x {{\n  {comment}\n}}\n"));
}

#[test]
fn what_is_not_kdl_is_refused_like_anywhere() {
    for (text, code) in [
        ("a {", "config::brace"),
        ("a }", "config::brace"),
        ("a \"b", "config::syntax"),
        ("a /* b", "config::comment"),
        ("a\u{202e}", "config::character"),
        ("\u{feff}a", "config::encoding"),
        ("a\rb", "config::encoding"),
        ("a = 5s", "config::syntax"),
        (&"a {\n".repeat(1000), "config::depth"),
        (&"/-".repeat(30), "config::slashdash"),
    ] {
        match format("a.kdl", text.as_bytes().to_vec()) {
            Err(FormatError::Invalid(found)) => {
                assert!(
                    found.iter().any(|d| d.code == code && &*d.place.file == "a.kdl"),
                    "{text:?}: {found:?}"
                );
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }
    let unknown = "colour   red\n";
    assert_eq!(laid_out(unknown), unknown, "what a setting means is not looked at");
}

#[test]
fn the_most_that_is_allowed() {
    let deep = "a {\n".repeat(64) + &"}\n".repeat(64);
    assert!(laid_out(&deep).contains(&format!("\n{}a {{\n", " ".repeat(126))));
    let long = format!("a {}\n", "b ".repeat(100_000));
    assert_eq!(laid_out(&long).len(), long.len() - 1);
}

/// What holds the result against the text notices every kind of change.
#[test]
fn a_difference_is_noticed() {
    let nodes = |text: &str| tree("a.kdl", text).unwrap();
    let base = "(m)a b (t)1 3.10 #nan p=1 { c; }\n";
    assert!(same::nodes(&nodes(base), &nodes(base)));
    for other in [
        "a b (t)1 3.10 #nan p=1 { c; }",
        "(n)a b (t)1 3.10 #nan p=1 { c; }",
        "(m)x b (t)1 3.10 #nan p=1 { c; }",
        "(m)a x (t)1 3.10 #nan p=1 { c; }",
        "(m)a b (u)1 3.10 #nan p=1 { c; }",
        "(m)a b (t)2 3.10 #nan p=1 { c; }",
        "(m)a b (t)1 3.1 #nan p=1 { c; }",
        "(m)a b (t)1 3.10 #inf p=1 { c; }",
        "(m)a b (t)1 3.10 #nan q=1 { c; }",
        "(m)a b (t)1 3.10 #nan p=2 { c; }",
        "(m)a b (t)1 3.10 #nan p=1 { d; }",
        "(m)a b (t)1 3.10 #nan p=1 { }",
        "(m)a b (t)1 3.10 #nan p=1",
        "(m)a b (t)1 3.10 #nan p=1 { c; }; d",
    ] {
        assert!(!same::nodes(&nodes(base), &nodes(other)), "{other}");
    }
    assert!(same::tokens("a  1 // b \n", "a 1\n\n// b"));
    for other in ["a 1 // c", "a 2 // b", "a 1", "a 1 /* b */", "a 1 \"\" // b"] {
        assert!(!same::tokens("a 1 // b", other), "{other}");
    }
}
