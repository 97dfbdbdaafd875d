//! Values of secrets, while a hook runs.

use deployfile_model::Name;
use deployfile_record::Failure;
use std::fmt;

/// Where the values of secrets come from. This machine's providers implement it.
pub trait Secrets {
    /// The value of the secret of this name.
    fn value(&mut self, name: &Name) -> Result<SecretText, Failure>;
}

/// The value of a secret. Printing it for debugging shows that it is there, not what it is.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Takes the value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }
    /// The value itself. To be put where it is used, and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// For hosts and tests without secrets: every name is unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn value(&mut self, name: &Name) -> Result<SecretText, Failure> {
        Err(Failure::refused("hook::secret", format!("secret `{name}` is not known on this host")))
    }
}
