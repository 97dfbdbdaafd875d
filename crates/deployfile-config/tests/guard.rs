//! Inputs that crash parsers or make them take exponential time: each ends in one error, soon, and without the parser.

mod memory;

use deployfile_config::{Diagnostics, FileError, Files, MAX_DEPTH, MAX_FILE, load};
use memory::{Memory, said};

fn bytes(bytes: impl Into<Vec<u8>>) -> Diagnostics {
    let mut files = Memory::default();
    files.0.insert("deployfile.kdl".to_owned(), bytes.into());
    said(&files)
}

fn codes(diagnostics: &Diagnostics) -> Vec<&'static str> {
    diagnostics.iter().map(|d| d.code).collect()
}

fn one(input: impl Into<Vec<u8>>, code: &str) -> String {
    let diagnostics = bytes(input);
    assert_eq!(codes(&diagnostics), [code], "{}", diagnostics.render(false));
    diagnostics.render(false)
}

#[test]
fn nesting() {
    one("a { ".repeat(100_000), "config::depth");
    one("a { ".repeat(100_000) + &"}".repeat(100_000), "config::depth");
    let fits = format!("{}x 1;{}", "a { ".repeat(MAX_DEPTH), "}; ".repeat(MAX_DEPTH));
    assert!(!codes(&bytes(fits)).contains(&"config::depth"));
}

#[test]
fn slashdashes_within_slashdashes() {
    one("/- a { ".repeat(30) + &"}; ".repeat(30), "config::slashdash");
    one("a /-{ ".repeat(30) + &"}; ".repeat(30), "config::slashdash");
    one("/-".repeat(30) + "a", "config::slashdash");
    one("/-\n".repeat(30) + "a", "config::slashdash");
    one("/- a /-{ ".repeat(20) + &"}; ".repeat(20), "config::slashdash");
    let beside = format!("deployfile 1\n{}", "/- a { b; }\n".repeat(1000));
    assert!(bytes(beside).is_empty(), "beside one another they are fine");
}

#[test]
fn comments() {
    one("/*".repeat(100_000), "config::comment-depth");
    one("/*".repeat(10), "config::comment");
    one("deployfile 1 /* ", "config::comment");
    assert!(bytes(format!("deployfile 1\n{}{}", "/*".repeat(16), "*/".repeat(16))).is_empty());
}

#[test]
fn braces() {
    one("}".repeat(100_000), "config::brace");
    one("deployfile 1\na \"{\" }", "config::brace");
    assert!(one("deployfile 1\nvars {", "config::brace").contains("2:6"));
}

#[test]
fn what_is_not_utf_8_text() {
    assert!(one(b"deployfile 1\n\xffx".to_vec(), "config::encoding").contains("0xFF in line 2"));
    let mixed = one(b"deployfile 1\r\nvars {\r\xff\n}".to_vec(), "config::encoding");
    assert!(mixed.contains("0xFF in line 3") && mixed.contains(":3:1"), "lines end in CR too: {mixed}");
    assert!(one("\u{FEFF}deployfile 1", "config::encoding").contains("byte-order mark"));
    assert!(one(b"\xff\xfed\0".to_vec(), "config::encoding").contains("UTF-16"));
    assert!(one("deployfile 1\rvars {}\r", "config::encoding").contains("CR alone"));
    assert!(bytes("deployfile 1\r\nvars { a 1; }\r\n").is_empty());
    assert!(one("deployfile 1\nvars { a \"\0\"; }", "config::character").contains("NUL"));
    assert!(one("deployfile 1\nvars { a \"x\u{202E}y\"; }", "config::character").contains("direction"));
}

#[test]
fn size() {
    one(vec![b' '; MAX_FILE + 1], "config::too-large");
    assert_eq!(codes(&bytes(vec![b' '; 1 << 20])), ["config::header"]);
}

#[test]
fn numbers() {
    let max = i128::MAX.to_string();
    assert!(bytes(format!("deployfile 1\nvars {{ a {max}; b -{max}; c 0xff; d 1_000; e 1e3; }}")).is_empty());
    one(format!("deployfile 1\nvars {{ a {max}0; }}"), "config::syntax");
    one(format!("deployfile 1\nvars {{ a {}; }}", "9".repeat(100_000)), "config::syntax");
    one("deployfile 1\nvars { a 0xZZ; }", "config::syntax");
}

#[test]
fn a_main_file_that_cannot_be_read() {
    struct Denied;
    impl Files for Denied {
        fn read(&self, _: &str) -> Result<Vec<u8>, FileError> {
            Err(FileError::Denied)
        }
        fn list(&self, _: &str) -> Result<Vec<String>, FileError> {
            Err(FileError::Denied)
        }
    }
    let loaded = load(&Denied, "deployfile.kdl");
    assert!(loaded.project.is_none());
    assert_eq!(codes(&loaded.diagnostics), ["config::unreadable"]);
    assert!(loaded.diagnostics.render(false).contains("permission denied"));
    assert_eq!(codes(&said(&Memory::default())), ["config::unreadable"]);
}

#[test]
fn every_prefix_and_every_lost_character_of_a_real_file_is_handled() {
    let text = include_str!("shop.kdl");
    for (i, _) in text.char_indices().step_by(11) {
        let cut = &text[..i];
        let loaded = Memory::of(&[("deployfile.kdl", cut)]).load();
        assert!(loaded.project.is_some() || loaded.diagnostics.has_errors(), "cut at {i}: nothing is said");
        let mut lost = text.to_owned();
        lost.remove(i);
        let loaded = Memory::of(&[("deployfile.kdl", &lost)]).load();
        assert!(loaded.project.is_some() || loaded.diagnostics.has_errors(), "without {i}: nothing is said");
        assert!(loaded.diagnostics.iter().all(|d| !d.render(true).is_empty()));
    }
}

#[test]
fn a_mistake_in_every_byte_of_a_long_line() {
    for input in [
        "[", "'a' ", "a=", "# ", "/x ", "\"a\"b", "a,", "5s ", "{{ ", "(", "\\", "a \u{1}", "{} ", "(t)",
        "*/", "; ", "/-/-a ", "a)", "= ", "}{",
    ] {
        let mut text = String::from("deployfile 1\nx ");
        text.push_str(&input.repeat((1 << 17) / input.len()));
        let diagnostics = bytes(text);
        assert!(diagnostics.has_errors() && diagnostics.len() <= 1000, "{input}: {}", diagnostics.len());
        assert!(diagnostics.render(false).len() < 100_000, "{input}");
    }
    let properties = format!("deployfile 1 {}", "a=1 ".repeat(100_000));
    assert!(bytes(properties).has_errors());
}

#[test]
fn at_most_twenty_are_printed() {
    let many = format!("deployfile 1\n{}", "zzz 1\n".repeat(50));
    let diagnostics = bytes(many);
    assert_eq!(diagnostics.len(), 50);
    let text = diagnostics.render(false);
    assert_eq!(text.matches("error[").count(), 20);
    assert!(text.ends_with("30 more omitted\n"));
    let json = diagnostics.to_json();
    assert_eq!((json["errors"].as_array().unwrap().len(), &json["omitted"]), (20, &serde_json::json!(30)));
    assert_eq!(json["ok"], false);
    let first = &json["errors"][0];
    assert_eq!(first["code"], "config::unknown-node");
    assert_eq!((&first["event"], &first["exit"], &first["format"]), (&"error".into(), &3.into(), &1.into()));
    assert_eq!(first["at"], serde_json::json!({"file": "deployfile.kdl", "line": 2, "column": 1}));
}
