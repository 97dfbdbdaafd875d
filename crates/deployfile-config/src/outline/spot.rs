//! What stands at a byte of a file, and what it refers to.

use super::offer::marker_doc;
use super::{Outline, OutlineNode, Within, Word, Written, names_itself};
use crate::files;
use crate::lookups::Where;
use crate::schema::{Count, NodeSpec, Prop, Type};
use std::ops::Range;

/// A place in a file.
#[derive(Debug)]
pub struct Spot<'o, 't> {
    pub(super) outline: &'o Outline<'t>,
    /// The byte that was asked for.
    pub(super) offset: usize,
    /// The node in whose line it is.
    pub(super) node: Option<usize>,
    /// The node in whose block it is.
    pub(super) holder: Option<usize>,
    part: Part<'t>,
    range: Range<usize>,
}

/// What part of a line a place is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'t> {
    /// In a comment.
    Nothing,
    /// In the parentheses before a name.
    Marker,
    /// In the name of a setting, or where one could begin.
    Name,
    /// In an argument, or where one could begin.
    Argument {
        /// Which one, from 0.
        index: usize,
        /// A bare word: it could become the name of a property too.
        bare: bool,
    },
    /// In the name of a property.
    Property(&'t str),
    /// In the value of the property of this name.
    Value(&'t str),
    /// In the parentheses before an argument or a property's value.
    Kind,
}

/// What a name in a file means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refers {
    /// Something that is declared elsewhere, or here.
    Name {
        /// The setting that declares it, as `service`; `vars` for a variable.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A file, relative to the main deployfile's folder; its last part may hold `*` and `?`.
    File(String),
}

impl<'t> Outline<'t> {
    /// What stands at byte `offset`.
    pub fn at(&self, offset: usize) -> Spot<'_, 't> {
        let in_block = |node: &OutlineNode<'_>| {
            node.block.as_ref().is_some_and(|block| (block.start..=block.end).contains(&offset))
        };
        let holder = self.nodes.iter().rposition(in_block);
        let in_line = |node: &OutlineNode<'_>| (node.range.start..=node.line_end).contains(&offset);
        let node = self.nodes.iter().rposition(|node| node.parent == holder && in_line(node));
        let (part, range) = if self.in_comment(offset) {
            (Part::Nothing, offset..offset)
        } else {
            node.map_or((Part::Name, offset..offset), |node| self.nodes[node].part(offset))
        };
        let node = node.filter(|_| part != Part::Nothing);
        Spot { outline: self, offset, node, holder, part, range }
    }

    fn in_comment(&self, offset: usize) -> bool {
        self.comments.iter().any(|comment| {
            let is_line = self.text[comment.start..].starts_with("//");
            offset > comment.start && (offset < comment.end || is_line && offset == comment.end)
        })
    }
}

impl<'t> OutlineNode<'t> {
    fn part(&self, offset: usize) -> (Part<'t>, Range<usize>) {
        let holds = |range: &Range<usize>| (range.start..=range.end).contains(&offset);
        if let Some(marker) = self.marker.as_ref().filter(|marker| holds(&marker.range)) {
            return (Part::Marker, marker.inside.clone());
        }
        if holds(&self.name.range) || self.name.text.is_empty() {
            let range = if holds(&self.name.range) { self.name.inside.clone() } else { offset..offset };
            return (Part::Name, range);
        }
        match self.entries.iter().position(|entry| holds(&entry.range)) {
            Some(at) => self.entries[at].part(offset, self.index_of(at)),
            // `key= value`: the space belongs to what is to come.
            None => match self.entries.iter().rfind(|entry| entry.range.end <= offset) {
                Some(Written { key: Some(key), value: None, .. }) => (Part::Value(key.text), offset..offset),
                _ => {
                    let index = self.entries.iter().take_while(|entry| entry.range.end <= offset).count();
                    (Part::Argument { index: self.index_of(index), bare: true }, offset..offset)
                }
            },
        }
    }

    /// Which argument entry number `at` is, or would be.
    fn index_of(&self, at: usize) -> usize {
        self.entries.iter().take(at).filter(|entry| entry.key.is_none() && !entry.muted).count()
    }

    /// The property that is called so; what an `allow` grants must not be taken for what a plugin's `config` calls so.
    fn prop(&self, name: &str) -> Option<&'static Prop> {
        self.spec?.props.iter().find(|prop| prop.name == name)
    }
}

impl<'t> Written<'t> {
    fn part(&self, offset: usize, index: usize) -> (Part<'t>, Range<usize>) {
        let holds = |word: &&Word<'t>| (word.range.start..=word.range.end).contains(&offset);
        let value = || match self.key.as_ref() {
            Some(key) => Part::Value(key.text),
            None => {
                let is_string = self.value.as_ref().is_some_and(|word| word.range != word.inside);
                Part::Argument { index, bare: !is_string && self.annotation.is_none() }
            }
        };
        if let Some(word) = self.value.as_ref().filter(holds) {
            return (value(), word.inside.clone());
        }
        if let Some(word) = self.annotation.as_ref().filter(holds) {
            return (Part::Kind, word.inside.clone());
        }
        match self.key.as_ref().filter(holds) {
            Some(key) => (Part::Property(key.text), key.inside.clone()),
            None => (value(), offset..offset),
        }
    }
}

impl<'o, 't> Spot<'o, 't> {
    /// What part of a line it is in.
    pub fn part(&self) -> Part<'t> {
        self.part
    }

    /// The bytes of the word in which it is, without quotes; empty where none stands.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The setting in whose line it is, as the schema knows it.
    pub fn spec(&self) -> Option<&'static NodeSpec> {
        self.written()?.spec
    }

    /// The setting's path, as `explain` takes it; `None` for what repeats, and for what the language does not have.
    pub fn path(&self) -> Option<String> {
        self.outline.path(self.node?)
    }

    /// Where the name of the setting stands.
    pub fn name(&self) -> Option<Range<usize>> {
        self.written().map(|node| node.name.range.clone())
    }

    /// The marker of the setting, `default`, `force`, …, and what it means.
    pub fn marker(&self) -> Option<(&'t str, &'static str)> {
        let marker = self.written()?.marker.as_ref()?.text;
        Some((marker, marker_doc(marker)))
    }

    /// The environment in whose block it is.
    pub fn environment(&self) -> Option<&'t str> {
        self.outline.around(self.node.or(self.holder), "environment")
    }

    /// The host in whose block it is, as it was written.
    pub fn host(&self) -> Option<&'t str> {
        self.outline.around(self.node.or(self.holder), "host")
    }

    /// The property in which it is.
    pub fn property(&self) -> Option<&'static Prop> {
        match self.part {
            Part::Property(name) | Part::Value(name) => self.written()?.prop(name),
            _ => None,
        }
    }

    pub(super) fn written(&self) -> Option<&'o OutlineNode<'t>> {
        self.node.map(|node| &self.outline.nodes[node])
    }

    /// The argument or property in which it is, as far as it is written.
    pub(super) fn entry(&self) -> Option<&'o Written<'t>> {
        let holds = |entry: &&Written<'_>| (entry.range.start..=entry.range.end).contains(&self.offset);
        self.written()?.entries.iter().find(holds)
    }

    /// The type of the value that stands or could stand here.
    pub(super) fn ty(&self) -> Option<Type> {
        let spec = self.spec()?;
        match self.part {
            Part::Argument { index, .. } => {
                let open = spec.args.last().filter(|last| matches!(last.count, Count::Many | Count::Any));
                spec.args.get(index).or(open).map(|arg| arg.ty)
            }
            Part::Value(_) => self.property().map(|prop| prop.ty),
            _ => None,
        }
    }

    /// The kind of name that stands or could stand here; `secret` only where it is written `(secret)`, or must be.
    pub(super) fn names(&self) -> Option<&'static str> {
        let (node, spec) = (self.written()?, self.spec()?);
        let is_value = matches!(self.part, Part::Argument { .. } | Part::Value(_));
        let annotation = self.entry().filter(|_| is_value).and_then(|entry| entry.annotation.as_ref());
        if let Some(annotation) = annotation {
            return (annotation.text == "secret").then_some("secret");
        }
        match (spec.name, self.part) {
            ("hook", Part::Argument { index: 0, .. }) => Some("plugin"),
            ("roles", Part::Argument { .. }) => Some("role"),
            ("use", Part::Argument { .. }) => match node.within {
                Within::Settings("service") => Some("service"),
                _ => Some("profile"),
            },
            ("allow", Part::Value("secret")) => Some("secret"),
            ("when", Part::Value(key)) => {
                ["environment", "role", "host"].into_iter().find(|name| *name == key)
            }
            (_, Part::Argument { index: 0, .. }) if names_itself(spec) => Some(spec.name),
            _ => None,
        }
    }

    /// What the word here means. `file` is this file's path from the main deployfile's folder.
    pub fn refers(&self, file: &str) -> Option<Refers> {
        if let Some(look_up) = self.look_up() {
            let name = self.outline.text.get(look_up)?;
            let variable = name.strip_prefix("vars.").filter(|variable| !variable.is_empty())?;
            return Some(Refers::Name { kind: "vars", name: variable.to_owned() });
        }
        let (node, spec) = (self.written()?, self.spec()?);
        if let (Within::Free(shape), Part::Name) = (node.within, self.part) {
            let is_variable = shape.parents.first() == Some(&"vars");
            return is_variable.then(|| Refers::Name { kind: "vars", name: node.name.text.to_owned() });
        }
        let word = self.outline.text.get(self.range()).filter(|word| !word.is_empty())?;
        if let Some(kind) = self.names() {
            return Some(Refers::Name { kind, name: word.to_owned() });
        }
        if !matches!(self.part, Part::Argument { index: 0, .. }) {
            return None;
        }
        let path = match spec.name {
            "import" => Some(files::normal(files::folder(file), word)),
            "template" => files::resolve(files::folder(file), word),
            "component" if !word.contains("://") => files::resolve("", word),
            _ => None,
        };
        path.map(Refers::File)
    }

    /// The name in a `{{ look-up }}` in which it is, with its dots; empty where one could begin.
    pub(super) fn look_up(&self) -> Option<Range<usize>> {
        let ty = self.ty().filter(Type::takes_look_ups)?;
        // The value of `(secret)` is a name.
        if self.entry().is_none_or(|entry| entry.annotation.is_some()) || ty == Type::Script {
            return None;
        }
        let text = self.outline.text;
        let before = text.get(self.range.start..self.offset)?;
        let open = before.rfind("{{").filter(|open| !before[*open..].contains("}}"))?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let typed = before.len() - before.trim_end_matches(is_name).len();
        // What stands between is white space, or it is not the name of the look-up.
        if !before[open + 2..before.len() - typed].trim().is_empty() {
            return None;
        }
        let after = text.get(self.offset..self.range.end)?;
        let rest = after.find(|c| !is_name(c)).unwrap_or(after.len());
        Some(self.offset - typed..self.offset + rest)
    }

    /// Which look-ups are known here.
    pub(super) fn position(&self) -> Option<Where> {
        let node = self.written()?;
        let parent = match node.within {
            Within::Settings(parent) => parent,
            Within::Free(shape) => shape.parents.first().copied()?,
            Within::Anything => return None,
        };
        let around =
            ["service", "app"].into_iter().find(|kind| self.outline.around(self.node, kind).is_some());
        Some(Where::of(node.spec?.name, parent, around.unwrap_or("")))
    }
}
