//! Our own wording for the slips that people make in KDL, each with the right form in its help.
//!
//! The parser's own messages name its grammar ("Expected identifier string"), a bad property value ends its recovery
//! with a span from the file's start, and its recovery recurses. So mistakes are looked for in the tokens, and the
//! parser is given only what passes.

mod grammar;
mod strings;
mod words;

use crate::diagnostic::{Diagnostic, Findings};
use crate::lexer::{Kind, Token};
use crate::sources::At;

pub(crate) const SYNTAX: &str = "config::syntax";

/// Looks for slips in file number `file`.
pub(crate) fn find(file: u32, tokens: &[Token], findings: &mut Findings<'_>) {
    let text = findings.sources.text(file);
    let mut cursor = Cursor {
        file,
        text,
        tokens,
        findings,
        node_start: true,
        goes_on: false,
        slashdash: false,
        node_name: None,
    };
    let mut i = 0;
    while i < tokens.len() && !cursor.findings.is_full() {
        let next = cursor.look(i).max(i + 1);
        for done in &tokens[i..next.min(tokens.len())] {
            cursor.pass(done);
        }
        i = next;
    }
}

/// Looks for what is not KDL and no slip explains; the braces are balanced.
pub(crate) fn grammar(file: u32, tokens: &[Token], findings: &mut Findings<'_>) {
    grammar::check(file, tokens, findings);
}

pub(crate) struct Cursor<'c, 's> {
    file: u32,
    text: &'s str,
    tokens: &'c [Token],
    findings: &'c mut Findings<'s>,
    /// The next word or string begins a node.
    node_start: bool,
    /// A `\` or `/-` came last: the node goes on behind the line's end.
    goes_on: bool,
    /// It was a `/-`, which any number of lines may follow.
    slashdash: bool,
    /// The name of the node in which the cursor stands, until something follows it.
    node_name: Option<Token>,
}

impl<'s> Cursor<'_, 's> {
    /// Looks at token `i`, reports a slip if it is one, and says which token is next.
    fn look(&mut self, i: usize) -> usize {
        let token = self.tokens[i];
        match token.kind {
            Kind::Word if self.joined(i).is_some() => words::path(self, i),
            Kind::Word => words::word(self, i),
            Kind::Slash => words::path(self, i),
            Kind::Keyword => words::keyword(self, i),
            Kind::Equals => words::equals(self, i),
            Kind::Other => words::bracket(self, i),
            Kind::Text { .. } => strings::text(self, i),
            Kind::Open if self.adjacent(i, Kind::Open) => words::bare_look_up(self, i),
            _ => i + 1,
        }
    }

    /// Keeps count of where nodes begin.
    fn pass(&mut self, token: &Token) {
        let goes_on = self.goes_on;
        self.goes_on = match token.kind {
            Kind::Continue | Kind::Slashdash => true,
            Kind::LineComment | Kind::BlockComment { .. } => goes_on,
            Kind::Newline => goes_on && self.slashdash,
            _ => false,
        };
        self.slashdash = token.kind == Kind::Slashdash || self.slashdash && self.goes_on;
        match token.kind {
            Kind::Newline if goes_on => {}
            Kind::Newline | Kind::Semicolon | Kind::Open | Kind::Close => {
                (self.node_start, self.node_name) = (true, None);
            }
            Kind::Word | Kind::Text { .. } if self.node_start => {
                (self.node_start, self.node_name) = (false, Some(*token));
            }
            Kind::Word | Kind::Text { .. } | Kind::Keyword => self.node_name = None,
            _ => {}
        }
    }

    fn at(&self, start: usize, end: usize) -> At {
        At { file: self.file, offset: start as u32, len: (end - start) as u32 }
    }

    fn say(&mut self, start: usize, end: usize, message: impl Into<String>) -> &mut Diagnostic {
        let at = self.at(start, end);
        self.findings.error(SYNTAX, at, message)
    }

    fn text_of(&self, i: usize) -> &'s str {
        self.tokens.get(i).map_or("", |t| t.text(self.text))
    }

    /// The number of the first token at or after byte `end`.
    fn token_at(&self, end: usize) -> usize {
        self.tokens.partition_point(|t| t.start < end)
    }

    /// The token right after number `i`, with nothing between, is of this kind.
    fn adjacent(&self, i: usize, kind: Kind) -> bool {
        self.tokens.get(i + 1).is_some_and(|next| next.kind == kind && next.start == self.tokens[i].end)
    }

    /// Where a run of words and slashes that begins at token `i` and has a slash in it ends.
    fn joined(&self, i: usize) -> Option<usize> {
        let mut end = i + 1;
        while end < self.tokens.len()
            && matches!(self.tokens[end].kind, Kind::Word | Kind::Slash | Kind::Equals)
            && self.tokens[end].start == self.tokens[end - 1].end
        {
            if self.tokens[end].kind == Kind::Equals
                && !self.tokens[i..end].iter().any(|t| t.kind == Kind::Slash)
            {
                return None;
            }
            end += 1;
        }
        self.tokens[i..end].iter().any(|t| t.kind == Kind::Slash).then_some(end)
    }
}
