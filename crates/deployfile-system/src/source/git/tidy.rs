//! What goes from the mirrors: commits that no release came from, mirrors that are not used any more, loose objects.

use super::super::base::release_ids;
use super::super::error::SourceError;
use super::super::url::GitUrl;
use super::command::Git;
use super::fetcher::Fetcher;
use super::mirror::{self, KEPT, in_mirror, kept};
use super::named::{self, Named};
use super::{ASK_LIMIT, FETCH_LIMIT, mirrors_if_there, stale};
use crate::release::cache_dir;
use deployfile_disk::Dir;
use deployfile_model::{RelPath, ReleaseId};
use std::collections::BTreeSet;

/// See [`super::tidy_mirrors`].
pub(super) fn tidy(
    root: &Dir,
    fetched: Option<&ReleaseId>,
    fetcher: &mut Fetcher<'_>,
) -> Result<(), SourceError> {
    let Some(mirrors) = mirrors_if_there(root)? else { return Ok(()) };
    let cache = cache_dir(root)?;
    let named = named::of_all(&cache, &release_ids(root)?)?;
    let used: BTreeSet<String> = match fetched {
        Some(release) => named::of(&cache, release)?.into_keys().collect(),
        None => named.keys().cloned().collect(),
    };
    for entry in mirrors.entries()? {
        let Some(name) = entry.text().and_then(|name| RelPath::new(name).ok()) else { continue };
        if used.contains(name.as_str()) {
            tidy_one(&mirrors.open_dir(&name)?, &named, name.as_str(), fetcher)?;
        } else {
            // Not in use, half made or half removed.
            mirror::remove(&mirrors, &name)?;
        }
    }
    Ok(())
}

fn tidy_one(mirror: &Dir, named: &Named, name: &str, fetcher: &mut Fetcher<'_>) -> Result<(), SourceError> {
    stale::sweep(mirror)?;
    let (within, url) = (mirror.proc_path(), GitUrl::new(mirror.path_for_display())?);
    let git = |verb, limit| Git { verb, url: &url, within: Some(&within), limit, stop: fetcher.stop };
    let ask = git("drop commits of the mirror", ASK_LIMIT);
    let refs = ask.run(&in_mirror(&["for-each-ref", "--format=%(refname)", KEPT]))?;
    let wanted: BTreeSet<String> = named.get(name).into_iter().flatten().map(|commit| kept(commit)).collect();
    for reference in String::from_utf8_lossy(&refs).lines().filter(|name| !wanted.contains(*name)) {
        ask.run(&in_mirror(&["update-ref", "-d", reference]))?;
    }
    let pack = git("tidy the mirror", FETCH_LIMIT);
    // Nobody else works in the mirror, so nothing young has to be spared.
    let settings = ["-c", "gc.auto=6700", "-c", "gc.autoDetach=false", "-c", "gc.pruneExpire=now"];
    let args = [&in_mirror(&settings)[..], &["gc", "--auto", "--quiet"]].concat();
    let answer = pack.write(fetcher, &args)?;
    if answer.is_success { Ok(()) } else { Err(pack.failed(answer.messages)) }
}
