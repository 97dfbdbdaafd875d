//! Whether a sealed release still is what was sealed.

use super::error::ReleaseError;
use super::seal::is_measured;
use super::stat_cache::{StatCache, cache_dir_if_there};
use super::tree::{Node, What};
use super::{load_tree, open, threads};
use crate::source::line::escape;
use deployfile_disk::tree::{Entry, digest_files, scan};
use deployfile_disk::{Dir, Kind};
use deployfile_model::{Digest, ReleaseId};
use deployfile_record::Failure;
use std::fmt;

/// An entry of a release that is not as it was sealed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drift {
    /// Its path in the release, escaped so that it fits on a line.
    pub path: String,
    /// What is different.
    pub what: DriftKind,
}

/// How an entry of a release differs from what was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftKind {
    /// Its content or kind.
    Changed,
    /// What the link names.
    TargetChanged,
    /// It is gone.
    Missing,
    /// Its permission bits.
    ModeChanged,
    /// It was not sealed. Reported, and nothing is refused for it: `__pycache__` comes by itself.
    Added,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            DriftKind::Changed => "changed",
            DriftKind::TargetChanged => "target changed",
            DriftKind::Missing => "missing",
            DriftKind::ModeChanged => "mode changed",
            DriftKind::Added => "added",
        };
        write!(f, "{} ({what})", self.path)
    }
}

/// How closely a release is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Files whose inode did not change since they were sealed are not read again.
    Changed,
    /// Every file is read.
    Everything,
}

/// What is different from what was sealed, sorted by path. Reads only.
pub fn verify(root: &Dir, id: &ReleaseId, depth: Depth) -> Result<Vec<Drift>, ReleaseError> {
    let release = open(root, id)?;
    let tree = load_tree(&release)?;
    let stats = match (depth, cache_dir_if_there(root)?) {
        (Depth::Changed, Some(cache)) => StatCache::load(&cache, id)?,
        _ => None,
    };
    let entries = scan(&release, threads())?;
    let mut drift = Vec::new();
    let mut unread = Vec::new();
    let mut now = entries.iter().filter(|entry| is_measured(&entry.path)).peekable();
    for node in &tree.nodes {
        while let Some(added) = now.next_if(|entry| entry.path < node.path) {
            drift.push(Drift::new(&added.path, DriftKind::Added));
        }
        let Some(entry) = now.next_if(|entry| entry.path == node.path) else {
            drift.push(Drift::new(&node.path, DriftKind::Missing));
            continue;
        };
        match compare(node, entry, stats.as_ref()) {
            Seen::Same => {}
            Seen::Differs(what) => drift.push(Drift::new(&node.path, what)),
            Seen::Unread(digest) => unread.push((node.path.as_str(), digest)),
        }
    }
    drift.extend(now.map(|added| Drift::new(&added.path, DriftKind::Added)));
    let paths: Vec<&str> = unread.iter().map(|(path, _)| *path).collect();
    for ((path, sealed), digest) in unread.iter().zip(digest_files(&release, &paths, threads())) {
        // A file that cannot be read any more is not what was sealed.
        if digest.map_or(true, |digest| digest != *sealed) {
            drift.push(Drift::new(path, DriftKind::Changed));
        }
    }
    drift.sort();
    Ok(drift)
}

/// The failure for a release that must be as it was sealed; `None` when it is, additions aside.
pub fn refuse_drift(id: &ReleaseId, drift: &[Drift]) -> Option<Failure> {
    let real: Vec<String> =
        drift.iter().filter(|drift| drift.what != DriftKind::Added).map(Drift::to_string).collect();
    let first = real.first()?;
    let message =
        format!("release {id} is not as it was sealed: {} entries differ, the first is {first}", real.len());
    let failure = Failure::refused("release::drift", message);
    let shown = real.into_iter().take(20).collect();
    Some(failure.output(shown).help("choose another release, or apply the same revision again"))
}

impl Drift {
    fn new(path: &str, what: DriftKind) -> Self {
        Self { path: escape(path).into_owned(), what }
    }
}

enum Seen {
    Same,
    Differs(DriftKind),
    Unread(Digest),
}

fn compare(node: &Node, entry: &Entry, stats: Option<&StatCache>) -> Seen {
    if !node.has_shape_of(entry) {
        let is_link = matches!(node.what, What::Link { .. }) && entry.stat.kind == Kind::Symlink;
        return Seen::Differs(if is_link { DriftKind::TargetChanged } else { DriftKind::Changed });
    }
    if entry.stat.kind != Kind::Symlink && entry.stat.mode != node.mode {
        return Seen::Differs(DriftKind::ModeChanged);
    }
    let What::File { digest, .. } = &node.what else { return Seen::Same };
    match stats.and_then(|stats| stats.digest_of(entry)) {
        Some(known) if known == *digest => Seen::Same,
        Some(_) => Seen::Differs(DriftKind::Changed),
        None => Seen::Unread(*digest),
    }
}
