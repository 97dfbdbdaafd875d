//! What is on a host now. Told to the core; the core never looks.

use crate::ledger::Ledger;
use crate::release::{ReleaseRecord, Tail};
use deployfile_model::{BuildId, Digest, HostPath, Name, ReleaseId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A host as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The host.
    pub host: Name,
    /// Its root.
    pub root: HostPath,
    /// What the current link is.
    pub current: CurrentLink,
    /// What the journal says.
    pub ledger: Ledger,
    /// What current keeps of itself, when current is a sealed release.
    pub current_release: Option<SeenRelease>,
    /// What the goal's release keeps of itself (rollback).
    pub target_release: Option<SeenRelease>,
    /// The source, when the goal needs it.
    pub source: Option<SourceFacts>,
    /// Release directories that are there.
    pub release_dirs: BTreeSet<ReleaseId>,
    /// Releases that a process uses (cwd, exe, open file or map beneath it).
    pub in_use: BTreeSet<ReleaseId>,
    /// Services of current that are to run and do not, as far as their manager is the builtin one.
    pub down: BTreeSet<Name>,
    /// Components that the environment's plugins have, by name.
    pub plugins: BTreeMap<Name, PluginFacts>,
    /// `HOME USER LANG PATH` as steps and services of this host get them.
    pub base_env: BTreeMap<String, String>,
    /// nginx is on the host.
    pub has_nginx: bool,
    /// Nobody looked: the host is taken to be one on which nothing was ever applied.
    #[serde(default)]
    pub is_unseen: bool,
}

impl Observation {
    /// A host that nobody looked at.
    pub fn unseen(host: Name, root: HostPath, source: SourceFacts) -> Self {
        Self {
            host,
            root,
            current: CurrentLink::Absent,
            ledger: Ledger::default(),
            current_release: None,
            target_release: None,
            source: Some(source),
            release_dirs: BTreeSet::new(),
            in_use: BTreeSet::new(),
            down: BTreeSet::new(),
            plugins: BTreeMap::new(),
            base_env: BTreeMap::new(),
            has_nginx: false,
            is_unseen: true,
        }
    }
}

/// What the current link is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CurrentLink {
    /// It is not there.
    Absent,
    /// It names this release.
    Release(ReleaseId),
    /// It names something else.
    Foreign(String),
    /// It is a real directory or file.
    NotALink,
}

/// What a sealed release keeps of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRelease {
    /// Its record.
    pub record: ReleaseRecord,
    /// Its tail.
    pub tail: Tail,
    /// Its files that are not as they were sealed.
    pub drift: Vec<String>,
    /// Its rendered files (`services/…` and templates) that hold no secret, for diffs.
    pub files: BTreeMap<String, String>,
}

/// A source, fixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// Commit id, or `sha256:…` of the tree listing.
    pub revision: String,
    /// The commit id for git, else the tree digest.
    pub natural_build_id: BuildId,
    /// Bytes of its files, as far as is known.
    pub bytes: u64,
    /// Number of its files, as far as is known.
    pub files: u64,
    /// Absolute path or checked URL.
    pub location: String,
}

/// A plugin's component as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginFacts {
    /// Digest of the component's bytes.
    pub digest: Digest,
    /// The digest that `deployfile.lock` pins.
    pub pinned: Option<Digest>,
    /// Its size in bytes.
    pub size: u64,
    /// `allow` lines that its manifest asks for and the deployfile does not grant.
    pub missing_grants: Vec<String>,
    /// `allow` lines that its manifest never asks for.
    pub unused_grants: Vec<String>,
    /// Why the component cannot be used.
    pub unusable: Option<String>,
}

impl CurrentLink {
    /// The release, when it names one.
    pub fn release(&self) -> Option<&ReleaseId> {
        match self {
            CurrentLink::Release(id) => Some(id),
            _ => None,
        }
    }
}
