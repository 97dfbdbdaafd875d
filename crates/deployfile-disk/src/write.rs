//! Making directories, files and links, and moving them. Durable once the caller has synced the file and the
//! directory that holds its name; `replace` does that by itself.

use crate::call::{self, At};
use crate::dir::{Dir, open_beneath};
use crate::error::DiskError;
use crate::stat::{Kind, Stat};
use deployfile_model::RelPath;
use rustix::fs::{self, OFlags};
use std::io;
use std::os::fd::OwnedFd;

/// A file that was just made and is being written.
#[derive(Debug)]
pub struct NewFile {
    fd: OwnedFd,
    path: String,
}

impl NewFile {
    /// Writes all of `bytes`.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        call::write_all(&self.fd, &self.path, bytes)
    }

    /// Makes the content durable. The name is durable once its directory is synced. Not to be tried again when it
    /// fails.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        call::sync(&self.fd, &self.path)
    }
}

impl io::Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        call::write(&self.fd, &self.path, bytes).map_err(io::Error::other)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Dir {
    /// Makes a directory of exactly this mode, whatever the umask. One that is there stays as it is; tells whether
    /// it was made.
    pub fn create_dir(&self, rel: &RelPath, mode: u32) -> Result<bool, DiskError> {
        match self.create_dir_new(rel, mode) {
            Ok(()) => Ok(true),
            Err(error) if error.is_exists() => match self.stat(rel)?.map(|s| s.kind) {
                Some(Kind::Dir) => Ok(false),
                Some(found) => Err(DiskError::WrongKind {
                    verb: "create directory",
                    path: self.shown(rel),
                    wanted: Kind::Dir,
                    found,
                }),
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Makes a directory that must not exist ([`DiskError::is_exists`]).
    pub fn create_dir_new(&self, rel: &RelPath, mode: u32) -> Result<(), DiskError> {
        let parent = self.parent(rel, "create directory")?;
        let at = parent.at();
        call::make_dir(&at, mode)?;
        let fd = open_beneath(at.dir, rel.file_name(), OFlags::PATH | OFlags::DIRECTORY)
            .map_err(|errno| DiskError::open("open directory", &at, errno))?;
        if mode_of(&fd, &at)? != mode {
            call::set_mode_by_path_handle(&fd, &at, mode)?;
        }
        Ok(())
    }

    /// Makes a directory and those above it that are missing, all of this mode.
    pub fn create_dir_all(&self, rel: &RelPath, mode: u32) -> Result<(), DiskError> {
        if let Some(parent) = rel.parent()
            && self.stat(&parent)?.is_none()
        {
            self.create_dir_all(&parent, mode)?;
        }
        self.create_dir(rel, mode).map(drop)
    }

    /// Makes a file that must not exist, of exactly this mode.
    pub fn create_file(&self, rel: &RelPath, mode: u32) -> Result<NewFile, DiskError> {
        let parent = self.parent(rel, "create")?;
        let at = parent.at();
        let fd = create_with_mode(&at, OFlags::WRONLY, mode)?;
        Ok(NewFile { fd, path: at.to_string() })
    }

    /// Makes a file that must not exist and writes it. Not synced.
    pub fn write_new(&self, rel: &RelPath, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
        self.create_file(rel, mode)?.write_all(bytes)
    }

    /// Makes a symlink that must not exist. The target is written as it is and may lead anywhere.
    pub fn symlink_new(&self, rel: &RelPath, target: &str) -> Result<(), DiskError> {
        call::symlink(&self.parent(rel, "create link")?.at(), target)
    }

    /// Moves `from` to `to`, over a file or an empty directory that stands there. Not synced.
    pub fn rename(&self, from: &RelPath, to: &RelPath) -> Result<(), DiskError> {
        let (from, to) = (self.parent(from, "rename")?, self.parent(to, "rename to")?);
        call::rename(&from.at(), &to.at())
    }

    /// Moves `from` to `to`, which must not exist ([`DiskError::is_exists`]). Not synced.
    pub fn rename_new(&self, from: &RelPath, to: &RelPath) -> Result<(), DiskError> {
        let (from, to) = (self.parent(from, "rename")?, self.parent(to, "rename to")?);
        call::rename_new(&from.at(), &to.at())
    }

    /// Sets the mode of a file or directory; a symlink is refused.
    pub fn set_mode(&self, rel: &RelPath, mode: u32) -> Result<(), DiskError> {
        let fd = self.open(rel, OFlags::PATH, "set the mode of")?;
        call::set_mode_by_path_handle(&fd, &self.shown(rel), mode)
    }

    /// Sets the length of a file. Not synced.
    pub fn truncate(&self, rel: &RelPath, len: u64) -> Result<(), DiskError> {
        let fd = self.open(rel, OFlags::WRONLY | OFlags::NONBLOCK, "truncate")?;
        self.expect_kind(&fd, rel, Kind::File)?;
        call::truncate(&fd, &self.shown(rel), len)
    }

    /// Makes this directory's names durable.
    pub fn sync(&self) -> Result<(), DiskError> {
        call::sync(&self.fd, &self.path)
    }

    /// Makes the content of a file, or the names of a directory, durable.
    pub fn sync_at(&self, rel: &RelPath) -> Result<(), DiskError> {
        let fd = self.open(rel, OFlags::RDONLY | OFlags::NONBLOCK, "sync")?;
        call::sync(&fd, &self.shown(rel))
    }
}

/// Makes a file whose mode does not depend on the umask.
pub(crate) fn create_with_mode(at: &At<'_>, flags: OFlags, mode: u32) -> Result<OwnedFd, DiskError> {
    let fd = call::create(at, flags, mode)?;
    if mode_of(&fd, at)? != mode {
        call::set_mode(&fd, at, mode)?;
    }
    Ok(fd)
}

fn mode_of(fd: &OwnedFd, at: &At<'_>) -> Result<u32, DiskError> {
    let raw = fs::fstat(fd).map_err(|errno| DiskError::call("look at", at, errno))?;
    Ok(Stat::of(&raw).mode)
}
