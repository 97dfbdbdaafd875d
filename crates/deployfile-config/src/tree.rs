//! Our own tree of a file: nodes, arguments, properties, each with its place. The parser's document, which takes some
//! 58 times the size of the text, is dropped as soon as this is made of it.

use crate::sources::{At, Sources};
use kdl::{KdlDocument, KdlEntry, KdlNode, KdlValue};
use miette::SourceSpan;

/// A word with its place.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) at: At,
}

/// One node: a setting, its line and its block.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The type annotation of the node: a marker.
    pub(crate) marker: Option<Word>,
    pub(crate) name: Word,
    pub(crate) args: Vec<Value>,
    pub(crate) props: Vec<(Word, Value)>,
    /// `None`: no block; an empty one is `Some` of nothing.
    pub(crate) children: Option<Vec<Node>>,
    /// Something in its own line is wrong: it was reported, and it takes no part in merging.
    pub(crate) bad: bool,
}

/// An argument or the value of a property.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    /// The type annotation: `(secret)`.
    pub(crate) kind: Option<Word>,
    pub(crate) data: Data,
    pub(crate) at: At,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    Text(String),
    /// A whole number and how it was written.
    Integer(i128, String),
    /// Any other number and how it was written, so that `3.10` stays `3.10`.
    Float(f64, String),
    Bool(bool),
    Null,
}

impl Node {
    pub(crate) fn prop(&self, name: &str) -> Option<&Value> {
        self.props.iter().find(|(key, _)| key.text == name).map(|(_, value)| value)
    }

    pub(crate) fn children(&self) -> &[Node] {
        self.children.as_deref().unwrap_or(&[])
    }

    /// Name, arguments and properties, for display; the block is left out.
    pub(crate) fn line(&self) -> String {
        let args = self.args.iter().map(Value::show);
        let props = self.props.iter().map(|(key, value)| format!("{}={}", key.text, value.show()));
        std::iter::once(self.name.text.clone()).chain(args).chain(props).collect::<Vec<_>>().join(" ")
    }
}

impl Value {
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_secret(&self) -> bool {
        self.kind.as_ref().is_some_and(|k| k.text == "secret")
    }

    /// The value as text, whatever it is: `4`, `3.10`, `true`.
    pub(crate) fn as_text(&self) -> String {
        match &self.data {
            Data::Text(text) => text.clone(),
            Data::Integer(_, text) | Data::Float(_, text) => text.clone(),
            Data::Bool(value) => value.to_string(),
            Data::Null => String::new(),
        }
    }

    /// As KDL, for display.
    pub(crate) fn show(&self) -> String {
        let kind = self.kind.as_ref().map(|k| format!("({})", k.text)).unwrap_or_default();
        let data = match &self.data {
            Data::Text(text) if is_plain_word(text) => text.clone(),
            Data::Text(text) => format!("{text:?}"),
            Data::Integer(_, text) | Data::Float(_, text) => text.clone(),
            Data::Bool(value) => format!("#{value}"),
            Data::Null => "#null".to_owned(),
        };
        kind + &data
    }

    /// What it is, with its article, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match self.data {
            Data::Text(_) => "a string",
            Data::Integer(..) => "a whole number",
            Data::Float(..) => "a number",
            Data::Bool(_) => "a flag",
            Data::Null => "nothing",
        }
    }

    /// The same value, wherever it was written.
    pub(crate) fn same(&self, other: &Value) -> bool {
        let kind = |v: &Value| v.kind.as_ref().map(|k| k.text.clone());
        self.data == other.data && kind(self) == kind(other)
    }
}

fn is_plain_word(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !matches!(text, "true" | "false" | "null" | "inf" | "nan")
}

/// Makes our tree of the parser's, whose places are bytes of file number `file`.
pub(crate) fn convert(document: &KdlDocument, sources: &Sources, file: u32) -> Vec<Node> {
    let converter = Converter { text: sources.text(file), file };
    document.nodes().iter().map(|node| converter.node(node)).collect()
}

struct Converter<'t> {
    text: &'t str,
    file: u32,
}

impl Converter<'_> {
    fn at(&self, span: SourceSpan) -> At {
        At { file: self.file, offset: span.offset() as u32, len: span.len() as u32 }
    }

    fn word(&self, id: &kdl::KdlIdentifier) -> Word {
        Word { text: id.value().to_owned(), at: self.at(id.span()) }
    }

    fn node(&self, node: &KdlNode) -> Node {
        let (named, plain): (Vec<_>, Vec<_>) = node.entries().iter().partition(|e| e.name().is_some());
        let props = named.into_iter().filter_map(|e| Some((self.word(e.name()?), self.value(e)))).collect();
        Node {
            marker: node.ty().map(|ty| self.word(ty)),
            name: self.word(node.name()),
            args: plain.into_iter().map(|e| self.value(e)).collect(),
            props,
            children: node.children().map(|c| c.nodes().iter().map(|n| self.node(n)).collect()),
            bad: false,
        }
    }

    fn value(&self, entry: &KdlEntry) -> Value {
        let span = self.at(entry.span());
        let written = entry.format().map_or("", |f| f.value_repr.as_str());
        let skip = (span.len as usize).saturating_sub(written.len());
        let at = if written.is_empty() { span } else { span.part(skip, written.len()) };
        let start = at.offset as usize;
        let written = self.text.get(start..start + at.len as usize).unwrap_or("");
        let data = match entry.value() {
            KdlValue::String(text) => Data::Text(text.clone()),
            KdlValue::Integer(n) if is_decimal(written) => Data::Integer(*n, written.replace('_', "")),
            KdlValue::Integer(n) => Data::Integer(*n, n.to_string()),
            KdlValue::Float(n) => Data::Float(*n, written.replace('_', "")),
            KdlValue::Bool(b) => Data::Bool(*b),
            KdlValue::Null => Data::Null,
        };
        Value { kind: entry.ty().map(|ty| self.word(ty)), data, at }
    }
}

fn is_decimal(written: &str) -> bool {
    written.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'_' | b'+' | b'-'))
}
