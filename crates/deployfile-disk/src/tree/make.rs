//! Filling a tree: directories first, then files and links, then the modes of directories.

use super::{open_within, split};
use crate::call::{self, At};
use crate::dir::{Dir, open_beneath};
use crate::error::DiskError;
use crate::stat::{Kind, Stat};
use rustix::fs::{self, OFlags};
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, OwnedFd};

/// Makes many names beneath one directory. It keeps the handle of the directory that it used last, so names are best
/// given directory by directory. For each thread one.
#[derive(Debug)]
pub struct TreeWriter<'a> {
    dir: &'a Dir,
    parent: Option<(String, OwnedFd)>,
    /// For modes that were asked for in this directory: whether a new file gets just that. The umask cannot be asked
    /// for without setting it, and a directory's default ACL stands above it (acl(5)).
    modes: Vec<(u32, bool)>,
}

impl<'a> TreeWriter<'a> {
    /// Makes names beneath `dir`.
    pub fn new(dir: &'a Dir) -> Self {
        Self { dir, parent: None, modes: Vec::new() }
    }

    /// Makes a file that must not exist, of exactly this mode, and writes it. Not synced.
    pub fn write_file(&mut self, path: &str, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
        let fd = self.create(path, mode)?;
        call::write_all(&fd, &self.at(path)?, bytes)
    }

    /// Makes a symlink that must not exist.
    pub fn create_link(&mut self, path: &str, target: &str) -> Result<(), DiskError> {
        call::symlink(&self.at(path)?, target)
    }

    /// Makes a directory that must not exist; the umask applies.
    pub fn create_dir(&mut self, path: &str, mode: u32) -> Result<(), DiskError> {
        call::make_dir(&self.at(path)?, mode)
    }

    /// Makes and opens a file of exactly this mode.
    pub(super) fn create(&mut self, path: &str, mode: u32) -> Result<OwnedFd, DiskError> {
        let at = self.at(path)?;
        let fd = call::create(&at, OFlags::WRONLY, mode)?;
        let known = self.modes.iter().find(|(known, _)| *known == mode).map(|(_, is_exact)| *is_exact);
        let is_exact = match known {
            Some(is_exact) => is_exact,
            None => {
                let at = self.at(path)?;
                let raw = fs::fstat(&fd).map_err(|errno| DiskError::call("look at", &at, errno))?;
                let is_exact = Stat::of(&raw).mode == mode;
                self.modes.push((mode, is_exact));
                is_exact
            }
        };
        if !is_exact {
            call::set_mode(&fd, &self.at(path)?, mode)?;
        }
        Ok(fd)
    }

    /// The name that a path ends in, in its opened directory.
    pub(super) fn at<'b>(&'b mut self, path: &'b str) -> Result<At<'b>, DiskError> {
        let (within, name) = split(path);
        if self.parent.as_ref().is_none_or(|(open, _)| open != within) {
            self.parent = Some((within.to_owned(), open_within(self.dir, within)?));
            self.modes.clear();
        }
        let fd = self.parent.as_ref().map_or(self.dir.fd.as_fd(), |(_, fd)| fd.as_fd());
        Ok(At { dir: fd, base: &self.dir.path, within, name: OsStr::new(name) })
    }
}

/// Makes directories, given parents first. Their owner may write in them until [`set_dir_modes`] says otherwise.
pub fn create_dirs<'a>(
    dir: &Dir,
    paths_and_modes: impl IntoIterator<Item = (&'a str, u32)>,
) -> Result<(), DiskError> {
    let mut writer = TreeWriter::new(dir);
    paths_and_modes.into_iter().try_for_each(|(path, mode)| writer.create_dir(path, mode | 0o700))
}

/// Gives directories exactly these modes. Given parents first, done children first, so that a directory that its
/// owner cannot pass does not hide those in it.
pub fn set_dir_modes(dir: &Dir, paths_and_modes: &[(&str, u32)]) -> Result<(), DiskError> {
    for (path, mode) in paths_and_modes.iter().rev() {
        let shown = format_args!("{}/{path}", dir.path);
        let fd = open_beneath(dir.fd.as_fd(), path, OFlags::PATH)
            .map_err(|errno| DiskError::open("open directory", &shown, errno))?;
        let stat = Stat::of(&fs::fstat(&fd).map_err(|errno| DiskError::call("look at", &shown, errno))?);
        if stat.kind != Kind::Dir {
            let path = shown.to_string();
            return Err(DiskError::WrongKind {
                verb: "set the mode of",
                path,
                wanted: Kind::Dir,
                found: stat.kind,
            });
        }
        if stat.mode != *mode {
            call::set_mode_by_path_handle(&fd, &shown, *mode)?;
        }
    }
    Ok(())
}
