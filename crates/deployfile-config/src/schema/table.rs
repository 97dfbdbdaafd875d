//! The rows of the schema, in the order of the reference, one file per part of the language. A row says the setting's
//! name, where it may stand, its line, its block, its default, what it does, and an example.

mod environment;
mod project;
mod service;
mod site;
mod stage;

use super::{NodeSpec, TOP};

/// Where a definition may stand.
const SCOPES: &[&str] = &[TOP, "profile", "role", "environment", "host", "when"];
/// Where a definition may stand that all hosts of an environment share.
const SHARED_SCOPES: &[&str] = &[TOP, "profile", "environment", "when"];

pub(super) fn all() -> impl Iterator<Item = &'static NodeSpec> {
    [project::ROWS, stage::ROWS, service::ROWS, site::ROWS, environment::ROWS].into_iter().flatten()
}
