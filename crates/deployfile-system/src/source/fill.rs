//! What filling a release from any source begins and ends with.

use super::base::{find, read_listing, release_path};
use super::error::SourceError;
use super::line::escape;
use super::listing::{self, Listed, Listing, What, file_mode};
use super::{Populated, rules, threads};
use crate::release::{Known, Moment, StatCache, boot};
use deployfile_disk::tree::{
    Entry, TreeWriter, WHOLE_SYNC_ABOVE, create_dirs, scan, set_dir_modes, with_early_sync,
};
use deployfile_disk::{Dir, DiskError, Kind};
use deployfile_model::spec::{App, ShareMode};
use deployfile_model::{RelPath, ReleaseId};
use deployfile_record::release::{RELEASE_DIR, rel};
use std::collections::BTreeSet;

/// Directories of a source get this mode: no source that deployfile knows has another to offer.
const DIR_MODE: u32 = 0o755;

/// A release that is to be filled.
pub(super) enum Start {
    /// It holds just this source already.
    Filled(Listing),
    /// It is empty.
    Empty(Dir),
}

/// Looks at the release directory. What an earlier try left is kept when it is whole, else taken away: a file that a
/// crash cut short cannot be told from one that is as it should be without fetching it again.
pub(super) fn start(
    root: &Dir,
    cache: &Dir,
    id: &ReleaseId,
    revision: &str,
    share: ShareMode,
) -> Result<Start, SourceError> {
    let path = release_path(id);
    root.create_dir_all(&path, DIR_MODE)?;
    let release = root.open_dir(&path)?;
    if release.entries()?.is_empty() {
        boot::note(cache, id)?;
        return Ok(Start::Empty(release));
    }
    if !boot::is_over(cache, id)?
        && let Some(listing) = read_listing(&release)?
        && listing.revision == revision
        && listing.share == share
        && let Some(stats) = StatCache::load(cache, id)?
        && is_whole(&listing, &scan(&release, threads())?, &stats)
    {
        return Ok(Start::Filled(listing));
    }
    drop(release);
    let releases = root.open_dir(&rel(App::RELEASES))?;
    let name = RelPath::new(id.as_str()).unwrap_or_else(|_| path.clone());
    let trash = releases.rename_to_trash(&name)?;
    releases.create_dir_new(&name, DIR_MODE)?;
    releases.remove_tree(&trash)?;
    boot::note(cache, id)?;
    Ok(Start::Empty(releases.open_dir(&name)?))
}

fn is_whole(listing: &Listing, entries: &[Entry], stats: &StatCache) -> bool {
    let is_theirs = |listed: &Listed| match (find(entries, &listed.path), &listed.what) {
        (Some(entry), What::File { digest, .. }) => {
            trouble(listed, entry, listing.share).is_none() && stats.digest_of(entry) == Some(*digest)
        }
        (Some(entry), What::Link { .. }) => trouble(listed, entry, listing.share).is_none(),
        (None, _) => false,
    };
    let files = entries.iter().filter(|entry| entry.stat.kind != Kind::Dir && !is_ours(&entry.path));
    files.count() == listing.entries.len() && listing.entries.iter().all(is_theirs)
}

/// Whether a path is beneath `.release`.
fn is_ours(path: &str) -> bool {
    path.strip_prefix(RELEASE_DIR).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Makes the directories of a source, and `.release`.
pub(super) fn make_directories(release: &Dir, directories: &BTreeSet<&str>) -> Result<(), DiskError> {
    let all: Vec<(&str, u32)> =
        directories.iter().copied().chain([RELEASE_DIR]).map(|path| (path, DIR_MODE)).collect();
    create_dirs(release, all.iter().copied())?;
    set_dir_modes(release, &all)
}

/// Makes the symlinks of a source, which must not lead out of it.
pub(super) fn make_links<'a>(
    release: &Dir,
    links: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), SourceError> {
    let links = links.collect();
    rules::check_links(&links)?;
    let mut writer = TreeWriter::new(release);
    for (path, target) in links {
        writer.create_link(path, target)?;
    }
    Ok(())
}

/// Runs `work`, which fills a release with so many files. Where they are many, the disk takes them in meanwhile, so that
/// `seal` has less to wait for.
pub(super) fn early_synced<T>(
    release: &Dir,
    files: usize,
    work: impl FnOnce() -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    if files > WHOLE_SYNC_ABOVE { with_early_sync(release, work)? } else { work() }
}

/// A release that holds its source.
pub(super) struct Filled {
    /// What stands in it.
    pub(super) entries: Vec<Entry>,
    /// The clock before it was looked at.
    pub(super) moment: Moment,
}

/// Looks at all that was written, and writes down what it is: `.release/source`, last, says that the source is whole.
pub(super) fn finish(
    cache: &Dir,
    id: &ReleaseId,
    release: &Dir,
    listing: &Listing,
) -> Result<Filled, SourceError> {
    let moment = Moment::now(cache)?;
    let entries = scan(release, threads())?;
    let mut known = Vec::with_capacity(listing.entries.len());
    for listed in &listing.entries {
        let entry = find(&entries, &listed.path).ok_or_else(|| disturbed(&listed.path, "is gone"))?;
        if let Some(why) = trouble(listed, entry, listing.share) {
            return Err(disturbed(&listed.path, why));
        }
        if let What::File { digest, size, .. } = &listed.what {
            let path = listed.path.clone();
            known.push(Known { path, ctime_ns: entry.stat.ctime_ns, size: *size, digest: *digest });
        }
    }
    StatCache { taken_ns: moment.ns, known }.store(cache, id)?;
    write_listing(release, listing)?;
    Ok(Filled { entries, moment })
}

fn write_listing(release: &Dir, listing: &Listing) -> Result<(), DiskError> {
    let (path, incoming) = (rel(listing::PATH), rel(".release/source.new"));
    release.remove_file(&incoming)?;
    release.write_new(&incoming, &listing.write(), 0o644)?;
    release.rename(&incoming, &path)
}

fn disturbed(path: &str, why: &'static str) -> SourceError {
    SourceError::Disturbed { path: escape(path).into_owned(), why }
}

/// What is wrong with an entry that was just made, its content aside.
fn trouble(listed: &Listed, entry: &Entry, share: ShareMode) -> Option<&'static str> {
    match (&listed.what, entry.stat.kind) {
        (What::File { size, .. }, Kind::File) if entry.stat.size != *size => Some("has another size"),
        (What::File { is_executable, .. }, Kind::File) => {
            (entry.stat.mode != file_mode(*is_executable, share)).then_some("has another mode")
        }
        (What::Link { target }, Kind::Symlink) => {
            (entry.target.as_deref() != Some(target)).then_some("leads elsewhere")
        }
        _ => Some("is something else"),
    }
}

impl Listing {
    /// What filling a release with this came to.
    pub(super) fn populated(&self, from_base: usize, warnings: Vec<super::SourceWarning>) -> Populated {
        Populated {
            revision: self.revision.clone(),
            files: self.entries.len(),
            bytes: self.bytes(),
            from_base,
            warnings,
        }
    }
}
