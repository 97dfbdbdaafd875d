//! Tokens to lines with the right indentation. One pass, no recursion, never fails: what is not KDL is kept as it is.

use super::INDENT;
use crate::lexer::{Kind, Token, tokens};

/// `text` in canonical layout.
pub(super) fn of(text: &str) -> String {
    let tokens: Vec<Token> = tokens(text).collect();
    let mut layout = Layout {
        text,
        line_end: line_end(text, &tokens),
        out: String::with_capacity(text.len()),
        open: Vec::new(),
        blank: false,
        after_open: false,
        goes_on: false,
    };
    for line in tokens.split(|token| token.kind == Kind::Newline) {
        layout.line(line);
    }
    layout.out
}

/// The file's own line end: that of its first line. Its strings may hold others; these are none of our business.
fn line_end(text: &str, tokens: &[Token]) -> &'static str {
    let first = tokens.iter().find(|token| token.kind == Kind::Newline);
    if first.is_some_and(|token| token.text(text) == "\r\n") { "\r\n" } else { "\n" }
}

struct Layout<'t> {
    text: &'t str,
    line_end: &'static str,
    out: String,
    /// For each open block the level of the line that opened it, which is that of the line that closes it.
    open: Vec<usize>,
    /// Blank lines were seen since the last line that is not.
    blank: bool,
    /// The last line opened a block at its end.
    after_open: bool,
    /// The last line ended in `\`.
    goes_on: bool,
}

impl Layout<'_> {
    /// Takes in one line: all tokens up to a newline that stands in no string and no comment.
    fn line(&mut self, line: &[Token]) {
        let (Some(first), Some(last)) = (line.first(), line.last()) else {
            // A blank line ends what `\` let go on.
            (self.blank, self.goes_on) = (true, false);
            return;
        };
        let closes = first.kind == Kind::Close;
        if self.blank && !closes && !self.after_open && !self.out.is_empty() {
            self.out.push_str(self.line_end);
        }
        let level = self.level(line);
        self.out.extend(std::iter::repeat_n(' ', level * INDENT));
        let end = if last.kind == Kind::LineComment { trimmed(last, self.text) } else { last.end };
        self.out.push_str(&self.text[first.start..end]);
        self.out.push_str(self.line_end);

        self.braces(line, level);
        let at_end = line.iter().rfind(|token| !is_comment(token)).map(|token| token.kind);
        self.blank = false;
        self.after_open = at_end == Some(Kind::Open);
        self.goes_on = at_end == Some(Kind::Continue);
    }

    /// How deep the line stands: as deep as what its first braces close, else within what is open, and one more when
    /// it goes on with the setting of the line before.
    fn level(&self, line: &[Token]) -> usize {
        let leading = line.iter().take_while(|token| matches!(token.kind, Kind::Close | Kind::Semicolon));
        match leading.filter(|token| token.kind == Kind::Close).count() {
            0 => self.inner() + usize::from(self.goes_on),
            closed => self.open.len().checked_sub(closed).map_or(0, |block| self.open[block]),
        }
    }

    /// The level of what stands in the innermost open block.
    fn inner(&self) -> usize {
        self.open.last().map_or(0, |level| level + 1)
    }

    /// Keeps count of the blocks that a line at `level` opens and closes.
    fn braces(&mut self, line: &[Token], level: usize) {
        // The first block of the line is as deep as the line, also where that is deeper as it goes on.
        let mut own = Some(level);
        for token in line {
            match token.kind {
                Kind::Open => {
                    let level = own.take().unwrap_or_else(|| self.inner());
                    self.open.push(level);
                }
                Kind::Close => {
                    own = None;
                    self.open.pop();
                }
                _ => {}
            }
        }
    }
}

fn is_comment(token: &Token) -> bool {
    matches!(token.kind, Kind::LineComment | Kind::BlockComment { .. })
}

/// Where a `//` comment ends when the white space at its end is left out.
pub(super) fn trimmed(comment: &Token, text: &str) -> usize {
    comment.start + comment.text(text).trim_end().len()
}
