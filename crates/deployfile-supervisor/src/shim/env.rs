//! Reads an environment file: `KEY="value"` lines, with `\"`, `\\`, `\$` and `` \` `` inside the quotes. Blank lines and
//! lines that start with `#` mean nothing. Nothing else is taken, so that no value is ever half understood.

use deployfile_model::HostPath;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;

/// The largest environment file, in bytes: the system takes about 2 MiB of arguments and environment (execve(2)).
const MAX_BYTES: u64 = 1 << 20;

/// The environment in a file, or why there is none. The message shows no value.
pub(super) fn read(path: &HostPath) -> Result<BTreeMap<String, String>, String> {
    let fail = |why: &dyn std::fmt::Display| format!("cannot read environment file `{path}`: {why}");
    let mut bytes = Vec::new();
    File::open(path.as_str())
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| fail(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fail(&"it is longer than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| fail(&"it is not UTF-8"))?;
    parse(&text).map_err(|(line, why)| fail(&format!("line {line} {why}")))
}

fn parse(text: &str) -> Result<BTreeMap<String, String>, (usize, &'static str)> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let line = 1 + text[..text.len() - rest.len()].matches('\n').count();
        if rest.starts_with(['#', '\n']) {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let (key, after) = rest.split_once("=\"").ok_or((line, "is not KEY=\"value\""))?;
        if !is_key(key) {
            return Err((line, "does not start with the name of a variable"));
        }
        let (value, after) = quoted(after).map_err(|why| (line, why))?;
        rest = match after.strip_prefix('\n') {
            Some(after) => after,
            None if after.is_empty() => after,
            None => return Err((line, "goes on after the closing quote")),
        };
        if found.insert(key.to_owned(), value).is_some() {
            return Err((line, "sets a variable for the second time"));
        }
    }
    Ok(found)
}

fn is_key(key: &str) -> bool {
    key.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The value up to the closing quote, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\' | '$' | '`'))) => value.push(c),
                _ => return Err("has a `\\` that escapes nothing"),
            },
            '\0' => return Err("has a NUL"),
            c => value.push(c),
        }
    }
    Err("has no closing quote")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_was_written() {
        let text =
            "# made\n\nA=\"\"\nB=\"two words\"\nC=\"\\\"q\\\" \\\\ \\$x \\`y\\` %\"\nD=\"a\nb\"\n_E1=\"é\"";
        let found = parse(text).unwrap();
        let expected =
            [("A", ""), ("B", "two words"), ("C", "\"q\" \\ $x `y` %"), ("D", "a\nb"), ("_E1", "é")];
        assert_eq!(found, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn what_is_half_understood_is_refused_and_not_shown() {
        let bad = [
            ("A=secret", 1),
            ("A=\"x\"\nB", 2),
            ("A=\"secret", 1),
            ("A=\"x\" y", 1),
            ("A=\"\\n\"", 1),
            ("1A=\"x\"", 1),
            ("export A=\"x\"", 1),
            ("=\"x\"", 1),
            ("#\nA=\"x\"\nA=\"y\"", 3),
            ("A=\"x\0\"", 1),
        ];
        for (text, line) in bad {
            let (at, why) = parse(text).unwrap_err();
            assert_eq!(at, line, "{text:?}: {why}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("x.env");
        std::fs::write(&path, "TOKEN=hunter2\n").unwrap();
        let path = HostPath::new(path.to_str().unwrap()).unwrap();
        let message = read(&path).unwrap_err();
        assert!(
            message.ends_with("line 1 is not KEY=\"value\"") && !message.contains("hunter2"),
            "{message}"
        );
    }
}
