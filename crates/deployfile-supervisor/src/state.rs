//! `services.json`: which services there are, and which processes were started for them. Durable before anything of it
//! is true, so that a supervisor that comes back finds every process and starts none twice.

use crate::generation::Role;
use crate::identity::{ProcessId, Stamp};
use crate::layout::rel;
use crate::steer::Side;
use crate::verb::VerbError;
use deployfile_disk::{Dir, DiskError};
use deployfile_model::units::UnixTime;
use deployfile_model::{BuildId, Name, ReleaseId};
use deployfile_record::{FORMAT, Unit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FILE: &str = "services.json";
/// The longest record, in bytes.
const MAX_BYTES: u64 = 8 << 20;

/// Everything that is recorded.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recorded {
    pub(crate) format: u32,
    /// Where the pids mean something.
    pub(crate) stamp: Stamp,
    /// The id of the next generation.
    pub(crate) next_generation: u64,
    pub(crate) services: BTreeMap<Name, RecordedService>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordedService {
    /// It is meant to run.
    pub(crate) is_up: bool,
    /// It goes when its last process has ended.
    pub(crate) is_forgotten: bool,
    pub(crate) generations: Vec<RecordedGeneration>,
}

impl RecordedService {
    /// All processes of its current generation run now.
    pub(crate) fn is_running(&self) -> bool {
        let current = self.generations.iter().find(|generation| generation.role == Role::Current);
        let runs = |process: &RecordedProcess| matches!(process.process.open(), Ok(Some(_)));
        self.is_up
            && !self.is_forgotten
            && current.is_some_and(|one| {
                one.processes.len() == one.count as usize && one.processes.iter().all(runs)
            })
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordedGeneration {
    pub(crate) id: u64,
    pub(crate) role: Role,
    /// How many processes there are to be.
    pub(crate) count: u32,
    /// Which sockets of its addresses they have.
    pub(crate) side: Side,
    pub(crate) unit: Unit,
    pub(crate) processes: Vec<RecordedProcess>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordedProcess {
    pub(crate) num: u32,
    pub(crate) process: ProcessId,
    pub(crate) since: UnixTime,
    pub(crate) release: ReleaseId,
    pub(crate) build_id: Option<BuildId>,
    /// It may run something else than its generation's unit says.
    pub(crate) is_stale: bool,
}

/// Reads the record; `None` when there is none yet.
pub(crate) fn load(dir: &Dir) -> Result<Option<Recorded>, VerbError> {
    let bytes = match dir.read(&rel(FILE)?, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let damaged = |why: String| VerbError::Record { path: format!("{}/{FILE}", dir.path_for_display()), why };
    let format: Format = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    if format.format != FORMAT {
        return Err(damaged(format!("it has format {}, and this program knows {FORMAT}", format.format)));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|e| damaged(e.to_string()))
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Writes the record. Durable when it returns.
pub(crate) fn save(dir: &Dir, recorded: &Recorded) -> Result<(), DiskError> {
    let mut bytes = serde_json::to_vec_pretty(recorded).map_err(|error| DiskError::Call {
        verb: "write",
        path: format!("{}/{FILE}", dir.path_for_display()),
        source: error.into(),
    })?;
    bytes.push(b'\n');
    if bytes.len() as u64 > MAX_BYTES {
        return Err(DiskError::TooLarge {
            path: format!("{}/{FILE}", dir.path_for_display()),
            limit: MAX_BYTES,
        });
    }
    dir.replace(&rel(FILE)?, &bytes, 0o600)
}
