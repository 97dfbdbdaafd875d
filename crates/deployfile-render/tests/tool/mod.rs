//! The programs that read our files for real, and strings that break files.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::path::Path;

/// Whether `program` is here. Where it must be (CI), its absence is a failure.
pub(crate) fn is_here(program: &str) -> bool {
    if Path::new(program).exists() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{program} is missing");
    eprintln!("SKIPPED: {program} is missing, so nothing was tested");
    false
}

/// Every string of one or two of these pieces, between two letters and alone.
pub(crate) fn nasty() -> Vec<String> {
    const PIECES: [&str; 26] = [
        "a", " ", "\t", "\n", "\r", "\x1b", "\u{a0}", "\u{2028}", ";", "#", "%", "%(here)s", "'", "\"", "\\",
        "\\n", "$", "${x}", "`", "{", "}", "=", ",", "é", "!", "[x]",
    ];
    let mut strings = vec![String::new()];
    for first in PIECES {
        strings.push(first.to_owned());
        for second in PIECES {
            strings.push(format!("{first}{second}"));
            strings.push(format!("a{first}{second}b"));
        }
    }
    strings
}
