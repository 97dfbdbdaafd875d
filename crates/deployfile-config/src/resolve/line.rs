//! Reading a setting's line: its arguments and properties, or the defaults that the schema gives them.

use crate::schema::{NodeSpec, schema};
use crate::tree::{Data, Node, Value};
use deployfile_model::Name;
use deployfile_model::units::{Bytes, Millis, parse_mode};

/// A line of a setting, or its absence.
#[derive(Clone, Copy)]
pub(super) struct Line<'p> {
    spec: &'static NodeSpec,
    node: Option<&'p Node>,
}

impl<'p> Line<'p> {
    /// The line `node` of the setting `name` in `parent`; `None`: only defaults.
    pub(super) fn new(parent: &str, name: &str, node: Option<&'p Node>) -> Self {
        let Some(spec) = schema().find(parent, name) else {
            unreachable!("`{name}` in `{parent}` is no row")
        };
        Self { spec, node }
    }

    pub(super) fn prop(&self, name: &str) -> Option<&'p Value> {
        self.node?.prop(name)
    }

    /// A property's text, or its default.
    pub(super) fn text(&self, name: &str) -> &'p str {
        let default = self.spec.props.iter().find(|p| p.name == name).map_or("", |p| p.default);
        self.prop(name).and_then(Value::text).unwrap_or(default)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.prop(name).is_some_and(|v| v.data == Data::Bool(true))
    }

    /// A duration; the schema's default is one too.
    pub(super) fn duration(&self, name: &str) -> Millis {
        let text = self.text(name);
        Millis::parse(text).unwrap_or_else(|| unreachable!("`{text}` passed as a duration"))
    }

    pub(super) fn optional_duration(&self, name: &str) -> Option<Millis> {
        self.prop(name).and_then(Value::text).and_then(Millis::parse)
    }

    pub(super) fn size(&self, name: &str) -> Option<Bytes> {
        self.prop(name).and_then(Value::text).and_then(Bytes::parse)
    }

    pub(super) fn mode(&self, name: &str) -> Option<u32> {
        parse_mode(self.text(name))
    }

    /// One of the words that the schema lists, by `all`, whose first member of a pair is the word.
    pub(super) fn word<T: Copy>(&self, name: &str, all: &[(&str, T)]) -> T {
        choose(self.text(name), all)
    }
}

/// The member of `all` that `word` names; the schema let no other word through.
pub(super) fn choose<T: Copy>(word: &str, all: &[(&str, T)]) -> T {
    match all.iter().find(|(name, _)| *name == word) {
        Some((_, value)) => *value,
        None => unreachable!("`{word}` passed the schema and is no choice"),
    }
}

/// What a value is as a name, which the schema has checked.
pub(super) fn name(value: &Value) -> Option<Name> {
    value.text().and_then(|text| Name::new(text).ok())
}

/// What a value is as a small whole number.
pub(super) fn number(value: &Value) -> Option<u32> {
    match value.data {
        Data::Integer(n, _) => u32::try_from(n).ok(),
        _ => None,
    }
}
