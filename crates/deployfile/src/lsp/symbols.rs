//! The settings of a document as a tree: what has a name or a block.

use super::position::Lines;
use super::view::View;
use deployfile_config::{Outline, OutlineNode, Several};
use lsp_types::{DocumentSymbol, SymbolKind};

/// Blocks within blocks that are shown. Every one takes two levels of JSON, of which clients do not read many.
const DEPTH: usize = 16;

pub(super) fn of(view: &View<'_>) -> Vec<DocumentSymbol> {
    let outline = Outline::of(view.text());
    beneath(&outline, None, &view.lines(), DEPTH)
}

fn beneath(
    outline: &Outline<'_>,
    parent: Option<usize>,
    lines: &Lines<'_>,
    depth: usize,
) -> Vec<DocumentSymbol> {
    if depth == 0 {
        return Vec::new();
    }
    let nodes = outline.beneath(parent).filter(|(_, node)| node.has_block() || is_named(node));
    nodes.map(|(at, node)| symbol(node, beneath(outline, Some(at), lines, depth - 1), lines)).collect()
}

fn is_named(node: &OutlineNode<'_>) -> bool {
    node.spec.is_some_and(|spec| spec.several == Several::Named)
}

fn symbol(node: &OutlineNode<'_>, children: Vec<DocumentSymbol>, lines: &Lines<'_>) -> DocumentSymbol {
    let argument = node.argument(0).filter(|_| is_named(node)).filter(|word| !word.text.is_empty());
    let name = argument.map_or(node.name.text, |word| word.text);
    let detail = argument.map(|_| node.name.text.to_owned());
    let kind = match node.name.text {
        "service" | "task" => SymbolKind::FUNCTION,
        "environment" | "role" | "profile" | "when" => SymbolKind::NAMESPACE,
        "host" => SymbolKind::OBJECT,
        "plugin" => SymbolKind::MODULE,
        "secret" => SymbolKind::KEY,
        _ => SymbolKind::PROPERTY,
    };
    let word = argument.unwrap_or(&node.name);
    #[allow(deprecated, reason = "the field must be given")]
    DocumentSymbol {
        name: name.to_owned(),
        detail,
        kind,
        tags: None,
        deprecated: None,
        range: lines.range(node.range.clone()),
        selection_range: lines.range(word.range.clone()),
        children: Some(children).filter(|children| !children.is_empty()),
    }
}
