//! What the journal holds: intents and outcomes. The journal is part of correctness; nothing here names the
//! root's absolute path, so that a root can be copied.

use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::plan::Goal;
use deployfile_model::units::UnixTime;
use deployfile_model::{BuildId, Digest, ReleaseId, RunId};
use serde::{Deserialize, Serialize};

/// One record of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When it was written. No decision rests on it except ages in retention.
    pub at: UnixTime,
    /// The run it belongs to; `None` for checkpoints and pins.
    pub run: Option<RunId>,
    /// What it says.
    pub fact: Fact,
}

/// What is known from a record on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fact {
    /// A run begins. Its plan was stored durably before.
    Begin {
        /// What the user asked.
        goal: Goal,
        /// Digest of the stored plan's bytes.
        plan: Digest,
        /// The release that the run makes or switches to.
        release: Option<ReleaseId>,
        /// What was current.
        from: Option<ReleaseId>,
        /// The build id of `release`.
        build_id: Option<BuildId>,
        /// Commit id or tree digest of `release`.
        revision: Option<String>,
        /// Digest of the specification.
        spec: Digest,
        /// Who asked, from where.
        who: String,
    },
    /// Another process goes on with the run.
    Resumed {
        /// Who, from where.
        who: String,
    },
    /// The machine was started again before the release was sealed. Nothing that was made of it is durable: the run
    /// begins anew.
    Restarted {
        /// Which release.
        release: ReleaseId,
    },
    /// A step is about to act.
    Started {
        /// Which.
        step: StepKey,
    },
    /// A process of the started step runs. `resume` ends it first if it still does.
    Spawned {
        /// Which step.
        step: StepKey,
        /// Process id of the group's leader.
        pid: u32,
        /// Its start time in clock ticks since boot (field 22 of `/proc/PID/stat`).
        start_ticks: u64,
        /// `/proc/sys/kernel/random/boot_id`.
        boot: String,
    },
    /// The step acted, and its end is true.
    Done {
        /// Which.
        step: StepKey,
    },
    /// The step did not reach its end.
    Failed {
        /// Which.
        step: StepKey,
        /// Why.
        failure: Failure,
    },
    /// The release is complete and durable. Also the outcome of its step.
    Sealed {
        /// Which step.
        step: StepKey,
        /// Which release.
        release: ReleaseId,
        /// Digest of its tree listing.
        tree: Digest,
        /// Bytes of its files.
        bytes: u64,
    },
    /// `current` is about to move. The intent of its step.
    Switching {
        /// Which step.
        step: StepKey,
        /// From.
        from: Option<ReleaseId>,
        /// To; `None`: nothing will be served.
        to: Option<ReleaseId>,
    },
    /// `current` moved and was read back. The outcome of its step.
    Switched {
        /// Which step.
        step: StepKey,
        /// What it names now.
        to: Option<ReleaseId>,
    },
    /// The way back begins.
    Reverting {
        /// Why.
        failure: Failure,
    },
    /// The release is promised. The outcome of its step.
    Committed {
        /// Which step.
        step: StepKey,
        /// Which release.
        release: ReleaseId,
    },
    /// A release is gone from disk. The outcome of its step.
    Pruned {
        /// Which step.
        step: StepKey,
        /// Which release.
        release: ReleaseId,
    },
    /// A hook's remark about a release.
    Note {
        /// Which release.
        release: ReleaseId,
        /// `<plugin>.<key>`.
        key: String,
        /// The remark.
        value: String,
    },
    /// The release is exempt from retention.
    Pinned {
        /// Which.
        release: ReleaseId,
    },
    /// It no longer is.
    Unpinned {
        /// Which.
        release: ReleaseId,
    },
    /// The run is over.
    Finished {
        /// How.
        result: RunResult,
        /// The exit code.
        exit: u8,
    },
    /// Everything before this record in one value; the first record of a segment.
    Checkpoint(Box<Ledger>),
}

/// A step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepKey {
    /// Which list.
    pub list: StepList,
    /// Its number in the list, from 1.
    pub n: u32,
}

/// The lists of a host's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepList {
    /// The way forward.
    Forward,
    /// The way back.
    Unwind,
    /// Hooks of the stage `failed`.
    Failed,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunResult {
    /// The goal is true.
    Done,
    /// It failed before the switch: what is served did not change.
    Failed,
    /// It was refused before the switch (prerequisite, denied grant, veto).
    Refused,
    /// It failed after the switch and was rolled back.
    Reverted,
    /// The way back failed too.
    Stuck,
    /// The user stopped it before the switch.
    Interrupted,
}

impl Fact {
    /// The step whose outcome this is, and whether it was good.
    pub fn outcome(&self) -> Option<(StepKey, Result<(), &Failure>)> {
        match self {
            Fact::Done { step }
            | Fact::Sealed { step, .. }
            | Fact::Switched { step, .. }
            | Fact::Committed { step, .. }
            | Fact::Pruned { step, .. } => Some((*step, Ok(()))),
            Fact::Failed { step, failure } => Some((*step, Err(failure))),
            _ => None,
        }
    }
    /// The step that this announces.
    pub fn intent(&self) -> Option<StepKey> {
        match self {
            Fact::Started { step } | Fact::Switching { step, .. } => Some(*step),
            _ => None,
        }
    }
}
