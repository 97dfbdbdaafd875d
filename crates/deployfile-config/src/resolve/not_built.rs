//! What an environment asks for whose machinery is not built yet: it is checked and explained, and `apply` refuses it by
//! name.

use super::Cx;
use super::plugin::is_remote;
use crate::merge::{Block, Setting, join};
use crate::schema::{NodeSpec, schema};
use crate::sources::At;
use crate::tree::Node;

/// Looks through a settled block. `is_there`: whether a named setting takes part on the hosts at hand.
pub(super) fn collect(cx: &mut Cx<'_, '_>, block: &Block<'_>, is_there: &dyn Fn(&str, &str) -> bool) {
    of_block(cx, block, "", "", is_there);
}

fn of_block(
    cx: &mut Cx<'_, '_>,
    block: &Block<'_>,
    parent: &str,
    path: &str,
    is_there: &dyn Fn(&str, &str) -> bool,
) {
    for ((name, id), setting) in block.settings.iter().filter(|((name, id), _)| is_there(name, id)) {
        let path = join(&written_in(path, setting), name, id);
        if setting.spec.built {
            if let Some(node) = setting.line() {
                of_line(cx, node, setting.spec, &path);
            }
            of_block(cx, &setting.block, setting.spec.name, &path, &|_, _| true);
        } else if let Some(at) = at(setting) {
            cx.not_built(path, at);
        }
    }
    for item in &block.items {
        let Some(spec) = schema().find(parent, &item.node.name.text) else { continue };
        let path = join(path, spec.name, "");
        match spec.built {
            true => of_line(cx, item.node, spec, &path),
            false => cx.not_built(path, item.at()),
        }
    }
}

/// What a service took over is named as it was written: by the service that says it.
fn written_in(path: &str, setting: &Setting<'_>) -> String {
    let definition = setting.winner().or(setting.mentions.first());
    match definition.and_then(|d| d.scope.base).filter(|_| path.starts_with("service.")) {
        Some(base) => format!("service.{base}"),
        None => path.to_owned(),
    }
}

/// The line that holds, or where the block is first opened.
fn at(setting: &Setting<'_>) -> Option<At> {
    setting.line().map(|node| node.name.at).or_else(|| setting.at())
}

fn of_line(cx: &mut Cx<'_, '_>, node: &Node, spec: &NodeSpec, path: &str) {
    for (_, value) in spec.args.iter().zip(&node.args).filter(|(arg, value)| arg.ty.is_not_built(value)) {
        cx.not_built(format!("{path} {}", value.as_text()), value.at);
    }
    if let Some(value) =
        node.args.first().filter(|v| spec.name == "component" && v.text().is_some_and(is_remote))
    {
        cx.not_built(format!("{path} {}", value.as_text()), value.at);
    }
    for (key, _) in &node.props {
        if spec.props.iter().any(|prop| prop.name == key.text && !prop.built) {
            cx.not_built(format!("{path} {}=", key.text), key.at);
        }
    }
}
