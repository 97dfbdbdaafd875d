//! What stands in a commit, submodules included.

use super::super::error::SourceError;
use super::super::line::escape;
use super::super::rules;
use super::fetcher::Fetcher;
use super::is_object_id;
use super::mirror::Mirror;
use deployfile_disk::Dir;
use std::collections::BTreeMap;

/// Entries that a source may have, those of its submodules included.
const MAX_ENTRIES: usize = 2_000_000;
/// Submodules in submodules.
const MAX_NESTING: usize = 8;
/// Repositories of one source.
const MAX_REPOSITORIES: usize = 256;

/// All entries of a commit and the mirrors that hold them.
pub(super) struct Commit<'a> {
    /// Where the blobs are.
    pub(super) mirrors: Vec<Mirror<'a>>,
    /// Sorted by path.
    pub(super) entries: Vec<Blob>,
    /// Submodules that were left out because `submodules` is off.
    pub(super) left_out: Vec<String>,
}

/// A file or symlink of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob {
    /// Beneath the source.
    pub(super) path: String,
    /// Object id.
    pub(super) oid: String,
    /// What it becomes.
    pub(super) kind: BlobKind,
    /// Index into [`Commit::mirrors`].
    pub(super) mirror: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlobKind {
    /// Mode 100644.
    File,
    /// Mode 100755.
    Executable,
    /// Mode 120000; the content is the target.
    Link,
}

/// Lists the commit of `first`; mirrors of submodules are beneath `cache` too.
pub(super) fn list<'a>(
    cache: &Dir,
    first: Mirror<'a>,
    with_submodules: bool,
    fetcher: &mut Fetcher<'a>,
) -> Result<Commit<'a>, SourceError> {
    let mut walk = Walk { cache, with_submodules, fetcher, found: Commit::empty() };
    walk.repository(first, "", 0)?;
    let mut found = walk.found;
    found.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    for entry in &found.entries {
        rules::check_path(&entry.path)?;
    }
    Ok(found)
}

impl Commit<'_> {
    fn empty() -> Self {
        Self { mirrors: Vec::new(), entries: Vec::new(), left_out: Vec::new() }
    }
}

struct Walk<'a, 'b> {
    cache: &'b Dir,
    with_submodules: bool,
    fetcher: &'b mut Fetcher<'a>,
    found: Commit<'a>,
}

impl<'a> Walk<'a, '_> {
    fn repository(&mut self, mirror: Mirror<'a>, prefix: &str, depth: usize) -> Result<(), SourceError> {
        let args = ["ls-tree", "-r", "-z", "--full-tree", &mirror.commit];
        let text = mirror.read("list the files of", &args)?;
        let index = self.found.mirrors.len();
        let mut submodules = Vec::new();
        for record in text.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
            match read_record(record, prefix, index)? {
                Record::Blob(blob) => self.found.entries.push(blob),
                Record::Submodule { path, commit } if self.with_submodules => submodules.push((path, commit)),
                Record::Submodule { path, .. } => self.found.left_out.push(path),
            }
        }
        if self.found.entries.len() > MAX_ENTRIES {
            return Err(SourceError::TooLarge { what: format!("{MAX_ENTRIES} files") });
        }
        let urls = if submodules.is_empty() { BTreeMap::new() } else { submodule_urls(&mirror)? };
        let url = mirror.url.clone();
        self.found.mirrors.push(mirror);
        for (path, commit) in submodules {
            let refuse = |why: String| SourceError::Submodule { path: escape(&path).into_owned(), why };
            if depth >= MAX_NESTING || self.found.mirrors.len() >= MAX_REPOSITORIES {
                let limits = format!("more than {MAX_NESTING} levels or {MAX_REPOSITORIES} repositories");
                return Err(refuse(limits));
            }
            let inner = path.strip_prefix(prefix).unwrap_or(&path);
            let its_url =
                urls.get(inner).ok_or_else(|| refuse("`.gitmodules` has no URL for it".to_owned()))?;
            let submodule = Mirror::with_commit(self.cache, url.submodule(its_url)?, &commit, self.fetcher)?;
            self.repository(submodule, &format!("{path}/"), depth + 1)?;
        }
        Ok(())
    }
}

enum Record {
    Blob(Blob),
    Submodule { path: String, commit: String },
}

/// Reads `<mode> <type> <object>TAB<path>` (git-ls-tree(1)).
fn read_record(record: &[u8], prefix: &str, mirror: usize) -> Result<Record, SourceError> {
    let unreadable = || SourceError::GitAnswer {
        verb: "list the files of a commit",
        why: format!("git ls-tree answered `{}`", String::from_utf8_lossy(record).escape_debug()),
    };
    let tab = record.iter().position(|byte| *byte == b'\t').ok_or_else(unreadable)?;
    let (facts, name) = (&record[..tab], &record[tab + 1..]);
    let Ok(name) = std::str::from_utf8(name) else {
        let path = String::from_utf8_lossy(name).escape_debug().to_string();
        return Err(SourceError::PathRefused { path, why: "its name is not UTF-8" });
    };
    let path = format!("{prefix}{name}");
    let facts = std::str::from_utf8(facts).map_err(|_| unreadable())?;
    let mut facts = facts.split(' ');
    let (Some(mode), Some(_), Some(oid), None) = (facts.next(), facts.next(), facts.next(), facts.next())
    else {
        return Err(unreadable());
    };
    if !is_object_id(oid) {
        return Err(unreadable());
    }
    let oid = oid.to_owned();
    let kind = match mode {
        "120000" => BlobKind::Link,
        "100755" => BlobKind::Executable,
        "160000" => return Ok(Record::Submodule { path, commit: oid }),
        // Old commits hold 100664 too; git checks it out as 100644.
        mode if mode.starts_with("100") => BlobKind::File,
        _ => return Err(unreadable()),
    };
    Ok(Record::Blob(Blob { path, oid, kind, mirror }))
}

/// URLs of submodules by path, from the commit's `.gitmodules`.
fn submodule_urls(mirror: &Mirror<'_>) -> Result<BTreeMap<String, String>, SourceError> {
    let blob = format!("--blob={}:.gitmodules", mirror.commit);
    let args = ["config", &blob, "-z", "--get-regexp", r"^submodule\..*\.(path|url)$"];
    let text = mirror.read("read .gitmodules of", &args)?;
    let text = String::from_utf8_lossy(&text);
    let (mut paths, mut urls) = (BTreeMap::new(), BTreeMap::new());
    for (key, value) in text.split('\0').filter_map(|record| record.split_once('\n')) {
        let Some(key) = key.strip_prefix("submodule.") else { continue };
        if let Some(name) = key.strip_suffix(".path") {
            paths.insert(name.to_owned(), value.trim_end_matches('/').to_owned());
        } else if let Some(name) = key.strip_suffix(".url") {
            urls.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(paths.into_iter().filter_map(|(name, path)| Some((path, urls.remove(&name)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "0123456789012345678901234567890123456789";

    fn read(record: &str) -> Result<Record, SourceError> {
        read_record(record.as_bytes(), "sub/", 3)
    }

    #[test]
    fn records_are_read_with_their_kind() {
        let kinds =
            [("100644", BlobKind::File), ("100755", BlobKind::Executable), ("120000", BlobKind::Link)];
        for (mode, kind) in kinds {
            let Ok(Record::Blob(blob)) = read(&format!("{mode} blob {OID}\ta\tb\n")) else {
                panic!("{mode}")
            };
            assert_eq!((blob.path.as_str(), blob.kind, blob.mirror), ("sub/a\tb\n", kind, 3));
        }
        assert!(matches!(read(&format!("160000 commit {OID}\tlib")), Ok(Record::Submodule { .. })));
    }

    #[test]
    fn anything_else_is_an_error() {
        for bad in ["", "100644 blob x\ta", "040000 tree 0\ta", &format!("100644 blob {OID}")] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let not_text = [format!("100644 blob {OID}\t").as_bytes(), b"\xff"].concat();
        assert!(matches!(read_record(&not_text, "", 0), Err(SourceError::PathRefused { .. })));
    }
}
