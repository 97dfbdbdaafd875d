//! Sources that are a directory of this machine.

use super::base::{Base, Given, Kept, may_reflink};
use super::error::SourceError;
use super::exclude::Exclude;
use super::fill::{self, Start};
use super::line::escape;
use super::listing::{Listed, Listing, What, file_mode};
use super::{Populated, rules, threads};
use crate::release::cache_dir;
use deployfile_disk::tree::{CopyJob, CopyMode, Entry, Outcome, copy_files, digest_files, scan_some};
use deployfile_disk::{Dir, DiskError, Kind};
use deployfile_exec::port::Stop;
use deployfile_model::spec::ShareMode;
use deployfile_model::{BuildId, Digest, HostPath, ReleaseId};
use deployfile_record::effect::SourceEffect;
use deployfile_record::observation::SourceFacts;
use std::path::Path;

/// Files and bytes of a source directory, for the limits of one release.
const MAX_FILES: usize = 2_000_000;

/// What the directory holds now: all of it is read. `root` is refused as a part of it, and the other way round.
pub fn observe_dir(path: &HostPath, exclude: &[String], root: &HostPath) -> Result<SourceFacts, SourceError> {
    let source = Source::open(path, exclude)?;
    source.refuse_overlap(Path::new(root.as_str()))?;
    let entries = source.scan()?;
    let digests = source.digests(&entries)?;
    let listing = source.listing(&entries, digests, ShareMode::Copy)?;
    let natural_build_id = BuildId::new(listing.revision.clone())
        .map_err(|why| SourceError::GitAnswer { verb: "name a source tree", why: why.to_string() })?;
    Ok(SourceFacts {
        natural_build_id,
        bytes: listing.bytes(),
        files: listing.entries.len() as u64,
        revision: listing.revision,
        location: path.as_str().to_owned(),
    })
}

/// What a plan says of a source directory.
pub(super) struct Wanted<'a> {
    pub(super) path: &'a HostPath,
    pub(super) exclude: &'a [String],
    pub(super) tree: &'a Digest,
}

/// Puts a directory into a release; what was put there has the tree digest of the plan.
pub(super) fn populate(
    root: &Dir,
    id: &ReleaseId,
    wanted: &Wanted<'_>,
    effect: &SourceEffect,
    stop: &Stop,
) -> Result<Populated, SourceError> {
    let cache = cache_dir(root)?;
    let release = match fill::start(root, &cache, id, &wanted.tree.to_string(), effect.share)? {
        Start::Filled(listing) => return Ok(listing.populated(0, Vec::new())),
        Start::Empty(release) => release,
    };
    let source = Source::open(wanted.path, wanted.exclude)?;
    source.refuse_overlap(&root.proc_path())?;
    let entries = source.scan()?;
    fill::make_directories(&release, &rules::directories(entries.iter().map(|e| e.path.as_str()))?)?;
    let links = entries.iter().filter_map(|e| Some((e.path.as_str(), e.target.as_deref()?)));
    fill::make_links(&release, links)?;
    let base = match &effect.base {
        Some(base) => Base::open(root, base)?,
        None => None,
    };
    let copying =
        Copying { source: &source, entries: &entries, release: &release, share: effect.share, stop };
    fill::early_synced(&release, entries.len(), || copying.fill(&cache, id, base.as_ref(), wanted.tree))
}

/// A source directory that is open.
struct Source<'a> {
    path: &'a HostPath,
    real: std::path::PathBuf,
    dir: Dir,
    exclude: Exclude,
}

impl<'a> Source<'a> {
    fn open(path: &'a HostPath, exclude: &[String]) -> Result<Self, SourceError> {
        let exclude = Exclude::new(exclude)?;
        let failed = |source| SourceError::Io { verb: "open", what: path.to_string(), source };
        // The user may name it by way of links; what is in it is opened without following any.
        let real = match Path::new(path.as_str()).canonicalize() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(SourceError::DirMissing { path: path.to_string(), found: None });
            }
            real => real.map_err(failed)?,
        };
        if !real.is_dir() {
            return Err(SourceError::DirMissing { path: path.to_string(), found: Some("file") });
        }
        let text = real.to_str().and_then(|text| HostPath::new(text).ok());
        let text = text.ok_or_else(|| failed(std::io::Error::other("its real path is not plain text")))?;
        Ok(Self { path, real, dir: Dir::open_root(&text)?, exclude })
    }

    fn refuse_overlap(&self, root: &Path) -> Result<(), SourceError> {
        // A root that is not there yet is compared by its name.
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let is_left_out = |inner: &Path| {
            let inner = inner.to_string_lossy();
            inner.match_indices('/').any(|(at, _)| self.exclude.leaves_out(&inner[..at]))
                || self.exclude.leaves_out(&inner)
        };
        let overlaps = match root.strip_prefix(&self.real) {
            Ok(inner) => inner.as_os_str().is_empty() || !is_left_out(inner),
            // A source inside of the root would be part of a release, of shared data or of deployfile's own state.
            Err(_) => self.real.starts_with(&root),
        };
        if overlaps {
            let (path, root) = (self.path.to_string(), root.display().to_string());
            return Err(SourceError::Overlaps { path, root });
        }
        Ok(())
    }

    /// Its files and symlinks.
    fn scan(&self) -> Result<Vec<Entry>, SourceError> {
        let mut entries = scan_some(&self.dir, threads(), &|path, _| !self.exclude.leaves_out(path))?;
        entries.retain(|entry| entry.stat.kind != Kind::Dir);
        if entries.len() > MAX_FILES {
            return Err(SourceError::TooLarge { what: format!("{MAX_FILES} files") });
        }
        for entry in &entries {
            rules::check_path(&entry.path)?;
            if entry.stat.kind == Kind::Other {
                let why = "it is a socket, pipe or device";
                return Err(SourceError::PathRefused { path: escape(&entry.path).into_owned(), why });
            }
        }
        let links = entries.iter().filter_map(|e| Some((e.path.as_str(), e.target.as_deref()?)));
        rules::check_links(&links.collect())?;
        Ok(entries)
    }

    /// Digests of its files, in the order of `entries`; `None` for symlinks.
    fn digests(&self, entries: &[Entry]) -> Result<Vec<Option<Digest>>, SourceError> {
        let files: Vec<usize> =
            (0..entries.len()).filter(|index| entries[*index].stat.kind == Kind::File).collect();
        let paths: Vec<&str> = files.iter().map(|index| entries[*index].path.as_str()).collect();
        let mut digests = vec![None; entries.len()];
        for (index, digest) in files.into_iter().zip(digest_files(&self.dir, &paths, threads())) {
            digests[index] = Some(digest?);
        }
        Ok(digests)
    }

    /// The listing of what was read; the tree digest is its revision.
    fn listing(
        &self,
        entries: &[Entry],
        digests: Vec<Option<Digest>>,
        share: ShareMode,
    ) -> Result<Listing, SourceError> {
        let gone = |entry: &Entry| SourceError::Changed {
            path: self.path.to_string(),
            planned: "all of it".to_owned(),
            found: format!("without `{}`", escape(&entry.path)),
        };
        let listed = entries.iter().zip(digests).map(|(entry, digest)| {
            let what = match (&entry.target, digest) {
                (Some(target), _) => What::Link { target: target.clone() },
                (None, Some(digest)) => {
                    What::File { is_executable: is_executable(entry), digest, size: entry.stat.size }
                }
                (None, None) => return Err(gone(entry)),
            };
            Ok(Listed { path: entry.path.clone(), oid: String::new(), what })
        });
        let entries = listed.collect::<Result<Vec<_>, _>>()?;
        let mut listing = Listing { revision: String::new(), share, entries };
        listing.revision = listing.tree_digest().to_string();
        Ok(listing)
    }
}

/// As git sees it: its owner may execute it.
fn is_executable(entry: &Entry) -> bool {
    entry.stat.mode & 0o100 != 0
}

struct Copying<'a> {
    source: &'a Source<'a>,
    entries: &'a [Entry],
    release: &'a Dir,
    share: ShareMode,
    stop: &'a Stop,
}

type Digests = Vec<Option<Digest>>;

impl Copying<'_> {
    fn fill(
        &self,
        cache: &Dir,
        id: &ReleaseId,
        base: Option<&Base>,
        tree: &Digest,
    ) -> Result<Populated, SourceError> {
        let (digests, from_base, given) = match base {
            Some(base) if self.share == ShareMode::Hardlink || may_reflink(self.release)? => {
                self.with_base(base)?
            }
            // To copy from the one is as much work as to copy from the other.
            _ => (self.all()?, 0, None),
        };
        let listing = self.source.listing(self.entries, digests, self.share)?;
        if listing.revision != tree.to_string() {
            let (path, planned) = (self.source.path.to_string(), tree.to_string());
            return Err(SourceError::Changed { path, planned, found: listing.revision });
        }
        let filled = fill::finish(cache, id, self.release, &listing)?;
        if let (Some(base), Some(given), ShareMode::Hardlink) = (base, given, self.share) {
            base.note_links(cache, &given, &filled.entries, &filled.moment)?;
        }
        Ok(listing.populated(from_base, Vec::new()))
    }

    /// Copies everything from the source and takes digests on the way.
    fn all(&self) -> Result<Digests, SourceError> {
        let wanted = self.entries.iter().map(|entry| entry.stat.kind == Kind::File).collect();
        let mut digests = vec![None; self.entries.len()];
        self.copy(wanted, &mut digests)?;
        Ok(digests)
    }

    /// Takes from the base what is the same there, and the rest from the source.
    fn with_base(&self, base: &Base) -> Result<(Digests, usize, Option<Given>), SourceError> {
        let mut digests = self.source.digests(self.entries)?;
        let mut files: Vec<(usize, Kept<'_>)> = Vec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            if let Some(digest) = &digests[index]
                && let Some(kept) = base.sealed_file(&entry.path, digest, is_executable(entry), self.share)
            {
                files.push((index, kept));
            }
        }
        let kept: Vec<Kept<'_>> = files.iter().map(|(_, kept)| *kept).collect();
        let given = base.give(self.release, &kept, self.share)?;
        let mut wanted: Vec<bool> = digests.iter().map(Option::is_some).collect();
        let mut taken = 0;
        for ((index, _), is_there) in files.iter().zip(&given.is_there) {
            if *is_there {
                wanted[*index] = false;
                taken += 1;
            }
        }
        self.copy(wanted, &mut digests)?;
        Ok((digests, taken, Some(given)))
    }

    /// Copies files of the source; what was copied decides their digests.
    fn copy(&self, wanted: Vec<bool>, digests: &mut Digests) -> Result<(), SourceError> {
        if self.stop.asked() {
            return Err(SourceError::Interrupted);
        }
        let wanted: Vec<usize> = (0..wanted.len()).filter(|index| wanted[*index]).collect();
        let jobs: Vec<CopyJob<'_>> = wanted
            .iter()
            .map(|index| &self.entries[*index])
            .map(|entry| CopyJob {
                path: &entry.path,
                expected: None,
                mode: Some(file_mode(is_executable(entry), self.share)),
            })
            .collect();
        let outcomes = copy_files(&self.source.dir, self.release, &jobs, threads(), CopyMode::Copy)?;
        let mut unread = Vec::new();
        for (index, outcome) in wanted.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Copied(digest) => digests[index] = Some(digest),
                Outcome::Reflinked | Outcome::Linked => unread.push(index),
                Outcome::Differs(_) => digests[index] = None,
            }
        }
        self.read_copies(&unread, digests)?;
        Ok(())
    }

    /// A reflink did not read what it shares.
    fn read_copies(&self, unread: &[usize], digests: &mut Digests) -> Result<(), DiskError> {
        let paths: Vec<&str> = unread.iter().map(|index| self.entries[*index].path.as_str()).collect();
        for (index, digest) in unread.iter().zip(digest_files(self.release, &paths, threads())) {
            digests[*index] = Some(digest?);
        }
        Ok(())
    }
}
