//! Why a step failed, in the form that is journaled, reported and explained.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A failure with everything that a person needs to act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `area::code`, explained by `deployfile explain`.
    pub code: String,
    /// What kind of failure: decides the exit code together with the stage.
    pub kind: FailureKind,
    /// What failed, with the verb and the path, program or URL. Lowercase fragment.
    pub message: String,
    /// The cause chain, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
    /// The last lines that a program printed.
    pub output: Vec<String>,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// It was tried and did not work.
    Failed,
    /// A prerequisite is missing, or a grant was denied: nothing was tried.
    Refused,
    /// A hook said no.
    Veto,
    /// The user asked to stop.
    Interrupted,
}

impl Failure {
    /// A failure of kind [`FailureKind::Failed`].
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            kind: FailureKind::Failed,
            message: message.into(),
            causes: Vec::new(),
            help: None,
            output: Vec::new(),
        }
    }
    /// A failure of kind [`FailureKind::Refused`].
    pub fn refused(code: &str, message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Refused, ..Self::new(code, message) }
    }
    /// A failure from an error, its sources as causes.
    pub fn from_error(code: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut failure = Self::new(code, error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            failure.causes.push(cause.to_string());
            source = cause.source();
        }
        failure
    }
    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    /// Adds a cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }
    /// Adds the last lines that a program printed.
    #[must_use]
    pub fn output(mut self, lines: Vec<String>) -> Self {
        self.output = lines;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}
impl std::error::Error for Failure {}
