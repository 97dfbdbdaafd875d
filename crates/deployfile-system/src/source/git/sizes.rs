//! How large a commit is, told without fetching anything.

use super::super::error::SourceError;
use super::super::url::GitUrl;
use super::command::Git;
use super::mirror::{self, kept};
use super::mirrors_if_there;
use deployfile_disk::Dir;
use deployfile_exec::port::Stop;
use deployfile_model::RelPath;
use std::path::PathBuf;
use std::time::Duration;

/// A plan waits no longer than this for sizes, which are good to know only.
const LIMIT: Duration = Duration::from_millis(700);

/// What the files of a commit come to, without its submodules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) bytes: u64,
    pub(super) files: u64,
}

/// Sizes of a commit whose objects are on this machine already: in the repository itself, or in its mirror beneath
/// `root`. `None` when they are not, or git does not tell in time.
pub(super) fn of(
    url: &GitUrl,
    commit: &str,
    root: Option<&Dir>,
    stop: &Stop,
) -> Result<Option<Sizes>, SourceError> {
    let args = |tree| vec!["ls-tree", "-r", "-l", "-z", "--full-tree", tree];
    let (within, tree) = match url.local_path() {
        Some(path) => (Place::Path(PathBuf::from(path)), commit.to_owned()),
        None => match mirror_of(url, root)? {
            // What a fetch that was cut short left has no such name.
            Some(mirror) => (Place::Mirror(mirror), kept(commit)),
            None => return Ok(None),
        },
    };
    let path = within.path();
    let git = Git { verb: "tell the sizes of", url, within: Some(&path), limit: LIMIT, stop };
    let args = args(&tree);
    let answer = match within {
        Place::Path(_) => git.ask(&args),
        Place::Mirror(_) => git.ask(&mirror::in_mirror(&args)),
    };
    match answer {
        Ok(answer) if answer.is_success => Ok(sum(&answer.stdout)),
        Err(SourceError::Interrupted) => Err(SourceError::Interrupted),
        Ok(_) | Err(_) => Ok(None),
    }
}

enum Place {
    Path(PathBuf),
    Mirror(Dir),
}

impl Place {
    fn path(&self) -> PathBuf {
        match self {
            Place::Path(path) => path.clone(),
            Place::Mirror(dir) => dir.proc_path(),
        }
    }
}

fn mirror_of(url: &GitUrl, root: Option<&Dir>) -> Result<Option<Dir>, SourceError> {
    let Some(root) = root else { return Ok(None) };
    let (Some(mirrors), Ok(name)) = (mirrors_if_there(root)?, RelPath::new(url.mirror_name())) else {
        return Ok(None);
    };
    match mirrors.open_dir(&name) {
        Ok(mirror) => Ok(Some(mirror)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Adds up `<mode> <type> <object> <size>TAB<path>` (git-ls-tree(1)); a submodule has `-` in place of a size.
fn sum(listing: &[u8]) -> Option<Sizes> {
    let mut sizes = Sizes::default();
    for record in listing.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
        let facts = record.split(|byte| *byte == b'\t').next()?;
        let size = std::str::from_utf8(facts).ok()?.split_ascii_whitespace().nth(3)?;
        if size != "-" {
            sizes.bytes = sizes.bytes.saturating_add(size.parse().ok()?);
            sizes.files += 1;
        }
    }
    Some(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_added_up() {
        let listing =
            b"100644 blob 01      20\ta\tb\n\x00120000 blob 02       3\tl\x00160000 commit 03       -\ts\0";
        assert_eq!(sum(listing), Some(Sizes { bytes: 23, files: 2 }));
        assert_eq!(sum(b""), Some(Sizes::default()));
        assert_eq!(sum(b"100644 blob 01 BAD\ta\0"), None);
    }
}
