//! One call of a hook, complete: the host needs no deployfile to make it.

use deployfile_model::grant::{Grant, Limits};
use deployfile_model::stage::OnError;
use deployfile_model::{Digest, Name, Phase, Stage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A call of a plugin's component before or after a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookCall {
    /// The plugin.
    pub plugin: Name,
    /// Its component, stored by digest in `.deployfile/plugins/<hex>.wasm`.
    pub component: Digest,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// Its configuration as JSON, the hook line's properties laid over the plugin's.
    pub config: String,
    /// What it may use.
    pub limits: Limits,
    /// What an error or a trap means.
    pub on_error: OnError,
    /// Once per run: `machine` is none.
    pub once: bool,
    /// The stage it stands in.
    pub stage: Stage,
    /// Where in it; a hook of the stage `failed` is called in phase `failed` (hook.wit).
    pub phase: Phase,
    /// The names of `{{ }}` look-ups with their values; never a secret.
    pub lookups: BTreeMap<String, String>,
}

/// What a hook said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HookAnswer {
    /// `Some`: the hook halts the run, for this reason.
    pub halt: Option<String>,
    /// One line for the operator.
    pub summary: Option<String>,
    /// Notes: kept in the journal with the release.
    pub notes: Vec<(String, String)>,
    /// Calls that were not granted, each with the missing `allow` line.
    pub denied: Vec<String>,
    /// Components that had to be compiled for this call (0 when the cache served).
    pub compiled: u32,
}
