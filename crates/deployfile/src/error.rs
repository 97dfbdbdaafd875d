//! Errors as the command line shows them: kind, exit code, hint. The one place that knows exit codes of errors.

use deployfile_config::Diagnostics;
use deployfile_model::Place;
use deployfile_plan::Refusal;
use deployfile_record::{Failure, FailureKind};
use deployfile_report::Tone;
use serde_json::{Value, json};
use std::error::Error;

/// Exit codes of cli.md.
pub(crate) mod exit {
    /// Done, or nothing to do.
    pub(crate) const DONE: u8 = 0;
    /// Failed before the switch.
    pub(crate) const FAILED: u8 = 1;
    /// Wrong use of the command line.
    pub(crate) const USAGE: u8 = 2;
    /// The deployfile is invalid.
    pub(crate) const INVALID: u8 = 3;
    /// Refused.
    pub(crate) const REFUSED: u8 = 4;
    /// Locked by somebody else.
    pub(crate) const LOCKED: u8 = 5;
    /// Stuck, a human is needed.
    pub(crate) const STUCK: u8 = 7;
    /// `plan --exit-code`: there is something to do.
    pub(crate) const SOMETHING_TO_DO: u8 = 10;
    /// A bug in deployfile.
    pub(crate) const BUG: u8 = 70;
    /// Interrupted.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Why a verb ends without its answer.
#[derive(Debug)]
pub(crate) enum Stop {
    /// One error.
    Error(Box<CliError>),
    /// Several errors of the same standing (refusals of a plan).
    Errors(Vec<CliError>),
    /// The deployfile is invalid.
    Invalid(Diagnostics),
    /// Everything is said already; only the exit code is left.
    Said(u8),
}

/// One error with everything that is shown of it.
#[derive(Debug, Clone)]
pub(crate) struct CliError {
    pub(crate) code: String,
    pub(crate) exit: u8,
    pub(crate) message: String,
    pub(crate) place: Option<Place>,
    pub(crate) causes: Vec<String>,
    pub(crate) help: Option<String>,
    pub(crate) output: Vec<String>,
    pub(crate) changed: &'static str,
}

impl CliError {
    pub(crate) fn new(code: &str, exit: u8, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            exit,
            message: message.into(),
            place: None,
            causes: Vec::new(),
            help: None,
            output: Vec::new(),
            changed: "none",
        }
    }
    /// An error of a library, its sources as causes.
    pub(crate) fn from_error(code: &str, exit: u8, error: &(dyn Error + 'static)) -> Self {
        let failure = Failure::from_error(code, error);
        Self { exit, ..Self::from(failure) }
    }
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// `error[code]: what`, where, the causes, `help:`.
    pub(crate) fn text(&self, tone: Tone) -> String {
        let at = self.place.as_ref().map(|place| format!("\n  at {place}")).unwrap_or_default();
        let failure = Failure {
            code: self.code.clone(),
            kind: FailureKind::Failed,
            message: self.message.clone(),
            causes: self.causes.clone(),
            help: self.help.clone(),
            output: self.output.clone(),
        };
        let text = deployfile_report::live::failure_text(&failure, "", tone);
        match text.split_once('\n') {
            Some((first, rest)) => format!("{first}{at}\n{rest}"),
            None => text,
        }
    }

    /// The error object of cli.md.
    pub(crate) fn json(&self) -> Value {
        let at = self.place.as_ref().map(|p| json!({"file": p.file, "line": p.line, "column": p.column}));
        json!({
            "format": deployfile_record::FORMAT,
            "event": "error",
            "code": self.code,
            "exit": self.exit,
            "stage": null,
            "host": null,
            "at": at,
            "message": self.message,
            "causes": self.causes,
            "output": self.output,
            "help": self.help,
            "changed": self.changed,
            "retry": if self.exit == exit::LOCKED { "same" } else { "after" },
        })
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        let exit = match failure.kind {
            FailureKind::Failed => exit::FAILED,
            FailureKind::Refused | FailureKind::Veto => exit::REFUSED,
            FailureKind::Interrupted => exit::INTERRUPTED,
        };
        Self {
            causes: failure.causes,
            help: failure.help,
            output: failure.output,
            ..Self::new(&failure.code, exit, failure.message)
        }
    }
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        let exit = if refusal.is_invalid_file() { exit::INVALID } else { exit::REFUSED };
        Self {
            place: refusal.place,
            help: Some(refusal.help),
            ..Self::new(refusal.code, exit, refusal.message)
        }
    }
}

impl From<CliError> for Stop {
    fn from(error: CliError) -> Self {
        Stop::Error(Box::new(error))
    }
}
impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        CliError::from(failure).into()
    }
}
impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        CliError::from(refusal).into()
    }
}
impl From<Vec<Refusal>> for Stop {
    fn from(refusals: Vec<Refusal>) -> Self {
        Stop::Errors(refusals.into_iter().map(CliError::from).collect())
    }
}
