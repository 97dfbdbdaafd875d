//! How much a project asks for: what is small as text can be endless when everything in it is combined. It is counted
//! before anything is merged, and held to limits that are far beyond what is deployed.

use crate::diagnostic::Findings;
use crate::guard::TOO_LARGE;
use crate::resolve::ranges::{self, MAX_HOSTS};
use crate::sources::At;
use crate::tree::{Node, Value};

/// Tokens of the project times its environments: each environment is worked out from all of them.
const MAX_SETTINGS: usize = 1_000_000;
/// `when` blocks times hosts: each is held against each.
const MAX_CONDITIONS: usize = 4_000_000;
/// `role` blocks times the most roles that one line names: each is held against each.
const MAX_ROLES: usize = 1_000_000;
/// `service` blocks: each takes some 15 KiB until it is worked out.
const MAX_SERVICES: usize = 12_000;
/// Services times hosts: each host may run each that does not stand in another host's block.
const MAX_INSTANCES: usize = 1_000_000;

/// Says what is too much, once; `false` then. `tokens`: how many the project has.
pub(crate) fn check(trees: &[(u32, Vec<Node>)], tokens: usize, findings: &mut Findings<'_>) -> bool {
    let mut extent = Extent { tokens, ..Extent::default() };
    let beyond = trees.iter().find_map(|(_, nodes)| extent.nodes(nodes, false));
    let Some((at, message)) = beyond else { return true };
    findings
        .error(TOO_LARGE, at, message)
        .label("no further than here")
        .help("split the deployfile: what is deployed apart needs no common file");
    false
}

#[derive(Default)]
struct Extent {
    tokens: usize,
    environments: usize,
    hosts: usize,
    conditions: usize,
    services: usize,
    /// Of these, those in blocks of hosts.
    own_services: usize,
    roles: usize,
    /// The most that one `roles` names.
    carried: usize,
}

impl Extent {
    /// Where a limit is passed. Depth is limited by the guard.
    fn nodes(&mut self, nodes: &[Node], in_host: bool) -> Option<(At, String)> {
        nodes.iter().find_map(|node| {
            match node.name.text.as_str() {
                "environment" => self.environments += 1,
                "when" => self.conditions += 1,
                "service" => {
                    self.services += 1;
                    self.own_services += usize::from(in_host);
                }
                "role" => self.roles += 1,
                "roles" => self.carried = self.carried.max(node.args.len()),
                "host" => {
                    let name = node.args.first().and_then(Value::text);
                    self.hosts += name.map_or(1, |name| ranges::count(name).unwrap_or(1));
                }
                _ => {}
            }
            let in_host = in_host || node.name.text == "host";
            self.beyond()
                .map(|message| (node.name.at, message))
                .or_else(|| self.nodes(node.children(), in_host))
        })
    }

    fn beyond(&self) -> Option<String> {
        let Self { tokens, environments, hosts, conditions, services, own_services, roles, carried } = self;
        if *hosts > MAX_HOSTS {
            return Some(format!("all environments together have more than {MAX_HOSTS} hosts"));
        }
        if environments * tokens > MAX_SETTINGS {
            return Some(format!("{environments} environments are too many for a deployfile of this size"));
        }
        if conditions * hosts > MAX_CONDITIONS {
            return Some(format!("{conditions} `when` and {hosts} hosts are too many together"));
        }
        if roles * carried > MAX_ROLES {
            return Some(format!("{roles} roles are too many where {carried} are carried at once"));
        }
        if *services > MAX_SERVICES {
            return Some(format!("there are more than {MAX_SERVICES} `service` blocks"));
        }
        ((services - own_services) * hosts > MAX_INSTANCES)
            .then(|| format!("{services} services and {hosts} hosts are too many together"))
    }
}
