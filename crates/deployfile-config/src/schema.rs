//! The one table of settings: validation, did-you-mean, completions, `explain`, `schema --format json|md` and the
//! reference chapter all read it. The rows are in [`table`]; how the table is printed is in [`print`].

mod print;
mod table;
mod types;

pub use types::Type;
pub(crate) use types::{is_variable, shape};

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The settings of the language.
#[derive(Debug)]
pub struct Schema {
    nodes: Vec<&'static NodeSpec>,
    /// By where it stands and its name.
    index: BTreeMap<(&'static str, &'static str), &'static NodeSpec>,
    /// By its name alone, for hints.
    names: BTreeMap<&'static str, Vec<&'static NodeSpec>>,
}

/// The top level, as a parent.
pub const TOP: &str = "";

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct NodeSpec {
    /// Its name; `*` for the free names of a block.
    pub name: &'static str,
    /// The blocks in which it may stand; [`TOP`] is the top level.
    pub parents: &'static [&'static str],
    /// How several of it relate.
    pub several: Several,
    /// Its arguments, in order.
    pub args: &'static [Arg],
    /// Its properties.
    pub props: &'static [Prop],
    /// Properties of any other name are taken too.
    pub free_props: bool,
    /// What may stand in its block.
    pub block: BlockKind,
    /// What holds when it is not set, as KDL or words.
    pub default: &'static str,
    /// What it does; one or two sentences.
    pub doc: &'static str,
    /// How it is written, as it would stand in its first parent.
    pub example: &'static str,
    /// `false`: it is part of the language, and `apply` refuses it by name: its machinery is not built yet.
    pub built: bool,
}

/// How several nodes of one name relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Several {
    /// A line replaces a line, a block merges with a block.
    One,
    /// As [`Several::One`], told apart by the first argument.
    Named,
    /// Each one adds.
    Repeats,
}

/// What a block holds.
#[derive(Debug, Clone, Copy)]
pub enum BlockKind {
    /// There is no block.
    None,
    /// Settings that name this one as their parent.
    Settings,
    /// Free names, each with this shape.
    Free(&'static NodeSpec),
    /// Anything: it becomes JSON.
    Json,
}

/// One argument.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// What it is called in messages and documentation.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// How often it stands.
    pub count: Count,
}

/// How often an argument stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Once.
    One,
    /// Once or not at all.
    Optional,
    /// Once or more; the last argument only.
    Many,
    /// Any number of times; the last argument only.
    Any,
}

/// One property.
#[derive(Debug, Clone, Copy)]
pub struct Prop {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// It must be given.
    pub required: bool,
    /// What holds without it.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// `false`: as for [`NodeSpec::built`].
    pub built: bool,
}

/// The schema of the language.
pub fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let nodes: Vec<&'static NodeSpec> = table::all().collect();
        let mut index = BTreeMap::new();
        let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for node in &nodes {
            names.entry(node.name).or_default().push(*node);
            index.extend(node.parents.iter().map(|parent| ((*parent, node.name), *node)));
        }
        Schema { nodes, index, names }
    })
}

impl Schema {
    /// Every setting, in the order of the reference.
    pub fn nodes(&self) -> impl Iterator<Item = &'static NodeSpec> {
        self.nodes.iter().copied()
    }

    /// The setting `name` in the block of `parent`.
    pub fn find(&self, parent: &str, name: &str) -> Option<&'static NodeSpec> {
        self.index.get(&(parent, name)).copied()
    }

    /// All settings of this name, wherever they stand.
    pub fn named(&self, name: &str) -> &[&'static NodeSpec] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }

    /// The settings that may stand in the block of `parent`.
    pub fn within(&self, parent: &str) -> impl Iterator<Item = &'static NodeSpec> {
        self.nodes.iter().copied().filter(move |node| node.parents.contains(&parent))
    }
}

impl NodeSpec {
    /// How many arguments name it and are no part of its line.
    pub(crate) fn identity(&self) -> usize {
        usize::from(self.several == Several::Named)
    }

    /// Its only value is a flag: the bare name means `#true`.
    pub(crate) fn is_flag(&self) -> bool {
        matches!(self.args, [Arg { ty: Type::Flag, count: Count::Optional, .. }])
    }

    /// Its line is a list, to which `(add)` can append.
    pub fn is_list(&self) -> bool {
        self.several != Several::Repeats
            && self.args.last().is_some_and(|arg| matches!(arg.count, Count::Many | Count::Any))
    }
}

// The rows are written with these, so that a row says only what is special about it.

const fn node(name: &'static str, parents: &'static [&'static str], doc: &'static str) -> NodeSpec {
    NodeSpec {
        name,
        parents,
        several: Several::One,
        args: &[],
        props: &[],
        free_props: false,
        block: BlockKind::None,
        default: "",
        doc,
        example: "",
        built: true,
    }
}

impl NodeSpec {
    const fn args(self, args: &'static [Arg]) -> Self {
        Self { args, ..self }
    }
    const fn props(self, props: &'static [Prop]) -> Self {
        Self { props, ..self }
    }
    const fn free_props(self) -> Self {
        Self { free_props: true, ..self }
    }
    const fn named(self) -> Self {
        Self { several: Several::Named, ..self }
    }
    const fn repeats(self) -> Self {
        Self { several: Several::Repeats, ..self }
    }
    const fn block(self) -> Self {
        Self { block: BlockKind::Settings, ..self }
    }
    const fn free(self, entry: &'static NodeSpec) -> Self {
        Self { block: BlockKind::Free(entry), ..self }
    }
    const fn json(self) -> Self {
        Self { block: BlockKind::Json, ..self }
    }
    const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }
    const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }
    const fn planned(self) -> Self {
        Self { built: false, ..self }
    }
}

const fn arg(name: &'static str, ty: Type) -> Arg {
    Arg { name, ty, count: Count::One }
}

impl Arg {
    const fn optional(self) -> Self {
        Self { count: Count::Optional, ..self }
    }
    const fn many(self) -> Self {
        Self { count: Count::Many, ..self }
    }
    const fn any(self) -> Self {
        Self { count: Count::Any, ..self }
    }
}

const fn prop(name: &'static str, ty: Type, default: &'static str, doc: &'static str) -> Prop {
    Prop { name, ty, required: false, default, doc, built: true }
}

impl Prop {
    const fn required(self) -> Self {
        Self { required: true, ..self }
    }
    const fn planned(self) -> Self {
        Self { built: false, ..self }
    }
}
