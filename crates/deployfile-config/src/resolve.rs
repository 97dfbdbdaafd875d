//! Merged blocks to [`Spec`]: the place where "not set" becomes a default, and where what is missing is said.
//!
//! An environment is merged once; hosts that carry the same roles and set nothing themselves share the result.

mod app;
mod host;
mod layers;
mod line;
mod not_built;
pub(crate) mod plugin;
pub(crate) mod ranges;
mod service;
mod site;
mod stage;

use crate::diagnostic::{Diagnostics, Findings};
use crate::lookups::{self, Where};
use crate::merge::Block;
use crate::overrides::Overrides;
use crate::project::Project;
use crate::sources::At;
use crate::suggest::did_you_mean;
use crate::tree::Value;
use deployfile_model::spec::NotBuilt;
use deployfile_model::{EnvValue, Name, Place, SecretRef, Spec, Text};
pub(crate) use layers::MOST_USES;
use layers::{Layers, Part};
use std::collections::{BTreeMap, BTreeSet};

/// Works out one environment.
pub(crate) fn spec<'p>(
    project: &'p Project,
    env: &'p str,
    overrides: &BTreeMap<String, String>,
) -> (Option<Spec>, Diagnostics) {
    let mut sources = project.sources.clone();
    let overrides = Overrides::new(overrides, &mut sources);
    let mut cx = Cx::new(project, env, Findings::new(&sources));
    let layers = Layers::of(project, env, &mut cx.findings);
    let spec = if layers.declared.is_empty() {
        cx.undeclared_environment(env);
        None
    } else {
        overrides.check(&project.variable_names(), &mut cx.findings);
        environment(&mut cx, env, &layers, &overrides)
    };
    (spec, cx.findings.into_list().into())
}

/// The hosts of an environment.
pub(crate) fn host_names(project: &Project, env: &str) -> Vec<Name> {
    let mut ignored = Findings::new(&project.sources);
    let layers = Layers::of(project, env, &mut ignored);
    layers.hosts.into_keys().filter_map(|name| Name::new(name).ok()).collect()
}

/// The settled settings of an environment, for provenance: what all hosts share and, if one is named, what that host
/// has.
pub(crate) fn settled<'p>(project: &'p Project, env: &'p str, host: Option<&str>) -> Vec<Block<'p>> {
    let mut ignored = Findings::new(&project.sources);
    let layers = Layers::of(project, env, &mut ignored);
    let mut shared = layers.merge(Part::Environment, &[]);
    let mut own = host::merged(&layers, host, &mut ignored);
    shared.settle("", &mut ignored);
    own.inherit();
    own.settle("", &mut ignored);
    vec![shared, own]
}

fn environment<'p>(
    cx: &mut Cx<'p, '_>,
    env: &'p str,
    layers: &Layers<'p>,
    overrides: &'p Overrides,
) -> Option<Spec> {
    let mut shared = layers.merge(Part::Environment, &[]);
    shared.settle("", &mut cx.findings);
    let declared = layers.declared[0].name.at;
    cx.secrets = shared.named("secret").map(|(name, _)| name).collect();
    cx.plugins = shared.named("plugin").map(|(name, _)| name).collect();
    cx.remote_plugins = plugin::remote(&shared);
    if layers.hosts.is_empty() {
        cx.findings
            .error("config::no-hosts", declared, format!("environment `{env}` has no hosts"))
            .help("name one: `host localhost { roles web; connect local; }`");
    }
    let app = app::app(cx, &shared);
    let source = app::source(cx, &shared);
    let secrets = app::secrets(&shared);
    let retention = app::retention(cx, &shared);
    let plugins = plugin::plugins(cx, &shared);
    not_built::collect(cx, &shared, &|_, _| true);
    let hosts = host::hosts(cx, layers, overrides);
    let used = hosts.iter().flat_map(|h| h.stages.iter()).flat_map(|(_, stage)| stage::hooks(stage));
    let used: BTreeSet<Name> = used.cloned().collect();
    let plugins = plugins.into_iter().filter(|(name, _)| used.contains(name)).collect();
    let (app, source) = (app?, source?);
    let environment = Name::new(env).ok()?;
    let app = app::with_build_id(app, &source);
    let overrides = overrides.taken();
    let place = |(at, what): (&At, &String)| NotBuilt { what: what.clone(), place: cx.place(*at) };
    let not_built = cx.not_built.iter().map(place).collect();
    Some(Spec { environment, app, source, secrets, plugins, retention, hosts, overrides, not_built })
}

/// What resolving needs everywhere.
struct Cx<'p, 's> {
    project: &'p Project,
    environment: &'p str,
    findings: Findings<'s>,
    /// The variables that the hosts at hand have.
    vars: BTreeSet<String>,
    /// Who these hosts are, for messages.
    who: String,
    /// The secrets of the environment.
    secrets: BTreeSet<&'p str>,
    /// The plugins of the environment.
    plugins: BTreeSet<&'p str>,
    /// Those of them that are not built.
    remote_plugins: BTreeSet<&'p str>,
    /// Texts of the environment that every host must be able to fill in.
    pending: Vec<(&'p Value, Where)>,
    /// What is asked for and not built, by its place.
    not_built: BTreeMap<At, String>,
}

impl<'p, 's> Cx<'p, 's> {
    fn new(project: &'p Project, environment: &'p str, findings: Findings<'s>) -> Self {
        Self {
            project,
            environment,
            findings,
            vars: BTreeSet::new(),
            who: String::new(),
            secrets: BTreeSet::new(),
            plugins: BTreeSet::new(),
            remote_plugins: BTreeSet::new(),
            pending: Vec::new(),
            not_built: BTreeMap::new(),
        }
    }

    /// Notes something whose machinery is not built.
    fn not_built(&mut self, what: String, at: At) {
        if self.not_built.contains_key(&at) {
            return;
        }
        self.findings
            .warning("config::not-built", at, format!("`{what}` is part of the language but not built yet"))
            .help("it is checked and explained; `apply` refuses it until it is built");
        self.not_built.insert(at, what);
    }

    fn place(&self, at: At) -> Place {
        self.findings.sources.place(at)
    }

    /// A text of the hosts at hand: its variables must be there.
    fn text(&mut self, value: &'p Value, position: Where) -> Text {
        self.variables(value, position);
        Text { raw: value.as_text(), place: self.place(value.at) }
    }

    /// A text that the hosts share: it is held against each one's variables later.
    fn shared_text(&mut self, value: &'p Value, position: Where) -> Text {
        self.pending.push((value, position));
        Text { raw: value.as_text(), place: self.place(value.at) }
    }

    /// The text of a default, placed where the setting that has it stands.
    fn default_text(&self, raw: &str, at: At) -> Text {
        Text { raw: raw.to_owned(), place: self.place(at) }
    }

    fn variables(&mut self, value: &Value, position: Where) {
        let Some(text) = value.text().filter(|text| text.contains("{{")) else { return };
        for problem in lookups::check(text, position, &self.vars) {
            let at = lookups::locate(self.findings.sources, value, &problem);
            let message = format!("{} on {}", problem.message, self.who);
            self.findings.error("config::look-up", at, message).help(problem.help);
        }
    }

    fn env_value(&mut self, value: &'p Value, position: Where) -> Option<EnvValue> {
        if !value.is_secret() {
            return Some(EnvValue::Text(self.text(value, position)));
        }
        let name = value.text()?;
        if !self.secrets.contains(name) {
            self.findings
                .error(
                    "config::undeclared",
                    value.at,
                    format!("environment `{}` has no secret `{name}`", self.environment),
                )
                .help("declare it at the top level, or in this environment too")
                .maybe_help(did_you_mean(name, self.secrets.iter().copied()));
        }
        Some(EnvValue::Secret(SecretRef(Name::new(name).ok()?)))
    }

    fn undeclared_environment(&mut self, env: &str) {
        let names = self.project.environments();
        let at = self.main();
        let known: Vec<_> = names.iter().map(|n| format!("`{n}`")).collect();
        let help = match known.as_slice() {
            [] => "declare one: `environment local { host localhost { roles web; }; }`".to_owned(),
            known => format!("declared: {}", known.join(", ")),
        };
        self.findings
            .error("config::environment", at, format!("there is no environment `{}`", env.escape_debug()))
            .help(help)
            .maybe_help(did_you_mean(env, names.iter().map(Name::as_str)));
    }

    /// The beginning of the main file, for what stands nowhere.
    fn main(&self) -> At {
        let main = self.project.trees.iter().find(|(file, _)| *file == 0);
        main.and_then(|(_, nodes)| nodes.first()).map_or(At { file: 0, offset: 0, len: 1 }, |n| n.name.at)
    }
}
