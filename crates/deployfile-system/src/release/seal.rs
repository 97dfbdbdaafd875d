//! Sealing: measuring a release, making it durable, and only then saying that it is whole (lifecycle.md, steps 5 and
//! 6 of its table).

use super::error::ReleaseError;
use super::stat_cache::{Known, Moment, StatCache, cache_dir};
use super::tree::{Node, Tree, What};
use super::{boot, open, read_record, threads};
use crate::source::base::release_path;
use crate::source::line::escape;
use crate::source::{self, Listing, file_mode};
use deployfile_disk::tree::{Entry, digest_files, scan, sync_tree};
use deployfile_disk::{Dir, DiskError, Kind};
use deployfile_exec::port::Stop;
use deployfile_model::spec::{App, ShareMode};
use deployfile_model::{BuildId, Digest, RelPath, ReleaseId};
use deployfile_record::effect::SealEffect;
use deployfile_record::release::{RELEASE_DIR, rel};
use deployfile_record::{FORMAT, ReleaseRecord, Tail};
use std::collections::BTreeSet;

/// What a plan knows of the release that it seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
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
}

/// Seals `releases/<id>`: afterwards it is whole and durable, and says so in `.release/manifest.json`. Sealing it again
/// measures it again.
pub fn seal(
    root: &Dir,
    header: &Header,
    effect: &SealEffect,
    stop: &Stop,
) -> Result<ReleaseRecord, ReleaseError> {
    let release = open(root, &header.id)?;
    let cache = cache_dir(root)?;
    if is_lost(root, &header.id)? {
        return Err(ReleaseError::Restarted { release: header.id.clone() });
    }
    let before = Moment::now(&cache)?;
    let mut all = scan(&release, threads())?;
    if remove_incoming(&release, &all)? {
        all = scan(&release, threads())?;
    }
    let entries: Vec<&Entry> = all.iter().filter(|entry| is_measured(&entry.path)).collect();
    let sealing = Sealing { root, release: &release, header, entries: &entries };
    let stats = StatCache::load(&cache, &header.id)?;
    let digests = sealing.digests(stats.as_ref())?;
    sealing.refuse_shared_writes(&digests)?;
    let tree = sealing.tree(&digests, &effect.secret_files)?;
    let text = tree.write();
    put(&release, ReleaseRecord::TREE, &text)?;
    if stop.asked() {
        return Err(ReleaseError::Interrupted);
    }
    make_durable(&release, &all)?;
    let read_back = sealing.read_back(&cache, &digests, &before)?;
    let record = record(header, effect, &tree, &text);
    write_record(&release, &record)?;
    root.sync_at(&rel(App::RELEASES))?;
    read_back.store(&cache, &header.id)?;
    boot::forget(&cache, &header.id)?;
    Ok(record)
}

/// Whether the machine was started again since this release was filled, and it is not sealed: nothing of it is durable.
pub fn is_lost(root: &Dir, id: &ReleaseId) -> Result<bool, ReleaseError> {
    if !boot::is_over(&cache_dir(root)?, id)? {
        return Ok(false);
    }
    let path = release_path(id);
    let is_there = root.stat(&path)?.is_some();
    Ok(!is_there || read_record(&root.open_dir(&path)?)?.is_none())
}

/// What a killed run was writing anew does not become part of the release. Tells whether there was any.
fn remove_incoming(release: &Dir, all: &[Entry]) -> Result<bool, ReleaseError> {
    let mut found = false;
    for entry in all.iter().filter(|entry| entry.is_incoming()) {
        if let Ok(path) = RelPath::new(&entry.path) {
            found |= release.remove_file(&path)?;
        }
    }
    Ok(found)
}

/// All but `.release`, of which only the tail is part of a release.
pub(super) fn is_measured(path: &str) -> bool {
    match path.strip_prefix(RELEASE_DIR) {
        Some(rest) => (!rest.is_empty() && !rest.starts_with('/')) || path == Tail::PATH,
        None => true,
    }
}

fn record(header: &Header, effect: &SealEffect, tree: &Tree, text: &[u8]) -> ReleaseRecord {
    ReleaseRecord {
        format: FORMAT,
        id: header.id.clone(),
        build_id: header.build_id.clone(),
        revision: header.revision.clone(),
        spec: header.spec,
        parent: header.parent.clone(),
        plugins: effect.plugins.clone(),
        overrides: effect.overrides.clone(),
        tree: Digest::of(text),
        bytes: tree.bytes(),
        entries: tree.nodes.len() as u64,
    }
}

fn write_record(release: &Dir, record: &ReleaseRecord) -> Result<(), ReleaseError> {
    let path = rel(ReleaseRecord::PATH);
    let mut text = serde_json::to_vec_pretty(record)
        .map_err(|error| ReleaseError::Damaged { path: path.to_string(), why: error.to_string() })?;
    text.push(b'\n');
    Ok(release.replace(&path, &text, 0o644)?)
}

/// Writes a file in the place of another. It is durable with the tree.
fn put(release: &Dir, path: &'static str, text: &[u8]) -> Result<(), DiskError> {
    release.create_dir(&rel(RELEASE_DIR), 0o755)?;
    let incoming = rel(".release/tree.new");
    release.remove_file(&incoming)?;
    release.write_new(&incoming, text, 0o644)?;
    release.rename(&incoming, &rel(path))
}

fn make_durable(release: &Dir, all: &[Entry]) -> Result<(), ReleaseError> {
    let of_kind = |kind| {
        let entries = all.iter().filter(move |entry| entry.stat.kind == kind);
        let paths = entries.map(|entry| entry.path.as_str());
        // Of deployfile's own files there may be some that a crash cut short.
        paths.filter(|path| is_measured(path) || *path == source::LISTING)
    };
    // Written after the scan.
    let mut files: BTreeSet<&str> = of_kind(Kind::File).collect();
    files.insert(ReleaseRecord::TREE);
    let mut dirs: BTreeSet<&str> = of_kind(Kind::Dir).collect();
    dirs.insert(RELEASE_DIR);
    let (files, dirs): (Vec<_>, Vec<_>) = (files.into_iter().collect(), dirs.into_iter().collect());
    sync_tree(release, &files, &dirs).map_err(|error| match error {
        DiskError::Call { path, source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            ReleaseError::Disturbed { path, why: "went away" }
        }
        error => error.into(),
    })
}

struct Sealing<'a> {
    root: &'a Dir,
    release: &'a Dir,
    header: &'a Header,
    entries: &'a [&'a Entry],
}

/// For each entry the digest of its file; `None` for what is not a file.
type Digests = [Option<Digest>];

impl Sealing<'_> {
    /// Digests of all files. Those that did not change since they were written by us are known.
    fn digests(&self, stats: Option<&StatCache>) -> Result<Vec<Option<Digest>>, ReleaseError> {
        let mut digests = vec![None; self.entries.len()];
        let mut unknown = Vec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            match entry.stat.kind {
                Kind::Other => {
                    return Err(ReleaseError::Special { path: escape(&entry.path).into_owned() });
                }
                Kind::File => {
                    digests[index] = stats.and_then(|stats| stats.digest_of(entry));
                    if digests[index].is_none() {
                        unknown.push(index);
                    }
                }
                Kind::Dir | Kind::Symlink => {}
            }
        }
        let paths: Vec<&str> = unknown.iter().map(|index| self.entries[*index].path.as_str()).collect();
        for (index, digest) in unknown.iter().zip(digest_files(self.release, &paths, threads())) {
            digests[*index] = Some(digest?);
        }
        Ok(digests)
    }

    /// Files that are hard links of the base's must hold what they held, and have the mode they had.
    fn refuse_shared_writes(&self, digests: &Digests) -> Result<(), ReleaseError> {
        let Some(parent) = &self.header.parent else { return Ok(()) };
        if !self.entries.iter().any(|entry| entry.stat.kind == Kind::File && entry.stat.nlink > 1) {
            return Ok(());
        }
        let Some(listing) = source::base::read_listing(self.release)? else { return Ok(()) };
        if listing.share != ShareMode::Hardlink {
            return Ok(());
        }
        for (entry, digest) in self.entries.iter().zip(digests) {
            let Some(what) = wrong_with_shared(&listing, entry, digest.as_ref()) else { continue };
            if self.is_shared(parent, entry)? {
                let path = escape(&entry.path).into_owned();
                return Err(ReleaseError::SharedWrite { path, with: parent.clone(), what });
            }
        }
        Ok(())
    }

    /// Whether the parent has this very inode at the same path.
    fn is_shared(&self, parent: &ReleaseId, entry: &Entry) -> Result<bool, DiskError> {
        // A name that cannot be asked for is taken to be shared: it has another name somewhere.
        let Ok(path) = RelPath::new(entry.path.as_str()) else { return Ok(true) };
        let theirs = self.root.stat(&release_path(parent).join(&path))?;
        Ok(theirs.is_some_and(|theirs| theirs.is_same_inode(&entry.stat)))
    }

    fn tree(&self, digests: &Digests, secrets: &[RelPath]) -> Result<Tree, ReleaseError> {
        let mut missing: BTreeSet<&str> = secrets.iter().map(RelPath::as_str).collect();
        let nodes = self.entries.iter().zip(digests).map(|(entry, digest)| {
            let what = match (&entry.target, digest) {
                (Some(target), _) => What::Link { target: target.clone() },
                (None, Some(_)) if missing.remove(entry.path.as_str()) => What::Secret,
                (None, Some(digest)) => What::File { digest: *digest, size: entry.stat.size },
                (None, None) => What::Dir,
            };
            // Links have no mode of their own (symlink(7)).
            let mode = if entry.target.is_some() { 0 } else { entry.stat.mode };
            Node { path: entry.path.clone(), mode, what }
        });
        let tree = Tree { nodes: nodes.collect() };
        match missing.first() {
            Some(path) => Err(ReleaseError::SecretMissing { path: (*path).to_owned() }),
            None => Ok(tree),
        }
    }

    /// Looks at everything again, now that it is durable. A file that was not touched since it was measured holds what
    /// was measured; one whose clock cannot tell that is read again.
    fn read_back(&self, cache: &Dir, digests: &Digests, before: &Moment) -> Result<StatCache, ReleaseError> {
        let moment = Moment::now(cache)?;
        let again = scan(self.release, threads())?;
        let mut again = again.into_iter().filter(|entry| is_measured(&entry.path));
        let disturbed =
            |path: &str, why| Err(ReleaseError::Disturbed { path: escape(path).into_owned(), why });
        let mut known = Vec::with_capacity(self.entries.len());
        let mut doubtful = Vec::new();
        for (entry, digest) in self.entries.iter().zip(digests) {
            match again.next() {
                Some(now) if now == **entry => {}
                Some(now) if now.path < entry.path => return disturbed(&now.path, "appeared"),
                Some(now) if now.path == entry.path => return disturbed(&entry.path, "changed"),
                _ => return disturbed(&entry.path, "went away"),
            }
            let Some(digest) = digest else { continue };
            if entry.stat.ctime_ns >= before.ns {
                doubtful.push((entry.path.as_str(), *digest));
            }
            let (path, ctime_ns, size) = (entry.path.clone(), entry.stat.ctime_ns, entry.stat.size);
            known.push(Known { path, ctime_ns, size, digest: *digest });
        }
        if let Some(added) = again.next() {
            return disturbed(&added.path, "appeared");
        }
        let paths: Vec<&str> = doubtful.iter().map(|(path, _)| *path).collect();
        for ((path, digest), now) in doubtful.iter().zip(digest_files(self.release, &paths, threads())) {
            if now? != *digest {
                return disturbed(path, "changed");
            }
        }
        Ok(StatCache { taken_ns: moment.ns, known })
    }
}

/// What a step did to a file of the source that has several names.
fn wrong_with_shared(listing: &Listing, entry: &Entry, digest: Option<&Digest>) -> Option<&'static str> {
    let digest = digest.filter(|_| entry.stat.nlink > 1)?;
    match &listing.get(&entry.path)?.what {
        source::What::File { digest: listed, .. } if listed != digest => Some("wrote into it"),
        source::What::File { is_executable, .. } => {
            (entry.stat.mode != file_mode(*is_executable, ShareMode::Hardlink)).then_some("changed its mode")
        }
        source::What::Link { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tail_of_deployfiles_own_files_is_measured() {
        for (path, expected) in [
            ("app.py", true),
            (".release", false),
            (".release/tree", false),
            (".release/manifest.json", false),
            (".release/source", false),
            (".release/tail.json", true),
            (".released", true),
            ("sub/.release/x", true),
        ] {
            assert_eq!(is_measured(path), expected, "{path}");
        }
    }
}
