//! (Spec, Observation, Goal, At) → Plan, or refusals. Pure.
//!
//! What is here: which steps a goal takes on each host, in which order, why, and the way back. What is deliberately
//! not here: looking at a host (`deployfile-system` observes), going on after a failure (`deployfile-engine`), and
//! how a value is written into a file (`deployfile-render`).

mod apply;
mod clean;
mod diff;
mod files;
mod fill;
mod hooks;
mod identity;
mod listing;
mod refusal;
mod retention;
mod rollback;
mod services;
mod tail;
mod writer;

pub use fill::{root_of, source_texts};
pub use hooks::plugin_refusals;
pub use identity::spec_digest;
pub use refusal::Refusal;
pub use rollback::target as rollback_target;

use deployfile_model::units::UnixTime;
use deployfile_model::{Name, ReleaseId, Spec};
use deployfile_record::{Observation, Plan};
use std::collections::BTreeMap;

/// Everything that a plan is made from.
pub struct Request<'a> {
    /// The desired state.
    pub spec: &'a Spec,
    /// What was seen on each host of the spec.
    pub observations: &'a BTreeMap<Name, Observation>,
    /// What the user asked.
    pub wish: Wish,
    /// The moment of the plan: `{{ time }}` and the ages of retention.
    pub at: UnixTime,
}

/// What the user asked, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Make the file true.
    Apply {
        /// Go over drift of current and a build that was rolled back from.
        force: bool,
    },
    /// Go to an older good release.
    Rollback {
        /// Which; `None`: the previous one.
        to: Option<ReleaseId>,
        /// Go over drift of the target.
        force: bool,
    },
    /// Prune by retention.
    Clean,
}

/// Makes the plan. All refusals are collected.
pub fn plan(request: &Request<'_>) -> Result<Plan, Vec<Refusal>> {
    let mut plan = make(request, None)?;
    plan.identity = identity::of(request, &plan);
    Ok(plan)
}

/// `pinned`: the release id to use instead of the one that the spec's pattern gives.
fn make(request: &Request<'_>, pinned: Option<&ReleaseId>) -> Result<Plan, Vec<Refusal>> {
    match &request.wish {
        Wish::Apply { force } => apply::plan(request, *force, pinned),
        Wish::Rollback { to, force } => rollback::plan(request, to.as_ref(), *force),
        Wish::Clean => clean::plan(request),
    }
}
