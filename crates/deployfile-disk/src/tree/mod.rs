//! Trees of many thousand files: looking at them, copying, digesting and syncing them on several threads.
//!
//! Paths here are text beneath a handle, as RelPath but without its limits on characters: names of somebody's files,
//! not of ours. Work is done directory by directory, on a handle of the directory, so that a path is resolved once for
//! many files.

mod copy;
mod digest;
mod make;
mod pool;
mod scan;
mod sync;

pub use copy::{CopyJob, CopyMode, Outcome, copy_files};
pub use digest::digest_files;
pub use make::{TreeWriter, create_dirs, set_dir_modes};
pub use scan::{Entry, MAX_DEPTH, MAX_ENTRIES, scan, scan_some};
pub use sync::{SYNC_THREADS, WHOLE_SYNC_ABOVE, sync_tree, with_early_sync};

use crate::dir::{DIRECTORY, Dir, open_beneath};
use crate::error::DiskError;
use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};

/// Files that one thread takes at a time.
const CHUNK: usize = 128;

/// Some names of one directory, by their place in the caller's list.
struct Group<'a> {
    within: &'a str,
    members: Vec<(usize, &'a str)>,
}

/// Sorts paths into groups of at most [`CHUNK`] names of one directory.
fn by_directory<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<Group<'a>> {
    let mut directories: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
    for (index, path) in paths.enumerate() {
        let (within, name) = split(path);
        directories.entry(within).or_default().push((index, name));
    }
    directories
        .into_iter()
        .flat_map(|(within, members)| {
            let chunks: Vec<_> = members.chunks(CHUNK).map(<[_]>::to_vec).collect();
            chunks.into_iter().map(move |members| Group { within, members })
        })
        .collect()
}

/// The directory and the name of a path; the directory of a single component is empty.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Opens a directory beneath `dir`; the empty path is `dir` itself.
fn open_within(dir: &Dir, within: &str) -> Result<OwnedFd, DiskError> {
    let path = if within.is_empty() { "." } else { within };
    open_beneath(dir.fd.as_fd(), path, DIRECTORY)
        .map_err(|errno| DiskError::open("open directory", &format_args!("{}/{within}", dir.path), errno))
}
