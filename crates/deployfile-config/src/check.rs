//! A file's tree held against the schema: names, places, markers, arguments, properties, types, repetitions.
//!
//! A node whose own line is wrong is marked bad and takes no part in merging; what stands in its block is still looked
//! at, so that all mistakes are said in one run. What one value means for another is [`crate::references`] and
//! [`crate::resolve`].

use crate::diagnostic::Findings;
use crate::schema::{Arg, BlockKind, Count, NodeSpec, Several, TOP, schema};
use crate::sources::At;
use crate::suggest::{did_you_mean, nearest};
use crate::tree::{Node, Value, Word};
use std::collections::{BTreeMap, BTreeSet};

/// The five markers.
pub(crate) const MARKERS: [&str; 5] = ["default", "force", "add", "only", "remove"];

/// Holds the nodes of a file against the schema.
pub(crate) fn check(nodes: &mut [Node], findings: &mut Findings<'_>) {
    settings(nodes, TOP, findings);
}

fn settings(nodes: &mut [Node], parent: &'static str, findings: &mut Findings<'_>) {
    for node in nodes.iter_mut() {
        match schema().find(parent, &node.name.text) {
            Some(spec) => setting(node, spec, findings),
            None => {
                node.bad = true;
                unknown(node, parent, findings);
            }
        }
    }
    repeated(nodes, parent, findings);
}

fn setting(node: &mut Node, spec: &'static NodeSpec, findings: &mut Findings<'_>) {
    let before = findings.said();
    marker(node, spec, findings);
    let removes = node.marker.as_ref().is_some_and(|m| m.text == "remove");
    arguments(node, spec, removes, findings);
    properties(node, spec, findings);
    node.bad = findings.said() > before;
    let Some(children) = &mut node.children else { return };
    match spec.block {
        BlockKind::Settings => settings(children, spec.name, findings),
        BlockKind::Free(entry) => free(children, spec, entry, findings),
        BlockKind::Json => json(children, findings),
        BlockKind::None => {
            node.bad = true;
            findings
                .error("config::misplaced", node.name.at, format!("`{}` has no block", spec.name))
                .help(format!("it is written like this: `{}`", spec.example));
        }
    }
}

fn unknown(node: &Node, parent: &'static str, findings: &mut Findings<'_>) {
    let (name, at) = (node.name.text.as_str(), node.name.at);
    let elsewhere = schema().named(name);
    let inside = place_name(parent);
    if !elsewhere.is_empty() {
        findings
            .error("config::misplaced", at, format!("`{name}` may not stand {inside}"))
            .help(format!("it may stand {}", places(name)));
        return;
    }
    let here = schema().within(parent).map(|s| s.name);
    let all = schema().nodes().filter(|s| s.name != "*").map(|s| s.name);
    let help = did_you_mean(name, here)
        .or_else(|| nearest(name, all).map(elsewhere_hint))
        .unwrap_or_else(|| known(parent));
    findings.error("config::unknown-node", at, format!("there is no setting `{name}` {inside}")).help(help);
}

fn elsewhere_hint(name: &str) -> String {
    format!("did you mean `{name}`? It stands {}", places(name))
}

/// `at the top level, in `role` or `host``
fn places(name: &str) -> String {
    let parents: Vec<&str> = schema().named(name).iter().flat_map(|s| s.parents).copied().collect();
    let blocks: Vec<_> = parents.iter().filter(|p| **p != TOP).map(|p| format!("`{p}`")).collect();
    let blocks = match blocks.split_last() {
        None => None,
        Some((last, [])) => Some(format!("in {last}")),
        Some((last, first)) => Some(format!("in {} or {last}", first.join(", "))),
    };
    let top = parents.contains(&TOP).then(|| place_name(TOP));
    top.into_iter().chain(blocks).collect::<Vec<_>>().join(" or ")
}

fn place_name(parent: &str) -> String {
    if parent == TOP { "at the top level".to_owned() } else { format!("in `{parent}`") }
}

fn known(parent: &str) -> String {
    let names: Vec<_> = schema().within(parent).map(|s| format!("`{}`", s.name)).collect();
    format!("known here: {}", names.join(", "))
}

fn marker(node: &Node, spec: &NodeSpec, findings: &mut Findings<'_>) {
    let Some(marker) = &node.marker else { return };
    let name = marker.text.as_str();
    let scope =
        matches!(spec.name, "role" | "environment" | "host" | "deployfile" | "import" | "profile" | "when");
    let why = match name {
        _ if !MARKERS.contains(&name) => {
            findings
                .error("config::marker", marker.at, format!("there is no marker `({name})`"))
                .help("the markers are `(default)`, `(force)`, `(add)`, `(only)` and `(remove)`")
                .maybe_help(did_you_mean(name, MARKERS.into_iter()));
            return;
        }
        _ if scope => format!("`{}` takes no marker", spec.name),
        "add" if !spec.is_list() => format!("`(add)` appends to a list, and `{}` is none", spec.name),
        "only" if spec.several != Several::Repeats => {
            format!("`(only)` is for settings that repeat, and `{}` does not", spec.name)
        }
        "default" | "force" | "remove" if spec.several == Several::Repeats => {
            format!("`{}` repeats: `({name})` does not go with it, `(only)` does", spec.name)
        }
        "remove" if node.children.is_some() => "what is removed has no block".to_owned(),
        _ => return,
    };
    findings.error("config::marker", marker.at, why);
}

fn arguments(node: &Node, spec: &NodeSpec, removes: bool, findings: &mut Findings<'_>) {
    let name = &node.name.text;
    let least = spec.args.iter().filter(|a| matches!(a.count, Count::One | Count::Many)).count();
    let open = spec.args.last().is_some_and(|a| matches!(a.count, Count::Many | Count::Any));
    // A block may be opened, and a setting removed, without saying its line again.
    let opens = node.children.is_some() && spec.several != Several::Repeats;
    let name_alone = (removes || opens) && node.args.len() == spec.identity();
    if node.args.len() < least && !name_alone {
        let missing = spec.args.get(node.args.len()).map_or("argument", |a| a.name);
        findings
            .error("config::arguments", node.name.at, format!("`{name}` needs its {missing}"))
            .help(format!("it is written like this: `{}`", spec.example));
    }
    if let Some(extra) = node.args.get(spec.args.len()).filter(|_| !open) {
        let takes = match spec.args.len() {
            0 => "no value".to_owned(),
            1 => "one value".to_owned(),
            n => format!("{n} values"),
        };
        findings
            .error("config::arguments", extra.at, format!("`{name}` takes {takes}"))
            .label("one too many")
            .help(format!("it is written like this: `{}`", spec.example));
    }
    let spec_of = |i: usize| -> Option<&Arg> { spec.args.get(i).or(spec.args.last().filter(|_| open)) };
    for (i, value) in node.args.iter().enumerate() {
        let Some(arg) = spec_of(i) else { continue };
        let what = match spec.args.len() {
            1 => format!("`{name}`"),
            _ => format!("the {} of `{name}`", arg.name),
        };
        typed(&arg.ty, value, &what, findings);
    }
}

fn properties(node: &Node, spec: &NodeSpec, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for (key, value) in &node.props {
        if !seen.insert(key.text.as_str()) {
            findings.error("config::duplicate", key.at, format!("`{}=` stands twice in one line", key.text));
        }
        match spec.props.iter().find(|p| p.name == key.text) {
            Some(prop) => {
                typed(&prop.ty, value, &format!("`{}=` of `{}`", key.text, spec.name), findings);
            }
            None if spec.free_props => {}
            None => unknown_property(key, spec, findings),
        }
    }
    for prop in spec.props.iter().filter(|p| p.required && node.prop(p.name).is_none()) {
        if node.marker.as_ref().is_some_and(|m| m.text == "remove") {
            continue;
        }
        findings
            .error("config::arguments", node.name.at, format!("`{}` needs `{}=`", spec.name, prop.name))
            .help(format!("it is written like this: `{}`", spec.example));
    }
}

fn unknown_property(key: &Word, spec: &NodeSpec, findings: &mut Findings<'_>) {
    let names: Vec<_> = spec.props.iter().map(|p| p.name).collect();
    let child = schema().find(spec.name, &key.text).is_some();
    let help = if child {
        format!("it stands in the block: `{} {{ {} …; }}`", spec.name, key.text)
    } else if names.is_empty() {
        format!("`{}` has none; it is written like this: `{}`", spec.name, spec.example)
    } else {
        let known: Vec<_> = names.iter().map(|n| format!("`{n}=`")).collect();
        did_you_mean(&key.text, names.iter().copied()).unwrap_or(format!("known here: {}", known.join(", ")))
    };
    findings
        .error("config::unknown-property", key.at, format!("`{}` has no property `{}`", spec.name, key.text))
        .help(help);
}

fn typed(ty: &crate::schema::Type, value: &Value, what: &str, findings: &mut Findings<'_>) {
    if let Err(problem) = ty.check(value) {
        let message = format!("{what}: {}", problem.message);
        let diagnostic = findings.error(problem.code, value.at, message).maybe_help(problem.help);
        if value.is_secret() {
            // The line may hold the secret itself.
            diagnostic.source_line.clear();
        }
    }
}

/// The free names of `env` and `vars`.
fn free(nodes: &mut [Node], spec: &NodeSpec, entry: &'static NodeSpec, findings: &mut Findings<'_>) {
    for node in nodes.iter_mut() {
        let before = findings.said();
        let (name, at) = (node.name.text.clone(), node.name.at);
        match spec.name {
            "env" if !crate::schema::is_variable(&name) => {
                findings
                    .error(
                        "config::value",
                        at,
                        format!("`{name}` is not the name of an environment variable"),
                    )
                    .help("letters, digits and `_`, not beginning with a digit");
            }
            "env" if name.starts_with("DEPLOY_") => {
                findings
                    .error("config::value", at, format!("`{name}` is set by deployfile itself"))
                    .help("names that begin with `DEPLOY_` are its own; choose another one");
            }
            "vars" if !is_snake_case(&name) => {
                let snake = name.to_lowercase().replace(['-', '.'], "_");
                let d = findings.error("config::value", at, format!("`{name}` is not a name for a variable"));
                d.help("names are snake_case: lower-case letters, digits and `_`");
                if is_snake_case(&snake) {
                    d.help(format!(
                        "write `{snake}`: names are snake_case, and `-` in a look-up is a subtraction"
                    ));
                }
            }
            _ => {}
        }
        marker(node, entry, findings);
        let removes = node.marker.as_ref().is_some_and(|m| m.text == "remove");
        if node.args.is_empty() && !removes {
            findings.error("config::arguments", at, format!("`{name}` needs its value"));
        }
        arguments(node, entry, true, findings);
        properties(node, entry, findings);
        if node.children.is_some() {
            findings.error("config::misplaced", at, format!("`{name}` has no block"));
        }
        node.bad = findings.said() > before;
    }
    duplicates(nodes, |node| Some((node.name.text.clone(), String::new())), findings);
}

fn is_snake_case(name: &str) -> bool {
    name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// What becomes JSON: anything goes but annotations on values.
fn json(nodes: &mut [Node], findings: &mut Findings<'_>) {
    for node in nodes.iter_mut() {
        let before = findings.said();
        for value in node.args.iter().chain(node.props.iter().map(|(_, value)| value)) {
            typed(&crate::schema::Type::Any, value, &format!("`{}`", node.name.text), findings);
        }
        if let Some(marker) =
            node.marker.as_ref().filter(|m| !["default", "force", "remove"].contains(&m.text.as_str()))
        {
            findings.error(
                "config::marker",
                marker.at,
                format!("`({})` does not go with a key of `config`", marker.text),
            );
        }
        node.bad = findings.said() > before;
        if let Some(children) = &mut node.children {
            json(children, findings);
        }
    }
}

/// The same setting twice in one block of one file: a paste mistake.
fn repeated(nodes: &mut [Node], parent: &'static str, findings: &mut Findings<'_>) {
    duplicates(
        nodes,
        |node| {
            let spec = schema().find(parent, &node.name.text)?;
            let adds = node.marker.as_ref().is_some_and(|m| m.text == "add");
            if spec.several == Several::Repeats || adds || node.bad {
                return None;
            }
            let id = if spec.identity() > 0 { node.args.first()?.as_text() } else { String::new() };
            Some((node.name.text.clone(), id))
        },
        findings,
    );
}

/// The second one takes no part in merging: it would be reported once more, as a conflict.
fn duplicates(
    nodes: &mut [Node],
    key: impl Fn(&Node) -> Option<(String, String)>,
    findings: &mut Findings<'_>,
) {
    let mut seen: BTreeMap<(String, String), At> = BTreeMap::new();
    for node in nodes {
        let Some(key) = key(node) else { continue };
        let Some(first) = seen.get(&key) else {
            seen.insert(key, node.name.at);
            continue;
        };
        node.bad = true;
        let what = format!("{} {}", key.0, key.1);
        let first = findings.related(*first, "first here");
        findings
            .error(
                "config::duplicate",
                node.name.at,
                format!("`{}` stands twice in one block", what.trim_end()),
            )
            .label("and again here")
            .help("delete one, or put both into one")
            .related
            .push(first);
    }
}
