//! A deployfile with all that it imports, read and checked; what an environment is, is worked out on demand.

use crate::diagnostic::Diagnostics;
use crate::files;
use crate::provenance::{self, Provenance};
use crate::resolve;
use crate::sources::Sources;
use crate::tree::{Node, Value};
use deployfile_model::{Name, Spec};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A deployfile that was read. Its secrets are names only: nothing in it is secret.
pub struct Project {
    pub(crate) sources: Sources,
    /// Each file with its nodes, imported ones first.
    pub(crate) trees: Vec<(u32, Vec<Node>)>,
    /// Templates by their path from the main deployfile's folder.
    pub(crate) templates: BTreeMap<String, String>,
}

impl Project {
    /// The files that say what is done: the main one first, then imports, templates and the components of plugins, as
    /// paths from the main deployfile's folder. Each is named once; a component need not be there.
    pub fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = self.sources.names().map(str::to_owned).collect();
        files.extend(self.templates.keys().cloned());
        let mut components = BTreeSet::new();
        self.each(&mut |node| {
            let blocks = node.children().iter().filter(|child| child.name.text == "component");
            for value in blocks.filter_map(|child| child.args.first()) {
                let folder = files::folder(self.sources.name(value.at.file));
                components.extend(value.text().and_then(|text| files::resolve(folder, text)));
            }
        });
        files.extend(components);
        files
    }

    /// The declared environments, sorted.
    pub fn environments(&self) -> Vec<Name> {
        self.names("environment")
    }

    /// The names of all services, sorted.
    pub fn service_names(&self) -> Vec<Name> {
        self.names("service")
    }

    /// The roles that are declared or carried, sorted.
    pub fn role_names(&self) -> Vec<Name> {
        let mut names: BTreeSet<Name> = self.names("role").into_iter().collect();
        self.each(&mut |node| {
            if node.name.text == "roles" {
                names.extend(node.args.iter().filter_map(|v| Name::new(v.text()?).ok()));
            }
        });
        names.into_iter().collect()
    }

    /// The names of all plugins, sorted.
    pub fn plugin_names(&self) -> Vec<Name> {
        self.names("plugin")
    }

    /// The hosts of an environment, ranges expanded, sorted; none for an environment that is not declared.
    pub fn host_names(&self, env: &Name) -> Vec<Name> {
        resolve::host_names(self, env.as_str())
    }

    /// The name of the application, if one is declared.
    pub fn app_name(&self) -> Option<Name> {
        self.names("app").into_iter().next()
    }

    /// The resolved desired state of one environment and warnings about it. `overrides` are `--set` values:
    /// `vars.NAME` to value.
    ///
    /// # Errors
    /// Everything that keeps the environment from being planned, warnings included.
    pub fn spec(
        &self,
        env: &Name,
        overrides: &BTreeMap<String, String>,
    ) -> Result<(Spec, Diagnostics), Diagnostics> {
        let (spec, diagnostics) = resolve::spec(self, env.as_str(), overrides);
        match spec {
            Some(spec) if !diagnostics.has_errors() => Ok((spec, diagnostics)),
            _ => Err(diagnostics),
        }
    }

    /// What can be said about every environment, errors and warnings together. A file without environments is fine.
    pub fn check_all(&self) -> Diagnostics {
        self.specs(&self.environments()).1
    }

    /// The specifications of these environments, without those that have errors, and what can be said about all of them.
    pub fn specs(&self, environments: &[Name]) -> (Vec<Spec>, Diagnostics) {
        let none = BTreeMap::new();
        let mut specs = Vec::new();
        let mut said = Diagnostics::default();
        for environment in environments {
            let (spec, diagnostics) = resolve::spec(self, environment.as_str(), &none);
            specs.extend(spec.filter(|_| !diagnostics.has_errors()));
            said = said.and(diagnostics);
        }
        (specs, said)
    }

    /// Where every value of an environment came from: as all of its hosts share it, or as it is on one host.
    pub fn provenance(&self, env: &Name, host: Option<&Name>) -> Provenance {
        provenance::of(self, env.as_str(), host.map(Name::as_str))
    }

    /// The names that nodes of this kind are given anywhere, sorted.
    fn names(&self, kind: &str) -> Vec<Name> {
        self.first_arguments(kind).into_iter().filter_map(|name| Name::new(name).ok()).collect()
    }

    /// The first arguments of all nodes of this kind, also of those whose line is wrong: they were declared.
    pub(crate) fn first_arguments(&self, kind: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.each(&mut |node| {
            if node.name.text == kind {
                names.extend(node.args.first().map(Value::as_text));
            }
        });
        names
    }

    /// The names of all variables that are declared anywhere.
    pub(crate) fn variable_names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.each(&mut |node| {
            if node.name.text == "vars" {
                names.extend(node.children().iter().map(|c| c.name.text.clone()));
            }
        });
        names
    }

    /// Every node of every scope.
    pub(crate) fn each<'p>(&'p self, visit: &mut dyn FnMut(&'p Node)) {
        fn walk<'p>(nodes: &'p [Node], visit: &mut dyn FnMut(&'p Node)) {
            for node in nodes {
                visit(node);
                if matches!(node.name.text.as_str(), "profile" | "role" | "environment" | "host" | "when") {
                    walk(node.children(), visit);
                }
            }
        }
        self.trees.iter().for_each(|(_, nodes)| walk(nodes, visit));
    }
}

impl fmt::Debug for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.trees.iter().map(|(file, _)| self.sources.name(*file)).collect();
        f.debug_struct("Project").field("files", &files).finish_non_exhaustive()
    }
}
