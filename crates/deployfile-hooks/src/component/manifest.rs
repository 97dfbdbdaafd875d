//! The manifest in a component: who it is and what it asks for, in a custom section, so that it can be read without
//! running anything.

use deployfile_model::Grant;
use serde::Deserialize;
use std::fmt;

/// The section's name.
pub(crate) const SECTION: &str = "deployfile:manifest";
/// Bytes of the section.
const SIZE_MAX: usize = 64 << 10;

/// What a component says of itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it asks for.
    #[serde(default)]
    pub requests: Vec<Request>,
    /// Its settings, for people and tools.
    #[serde(default)]
    pub config_schema: serde_json::Value,
}

/// One thing that a component asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What.
    pub capability: Capability,
    /// Of what: a URL pattern, program, path, secret or scope. `None`: what the deployfile chooses.
    #[serde(default)]
    pub scope: Option<String>,
    /// Why, in the author's words.
    pub reason: String,
}

/// The kinds of `allow` lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names are those of the `allow` lines")]
pub enum Capability {
    Http,
    Exec,
    Read,
    Write,
    Secret,
    State,
    Plan,
}

impl Capability {
    /// All of them, in the order of hooks.md.
    pub const ALL: [Capability; 7] = [
        Capability::Http,
        Capability::Exec,
        Capability::Read,
        Capability::Write,
        Capability::Secret,
        Capability::State,
        Capability::Plan,
    ];

    /// The word of the `allow` line.
    pub fn name(self) -> &'static str {
        match self {
            Capability::Http => "http",
            Capability::Exec => "exec",
            Capability::Read => "read",
            Capability::Write => "write",
            Capability::Secret => "secret",
            Capability::State => "state",
            Capability::Plan => "plan",
        }
    }

    /// What a grant grants.
    pub fn of(grant: &Grant) -> Self {
        match grant {
            Grant::Http { .. } => Capability::Http,
            Grant::Exec { .. } => Capability::Exec,
            Grant::Read { .. } => Capability::Read,
            Grant::Write { .. } => Capability::Write,
            Grant::Secret { .. } => Capability::Secret,
            Grant::State { .. } => Capability::State,
            Grant::Plan => Capability::Plan,
        }
    }

    /// The interface of `hook.wit` that it needs.
    pub(crate) fn interface(self) -> Option<&'static str> {
        match self {
            Capability::Http => Some("http"),
            Capability::Exec => Some("exec"),
            Capability::Read | Capability::Write => Some("files"),
            // A secret is also used by http and exec.
            Capability::Secret | Capability::Plan => None,
            Capability::State => Some("state"),
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Manifest {
    /// Reads the section; the error is a lowercase fragment.
    pub fn parse(section: &[u8]) -> Result<Self, String> {
        if section.len() > SIZE_MAX {
            return Err("its manifest is longer than 64 KiB".to_owned());
        }
        serde_json::from_slice(section).map_err(|error| format!("its manifest cannot be read: {error}"))
    }
}
