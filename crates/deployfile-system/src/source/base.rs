//! The release that unchanged files come from.

use super::error::SourceError;
use super::listing::{self, Listing, What, file_mode};
use super::threads;
use crate::release::{Moment, StatCache, Tree, TreeWhat, cache_dir, load_tree};
use deployfile_disk::filesystem::FileSystem;
use deployfile_disk::tree::{CopyJob, CopyMode, Entry, Outcome, copy_files, digest_files, scan};
use deployfile_disk::{Dir, DiskError, Kind};
use deployfile_model::spec::{App, ShareMode};
use deployfile_model::{Digest, RelPath, ReleaseId};
use deployfile_record::release::rel;
use std::collections::{BTreeMap, BTreeSet};

/// A sealed release whose source is known.
pub(super) struct Base {
    id: ReleaseId,
    dir: Dir,
    listing: Listing,
    tree: Tree,
    stats: Option<StatCache>,
}

/// A file that the new release takes from the base.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept<'a> {
    /// Beneath both.
    pub(super) path: &'a str,
    /// What it holds.
    pub(super) digest: Digest,
    /// Its mode in both.
    pub(super) mode: u32,
}

/// What came of taking files from the base.
pub(super) struct Given {
    /// For each file that was asked for, in order: it stands in the new release.
    pub(super) is_there: Vec<bool>,
    /// The base as it was before its inodes got another name.
    before: Vec<Entry>,
}

/// `releases/<id>` beneath the root.
pub(crate) fn release_path(id: &ReleaseId) -> RelPath {
    let name = RelPath::new(id.as_str()).unwrap_or_else(|_| rel(App::RELEASES));
    rel(App::RELEASES).join(&name)
}

/// The directories beneath `releases/` that are named as releases are.
pub(super) fn release_ids(root: &Dir) -> Result<BTreeSet<ReleaseId>, DiskError> {
    let entries = match root.list(&rel(App::RELEASES)) {
        Err(error) if error.is_not_found() => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    Ok(entries.iter().filter_map(|entry| ReleaseId::new(entry.text()?).ok()).collect())
}

/// What a release says of its source; `None` when it says nothing, or nothing whole.
pub(crate) fn read_listing(release: &Dir) -> Result<Option<Listing>, DiskError> {
    match release.read(&rel(listing::PATH), listing::MAX_BYTES) {
        Ok(text) => Ok(Listing::read(&text)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

impl Base {
    /// Opens a release as a base; `None` when it is not sealed, not there or not to be read.
    pub(super) fn open(root: &Dir, id: &ReleaseId) -> Result<Option<Self>, SourceError> {
        let dir = match root.open_dir(&release_path(id)) {
            Err(error) if error.is_not_found() => return Ok(None),
            dir => dir?,
        };
        // A base that is not as it was sealed is no base; `verify` is there to tell of it.
        let (Some(listing), Ok(tree)) = (read_listing(&dir)?, load_tree(&dir)) else { return Ok(None) };
        let stats = StatCache::load(&cache_dir(root)?, id)?;
        Ok(Some(Self { id: id.clone(), dir, listing, tree, stats }))
    }

    /// The file at `path` when it holds the blob `oid` and no step of the base's build changed it.
    pub(super) fn file_of_blob(
        &self,
        path: &str,
        oid: &str,
        is_executable: bool,
        share: ShareMode,
    ) -> Option<(Kept<'_>, u64)> {
        let listed = self.listing.get(path).filter(|listed| listed.oid == oid)?;
        let What::File { digest, size, is_executable: was_executable } = &listed.what else { return None };
        let kept = self.sealed_file(&listed.path, digest, is_executable, share)?;
        (*was_executable == is_executable).then_some((kept, *size))
    }

    /// The file at `path` when it was sealed with this content and the mode that is wanted.
    pub(super) fn sealed_file(
        &self,
        path: &str,
        digest: &Digest,
        is_executable: bool,
        share: ShareMode,
    ) -> Option<Kept<'_>> {
        let mode = file_mode(is_executable, share);
        let node = self.tree.get(path).filter(|node| node.mode == mode)?;
        match &node.what {
            TreeWhat::File { digest: sealed, .. } if sealed == digest => {
                Some(Kept { path: &node.path, digest: *digest, mode })
            }
            _ => None,
        }
    }

    /// The target of the symlink that the source had at `path` as blob `oid`.
    pub(super) fn link_of_blob(&self, path: &str, oid: &str) -> Option<&str> {
        match &self.listing.get(path).filter(|listed| listed.oid == oid)?.what {
            What::Link { target } => Some(target),
            What::File { .. } => None,
        }
    }

    /// Puts files of the base into the new release. One that is not what it was sealed as is left out.
    pub(super) fn give(
        &self,
        release: &Dir,
        files: &[Kept<'_>],
        share: ShareMode,
    ) -> Result<Given, DiskError> {
        let looks = share == ShareMode::Hardlink || may_reflink(&self.dir)?;
        // What is linked or reflinked is not read on the way, so it is looked at before.
        let before = if looks && !files.is_empty() { scan(&self.dir, threads())? } else { Vec::new() };
        let mut is_there = if looks { self.are_untouched(files, &before) } else { vec![true; files.len()] };
        let wanted: Vec<usize> = (0..files.len()).filter(|index| is_there[*index]).collect();
        let jobs: Vec<CopyJob<'_>> = wanted
            .iter()
            .map(|index| &files[*index])
            .map(|file| CopyJob { path: file.path, expected: Some(file.digest), mode: Some(file.mode) })
            .collect();
        let mode = match share {
            ShareMode::Copy => CopyMode::Copy,
            ShareMode::Hardlink => CopyMode::Hardlink,
        };
        let outcomes = copy_files(&self.dir, release, &jobs, threads(), mode)?;
        for (index, outcome) in wanted.into_iter().zip(outcomes) {
            is_there[index] = !matches!(outcome, Outcome::Differs(_));
        }
        Ok(Given { is_there, before })
    }

    /// Whether each file is what it was sealed as: told by the stat cache, else by reading it.
    fn are_untouched(&self, files: &[Kept<'_>], entries: &[Entry]) -> Vec<bool> {
        let mut is_untouched = vec![false; files.len()];
        let mut doubtful = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let Some(entry) = find(entries, file.path) else { continue };
            if entry.stat.kind != Kind::File || entry.stat.mode != file.mode {
                continue;
            }
            match self.stats.as_ref().and_then(|stats| stats.digest_of(entry)) {
                Some(digest) => is_untouched[index] = digest == file.digest,
                None => doubtful.push(index),
            }
        }
        let paths: Vec<&str> = doubtful.iter().map(|index| files[*index].path).collect();
        let digests = digest_files(&self.dir, &paths, threads());
        for (index, digest) in doubtful.into_iter().zip(digests) {
            is_untouched[index] = digest.is_ok_and(|digest| digest == files[index].digest);
        }
        is_untouched
    }

    /// Another name of an inode moves its change time. Writes down the new ones, so that the base can still be
    /// verified without reading all of it: where nothing but the change time moved, no write came between.
    pub(super) fn note_links(
        &self,
        cache: &Dir,
        given: &Given,
        linked: &[Entry],
        moment: &Moment,
    ) -> Result<(), DiskError> {
        let Some(stats) = &self.stats else { return Ok(()) };
        let linked: BTreeMap<&str, &Entry> =
            linked.iter().map(|entry| (entry.path.as_str(), entry)).collect();
        let mut known = Vec::with_capacity(stats.known.len());
        for old in &stats.known {
            let Some(before) = find(&given.before, &old.path) else { continue };
            let Some(digest) = stats.digest_of(before) else { continue };
            let now = linked.get(old.path.as_str()).map(|entry| &entry.stat);
            let mut new = old.clone();
            if let Some(now) = now.filter(|now| now.is_same_inode(&before.stat)) {
                let is_same = now.mtime_ns == before.stat.mtime_ns && now.size == before.stat.size;
                if !is_same || digest != old.digest {
                    continue;
                }
                new.ctime_ns = now.ctime_ns;
            }
            known.push(new);
        }
        StatCache { taken_ns: moment.ns, known }.store(cache, &self.id)
    }
}

/// The entry of a sorted list at `path`.
pub(super) fn find<'a>(entries: &'a [Entry], path: &str) -> Option<&'a Entry> {
    let index = entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
    entries.get(index)
}

/// Whether files of this file system may share extents. Those that certainly cannot are told by name.
pub(super) fn may_reflink(dir: &Dir) -> Result<bool, DiskError> {
    let kind = dir.file_system()?;
    Ok(!matches!(kind, FileSystem::Ext4 | FileSystem::ExtWithoutJournal | FileSystem::Tmpfs))
}
