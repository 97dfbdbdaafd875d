//! Secrets by name. A value of a secret never stands in any type of this crate.

use crate::{HostPath, Name};
use serde::{Deserialize, Serialize};

/// A secret's name. Its value is read on the host, when a run needs it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretRef(pub Name);

/// Where a host finds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretProvider {
    /// The environment variable of this name, of the process that runs the plan.
    Env(String),
    /// The content of this file, one trailing newline dropped. It must not be readable by group or others.
    File(HostPath),
    /// What this program with its arguments prints on stdout, one trailing newline dropped. No shell sees it.
    Command(Vec<String>),
    /// The plaintext of a file that is encrypted with age, one trailing newline dropped.
    Age {
        /// The encrypted file: binary or armored, for at least one of the identities.
        file: HostPath,
        /// X25519 identities, one a line. It must not be readable by group or others.
        identity: HostPath,
    },
}
