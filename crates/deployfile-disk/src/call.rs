//! The mutating system calls, each behind the gate of [`fault`]. No other module names them.

use crate::error::DiskError;
use crate::fault::{Op, gate};
use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags, Timestamps};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A name in an open directory, with what is needed to show it.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    /// The directory that holds the name.
    pub(crate) dir: BorrowedFd<'a>,
    /// The path of the handle that the caller holds.
    pub(crate) base: &'a str,
    /// The path of `dir` beneath `base`; empty when it is `base`.
    pub(crate) within: &'a str,
    /// One component.
    pub(crate) name: &'a OsStr,
}

impl<'a> At<'a> {
    /// Another name in the same directory.
    pub(crate) fn sibling(&self, name: &'a str) -> At<'a> {
        At { name: OsStr::new(name), ..*self }
    }
}

impl Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.within.is_empty() { "" } else { "/" };
        write!(f, "{}/{}{slash}{}", self.base, self.within, self.name.to_string_lossy())
    }
}

fn gated<T>(
    op: Op,
    verb: &'static str,
    path: &dyn Display,
    mut call: impl FnMut() -> Result<T, Errno>,
) -> Result<T, DiskError> {
    gate(op, path, 0)
        .and_then(|_| retry_on_intr(&mut call))
        .map_err(|errno| DiskError::open(verb, path, errno))
}

/// Makes a directory; the umask applies.
pub(crate) fn make_dir(at: &At<'_>, mode: u32) -> Result<(), DiskError> {
    gated(Op::MakeDir, "create directory", at, || fs::mkdirat(at.dir, at.name, Mode::from_raw_mode(mode)))
}

/// Makes and opens a file that must not exist; the umask applies.
pub(crate) fn create(at: &At<'_>, flags: OFlags, mode: u32) -> Result<OwnedFd, DiskError> {
    let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    gated(Op::Create, "create", at, || fs::openat(at.dir, at.name, flags, Mode::from_raw_mode(mode)))
}

/// Opens a file for reading and writing, and makes it when it is missing.
pub(crate) fn open_or_create(at: &At<'_>, mode: u32) -> Result<OwnedFd, DiskError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    gated(Op::Create, "open", at, || fs::openat(at.dir, at.name, flags, Mode::from_raw_mode(mode)))
}

/// Writes some of `bytes` with one call and tells how many; never 0 unless `bytes` is empty.
pub(crate) fn write(fd: impl AsFd, path: &dyn Display, bytes: &[u8]) -> Result<usize, DiskError> {
    gate(Op::Write, path, bytes.len())
        .and_then(|len| retry_on_intr(|| rustix::io::write(&fd, &bytes[..len])))
        .and_then(|written| if written == 0 && !bytes.is_empty() { Err(Errno::NOSPC) } else { Ok(written) })
        .map_err(|errno| DiskError::call("write to", path, errno))
}

/// Writes all of `bytes`.
pub(crate) fn write_all(fd: impl AsFd, path: &dyn Display, mut bytes: &[u8]) -> Result<(), DiskError> {
    while !bytes.is_empty() {
        let written = write(&fd, path, bytes)?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Sets the length.
pub(crate) fn truncate(fd: impl AsFd, path: &dyn Display, len: u64) -> Result<(), DiskError> {
    gated(Op::Truncate, "truncate", path, || fs::ftruncate(&fd, len))
}

/// Makes content and metadata durable. Never to be tried again after an error: the kernel marks pages that it could
/// not write as clean, so that a second call succeeds without them (fsync(2)).
pub(crate) fn sync(fd: impl AsFd, path: &dyn Display) -> Result<(), DiskError> {
    gated(Op::Sync, "sync", path, || fs::fsync(&fd))
}

/// Makes content and length durable; see [`sync`].
pub(crate) fn sync_data(fd: impl AsFd, path: &dyn Display) -> Result<(), DiskError> {
    gated(Op::SyncData, "sync", path, || fs::fdatasync(&fd))
}

/// Makes all of the file system that holds `fd` durable; see [`sync`].
pub(crate) fn sync_file_system(fd: impl AsFd, path: &dyn Display) -> Result<(), DiskError> {
    gated(Op::SyncFileSystem, "sync the file system of", path, || fs::syncfs(&fd))
}

/// Moves a name over whatever `to` names.
pub(crate) fn rename(from: &At<'_>, to: &At<'_>) -> Result<(), DiskError> {
    gate(Op::Rename, to, 0)
        .and_then(|_| retry_on_intr(|| fs::renameat(from.dir, from.name, to.dir, to.name)))
        .map_err(|errno| DiskError::call("rename to", to, errno))
}

/// Moves a name to one that must not exist.
pub(crate) fn rename_new(from: &At<'_>, to: &At<'_>) -> Result<(), DiskError> {
    let flags = RenameFlags::NOREPLACE;
    gate(Op::Rename, to, 0)
        .and_then(|_| retry_on_intr(|| fs::renameat_with(from.dir, from.name, to.dir, to.name, flags)))
        .map_err(|errno| DiskError::call("rename to", to, errno))
}

/// Makes a symlink that must not exist.
pub(crate) fn symlink(at: &At<'_>, target: &str) -> Result<(), DiskError> {
    gated(Op::Symlink, "create link", at, || fs::symlinkat(target, at.dir, at.name))
}

/// Gives the inode at `from` another name. The errno is the caller's to read: EMLINK has a way out.
pub(crate) fn link(from: &At<'_>, to: &At<'_>) -> Result<(), Errno> {
    gate(Op::Link, to, 0)
        .and_then(|_| retry_on_intr(|| fs::linkat(from.dir, from.name, to.dir, to.name, AtFlags::empty())))
}

/// Lets `to` share the extents of `from` (FICLONE). The errno is the caller's to read: most file systems cannot.
pub(crate) fn clone_file(from: impl AsFd, to: impl AsFd, path: &dyn Display) -> Result<(), Errno> {
    gate(Op::Clone, path, 0).and_then(|_| retry_on_intr(|| fs::ioctl_ficlone(&to, &from)))
}

/// Removes a name that is not a directory.
pub(crate) fn unlink(at: &At<'_>) -> Result<(), DiskError> {
    gated(Op::Unlink, "remove", at, || fs::unlinkat(at.dir, at.name, AtFlags::empty()))
}

/// Removes an empty directory.
pub(crate) fn remove_dir(at: &At<'_>) -> Result<(), DiskError> {
    gated(Op::RemoveDir, "remove directory", at, || fs::unlinkat(at.dir, at.name, AtFlags::REMOVEDIR))
}

/// Sets the mode of an open file.
pub(crate) fn set_mode(fd: impl AsFd, path: &dyn Display, mode: u32) -> Result<(), DiskError> {
    gated(Op::SetMode, "set the mode of", path, || fs::fchmod(&fd, Mode::from_raw_mode(mode)))
}

/// Sets the mode of a file that is open with `O_PATH`, by way of `/proc` (open(2): `fchmod` refuses such a handle).
pub(crate) fn set_mode_by_path_handle(fd: impl AsFd, path: &dyn Display, mode: u32) -> Result<(), DiskError> {
    let proc = proc_path(&fd);
    gated(Op::SetMode, "set the mode of", path, || fs::chmod(proc.as_str(), Mode::from_raw_mode(mode)))
}

/// Sets access and modification time.
pub(crate) fn set_times(fd: impl AsFd, path: &dyn Display, times: &Timestamps) -> Result<(), DiskError> {
    gated(Op::SetTimes, "set the times of", path, || fs::futimens(&fd, times))
}

/// A path that leads to the open file itself, for calls that take only paths (proc(5)).
pub(crate) fn proc_path(fd: impl AsFd) -> String {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}
