//! Making errors of one's own.

use crate::{Error, ErrorKind};

impl Error {
    /// An error of kind `failed`. (`Display` and `std::error::Error` come with the bindings.)
    pub fn failed(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Failed, message: message.into(), hint: None, retry_after_ms: None }
    }

    /// An error of kind `config`: the operator must change a setting.
    pub fn config(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Config, ..Self::failed(message) }
    }

    /// Adds one line that the operator can act on.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
