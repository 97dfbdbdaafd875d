//! The layers of one environment: which blocks of which files take part, and in which scope.

use super::ranges;
use crate::diagnostic::Findings;
use crate::files::matches;
use crate::merge::{Block, Scope};
use crate::project::Project;
use crate::schema::{TOP, schema};
use crate::tree::{Node, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Profiles within profiles, and services that take over services.
pub(crate) const MOST_USES: usize = 16;

/// One block of settings and the scope in which it stands.
#[derive(Clone)]
pub(super) struct Layer<'p> {
    /// What decides about strength, and what is told: of several conditions of one kind the innermost.
    pub(super) scope: Scope<'p>,
    /// The roles that a host must carry, as they are written; all of them.
    roles: Vec<&'p str>,
    /// The names that it must have, as they are written; all of them.
    hosts: Vec<&'p str>,
    /// The kind of block, as the schema names parents.
    parent: &'static str,
    nodes: &'p [Node],
}

/// Everything that takes part for one host alone.
pub(super) struct HostLayers<'p> {
    /// Where the host is first named.
    pub(super) first: &'p Node,
    pub(super) layers: Vec<Layer<'p>>,
}

/// Everything that takes part in one environment.
pub(super) struct Layers<'p> {
    shared: Vec<Layer<'p>>,
    pub(super) hosts: BTreeMap<String, HostLayers<'p>>,
    /// The environment's own nodes; none: it is not declared.
    pub(super) declared: Vec<&'p Node>,
}

/// Which settings of a layer are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Those that all hosts of an environment share.
    Environment,
    /// Those that a host can have for itself.
    Host,
}

impl<'p> Layers<'p> {
    pub(super) fn of(project: &'p Project, env: &'p str, findings: &mut Findings<'_>) -> Self {
        let mut collector = Collector { env, declared: Vec::new(), layers: Vec::new() };
        for (_, nodes) in &project.trees {
            let scope = Scope::default();
            collector.scopes(Layer { scope, roles: Vec::new(), hosts: Vec::new(), parent: TOP, nodes });
        }
        collector.profiles(project, findings);
        let Collector { declared, layers, .. } = collector;
        let (of_hosts, shared): (Vec<_>, Vec<_>) = layers.into_iter().partition(|l| l.scope.host.is_some());
        Self { shared, hosts: by_host(&declared, of_hosts), declared }
    }

    /// The layers below hosts that apply to a host with these roles, laid over one another.
    pub(super) fn merge(&self, part: Part, roles: &[&str]) -> Block<'p> {
        let mut block = Block::default();
        for layer in self.shared.iter().filter(|layer| layer.applies_to(roles)) {
            layer.lay(&mut block, |node| part.holds(node));
        }
        block
    }

    /// The services or sites that are declared in blocks of roles and nowhere above: by name, the roles of each block. What a
    /// block of a role says of something that is declared elsewhere does not keep it to that role.
    pub(super) fn roles_around(&self, kind: &str) -> BTreeMap<&'p str, Vec<&[&'p str]>> {
        let mut around: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut everywhere = BTreeSet::new();
        for layer in &self.shared {
            for node in layer.nodes.iter().filter(|n| n.name.text == kind && declares(n)) {
                let Some(name) = node.args.first().and_then(Value::text) else { continue };
                if !layer.roles.is_empty() {
                    around.entry(name).or_default().push(layer.roles.as_slice());
                } else if layer.scope.environment.is_none() {
                    everywhere.insert(name);
                }
            }
        }
        around.retain(|name, _| !everywhere.contains(name));
        around
    }
}

/// Finds the blocks of an environment, and the blocks within them that are scopes themselves.
struct Collector<'p> {
    env: &'p str,
    declared: Vec<&'p Node>,
    layers: Vec<Layer<'p>>,
}

impl<'p> Collector<'p> {
    fn scopes(&mut self, layer: Layer<'p>) {
        self.layers.push(layer.clone());
        let Layer { scope, parent, nodes, .. } = layer;
        for node in nodes.iter().filter(|n| !n.bad) {
            let kind = node.name.text.as_str();
            if kind == "when" && schema().find(parent, kind).is_some() {
                if let Some(layer) = self.conditions(node, &layer) {
                    self.scopes(layer);
                }
                continue;
            }
            let Some(name) = node.args.first().and_then(Value::text) else { continue };
            let nodes = node.children();
            match (kind, parent) {
                ("environment", TOP) if name == self.env => {
                    self.declared.push(node);
                    let scope = Scope { environment: Some(name), ..scope };
                    self.scopes(Layer { scope, parent: "environment", nodes, ..layer.clone() });
                }
                // A profile that a role or a host uses has no roles of its own: that is reported where it is used.
                ("role", TOP | "environment" | "profile") if scope.role.is_none() && scope.host.is_none() => {
                    let scope = Scope { role: Some(name), ..scope };
                    self.layers.push(Layer {
                        scope,
                        parent: "role",
                        nodes,
                        roles: vec![name],
                        ..layer.clone()
                    });
                }
                ("host", "environment") => {
                    let loose = scope.loose || ranges::is_range(name);
                    let scope = Scope { host: Some(name), loose, ..scope };
                    self.layers.push(Layer {
                        scope,
                        parent: "host",
                        nodes,
                        hosts: vec![name],
                        ..layer.clone()
                    });
                }
                _ => {}
            }
        }
    }

    /// The layer of a `when` block, whose conditions hold together with those `around` it; `None`: it is about another
    /// environment.
    fn conditions(&self, node: &'p Node, around: &Layer<'p>) -> Option<Layer<'p>> {
        let condition = |name: &str| node.prop(name).and_then(Value::text);
        let environment = condition("environment");
        if environment.is_some_and(|glob| !matches(glob, self.env)) {
            return None;
        }
        let (role, host) = (condition("role"), condition("host"));
        let loose = [environment, role, host].into_iter().flatten().any(is_glob);
        let outer = around.scope;
        let scope = Scope {
            environment: environment.or(outer.environment),
            role: role.or(outer.role),
            host: host.or(outer.host),
            loose: outer.loose || loose,
            ..outer
        };
        let with = |all: &[&'p str], one: Option<&'p str>| all.iter().copied().chain(one).collect();
        Some(Layer {
            scope,
            roles: with(&around.roles, role),
            hosts: with(&around.hosts, host),
            parent: "when",
            nodes: node.children(),
        })
    }

    /// Adds the layers of the profiles that are used: each has the conditions of its user, and is used once in one scope,
    /// however many ways lead to it. The nearest ones come first, so that a circle ends by itself.
    fn profiles(&mut self, project: &'p Project, findings: &mut Findings<'_>) {
        let mut blocks: BTreeMap<&str, Vec<&'p Node>> = BTreeMap::new();
        let all = project.trees.iter().flat_map(|(_, nodes)| nodes).filter(|n| !n.bad);
        for node in all.filter(|n| n.name.text == "profile") {
            if let Some(name) = node.args.first().and_then(Value::text) {
                blocks.entry(name).or_default().push(node);
            }
        }
        if blocks.is_empty() {
            return;
        }
        let mut taken: BTreeSet<(Conditions<'p>, &'p str)> = BTreeSet::new();
        let mut next = 0;
        while next < self.layers.len() {
            let uses = uses(&self.layers[next..], findings);
            next = self.layers.len();
            for (user, name) in uses {
                // More is refused where it is written.
                let is_deep = usize::from(user.scope.used) >= MOST_USES;
                if is_deep || !taken.insert((user.conditions(), name)) {
                    continue;
                }
                let scope = Scope { used: user.scope.used + 1, profile: Some(name), ..user.scope };
                for node in blocks.get(name).into_iter().flatten() {
                    self.scopes(Layer { scope, parent: "profile", nodes: node.children(), ..user.clone() });
                }
            }
        }
    }
}

/// What makes two scopes the same for `use`.
type Conditions<'p> = (Option<&'p str>, Vec<&'p str>, Vec<&'p str>);

/// The profiles that these layers use. The lines of one scope are one setting, wherever they are written; those of
/// different scopes do not replace one another.
fn uses<'p>(layers: &[Layer<'p>], findings: &mut Findings<'_>) -> Vec<(Layer<'p>, &'p str)> {
    let mut scopes: Vec<(Layer<'p>, Block<'p>)> = Vec::new();
    let mut known = BTreeMap::new();
    for layer in layers.iter().filter(|l| l.nodes.iter().any(|n| n.name.text == "use")) {
        let key = (layer.conditions(), layer.scope.profile);
        let n = *known.entry(key).or_insert_with(|| {
            scopes.push((layer.clone(), Block::default()));
            scopes.len() - 1
        });
        layer.lay_all(&mut scopes[n].1, |node| node.name.text == "use");
    }
    let mut uses = Vec::new();
    for (user, mut block) in scopes {
        block.settle(&path(&user.scope), findings);
        let line = block.get("use").map(|s| s.arguments()).unwrap_or_default();
        uses.extend(line.into_iter().filter_map(|value| Some((user.clone(), value.text()?))));
    }
    uses
}

/// Where a scope's own `use` stands: `environment.production`.
fn path(scope: &Scope<'_>) -> String {
    let parts = [("environment", scope.environment), ("role", scope.role), ("host", scope.host)];
    let parts = parts.into_iter().chain([("profile", scope.profile)]);
    let parts = parts.filter_map(|(kind, name)| Some(format!("{kind}.{}", name?)));
    parts.collect::<Vec<_>>().join(".")
}

/// The layers of each host that an environment declares; ranges and globs mean several.
fn by_host<'p>(declared: &[&'p Node], layers: Vec<Layer<'p>>) -> BTreeMap<String, HostLayers<'p>> {
    let mut hosts: BTreeMap<String, HostLayers<'p>> = BTreeMap::new();
    let named = declared.iter().flat_map(|env| env.children()).filter(|n| n.name.text == "host" && !n.bad);
    for node in named {
        let Some(written) = node.args.first().and_then(Value::text) else { continue };
        for name in ranges::expand(written).unwrap_or_default() {
            hosts.entry(name).or_insert_with(|| HostLayers { first: node, layers: Vec::new() });
        }
    }
    for layer in layers {
        // A name or a range stands in a block of a host; globs stand in `when`.
        let (globs, written): (Vec<&str>, Vec<&str>) = layer.hosts.iter().partition(|host| is_glob(host));
        let all_globs = |name: &str| globs.iter().all(|glob| matches(glob, name));
        let Some((first, others)) = written.split_first() else {
            let meant = hosts.iter_mut().filter(|(name, _)| all_globs(name));
            meant.for_each(|(_, host)| host.layers.push(layer.clone()));
            continue;
        };
        let names = ranges::expand(first).unwrap_or_default().into_iter();
        for name in names.filter(|name| all_globs(name) && others.iter().all(|other| other == name)) {
            if let Some(host) = hosts.get_mut(&name) {
                host.layers.push(layer.clone());
            }
        }
    }
    hosts
}

impl<'p> Layer<'p> {
    /// Lays the wanted settings of this layer over `block`. Blocks that are scopes themselves are layers of their own.
    pub(super) fn lay(&self, block: &mut Block<'p>, wanted: impl Fn(&Node) -> bool) {
        self.lay_all(block, |node| !is_scope(&node.name.text) && wanted(node));
    }

    fn lay_all(&self, block: &mut Block<'p>, wanted: impl Fn(&Node) -> bool) {
        block.apply(self.parent, self.nodes.iter().filter(|node| wanted(node)), self.scope);
    }

    /// Whether a host with these roles is meant.
    pub(super) fn applies_to(&self, roles: &[&str]) -> bool {
        carries(roles, &self.roles)
    }

    /// What tells it from every other layer. A profile's nodes are in as many layers as scopes use it.
    pub(super) fn identity(&self) -> (usize, Scope<'p>) {
        (self.nodes.as_ptr() as usize, self.scope)
    }

    fn conditions(&self) -> Conditions<'p> {
        (self.scope.environment, self.roles.clone(), self.hosts.clone())
    }

    /// Whether the layer sets anything else than these.
    pub(super) fn sets_more_than(&self, names: &[&str]) -> bool {
        self.nodes.iter().any(|node| !names.contains(&node.name.text.as_str()) && !node.bad)
    }
}

impl Part {
    pub(super) fn holds(self, node: &Node) -> bool {
        let host = schema().find("host", &node.name.text).is_some();
        host == (self == Part::Host)
    }
}

/// Whether a host with these roles carries all that are wanted, as they are written.
pub(super) fn carries(roles: &[&str], wanted: &[&str]) -> bool {
    let is_role = |written: &str, role: &str| written == role || (is_glob(written) && matches(written, role));
    wanted.iter().all(|wanted| roles.iter().any(|role| is_role(wanted, role)))
}

/// Whether a node says what a service runs, or where a site listens: other nodes of its name only tune it.
fn declares(node: &Node) -> bool {
    let says_what =
        |child: &Node| matches!(child.name.text.as_str(), "command" | "use" | "manager" | "listen");
    !node.bad && node.children().iter().any(says_what)
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// What is no setting of the block in which it stands.
fn is_scope(name: &str) -> bool {
    matches!(name, "deployfile" | "import" | "profile" | "use" | "role" | "environment" | "host" | "when")
}
