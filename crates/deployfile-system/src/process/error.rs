//! Why a program could not be run to its own end.

use deployfile_record::{Failure, FailureKind};
use std::fmt;
use std::io;
use std::time::Duration;

/// Why a program could not be run to its own end.
#[derive(Debug)]
pub enum ProcessError {
    /// There is no such program.
    NotFound {
        /// As the file names it.
        program: String,
        /// Where it was looked for, or what is wrong with what was found.
        searched: String,
    },
    /// It cannot run as this user.
    User {
        /// The user.
        user: String,
        /// Why.
        why: String,
    },
    /// It could not be started.
    Start {
        /// The verb and what it was done to.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// It ran longer than it may.
    TimedOut {
        /// The program.
        program: String,
        /// The limit.
        after: Duration,
        /// The last lines that it printed.
        tail: Vec<String>,
    },
    /// The user asked to stop.
    Interrupted {
        /// The program.
        program: String,
        /// The last lines that it printed.
        tail: Vec<String>,
    },
    /// The guard ended without a word (somebody killed it). The program was killed.
    GuardLost {
        /// The program.
        program: String,
    },
    /// That the program runs could not be journaled; it was killed before it did anything.
    Unrecorded(Failure),
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { program, searched } => write!(f, "cannot find program `{program}`: {searched}"),
            Self::User { user, why } => write!(f, "cannot run as user `{user}`: {why}"),
            Self::Start { what, .. } => write!(f, "cannot {what}"),
            Self::TimedOut { program, after, .. } => {
                write!(f, "`{program}` did not end within {} s and was killed", after.as_secs_f64())
            }
            Self::Interrupted { program, .. } => write!(f, "`{program}` was interrupted"),
            Self::GuardLost { program } => {
                write!(f, "the guard of `{program}` was killed from outside, and so the program")
            }
            Self::Unrecorded(failure) => write!(f, "{}", failure.message),
        }
    }
}

impl std::error::Error for ProcessError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The failure of a step that needs the program.
pub fn failure(error: &ProcessError) -> Failure {
    let new = |code| Failure::from_error(code, error);
    match error {
        ProcessError::NotFound { .. } => {
            new("process::not-found").help("install it, or name it by a path that exists on this host")
        }
        ProcessError::User { .. } => new("process::user"),
        ProcessError::Start { .. } => new("process::start"),
        ProcessError::TimedOut { tail, .. } => new("process::timeout")
            .help("give the step a longer `timeout`, or find out what it waits for")
            .output(tail.clone()),
        ProcessError::Interrupted { tail, .. } => {
            Failure { kind: FailureKind::Interrupted, ..new("process::interrupted").output(tail.clone()) }
        }
        ProcessError::GuardLost { .. } => new("process::guard-lost"),
        ProcessError::Unrecorded(failure) => failure.clone(),
    }
}
