//! The plan: immutable steps with a digest, for one run.

use crate::effect::{Effect, Piece};
use deployfile_model::secret::SecretProvider;
use deployfile_model::units::UnixTime;
use deployfile_model::{BuildId, Digest, HostPath, Name, Phase, Place, ReleaseId, Stage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What runs. Nothing that the executor does is decided later than here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`crate::FORMAT`].
    pub format: u32,
    /// What the user asked.
    pub goal: Goal,
    /// The application.
    pub app: Name,
    /// The environment.
    pub environment: Name,
    /// When the plan was made; `{{ time }}`.
    pub at: UnixTime,
    /// The release that the plan makes or switches to. `None` only for goals without one (`clean`).
    pub release: Option<ReleaseId>,
    /// What was current when the plan was made.
    pub from: Option<ReleaseId>,
    /// The build id that `release` must say it is.
    pub build_id: Option<BuildId>,
    /// Where the release's code comes from: a commit id or a digest of the source tree.
    pub revision: Option<String>,
    /// Digest of the resolved specification.
    pub spec: Digest,
    /// Digest of the same plan made at the epoch under a fixed release id: equal plans at different times have
    /// equal identities. This is the digest that people see.
    pub identity: Digest,
    /// Where the host finds the values of the secrets that steps name.
    pub secrets: BTreeMap<Name, SecretProvider>,
    /// One entry a host, sorted by name.
    pub hosts: Vec<HostPlan>,
    /// What a reader should know (skipped work, warnings of lints).
    pub findings: Vec<Finding>,
}

/// What one host does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPlan {
    /// The host.
    pub host: Name,
    /// Its roles.
    pub roles: Vec<Name>,
    /// Its root. Only the plan knows it; journal and manifest do not, so that a root can be copied.
    pub root: HostPath,
    /// The name of the link that traffic follows.
    pub current: Name,
    /// The user that steps run as and releases belong to, when deployfile runs as root.
    pub user: Option<Name>,
    /// The observation that the plan is bound to.
    pub bound: Bound,
    /// The way forward, numbered from 1.
    pub steps: Vec<Step>,
    /// The way back, in its own order, taken when a step from the switch on fails before commit.
    pub unwind: Vec<Step>,
    /// Hooks of the stage `failed`.
    pub failed: Vec<Step>,
    /// Unified diffs of rendered files against the current release.
    pub diffs: Vec<FileDiff>,
}

/// The facts about a host that a plan depends on; `apply --plan` refuses when they changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The release that `current` names.
    pub current: Option<ReleaseId>,
    /// The last run that the journal knows.
    pub last_run: Option<deployfile_model::RunId>,
}

/// A numbered line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its number, from 1, in its own list.
    pub n: u32,
    /// The stage it belongs to.
    pub stage: Stage,
    /// Where in the stage.
    pub phase: Phase,
    /// One line for people.
    pub what: String,
    /// The setting that asked for it.
    pub why: Why,
    /// What it makes true, or reads.
    pub effect: Effect,
    /// Why it will not be performed.
    pub skipped: Option<String>,
}

/// The setting that asked for a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// A line of the deployfile.
    Setting(Place),
    /// Every run does this.
    Always,
    /// The release's own record says so (rollback and unwinding).
    Release(ReleaseId),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Setting(place) => write!(f, "{}:{}", place.file, place.line),
            Why::Always => f.write_str("always"),
            Why::Release(id) => write!(f, "release {id}"),
        }
    }
}

/// The difference of one rendered file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDiff {
    /// The file, beneath the release.
    pub path: String,
    /// A unified diff; release ids are shown as `<release>` on both sides.
    pub diff: String,
}

/// Something a reader of the plan should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `info` or `warning`.
    pub severity: String,
    /// One line.
    pub message: String,
}

/// What the user asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Make the file true.
    Apply,
    /// Go to an older sealed release.
    Rollback,
    /// Prune by retention.
    Clean,
}

impl Goal {
    /// The verb.
    pub fn name(self) -> &'static str {
        match self {
            Goal::Apply => "apply",
            Goal::Rollback => "rollback",
            Goal::Clean => "clean",
        }
    }
}

impl Plan {
    /// The bytes under which the plan is stored; their digest names it in the journal.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Plan holds no map with keys other than strings and no floats: serialising cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
    /// Reads a stored plan; refuses another format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Plan, PlanError> {
        let format = serde_json::from_slice::<FormatOnly>(bytes).map_err(PlanError::Damaged)?.format;
        if format != crate::FORMAT {
            return Err(PlanError::Format(format));
        }
        serde_json::from_slice(bytes).map_err(PlanError::Damaged)
    }
    /// The plan of this host.
    pub fn host(&self, name: &Name) -> Option<&HostPlan> {
        self.hosts.iter().find(|h| h.host == *name)
    }
    /// Whether anything would be done.
    pub fn changes(&self) -> bool {
        self.hosts.iter().any(|h| h.steps.iter().any(|s| s.skipped.is_none() && s.effect.changes()))
    }
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// Why bytes are not a plan that this program may run.
#[derive(Debug)]
pub enum PlanError {
    /// Not JSON of a plan, or an effect that this version does not know.
    Damaged(serde_json::Error),
    /// Another version's plan.
    Format(u32),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::Damaged(_) => f.write_str("not a plan that this version can read"),
            PlanError::Format(n) => {
                write!(f, "plan has format {n}, this version reads format {}", crate::FORMAT)
            }
        }
    }
}
impl std::error::Error for PlanError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PlanError::Damaged(e) => Some(e),
            PlanError::Format(_) => None,
        }
    }
}

/// The text of pieces with each secret shown as its name; what diffs and plans print.
pub fn shown(pieces: &[Piece]) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Secret(secret, _) => format!("(secret){}", secret.0),
        })
        .collect()
}
