//! Hosts: their roles, and everything that applies to each.

use super::layers::{Layer, Layers, Part};
use super::line::{Line, name};
use super::{Cx, service, site, stage};
use crate::diagnostic::Findings;
use crate::lookups::Where;
use crate::merge::Block;
use crate::overrides::Overrides;
use crate::tree::{Node, Value};
use deployfile_model::spec::{Connect, Host, Link, Shared};
use deployfile_model::{EnvValue, Name, RelPath, Text};
use std::collections::BTreeMap;

/// The roles of each service or site that stands in the block of one, for the rule that it runs where that role is.
pub(super) struct Around<'p> {
    pub(super) services: BTreeMap<&'p str, Vec<&'p str>>,
    pub(super) sites: BTreeMap<&'p str, Vec<&'p str>>,
}

/// The hosts of the environment, sorted by name.
pub(super) fn hosts<'p>(cx: &mut Cx<'p, '_>, layers: &Layers<'p>, overrides: &'p Overrides) -> Vec<Host> {
    let around = Around { services: layers.roles_around("service"), sites: layers.roles_around("site") };
    let mut bases: BTreeMap<Vec<&str>, Block<'p>> = BTreeMap::new();
    // By the roles that they carry and the layers of their own.
    let mut alike: BTreeMap<(Vec<&str>, Vec<usize>), (Host, Option<Connect>)> = BTreeMap::new();
    let mut hosts = Vec::with_capacity(layers.hosts.len());
    for (written, of_host) in &layers.hosts {
        let Ok(name) = Name::new(written.as_str()) else { continue };
        let roles = roles(written, &of_host.layers, &mut cx.findings);
        let own: Vec<&Layer<'p>> = own(&of_host.layers, &roles).collect();
        let key = (roles, own.iter().map(|layer| layer.identity()).collect());
        let (host, connect) = match alike.get(&key) {
            Some(host) => host.clone(),
            None => {
                let base = bases.entry(key.0.clone()).or_insert_with(|| layers.merge(Part::Host, &key.0));
                let mut block = base.clone();
                own.iter().for_each(|layer| layer.lay(&mut block, |node| Part::Host.holds(node)));
                let host = resolve(cx, block, &name, &key.0, &around, overrides);
                alike.insert(key, host.clone());
                host
            }
        };
        let place = cx.place(of_host.first.name.at);
        let connect = connect.unwrap_or(if written == "localhost" { Connect::Local } else { Connect::Ssh });
        hosts.push(Host { name, place, connect, ..host });
    }
    hosts
}

/// The layers that make a host with these roles another one than the next.
fn own<'l, 'p>(layers: &'l [Layer<'p>], roles: &[&str]) -> impl Iterator<Item = &'l Layer<'p>> {
    layers.iter().filter(|layer| layer.sets_more_than_roles() && layer.applies_to(roles))
}

/// What is merged for a host; without one, what every host of the environment has.
pub(super) fn merged<'p>(layers: &Layers<'p>, host: Option<&str>, findings: &mut Findings<'_>) -> Block<'p> {
    let Some((name, of_host)) = host.and_then(|host| layers.hosts.get_key_value(host)) else {
        return layers.merge(Part::Host, &[]);
    };
    let roles = roles(name, &of_host.layers, findings);
    let mut block = layers.merge(Part::Host, &roles);
    of_host.layers.iter().filter(|l| l.applies_to(&roles)).for_each(|l| l.lay(&mut block, |_| true));
    block
}

/// The roles that a host carries, sorted.
fn roles<'p>(host: &str, layers: &[Layer<'p>], findings: &mut Findings<'_>) -> Vec<&'p str> {
    let mut block = Block::default();
    layers.iter().for_each(|layer| layer.lay(&mut block, |node| node.name.text == "roles"));
    block.settle(&format!("host.{host}"), findings);
    let mut roles: Vec<_> = block
        .get("roles")
        .map(|s| s.arguments())
        .unwrap_or_default()
        .iter()
        .filter_map(|v| v.text())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    roles
}

fn resolve<'p>(
    cx: &mut Cx<'p, '_>,
    mut block: Block<'p>,
    host: &Name,
    roles: &[&'p str],
    around: &Around<'p>,
    overrides: &'p Overrides,
) -> (Host, Option<Connect>) {
    block.apply("", overrides.nodes(), overrides.scope());
    block.inherit();
    block.settle("", &mut cx.findings);
    cx.who = match roles {
        [] => format!("host `{host}`"),
        roles => format!("host `{host}` ({})", roles.join(", ")),
    };
    cx.vars = block
        .get("vars")
        .map(|s| s.block.settings.keys().map(|(name, _)| (*name).to_owned()).collect())
        .unwrap_or_default();
    for (value, position) in cx.pending.clone() {
        cx.variables(value, position);
    }
    let vars = free(&block, "vars")
        .into_iter()
        .map(|(name, value)| (name.to_owned(), cx.text(value, Where::Variable)))
        .collect();
    let env = environment(cx, &block, Where::Step);
    let services = service::services(cx, &block, roles, &around.services);
    let sites = site::sites(cx, &block, roles, &around.sites);
    let host = Host {
        name: host.clone(),
        roles: roles.iter().filter_map(|r| Name::new(*r).ok()).collect(),
        connect: Connect::Local,
        vars,
        env,
        shared: shared(cx, &block),
        links: block.items("link").filter_map(|node| link(cx, node)).collect(),
        stages: stage::stages(cx, &block),
        services,
        sites,
        place: cx.place(cx.main()),
    };
    (host, connect(&block))
}

/// The free names of `env` or `vars` with their values.
fn free<'p>(block: &Block<'p>, kind: &'static str) -> Vec<(&'p str, &'p Value)> {
    let Some(setting) = block.get(kind) else { return Vec::new() };
    let entries = setting.block.settings.iter();
    entries.filter_map(|((name, _), entry)| Some((*name, entry.line()?.args.first()?))).collect()
}

/// The `env` of a block.
pub(super) fn environment<'p>(
    cx: &mut Cx<'p, '_>,
    block: &Block<'p>,
    position: Where,
) -> BTreeMap<String, EnvValue> {
    free(block, "env")
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), cx.env_value(value, position)?)))
        .collect()
}

fn shared<'p>(cx: &mut Cx<'p, '_>, block: &Block<'p>) -> Vec<Shared> {
    let Some(setting) = block.get("shared") else { return Vec::new() };
    let mut all: BTreeMap<RelPath, (Shared, &'p Node)> = BTreeMap::new();
    for item in &setting.block.items {
        let node = item.node;
        let Some(path) = node.args.first().and_then(Value::text).and_then(|p| RelPath::new(p).ok()) else {
            continue;
        };
        let directory = node.name.text == "dir";
        let mode = Line::new("shared", if directory { "dir" } else { "file" }, Some(node)).mode("mode");
        let shared = Shared { path: path.clone(), directory, mode, place: cx.place(node.name.at) };
        match all.get(&path) {
            Some((other, _)) if other.directory == directory && other.mode == mode => {}
            Some((_, other)) => twice(cx, path.as_str(), other, node),
            None => {
                all.insert(path, (shared, node));
            }
        }
    }
    all.into_values().map(|(shared, _)| shared).collect()
}

fn twice(cx: &mut Cx<'_, '_>, path: &str, first: &Node, second: &Node) {
    let related = cx.findings.related(second.name.at, second.line());
    cx.findings
        .error("config::conflict", first.name.at, format!("`{path}` is shared in two ways"))
        .label(first.line())
        .help("delete one of them")
        .related
        .push(related);
}

fn link<'p>(cx: &mut Cx<'p, '_>, node: &'p Node) -> Option<Link> {
    let at = cx.text(node.args.first()?, Where::Step);
    let to: Text = cx.text(node.prop("to")?, Where::Step);
    Some(Link { at, to, place: cx.place(node.name.at) })
}

/// How the host is reached; without a word about it this is decided by its name.
fn connect(block: &Block<'_>) -> Option<Connect> {
    let how = block.get("connect")?.line()?.args.first().and_then(name)?;
    Some(if how.as_str() == "local" { Connect::Local } else { Connect::Ssh })
}
