//! What is known of a file without reading it.

use rustix::fs::{FileType, Stat as RawStat};
use std::ffi::OsString;
use std::fmt;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symlink.
    Symlink,
    /// A socket, pipe or device.
    Other,
}

impl Kind {
    pub(crate) fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Dir,
            FileType::Symlink => Self::Symlink,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::File => "file",
            Self::Dir => "directory",
            Self::Symlink => "symlink",
            Self::Other => "special file",
        })
    }
}

/// The metadata of one file; links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-id and sticky, `0o7777`.
    pub mode: u32,
    /// Length in bytes.
    pub size: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content, nanoseconds since 1970-01-01 UTC.
    pub mtime_ns: i64,
    /// Last change of the inode, nanoseconds since 1970-01-01 UTC. No call can set it.
    pub ctime_ns: i64,
    /// Names of this inode.
    pub nlink: u64,
    /// Device of the file system.
    pub dev: u64,
    /// Inode number on that device.
    pub ino: u64,
}

impl Stat {
    #[allow(clippy::unnecessary_cast, reason = "the widths differ between architectures")]
    pub(crate) fn of(raw: &RawStat) -> Self {
        Self {
            kind: Kind::of(FileType::from_raw_mode(raw.st_mode)),
            mode: raw.st_mode & 0o7777,
            size: raw.st_size as u64,
            uid: raw.st_uid,
            gid: raw.st_gid,
            mtime_ns: nanoseconds(raw.st_mtime as i64, raw.st_mtime_nsec as i64),
            ctime_ns: nanoseconds(raw.st_ctime as i64, raw.st_ctime_nsec as i64),
            nlink: raw.st_nlink as u64,
            dev: raw.st_dev as u64,
            ino: raw.st_ino as u64,
        }
    }

    /// Whether both describe one inode.
    pub fn is_same_inode(&self, other: &Stat) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}

fn nanoseconds(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The name; any bytes but `/` and NUL.
    pub name: OsString,
    /// What it stands for.
    pub kind: Kind,
}

impl DirEntry {
    /// The name as text; `None` when it is not UTF-8 (then it is nothing that deployfile made).
    pub fn text(&self) -> Option<&str> {
        self.name.to_str()
    }
}
