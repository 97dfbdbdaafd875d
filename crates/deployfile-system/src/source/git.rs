//! Sources in git, through the system's git.

mod blobs;
mod command;
mod fetcher;
mod mirror;
mod named;
mod refs;
mod sizes;
mod stale;
mod tidy;
mod tree;

pub use fetcher::Fetcher;

use super::base::{Base, Given, Kept};
use super::error::SourceError;
use super::fill::{self, Start};
use super::line::escape;
use super::listing::{Listed, Listing, What, file_mode};
use super::url::GitUrl;
use super::{Populated, SourceWarning, rules, threads};
use crate::release::cache_dir;
use blobs::read_blobs;
use deployfile_disk::tree::TreeWriter;
use deployfile_disk::{Dir, fault};
use deployfile_exec::port::Stop;
use deployfile_model::spec::ShareMode;
use deployfile_model::{BuildId, Digest, ReleaseId};
use deployfile_record::effect::SourceEffect;
use deployfile_record::observation::SourceFacts;
use deployfile_record::release::rel;
use mirror::Mirror;
use sizes::Sizes;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tree::{Blob, BlobKind, Commit};

/// For questions.
const ASK_LIMIT: Duration = Duration::from_secs(120);
/// For fetching. A transfer that stalls is ended earlier (`http.lowSpeedTime`, `ServerAliveInterval`).
const FETCH_LIMIT: Duration = Duration::from_secs(3600);
/// Blobs above which two processes of git read them.
const LANE_MIN: usize = 256;
/// Processes of git that read blobs at a time.
const MAX_LANES: usize = 4;
/// The first line of a pointer that Git LFS keeps in place of a file (git-lfs, docs/spec.md).
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// What `reference` is now, without fetching or changing anything. Sizes are those of the commit's files without its
/// submodules where its objects are on this machine already (the repository is, or its mirror beneath `root` has the
/// commit), else 0.
pub fn observe_git(
    root: Option<&Dir>,
    url: &str,
    reference: &str,
    stop: &Stop,
) -> Result<SourceFacts, SourceError> {
    let url = GitUrl::new(url)?;
    let commit = refs::resolve(&url, reference, stop)?;
    let natural_build_id = BuildId::new(commit.clone())
        .map_err(|why| SourceError::GitAnswer { verb: "read a commit id", why: why.to_string() })?;
    let Sizes { bytes, files } = sizes::of(&url, &commit, root, stop)?.unwrap_or_default();
    Ok(SourceFacts { revision: commit, natural_build_id, bytes, files, location: url.shown() })
}

/// Takes away what the mirrors beneath the root need not keep, and lets git pack them again where they have grown loose;
/// for after a deploy. Commits that no release on this host came from go. So do mirrors: after a run that filled the
/// release `fetched`, those that it did not come from (its file names no other source), else those that no release came
/// from.
pub fn tidy_mirrors(
    root: &Dir,
    fetched: Option<&ReleaseId>,
    fetcher: &mut Fetcher<'_>,
) -> Result<(), SourceError> {
    tidy::tidy(root, fetched, fetcher)
}

/// The directory of mirrors; `None` when there never was one.
fn mirrors_if_there(root: &Dir) -> Result<Option<Dir>, SourceError> {
    match root.open_dir(&rel(".deployfile/cache/git")) {
        Ok(mirrors) => Ok(Some(mirrors)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn mirrors_dir(root: &Dir) -> Result<Dir, SourceError> {
    let cache = cache_dir(root)?;
    cache.create_dir(&rel("git"), 0o700)?;
    Ok(cache.open_dir(&rel("git"))?)
}

/// What a plan says of a git source.
pub(super) struct Wanted<'a> {
    pub(super) url: &'a str,
    pub(super) commit: &'a str,
    pub(super) submodules: bool,
}

/// Puts a commit into a release.
pub(super) fn populate(
    root: &Dir,
    id: &ReleaseId,
    wanted: &Wanted<'_>,
    effect: &SourceEffect,
    fetcher: &mut Fetcher<'_>,
) -> Result<Populated, SourceError> {
    let url = GitUrl::new(wanted.url)?;
    if !is_object_id(wanted.commit) {
        let why = "it is not a whole commit id";
        return Err(SourceError::ReferenceInvalid { reference: wanted.commit.to_owned(), why });
    }
    let cache = cache_dir(root)?;
    let release = match fill::start(root, &cache, id, wanted.commit, effect.share)? {
        Start::Filled(listing) => return Ok(listing.populated(0, Vec::new())),
        Start::Empty(release) => release,
    };
    let mirrors = mirrors_dir(root)?;
    let first = Mirror::with_commit(&mirrors, url, wanted.commit, fetcher)?;
    let commit = tree::list(&mirrors, first, wanted.submodules, fetcher)?;
    named::note(&cache, id, &commit)?;
    let base = match &effect.base {
        Some(base) => Base::open(root, base)?,
        None => None,
    };
    let stop = fetcher.stop;
    let filling =
        Filling { release: &release, commit: &commit, base: base.as_ref(), share: effect.share, stop };
    fill::early_synced(&release, commit.entries.len(), || filling.fill(&cache, id, wanted.commit))
}

fn left_out(commit: &Commit<'_>) -> Option<SourceWarning> {
    let first = commit.left_out.first()?;
    let count = commit.left_out.len();
    Some(SourceWarning {
        message: format!("{count} submodules are left out, the first is `{}`", escape(first)),
        help: Some("set `submodules=#true` on `source git` to check them out".to_owned()),
    })
}

/// What becomes of each entry of a commit, and how.
struct Filling<'a> {
    release: &'a Dir,
    commit: &'a Commit<'a>,
    base: Option<&'a Base>,
    share: ShareMode,
    stop: &'a Stop,
}

type Outcome = (Vec<What>, usize, Option<Given>, Vec<SourceWarning>);

impl Filling<'_> {
    fn fill(&self, cache: &Dir, id: &ReleaseId, revision: &str) -> Result<Populated, SourceError> {
        let (whats, from_base, given, mut warnings) = self.run()?;
        let entries = self.commit.entries.iter().zip(whats);
        let listed =
            |(blob, what): (&Blob, What)| Listed { path: blob.path.clone(), oid: blob.oid.clone(), what };
        let entries = entries.map(listed).collect();
        let listing = Listing { revision: revision.to_owned(), share: self.share, entries };
        let filled = fill::finish(cache, id, self.release, &listing)?;
        if let (Some(base), Some(given), ShareMode::Hardlink) = (self.base, given, self.share) {
            base.note_links(cache, &given, &filled.entries, &filled.moment)?;
        }
        warnings.extend(left_out(self.commit));
        Ok(listing.populated(from_base, warnings))
    }

    fn run(&self) -> Result<Outcome, SourceError> {
        let blobs = &self.commit.entries;
        let directories = rules::directories(blobs.iter().map(|blob| blob.path.as_str()))?;
        let mut whats: Vec<Option<What>> = vec![None; blobs.len()];
        self.find_links(&mut whats)?;
        let links = blobs.iter().zip(&whats).filter_map(|(blob, what)| match what {
            Some(What::Link { target }) => Some((blob.path.as_str(), target.as_str())),
            _ => None,
        });
        // Checks all links before the first file is written.
        let links: Vec<_> = links.collect();
        rules::check_links(&links.iter().copied().collect())?;
        fill::make_directories(self.release, &directories)?;
        fill::make_links(self.release, links.iter().copied())?;
        drop(links);
        let (from_base, given) = self.take_from_base(&mut whats)?;
        let warnings = self.take_from_git(&mut whats)?;
        let whats: Option<Vec<What>> = whats.into_iter().collect();
        let whats = whats.ok_or_else(|| SourceError::GitAnswer {
            verb: "fill the release",
            why: "some files were not answered".to_owned(),
        })?;
        Ok((whats, from_base, given, warnings))
    }

    /// Targets of symlinks, from the base's listing or from git.
    fn find_links(&self, whats: &mut [Option<What>]) -> Result<(), SourceError> {
        let mut missing: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, blob) in self.commit.entries.iter().enumerate() {
            if blob.kind != BlobKind::Link {
                continue;
            }
            match self.base.and_then(|base| base.link_of_blob(&blob.path, &blob.oid)) {
                Some(target) => whats[index] = Some(What::Link { target: target.to_owned() }),
                None => missing.entry(blob.mirror).or_default().push(index),
            }
        }
        for (mirror, indexes) in missing {
            let oids: Vec<&str> =
                indexes.iter().map(|index| self.commit.entries[*index].oid.as_str()).collect();
            read_blobs(&self.commit.mirrors[mirror], &oids, self.stop, |nth, bytes| {
                let index = indexes[nth];
                whats[index] = Some(What::Link { target: self.target(index, bytes)? });
                Ok(())
            })?;
        }
        Ok(())
    }

    fn target(&self, index: usize, bytes: &[u8]) -> Result<String, SourceError> {
        let refuse = |why| {
            let path = escape(&self.commit.entries[index].path).into_owned();
            SourceError::PathRefused { path, why }
        };
        let target = std::str::from_utf8(bytes).map_err(|_| refuse("its link target is not UTF-8"))?;
        if target.is_empty() || target.len() >= 4096 || target.contains('\0') {
            return Err(refuse("its link target is none that a link can have"));
        }
        Ok(target.to_owned())
    }

    fn take_from_base(&self, whats: &mut [Option<What>]) -> Result<(usize, Option<Given>), SourceError> {
        let Some(base) = self.base else { return Ok((0, None)) };
        let mut files: Vec<(usize, Kept<'_>, u64)> = Vec::new();
        for (index, blob) in self.commit.entries.iter().enumerate() {
            let is_executable = blob.kind == BlobKind::Executable;
            if blob.kind != BlobKind::Link
                && let Some((kept, size)) =
                    base.file_of_blob(&blob.path, &blob.oid, is_executable, self.share)
            {
                files.push((index, kept, size));
            }
        }
        let kept: Vec<Kept<'_>> = files.iter().map(|(_, kept, _)| *kept).collect();
        let given = base.give(self.release, &kept, self.share)?;
        let mut taken = 0;
        for ((index, kept, size), is_there) in files.into_iter().zip(&given.is_there) {
            if *is_there {
                let is_executable = self.commit.entries[index].kind == BlobKind::Executable;
                whats[index] = Some(What::File { is_executable, digest: kept.digest, size });
                taken += 1;
            }
        }
        Ok((taken, Some(given)))
    }

    /// Writes what is still missing, with some processes of git at a time.
    fn take_from_git(&self, whats: &mut [Option<What>]) -> Result<Vec<SourceWarning>, SourceError> {
        let mut pointers = BTreeSet::new();
        for lane_of in 0..self.commit.mirrors.len() {
            let missing: Vec<usize> = (0..whats.len())
                .filter(|index| whats[*index].is_none() && self.commit.entries[*index].mirror == lane_of)
                .collect();
            for written in self.in_lanes(&self.commit.mirrors[lane_of], &missing)? {
                let is_executable = self.commit.entries[written.index].kind == BlobKind::Executable;
                let (digest, size) = (written.digest, written.size);
                whats[written.index] = Some(What::File { is_executable, digest, size });
                if written.is_pointer {
                    pointers.insert(written.index);
                }
            }
        }
        let Some(first) = pointers.first() else { return Ok(Vec::new()) };
        let path = escape(&self.commit.entries[*first].path);
        Ok(vec![SourceWarning {
            message: format!("{} files are Git LFS pointers, the first is `{path}`", pointers.len()),
            help: Some("deployfile does not fetch LFS content: fetch it in a step of `build`".to_owned()),
        }])
    }

    fn in_lanes(&self, mirror: &Mirror<'_>, missing: &[usize]) -> Result<Vec<Written>, SourceError> {
        let lanes = split(&self.commit.entries, missing);
        let abort = Mutex::new(None);
        let faults = fault::handle();
        let written = std::thread::scope(|scope| {
            let started: Vec<_> = lanes
                .iter()
                .map(|lane| {
                    let (faults, abort) = (faults.clone(), &abort);
                    scope.spawn(move || {
                        let _installed = faults.enter();
                        self.lane(mirror, lane, abort)
                    })
                })
                .collect();
            let joined =
                started.into_iter().map(|lane| lane.join().unwrap_or_else(|panic| resume_unwind(panic)));
            joined.flatten().collect::<Vec<_>>()
        });
        match abort.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(written),
        }
    }

    /// Writes the files of one lane; the first error of any lane ends all.
    fn lane(&self, mirror: &Mirror<'_>, lane: &[usize], abort: &Mutex<Option<SourceError>>) -> Vec<Written> {
        let is_aborted = || abort.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let oids: Vec<&str> = lane.iter().map(|index| self.commit.entries[*index].oid.as_str()).collect();
        let mut writer = TreeWriter::new(self.release);
        let mut written = Vec::with_capacity(lane.len());
        let done = read_blobs(mirror, &oids, self.stop, |nth, bytes| {
            if is_aborted() {
                return Err(SourceError::Interrupted);
            }
            let (index, blob) = (lane[nth], &self.commit.entries[lane[nth]]);
            let mode = file_mode(blob.kind == BlobKind::Executable, self.share);
            writer.write_file(&blob.path, bytes, mode)?;
            let is_pointer = bytes.len() < 1024 && bytes.starts_with(LFS_POINTER);
            written.push(Written { index, digest: Digest::of(bytes), size: bytes.len() as u64, is_pointer });
            Ok(())
        });
        if let Err(error) = done {
            abort.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        written
    }
}

/// A file that was written.
struct Written {
    index: usize,
    digest: Digest,
    size: u64,
    is_pointer: bool,
}

/// Splits entries among lanes, directory by directory, so that two lanes seldom write in one directory.
fn split(blobs: &[Blob], missing: &[usize]) -> Vec<Vec<usize>> {
    let count = (missing.len() / LANE_MIN + 1).min(threads()).min(MAX_LANES);
    let mut lanes = vec![Vec::new(); count];
    let (mut lane, mut last) = (0, None);
    for index in missing {
        let above = blobs[*index].path.rsplit_once('/').map(|(above, _)| above);
        if last != Some(above) {
            lane = (lane + 1) % count;
            last = Some(above);
        }
        lanes[lane].push(*index);
    }
    lanes.retain(|lane| !lane.is_empty());
    lanes
}
