//! A file as far as it is written, for editors: what stands at a place of it, and what may be written there.
//!
//! Editors ask about text that is being typed, which no parser takes. So the outline is made of the lexer's tokens, in
//! one pass that never fails: what is not closed ends where the text ends, what is not KDL is a word. It knows names,
//! places and the schema; whether a file is right is told by [`crate::load`] alone.

mod offer;
mod read;
mod spot;
#[cfg(test)]
mod tests;

pub use offer::{Offer, OfferKind, Piece};
pub use spot::{Part, Refers, Spot};

use crate::files::{self, Files};
use crate::merge::join;
use crate::schema::{BlockKind, NodeSpec, Several, Type};
use std::collections::BTreeSet;
use std::ops::Range;

/// Blocks that say where a setting holds, and are no part of its path.
const SCOPES: [&str; 5] = ["role", "environment", "host", "profile", "when"];

/// What is written in a file. All ranges are bytes of its text.
#[derive(Debug)]
pub struct Outline<'t> {
    text: &'t str,
    /// In the order of the text, so that a block's nodes follow the node that has the block.
    nodes: Vec<OutlineNode<'t>>,
    comments: Vec<Range<usize>>,
}

/// A setting as far as it is written.
#[derive(Debug)]
pub struct OutlineNode<'t> {
    /// From its marker or name to the end of its line, or of its block.
    pub range: Range<usize>,
    /// Its name; empty while there is only a marker.
    pub name: Word<'t>,
    /// What the schema says of it.
    pub spec: Option<&'static NodeSpec>,
    /// Behind `/-`, or in a block that is: it says nothing.
    pub muted: bool,
    /// Its block is behind `/-`.
    block_muted: bool,
    marker: Option<Word<'t>>,
    entries: Vec<Written<'t>>,
    /// Where its line ends: at the end of the line of text, at `;`, or where its block begins.
    line_end: usize,
    /// Between its braces.
    block: Option<Range<usize>>,
    /// The node in whose block it stands.
    parent: Option<usize>,
    within: Within,
}

/// A word or a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<'t> {
    /// With its quotes.
    pub range: Range<usize>,
    /// What is between the quotes, or the word; escapes are left as they are.
    pub text: &'t str,
    /// Where `text` is.
    pub inside: Range<usize>,
}

/// An argument or a property as far as it is written.
#[derive(Debug)]
struct Written<'t> {
    range: Range<usize>,
    annotation: Option<Word<'t>>,
    key: Option<Word<'t>>,
    value: Option<Word<'t>>,
    muted: bool,
}

/// In what kind of block a node stands.
#[derive(Debug, Clone, Copy)]
enum Within {
    /// In one of settings, named as the schema names parents.
    Settings(&'static str),
    /// In one of free names, each with this shape.
    Free(&'static NodeSpec),
    /// In what becomes JSON, or in a block that the schema does not know.
    Anything,
}

/// A name that is given to something: a service, a role, a variable…
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared<'t> {
    /// The setting that declares it, as `service`; `vars` for a variable.
    pub kind: &'static str,
    /// The name.
    pub name: &'t str,
    /// Where the name stands.
    pub range: Range<usize>,
    /// The whole declaration.
    pub node: Range<usize>,
}

impl<'t> Outline<'t> {
    /// Reads a text, whatever it is.
    pub fn of(text: &'t str) -> Self {
        let (nodes, comments) = read::nodes(text);
        Self { text, nodes, comments }
    }

    /// It says `deployfile 1`, so it is a main file, and not only a part of one.
    pub fn has_header(&self) -> bool {
        self.nodes.iter().any(|node| node.parent.is_none() && !node.muted && node.name.text == "deployfile")
    }

    /// The settings in the block of `parent`, or at the top level, by their numbers; those behind `/-` are left out.
    pub fn beneath(&self, parent: Option<usize>) -> impl Iterator<Item = (usize, &OutlineNode<'t>)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(move |(_, node)| node.parent == parent && !node.muted && !node.name.text.is_empty())
    }

    /// Every name that the file declares.
    pub fn declared(&self) -> impl Iterator<Item = Declared<'t>> {
        self.nodes
            .iter()
            .filter(|node| !node.muted)
            .filter_map(|node| {
                if let Within::Free(shape) = node.within {
                    let (kind, name) = (*shape.parents.first()?, node.name.clone());
                    return (kind == "vars").then_some((kind, name, node));
                }
                let spec = node.spec.filter(|spec| names_itself(spec))?;
                Some((spec.name, node.argument(0)?.clone(), node))
            })
            .map(|(kind, name, node)| Declared {
                kind,
                name: name.text,
                range: name.range,
                node: node.range.clone(),
            })
    }

    /// The names of one kind that could be meant, except what is being written at byte `except`. A role exists by being
    /// carried too.
    pub fn names(&self, kind: &str, except: Option<usize>) -> BTreeSet<String> {
        let is_other = |range: &Range<usize>| except.is_none_or(|at| at < range.start || at > range.end);
        let declared = self.declared().filter(|one| one.kind == kind && is_other(&one.range));
        let mut names: BTreeSet<String> = declared.map(|one| one.name.to_owned()).collect();
        if kind == "role" {
            let lines = self.nodes.iter().filter(|node| node.name.text == "roles" && !node.muted);
            let carried = lines.flat_map(OutlineNode::arguments).filter_map(|one| one.value.as_ref());
            names.extend(carried.filter(|word| is_other(&word.range)).map(|word| word.text.to_owned()));
        }
        names.remove("");
        names
    }

    /// The path of a setting, as `explain` takes it; `None` for what repeats, and for what the language does not have.
    fn path(&self, node: usize) -> Option<String> {
        let mut parts = Vec::new();
        let mut next = Some(node);
        while let Some(at) = next {
            let node = &self.nodes[at];
            match (node.within, node.spec) {
                (Within::Free(_), _) => parts.push((node.name.text, "")),
                (_, Some(spec)) if SCOPES.contains(&spec.name) && !parts.is_empty() => {}
                (_, Some(spec)) if spec.several == Several::Repeats => return None,
                (_, Some(spec)) if spec.identity() > 0 => parts.push((spec.name, node.argument(0)?.text)),
                (_, Some(spec)) => parts.push((spec.name, "")),
                (_, None) => return None,
            }
            next = node.parent;
        }
        Some(parts.iter().rev().fold(String::new(), |path, (name, id)| join(&path, name, id)))
    }

    /// The name of the nearest block of this kind around a node, or of the node itself.
    fn around(&self, node: Option<usize>, kind: &str) -> Option<&'t str> {
        let mut next = node;
        while let Some(at) = next {
            let node = &self.nodes[at];
            if node.spec.is_some_and(|spec| spec.name == kind) {
                return node.argument(0).map(|word| word.text);
            }
            next = node.parent;
        }
        None
    }
}

impl<'t> OutlineNode<'t> {
    /// What stands at argument `n`.
    pub fn argument(&self, n: usize) -> Option<&Word<'t>> {
        self.arguments().nth(n)?.value.as_ref()
    }

    /// It has a block.
    pub fn has_block(&self) -> bool {
        self.block.is_some()
    }

    /// Its line, without its block.
    pub fn line(&self) -> Range<usize> {
        self.range.start..self.line_end
    }

    fn arguments(&self) -> impl Iterator<Item = &Written<'t>> {
        self.entries.iter().filter(|entry| entry.key.is_none() && !entry.muted)
    }

    /// The kind of block that it has.
    fn holds(&self) -> Within {
        match (self.within, self.spec.map(|spec| spec.block)) {
            (Within::Settings(_), Some(BlockKind::Settings)) => {
                Within::Settings(self.spec.map_or("", |spec| spec.name))
            }
            (Within::Settings(_), Some(BlockKind::Free(shape))) => Within::Free(shape),
            _ => Within::Anything,
        }
    }
}

/// Its first argument is a name that others may use.
fn names_itself(spec: &NodeSpec) -> bool {
    let first = spec.args.first().map(|arg| arg.ty);
    spec.several == Several::Named && matches!(first, Some(Type::Name | Type::HostRange))
}

/// The files that a path with `*` and `?` in its last part means, sorted; without these, the path itself.
pub fn files_meant(files: &dyn Files, path: &str) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if !name.contains(['*', '?']) {
        return vec![path.to_owned()];
    }
    let mut names = files.list(folder).unwrap_or_default();
    names.retain(|other| files::matches(name, other));
    names.sort();
    names.into_iter().map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") }).collect()
}
