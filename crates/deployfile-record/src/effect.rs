//! Effects: each names an end (`Ensure…`), so that twice is as good as once, or a reading (`Probe…`).

use crate::hook::HookCall;
use deployfile_model::service::{Manager, OnDeploy, Signal};
use deployfile_model::spec::ShareMode;
use deployfile_model::units::{Bytes, Millis};
use deployfile_model::{BuildId, HostPath, Name, RelPath, ReleaseId, SecretRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One idempotent change, or one reading. Paths are beneath the plan's release unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Effect {
    /// The host has what the release needs.
    ProbePrerequisites(Prerequisites),
    /// `releases/<release>/` exists, empty or as an earlier try of this run left it.
    EnsureReleaseDir,
    /// The source stands in the release.
    EnsureSource(SourceEffect),
    /// A command of the file ran and ended well.
    RunCommand(Command),
    /// `shared/<path>` exists and the release links to it at the same path.
    EnsureShared {
        /// Beneath `shared/` and beneath the release.
        path: RelPath,
        /// Directory or file.
        directory: bool,
        /// Mode of what is made.
        mode: Option<u32>,
    },
    /// A symbolic link in the release.
    EnsureLink {
        /// Beneath the release.
        path: RelPath,
        /// Target, as it is written into the link.
        to: String,
    },
    /// A rendered file in the release.
    EnsureFile(FileEffect),
    /// `nginx -t` accepts these rendered files of the release.
    ProbeNginx {
        /// Server blocks beneath the release.
        files: Vec<RelPath>,
    },
    /// The release has a manifest and a tree digest, and is durable.
    EnsureSealed(SealEffect),
    /// The current link names this release; `None`: nothing is served (a first deploy that is undone).
    EnsureCurrent {
        /// A sealed release.
        release: Option<ReleaseId>,
    },
    /// A link outside of releases (`link "/var/www" to=…`).
    EnsureHostLink {
        /// The link.
        at: HostPath,
        /// Its target; `None`: the link is not there.
        to: Option<String>,
    },
    /// A service runs as this release says; `release: None`: it is stopped and forgotten.
    EnsureService(ServiceEffect),
    /// A health check holds.
    ProbeHealth {
        /// The service that declares it.
        service: Name,
        /// The probe.
        probe: Probe,
    },
    /// The running service says that it is this build.
    ProbeBuild {
        /// The service that declares it.
        service: Name,
        /// The probe.
        probe: Probe,
        /// What it must say.
        build_id: BuildId,
    },
    /// A hook was called and did not object.
    CallHook(HookCall),
    /// The run is promised: the release is good.
    EnsureCommitted,
    /// A release is gone from disk.
    EnsurePruned {
        /// The release; never current, previous, pinned or in use when the plan was made, checked again when done.
        release: ReleaseId,
    },
}

impl Effect {
    /// Whether performing it changes anything (readings do not).
    pub fn changes(&self) -> bool {
        !matches!(
            self,
            Effect::ProbePrerequisites(_)
                | Effect::ProbeNginx { .. }
                | Effect::ProbeHealth { .. }
                | Effect::ProbeBuild { .. }
        )
    }
}

/// What the stage `check` asks of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prerequisites {
    /// Free bytes that the release will take, as far as is known.
    pub bytes: Bytes,
    /// Free inodes that the release will take, as far as is known.
    pub inodes: u64,
    /// Programs that must be found on the host, with the setting that needs each.
    pub programs: BTreeMap<String, String>,
    /// Secrets that must be readable.
    pub secrets: Vec<Name>,
}

/// How the source gets into the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceEffect {
    /// Where from.
    pub from: SourceFrom,
    /// Files that are the same in this release come from it.
    pub base: Option<ReleaseId>,
    /// How.
    pub share: ShareMode,
}

/// A source whose content is fixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SourceFrom {
    /// A commit.
    Git {
        /// Checked when the file was loaded: never starts with `-`.
        url: String,
        /// What was asked for; fetched when the commit is not in the mirror yet.
        reference: String,
        /// The full commit id.
        commit: String,
        /// Submodules are checked out too.
        submodules: bool,
    },
    /// A directory on this machine.
    Dir {
        /// Absolute.
        path: HostPath,
        /// Globs of relative paths that are left out.
        exclude: Vec<String>,
        /// `sha256:…` over the listing of the tree; the copy must have it.
        tree: deployfile_model::Digest,
    },
}

/// A command of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Program and arguments, or a script for `sh -eu`.
    pub call: Call,
    /// Where it starts.
    pub directory: HostPath,
    /// The whole environment of the command.
    pub env: BTreeMap<String, Vec<Piece>>,
    /// Wall-clock limit; then the process group is killed.
    pub timeout: Millis,
}

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Program and arguments.
    Argv(Vec<String>),
    /// A script, given to `sh -eu` as written.
    Script(String),
}

/// A rendered file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEffect {
    /// Beneath the release.
    pub path: RelPath,
    /// Its content.
    pub content: Vec<Piece>,
    /// Its mode; 0600 where a piece is a secret.
    pub mode: u32,
}

impl FileEffect {
    /// Whether the file holds a secret, and so stays out of digests and diffs.
    pub fn is_secret(&self) -> bool {
        self.content.iter().any(|piece| matches!(piece, Piece::Secret(..)))
    }
}

/// A part of a rendered value. Only the host fills secrets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    /// Bytes as they are.
    Text(String),
    /// A secret's value under a quoting rule.
    Secret(SecretRef, Quoting),
}

/// How a secret's value is written where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quoting {
    /// As it is (an environment variable of a process).
    Raw,
    /// A value of an environment file.
    EnvFile,
}

/// What sealing writes into the manifest, besides what it measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealEffect {
    /// Files that hold secrets: in the manifest by path and mode, without a digest.
    pub secret_files: Vec<RelPath>,
    /// Digests of the plugins' components that the plan calls.
    pub plugins: BTreeMap<Name, deployfile_model::Digest>,
    /// `--set` values that took part.
    pub overrides: BTreeMap<String, String>,
}

/// What becomes of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceEffect {
    /// The service.
    pub name: Name,
    /// Who keeps it running.
    pub manager: Manager,
    /// The release whose `services/` say how it runs; `None`: stopped and forgotten.
    pub release: Option<ReleaseId>,
    /// What happens to what runs now.
    pub on_deploy: OnDeploy,
    /// The signal of a reload.
    pub reload_signal: Signal,
    /// How long its processes may take to stop, then to come up.
    pub within: Millis,
    /// For `handover`: what must hold before the old processes go.
    pub ready: Vec<Probe>,
    /// For `handover`: the build that must have answered before the old processes go.
    pub ready_build: Option<(Probe, BuildId)>,
}

/// A probe with everything filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// What is asked.
    pub target: ProbeTarget,
    /// HTTP status (`None`: any 2xx or 3xx).
    pub status: Option<u16>,
    /// A text that the answer contains.
    pub contains: Option<String>,
    /// The key of a JSON answer (dots for nesting); with a value, the value that it must have.
    pub json: Option<(String, Option<String>)>,
    /// It must hold within this time.
    pub within: Millis,
    /// Between two tries.
    pub interval: Millis,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeTarget {
    /// GET of a URL: `http://`, `https://`, or `http+unix://SOCKET:/path`.
    Http(String),
    /// Connect to `HOST:PORT`.
    Tcp(String),
    /// A program in the release's directory and environment; exit 0 is health, stdout is the answer.
    Exec(Command),
}
