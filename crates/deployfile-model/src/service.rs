//! Services: what keeps running between deploys, and how a deploy treats it.

use crate::probe::{Health, RunningBuild};
use crate::text::EnvValue;
use crate::units::Millis;
use crate::{HostPath, Name, Place, Text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A service as one host runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name, unique in the file.
    pub name: Name,
    /// Who keeps it running.
    pub manager: Manager,
    /// Program and arguments; empty only for `external`.
    pub command: Vec<Text>,
    /// Working directory.
    pub directory: Text,
    /// Processes, at least 1.
    pub numprocs: u32,
    /// The user it runs as, when the manager runs as root.
    pub user: Option<Name>,
    /// Addresses (`HOST:PORT` or `unix:PATH`) that the manager listens on and hands over.
    pub listen: Vec<Text>,
    /// What a deploy does with it.
    pub on_deploy: OnDeploy,
    /// Its environment, over the environment that applies where it stands.
    pub env: BTreeMap<String, EnvValue>,
    /// How it is stopped.
    pub stop: Stop,
    /// How it is told to reload.
    pub reload_signal: Signal,
    /// What takes it out of traffic before it is stopped.
    pub drain: Option<Drain>,
    /// Health checks; all must hold.
    pub health: Vec<Health>,
    /// How the running code is asked for its build id.
    pub running_build: Option<RunningBuild>,
    /// Where it was written.
    pub place: Place,
}

/// Who keeps a service running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// deployfile's own supervisor.
    Builtin,
    /// supervisord, reached over its XML-RPC unix socket.
    Supervisor {
        /// The socket of `[unix_http_server]`.
        socket: HostPath,
    },
    /// Something outside deployfile (php-fpm, a container host); it is only verified.
    External,
}

/// What a deploy does with a service whose release changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDeploy {
    /// Stop old, start new.
    Restart,
    /// Send the reload signal.
    Reload,
    /// Start new, verify, then stop old.
    Handover,
    /// Leave it alone.
    None,
}

/// How a service is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The first signal.
    pub signal: Signal,
    /// After this long the process group is killed.
    pub timeout: Millis,
}

/// A way out of traffic before a stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// A file that is removed to take the service out of traffic and put back afterwards.
    pub file: Option<Text>,
    /// How long in-flight work gets.
    pub wait: Millis,
}

/// A signal a service can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names are POSIX's")]
pub enum Signal {
    Term,
    Int,
    Quit,
    Hup,
    Usr1,
    Usr2,
    Winch,
    Kill,
}

impl Signal {
    /// All signals with the names the deployfile uses.
    pub const ALL: [(&'static str, Signal); 8] = [
        ("TERM", Signal::Term),
        ("INT", Signal::Int),
        ("QUIT", Signal::Quit),
        ("HUP", Signal::Hup),
        ("USR1", Signal::Usr1),
        ("USR2", Signal::Usr2),
        ("WINCH", Signal::Winch),
        ("KILL", Signal::Kill),
    ];
    /// `TERM`, `HUP`, … without `SIG`.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, s)| *s == self).map_or("TERM", |(name, _)| name)
    }
}
