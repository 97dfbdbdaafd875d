//! Where every value came from: all definitions of a setting, which one won, its type, default and documentation.

use crate::merge::{Block, Definition, Setting, join};
use crate::project::Project;
use crate::resolve;
use crate::schema::{BlockKind, NodeSpec, Several, TOP, schema};
use crate::suggest::nearest;
use deployfile_model::Place;
use serde_json::{Value as Json, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Every setting of an environment that was set, by its path: `service.web.numprocs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    entries: BTreeMap<String, Entry>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value that holds, as KDL.
    pub value: String,
    /// It was set, and a `(remove)` took it away: nothing holds.
    pub removed: bool,
    /// What values it takes.
    pub ty: String,
    /// What holds when it is not set.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// All definitions, the winner first, then the stronger ones.
    pub definitions: Vec<Origin>,
}

/// One definition that took part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its value, as KDL.
    pub value: String,
    /// Where it was written.
    pub place: Place,
    /// `top level`, `role web`, `environment production`, …
    pub scope: String,
    /// `default`, `force`, `add`, `only`, `remove`.
    pub marker: Option<String>,
    /// It holds; of a `(remove)`: it took something away.
    pub wins: bool,
}

impl Provenance {
    /// The setting at exactly this path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// All settings at and beneath a path, sorted; `""` is everything.
    pub fn beneath<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        let inside = move |path: &str| {
            prefix.is_empty()
                || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry)).filter(move |(path, _)| inside(path))
    }

    /// The setting that a path names although nothing sets it: its default holds, and it has no definitions. `None` when the
    /// language has no such setting.
    pub fn unset(path: &str) -> Option<Entry> {
        let mut parts = path.split('.');
        let mut spec = schema().find(TOP, parts.next()?)?;
        loop {
            // There is one `app`, so its name is no part of a path.
            if spec.identity() > 0 && spec.name != "app" {
                parts.next()?;
            }
            let Some(name) = parts.next() else { break };
            spec = match spec.block {
                BlockKind::Settings => schema().find(spec.name, name)?,
                BlockKind::Free(_) | BlockKind::Json | BlockKind::None => return None,
            };
        }
        let is_set_as_a_whole = spec.several == Several::One;
        is_set_as_a_whole.then(|| Entry {
            value: spec.default.to_owned(),
            removed: false,
            ty: types(spec),
            default: spec.default,
            doc: spec.doc,
            definitions: Vec::new(),
        })
    }

    /// The path of a setting that is nearest to one that there is not.
    pub fn nearest(&self, path: &str) -> Option<&str> {
        nearest(path, self.entries.keys().map(String::as_str))
    }
}

/// What values a setting takes.
fn types(spec: &NodeSpec) -> String {
    let types: Vec<_> = spec.args.iter().skip(spec.identity()).map(|arg| arg.ty.what()).collect();
    types.join(", ")
}

impl Origin {
    /// What became of it, in a word.
    pub fn verdict(&self) -> &'static str {
        match (self.wins, self.marker.as_deref()) {
            (true, Some("remove")) => "removes",
            (true, _) => "wins",
            (false, _) => "overridden",
        }
    }
}

impl Entry {
    /// cli.md's document of `explain`.
    pub fn to_json(&self, path: &str) -> Json {
        let definitions: Vec<_> = self
            .definitions
            .iter()
            .map(|d| {
                json!({
                    "value": d.value,
                    "file": d.place.file,
                    "line": d.place.line,
                    "column": d.place.column,
                    "scope": d.scope,
                    "marker": d.marker,
                    "wins": d.wins,
                })
            })
            .collect();
        json!({
            "format": 1,
            "path": path,
            "value": Some(&self.value).filter(|_| !self.removed),
            "type": self.ty,
            "default": self.default,
            "doc": self.doc,
            "definitions": definitions,
        })
    }
}

pub(crate) fn of(project: &Project, env: &str, host: Option<&str>) -> Provenance {
    let mut collector = Collector { project, entries: BTreeMap::new() };
    for block in resolve::settled(project, env, host) {
        collector.block(TOP, "", &block);
    }
    Provenance { entries: collector.entries }
}

struct Collector<'p> {
    project: &'p Project,
    entries: BTreeMap<String, Entry>,
}

impl Collector<'_> {
    fn block(&mut self, parent: &str, path: &str, block: &Block<'_>) {
        for ((name, id), setting) in block.settings.iter().chain(block.removed()) {
            let path = join(path, name, id);
            self.setting(&path, setting);
            self.block(setting.spec.name, &path, &setting.block);
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for item in &block.items {
            let name = item.node.name.text.as_str();
            let count = counts.entry(name).or_default();
            *count += 1;
            let path = join(path, name, &count.to_string());
            let replaced =
                block.replaced().iter().filter(|other| *count == 1 && other.node.name.text == name);
            self.item(parent, path, item, replaced);
        }
    }

    fn setting(&mut self, path: &str, setting: &Setting<'_>) {
        let winner = setting.winner();
        if setting.lines.is_empty() && setting.gone.is_none() {
            return;
        }
        let place = |d: &Definition<'_>| self.project.sources.place(d.at());
        let wins = |d: &Definition<'_>| winner.is_some_and(|winner| std::ptr::eq(d, winner));
        let mut lines: Vec<_> = setting.lines.iter().map(|d| (wins(d) || setting.holds(d), d)).collect();
        if let Some(gone) = &setting.gone {
            lines.push((true, &gone.removal));
            lines.extend(gone.lines.iter().map(|d| (false, d)));
        }
        lines.sort_by_key(|(holds, d)| (!holds, Reverse(d.strength), d.at()));
        let shown = |d: &Definition<'_>| match d.has_marker("remove") {
            true => String::new(),
            // A line that only opens the block has no value.
            false if d.node.children.is_some() && d.node.args.len() <= setting.spec.identity() => {
                "{ … }".to_owned()
            }
            false => setting.show(d.node),
        };
        let definitions: Vec<_> =
            lines.into_iter().map(|(holds, d)| origin(d, shown(d), place(d), holds)).collect();
        let spec = setting.spec;
        let values = setting.arguments();
        let value = match winner.filter(|winner| !winner.node.props.is_empty() || values.is_empty()) {
            None => values.iter().map(|v| v.show()).collect::<Vec<_>>().join(" "),
            Some(winner) => setting.show(winner.node),
        };
        let removed = setting.lines.is_empty() && setting.mentions.is_empty();
        let entry =
            Entry { value, removed, ty: types(spec), default: spec.default, doc: spec.doc, definitions };
        self.entries.insert(path.to_owned(), entry);
    }

    /// `replaced`: what an `(only)` put this in the place of.
    fn item<'d, 'p: 'd>(
        &mut self,
        parent: &str,
        path: String,
        item: &Definition<'_>,
        replaced: impl Iterator<Item = &'d Definition<'p>>,
    ) {
        let value = |d: &Definition<'_>| {
            let line = d.node.line();
            line.split_once(' ').map_or("", |(_, rest)| rest).to_owned()
        };
        let place = |d: &Definition<'_>| self.project.sources.place(d.at());
        let mut definitions = vec![origin(item, value(item), place(item), true)];
        definitions.extend(replaced.map(|d| origin(d, value(d), place(d), false)));
        let spec = schema().find(parent, &item.node.name.text);
        let entry = Entry {
            value: value(item),
            removed: false,
            ty: spec.map_or_else(String::new, types),
            default: spec.map_or("", |s| s.default),
            doc: spec.map_or("", |s| s.doc),
            definitions,
        };
        self.entries.insert(path, entry);
    }
}

fn origin(d: &Definition<'_>, value: String, place: Place, wins: bool) -> Origin {
    let marker = d.node.marker.as_ref().map(|m| m.text.clone());
    Origin { value, place, scope: d.scope.describe(), marker, wins }
}
