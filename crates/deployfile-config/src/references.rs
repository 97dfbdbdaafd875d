//! What can be said about values without choosing an environment: names that nothing declares, look-ups that nothing
//! fills, paths and addresses that no host could use. Warnings about roles that nobody carries are said here too.

mod rules;
mod scopes;

use crate::diagnostic::Findings;
use crate::files::matches;
use crate::load::in_template;
use crate::lookups::{self, Where};
use crate::project::Project;
use crate::schema::{Arg, BlockKind, NodeSpec, TOP, Type, schema};
use crate::suggest::did_you_mean;
use crate::tree::{Node, Value};
use deployfile_render::template::{TemplateError, used_variables};
use std::collections::BTreeSet;

/// Looks at every setting of the project. `complete`: every file could be read, so a name that is not declared is a
/// mistake.
pub(crate) fn check(project: &Project, complete: bool, findings: &mut Findings<'_>) {
    let names = |names: Vec<deployfile_model::Name>| names.iter().map(|n| n.to_string()).collect();
    let mut walk = Walk {
        declared: Declared {
            plugins: names(project.plugin_names()),
            secrets: project.first_arguments("secret"),
            vars: project.variable_names(),
        },
        complete,
        findings,
    };
    for (_, nodes) in &project.trees {
        walk.settings(nodes, TOP, TOP);
    }
    if complete {
        templates(project, &walk.declared.vars, walk.findings);
    }
    scopes::check(project, complete, findings);
    if complete {
        roles(project, findings);
    }
}

/// The names that look-ups and references may use.
struct Declared {
    plugins: BTreeSet<String>,
    secrets: BTreeSet<String>,
    vars: BTreeSet<String>,
}

struct Walk<'w, 's> {
    declared: Declared,
    complete: bool,
    findings: &'w mut Findings<'s>,
}

impl Walk<'_, '_> {
    /// `around` is the nearest block of a kind that decides which names are known.
    fn settings(&mut self, nodes: &[Node], parent: &'static str, around: &'static str) {
        for node in nodes {
            let Some(spec) = schema().find(parent, &node.name.text) else { continue };
            let around = if matches!(spec.name, "service" | "app") { spec.name } else { around };
            if !node.bad {
                self.values(node, spec, parent, around);
                rules::check(node, parent, self.findings);
                self.names(node);
            }
            match spec.block {
                BlockKind::Settings => self.settings(node.children(), spec.name, around),
                BlockKind::Free(entry) => {
                    for child in node.children().iter().filter(|c| !c.bad) {
                        self.values(child, entry, spec.name, around);
                        self.names(child);
                    }
                }
                BlockKind::Json | BlockKind::None => {}
            }
        }
    }

    /// Look-ups.
    fn values(&mut self, node: &Node, spec: &NodeSpec, parent: &str, around: &str) {
        let position = Where::of(spec.name, parent, around);
        for (i, value) in node.args.iter().enumerate() {
            let arg: Option<&Arg> = spec.args.get(i).or(spec.args.last());
            if arg.is_some_and(|a| a.ty.takes_look_ups()) {
                self.look_ups(value, position);
            } else if arg.is_some_and(|a| a.ty == Type::Script) {
                self.script(value);
            }
        }
        for (key, value) in &node.props {
            let prop = spec.props.iter().find(|p| p.name == key.text);
            if prop.is_some_and(|p| p.ty.takes_look_ups()) {
                self.look_ups(value, position);
            }
        }
    }

    fn look_ups(&mut self, value: &Value, position: Where) {
        let Some(text) = value.text().filter(|t| t.contains("{{") && !value.is_secret()) else { return };
        for error in lookups::check(text, position, &self.declared.vars) {
            if !self.complete && error.message.contains("vars.") {
                continue;
            }
            let at = lookups::locate(self.findings.sources, value, &error);
            self.findings.error("config::look-up", at, error.message).help(error.help);
        }
    }

    /// A script is given to the shell as it is, so a look-up in it is most likely a mistake.
    fn script(&mut self, value: &Value) {
        if value.text().is_some_and(|text| text.contains("{{")) {
            self.findings
                .warning("config::script-look-up", value.at, "look-ups in `sh` are not filled in")
                .help("use `$DEPLOY_RELEASE`, `$DEPLOY_SHARED` and the like, or `env`");
        }
    }

    /// Secrets and plugins.
    fn names(&mut self, node: &Node) {
        if !self.complete {
            return;
        }
        let secrets = node.args.iter().filter(|v| v.is_secret()).chain(node.prop("secret"));
        for value in secrets.filter(|_| node.name.text != "hook") {
            undeclared(
                "secret",
                value,
                &self.declared.secrets,
                "declare it: `secret NAME env VAR`",
                self.findings,
            );
        }
        if let Some(value) = node.args.first().filter(|_| node.name.text == "hook") {
            let help = "declare it: `plugin NAME { component \"plugins/NAME.wasm\"; }`";
            undeclared("plugin", value, &self.declared.plugins, help, self.findings);
        }
    }
}

fn undeclared(
    what: &str,
    value: &Value,
    declared: &BTreeSet<String>,
    help: &str,
    findings: &mut Findings<'_>,
) {
    let name = value.as_text();
    if !declared.contains(&name) {
        findings
            .error("config::undeclared", value.at, format!("there is no {what} `{}`", name.escape_debug()))
            .help(help)
            .maybe_help(did_you_mean(&name, declared.iter().map(String::as_str)));
    }
}

/// Variables of templates that nothing declares. Whether a host has them is known when it is planned.
fn templates(project: &Project, declared: &BTreeSet<String>, findings: &mut Findings<'_>) {
    for (path, text) in &project.templates {
        for (name, line) in used_variables(text).into_iter().filter(|(name, _)| !declared.contains(name)) {
            let expression = format!("vars.{name}");
            let reason = format!("no `vars.{name}` is declared");
            let error = TemplateError { template: path.clone(), line, expression: Some(expression), reason };
            let mut diagnostic = in_template(path, text, &error);
            diagnostic.help = did_you_mean(&name, declared.iter().map(String::as_str));
            if diagnostic.help.is_none() {
                diagnostic.help(format!("declare it: `vars {{ {name} …; }}`"));
            }
            findings.push(diagnostic);
        }
    }
}

/// The roles that hosts carry.
fn carried_roles(project: &Project) -> BTreeSet<String> {
    let mut carried = BTreeSet::new();
    project.each(&mut |node| {
        if node.name.text == "host" {
            let roles = node.children().iter().filter(|n| n.name.text == "roles");
            carried.extend(roles.flat_map(|n| &n.args).map(Value::as_text));
        }
    });
    carried
}

/// Roles that are named and that no host carries.
fn roles(project: &Project, findings: &mut Findings<'_>) {
    let carried = carried_roles(project);
    let mut wanted: Vec<&Value> = Vec::new();
    let mut hosts = false;
    project.each(&mut |node| match node.name.text.as_str() {
        "host" => hosts = true,
        "role" => wanted.extend(node.args.first()),
        "service" | "site" => {
            wanted.extend(node.children().iter().filter(|n| n.name.text == "roles").flat_map(|n| &n.args));
        }
        _ => {}
    });
    let named: BTreeSet<String> = wanted.iter().map(|value| value.as_text()).collect();
    misspelt_roles(project, &named, &carried, findings);
    for value in wanted.into_iter().filter(|v| hosts && !carried.contains(&v.as_text())) {
        let name = value.as_text();
        findings
            .warning(
                "config::unused-role",
                value.at,
                format!("no host carries the role `{}`", name.escape_debug()),
            )
            .help(format!("give it to one: `host … {{ roles {name}; }}`"))
            .maybe_help(did_you_mean(&name, carried.iter().map(String::as_str)));
    }
}

/// A role that a host carries and nothing is declared for may be a mere label, but not when it looks like one that something
/// is declared for.
fn misspelt_roles(
    project: &Project,
    named: &BTreeSet<String>,
    carried: &BTreeSet<String>,
    findings: &mut Findings<'_>,
) {
    // Of the others it is said that no host carries them.
    let likely: Vec<&str> = named.intersection(carried).map(String::as_str).collect();
    let mut globs: Vec<String> = Vec::new();
    project.each(&mut |node| {
        if node.name.text == "when" {
            globs.extend(node.prop("role").map(Value::as_text));
        }
    });
    let is_known = |role: &str| named.contains(role) || globs.iter().any(|glob| matches(glob, role));
    project.each(&mut |node| {
        let roles = node.children().iter().filter(|n| node.name.text == "host" && n.name.text == "roles");
        for value in roles.flat_map(|n| &n.args) {
            let role = value.as_text();
            if let Some(help) = did_you_mean(&role, likely.iter().copied()).filter(|_| !is_known(&role)) {
                findings
                    .warning(
                        "config::unused-role",
                        value.at,
                        format!("nothing is declared for the role `{role}`"),
                    )
                    .help(help);
            }
        }
    });
}
