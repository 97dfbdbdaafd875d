//! Copying the files of one tree into another: a reflink where the file system can, else byte by byte with the digest
//! taken on the way; or a hard link where no writer is feared.

use super::digest::{BUFFER, open_file, read};
use super::make::TreeWriter;
use super::{Group, by_directory, open_within, pool};
use crate::call::{self, At};
use crate::dir::Dir;
use crate::error::DiskError;
use crate::fault::Errno;
use crate::stat::Stat;
use deployfile_model::Digest;
use rustix::fs::{self, Timespec, Timestamps, UTIME_OMIT};
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// One file to be copied to the same path in another tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyJob<'a> {
    /// Its path beneath both directories. The directory that is to hold it exists, the file does not.
    pub path: &'a str,
    /// What it must hold; looked at only where bytes are copied.
    pub expected: Option<Digest>,
    /// The mode that a file of its own gets; `None`: that of the source.
    pub mode: Option<u32>,
}

/// How files get into the other tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyMode {
    /// A file of its own, which shares no inode.
    Copy,
    /// Another name of the same file. Only for trees that nobody writes.
    Hardlink,
}

/// What became of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its bytes were copied; this is their digest.
    Copied(Digest),
    /// It shares its extents with the source until one of them is written. Its bytes were not looked at.
    Reflinked,
    /// It is another name of the source. Its bytes were not looked at.
    Linked,
    /// The source does not hold what was expected, or is not a readable file any more (`None`); nothing is at the
    /// path.
    Differs(Option<Digest>),
}

/// Copies files with mode and modification time; answers in the order of `jobs`. No owner is set: a copy is ours.
/// Nothing is synced.
pub fn copy_files(
    from: &Dir,
    to: &Dir,
    jobs: &[CopyJob<'_>],
    threads: usize,
    mode: CopyMode,
) -> Result<Vec<Outcome>, DiskError> {
    let groups = by_directory(jobs.iter().map(|job| job.path));
    let copy = Copy { from, to, jobs, mode, can_reflink: AtomicBool::new(true) };
    let outcomes = pool::run(threads, &groups, |group| copy.group(group))?;
    let mut all: Vec<_> = outcomes.into_iter().flatten().collect();
    all.sort_unstable_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, outcome)| outcome).collect())
}

struct Copy<'a> {
    from: &'a Dir,
    to: &'a Dir,
    jobs: &'a [CopyJob<'a>],
    mode: CopyMode,
    /// False once the file system said that it cannot.
    can_reflink: AtomicBool,
}

impl Copy<'_> {
    fn group(&self, group: &Group<'_>) -> Result<Vec<(usize, Outcome)>, DiskError> {
        let source = match open_within(self.from, group.within) {
            Ok(fd) => fd,
            Err(error) if is_gone(&error) => {
                return Ok(group.members.iter().map(|(index, _)| (*index, Outcome::Differs(None))).collect());
            }
            Err(error) => return Err(error),
        };
        let mut writer = TreeWriter::new(self.to);
        let mut buffer = Vec::new();
        let members = group.members.iter();
        members
            .map(|(index, name)| {
                let name = OsStr::new(name);
                let at = At { dir: source.as_fd(), base: &self.from.path, within: group.within, name };
                Ok((*index, self.file(&self.jobs[*index], &at, &mut writer, &mut buffer)?))
            })
            .collect()
    }

    fn file(
        &self,
        job: &CopyJob<'_>,
        source: &At<'_>,
        writer: &mut TreeWriter<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<Outcome, DiskError> {
        if self.mode == CopyMode::Hardlink {
            match hard_link(source, &writer.at(job.path)?) {
                // The inode has as many names as the file system allows; this release starts a new one.
                Err(Errno::MLINK) => {}
                Ok(outcome) => return Ok(outcome),
                Err(errno) => return Err(DiskError::call("link", source, errno)),
            }
        }
        let (file, raw) = match open_file(source) {
            Ok(opened) => opened,
            Err(error) if is_gone(&error) => return Ok(Outcome::Differs(None)),
            Err(error) => return Err(error),
        };
        let target = writer.create(job.path, job.mode.unwrap_or(raw.st_mode & 0o7777))?;
        let at = writer.at(job.path)?;
        let outcome = if self.reflink(&file, &target, &at)? {
            Outcome::Reflinked
        } else {
            Outcome::Copied(copy_bytes((&file, source), (&target, &at), Stat::of(&raw).size, buffer)?)
        };
        if let (Outcome::Copied(found), Some(expected)) = (outcome, job.expected)
            && found != expected
        {
            call::unlink(&at)?;
            return Ok(Outcome::Differs(Some(found)));
        }
        call::set_times(&target, &at, &modification_time(&raw))?;
        Ok(outcome)
    }

    fn reflink(&self, from: &OwnedFd, to: &OwnedFd, at: &At<'_>) -> Result<bool, DiskError> {
        if !self.can_reflink.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match call::clone_file(from, to, at) {
            Ok(()) => Ok(true),
            // FICLONE(2const): the file system cannot, or not between these two. One file in a state that cannot be
            // shared answers EINVAL or ETXTBSY, which says nothing of the others.
            Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::NOSYS) => {
                self.can_reflink.store(false, Ordering::Relaxed);
                Ok(false)
            }
            Err(Errno::INVAL | Errno::TXTBSY | Errno::PERM) => Ok(false),
            Err(errno) => Err(DiskError::call("reflink", at, errno)),
        }
    }
}

fn hard_link(source: &At<'_>, target: &At<'_>) -> Result<Outcome, Errno> {
    match call::link(source, target) {
        Ok(()) => Ok(Outcome::Linked),
        Err(Errno::NOENT) if crate::dir::stat_at(source).is_ok_and(|s| s.is_none()) => {
            Ok(Outcome::Differs(None))
        }
        Err(errno) => Err(errno),
    }
}

/// Copies up to the end, or the first `size` bytes: a file that grows meanwhile has another digest than was expected, and
/// one that does not grow needs no read that only finds its end.
fn copy_bytes(
    (from, source): (&OwnedFd, &At<'_>),
    (to, target): (&OwnedFd, &At<'_>),
    size: u64,
    buffer: &mut Vec<u8>,
) -> Result<Digest, DiskError> {
    buffer.resize(BUFFER, 0);
    let mut hasher = Digest::hasher();
    let mut copied = 0;
    while copied < size {
        let len = read(from, source, buffer)?;
        if len == 0 {
            break;
        }
        hasher.update(&buffer[..len]);
        call::write_all(to, target, &buffer[..len])?;
        copied += len as u64;
    }
    Ok(hasher.finish())
}

/// The source is gone, or something else than a file is in its place.
fn is_gone(error: &DiskError) -> bool {
    matches!(error, DiskError::Symlink { .. } | DiskError::WrongKind { .. })
        || error.is_not_found()
        || error.errno() == Some(Errno::NOTDIR.raw_os_error())
}

fn modification_time(raw: &fs::Stat) -> Timestamps {
    #[allow(clippy::unnecessary_cast, reason = "the widths differ between architectures")]
    let modified = Timespec { tv_sec: raw.st_mtime as _, tv_nsec: raw.st_mtime_nsec as _ };
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: modified }
}
