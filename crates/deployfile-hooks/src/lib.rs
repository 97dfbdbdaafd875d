//! Runs a WASM component for one hook call under its grants.
//!
//! What is here: [`HookHost`], which implements `deployfile_exec::Hooks`; the broker that decides every call of a
//! component (`broker`); what must be known of a component before anything runs ([`inspect`], [`check_grants`]);
//! and `deployfile.lock` ([`pins`]). The contract is `plugins/wit/hook.wit`.
//!
//! What is deliberately not here: where the values of secrets come from ([`Secrets`], implemented by
//! `deployfile-system`), when a hook is called and what its answer means (`deployfile-exec`, `deployfile-engine`), and
//! storing components beneath a root (who plans a run does; [`component_path`] says where).

mod answer;
mod area;
mod bindings;
mod broker;
mod component;
mod drive;
mod engine;
mod facts;
mod fetch;
mod grants;
mod guest;
mod helper;
mod host;
mod interface;
mod limiter;
pub mod pins;
mod process;
mod redact;
mod scopes;
mod secret;
mod ticker;
mod trap;
mod voice;
mod wasi;

pub use broker::UrlPattern;
pub use component::SIZE_MAX;
pub use component::inspect::{Inspection, inspect};
pub use component::manifest::{Capability, Manifest, Request};
pub use component::shelf::path as component_path;
pub use grants::{GrantCheck, allow_line, check_grants};
pub use helper::helper_main;
pub use host::{HookHost, HostConfig};
pub use secret::{NoSecrets, SecretText, Secrets};

/// The numeric ids that programs run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}
