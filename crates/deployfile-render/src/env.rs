//! Environment files: `KEY="value"` lines that systemd's `EnvironmentFile=` and a POSIX shell read alike.
//!
//! Inside double quotes both take everything literally except `\`, `"`, `` ` `` and `$`, which are escaped with `\`
//! (systemd: `src/basic/env-file.c`, `SHELL_NEED_ESCAPE`; POSIX: Shell Command Language 2.2.3). A newline or a tab
//! stands in the quotes as it is (keys and certificates have several lines). Other control characters are refused: a
//! shell would take them, but systemd drops such a variable with no more than a warning (`env_value_is_valid`).

use crate::Refused;
use std::collections::BTreeMap;

/// The most that a value may be, in bytes: Linux takes 128 KiB for one `NAME=value` (`MAX_ARG_STRLEN`).
pub const VALUE_LIMIT: usize = 128 * 1024 - NAME_LIMIT - 2;

/// The longest name of a variable, in bytes.
pub const NAME_LIMIT: usize = 255;

const ESCAPED: [char; 4] = ['\\', '"', '`', '$'];

/// The file for these variables.
///
/// # Errors
/// A name that is none ([`check_name`]) or a value that cannot be written ([`quote_inside`]).
pub fn serialize(variables: &BTreeMap<String, String>) -> Result<String, Refused> {
    let mut file = String::new();
    for (name, value) in variables {
        check_name(name)?;
        let inside = quote_inside(value).map_err(|e| Refused::new(name, e.why()))?;
        file.push_str(&format!("{name}=\"{inside}\"\n"));
    }
    match parse(&file) {
        Ok(read) if read == *variables => Ok(file),
        _ => Err(Refused::internal("environment")),
    }
}

/// Checks the name of a variable: `[A-Za-z_][A-Za-z0-9_]*`, at most [`NAME_LIMIT`] bytes.
pub fn check_name(name: &str) -> Result<(), Refused> {
    let shape = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if !shape || name.len() > NAME_LIMIT {
        let why = "it must be letters, digits and `_`, not begin with a digit, and be at most 255 bytes long";
        return Err(Refused::new(format!("variable `{}`", name.escape_debug()), why));
    }
    Ok(())
}

/// What stands between the double quotes for `value`. The error never holds the value, which may be a secret.
pub fn quote_inside(value: &str) -> Result<String, Refused> {
    if value.len() > VALUE_LIMIT {
        return Err(Refused::new("value", format!("it is larger than {VALUE_LIMIT} bytes")));
    }
    if value.chars().any(|c| c.is_ascii_control() && c != '\n' && c != '\t') {
        return Err(Refused::new("value", "it has a control character other than newline and tab"));
    }
    let mut inside = String::with_capacity(value.len());
    for c in value.chars() {
        if ESCAPED.contains(&c) {
            inside.push('\\');
        }
        inside.push(c);
    }
    Ok(inside)
}

/// Reads what [`serialize`] writes, and nothing else.
///
/// # Errors
/// The line at which something else stands, or a name that stands twice.
pub fn parse(file: &str) -> Result<BTreeMap<String, String>, Refused> {
    let mut variables = BTreeMap::new();
    let mut rest = file;
    while !rest.is_empty() {
        let line = file[..file.len() - rest.len()].matches('\n').count() + 1;
        let wrong = || Refused::new(format!("line {line}"), "it is not NAME=\"value\"");
        let (name, after) = rest.split_once("=\"").ok_or_else(wrong)?;
        check_name(name).map_err(|_| wrong())?;
        let (value, after) = unquote(after).ok_or_else(wrong)?;
        rest = after.strip_prefix('\n').ok_or_else(wrong)?;
        if variables.insert(name.to_owned(), value).is_some() {
            return Err(Refused::new(format!("line {line}"), format!("variable `{name}` stands twice")));
        }
    }
    Ok(variables)
}

/// The value up to the closing quote, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => value.push(chars.next().map(|(_, c)| c).filter(|c| ESCAPED.contains(c))?),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nasty::{for_all, nasty};

    #[test]
    fn names_and_values_are_refused() {
        for bad in ["", "1A", "A-B", "A B", "A=B", "Ä", "A\n", &"A".repeat(256)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for bad in ["a\0", "\r", "\x1b[0m", "\x7f", &"x".repeat(VALUE_LIMIT + 1)] {
            assert!(quote_inside(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_does_not_tell_the_value() {
        let error = quote_inside("hunter2\0").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn reads_only_what_it_writes() {
        assert_eq!(parse("A=\"x\\\"\n#\"\nB=\"\"\n").unwrap()["A"], "x\"\n#");
        for bad in ["A=x\n", "A=\"x\"", "A=\"x\n", "A=\"\\n\"\n", "A=\"x\" \n", "A=\"\"\nA=\"\"\n", "# c\n"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(parse("A=\"1\n2\"\nB\n").unwrap_err().to_string().starts_with("line 3"));
    }

    fn one(value: &str, quote: impl Fn(&str) -> Result<String, Refused>) -> Result<(), String> {
        let Ok(inside) = quote(value) else { return Ok(()) };
        match parse(&format!("A=\"{inside}\"\nB=\"b\"\n")) {
            Ok(read) if read["A"] == value && read.len() == 2 => Ok(()),
            other => Err(format!("{value:?} reads as {other:?}")),
        }
    }

    #[test]
    fn every_value_is_refused_or_reads_back() {
        for_all(nasty(), |value| one(&value, quote_inside)).unwrap();
    }

    #[test]
    fn the_property_catches_broken_quoting() {
        let broken = |value: &str| quote_inside(value).map(|inside| inside.replace("\\\"", "\""));
        assert!(for_all(nasty(), |value| one(&value, broken)).is_err());
        let broken = |value: &str| quote_inside(value).map(|inside| inside.replace("\\\\", "\\"));
        assert!(for_all(nasty(), |value| one(&value, broken)).is_err());
    }
}
