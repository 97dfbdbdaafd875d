//! The schema for programs (JSON) and for the reference chapter (Markdown).

use super::{BlockKind, Count, NodeSpec, Prop, Schema, Several, TOP};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Said of a setting whose machinery is missing.
const NOT_BUILT: &str = "**Not built yet**: checked and explained, and `apply` refuses it by name.";

impl Schema {
    /// `schema --format json`.
    pub fn to_json(&self) -> Value {
        json!({"format": 1, "settings": self.nodes().map(node).collect::<Vec<_>>()})
    }

    /// `schema --format md`: the reference chapter.
    pub fn to_markdown(&self) -> String {
        let mut out = String::from("# Settings\n");
        let blocks = [TOP].into_iter().chain(self.nodes().filter(|n| n.has_block()).map(|n| n.name));
        let mut seen = Vec::new();
        for block in blocks {
            if seen.contains(&block) {
                continue;
            }
            seen.push(block);
            let rows: Vec<_> = self.within(block).filter(|n| n.parents.first() == Some(&block)).collect();
            if !rows.is_empty() {
                let title = if block == TOP { "Top level".to_owned() } else { format!("In `{block}`") };
                // Writing to a string does not fail.
                let _ = write!(out, "\n## {title}\n");
                rows.iter().for_each(|n| section(&mut out, n));
            }
        }
        out
    }
}

impl NodeSpec {
    fn has_block(&self) -> bool {
        !matches!(self.block, BlockKind::None)
    }

    /// `name ARGUMENT key=value { … }`
    fn usage(&self) -> String {
        let args = self.args.iter().map(|arg| {
            let name = arg.name.to_uppercase();
            match arg.count {
                Count::One => name,
                Count::Optional => format!("[{name}]"),
                Count::Many => format!("{name}…"),
                Count::Any => format!("[{name}…]"),
            }
        });
        let props = self.props.iter().map(|p| format!("[{}=…]", p.name));
        let block = self.has_block().then(|| "{ … }".to_owned());
        let parts: Vec<_> =
            std::iter::once(self.name.to_owned()).chain(args).chain(props).chain(block).collect();
        parts.join(" ")
    }
}

fn place(parent: &str) -> String {
    if parent == TOP { "top level".to_owned() } else { format!("`{parent}`") }
}

fn section(out: &mut String, node: &NodeSpec) {
    let doc = if node.built { node.doc.to_owned() } else { format!("{} {NOT_BUILT}", node.doc) };
    let places: Vec<_> = node.parents.iter().map(|p| place(p)).collect();
    let _ = write!(out, "\n### `{}`\n\n```text\n{}\n```\n\n{}\n\n", node.name, node.usage(), doc);
    let _ = writeln!(out, "- stands in: {}", places.join(", "));
    for arg in node.args {
        let not_built = match arg.ty.planned() {
            [] => String::new(),
            words => format!(
                " (not built yet: {})",
                words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
            ),
        };
        let _ = writeln!(out, "- {}: {}{not_built}", arg.name.to_uppercase(), arg.ty.what());
    }
    let _ = writeln!(out, "- default: {}", node.default);
    if node.several == Several::Repeats {
        let _ = writeln!(out, "- each one adds");
    }
    if let BlockKind::Free(entry) = node.block {
        let values: Vec<_> = entry.args.iter().map(|a| a.ty.what()).collect();
        let _ = writeln!(out, "- each name in it takes {}", values.join(", "));
    }
    for prop in node.props {
        let not_built = if prop.built || !node.built { "" } else { " Not built yet." };
        let (ty, default) = (prop.ty.what(), default(prop));
        let _ = writeln!(out, "- `{}=`: {} ({ty}{default}){not_built}", prop.name, prop.doc);
    }
    let _ = write!(out, "\n```kdl,fragment\n{}\n```\n", node.example);
}

fn default(prop: &Prop) -> String {
    match prop.default {
        "" if prop.required => "; required".to_owned(),
        "" => String::new(),
        default => format!("; default {default}"),
    }
}

fn node(node: &'static NodeSpec) -> Value {
    let count = |c: Count| match c {
        Count::One => "one",
        Count::Optional => "optional",
        Count::Many => "many",
        Count::Any => "any",
    };
    let args: Vec<_> = node
        .args
        .iter()
        .map(|a| json!({"name": a.name, "type": a.ty.what(), "count": count(a.count)}))
        .collect();
    let props: Vec<_> = node
        .props
        .iter()
        .map(|p| {
            json!({"name": p.name, "type": p.ty.what(), "required": p.required, "default": p.default, "doc": p.doc, "built": p.built})
        })
        .collect();
    let several = match node.several {
        Several::One => "one",
        Several::Named => "named",
        Several::Repeats => "repeats",
    };
    let block = match node.block {
        BlockKind::None => Value::Null,
        BlockKind::Settings => json!("settings"),
        BlockKind::Free(entry) => {
            json!({"names": entry.args.iter().map(|a| a.ty.what()).collect::<Vec<_>>()})
        }
        BlockKind::Json => json!("json"),
    };
    json!({
        "name": node.name,
        "parents": node.parents,
        "several": several,
        "arguments": args,
        "properties": props,
        "free_properties": node.free_props,
        "block": block,
        "default": node.default,
        "doc": node.doc,
        "example": node.example,
        "built": node.built,
    })
}
