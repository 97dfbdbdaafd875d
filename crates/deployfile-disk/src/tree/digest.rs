//! SHA-256 of many files.

use super::{Group, by_directory, open_within, pool};
use crate::call::At;
use crate::dir::Dir;
use crate::error::DiskError;
use crate::stat::{Kind, Stat};
use deployfile_model::Digest;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::retry_on_intr;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, OwnedFd};

/// Bytes that are read at a time.
pub(super) const BUFFER: usize = 128 * 1024;

/// The digest of each file beneath `dir`, or why it cannot be read (it is gone, it is a link), in the order of
/// `paths`.
pub fn digest_files(dir: &Dir, paths: &[&str], threads: usize) -> Vec<Result<Digest, DiskError>> {
    let groups = by_directory(paths.iter().copied());
    let Ok(digested) = pool::run(threads, &groups, |group| Ok::<_, Infallible>(digest_group(dir, group)));
    let mut all: Vec<_> = digested.into_iter().flatten().collect();
    all.sort_unstable_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, digest)| digest).collect()
}

fn digest_group(dir: &Dir, group: &Group<'_>) -> Vec<(usize, Result<Digest, DiskError>)> {
    let mut buffer = vec![0; BUFFER];
    let mut parent = None;
    let mut digest = |name: &str| {
        // Tried again for each file while it fails, so that each is told its own error.
        let fd = match &mut parent {
            Some(fd) => fd,
            missing => missing.insert(open_within(dir, group.within)?),
        };
        let name = OsStr::new(name);
        let at = At { dir: fd.as_fd(), base: &dir.path, within: group.within, name };
        let (file, _) = open_file(&at)?;
        digest_open(&file, &at, &mut buffer)
    };
    group.members.iter().map(|(index, name)| (*index, digest(name))).collect()
}

/// Opens a regular file for reading.
pub(super) fn open_file(at: &At<'_>) -> Result<(OwnedFd, fs::Stat), DiskError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = fs::openat(at.dir, at.name, flags, Mode::empty())
        .map_err(|errno| DiskError::open("open", at, errno))?;
    let raw = fs::fstat(&fd).map_err(|errno| DiskError::call("look at", at, errno))?;
    let found = Stat::of(&raw).kind;
    if found != Kind::File {
        return Err(DiskError::WrongKind { verb: "open", path: at.to_string(), wanted: Kind::File, found });
    }
    Ok((fd, raw))
}

fn digest_open(file: &OwnedFd, at: &At<'_>, buffer: &mut [u8]) -> Result<Digest, DiskError> {
    let mut hasher = Digest::hasher();
    loop {
        match read(file, at, buffer)? {
            0 => return Ok(hasher.finish()),
            len => hasher.update(&buffer[..len]),
        }
    }
}

/// Reads some bytes; 0 at the end of the file.
pub(super) fn read(file: &OwnedFd, at: &At<'_>, buffer: &mut [u8]) -> Result<usize, DiskError> {
    retry_on_intr(|| rustix::io::read(file, &mut *buffer)).map_err(|errno| DiskError::call("read", at, errno))
}
