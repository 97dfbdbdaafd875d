//! `plugin`: components, what they are allowed, their configuration as JSON.

use super::Cx;
use super::app::{argument, place_of};
use super::line::{Line, choose};
use crate::merge::{Block, Setting};
use crate::suggest::did_you_mean;
use crate::tree::{Data, Node, Value};
use deployfile_model::grant::{Grant, Limits, Plugin, StateScope};
use deployfile_model::{Name, RelPath};
use serde_json::{Map, Number, Value as Json};
use std::collections::{BTreeMap, BTreeSet};

const STATE: [(&str, StateScope); 3] =
    [("run", StateScope::Run), ("machine", StateScope::Machine), ("environment", StateScope::Environment)];

pub(super) fn plugins<'p>(cx: &mut Cx<'p, '_>, block: &Block<'p>) -> BTreeMap<Name, Plugin> {
    let mut plugins = BTreeMap::new();
    for (id, setting) in block.named("plugin") {
        let Ok(name) = Name::new(id) else { continue };
        if cx.remote_plugins.contains(id) {
            continue;
        }
        let Some(component) = component(cx, setting) else {
            let at = setting.at().unwrap_or_else(|| cx.main());
            cx.findings
                .error("config::missing", at, format!("plugin `{id}` has no `component`"))
                .help(format!("name its file: `component \"plugins/{id}.wasm\"`"));
            continue;
        };
        let allow = setting.block.items("allow").flat_map(|node| grants(cx, node)).collect();
        let config = setting.block.get("config").map(config).unwrap_or_default();
        let plugin = Plugin {
            name: name.clone(),
            component,
            allow,
            config,
            limits: limits(setting),
            place: place_of(cx, setting),
        };
        plugins.insert(name, plugin);
    }
    plugins
}

/// Whether a component is not a file beside the deployfile. That is not built yet.
pub(crate) fn is_remote(component: &str) -> bool {
    component.starts_with("https://") || component.starts_with("oci://")
}

/// The plugins whose component is one of those: they are no part of the rest.
pub(super) fn remote<'p>(block: &Block<'p>) -> BTreeSet<&'p str> {
    let is_remote =
        |setting: &Setting<'p>| argument(setting, "component").and_then(Value::text).is_some_and(is_remote);
    block.named("plugin").filter(|(_, setting)| is_remote(setting)).map(|(id, _)| id).collect()
}

/// The component's path, relative to the main deployfile's folder.
fn component(cx: &Cx<'_, '_>, setting: &Setting<'_>) -> Option<String> {
    let value = argument(setting, "component")?;
    let file = cx.findings.sources.name(value.at.file);
    crate::files::resolve(crate::files::folder(file), value.text()?)
}

fn limits(setting: &Setting<'_>) -> Limits {
    let line = Line::new("plugin", "limits", setting.block.get("limits").and_then(Setting::line));
    Limits { memory: line.size("memory"), time: line.duration("time") }
}

/// What one `allow` line gives.
fn grants(cx: &mut Cx<'_, '_>, node: &Node) -> Vec<Grant> {
    let line = Line::new("plugin", "allow", Some(node));
    let text = |name: &str| line.prop(name).map(Value::as_text);
    let mut grants = Vec::new();
    if let Some(url) = text("http") {
        let methods = text("methods").unwrap_or_default();
        let methods = methods.split_whitespace().map(str::to_uppercase).collect();
        grants.push(Grant::Http { url, methods, private: line.flag("private") });
    }
    if let Some(program) = text("exec") {
        grants.push(Grant::Exec { program, timeout: line.optional_duration("timeout") });
    }
    grants.extend(text("read").map(|path| Grant::Read { path }));
    grants.extend(text("write").map(|path| Grant::Write { path }));
    if let Some(value) = line.prop("secret") {
        let name = value.as_text();
        if !cx.secrets.contains(name.as_str()) {
            cx.findings
                .error(
                    "config::undeclared",
                    value.at,
                    format!("environment `{}` has no secret `{name}`", cx.environment),
                )
                .help("declare it at the top level, or in this environment too")
                .maybe_help(did_you_mean(&name, cx.secrets.iter().copied()));
        }
        grants.extend(Name::new(name).ok().map(|name| Grant::Secret { name, reveal: line.flag("reveal") }));
    }
    grants.extend(text("state").map(|word| Grant::State { scope: choose(&word, &STATE) }));
    if !node.args.is_empty() {
        grants.push(Grant::Plan);
    }
    grants
}

fn config(setting: &Setting<'_>) -> BTreeMap<String, Json> {
    let entries = setting.block.settings.iter();
    entries.map(|((name, _), entry)| ((*name).to_owned(), repeated(&entry.array()))).collect()
}

/// Nodes of one name in one block: one is its value, several are an array.
fn repeated(nodes: &[&Node]) -> Json {
    match nodes {
        [one] => of_node(one),
        many => Json::Array(many.iter().map(|node| of_node(node)).collect()),
    }
}

/// `k v` is a value, several arguments an array, properties and children an object; a bare name is true.
fn of_node(node: &Node) -> Json {
    if node.props.is_empty() && node.children.is_none() {
        return match node.args.as_slice() {
            [] => Json::Bool(true),
            [one] => json(one),
            many => Json::Array(many.iter().map(json).collect()),
        };
    }
    let mut object: Map<String, Json> =
        node.props.iter().map(|(key, value)| (key.text.clone(), json(value))).collect();
    if !node.args.is_empty() {
        object.insert("arguments".to_owned(), Json::Array(node.args.iter().map(json).collect()));
    }
    let mut children: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for child in node.children() {
        children.entry(&child.name.text).or_default().push(child);
    }
    object.extend(children.into_iter().map(|(name, nodes)| (name.to_owned(), repeated(&nodes))));
    Json::Object(object)
}

/// One value as JSON. Numbers that JSON cannot hold stay text.
pub(super) fn json(value: &Value) -> Json {
    let number = |n: Option<Number>, text: &String| n.map_or(Json::String(text.clone()), Json::Number);
    match &value.data {
        Data::Text(text) => Json::String(text.clone()),
        Data::Integer(n, text) => number(i64::try_from(*n).ok().map(Number::from), text),
        Data::Float(n, text) => number(Number::from_f64(*n), text),
        Data::Bool(value) => Json::Bool(*value),
        Data::Null => Json::Null,
    }
}

/// Whether a path of `read=` or `write=` is one: `release:`, `shared:` or `state:`, and a path beneath it or nothing.
pub(crate) fn is_granted_path(text: &str) -> bool {
    text.split_once(':').is_some_and(|(base, rest)| {
        matches!(base, "release" | "shared" | "state") && (rest.is_empty() || RelPath::new(rest).is_ok())
    })
}
