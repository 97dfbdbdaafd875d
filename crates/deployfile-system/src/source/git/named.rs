//! Which commits of which mirrors a release came from, submodules included: noted in the cache when it is filled, so
//! that what no release needs any more can go.
//!
//! A convenience: where a note is missing or damaged, more is fetched the next time.

use super::super::error::SourceError;
use super::tree::Commit;
use deployfile_disk::Dir;
use deployfile_model::{RelPath, ReleaseId};
use deployfile_record::release::rel;
use std::collections::{BTreeMap, BTreeSet};

/// Commits by the mirror's name.
pub(super) type Named = BTreeMap<String, BTreeSet<String>>;

const TITLE: &str = "deployfile commits 1\n";
/// The last line, so that a note that a crash cut short is told.
const END: &str = "end\n";
const PREFIX: &str = "commits-";
const MAX_BYTES: u64 = 1 << 20;

/// The name of a release's note. An id is at most 128 bytes of plain characters, so this is always a name.
fn name(release: &ReleaseId) -> RelPath {
    RelPath::new(format!("{PREFIX}{release}")).unwrap_or_else(|_| rel("commits"))
}

/// Notes what a release is filled from. Not durable.
pub(super) fn note(cache: &Dir, release: &ReleaseId, commit: &Commit<'_>) -> Result<(), SourceError> {
    let mut text = TITLE.to_owned();
    for mirror in &commit.mirrors {
        for part in [&mirror.url.mirror_name(), "\t", &mirror.commit, "\n"] {
            text.push_str(part);
        }
    }
    text.push_str(END);
    let incoming = rel("commits.new");
    cache.remove_file(&incoming)?;
    cache.write_new(&incoming, text.as_bytes(), 0o600)?;
    Ok(cache.rename(&incoming, &name(release))?)
}

/// What a release was filled from; nothing, when that is not known.
pub(super) fn of(cache: &Dir, release: &ReleaseId) -> Result<Named, SourceError> {
    match cache.read(&name(release), MAX_BYTES) {
        Ok(text) => Ok(read(&text).unwrap_or_default()),
        Err(error) if error.is_not_found() => Ok(Named::new()),
        Err(error) => Err(error.into()),
    }
}

/// What these releases were filled from. Notes of others are removed.
pub(super) fn of_all(cache: &Dir, releases: &BTreeSet<ReleaseId>) -> Result<Named, SourceError> {
    let mut all = Named::new();
    for entry in cache.entries()? {
        let Some(id) = entry.text().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let Ok(id) = ReleaseId::new(id) else { continue };
        if !releases.contains(&id) {
            cache.remove_file(&name(&id))?;
            continue;
        }
        for (mirror, commits) in of(cache, &id)? {
            all.entry(mirror).or_default().extend(commits);
        }
    }
    Ok(all)
}

fn read(text: &[u8]) -> Option<Named> {
    let lines = std::str::from_utf8(text).ok()?.strip_prefix(TITLE)?.strip_suffix(END)?;
    let mut named = Named::new();
    for line in lines.lines() {
        let (mirror, commit) = line.split_once('\t')?;
        named.entry(mirror.to_owned()).or_default().insert(commit.to_owned());
    }
    Some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_that_is_not_whole_says_nothing() {
        let text = format!("{TITLE}a.git\t01\na.git\t02\nb.git\t01\n{END}");
        let named = read(text.as_bytes()).unwrap();
        assert_eq!(named["a.git"].len(), 2);
        assert_eq!(named["b.git"].len(), 1);
        assert!((0..text.len()).all(|len| read(&text.as_bytes()[..len]).is_none()));
    }
}
