//! The texts that were read, and places in them.
//!
//! A value carries an [`At`] (12 bytes); the file name, line, column and source line that a person sees are worked
//! out from it only when something is said about the value.

use crate::check::MARKERS;
use deployfile_model::Place;
use std::sync::Arc;

/// Bytes of the longest line that is shown with a mistake.
const LONGEST_LINE: usize = 16 << 10;

/// A stretch of one file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    /// Which file, by its number in [`Sources`].
    pub(crate) file: u32,
    /// First byte.
    pub(crate) offset: u32,
    /// Bytes.
    pub(crate) len: u32,
}

impl At {
    /// A part of this stretch.
    pub(crate) fn part(self, skip: usize, len: usize) -> At {
        At { offset: self.offset + skip as u32, len: len as u32, ..self }
    }
}

/// One file that was read.
#[derive(Debug)]
struct File {
    name: Arc<str>,
    text: String,
    /// The byte at which each line begins.
    lines: Vec<u32>,
}

/// All files that were read, in the order of their first mention.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    files: Vec<Arc<File>>,
}

impl Sources {
    /// Takes a file in and gives its number.
    pub(crate) fn add(&mut self, name: impl Into<Arc<str>>, text: impl Into<String>) -> u32 {
        let text = text.into();
        let lines = std::iter::once(0).chain(line_starts(&text)).collect();
        self.files.push(Arc::new(File { name: name.into(), text, lines }));
        (self.files.len() - 1) as u32
    }

    /// The name of a file, as the user would write it.
    pub(crate) fn name(&self, file: u32) -> &str {
        self.files.get(file as usize).map_or("", |f| &f.name)
    }

    /// The names of all files, in the order of their numbers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| &*file.name)
    }

    /// The whole text of a file.
    pub(crate) fn text(&self, file: u32) -> &str {
        self.files.get(file as usize).map_or("", |f| &f.text)
    }

    /// The bytes of a stretch, as they were written.
    pub(crate) fn slice(&self, at: At) -> &str {
        let start = at.offset as usize;
        self.text(at.file).get(start..start + at.len as usize).unwrap_or("")
    }

    /// File, line and column.
    pub(crate) fn place(&self, at: At) -> Place {
        let Some(file) = self.files.get(at.file as usize) else { return Place::new("", 1, 1) };
        let line = file.line_of(at.offset);
        let start = file.lines[line] as usize;
        let before = file.text.get(start..at.offset as usize).unwrap_or("");
        Place::new(Arc::clone(&file.name), line as u32 + 1, before.chars().count() as u32 + 1)
    }

    /// The line in which a stretch begins, from 1; much cheaper than [`Sources::place`] in a long line.
    pub(crate) fn line_number(&self, at: At) -> u32 {
        self.files.get(at.file as usize).map_or(1, |file| file.line_of(at.offset) as u32 + 1)
    }

    /// The whole line in which a stretch begins, without its newline; nothing for one longer than [`LONGEST_LINE`], or that may
    /// hold a secret by mistake.
    pub(crate) fn line(&self, at: At) -> &str {
        let Some(file) = self.files.get(at.file as usize) else { return "" };
        let line = file.line_of(at.offset);
        let end = file.lines.get(line + 1).map_or(file.text.len(), |end| *end as usize);
        let line = file.text[file.lines[line] as usize..end].trim_end_matches(['\n', '\r']);
        if line.len() <= LONGEST_LINE && !may_hold_a_secret(line) { line } else { "" }
    }

    /// How many characters of a stretch stand in its first line; at least 1, so that there is something to point at.
    pub(crate) fn width(&self, at: At) -> u32 {
        let first = self.slice(at).lines().next().unwrap_or("");
        (first.chars().count() as u32).max(1)
    }
}

impl File {
    fn line_of(&self, offset: u32) -> usize {
        self.lines.partition_point(|start| *start <= offset).saturating_sub(1)
    }
}

/// Whether somebody may have written a secret itself where its name belongs: `(secret)"…"`, or an annotation that does not
/// exist before a value, as `(secert)…`. Such a line is not shown, whatever is said about it.
fn may_hold_a_secret(line: &str) -> bool {
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('(') {
        rest = after;
        // A marker before a setting, right or wrong, is none of a value.
        if before.trim_end().is_empty() || before.trim_end().ends_with(['{', ';', '}']) {
            continue;
        }
        let Some((word, value)) = after.split_once(')') else { break };
        let is_word =
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let has_value =
            value.starts_with(|c: char| !c.is_whitespace() && !matches!(c, ')' | ',' | ';' | '.'));
        let is_known = match word {
            "secret" => !value.starts_with(['"', '#']),
            word => MARKERS.contains(&word),
        };
        if is_word && has_value && !is_known {
            return true;
        }
    }
    false
}

/// Where lines after the first begin: after LF, CRLF and lone CR, as KDL counts them.
fn line_starts(text: &str) -> impl Iterator<Item = u32> {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter_map(move |(i, byte)| {
        let ends = match byte {
            b'\n' => true,
            b'\r' => bytes.get(i + 1) != Some(&b'\n'),
            _ => false,
        };
        ends.then_some(i as u32 + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_may_hold_a_secret_are_not_shown() {
        for shown in [
            "A (secret)db-url",
            "(default)keep 5",
            "// see above (later) x",
            "f(x), g(y)",
            "(add)roles a; A (secret)b",
        ] {
            assert!(!may_hold_a_secret(shown), "{shown}");
        }
        for hidden in [
            "A (secret)\"hunter2\"",
            "B (Secret)hunter3",
            "env { A (secret)a; B (secert)\"x\"; }",
            "A (secret)#\"x\"#",
        ] {
            assert!(may_hold_a_secret(hidden), "{hidden}");
        }
    }

    #[test]
    fn places_count_lines_and_characters() {
        let mut sources = Sources::default();
        let file = sources.add("a.kdl", "é x\r\n  y\rz\n");
        let at = |offset| At { file, offset, len: 1 };
        assert_eq!(sources.place(at(3)), Place::new("a.kdl", 1, 3));
        assert_eq!(sources.place(at(8)), Place::new("a.kdl", 2, 3));
        assert_eq!(sources.line(at(8)), "  y");
        assert_eq!(sources.place(at(10)), Place::new("a.kdl", 3, 1));
        assert_eq!(sources.place(at(12)), Place::new("a.kdl", 4, 1));
    }
}
