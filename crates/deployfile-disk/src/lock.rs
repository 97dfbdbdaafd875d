//! The lock of a root: `flock` on a close-on-exec handle, so the kernel frees it when its holder dies, however it dies
//! (lifecycle.md "Lock"). There is no stale lock, so there is no force: a holder is stopped, not bypassed.
//!
//! The note in the file is for people. Nothing decides by it.

use crate::call;
use crate::dir::{Dir, stat_at};
use crate::error::DiskError;
use crate::stat::Stat;
use deployfile_model::units::{Millis, UnixTime};
use deployfile_model::{RelPath, RunId};
use rustix::fs::{self, FlockOperation, OFlags};
use rustix::io::{Errno, retry_on_intr};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The longest note that is read, in bytes.
const MAX_NOTE: u64 = 64 * 1024;
/// A reader of the note holds the lock, shared, for a moment; a taker tries again for this long before it says busy.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// Who holds a lock, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockNote {
    /// The user.
    pub who: String,
    /// The machine that the run was started on.
    pub from: String,
    /// When the lock was taken.
    pub since: UnixTime,
    /// The run, once it has an id.
    pub run: Option<RunId>,
    /// The process on this host.
    pub pid: u32,
}

impl LockNote {
    /// How long the lock has been held at `now`; zero when the clock went back.
    pub fn age(&self, now: UnixTime) -> Millis {
        Millis::from_secs(u64::try_from(now.0.saturating_sub(self.since.0)).unwrap_or(0).min(u64::MAX / 1000))
    }
}

/// The note that stands in a lock's file, and whether its writer lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The note; `None` when it cannot be read (its holder is just writing it).
    pub note: Option<LockNote>,
    /// Somebody holds the lock now. Otherwise its holder died without putting it down.
    pub is_live: bool,
}

/// Why a lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Somebody else holds it.
    Busy {
        /// The lock's file.
        path: String,
        /// Who, if the note can be read.
        holder: Option<LockNote>,
    },
    /// The file cannot be opened, locked or written.
    Disk(DiskError),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { path, holder: None } => {
                write!(f, "cannot lock `{path}`: it is held by another process")
            }
            Self::Busy { path, holder: Some(note) } => write!(
                f,
                "cannot lock `{path}`: it is held by {} from {} (process {})",
                note.who.escape_debug(),
                note.from.escape_debug(),
                note.pid
            ),
            Self::Disk(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Busy { .. } => None,
            Self::Disk(error) => error.source(),
        }
    }
}

impl From<DiskError> for LockError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// A lock that is held. It is free again when this is dropped.
#[derive(Debug)]
pub struct Lock {
    fd: OwnedFd,
    path: String,
}

impl Lock {
    /// Takes the lock whose file is `rel`, or tells who holds it. Does not wait.
    pub fn try_acquire(dir: &Dir, rel: &RelPath, note: &LockNote) -> Result<Lock, LockError> {
        let lock = loop {
            let fd = open_lock_file(dir, rel)?;
            if !flock_patiently(&fd, FlockOperation::NonBlockingLockExclusive, &dir.shown(rel))? {
                let holder = read_note(dir, rel)?;
                return Err(LockError::Busy { path: dir.shown(rel), holder });
            }
            // Whoever removed or replaced the file while this waited has made the lock of a file that nobody finds.
            if is_still_named(dir, rel, &fd)? {
                break Lock { fd, path: dir.shown(rel) };
            }
        };
        match lock.set_note(note) {
            // What frees a full file system needs the lock, and the note is for people only.
            Err(error) if error.is_no_space() => {}
            written => written?,
        }
        Ok(lock)
    }

    /// The note in a lock's file; `None` when the lock was put down in order, or never taken.
    pub fn holder(dir: &Dir, rel: &RelPath) -> Result<Option<Holder>, LockError> {
        let fd = match dir.open(rel, OFlags::RDONLY | OFlags::NONBLOCK, "open") {
            Err(e) if e.is_not_found() => return Ok(None),
            fd => fd?,
        };
        // Shared and for a moment: see `TRIES`. The kernel frees it when `fd` is dropped.
        let is_live = !flock_once(&fd, FlockOperation::NonBlockingLockShared, &dir.shown(rel))?;
        let is_empty = dir.stat(rel)?.is_none_or(|stat| stat.size == 0);
        if is_empty && !is_live {
            return Ok(None);
        }
        Ok(Some(Holder { note: read_note(dir, rel)?, is_live }))
    }

    /// Writes a new note: when the run gets its id.
    pub fn set_note(&self, note: &LockNote) -> Result<(), DiskError> {
        let mut text = serde_json::to_vec(note).map_err(|error| DiskError::Call {
            verb: "write the note of",
            path: self.path.clone(),
            source: error.into(),
        })?;
        text.push(b'\n');
        call::truncate(&self.fd, &self.path, 0)?;
        fs::seek(&self.fd, fs::SeekFrom::Start(0)).map_err(|e| DiskError::call("write to", &self.path, e))?;
        call::write_all(&self.fd, &self.path, &text)
    }
}

impl Drop for Lock {
    /// An empty file says that the lock was put down in order. That it does not get empty changes nothing but what
    /// `holder` shows.
    fn drop(&mut self) {
        let (Ok(()) | Err(_)) = call::truncate(&self.fd, &self.path, 0);
    }
}

fn open_lock_file(dir: &Dir, rel: &RelPath) -> Result<OwnedFd, DiskError> {
    let parent = dir.parent(rel, "open")?;
    let fd = call::open_or_create(&parent.at(), 0o600)?;
    dir.expect_kind(&fd, rel, crate::Kind::File)?;
    Ok(fd)
}

fn flock_patiently(fd: &OwnedFd, operation: FlockOperation, path: &str) -> Result<bool, DiskError> {
    for _ in 1..TRIES {
        if flock_once(fd, operation, path)? {
            return Ok(true);
        }
        std::thread::sleep(PAUSE);
    }
    flock_once(fd, operation, path)
}

fn flock_once(fd: &OwnedFd, operation: FlockOperation, path: &str) -> Result<bool, DiskError> {
    match retry_on_intr(|| fs::flock(fd, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(DiskError::call("lock", &path, errno)),
    }
}

fn is_still_named(dir: &Dir, rel: &RelPath, fd: &OwnedFd) -> Result<bool, DiskError> {
    let raw = fs::fstat(fd).map_err(|e| DiskError::call("look at", &dir.shown(rel), e))?;
    let parent = dir.parent(rel, "look at")?;
    Ok(stat_at(&parent.at())?.is_some_and(|named| named.is_same_inode(&Stat::of(&raw))))
}

fn read_note(dir: &Dir, rel: &RelPath) -> Result<Option<LockNote>, DiskError> {
    match dir.read(rel, MAX_NOTE) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
