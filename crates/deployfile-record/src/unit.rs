//! `services/builtin/<name>.json`: how the builtin manager runs a service of a release.

use deployfile_model::service::Signal;
use deployfile_model::units::{Bytes, Millis};
use deployfile_model::{BuildId, HostPath, Name, ReleaseId};
use serde::{Deserialize, Serialize};

/// A service with everything filled in. Its environment stands in a file of its own, which may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// [`crate::FORMAT`].
    pub format: u32,
    /// The service.
    pub name: Name,
    /// The release it belongs to.
    pub release: ReleaseId,
    /// The build that its processes run.
    pub build_id: Option<BuildId>,
    /// Program and arguments; a program without `/` is looked up in the environment's `PATH`.
    pub command: Vec<String>,
    /// Working directory.
    pub directory: HostPath,
    /// `KEY="value"` lines; the whole environment of the processes.
    pub environment_file: HostPath,
    /// The user it runs as, when the supervisor runs as root.
    pub user: Option<Name>,
    /// Processes.
    pub numprocs: u32,
    /// Addresses that the holder listens on: `HOST:PORT` or `unix:PATH`.
    pub listen: Vec<String>,
    /// The first signal of a stop.
    pub stop_signal: Signal,
    /// After this long the process group is killed.
    pub stop_timeout: Millis,
    /// The reload signal.
    pub reload_signal: Signal,
    /// What takes it out of traffic before it is stopped.
    pub drain: Option<UnitDrain>,
    /// Its log file is rotated when it is larger than this.
    pub log_bytes: Bytes,
    /// Rotated log files that are kept.
    pub log_keep: u32,
}

/// A way out of traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitDrain {
    /// A file that is removed before the stop, and put back when the service runs again.
    pub file: Option<HostPath>,
    /// How long in-flight work gets.
    pub wait: Millis,
}

impl Unit {
    /// Where the unit of this service stands in a release.
    pub fn path(service: &Name) -> String {
        format!("services/builtin/{service}.json")
    }
    /// Where the environment of this service stands in a release.
    pub fn environment_path(service: &Name) -> String {
        format!("services/env/{service}.env")
    }
}
