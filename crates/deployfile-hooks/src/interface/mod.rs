//! The host's side of each interface of `hook.wit`: ask the broker, then act.

mod context;
pub(crate) mod exec;
mod files;
pub(crate) mod http;
mod log;
mod metrics;
mod secrets;
mod state;

use crate::guest::Guest;

/// Nothing is there but types.
impl crate::bindings::deployfile::hook::types::Host for Guest {}
