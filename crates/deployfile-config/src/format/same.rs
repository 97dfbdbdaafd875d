//! Whether two texts say the same: token by token, and as trees. Places and line breaks aside.

use super::layout::trimmed;
use crate::lexer::{self, Kind, Token};
use crate::tree::{Data, Node, Value, Word};

/// The same words, strings and comments in the same order. What moved is only white space between them.
pub(super) fn tokens(before: &str, after: &str) -> bool {
    texts(before).eq(texts(after))
}

fn texts(text: &str) -> impl Iterator<Item = (Kind, &str)> {
    let kept = lexer::tokens(text).filter(|token| token.kind != Kind::Newline);
    kept.map(move |token| (token.kind, &text[token.start..end(&token, text)]))
}

fn end(token: &Token, text: &str) -> usize {
    if token.kind == Kind::LineComment { trimmed(token, text) } else { token.end }
}

/// The same settings in the same order, to the last digit. As deep as blocks are, which the guard limits.
pub(super) fn nodes(before: &[Node], after: &[Node]) -> bool {
    all(before, after, node)
}

fn node(a: &Node, b: &Node) -> bool {
    let blocks = match (&a.children, &b.children) {
        (None, None) => true,
        (Some(a), Some(b)) => nodes(a, b),
        _ => false,
    };
    maybe_word(&a.marker, &b.marker)
        && a.name.text == b.name.text
        && all(&a.args, &b.args, value)
        && all(&a.props, &b.props, |a, b| a.0.text == b.0.text && value(&a.1, &b.1))
        && blocks
}

fn all<T>(a: &[T], b: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn maybe_word(a: &Option<Word>, b: &Option<Word>) -> bool {
    a.as_ref().map(|word| &word.text) == b.as_ref().map(|word| &word.text)
}

fn value(a: &Value, b: &Value) -> bool {
    let data = match (&a.data, &b.data) {
        // As they are written: `#nan` is not equal to itself.
        (Data::Float(_, a), Data::Float(_, b)) => a == b,
        (a, b) => a == b,
    };
    maybe_word(&a.kind, &b.kind) && data
}
