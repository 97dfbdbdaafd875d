//! The names that look-ups may use, and which of them are known where a string stands.

use super::LookupError;
use super::syntax::{Filter, Look, Path, Term, error, secret};
use crate::filters::{FILTERS, check_date_format};
use std::collections::BTreeSet;

/// Every name of the language, besides `vars.…`.
pub const NAMES: [&str; 14] = [
    "app",
    "environment",
    "host",
    "role",
    "release",
    "release_id",
    "current",
    "previous",
    "shared",
    "root",
    "source",
    "build_id",
    "time",
    "service",
];

/// The names that are known where a string stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    names: BTreeSet<String>,
    /// `None`: no variables may be used here.
    vars: Option<BTreeSet<String>>,
}

impl Names {
    /// These, and no variables.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { names: names.into_iter().map(str::to_owned).collect(), vars: None }
    }

    /// All of [`NAMES`], and no variables.
    pub fn all() -> Self {
        Self::new(NAMES)
    }

    /// The same with these variables (named without `vars.`), which may be none.
    #[must_use]
    pub fn with_vars<'a>(mut self, vars: impl IntoIterator<Item = &'a str>) -> Self {
        self.vars.get_or_insert_default().extend(vars.into_iter().map(str::to_owned));
        self
    }

    /// Whether `name`, as [`super::lookups`] writes it, is known.
    pub fn contains(&self, name: &str) -> bool {
        match name.strip_prefix("vars.") {
            Some(variable) => self.vars.as_ref().is_some_and(|vars| vars.contains(variable)),
            None => self.names.contains(name),
        }
    }

    fn dotted(&self) -> impl Iterator<Item = String> {
        let vars = self.vars.iter().flatten().map(|name| format!("vars.{name}"));
        self.names.iter().cloned().chain(vars)
    }
}

pub(super) fn check(look: &Look<'_>, allowed: &Names, errors: &mut Vec<LookupError>) {
    if let Term::Path(path) = &look.term {
        let optional = look.filters.first().is_some_and(|filter| filter.name == "default");
        errors.extend(path_error(path, allowed, optional));
    }
    for filter in &look.filters {
        errors.extend(filter_error(filter));
        for argument in &filter.arguments {
            if let Term::Path(path) = argument {
                errors.extend(path_error(path, allowed, false));
            }
        }
    }
}

/// With `optional` (a `default` follows) a variable need not be known.
fn path_error(path: &Path<'_>, allowed: &Names, optional: bool) -> Option<LookupError> {
    let name = path.dotted();
    let at = |message: &str, help: &str| Some(error(message, path.offset, path.len, help));
    match path.names.as_slice() {
        ["secret" | "secrets", ..] => Some(secret(path.offset, path.len)),
        ["vars", ..] if allowed.vars.is_none() => at("`vars` is not known here", &known(allowed)),
        ["vars"] => at("`vars` is not a value", "name one variable: {{ vars.port }}"),
        ["vars", _] if optional || allowed.contains(&name) => None,
        ["vars", variable] => {
            let near = suggestion(&name, allowed.dotted());
            at(
                &format!("no variable is named `{name}`"),
                &near.unwrap_or_else(|| format!("declare it: vars {{ {variable} \"…\"; }}")),
            )
        }
        ["vars", ..] => {
            at(&format!("variables are not nested: `{name}`"), "name one variable: {{ vars.port }}")
        }
        [first] if allowed.contains(first) => None,
        [first] if NAMES.contains(first) => at(&format!("`{first}` is not known here"), &known(allowed)),
        [first] => {
            let help = suggestion(first, allowed.dotted()).unwrap_or_else(|| known(allowed));
            at(&format!("unknown name `{first}`"), &help)
        }
        [first, ..] => at(&format!("`{first}` has no attributes"), &known(allowed)),
        [] => None,
    }
}

fn filter_error(filter: &Filter<'_>) -> Option<LookupError> {
    let at = |message: &str, help: &str| Some(error(message, filter.offset, filter.name.len(), help));
    let Some((name, fewest, most)) = FILTERS.into_iter().find(|(name, ..)| *name == filter.name) else {
        return at(&format!("unknown filter `{}`", filter.name), &filter_help(filter.name));
    };
    let given = filter.arguments.len();
    if given < fewest || given > most {
        let takes = if fewest == most { fewest.to_string() } else { format!("{fewest} to {most}") };
        let message = format!("filter `{name}` takes {takes} arguments, {given} are given");
        return at(&message, "for example {{ time | date('%Y') }}, {{ vars.x | replace('a', 'b') }}");
    }
    match filter.arguments.first() {
        Some(Term::Text(format)) if name == "date" => {
            let why = check_date_format(format).err()?;
            at(&format!("not a format for date: {why}"), "for example {{ time | date('%Y-%m-%d_%H.%M.%S') }}")
        }
        _ => None,
    }
}

pub(super) fn filter_help(written: &str) -> String {
    let names = FILTERS.into_iter().map(|(name, ..)| name);
    suggestion(written, names.clone().map(str::to_owned))
        .unwrap_or_else(|| format!("there are {}", names.collect::<Vec<_>>().join(", ")))
}

fn suggestion(written: &str, known: impl Iterator<Item = String>) -> Option<String> {
    const NEAR: f64 = 0.8;
    let scored = known.map(|name| (strsim::jaro_winkler(written, &name), name));
    let best = scored.filter(|(score, _)| *score >= NEAR).max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(format!("did you mean `{}`?", best.1))
}

fn known(allowed: &Names) -> String {
    let names: Vec<String> = allowed.dotted().collect();
    if names.is_empty() {
        "no look-ups can be used here".to_owned()
    } else {
        format!("known here: {}", names.join(", "))
    }
}
