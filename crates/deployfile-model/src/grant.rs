//! Plugins and what they are allowed. Nothing is allowed by default.

use crate::units::{Bytes, Millis};
use crate::{Name, Place};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A plugin as the deployfile declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// Its name.
    pub name: Name,
    /// The component's path, relative to the deployfile's folder.
    pub component: String,
    /// What it may do, in the order written.
    pub allow: Vec<Grant>,
    /// Its configuration, as JSON.
    pub config: BTreeMap<String, serde_json::Value>,
    /// Its limits.
    pub limits: Limits,
    /// Where it was written.
    pub place: Place,
}

/// One capability that is given to one plugin (`allow …`, hooks.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Grant {
    /// `allow http="URL-PATTERN" methods="GET POST" private=#true`
    Http {
        /// Scheme, host, port and path; `*` at the end of the path matches the rest.
        url: String,
        /// Methods in upper case; empty means any.
        methods: Vec<String>,
        /// DNS names may answer loopback, private or link-local addresses.
        private: bool,
    },
    /// `allow exec="bin/console" timeout="60s"`
    Exec {
        /// A program beneath the release.
        program: String,
        /// Wall-clock limit of one run.
        timeout: Option<Millis>,
    },
    /// `allow read="release:public"`
    Read {
        /// `release:…`, `shared:…` or `state:…`.
        path: String,
    },
    /// `allow write="state:"`
    Write {
        /// `release:…`, `shared:…` or `state:…`.
        path: String,
    },
    /// `allow secret=NAME reveal=#true`
    Secret {
        /// The secret's name.
        name: Name,
        /// The plugin may read its value; else it can only be put into a header or an environment variable.
        reveal: bool,
    },
    /// `allow state=run|machine|environment`
    State {
        /// The scope.
        scope: StateScope,
    },
    /// `allow plan`: may be asked during `plan`, with all effects denied and recorded.
    Plan,
}

/// How far a plugin's state reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum StateScope {
    Run,
    Machine,
    Environment,
}

/// What one call of a plugin may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Linear memory; `None`: 64 MiB, or 256 MiB for components over 4 MiB (hooks.md).
    pub memory: Option<Bytes>,
    /// Wall clock of one call.
    pub time: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: None, time: Millis::from_secs(30) }
    }
}
