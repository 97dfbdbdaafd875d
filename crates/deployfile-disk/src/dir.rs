//! The handle of an open directory: opening and reading beneath it.
//!
//! Nothing here follows a symlink, in any component, and nothing climbs out of the handle. What changes files is in
//! `write`, `replace`, `append` and `remove`.

use crate::call::{At, proc_path};
use crate::error::DiskError;
use crate::stat::{DirEntry, Kind, Stat};
use deployfile_model::{HostPath, RelPath};
use rustix::fs::{self, AtFlags, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// A directory that is open for reading, so that it can be fsynced. All paths are beneath it.
#[derive(Debug)]
pub struct Dir {
    pub(crate) fd: OwnedFd,
    pub(crate) path: String,
}

pub(crate) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Opens `path` beneath `dir` without following a link in any component. (With O_NOFOLLOW added, a link at the end would
/// be told as "not a directory", or opened itself under O_PATH: openat2(2).)
pub(crate) fn open_beneath(dir: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC;
    retry_on_intr(|| fs::openat2(dir, path, flags, Mode::empty(), BENEATH))
}

/// The directory that holds the last component of a path.
pub(crate) struct Parent<'a> {
    opened: Option<OwnedFd>,
    dir: &'a Dir,
    within: &'a str,
    name: &'a str,
}

impl Parent<'_> {
    pub(crate) fn at(&self) -> At<'_> {
        At {
            dir: self.opened.as_ref().map_or(self.dir.fd.as_fd(), AsFd::as_fd),
            base: &self.dir.path,
            within: self.within,
            name: OsStr::new(self.name),
        }
    }
}

impl Dir {
    /// Opens an absolute path, no component of which may be a symlink.
    pub fn open_root(path: &HostPath) -> Result<Dir, DiskError> {
        let verb = "open directory";
        let slash = fs::open("/", DIRECTORY, Mode::empty()).map_err(|e| DiskError::call(verb, path, e))?;
        let fd = match path.as_str().trim_start_matches('/') {
            "" => slash,
            rest => {
                open_beneath(slash.as_fd(), rest, DIRECTORY).map_err(|e| DiskError::open(verb, path, e))?
            }
        };
        Ok(Dir { fd, path: path.as_str().to_owned() })
    }

    /// Opens a directory beneath this one.
    pub fn open_dir(&self, rel: &RelPath) -> Result<Dir, DiskError> {
        Ok(Dir { fd: self.open(rel, DIRECTORY, "open directory")?, path: self.shown(rel) })
    }

    /// A second handle of the same directory.
    pub fn try_clone(&self) -> Result<Dir, DiskError> {
        let fd = rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)
            .map_err(|e| DiskError::call("open directory", &self.path, e))?;
        Ok(Dir { fd, path: self.path.clone() })
    }

    /// The path that the handle was opened by, for messages. Nothing is opened by it again.
    pub fn path_for_display(&self) -> &str {
        &self.path
    }

    /// `/proc/self/fd/N`: leads to this very directory, in this process and in a child until it executes, for calls
    /// that take only a path (working directory of a command, address of a socket).
    pub fn proc_path(&self) -> PathBuf {
        proc_path(&self.fd).into()
    }

    /// Reads a regular file of at most `max_bytes`.
    pub fn read(&self, rel: &RelPath, max_bytes: u64) -> Result<Vec<u8>, DiskError> {
        let file = self.open_read(rel)?;
        let mut bytes = Vec::new();
        let path = self.shown(rel);
        let read = file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|source| DiskError::Call { verb: "read", path: path.clone(), source })?;
        if bytes.len() as u64 > max_bytes {
            return Err(DiskError::TooLarge { path, limit: max_bytes });
        }
        Ok(bytes)
    }

    /// Opens a regular file for reading.
    pub fn open_read(&self, rel: &RelPath) -> Result<File, DiskError> {
        // Without O_NONBLOCK the open of a pipe would wait for its writer.
        let fd = self.open(rel, OFlags::RDONLY | OFlags::NONBLOCK, "open")?;
        self.expect_kind(&fd, rel, Kind::File)?;
        Ok(File::from(fd))
    }

    /// The target of a symlink, as it is written. `None` when nothing is there.
    pub fn read_link(&self, rel: &RelPath) -> Result<Option<OsString>, DiskError> {
        let verb = "read link";
        let parent = match self.parent(rel, verb) {
            Err(e) if e.is_not_found() => return Ok(None),
            parent => parent?,
        };
        let at = parent.at();
        match fs::readlinkat(at.dir, at.name, Vec::new()) {
            Ok(target) => Ok(Some(OsString::from_vec(target.into_bytes()))),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::INVAL) => {
                let found = self.stat(rel)?.map_or(Kind::Other, |s| s.kind);
                Err(DiskError::WrongKind { verb, path: self.shown(rel), wanted: Kind::Symlink, found })
            }
            Err(errno) => Err(DiskError::call(verb, &at, errno)),
        }
    }

    /// What stands at `rel`; a symlink is not followed. `None` when nothing does.
    pub fn stat(&self, rel: &RelPath) -> Result<Option<Stat>, DiskError> {
        let parent = match self.parent(rel, "look at") {
            Err(e) if e.is_not_found() => return Ok(None),
            parent => parent?,
        };
        stat_at(&parent.at())
    }

    /// What this directory itself is.
    pub fn stat_self(&self) -> Result<Stat, DiskError> {
        let raw = fs::fstat(&self.fd).map_err(|e| DiskError::call("look at", &self.path, e))?;
        Ok(Stat::of(&raw))
    }

    /// The names in a directory beneath this one, sorted by their bytes.
    pub fn list(&self, rel: &RelPath) -> Result<Vec<DirEntry>, DiskError> {
        self.open_dir(rel)?.entries()
    }

    /// The names in this directory, sorted by their bytes.
    pub fn entries(&self) -> Result<Vec<DirEntry>, DiskError> {
        let failed = |errno| DiskError::call("list", &self.path, errno);
        // A handle of its own: the position of a directory belongs to the open file, which clones share.
        let fresh = fs::openat(&self.fd, ".", DIRECTORY, Mode::empty()).map_err(failed)?;
        let mut entries = Vec::new();
        read_entries(fresh.as_fd(), |name, kind| {
            entries.push(DirEntry { name: name.to_owned(), kind });
        })
        .map_err(failed)?;
        entries.sort();
        Ok(entries)
    }

    pub(crate) fn open(
        &self,
        rel: &RelPath,
        flags: OFlags,
        verb: &'static str,
    ) -> Result<OwnedFd, DiskError> {
        open_beneath(self.fd.as_fd(), rel.as_str(), flags)
            .map_err(|errno| DiskError::open(verb, &self.shown(rel), errno))
    }

    pub(crate) fn parent<'a>(
        &'a self,
        rel: &'a RelPath,
        verb: &'static str,
    ) -> Result<Parent<'a>, DiskError> {
        let Some((within, name)) = rel.as_str().rsplit_once('/') else {
            return Ok(Parent { opened: None, dir: self, within: "", name: rel.as_str() });
        };
        let fd = open_beneath(self.fd.as_fd(), within, DIRECTORY)
            .map_err(|errno| DiskError::open(verb, &self.shown(rel), errno))?;
        Ok(Parent { opened: Some(fd), dir: self, within, name })
    }

    pub(crate) fn shown(&self, rel: &RelPath) -> String {
        format!("{}/{rel}", self.path)
    }

    pub(crate) fn expect_kind(&self, fd: &OwnedFd, rel: &RelPath, wanted: Kind) -> Result<Stat, DiskError> {
        let raw = fs::fstat(fd).map_err(|e| DiskError::call("look at", &self.shown(rel), e))?;
        let stat = Stat::of(&raw);
        if stat.kind == wanted {
            return Ok(stat);
        }
        Err(DiskError::WrongKind { verb: "open", path: self.shown(rel), wanted, found: stat.kind })
    }
}

/// What stands at a name; `None` when nothing does.
pub(crate) fn stat_at(at: &At<'_>) -> Result<Option<Stat>, DiskError> {
    match fs::statat(at.dir, at.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(raw) => Ok(Some(Stat::of(&raw))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(DiskError::call("look at", at, errno)),
    }
}

/// Calls `each` for every name of an open directory but `.` and `..`, from its current position.
pub(crate) fn read_entries(fd: BorrowedFd<'_>, mut each: impl FnMut(&OsStr, Kind)) -> Result<(), Errno> {
    // Many names for each getdents; one name takes at most 280 bytes.
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(fd, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not tell (getdents(2), d_type).
            fs::FileType::Unknown => {
                let raw = fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
                Stat::of(&raw).kind
            }
            kind => Kind::of(kind),
        };
        each(name, kind);
    }
    Ok(())
}
