//! What a git that was killed leaves in a mirror: locks that stop every later git, and half a pack.
//!
//! Only for whoever holds the root's lock, when no git runs in the mirror: those of an earlier try ended with their guard,
//! or were ended by `resume`.

use super::super::error::SourceError;
use deployfile_disk::{Dir, Kind};
use deployfile_model::RelPath;
use deployfile_record::release::rel;

/// Directories of a repository that git makes locks in, beside `refs` (gitrepository-layout(5)).
const PLACES: [&str; 4] = ["objects/info", "objects/info/commit-graphs", "objects/pack", "logs"];

/// Removes it all.
pub(super) fn sweep(mirror: &Dir) -> Result<(), SourceError> {
    for entry in mirror.entries()? {
        if entry.kind == Kind::File && entry.text().is_some_and(is_stale) {
            remove(mirror, None, entry.text())?;
        }
    }
    // No reference may end in `.lock` (git-check-ref-format(1)), so what does is one.
    let mut places: Vec<RelPath> = vec![rel("refs")];
    while let Some(place) = places.pop() {
        places.extend(sweep_place(mirror, &place)?);
    }
    PLACES.iter().try_for_each(|place| sweep_place(mirror, &rel(place)).map(drop))
}

/// Removes what is stale in one directory; gives the directories in it.
fn sweep_place(mirror: &Dir, place: &RelPath) -> Result<Vec<RelPath>, SourceError> {
    let entries = match mirror.list(place) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut below = Vec::new();
    for entry in entries {
        match (entry.kind, entry.text()) {
            (Kind::File, Some(name)) if is_stale(name) => remove(mirror, Some(place), Some(name))?,
            (Kind::Dir, Some(name)) => below.extend(RelPath::new(name).ok().map(|name| place.join(&name))),
            _ => {}
        }
    }
    Ok(below)
}

/// A lock, or a pack that was being received (`tmp_…`) or written anew (`.tmp-…`).
fn is_stale(name: &str) -> bool {
    name.ends_with(".lock") || name.starts_with("tmp_") || name.starts_with(".tmp-")
}

fn remove(mirror: &Dir, place: Option<&RelPath>, name: Option<&str>) -> Result<(), SourceError> {
    let Some(Ok(name)) = name.map(RelPath::new) else { return Ok(()) };
    mirror.remove_file(&place.map_or_else(|| name.clone(), |place| place.join(&name)))?;
    Ok(())
}
