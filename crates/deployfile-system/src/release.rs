//! Releases on this host: sealing, verifying, reading and removing them.
//!
//! A release is whole exactly when `.release/manifest.json` stands in it: it is written last, after everything that it
//! tells of is durable. What is deliberately not here: what goes into a release (`source`, `process`), which one is
//! current and which may go (the plan says both), and the file calls themselves (`deployfile-disk`).

pub(crate) mod boot;
mod error;
mod seal;
mod stat_cache;
mod tree;
mod verify;

pub use error::ReleaseError;
pub use seal::{Header, is_lost, seal};
pub use verify::{Depth, Drift, DriftKind, refuse_drift, verify};

pub(crate) use crate::source::threads;
pub(crate) use stat_cache::{Known, Moment, StatCache, cache_dir};
pub(crate) use tree::{Tree, What as TreeWhat};

use crate::source::base::release_path;
use deployfile_disk::{Dir, DiskError};
use deployfile_model::spec::App;
use deployfile_model::{Digest, RelPath, ReleaseId};
use deployfile_record::release::rel;
use deployfile_record::{FORMAT, ReleaseRecord, Tail};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// The code of a release that cannot say what it is.
pub const DAMAGED: &str = "release::damaged";

/// The longest manifest or tail, in bytes.
const MAX_RECORD: u64 = 4 << 20;
/// The longest rendered file that is read for a diff, in bytes.
const MAX_RENDERED: u64 = 256 << 10;
/// Rendered files that are read for diffs.
const MAX_RENDERED_FILES: usize = 10_000;

/// Opens `releases/<id>`.
pub fn open(root: &Dir, id: &ReleaseId) -> Result<Dir, ReleaseError> {
    root.open_dir(&release_path(id)).map_err(|error| match error {
        error if error.is_not_found() => ReleaseError::Missing { release: id.clone() },
        error => ReleaseError::Disk(error),
    })
}

/// The manifest of a release; `None` when it is not sealed.
pub fn read_record(release: &Dir) -> Result<Option<ReleaseRecord>, ReleaseError> {
    read_json(release, ReleaseRecord::PATH, |record: &ReleaseRecord| record.format)
}

/// The tail of a release; `None` when it has none.
pub fn read_tail(release: &Dir) -> Result<Option<Tail>, ReleaseError> {
    read_json(release, Tail::PATH, |tail: &Tail| tail.format)
}

/// The rendered files of a sealed release that hold no secret, for diffs: all beneath `services/`, and those of `also`
/// that are there. Files that are no text or longer than 256 KiB are left out.
pub fn rendered_files(release: &Dir, also: &[RelPath]) -> Result<BTreeMap<String, String>, ReleaseError> {
    let tree = load_tree(release)?;
    let mut files = BTreeMap::new();
    for node in &tree.nodes {
        let is_rendered =
            node.path.starts_with("services/") || also.iter().any(|path| path.as_str() == node.path);
        let (true, TreeWhat::File { size, .. }) = (is_rendered, &node.what) else { continue };
        let (Ok(path), true) = (RelPath::new(node.path.as_str()), *size <= MAX_RENDERED) else { continue };
        let text = match release.read(&path, MAX_RENDERED) {
            Ok(bytes) => String::from_utf8(bytes).ok(),
            // Drift; whoever asks for diffs is told of it elsewhere.
            Err(error) if error.is_not_found() => None,
            Err(DiskError::TooLarge { .. } | DiskError::Symlink { .. } | DiskError::WrongKind { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        files.extend(text.map(|text| (node.path.clone(), text)));
        if files.len() >= MAX_RENDERED_FILES {
            break;
        }
    }
    Ok(files)
}

/// Removes a release for good; `false` when it is not there. It is gone from `releases/`, durably, before the first of
/// its files is deleted; what a crash leaves is swept by [`sweep`].
pub fn remove(root: &Dir, id: &ReleaseId) -> Result<bool, ReleaseError> {
    let releases = root.open_dir(&rel(App::RELEASES))?;
    let Ok(name) = RelPath::new(id.as_str()) else { return Ok(false) };
    let Some(found) = releases.stat(&name)? else { return Ok(false) };
    let us = rustix::process::geteuid();
    if !us.is_root() && found.uid != us.as_raw() {
        // It stays where it is: half of it could not be deleted.
        let path = format!("{}/{id}", releases.path_for_display());
        return Err(ReleaseError::NotOurs { release: id.clone(), path, owner: found.uid });
    }
    let trash = releases.rename_to_trash(&name)?;
    releases.sync()?;
    let cache = cache_dir(root)?;
    StatCache::forget(&cache, id)?;
    boot::forget(&cache, id)?;
    Ok(releases.remove_tree(&trash)?)
}

/// Deletes what [`remove`] or a new try of a release left when a crash cut it short; tells how many.
pub fn sweep(root: &Dir) -> Result<usize, ReleaseError> {
    match root.open_dir(&rel(App::RELEASES)) {
        Ok(releases) => Ok(releases.sweep_trash()?),
        Err(error) if error.is_not_found() => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// The listing of a sealed release, held against the digest that its manifest has.
pub(crate) fn load_tree(release: &Dir) -> Result<Tree, ReleaseError> {
    let Some(record) = read_record(release)? else {
        return Err(ReleaseError::NotSealed { release: release.path_for_display().to_owned() });
    };
    let path = rel(ReleaseRecord::TREE);
    let damaged = |why: &str| ReleaseError::Damaged {
        path: format!("{}/{path}", release.path_for_display()),
        why: why.to_owned(),
    };
    let text = match release.read(&path, tree::MAX_BYTES) {
        Err(error) if error.is_not_found() => return Err(damaged("it is not there")),
        text => text?,
    };
    if Digest::of(&text) != record.tree {
        return Err(damaged("its digest is not the one in the manifest"));
    }
    Tree::read(&text).ok_or_else(|| damaged("it is not a listing"))
}

fn read_json<T: DeserializeOwned>(
    release: &Dir,
    path: &'static str,
    format: fn(&T) -> u32,
) -> Result<Option<T>, ReleaseError> {
    let bytes = match release.read(&rel(path), MAX_RECORD) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let path = format!("{}/{path}", release.path_for_display());
    // Fields of a newer format are unknown here; that it is newer is the better message.
    let told = serde_json::from_slice::<FormatOnly>(&bytes).map(|told| told.format).unwrap_or(FORMAT);
    if told > FORMAT {
        return Err(ReleaseError::Format { path, format: told });
    }
    let value: T = serde_json::from_slice(&bytes)
        .map_err(|error| ReleaseError::Damaged { path: path.clone(), why: error.to_string() })?;
    match format(&value) {
        FORMAT => Ok(Some(value)),
        other => Err(ReleaseError::Format { path, format: other }),
    }
}

#[derive(serde::Deserialize)]
struct FormatOnly {
    format: u32,
}
