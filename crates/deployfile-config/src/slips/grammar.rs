//! KDL's grammar over tokens, without recursion, for what no slip explains.
//!
//! The `kdl` crate recovers from every mistake by recursion: a megabyte of `{} ` on one line overflows its stack. So it
//! is given only texts in which this finds nothing.

use super::SYNTAX;
use crate::diagnostic::{Diagnostic, Findings};
use crate::lexer::{Kind, Token};
use crate::sources::At;
use std::collections::BTreeSet;

/// Where in a node the next token stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before its name.
    Start,
    /// After its name.
    Entries,
    /// After a block that is commented out.
    Blocks,
    /// After its block.
    Done,
}

struct Grammar<'g, 's> {
    file: u32,
    tokens: &'g [Token],
    findings: &'g mut Findings<'s>,
    /// Lines about which something was said.
    said: BTreeSet<u32>,
    state: State,
    /// What follows each open block, and whether its node is commented out.
    open: Vec<(State, bool)>,
    /// The node at hand is commented out.
    commented_out: bool,
    /// A `/-` that has not met what it comments out.
    slashdash: bool,
}

/// Reports what is not KDL in file number `file`, one mistake a line.
pub(super) fn check(file: u32, tokens: &[Token], findings: &mut Findings<'_>) {
    let said = findings.lines();
    let (state, open) = (State::Start, Vec::new());
    let mut grammar =
        Grammar { file, tokens, findings, said, state, open, commented_out: false, slashdash: false };
    let mut i = 0;
    while i < tokens.len() && !grammar.findings.is_full() {
        i = grammar.token(i).max(i + 1);
    }
    if let Some(last) = tokens.iter().rposition(|t| t.kind == Kind::Slashdash).filter(|_| grammar.slashdash) {
        grammar.say(last, "this `/-` comments out nothing", "delete it");
    }
}

impl Grammar<'_, '_> {
    /// Takes token `i` in and says which one is next.
    fn token(&mut self, i: usize) -> usize {
        self.apart(i);
        match self.tokens[i].kind {
            Kind::BlockComment { .. } | Kind::LineComment => {}
            Kind::Newline if self.slashdash => {}
            Kind::Newline => self.state = State::Start,
            Kind::Semicolon => self.semicolon(i),
            Kind::Continue => return self.line_goes_on(i),
            Kind::Slashdash => self.comment_out(i),
            Kind::Open => self.open(i),
            Kind::Close => self.close(i),
            Kind::ParenOpen => return self.annotation(i),
            Kind::Word | Kind::Keyword | Kind::Text { .. } => return self.value(i),
            Kind::Equals => self.say(i, "`=` needs a name before it", "properties are written `name=value`"),
            Kind::ParenClose | Kind::Slash | Kind::Other => {
                self.say(i, "this cannot stand here", "what is not a plain word or a number needs quotes");
            }
        }
        i + 1
    }

    /// Words and strings stand apart from what comes after them.
    fn apart(&mut self, i: usize) {
        let is_word = |kind| matches!(kind, Kind::Word | Kind::Keyword | Kind::Text { .. });
        let token = &self.tokens[i];
        let joins = is_word(token.kind) || matches!(token.kind, Kind::ParenOpen | Kind::Slashdash);
        let Some(before) = i.checked_sub(1).map(|before| &self.tokens[before]) else { return };
        if joins && is_word(before.kind) && before.end == token.start {
            self.say(i, "a space is missing before this", "values are separated by spaces");
        }
    }

    fn say(&mut self, i: usize, message: &str, help: &str) {
        let token = &self.tokens[i];
        let at = At { file: self.file, offset: token.start as u32, len: (token.end - token.start) as u32 };
        if self.said.insert(self.findings.sources.line_number(at)) {
            let _: &mut Diagnostic = self.findings.error(SYNTAX, at, message).help(help);
        }
    }

    fn text_of(&self, i: usize) -> &str {
        self.tokens.get(i).map_or("", |token| token.text(self.findings.sources.text(self.file)))
    }

    fn kind(&self, i: usize) -> Option<Kind> {
        self.tokens.get(i).map(|token| token.kind)
    }

    /// The first token from `i` on that is no white space: no comment and no line that goes on.
    fn past_space(&self, mut i: usize) -> usize {
        loop {
            i = match self.kind(i) {
                Some(Kind::BlockComment { .. }) => i + 1,
                Some(Kind::Continue) => match self.line_end(i) {
                    Some(next) => next,
                    None => return i,
                },
                _ => return i,
            };
        }
    }

    /// Past the end of the line that the `\` at `i` lets go on; `None` when something else stands behind it.
    fn line_end(&self, i: usize) -> Option<usize> {
        let mut next = i + 1;
        while matches!(self.kind(next), Some(Kind::BlockComment { .. })) {
            next += 1;
        }
        if self.kind(next) == Some(Kind::LineComment) {
            next += 1;
        }
        matches!(self.kind(next), None | Some(Kind::Newline)).then_some(next + 1)
    }

    fn semicolon(&mut self, i: usize) {
        if self.slashdash || self.state == State::Start {
            self.say(i, "this `;` ends nothing", "delete it");
        } else if self.commented_out {
            self.say(i, "no `;` may end a setting that `/-` comments out", "end it with a line break");
        }
        (self.state, self.slashdash) = (State::Start, false);
    }

    fn line_goes_on(&mut self, i: usize) -> usize {
        if let Some(next) = self.line_end(i) {
            return next;
        }
        self.say(
            i,
            "`\\` stands at the end of a line that goes on",
            "put the value into quotes if it belongs to it",
        );
        i + 1
    }

    fn comment_out(&mut self, i: usize) {
        if self.slashdash {
            self.say(i, "a `/-` cannot comment out another", "one is enough");
        }
        self.slashdash = true;
    }

    fn open(&mut self, i: usize) {
        let after = match (self.state, self.slashdash) {
            (State::Done, true) => State::Done,
            (_, true) => State::Blocks,
            (_, false) => State::Done,
        };
        match (self.state, self.slashdash) {
            (State::Start, _) => {
                self.say(i, "this block belongs to nothing", "put the name of a setting before it")
            }
            (State::Done, false) => self.say(i, "a setting has one block", "put both into one"),
            _ => {}
        }
        self.open.push((after, self.commented_out));
        (self.state, self.slashdash) = (State::Start, false);
    }

    fn close(&mut self, i: usize) {
        if self.slashdash {
            self.say(i, "this `}` cannot be commented out", "put the `/-` before the setting");
        }
        (self.state, self.commented_out) = self.open.pop().unwrap_or((State::Start, false));
        self.slashdash = false;
    }

    /// `(word)` before a name or a value.
    fn annotation(&mut self, i: usize) -> usize {
        let name = self.past_space(i + 1);
        let close = self.past_space(name + 1);
        let next = self.past_space(close + 1);
        let is_word = |kind| matches!(kind, Some(Kind::Word | Kind::Text { .. }));
        let whole = is_word(self.kind(name)) && self.kind(close) == Some(Kind::ParenClose);
        let before_value = is_word(self.kind(next)) || self.kind(next) == Some(Kind::Keyword);
        if whole && before_value && matches!(self.state, State::Start | State::Entries) {
            return self.value(next);
        }
        let help = "a marker stands before a name, `(secret)` before a value: `A (secret)name`";
        self.say(i, "these parentheses hold no marker", help);
        i + 1
    }

    /// A name, a value, or a property.
    fn value(&mut self, i: usize) -> usize {
        let commented_out = std::mem::take(&mut self.slashdash);
        match self.state {
            State::Start => self.name(i, commented_out),
            // The parser takes a node that is commented out right behind a block.
            State::Done if commented_out => self.name(i, commented_out),
            State::Entries => self.property(i),
            State::Blocks | State::Done => {
                self.say(i, "a line break or `;` is missing after the block", "begin a new line");
                self.state = State::Entries;
                i + 1
            }
        }
    }

    fn name(&mut self, i: usize, commented_out: bool) -> usize {
        if self.is_value(i) {
            self.say(i, "a setting cannot be called this", "put the name into quotes");
        }
        (self.state, self.commented_out) = (State::Entries, commented_out);
        i + 1
    }

    /// A number or keyword, which is no name.
    fn is_value(&self, i: usize) -> bool {
        self.kind(i) == Some(Kind::Keyword) || super::words::starts_like_number(self.text_of(i))
    }

    fn property(&mut self, i: usize) -> usize {
        let equals = self.past_space(i + 1);
        if self.kind(equals) != Some(Kind::Equals) {
            return i + 1;
        }
        if self.is_value(i) {
            self.say(i, "a property cannot be called this", "put the name into quotes");
        }
        let value = self.past_space(equals + 1);
        match self.kind(value) {
            Some(Kind::Word | Kind::Keyword | Kind::Text { .. }) => value + 1,
            Some(Kind::ParenOpen) => self.annotation(value),
            _ => {
                self.say(equals, "there is no value after this `=`", "properties are written `name=value`");
                equals + 1
            }
        }
    }
}
