//! What a release keeps of itself, beneath `releases/<id>/.release/`.

use crate::effect::{Effect, ServiceEffect};
use crate::plan::{Step, Why};
use deployfile_model::{BuildId, Digest, HostPath, Name, RelPath, ReleaseId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `.release/manifest.json`: written last by `seal`; a release without it is not sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRecord {
    /// [`crate::FORMAT`].
    pub format: u32,
    /// Its id.
    pub id: ReleaseId,
    /// What its running code says it is.
    pub build_id: Option<BuildId>,
    /// Commit id or tree digest of its source.
    pub revision: Option<String>,
    /// Digest of the specification.
    pub spec: Digest,
    /// The release that unchanged files came from.
    pub parent: Option<ReleaseId>,
    /// Digests of the plugins' components that took part.
    pub plugins: BTreeMap<Name, Digest>,
    /// `--set` values that took part.
    pub overrides: BTreeMap<String, String>,
    /// Digest of `.release/tree`, the listing of every entry.
    pub tree: Digest,
    /// Bytes of its files.
    pub bytes: u64,
    /// Entries of its tree.
    pub entries: u64,
}

/// `.release/tail.json`: how this release is switched to, restarted and verified. A rollback and every way back
/// follow the tail of the release they go to, never the deployfile of today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    /// [`crate::FORMAT`].
    pub format: u32,
    /// What its running code says it is.
    pub build_id: Option<BuildId>,
    /// Links that leave the release.
    pub host_links: Vec<(HostPath, String)>,
    /// Its services, in order.
    pub services: Vec<ServiceEffect>,
    /// Its health checks and questions for the build id, in order, with the setting that asked for each.
    pub probes: Vec<(Effect, Why)>,
    /// What its file had in the stages from `switch` to `commit`, as steps: commands, files and hooks.
    pub items: Vec<Step>,
}

impl Tail {
    /// Where it stands in a release.
    pub const PATH: &'static str = ".release/tail.json";
}

impl ReleaseRecord {
    /// Where it stands in a release.
    pub const PATH: &'static str = ".release/manifest.json";
    /// The listing of every entry.
    pub const TREE: &'static str = ".release/tree";
}

/// The folder of a release that holds what deployfile keeps about it; not part of its tree digest, except the tail.
pub const RELEASE_DIR: &str = ".release";

/// Reads the path constants above as [`RelPath`]s; they are valid by inspection and by test.
pub fn rel(path: &'static str) -> RelPath {
    RelPath::new(path).unwrap_or_else(|_| unreachable!("`{path}` is a relative path"))
}
