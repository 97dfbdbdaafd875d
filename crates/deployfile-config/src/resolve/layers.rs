//! The layers of one environment: which blocks of which files take part, in which scope, weakest first.

use super::ranges;
use crate::merge::{Block, Scope};
use crate::project::Project;
use crate::schema::{TOP, schema};
use crate::tree::{Node, Value};
use std::collections::BTreeMap;

/// One block of settings and the scope in which it stands.
pub(super) struct Layer<'p> {
    pub(super) scope: Scope<'p>,
    /// The kind of block, as the schema names parents.
    parent: &'static str,
    nodes: &'p [Node],
}

/// A `host` block.
pub(super) struct HostBlock<'p> {
    pub(super) node: &'p Node,
    pub(super) layer: Layer<'p>,
}

/// Everything that takes part in one environment.
pub(super) struct Layers<'p> {
    /// Top level, roles, environment, roles in it: this order, then order of import and text.
    shared: Vec<Layer<'p>>,
    /// Each host's blocks; ranges first.
    pub(super) hosts: BTreeMap<String, Vec<HostBlock<'p>>>,
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
    pub(super) fn of(project: &'p Project, env: &'p str) -> Self {
        let mut layers = Self { shared: Vec::new(), hosts: BTreeMap::new(), declared: Vec::new() };
        for (_, nodes) in &project.trees {
            layers.scopes(nodes, Scope::default(), TOP, env);
        }
        // The order of what repeats (rule 3), which is not the order of strength (rule 5).
        layers.shared.sort_by_key(|layer| (layer.scope.environment.is_some(), layer.scope.role.is_some()));
        for blocks in layers.hosts.values_mut() {
            blocks.sort_by_key(|block| !block.layer.scope.range);
        }
        layers
    }

    fn scopes(&mut self, nodes: &'p [Node], scope: Scope<'p>, parent: &'static str, env: &'p str) {
        self.shared.push(Layer { scope, parent, nodes });
        for node in nodes.iter().filter(|n| !n.bad) {
            let Some(name) = node.args.first().and_then(Value::text) else { continue };
            match (node.name.text.as_str(), parent) {
                ("environment", TOP) if name == env => {
                    self.declared.push(node);
                    let scope = Scope { environment: Some(name), ..scope };
                    self.scopes(node.children(), scope, "environment", env);
                }
                ("role", TOP | "environment") => {
                    let scope = Scope { role: Some(name), ..scope };
                    self.shared.push(Layer { scope, parent: "role", nodes: node.children() });
                }
                ("host", "environment") => self.host(node, name, scope),
                _ => {}
            }
        }
    }

    fn host(&mut self, node: &'p Node, written: &'p str, scope: Scope<'p>) {
        let scope = Scope { host: Some(written), range: ranges::is_range(written), ..scope };
        for name in ranges::expand(written).unwrap_or_default() {
            let layer = Layer { scope, parent: "host", nodes: node.children() };
            self.hosts.entry(name).or_default().push(HostBlock { node, layer });
        }
    }

    /// The layers below hosts that apply to a host with these roles, laid over one another.
    pub(super) fn merge(&self, part: Part, roles: &[&str]) -> Block<'p> {
        let mut block = Block::default();
        for layer in &self.shared {
            if layer.scope.role.is_none_or(|role| roles.contains(&role)) {
                layer.lay(&mut block, |node| part.holds(node));
            }
        }
        block
    }

    /// The roles in whose blocks something of this kind and name stands.
    pub(super) fn roles_around(&self, kind: &str) -> BTreeMap<&'p str, Vec<&'p str>> {
        let mut around: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for layer in &self.shared {
            let Some(role) = layer.scope.role else { continue };
            for node in layer.nodes.iter().filter(|n| n.name.text == kind && !n.bad && !removes(n)) {
                if let Some(name) = node.args.first().and_then(Value::text) {
                    around.entry(name).or_default().push(role);
                }
            }
        }
        around
    }
}

impl<'p> Layer<'p> {
    /// Lays the wanted settings of this layer over `block`. Blocks that are scopes themselves are layers of their own.
    pub(super) fn lay(&self, block: &mut Block<'p>, wanted: impl Fn(&Node) -> bool) {
        let is_setting = |node: &&'p Node| !is_scope(&node.name.text) && wanted(node);
        block.apply(self.parent, self.nodes.iter().filter(is_setting), self.scope);
    }

    /// Whether the layer sets anything besides what `ignored` names.
    pub(super) fn sets_more_than(&self, ignored: &str) -> bool {
        self.nodes.iter().any(|node| node.name.text != ignored && !node.bad)
    }
}

impl Part {
    pub(super) fn holds(self, node: &Node) -> bool {
        let host = schema().find("host", &node.name.text).is_some();
        host == (self == Part::Host)
    }
}

fn is_scope(name: &str) -> bool {
    matches!(name, "deployfile" | "import" | "role" | "environment" | "host")
}

fn removes(node: &Node) -> bool {
    node.marker.as_ref().is_some_and(|m| m.text == "remove")
}
