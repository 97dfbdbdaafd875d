//! Taking files and trees away. No symlink is followed, no mount point is entered.

use crate::call::{self, At};
use crate::dir::{DIRECTORY, Dir, read_entries, stat_at};
use crate::error::DiskError;
use crate::stat::Kind;
use crate::temp;
use deployfile_model::RelPath;
use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, OwnedFd};

/// Directories that are open at a time while a tree is removed: half of the usual limit of open files.
const MAX_DEPTH: usize = 512;

impl Dir {
    /// Removes a file or symlink; `false` when nothing was there. Not synced.
    pub fn remove_file(&self, rel: &RelPath) -> Result<bool, DiskError> {
        let parent = match self.parent(rel, "remove") {
            Err(e) if e.is_not_found() => return Ok(false),
            parent => parent?,
        };
        found(call::unlink(&parent.at()))
    }

    /// Moves `rel` out of the way, to a name beside it that nothing refers to and that
    /// [`Dir::sweep_trash`] removes; tells that name. Not synced.
    pub fn rename_to_trash(&self, rel: &RelPath) -> Result<RelPath, DiskError> {
        let parent = self.parent(rel, "rename")?;
        let at = parent.at();
        let name = temp::trash().map_err(|errno| DiskError::call("rename", &at, errno))?;
        call::rename_new(&at, &at.sibling(&name))?;
        let path = rel.parent().map_or_else(|| name.clone(), |within| format!("{within}/{name}"));
        // Only a path of more than 4,070 bytes can fail here, and it was opened above.
        RelPath::new(path).map_err(|_| DiskError::call("rename", &self.shown(rel), Errno::NAMETOOLONG))
    }

    /// Removes whatever `rel` names, with all that is beneath it; `false` when nothing was there. Directories that
    /// cannot be written get their owner's bits first. Not synced.
    pub fn remove_tree(&self, rel: &RelPath) -> Result<bool, DiskError> {
        let parent = match self.parent(rel, "remove") {
            Err(e) if e.is_not_found() => return Ok(false),
            parent => parent?,
        };
        let at = parent.at();
        match stat_at(&at)?.map(|s| s.kind) {
            None => Ok(false),
            Some(Kind::Dir) => remove_dir_tree(&at).map(|()| true),
            Some(_) => found(call::unlink(&at)),
        }
    }
}

fn found(removed: Result<(), DiskError>) -> Result<bool, DiskError> {
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// A directory whose files are gone and whose directories are being removed.
struct Level {
    name: OsString,
    fd: OwnedFd,
    path: String,
    subdirectories: Vec<OsString>,
}

fn remove_dir_tree(top: &At<'_>) -> Result<(), DiskError> {
    let mut levels = vec![empty_of_files(top)?];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.subdirectories.pop() {
            let next = empty_of_files(&at_level(level, &name))?;
            if levels.len() >= MAX_DEPTH {
                return Err(DiskError::TooDeep { path: next.path, limit: MAX_DEPTH });
            }
            levels.push(next);
            continue;
        }
        let Some(done) = levels.pop() else { break };
        match levels.last() {
            Some(parent) => call::remove_dir(&at_level(parent, &done.name))?,
            None => call::remove_dir(top)?,
        }
    }
    Ok(())
}

fn at_level<'a>(level: &'a Level, name: &'a OsStr) -> At<'a> {
    At { dir: level.fd.as_fd(), base: &level.path, within: "", name }
}

/// Opens a directory and removes everything in it that is not a directory.
fn empty_of_files(at: &At<'_>) -> Result<Level, DiskError> {
    let fd = open_removable(at)?;
    let path = at.to_string();
    let (mut files, mut subdirectories) = (Vec::new(), Vec::new());
    read_entries(fd.as_fd(), |name, kind| {
        if kind == Kind::Dir { &mut subdirectories } else { &mut files }.push(name.to_owned());
    })
    .map_err(|errno| DiskError::call("list", at, errno))?;
    for name in &files {
        found(call::unlink(&At { dir: fd.as_fd(), base: &path, within: "", name }))?;
    }
    subdirectories.sort_by(|a, b| b.cmp(a));
    Ok(Level { name: at.name.to_owned(), fd, path, subdirectories })
}

/// Opens a directory for listing and removing, and gives its owner the bits for that when they are missing.
fn open_removable(at: &At<'_>) -> Result<OwnedFd, DiskError> {
    // NO_XDEV: a bind mount beneath a release is somebody's data.
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let open = |flags| {
        fs::openat2(at.dir, at.name, flags, Mode::empty(), resolve).map_err(|errno| match errno {
            // One component cannot climb, so only a mount point is left as the reason.
            Errno::XDEV => DiskError::call("remove the mount point", at, Errno::BUSY),
            errno => DiskError::open("open directory", at, errno),
        })
    };
    let path_only = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if let Some(stat) = stat_at(at)?.filter(|s| s.kind == Kind::Dir && s.mode & 0o700 != 0o700) {
        call::set_mode_by_path_handle(open(path_only)?, at, stat.mode | 0o700)?;
    }
    open(DIRECTORY)
}
