//! `stage`: what the file puts into the stages of a run.

use super::line::{Line, name};
use super::{Cx, plugin};
use crate::files;
use crate::lookups::Where;
use crate::merge::Block;
use crate::tree::{Node, Value};
use deployfile_model::stage::{HookUse, Item, OnError, Run, Script, StageSpec, TemplateFile, TemplateKind};
use deployfile_model::{EnvValue, Name, Stage};
use std::collections::BTreeMap;

const KINDS: [(&str, TemplateKind); 8] = [
    ("text", TemplateKind::Text),
    ("ini", TemplateKind::Ini),
    ("json", TemplateKind::Json),
    ("env", TemplateKind::Env),
    ("nginx", TemplateKind::Nginx),
    ("supervisor", TemplateKind::Supervisor),
    ("systemd", TemplateKind::Systemd),
    ("sh", TemplateKind::Sh),
];

/// What a file that holds a secret may let anybody do: its owner reads and writes.
const SECRET_MODE: u32 = 0o600;

const ON_ERROR: [(&str, OnError); 2] = [("fail", OnError::Fail), ("warn", OnError::Warn)];

pub(super) fn stages<'p>(cx: &mut Cx<'p, '_>, block: &Block<'p>) -> BTreeMap<Stage, StageSpec> {
    let mut stages = BTreeMap::new();
    for (id, setting) in block.named("stage") {
        let Some(stage) = Stage::parse(id) else { continue };
        let mut phase = |block: Option<&Block<'p>>| -> Vec<Item> {
            let items = block.into_iter().flat_map(|b| &b.items);
            items.filter_map(|definition| item(cx, definition.node)).collect()
        };
        let before = phase(setting.block.get("before").map(|s| &s.block));
        let main = phase(Some(&setting.block));
        let after = phase(setting.block.get("after").map(|s| &s.block));
        stages.insert(stage, StageSpec { before, main, after });
    }
    stages
}

/// The plugins that a stage's hooks name.
pub(super) fn hooks(stage: &StageSpec) -> impl Iterator<Item = &Name> {
    stage.before.iter().chain(&stage.main).chain(&stage.after).filter_map(|item| match item {
        Item::Hook(hook) => Some(&hook.plugin),
        _ => None,
    })
}

fn item<'p>(cx: &mut Cx<'p, '_>, node: &'p Node) -> Option<Item> {
    let place = cx.place(node.name.at);
    let line =
        Line::new(if node.name.text == "hook" { "before" } else { "stage" }, &node.name.text, Some(node));
    Some(match node.name.text.as_str() {
        "run" => {
            let argv = node.args.iter().map(|value| cx.text(value, Where::Step)).collect();
            Item::Run(Run { argv, timeout: line.duration("timeout"), place })
        }
        "sh" => {
            let text = node.args.first()?.text()?.to_owned();
            Item::Sh(Script { text, timeout: line.duration("timeout"), place })
        }
        "template" => Item::Template(template(cx, node, line)?),
        _ if node.args.first().and_then(Value::text).is_some_and(|p| cx.remote_plugins.contains(p)) => {
            return None;
        }
        _ => Item::Hook(HookUse {
            plugin: used(cx, node.args.first()?)?,
            on_error: line.word("on-error", &ON_ERROR),
            once: line.flag("once"),
            config: overlay(node),
            place,
        }),
    })
}

/// The plugin of a hook, which the environment must have.
fn used(cx: &mut Cx<'_, '_>, value: &Value) -> Option<Name> {
    let plugin = name(value)?;
    if !cx.plugins.contains(plugin.as_str()) {
        cx.findings
            .error(
                "config::undeclared",
                value.at,
                format!("environment `{}` has no plugin `{plugin}`", cx.environment),
            )
            .help("declare it at the top level, or in this environment too");
    }
    Some(plugin)
}

/// The properties of a hook that are its plugin's.
fn overlay(node: &Node) -> BTreeMap<String, serde_json::Value> {
    let own = |key: &str| matches!(key, "on-error" | "once");
    let props = node.props.iter().filter(|(key, _)| !own(&key.text));
    props.map(|(key, value)| (key.text.clone(), plugin::json(value))).collect()
}

fn template<'p>(cx: &mut Cx<'p, '_>, node: &'p Node, line: Line<'p>) -> Option<TemplateFile> {
    let value = node.args.first()?;
    let source = value.text()?.to_owned();
    let file = cx.findings.sources.name(value.at.file);
    let path = files::resolve(files::folder(file), &source)?;
    // A template that could not be read was reported when the deployfile was loaded.
    let content = cx.project.templates.get(&path)?.clone();
    let to = cx.text(line.prop("to")?, Where::Step);
    let kind = line.word("kind", &KINDS);
    let (env, mode) = (template_env(cx, node, kind), line.mode("mode")?);
    let mut file = TemplateFile { source, content, to, kind, mode, env, place: cx.place(node.name.at) };
    if file.secrets().next().is_some() {
        match line.prop("mode").filter(|_| mode & !SECRET_MODE != 0) {
            Some(value) => {
                let message = format!("a file with secrets is for its owner only, not {mode:04o}");
                cx.findings
                    .error("config::secret", value.at, message)
                    .help("leave `mode` out: it is \"0600\" then");
            }
            None => file.mode &= SECRET_MODE,
        }
    }
    Some(file)
}

/// The lines that a template of kind `env` ends with.
fn template_env<'p>(cx: &mut Cx<'p, '_>, node: &'p Node, kind: TemplateKind) -> BTreeMap<String, EnvValue> {
    let Some(block) = node.children().iter().find(|child| child.name.text == "env") else {
        return BTreeMap::new();
    };
    if kind != TemplateKind::Env {
        cx.findings
            .error("config::misplaced", block.name.at, "only a template of `kind=env` has an `env` block")
            .help("say `kind=env`; other programs' files get secrets from the environment of a service");
    }
    let lines = block.children().iter().filter(|line| !line.bad);
    lines
        .filter_map(|line| {
            if let Some(marker) = &line.marker {
                cx.findings
                    .error(
                        "config::marker",
                        marker.at,
                        "markers are for what is merged, and a template's `env` is not",
                    )
                    .help("leave it out");
            }
            let value = cx.env_value(line.args.first()?, Where::Step)?;
            Some((line.name.text.clone(), value))
        })
        .collect()
}
