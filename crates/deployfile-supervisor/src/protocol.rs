//! What clients and the supervisor say to each other: one JSON document a line, at most 1 MiB, versioned.
//!
//! The client sends a [`Request`]; the supervisor answers it with any number of [`Answer::Working`], one a second, and
//! one final answer; only then it may send the next. A request of another version gets [`Refusal::Version`].

use deployfile_model::units::UnixTime;
use deployfile_model::{BuildId, Name, OnDeploy, ReleaseId};
use deployfile_record::Unit;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of the protocol.
pub(crate) const VERSION: u32 = 1;

/// A request with its version.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) version: u32,
    pub(crate) ask: Ask,
}

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// Nothing; the answer says that somebody is there.
    Hello,
    /// The state of all services.
    Status,
    /// The service runs as the unit says. Never `handover`, which has two phases of its own.
    Ensure { unit: Box<Unit>, on_deploy: OnDeploy },
    /// The unit's processes run beside those that run now.
    BeginHandover { unit: Box<Unit> },
    /// The older processes are drained and stopped.
    FinishHandover { name: Name },
    /// The newer processes are stopped.
    AbortHandover { name: Name },
    /// The service is stopped and no longer known.
    Forget { name: Name },
    /// A known service runs.
    Start { name: Name },
    /// A known service is stopped, also after a boot.
    Stop { name: Name },
    /// A known service is stopped and started.
    Restart { name: Name },
    /// A known service gets its reload signal.
    Reload { name: Name },
    /// All services are stopped, and the supervisor ends. They come back when it does.
    Shutdown,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// It is as asked.
    Done,
    /// What was asked for by [`Ask::Status`].
    Status(Vec<ServiceStatus>),
    /// Not yet.
    Working,
    /// It is not.
    Refused(Refusal),
}

/// A service as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// The service.
    pub name: Name,
    /// The release that its processes run; that they will run, when there are none.
    pub release: ReleaseId,
    /// The build that its processes run.
    pub build_id: Option<BuildId>,
    /// What it is doing.
    pub state: ServiceState,
    /// Its processes, without what they forked.
    pub pids: Vec<u32>,
    /// When the oldest of its processes started.
    pub since_unix: Option<UnixTime>,
    /// How often a process was started again because it had ended by itself, since this supervisor started.
    pub restarts: u64,
    /// How the last process that ended did so, or why the last start failed.
    pub last_exit: Option<String>,
    /// A hand-over was begun and neither finished nor aborted.
    pub is_handing_over: bool,
    /// In that hand-over, connections to its addresses reach the old processes, and the new ones only those by TCP with
    /// [`PROBE_TRAFFIC_CLASS`](crate::PROBE_TRAFFIC_CLASS), and those to the path of a unix socket with
    /// [`PROBED_ENDING`](crate::PROBED_ENDING).
    pub is_apart: bool,
}

/// What a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// It is meant to be down, and is.
    Stopped,
    /// All processes run.
    Running,
    /// A process was started a moment ago.
    Starting,
    /// Processes are on their way down.
    Stopping,
    /// A process ended by itself and is started again soon.
    Backoff,
    /// A process could not be started; it is tried again.
    Failed,
}

impl ServiceState {
    /// The word for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Backoff => "backoff",
            Self::Failed => "failed",
        }
    }
}

/// Why the supervisor did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The supervisor speaks another version of the protocol.
    Version {
        /// The one it speaks.
        speaks: u32,
    },
    /// The request cannot be understood.
    Request {
        /// What is wrong with it.
        why: String,
    },
    /// No such service is known.
    Unknown {
        /// The service.
        service: Name,
    },
    /// The unit cannot be run by anybody.
    Unit {
        /// The service.
        service: Name,
        /// What is wrong with it.
        why: String,
    },
    /// An address cannot be listened on.
    Listen {
        /// The service that declares it.
        service: Name,
        /// The address, and why not.
        why: String,
    },
    /// A process ended before it had run for a moment, or could not be started. It is tried again.
    Start {
        /// The service.
        service: Name,
        /// How it ended.
        why: String,
    },
    /// Another request changed the service while this one waited.
    Overtaken {
        /// The service.
        service: Name,
    },
    /// It was not done in time: a process does not even end when it is killed.
    TimedOut {
        /// The service; `None` for all of them.
        service: Option<Name>,
    },
    /// What is to be true cannot be recorded, so it is not done.
    Record {
        /// Why.
        why: String,
    },
    /// The supervisor is being shut down.
    ShuttingDown,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { speaks } => write!(
                f,
                "the running supervisor speaks version {speaks} of its protocol, and this program version \
                 {VERSION}; end it with SIGTERM (its services keep running) and try again"
            ),
            Self::Request { why } => write!(f, "cannot read the request: {why}"),
            Self::Unknown { service } => {
                write!(f, "cannot find service `{service}`: the supervisor does not run it")
            }
            Self::Unit { service, why } => write!(f, "cannot run service `{service}`: {why}"),
            Self::Listen { service, why } => write!(f, "cannot start service `{service}`: {why}"),
            Self::Start { service, why } => write!(f, "cannot start service `{service}`: {why}"),
            Self::Overtaken { service } => {
                write!(f, "cannot finish with service `{service}`: another request changed it meanwhile")
            }
            Self::TimedOut { service: Some(service) } => {
                write!(f, "cannot finish with service `{service}`: its processes do not end or start in time")
            }
            Self::TimedOut { service: None } => {
                f.write_str("cannot stop all services: some processes do not end")
            }
            Self::Record { why } => f.write_str(why),
            Self::ShuttingDown => f.write_str("cannot ask the supervisor: it is shutting down"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_on_the_wire_are_promised() {
        let request = Request { version: VERSION, ask: Ask::Stop { name: Name::new("web").unwrap() } };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"version":1,"ask":{"stop":{"name":"web"}}}"#);
        let hello = serde_json::to_string(&Request { version: VERSION, ask: Ask::Hello }).unwrap();
        assert_eq!(hello, r#"{"version":1,"ask":"hello"}"#);
        let refused = Answer::Refused(Refusal::Unknown { service: Name::new("web").unwrap() });
        assert_eq!(serde_json::to_string(&refused).unwrap(), r#"{"refused":{"unknown":{"service":"web"}}}"#);
        assert_eq!(serde_json::to_string(&Answer::Done).unwrap(), r#""done""#);
        assert_eq!(serde_json::to_string(&ServiceState::Backoff).unwrap(), r#""backoff""#);
    }
}
