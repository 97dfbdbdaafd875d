//! Strings of the deployfile that may hold `{{ look-ups }}`, kept unfilled until the plan knows the values.

use crate::{Place, SecretRef};
use serde::{Deserialize, Serialize};

/// A string as it was written, with `{{ }}` not yet filled in, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The text with its look-ups.
    pub raw: String,
    /// Where it was written.
    pub place: Place,
}

/// A value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnvValue {
    /// Text with look-ups.
    Text(Text),
    /// The name of a secret, filled in on the host that needs it.
    Secret(SecretRef),
}
