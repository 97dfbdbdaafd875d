//! Hosts: their roles, and everything that applies to each.

use super::layers::{Layer, Layers, Part};
use super::line::{Line, name};
use super::{Cx, not_built, service, site, stage};
use crate::diagnostic::Findings;
use crate::lookups::Where;
use crate::merge::{Block, Scope};
use crate::overrides::Overrides;
use crate::tree::{Data, Node, Value};
use deployfile_model::site::Site;
use deployfile_model::spec::{Connect, Host, Link, Shared, Variable, VariableKind};
use deployfile_model::stage::StageSpec;
use deployfile_model::{EnvValue, Name, RelPath, Service, Stage, Text};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The roles of each service or site that stands in the block of one, for the rule that it runs where that role is.
pub(super) struct Around<'l, 'p> {
    pub(super) services: BTreeMap<&'p str, Vec<&'l [&'p str]>>,
    pub(super) sites: BTreeMap<&'p str, Vec<&'l [&'p str]>>,
}

/// What a host can have for itself without being another one in anything else, but for the variables that there are.
const LIGHT: [&str; 3] = ["vars", "env", "connect"];

/// What may stand in a host's own block for that.
const OWN: [&str; 5] = ["vars", "env", "connect", "roles", "use"];

/// What hosts of the same roles start from.
struct Base<'p> {
    roles: Vec<Name>,
    /// [`LIGHT`] of it, undecided.
    light: Block<'p>,
    /// And all the rest.
    heavy: Block<'p>,
    /// What was worked out for such hosts: by their own blocks that say more than [`OWN`], and by their variables.
    rests: BTreeMap<RestKey<'p>, Rest>,
}

type RestKey<'p> = (Vec<(usize, Scope<'p>)>, BTreeSet<String>);

/// What hosts share.
#[derive(Clone)]
struct Rest {
    shared: Arc<Vec<Shared>>,
    links: Arc<Vec<Link>>,
    stages: Arc<BTreeMap<Stage, StageSpec>>,
    services: Arc<Vec<Service>>,
    sites: Arc<Vec<Site>>,
}

/// The hosts of the environment, sorted by name.
pub(super) fn hosts<'p>(cx: &mut Cx<'p, '_>, layers: &Layers<'p>, overrides: &'p Overrides) -> Vec<Host> {
    let around = Around { services: layers.roles_around("service"), sites: layers.roles_around("site") };
    let mut bases: BTreeMap<Vec<&str>, Base<'p>> = BTreeMap::new();
    let mut hosts = Vec::with_capacity(layers.hosts.len());
    for (written, of_host) in &layers.hosts {
        let Ok(name) = Name::new(written.as_str()) else { continue };
        let roles = roles(&of_host.layers, &mut cx.findings);
        let own: Vec<&Layer<'p>> = of_host.layers.iter().filter(|layer| layer.applies_to(&roles)).collect();
        let base = bases.entry(roles.clone()).or_insert_with(|| Base::new(layers, &roles));
        cx.who = match roles.as_slice() {
            [] => format!("host `{name}`"),
            roles => format!("host `{name}` ({})", roles.join(", ")),
        };
        let mut light = base.light.clone();
        own.iter().for_each(|layer| layer.lay(&mut light, is_light));
        light.apply("", overrides.nodes(), overrides.scope());
        light.settle("", &mut cx.findings);
        not_built::collect(cx, &light, &|kind, _| kind == "connect");
        cx.vars = free(&light, "vars").into_iter().map(|(name, _)| name.to_owned()).collect();
        let heavy: Vec<&Layer<'p>> = own.into_iter().filter(|layer| layer.sets_more_than(&OWN)).collect();
        let key = (heavy.iter().map(|layer| layer.identity()).collect(), cx.vars.clone());
        let rest = match base.rests.get(&key) {
            Some(rest) => rest.clone(),
            None => {
                let mut block = base.heavy.clone();
                let is_heavy = |node: &Node| Part::Host.holds(node) && !is_light(node);
                heavy.iter().for_each(|layer| layer.lay(&mut block, is_heavy));
                let rest = rest(cx, block, &roles, &around);
                base.rests.insert(key, rest.clone());
                rest
            }
        };
        let vars = variables(cx, &light);
        let Rest { shared, links, stages, services, sites } = rest;
        hosts.push(Host {
            connect: connect(&light, written),
            roles: base.roles.clone(),
            vars,
            env: environment(cx, &light, Where::Step),
            shared,
            links,
            stages,
            services,
            sites,
            place: cx.place(of_host.first.name.at),
            name,
        });
    }
    hosts
}

fn is_light(node: &Node) -> bool {
    LIGHT.contains(&node.name.text.as_str())
}

impl<'p> Base<'p> {
    fn new(layers: &Layers<'p>, roles: &[&str]) -> Self {
        let mut heavy = layers.merge(Part::Host, roles);
        let light = heavy.split_off(&LIGHT);
        let roles = roles.iter().filter_map(|role| Name::new(*role).ok()).collect();
        Self { roles, light, heavy, rests: BTreeMap::new() }
    }
}

/// What is merged for a host; without one, what every host of the environment has.
pub(super) fn merged<'p>(layers: &Layers<'p>, host: Option<&str>, findings: &mut Findings<'_>) -> Block<'p> {
    let Some(of_host) = host.and_then(|host| layers.hosts.get(host)) else {
        return layers.merge(Part::Host, &[]);
    };
    let roles = roles(&of_host.layers, findings);
    let mut block = layers.merge(Part::Host, &roles);
    of_host
        .layers
        .iter()
        .filter(|l| l.applies_to(&roles))
        .for_each(|l| l.lay(&mut block, |node| Part::Host.holds(node)));
    block
}

/// The roles that a host carries, sorted.
fn roles<'p>(layers: &[Layer<'p>], findings: &mut Findings<'_>) -> Vec<&'p str> {
    let mut block = Block::default();
    layers.iter().for_each(|layer| layer.lay(&mut block, |node| node.name.text == "roles"));
    block.settle("", findings);
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

fn rest<'p>(cx: &mut Cx<'p, '_>, mut block: Block<'p>, roles: &[&'p str], around: &Around<'_, 'p>) -> Rest {
    block.inherit();
    block.settle("", &mut cx.findings);
    for (value, position) in cx.pending.clone() {
        cx.variables(value, position);
    }
    not_built::collect(cx, &block, &|kind, _| !matches!(kind, "service" | "site"));
    Rest {
        services: Arc::new(service::services(cx, &block, roles, &around.services)),
        sites: Arc::new(site::sites(cx, &block, roles, &around.sites)),
        shared: Arc::new(shared(cx, &block)),
        links: Arc::new(links(cx, &block)),
        stages: Arc::new(stage::stages(cx, &block)),
    }
}

/// The free names of `env` or `vars` with their values.
fn free<'p>(block: &Block<'p>, kind: &'static str) -> Vec<(&'p str, &'p Value)> {
    let Some(setting) = block.get(kind) else { return Vec::new() };
    let entries = setting.block.settings.iter();
    entries.filter_map(|((name, _), entry)| Some((*name, entry.line()?.args.first()?))).collect()
}

fn variables<'p>(cx: &mut Cx<'p, '_>, block: &Block<'p>) -> BTreeMap<String, Variable> {
    let Some(setting) = block.get("vars") else { return BTreeMap::new() };
    let entries = setting.block.settings.iter();
    let mut variables = BTreeMap::new();
    for ((name, _), entry) in entries {
        let Some(value) = entry.line().and_then(|node| node.args.first()) else { continue };
        // What `--set` gives is text; it is what the file says that the variable is.
        let written = entry.line_of_the_file().and_then(|node| node.args.first()).unwrap_or(value);
        let kind = kind(written);
        if kind != VariableKind::Text && !fits(&value.as_text(), kind) {
            cx.findings
                .error(
                    "config::override",
                    value.at,
                    format!(
                        "`vars.{name}` is {}, which `{}` is not",
                        written.what(),
                        value.as_text().escape_debug()
                    ),
                )
                .help(format!("the file says {}", written.show()));
        }
        let text = cx.text(value, Where::Variable);
        variables.insert((*name).to_owned(), Variable { text, kind });
    }
    variables
}

fn kind(value: &Value) -> VariableKind {
    match &value.data {
        Data::Bool(_) => VariableKind::Flag,
        Data::Integer(n, written) if n.to_string() == *written && i64::try_from(*n).is_ok() => {
            VariableKind::Whole
        }
        _ => VariableKind::Text,
    }
}

fn fits(text: &str, kind: VariableKind) -> bool {
    match kind {
        VariableKind::Text => true,
        VariableKind::Whole => text.parse::<i64>().is_ok(),
        VariableKind::Flag => text.parse::<bool>().is_ok(),
    }
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

/// At one path there is one link, and what is shared is one already.
fn links<'p>(cx: &mut Cx<'p, '_>, block: &Block<'p>) -> Vec<Link> {
    let shared =
        block.get("shared").into_iter().flat_map(|setting| &setting.block.items).map(|item| item.node);
    let mut taken: BTreeMap<String, &'p Node> = BTreeMap::new();
    taken.extend(shared.filter_map(|node| Some((node.args.first()?.as_text(), node))));
    for node in block.items("link") {
        let Some(at) = node.args.first() else { continue };
        match taken.insert(at.as_text(), node) {
            Some(other) if other.line() != node.line() => {
                let related = cx.findings.related(other.name.at, other.line());
                cx.findings
                    .error(
                        "config::conflict",
                        node.name.at,
                        format!("`{}` is two things", at.as_text().escape_debug()),
                    )
                    .label(node.line())
                    .help("delete one of them")
                    .related
                    .push(related);
            }
            _ => {}
        }
    }
    block.items("link").filter_map(|node| link(cx, node)).collect()
}

fn link<'p>(cx: &mut Cx<'p, '_>, node: &'p Node) -> Option<Link> {
    let at = cx.text(node.args.first()?, Where::Step);
    let to: Text = cx.text(node.prop("to")?, Where::Step);
    Some(Link { at, to, place: cx.place(node.name.at) })
}

/// How the host is reached; without a word about it this is decided by its name.
fn connect(block: &Block<'_>, host: &str) -> Connect {
    let how = block.get("connect").and_then(|setting| setting.line()?.args.first().and_then(name));
    match how {
        Some(how) if how.as_str() == "local" => Connect::Local,
        None if host == "localhost" => Connect::Local,
        _ => Connect::Ssh,
    }
}
