//! Sources: which revision they are at, and getting that revision into a release.
//!
//! What is here: git (through the system's git, with a mirror beneath the root so that only what is new is fetched) and
//! directories of this machine. A file that the release before has already comes from there: as a reflink, a copy whose
//! digest is checked, or a hard link. What is deliberately not here: choosing the revision or the release that files
//! come from (the plan says both), and making the release durable (`release::seal`).

pub(crate) mod base;
mod dir;
mod error;
mod exclude;
mod fill;
mod git;
pub(crate) mod line;
mod listing;
mod rules;
mod url;

pub use dir::observe_dir;
pub use error::{SourceError, Trouble};
pub use git::{Fetcher, observe_git, tidy_mirrors};
pub use listing::{Listed, Listing, What, file_mode};

pub(crate) use listing::PATH as LISTING;

use deployfile_disk::Dir;
use deployfile_model::ReleaseId;
use deployfile_record::effect::{SourceEffect, SourceFrom};

/// What filling a release came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Populated {
    /// Commit id or tree digest.
    pub revision: String,
    /// Files and symlinks.
    pub files: usize,
    /// Bytes of its files.
    pub bytes: u64,
    /// Files that came from the base.
    pub from_base: usize,
    /// To know; nothing is stopped by it.
    pub warnings: Vec<SourceWarning>,
}

/// Something to know that stops nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceWarning {
    /// What.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Fills `releases/<release>` with the source, and says so in `.release/source`. Not durable before the release is
/// sealed. Again after a crash in the middle, or after a success, gives the same release.
pub fn populate(
    root: &Dir,
    release: &ReleaseId,
    effect: &SourceEffect,
    fetcher: &mut Fetcher<'_>,
) -> Result<Populated, SourceError> {
    match &effect.from {
        SourceFrom::Git { url, commit, submodules, .. } => {
            let wanted = git::Wanted { url, commit, submodules: *submodules };
            git::populate(root, release, &wanted, effect, fetcher)
        }
        SourceFrom::Dir { path, exclude, tree } => {
            let wanted = dir::Wanted { path, exclude, tree };
            dir::populate(root, release, &wanted, effect, fetcher.stop)
        }
    }
}

/// Threads for work on files: as many as there are processors, and two to wait for the disk by turns.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 16))
}
