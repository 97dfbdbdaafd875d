//! `site`: nginx server blocks.

use super::app::{argument, place_of};
use super::service::runs_here;
use super::{Cx, not_built};
use crate::lookups::Where;
use crate::merge::{Block, Setting};
use crate::tree::Value;
use deployfile_model::site::{Handler, Location, Site};
use deployfile_model::{Name, Text};
use std::collections::BTreeMap;

/// The sites of a host with `roles`, sorted by name.
pub(super) fn sites<'p>(
    cx: &mut Cx<'p, '_>,
    block: &Block<'p>,
    roles: &[&str],
    around: &BTreeMap<&'p str, Vec<&[&'p str]>>,
) -> Vec<Site> {
    let here: BTreeMap<_, _> =
        block.named("site").filter(|(id, s)| runs_here(s, around.get(id), roles)).collect();
    not_built::collect(cx, block, &|kind, id| kind == "site" && here.contains_key(id));
    here.iter().filter_map(|(id, s)| site(cx, id, s)).collect()
}

fn site<'p>(cx: &mut Cx<'p, '_>, id: &str, setting: &Setting<'p>) -> Option<Site> {
    let block = &setting.block;
    let listen: Vec<Text> =
        block.items("listen").flat_map(|n| &n.args).map(|v| cx.text(v, Where::Step)).collect();
    if listen.is_empty() {
        let at = setting.at().unwrap_or_else(|| cx.main());
        cx.findings
            .error("config::missing", at, format!("site `{id}` has no `listen`"))
            .help("say where nginx listens: `listen \"80\"`");
    }
    let mut locations: Vec<_> = block.named("location").collect();
    locations.sort_by_key(|(_, location)| location.order());
    Some(Site {
        name: Name::new(id).ok()?,
        listen,
        server_names: list(cx, block, "server-name"),
        root: argument(setting, "root").map(|v| cx.text(v, Where::Step)),
        index: list(cx, block, "index"),
        locations: locations.into_iter().filter_map(|(_, s)| location(cx, s)).collect(),
        place: place_of(cx, setting),
    })
}

fn list<'p>(cx: &mut Cx<'p, '_>, block: &Block<'p>, name: &'static str) -> Vec<Text> {
    let values = block.get(name).map(|s| s.arguments()).unwrap_or_default();
    values.into_iter().map(|v| cx.text(v, Where::Step)).collect()
}

fn location<'p>(cx: &mut Cx<'p, '_>, setting: &Setting<'p>) -> Option<Location> {
    let pattern: &'p Value =
        setting.mentions.iter().chain(&setting.lines).find_map(|d| d.node.args.first())?;
    let answers: Vec<_> = ["proxy", "fastcgi", "static"]
        .into_iter()
        .filter_map(|name| Some((name, setting.block.get(name)?.line()?)))
        .collect();
    if let [_, (name, second), ..] = answers.as_slice() {
        cx.findings
            .error(
                "config::site",
                second.name.at,
                format!("`{name}`: something else answers in this location already"),
            )
            .help("a location has one of `proxy`, `fastcgi` and `static`");
    }
    let handler = match answers.first() {
        Some(("proxy", node)) => Handler::Proxy(cx.text(node.args.first()?, Where::Step)),
        Some(("fastcgi", node)) => Handler::Fastcgi(cx.text(node.args.first()?, Where::Step)),
        _ => Handler::Static,
    };
    Some(Location {
        pattern: cx.text(pattern, Where::Step),
        try_files: list(cx, &setting.block, "try-files"),
        handler,
        place: place_of(cx, setting),
    })
}
