//! Places as the protocol counts them. A column is in units of what was agreed on: bytes, or UTF-16 (a character
//! outside the basic plane is two). deployfile counts characters.

use deployfile_model::Place;
use lsp_types::{Position, Range};

/// What columns count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16,
}

/// A text and where its lines begin.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    encoding: Encoding,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str, encoding: Encoding) -> Self {
        let bytes = text.as_bytes();
        let ends_line =
            |i: &usize| bytes[*i] == b'\n' || (bytes[*i] == b'\r' && bytes.get(i + 1) != Some(&b'\n'));
        let starts = (0..bytes.len()).filter(ends_line).map(|i| i + 1);
        Self { text, starts: std::iter::once(0).chain(starts).collect(), encoding }
    }

    /// A line without its end; nothing for one that there is not.
    fn line(&self, line: usize) -> &'t str {
        let Some(start) = self.starts.get(line) else { return "" };
        let end = self.starts.get(line + 1).copied().unwrap_or(self.text.len());
        self.text[*start..end].trim_end_matches(['\n', '\r'])
    }

    fn width(&self, c: char) -> usize {
        match self.encoding {
            Encoding::Utf8 => c.len_utf8(),
            Encoding::Utf16 => c.len_utf16(),
        }
    }

    /// The byte of a position. One beyond the end of a line is its end, one within a character is its beginning.
    pub(super) fn offset(&self, position: Position) -> usize {
        let number = position.line as usize;
        let Some(start) = self.starts.get(number) else { return self.text.len() };
        let mut left = position.character as usize;
        let line = self.line(number);
        for (at, c) in line.char_indices() {
            if left < self.width(c) {
                return start + at;
            }
            left -= self.width(c);
        }
        start + line.len()
    }

    /// The position of a byte.
    pub(super) fn position(&self, offset: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= offset) - 1;
        let before = self.text.get(self.starts[line]..offset).unwrap_or("");
        let column: usize = before.chars().map(|c| self.width(c)).sum();
        Position::new(line as u32, column as u32)
    }

    pub(super) fn range(&self, range: std::ops::Range<usize>) -> Range {
        Range::new(self.position(range.start), self.position(range.end))
    }

    /// `length` characters from a place on, within its line.
    pub(super) fn place(&self, place: &Place, length: u32) -> Range {
        let number = place.line.saturating_sub(1);
        let line = self.line(number as usize);
        let column = place.column.saturating_sub(1) as usize;
        let width = |from: usize, count: usize| -> u32 {
            line.chars().skip(from).take(count).map(|c| self.width(c)).sum::<usize>() as u32
        };
        let start = width(0, column);
        let end = start + width(column, length as usize);
        Range::new(Position::new(number, start), Position::new(number, end))
    }

    /// The line and column, in characters from 1, of a byte.
    pub(super) fn characters(&self, offset: usize) -> (u32, u32) {
        let line = self.starts.partition_point(|start| *start <= offset) - 1;
        let before = self.text.get(self.starts[line]..offset).unwrap_or("");
        (line as u32 + 1, before.chars().count() as u32 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a𝄞é\r\nb\rc";

    #[test]
    fn columns_are_what_was_agreed_on() {
        let utf16 = Lines::new(TEXT, Encoding::Utf16);
        let utf8 = Lines::new(TEXT, Encoding::Utf8);
        let e = TEXT.find('é').unwrap();
        assert_eq!((utf16.position(e), utf8.position(e)), (Position::new(0, 3), Position::new(0, 5)));
        assert_eq!((utf16.offset(Position::new(0, 3)), utf8.offset(Position::new(0, 5))), (e, e));
        assert_eq!(
            utf16.place(&Place::new("f", 1, 2), 2),
            Range::new(Position::new(0, 1), Position::new(0, 4))
        );
        assert_eq!(
            utf8.place(&Place::new("f", 1, 2), 2),
            Range::new(Position::new(0, 1), Position::new(0, 7))
        );
        assert_eq!(utf8.characters(e), (1, 3));
    }

    #[test]
    fn positions_that_there_are_not_are_near_ones() {
        let lines = Lines::new(TEXT, Encoding::Utf16);
        assert_eq!(lines.offset(Position::new(0, 2)), 1, "within the pair of 𝄞");
        assert_eq!(lines.offset(Position::new(0, 99)), TEXT.find('\r').unwrap());
        assert_eq!(lines.offset(Position::new(2, 0)), TEXT.len() - 1);
        assert_eq!(lines.offset(Position::new(9, 9)), TEXT.len());
        assert_eq!(
            lines.place(&Place::new("f", 9, 9), 3),
            Range::new(Position::new(8, 0), Position::new(8, 0))
        );
    }
}
