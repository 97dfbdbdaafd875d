//! What a root must be before anything beneath it is touched (lifecycle.md, step 0 of its table).

use crate::call::{self, At};
use crate::dir::{DIRECTORY, Dir, open_beneath, stat_at};
use crate::error::DiskError;
use crate::filesystem::{FileSystem, Space};
use crate::stat::Kind;
use deployfile_model::spec::App;
use deployfile_model::{HostPath, RelPath};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fmt;
use std::os::fd::AsFd as _;

/// A root that may be used.
#[derive(Debug)]
pub struct Root {
    /// Its handle.
    pub dir: Dir,
    /// What it is on.
    pub file_system: FileSystem,
    /// What is left there.
    pub space: Space,
    /// What its user should know.
    pub warnings: Vec<RootWarning>,
}

/// Whether a root must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A file system that cannot promise it is refused.
    Required,
    /// Somebody said that it need not: such a file system is a warning. For trying things out.
    Waived,
}

/// What a root's user should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootWarning {
    /// What is on tmpfs is gone after a reboot.
    Tmpfs,
    /// The file system does not promise what the protocol needs, and that was waived.
    NotDurable(FileSystem),
}

impl fmt::Display for RootWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tmpfs => f.write_str("the root is on tmpfs: releases and journal are gone after a reboot"),
            Self::NotDurable(kind) => {
                write!(f, "the root is on {kind}: after a power cut its releases and journal may be damaged")
            }
        }
    }
}

/// Why a directory cannot be a root.
#[derive(Debug)]
pub enum RootError {
    /// It is `/`.
    Slash,
    /// Nothing is there.
    Missing {
        /// The root.
        root: HostPath,
    },
    /// It, or a directory above it, is a symlink.
    Symlink {
        /// The root.
        root: HostPath,
        /// The component that is a link.
        link: String,
        /// Where it leads.
        target: String,
    },
    /// Something else stands there.
    NotADirectory {
        /// The root.
        root: HostPath,
        /// What.
        found: Kind,
    },
    /// It belongs to another user.
    NotOurs {
        /// The root.
        root: HostPath,
        /// Its owner's id.
        owner: u32,
        /// Who asks.
        ours: u32,
    },
    /// Others may write in it.
    Writable {
        /// The root.
        root: HostPath,
        /// Its mode.
        mode: u32,
    },
    /// Its file system cannot promise that what was synced is there after a power cut, or has no links.
    Unsuitable {
        /// The root.
        root: HostPath,
        /// The file system.
        file_system: FileSystem,
    },
    /// A part of it is on another file system, so that nothing can be renamed between them.
    Split {
        /// The root.
        root: HostPath,
        /// The part.
        part: String,
    },
    /// It is mounted read-only.
    ReadOnly {
        /// The root.
        root: HostPath,
    },
    /// It cannot be looked at or made.
    Disk(DiskError),
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slash => f.write_str("cannot use root `/`: it must be a directory of its own"),
            Self::Missing { root } => write!(f, "cannot use root `{root}`: it does not exist"),
            Self::Symlink { root, link, target } => write!(
                f,
                "cannot use root `{root}`: `{link}` is a symlink to `{}`; name the real directory",
                target.escape_debug()
            ),
            Self::NotADirectory { root, found } => write!(f, "cannot use root `{root}`: it is a {found}"),
            Self::NotOurs { root, owner, ours } => {
                write!(f, "cannot use root `{root}`: it belongs to user {owner}, and this is user {ours}")
            }
            Self::Writable { root, mode } => {
                write!(f, "cannot use root `{root}`: others may write in it (mode {mode:04o})")
            }
            Self::Unsuitable { root, file_system } => write!(
                f,
                "cannot use root `{root}`: it is on {file_system}, which does not keep what was promised after a power cut"
            ),
            Self::Split { root, part } => {
                write!(f, "cannot use root `{root}`: `{part}` is on another file system")
            }
            Self::ReadOnly { root } => write!(f, "cannot use root `{root}`: it is mounted read-only"),
            Self::Disk(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RootError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk(error) => error.source(),
            _ => None,
        }
    }
}

impl From<DiskError> for RootError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// What of a root must be on the root's own file system. `shared/` is only linked to, so it may be a mount.
const PARTS: [&str; 3] = [App::RELEASES, App::STATE, ".deployfile/journal"];

/// Opens a root and checks that it may be used. Changes nothing.
pub fn check_root(root: &HostPath, durability: Durability) -> Result<Root, RootError> {
    if root.as_str() == "/" {
        return Err(RootError::Slash);
    }
    refuse_links(root)?;
    let dir = Dir::open_root(root)?;
    check_owner(root, &dir)?;
    for part in PARTS {
        refuse_other_file_system(root, &dir, part)?;
    }
    let (file_system, space) = (dir.file_system()?, dir.space()?);
    if space.is_read_only {
        return Err(RootError::ReadOnly { root: root.clone() });
    }
    let warnings = check_file_system(root, file_system, durability)?;
    Ok(Root { dir, file_system, space, warnings })
}

/// Makes a missing root (mode 0755), and the directories above it that are missing (0755), each durably. One that is
/// there stays as it is. [`check_root`] comes after.
pub fn create_root(root: &HostPath) -> Result<(), RootError> {
    let is_missing = match refuse_links(root) {
        Ok(()) => false,
        Err(RootError::Missing { .. }) => true,
        Err(refused) => return Err(refused),
    };
    let mut above = Dir::open_root(&slash()?)?;
    let mut names = root.as_str().split('/').skip(1).peekable();
    while let Some(name) = names.next() {
        let Ok(rel) = RelPath::new(name) else { return Err(RootError::Slash) };
        let is_made = is_missing && above.create_dir(&rel, 0o755)?;
        let is_root = names.peek().is_none();
        if is_made || is_root {
            above.sync_by_path_handle(is_made)?;
        }
        above = step_down(&above, name)?;
    }
    Ok(())
}

/// Opens the next component. O_PATH needs only the right to pass, which is all that a user may have on what is above
/// a root.
fn step_down(above: &Dir, name: &str) -> Result<Dir, DiskError> {
    let path = format!("{}/{name}", above.path.trim_end_matches('/'));
    let fd = open_beneath(above.fd.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY)
        .map_err(|errno| DiskError::open("open directory", &path, errno))?;
    Ok(Dir { fd, path })
}

impl Dir {
    /// Syncs a directory whose handle is only good for passing through. Also where nothing was made just now, as the
    /// process that made it may have died before its sync; but then, a directory that may not be read is left alone.
    fn sync_by_path_handle(&self, is_needed: bool) -> Result<(), DiskError> {
        match fs::openat(&self.fd, ".", DIRECTORY, Mode::empty()) {
            Ok(fd) => call::sync(&fd, &self.path),
            Err(Errno::ACCESS) if !is_needed => Ok(()),
            Err(errno) => Err(DiskError::call("open directory", &self.path, errno)),
        }
    }
}

fn slash() -> Result<HostPath, RootError> {
    HostPath::new("/").map_err(|_| RootError::Slash)
}

/// Walks down to the root, so that a link, a file or a gap on the way is told by its own name.
fn refuse_links(root: &HostPath) -> Result<(), RootError> {
    let mut above = Dir::open_root(&slash()?)?;
    for name in root.as_str().split('/').skip(1) {
        let base = above.path.trim_end_matches('/');
        let at = At { dir: above.fd.as_fd(), base, within: "", name: OsStr::new(name) };
        match stat_at(&at)?.map(|stat| stat.kind) {
            None => return Err(RootError::Missing { root: root.clone() }),
            Some(Kind::Dir) => above = step_down(&above, name)?,
            Some(Kind::Symlink) => return Err(link_on_the_way(root, &at)?),
            Some(found) => return Err(RootError::NotADirectory { root: root.clone(), found }),
        }
    }
    Ok(())
}

fn link_on_the_way(root: &HostPath, at: &At<'_>) -> Result<RootError, DiskError> {
    let target = fs::readlinkat(at.dir, at.name, Vec::new());
    let target = target.map_err(|errno| DiskError::call("read link", at, errno))?;
    Ok(RootError::Symlink {
        root: root.clone(),
        link: at.to_string(),
        target: target.to_string_lossy().into_owned(),
    })
}

fn check_owner(root: &HostPath, dir: &Dir) -> Result<(), RootError> {
    let stat = dir.stat_self()?;
    let ours = rustix::process::geteuid().as_raw();
    if stat.uid != ours {
        return Err(RootError::NotOurs { root: root.clone(), owner: stat.uid, ours });
    }
    let is_sticky = stat.mode & 0o1000 != 0;
    if stat.mode & 0o022 != 0 && !is_sticky {
        return Err(RootError::Writable { root: root.clone(), mode: stat.mode });
    }
    Ok(())
}

fn refuse_other_file_system(root: &HostPath, dir: &Dir, part: &str) -> Result<(), RootError> {
    let Ok(rel) = RelPath::new(part) else { return Ok(()) };
    let is_other = match dir.stat(&rel)? {
        Some(stat) => stat.dev != dir.stat_self()?.dev,
        None => false,
    };
    if is_other { Err(RootError::Split { root: root.clone(), part: part.to_owned() }) } else { Ok(()) }
}

fn check_file_system(
    root: &HostPath,
    file_system: FileSystem,
    durability: Durability,
) -> Result<Vec<RootWarning>, RootError> {
    let unsuitable = RootError::Unsuitable { root: root.clone(), file_system };
    match (file_system, durability) {
        (FileSystem::Tmpfs, _) => Ok(vec![RootWarning::Tmpfs]),
        // No links, or none that is replaced atomically: nothing that could be waived.
        (FileSystem::Vfat | FileSystem::Exfat | FileSystem::Nfs | FileSystem::Smb, _) => Err(unsuitable),
        (FileSystem::ExtWithoutJournal, Durability::Required) => Err(unsuitable),
        (FileSystem::ExtWithoutJournal, Durability::Waived) => Ok(vec![RootWarning::NotDurable(file_system)]),
        _ => Ok(Vec::new()),
    }
}
