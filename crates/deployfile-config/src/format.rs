//! The canonical layout of a file, for `fmt` and editors: each line indented by the blocks around it, at most one blank
//! line in a row, none at the ends of a block or of the file, no white space at the end of a line, one newline at the end.
//!
//! Lines stay lines, and within a line nothing moves: strings and comments are the bytes that they were. That is not
//! trusted but looked at: the new text must hold the same tokens and parse to the same tree, or it is thrown away.
//!
//! Deliberately not here: what the settings mean. A file that is KDL can be laid out, whatever else is wrong with it.

mod layout;
mod same;
#[cfg(test)]
mod tests;

use crate::diagnostic::{Diagnostics, Findings};
use crate::sources::Sources;
use crate::tree::Node;
use crate::{guard, parse};
use std::fmt;

/// Spaces for each block that a line stands in.
pub const INDENT: usize = 2;

/// A file in canonical layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatted {
    /// The text as it was.
    pub before: String,
    /// The text as it should be; the same when there is nothing to do.
    pub after: String,
}

impl Formatted {
    /// The layout was not canonical.
    pub fn changes(&self) -> bool {
        self.before != self.after
    }
}

/// Why a file has no canonical layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatError {
    /// It is not KDL, or beyond the parser's limits.
    Invalid(Diagnostics),
    /// The new layout would have changed what the file says, as this fragment tells: a bug of ours. It is not given out.
    Bug(&'static str),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::Invalid(diagnostics) => f.write_str(diagnostics.render(false).trim_end()),
            FormatError::Bug(what) => write!(f, "the canonical layout would change the file: {what}"),
        }
    }
}
impl std::error::Error for FormatError {}

/// Lays out the content of file `name` (for messages only).
///
/// # Errors
/// Everything that keeps the file from being parsed; and a layout that changes more than the layout.
pub fn format(name: &str, bytes: Vec<u8>) -> Result<Formatted, FormatError> {
    let before = guard::decode(name, bytes).map_err(|refused| FormatError::Invalid(vec![refused].into()))?;
    let old = tree(name, &before).map_err(FormatError::Invalid)?;
    let after = layout::of(&before);
    if after != before {
        hold(name, &before, &after, &old)?;
    }
    Ok(Formatted { before, after })
}

/// Holds the new text against the old one.
fn hold(name: &str, before: &str, after: &str, old: &[Node]) -> Result<(), FormatError> {
    if !same::tokens(before, after) {
        return Err(FormatError::Bug("a word, a string or a comment differs"));
    }
    match tree(name, after) {
        Err(_) => Err(FormatError::Bug("it could not be parsed any more")),
        Ok(new) if !same::nodes(old, &new) => Err(FormatError::Bug("a setting differs")),
        Ok(_) if layout::of(after) != after => Err(FormatError::Bug("a second pass would change it again")),
        Ok(_) => Ok(()),
    }
}

fn tree(name: &str, text: &str) -> Result<Vec<Node>, Diagnostics> {
    let mut sources = Sources::default();
    let file = sources.add(name, text);
    let mut findings = Findings::new(&sources);
    let mut room = guard::Room::new();
    let parsed = parse::parse(&sources, file, &mut room, &mut findings);
    parsed.ok_or_else(|| findings.into_list().into())
}
