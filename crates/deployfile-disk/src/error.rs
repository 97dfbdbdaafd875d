//! What a file call can answer when it does not do as asked.

use crate::stat::Kind;
use rustix::io::Errno;
use std::fmt;
use std::io;

/// Why a file call did not do as asked. Every message names the verb and the path.
#[derive(Debug)]
pub enum DiskError {
    /// The system refused a call.
    Call {
        /// What was tried, as `cannot …` continues.
        verb: &'static str,
        /// On what.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The path leads through a symlink, or out of the directory that it is beneath.
    Symlink {
        /// What was tried.
        verb: &'static str,
        /// The path as asked for.
        path: String,
    },
    /// Something of another kind stands there.
    WrongKind {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: String,
        /// What was needed.
        wanted: Kind,
        /// What is there.
        found: Kind,
    },
    /// A file is longer than its reader allows.
    TooLarge {
        /// The file.
        path: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// One write took in only a part of the bytes; the handle takes no more.
    ShortWrite {
        /// The file.
        path: String,
        /// Bytes given.
        wanted: usize,
        /// Bytes taken.
        written: usize,
    },
    /// An earlier write or sync of this handle failed, so what the file holds is unknown.
    Poisoned {
        /// The file.
        path: String,
    },
    /// A link was replaced, but reads back as something else: another writer is at work.
    ReadBack {
        /// The link.
        path: String,
        /// What was written.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// A name is not UTF-8, where names are kept as text.
    NotText {
        /// The path, with what is not UTF-8 replaced.
        path: String,
    },
    /// Directories are nested deeper than the limit.
    TooDeep {
        /// The directory.
        path: String,
        /// The limit, in directories.
        limit: usize,
    },
}

impl DiskError {
    pub(crate) fn call(verb: &'static str, path: &dyn fmt::Display, errno: Errno) -> Self {
        Self::Call { verb, path: path.to_string(), source: errno.into() }
    }

    /// Like [`DiskError::call`], for calls that resolve a path: ELOOP and EXDEV are what `openat2` answers to a path
    /// that would follow a link or climb (openat2(2)).
    pub(crate) fn open(verb: &'static str, path: &dyn fmt::Display, errno: Errno) -> Self {
        match errno {
            Errno::LOOP | Errno::XDEV => Self::Symlink { verb, path: path.to_string() },
            errno => Self::call(verb, path, errno),
        }
    }

    /// The system's error number, where the system refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Call { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// Nothing stands at the path.
    pub fn is_not_found(&self) -> bool {
        self.errno() == Some(Errno::NOENT.raw_os_error())
    }

    /// Something stands at the path already.
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(Errno::EXIST.raw_os_error())
    }

    /// The file system has no bytes or inodes left, or the quota is used up.
    pub fn is_no_space(&self) -> bool {
        [Errno::NOSPC, Errno::DQUOT].iter().any(|e| self.errno() == Some(e.raw_os_error()))
    }

    /// The file system is mounted read-only.
    pub fn is_read_only(&self) -> bool {
        self.errno() == Some(Errno::ROFS.raw_os_error())
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { verb, path, .. } => write!(f, "cannot {verb} `{path}`"),
            Self::Symlink { verb, path } => {
                write!(f, "cannot {verb} `{path}`: the path leads through a symlink or out of its directory")
            }
            Self::WrongKind { verb, path, wanted, found } => {
                write!(f, "cannot {verb} `{path}`: it must be a {wanted}, and is a {found}")
            }
            Self::TooLarge { path, limit } => {
                write!(f, "cannot read `{path}`: it is longer than {limit} bytes")
            }
            Self::ShortWrite { path, wanted, written } => {
                write!(f, "cannot append to `{path}`: {written} of {wanted} bytes were written")
            }
            Self::Poisoned { path } => {
                write!(f, "cannot append to `{path}`: an earlier write to it failed, its content is unknown")
            }
            Self::ReadBack { path, wanted, found } => {
                write!(f, "cannot replace link `{path}`: wrote `{wanted}`, read back `{found}`")
            }
            Self::NotText { path } => write!(f, "cannot take in `{path}`: its name is not UTF-8"),
            Self::TooDeep { path, limit } => {
                write!(f, "cannot enter `{path}`: directories are nested deeper than {limit}")
            }
        }
    }
}

impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Call { source, .. } => Some(source),
            _ => None,
        }
    }
}
