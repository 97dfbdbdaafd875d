//! Blocks that say where settings apply: `when` and its conditions, profiles and where they are used.

use super::undeclared;
use crate::diagnostic::Findings;
use crate::files::matches;
use crate::project::Project;
use crate::resolve::{MOST_USES, ranges};
use crate::schema::{TOP, schema};
use crate::tree::{Node, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What applies to all hosts of an environment alike can stand only where the hosts are not told apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hosts {
    All,
    Some,
}

/// A profile, by all blocks of its name.
#[derive(Default)]
struct Profile<'p> {
    blocks: Vec<&'p Node>,
    is_used: bool,
}

/// `complete`: every file could be read, so a name that is not declared is a mistake.
pub(super) fn check(project: &Project, complete: bool, findings: &mut Findings<'_>) {
    let mut profiles: BTreeMap<&str, Profile<'_>> = BTreeMap::new();
    for node in project.trees.iter().flat_map(|(_, nodes)| nodes) {
        if let (true, Some(name)) = (node.name.text == "profile", first_name(node)) {
            profiles.entry(name).or_default().blocks.push(node);
        }
    }
    let services = project.first_arguments("service");
    let mut scopes = Scopes { profiles, services, complete, findings };
    for (_, nodes) in &project.trees {
        scopes.block(nodes, TOP, Hosts::All);
    }
    let Scopes { profiles, .. } = scopes;
    names_of_environments(project, findings);
    if complete {
        unused(&profiles, findings);
        conditions_that_never_hold(project, findings);
    }
}

struct Scopes<'p, 'f, 's> {
    profiles: BTreeMap<&'p str, Profile<'p>>,
    services: BTreeSet<String>,
    complete: bool,
    findings: &'f mut Findings<'s>,
}

impl<'p> Scopes<'p, '_, '_> {
    fn block(&mut self, nodes: &'p [Node], parent: &str, hosts: Hosts) {
        for node in nodes {
            let kind = node.name.text.as_str();
            match kind {
                "when" => {
                    let names_some = ["role", "host"].iter().any(|key| node.prop(key).is_some());
                    let hosts = if names_some { Hosts::Some } else { hosts };
                    if !node.bad {
                        self.when(node, parent);
                    }
                    self.block(node.children(), kind, hosts);
                }
                "role" | "host" => self.block(node.children(), kind, Hosts::Some),
                "environment" => self.block(node.children(), kind, Hosts::All),
                // What it may hold depends on who uses it.
                "profile" => self.block(node.children(), kind, Hosts::All),
                "use" if !node.bad => self.uses(node, hosts),
                "service" => {
                    node.children().iter().filter(|n| n.name.text == "use").for_each(|n| self.bases(n));
                }
                _ if parent == "when" && hosts == Hosts::Some && is_of_all_hosts(kind) => {
                    self.findings
                        .error(
                            "config::misplaced",
                            node.name.at,
                            format!("all hosts share `{kind}`, and this `when` is about some of them"),
                        )
                        .help("set it at the top level, in an environment, or in `when environment=…`");
                }
                _ => {}
            }
        }
    }

    fn when(&mut self, node: &Node, parent: &str) {
        if node.props.is_empty() {
            self.findings
                .error("config::arguments", node.name.at, "`when` has no condition")
                .help("give it one or more of `environment=`, `role=` and `host=`");
        }
        if let Some((key, _)) = node.props.iter().find(|(key, _)| key.text == "environment")
            && parent == "environment"
        {
            self.findings
                .error("config::misplaced", key.at, "this `when` stands in an environment already")
                .help("leave `environment=` out, or write the block at the top level");
        }
    }

    /// `use` of profiles.
    fn uses(&mut self, node: &'p Node, hosts: Hosts) {
        for value in &node.args {
            let Some(name) = value.text() else { continue };
            if !self.profiles.contains_key(name) {
                if self.complete {
                    let known = self.profiles.keys().map(|name| (*name).to_owned()).collect();
                    let help = match self.services.contains(name) {
                        true => "it is a service: services are used by services",
                        false => "declare it: `profile NAME { … }`",
                    };
                    undeclared("profile", value, &known, help, self.findings);
                }
                continue;
            }
            self.mark(name);
            if self.is_too_deep(name) {
                self.findings
                    .error(
                        "config::profile",
                        value.at,
                        format!("profile `{name}` uses profiles more than {MOST_USES} deep"),
                    )
                    .help("use one of them directly");
            }
            if hosts == Hosts::Some
                && let Some(inside) = self.of_all_hosts(name)
            {
                let what = inside.name.text.clone();
                let related = self.findings.related(inside.name.at, "here");
                self.findings
                    .error(
                        "config::profile",
                        value.at,
                        format!("profile `{name}` holds `{what}`, and is used for some of the hosts only"),
                    )
                    .help("use it at the top level or in an environment, or move that setting out of it")
                    .related
                    .push(related);
            }
        }
    }

    /// This profile is used, and those that it uses.
    fn mark(&mut self, name: &str) {
        let mut open = vec![name.to_owned()];
        while let Some(name) = open.pop() {
            let Some(profile) = self.profiles.get_mut(name.as_str()).filter(|p| !p.is_used) else { continue };
            profile.is_used = true;
            open.extend(profile.blocks.iter().flat_map(|node| used_in(node)));
        }
    }

    /// A setting that all hosts share, or a role of its own, in a profile or in those that it uses.
    fn of_all_hosts(&self, name: &str) -> Option<&'p Node> {
        let (mut open, mut seen) = (vec![name.to_owned()], BTreeSet::new());
        while let Some(name) = open.pop() {
            let Some(profile) = self.profiles.get(name.as_str()).filter(|_| seen.insert(name.clone())) else {
                continue;
            };
            for node in profile.blocks.iter().flat_map(|block| held(block)) {
                if node.name.text == "role" || is_of_all_hosts(&node.name.text) {
                    return Some(node);
                }
            }
            open.extend(profile.blocks.iter().flat_map(|block| used_in(block)));
        }
        None
    }

    /// Whether a chain of more than [`MOST_USES`] profiles begins with this one. A circle is none.
    fn is_too_deep(&self, name: &str) -> bool {
        let (mut seen, mut level) = (BTreeSet::new(), BTreeSet::from([name.to_owned()]));
        for _ in 0..MOST_USES {
            seen.extend(level.iter().cloned());
            let blocks = level.iter().filter_map(|name| self.profiles.get(name.as_str()));
            let next: BTreeSet<String> =
                blocks.flat_map(|profile| &profile.blocks).flat_map(|block| used_in(block)).collect();
            level = next.into_iter().filter(|name| !seen.contains(name)).collect();
        }
        !level.is_empty()
    }

    /// `use` of services.
    fn bases(&mut self, node: &Node) {
        for value in node.args.iter().filter(|_| self.complete && !node.bad) {
            let help = match value.text().is_some_and(|name| self.profiles.contains_key(name)) {
                true => "it is a profile: profiles are used outside of services",
                false => "declare it: `service NAME { abstract; … }`",
            };
            undeclared("service", value, &self.services, help, self.findings);
        }
    }
}

/// The settings of a profile's block, and of `when` in it.
fn held(profile: &Node) -> impl Iterator<Item = &Node> {
    let inner = |node: &'_ Node| node.name.text == "when";
    profile.children().iter().flat_map(move |node| {
        let within = if inner(node) { node.children() } else { &[] };
        std::iter::once(node).chain(within)
    })
}

/// The profiles that a profile's block uses.
fn used_in(profile: &Node) -> impl Iterator<Item = String> {
    let lines = held(profile).filter(|n| n.name.text == "use" && !n.bad);
    lines.flat_map(|n| n.args.iter().filter_map(|value| value.text().map(str::to_owned)))
}

fn is_of_all_hosts(kind: &str) -> bool {
    schema().find("environment", kind).is_some()
        && schema().find("host", kind).is_none()
        && kind != "host"
        && !matches!(kind, "role" | "when")
}

fn first_name(node: &Node) -> Option<&str> {
    node.args.first().and_then(Value::text)
}

/// A first word that is an environment is one (cli.md), so `service stop local` could not mean the service.
fn names_of_environments(project: &Project, findings: &mut Findings<'_>) {
    let environments = project.first_arguments("environment");
    let mut said = BTreeSet::new();
    project.each(&mut |node| {
        let kind = node.name.text.as_str();
        let Some(value) = node.args.first().filter(|_| matches!(kind, "service" | "task")) else { return };
        let name = value.as_text();
        if environments.contains(&name) && said.insert((kind, name.clone())) {
            findings
                .error("config::service", value.at, format!("{kind} `{name}` has the name of an environment"))
                .help("call one of them otherwise: on the command line the word means the environment");
        }
    });
}

fn unused(profiles: &BTreeMap<&str, Profile<'_>>, findings: &mut Findings<'_>) {
    for (name, profile) in profiles.iter().filter(|(_, profile)| !profile.is_used) {
        if let Some(node) = profile.blocks.first() {
            findings
                .warning("config::unused-profile", node.name.at, format!("nothing uses the profile `{name}`"))
                .help(format!("use it: `environment … {{ use {name}; }}`; or delete it"));
        }
    }
}

/// `when` blocks whose globs match no declared name.
fn conditions_that_never_hold(project: &Project, findings: &mut Findings<'_>) {
    let environments = project.first_arguments("environment");
    let hosts: BTreeSet<String> = project
        .first_arguments("host")
        .iter()
        .flat_map(|written| ranges::expand(written).unwrap_or_default())
        .collect();
    if hosts.is_empty() {
        return;
    }
    let carried = super::carried_roles(project);
    project.each(&mut |node| {
        if node.name.text != "when" || node.bad {
            return;
        }
        for (key, names) in [("environment", &environments), ("role", &carried), ("host", &hosts)] {
            let Some((value, glob)) = node.prop(key).and_then(|v| Some((v, v.text()?))) else { continue };
            if !names.contains(glob) && !names.iter().any(|name| matches(glob, name)) {
                let what = if key == "role" { "role that a host carries" } else { key };
                findings
                    .warning("config::unused-when", value.at, format!("`{glob}` matches no {what}"))
                    .maybe_help(crate::suggest::did_you_mean(glob, names.iter().map(String::as_str)));
            }
        }
    });
}
