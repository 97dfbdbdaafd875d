//! Tokens to nodes, in one pass. What is missing is taken as coming: a block that nothing closes goes on to the end.

use super::{OutlineNode, Within, Word, Written};
use crate::guard::MAX_DEPTH;
use crate::lexer::{Kind, Token, tokens};
use crate::schema::{NodeSpec, TOP, schema};
use std::ops::Range;

/// The nodes of a text and where its comments are.
pub(super) fn nodes(text: &str) -> (Vec<OutlineNode<'_>>, Vec<Range<usize>>) {
    let is_comment = |token: &Token| matches!(token.kind, Kind::LineComment | Kind::BlockComment { .. });
    let (comments, tokens): (Vec<_>, Vec<_>) = tokens(text).partition(is_comment);
    let mut reader =
        Reader { text, tokens: &tokens, nodes: Vec::new(), open: Vec::new(), line: Line::Empty, mute: false };
    reader.all();
    (reader.nodes, comments.iter().map(|comment| comment.start..comment.end).collect())
}

struct Reader<'t, 'k> {
    text: &'t str,
    /// What is not read yet.
    tokens: &'k [Token],
    nodes: Vec<OutlineNode<'t>>,
    /// The blocks that are open, by their nodes; `None` for one that belongs to nothing.
    open: Vec<Option<usize>>,
    line: Line,
    /// A `/-` stands before what comes.
    mute: bool,
}

/// What of the current node was read.
#[derive(Clone, Copy)]
enum Line {
    Empty,
    /// Its marker.
    Marked(usize),
    Named(usize),
    /// `key=`, and its value is to come.
    Keyed(usize),
    /// `(secret)`, and its value is to come.
    Annotated(usize),
}

impl<'t> Reader<'t, '_> {
    fn all(&mut self) {
        while let Some(token) = self.take() {
            match token.kind {
                Kind::Newline | Kind::Semicolon => self.end_line(token.start),
                Kind::Continue => drop(self.take_if(|next| next.kind == Kind::Newline)),
                Kind::Open => self.open(&token),
                Kind::Close => self.close(&token),
                Kind::Slashdash => self.mute = true,
                Kind::ParenOpen => self.annotation(&token),
                Kind::Equals => self.equals(&token),
                Kind::ParenClose => {}
                _ => self.word(&token),
            }
        }
        let end = self.text.len();
        self.end_line(end);
        while let Some(open) = self.open.pop() {
            self.end_block(open, end, end);
        }
    }

    fn take(&mut self) -> Option<Token> {
        self.take_if(|_| true)
    }

    fn take_if(&mut self, wanted: impl Fn(&Token) -> bool) -> Option<Token> {
        let (first, rest) = self.tokens.split_first().filter(|(first, _)| wanted(first))?;
        self.tokens = rest;
        Some(*first)
    }

    fn current(&self) -> Option<usize> {
        match self.line {
            Line::Empty => None,
            Line::Marked(node) | Line::Named(node) | Line::Keyed(node) | Line::Annotated(node) => Some(node),
        }
    }

    fn end_line(&mut self, at: usize) {
        if let Some(node) = self.current() {
            self.nodes[node].line_end = at;
            self.nodes[node].range.end = at;
            self.mute = false;
        }
        self.line = Line::Empty;
    }

    fn open(&mut self, brace: &Token) {
        let node = self.current().filter(|_| self.open.len() < MAX_DEPTH);
        if let Some(node) = node {
            self.nodes[node].block = Some(brace.end..self.text.len());
            // `name /- { … }`: what stands in the block says nothing, the name does.
            self.nodes[node].block_muted |= self.mute;
        }
        self.end_line(brace.start);
        self.open.push(node);
    }

    fn close(&mut self, brace: &Token) {
        self.end_line(brace.start);
        if let Some(open) = self.open.pop() {
            self.end_block(open, brace.start, brace.end);
        }
    }

    fn end_block(&mut self, open: Option<usize>, inside: usize, end: usize) {
        self.mute = false;
        let Some(node) = open.map(|node| &mut self.nodes[node]) else { return };
        node.range.end = end;
        if let Some(block) = &mut node.block {
            block.end = inside;
        }
    }

    /// `(word)`: a marker before a node, a kind before a value.
    fn annotation(&mut self, paren: &Token) {
        let is_word = |next: &Token| matches!(next.kind, Kind::Word | Kind::Keyword | Kind::Text { .. });
        let word = match self.take_if(is_word) {
            Some(token) => self.whole(&token),
            None => self.nothing(paren.end),
        };
        let close = self.take_if(|next| next.kind == Kind::ParenClose);
        let end = close.map_or(word.range.end, |close| close.end);
        match self.line {
            Line::Empty | Line::Marked(_) => {
                let name = self.nothing(end);
                let node = self.begin(paren.start, name);
                self.nodes[node].marker = Some(word);
                self.line = Line::Marked(node);
            }
            Line::Keyed(node) => {
                self.last(node, end).annotation = Some(word);
                self.line = Line::Annotated(node);
            }
            Line::Named(node) | Line::Annotated(node) => {
                self.entry(node, paren.start..end).annotation = Some(word);
                self.line = Line::Annotated(node);
            }
        }
    }

    fn equals(&mut self, token: &Token) {
        let Line::Named(node) = self.line else { return };
        let last = self.nodes[node].entries.last();
        if last.is_some_and(|entry| entry.key.is_none() && entry.annotation.is_none()) {
            let entry = self.last(node, token.end);
            entry.key = entry.value.take();
            self.line = Line::Keyed(node);
        }
    }

    fn word(&mut self, token: &Token) {
        let word = self.whole(token);
        match self.line {
            Line::Empty => {
                let node = self.begin(token.start, word);
                self.line = Line::Named(node);
            }
            Line::Marked(node) => {
                self.nodes[node].name = word;
                self.nodes[node].spec = self.spec(node);
                self.line = Line::Named(node);
            }
            Line::Named(node) => {
                let range = word.range.clone();
                self.entry(node, range).value = Some(word);
            }
            Line::Keyed(node) | Line::Annotated(node) => {
                let end = word.range.end;
                self.last(node, end).value = Some(word);
                self.line = Line::Named(node);
            }
        }
    }

    /// A new argument or property of a node; which it is, and what, is told later.
    fn entry(&mut self, node: usize, range: Range<usize>) -> &mut Written<'t> {
        let muted = std::mem::take(&mut self.mute);
        let entries = &mut self.nodes[node].entries;
        entries.push(Written { range, annotation: None, key: None, value: None, muted });
        let last = entries.len() - 1;
        &mut entries[last]
    }

    /// The last argument or property of a node, which has one; it goes on to `end`.
    fn last(&mut self, node: usize, end: usize) -> &mut Written<'t> {
        let entries = &mut self.nodes[node].entries;
        let last = entries.len() - 1;
        entries[last].range.end = end;
        &mut entries[last]
    }

    fn nothing(&self, at: usize) -> Word<'t> {
        Word { range: at..at, text: "", inside: at..at }
    }

    /// A string, or a word with all that touches it: `/srv/shop` is several tokens, and one word to who wrote it.
    fn whole(&mut self, token: &Token) -> Word<'t> {
        let (start, mut end) = (token.start, token.end);
        let mut inside = start..end;
        if let Kind::Text { closed, multiline, .. } = token.kind {
            let hashes = token.text(self.text).bytes().take_while(|byte| *byte == b'#').count();
            let quotes = hashes + if multiline { 3 } else { 1 };
            inside.start += quotes;
            inside.end -= if closed { quotes } else { 0 };
        } else {
            let touches = |next: &Token, end: usize| {
                next.start == end
                    && matches!(next.kind, Kind::Word | Kind::Keyword | Kind::Slash | Kind::Other)
            };
            while let Some(next) = self.take_if(|next| touches(next, end)) {
                end = next.end;
            }
            inside.end = end;
        }
        Word { range: start..end, text: self.text.get(inside.clone()).unwrap_or(""), inside }
    }

    /// A new node in the block at hand.
    fn begin(&mut self, start: usize, name: Word<'t>) -> usize {
        let parent = self.open.last().copied().flatten();
        let around = parent.map(|parent| &self.nodes[parent]);
        let within = match around {
            Some(around) => around.holds(),
            None if self.open.is_empty() => Within::Settings(TOP),
            // In a block of nothing, or deeper than blocks may be.
            None => Within::Anything,
        };
        let is_nowhere = around.is_none() && !self.open.is_empty();
        let muted = self.mute || is_nowhere || around.is_some_and(|node| node.muted || node.block_muted);
        self.mute = false;
        self.nodes.push(OutlineNode {
            range: start..name.range.end,
            line_end: name.range.end,
            name,
            spec: None,
            muted,
            block_muted: false,
            marker: None,
            entries: Vec::new(),
            block: None,
            parent,
            within,
        });
        let node = self.nodes.len() - 1;
        self.nodes[node].spec = self.spec(node);
        node
    }

    fn spec(&self, node: usize) -> Option<&'static NodeSpec> {
        match self.nodes[node].within {
            Within::Settings(parent) => schema().find(parent, self.nodes[node].name.text),
            Within::Free(shape) => Some(shape),
            Within::Anything => None,
        }
    }
}
