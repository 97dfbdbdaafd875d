//! `--set vars.NAME=VALUE`: values of the command line, which beat all. They become nodes of a made-up file `--set`,
//! one line each, so that they merge and are reported like any other.

use crate::diagnostic::Findings;
use crate::merge::Scope;
use crate::sources::{At, Sources};
use crate::suggest::did_you_mean;
use crate::tree::{Data, Node, Value, Word};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) struct Overrides {
    /// One `vars` node.
    vars: Node,
    /// Keys that are no variables.
    refused: Vec<Word>,
    given: BTreeMap<String, String>,
}

impl Overrides {
    pub(crate) fn new(given: &BTreeMap<String, String>, sources: &mut Sources) -> Self {
        let lines: Vec<_> = given
            .iter()
            .map(|(key, value)| format!("{}={}", key.escape_debug(), value.escape_debug()))
            .collect();
        let file = sources.add("--set", lines.join("\n"));
        let whole = At { file, offset: 0, len: 1 };
        let mut vars = node(Word { text: "vars".to_owned(), at: whole }, None);
        let (mut children, mut refused, mut offset) = (Vec::new(), Vec::new(), 0);
        for ((key, value), line) in given.iter().zip(&lines) {
            let at = At { file, offset, len: line.len() as u32 };
            offset += line.len() as u32 + 1;
            match key.strip_prefix("vars.") {
                Some(name) => children.push(node(Word { text: name.to_owned(), at }, Some(value))),
                None => refused.push(Word { text: key.clone(), at }),
            }
        }
        vars.children = Some(children);
        Self { vars, refused, given: given.clone() }
    }

    /// Says which keys name no variable of the deployfile.
    pub(crate) fn check(&self, declared: &BTreeSet<String>, findings: &mut Findings<'_>) {
        for key in &self.refused {
            findings
                .error(
                    "config::override",
                    key.at,
                    format!("`--set {}` names no variable", key.text.escape_debug()),
                )
                .help("variables are set as `--set vars.NAME=VALUE`");
        }
        for child in self.vars.children() {
            let name = &child.name.text;
            if !declared.contains(name) {
                findings
                    .error(
                        "config::undeclared",
                        child.name.at,
                        format!("there is no variable `{}`", name.escape_debug()),
                    )
                    .help("declare it with the value it has without `--set`: `vars { NAME VALUE; }`")
                    .maybe_help(did_you_mean(name, declared.iter().map(String::as_str)));
            }
        }
    }

    /// The nodes that merge at the top level.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        std::iter::once(&self.vars).filter(|vars| !vars.children().is_empty())
    }

    pub(crate) fn scope(&self) -> Scope<'static> {
        Scope { command_line: true, ..Scope::default() }
    }

    /// What was given, for the release's manifest.
    pub(crate) fn taken(&self) -> BTreeMap<String, String> {
        self.given.clone()
    }
}

fn node(name: Word, value: Option<&String>) -> Node {
    let at = name.at;
    let args = value.map(|text| Value { kind: None, data: Data::Text(text.clone()), at });
    Node {
        marker: None,
        name,
        args: args.into_iter().collect(),
        props: Vec::new(),
        children: None,
        bad: false,
    }
}
