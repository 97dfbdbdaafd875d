//! What can go wrong between us and supervisord.

use deployfile_model::{HostPath, Name};
use deployfile_record::{Failure, FailureKind};
use std::fmt;
use std::time::Duration;

/// Fault codes of supervisord (supervisor/xmlrpc.py, class Faults).
pub(super) mod fault {
    pub(in crate::supervisord) const SHUTDOWN_STATE: i64 = 6;
    pub(in crate::supervisord) const BAD_NAME: i64 = 10;
    pub(in crate::supervisord) const NO_FILE: i64 = 20;
    pub(in crate::supervisord) const ALREADY_ADDED: i64 = 90;
    pub(in crate::supervisord) const STILL_RUNNING: i64 = 91;
    pub(in crate::supervisord) const CANT_REREAD: i64 = 92;
}

/// What can go wrong between us and supervisord.
#[derive(Debug)]
pub enum SupervisordError {
    /// Nobody answers at the socket.
    Unreachable {
        /// The socket.
        socket: HostPath,
        /// The cause.
        source: ureq::Error,
    },
    /// Somebody answers, but not as supervisord would.
    Answer {
        /// The socket.
        socket: HostPath,
        /// The call.
        method: &'static str,
        /// What is wrong with the answer.
        why: String,
    },
    /// supervisord said no.
    Fault {
        /// The call.
        method: &'static str,
        /// Its code.
        code: i64,
        /// Its text.
        text: String,
    },
    /// supervisord's configuration does not have the group.
    NotConfigured(Name),
    /// A group did not come up.
    NotRunning {
        /// The group.
        group: Name,
        /// Its processes and their states.
        states: String,
        /// The last lines of its logs.
        tail: Vec<String>,
    },
    /// A group did not stop.
    NotStopped {
        /// The group.
        group: Name,
        /// How long we waited.
        within: Duration,
    },
    /// supervisord cannot do what the service asks for.
    Handover(Name),
    /// The user asked to stop.
    Interrupted,
}

impl fmt::Display for SupervisordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { socket, .. } => write!(f, "cannot reach supervisord at {socket}"),
            Self::Answer { socket, method, why } => {
                write!(f, "cannot understand what {socket} answers to {method}: {why}")
            }
            Self::Fault { code: fault::CANT_REREAD, text, .. } => {
                write!(f, "supervisord cannot read its configuration: {text}")
            }
            Self::Fault { code: fault::STILL_RUNNING, text, .. } => {
                write!(f, "cannot take out group `{text}`: somebody started it again meanwhile")
            }
            Self::Fault { code: fault::SHUTDOWN_STATE, .. } => f.write_str("supervisord is shutting down"),
            Self::Fault { method, code, text } => {
                write!(f, "supervisord refused {method}: {text} (fault {code})")
            }
            Self::NotConfigured(group) => {
                write!(f, "supervisord's configuration has no group `{group}`")
            }
            Self::NotRunning { group, states, .. } => write!(f, "group `{group}` does not run: {states}"),
            Self::NotStopped { group, within } => {
                write!(f, "group `{group}` did not stop within {} s", within.as_secs_f64())
            }
            Self::Handover(group) => {
                write!(
                    f,
                    "cannot hand over service `{group}`: supervisord cannot start new processes beside old ones"
                )
            }
            Self::Interrupted => f.write_str("waiting for supervisord was interrupted"),
        }
    }
}

impl std::error::Error for SupervisordError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl SupervisordError {
    fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unreachable { .. } => {
                "start supervisord, or name the socket of its [unix_http_server] in `manager supervisor socket=…`"
            }
            Self::Fault { code: fault::CANT_REREAD, .. } => {
                "mend that file: running processes were not touched, but supervisord would not start again"
            }
            Self::NotConfigured(_) => {
                "the [include] of supervisord.conf must name ROOT/current/services/supervisor/*.conf"
            }
            Self::Handover(_) => "use `on-deploy restart` or `reload`, or `manager builtin`",
            _ => return None,
        })
    }
}

/// The failure of a step that needs supervisord.
pub fn failure(error: &SupervisordError) -> Failure {
    let code = match error {
        SupervisordError::NotRunning { .. } => "supervisor::not-running",
        SupervisordError::NotConfigured(_) => "supervisor::not-configured",
        SupervisordError::Fault { code: fault::CANT_REREAD, .. } => "supervisor::cannot-reread",
        SupervisordError::Unreachable { .. } => "supervisor::unreachable",
        SupervisordError::Handover(_) => "supervisor::handover",
        SupervisordError::Interrupted => "supervisor::interrupted",
        _ => "supervisor::failed",
    };
    let mut failure = Failure::from_error(code, error);
    failure.help = error.help().map(str::to_owned);
    match error {
        SupervisordError::NotRunning { tail, .. } => failure.output.clone_from(tail),
        SupervisordError::Interrupted => failure.kind = FailureKind::Interrupted,
        SupervisordError::Handover(_) => failure.kind = FailureKind::Refused,
        _ => {}
    }
    failure
}
