//! Which process is meant, after time has passed: a pid alone is reused; a pid with its start time and boot is not.

use deployfile_disk::{Dir, DiskError};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

/// Where recorded pids mean something: this boot of the kernel and this very root. A copy of a root must not take up the
/// processes of the original, and after a boot there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stamp {
    boot: String,
    root: String,
}

impl Stamp {
    /// The stamp of now and of `root`.
    pub(crate) fn of(root: &Dir) -> Result<Self, DiskError> {
        // random(4)
        let path = "/proc/sys/kernel/random/boot_id";
        let boot = fs::read_to_string(path).map_err(|source| DiskError::Call {
            verb: "read",
            path: path.to_owned(),
            source,
        })?;
        let stat = root.stat_self()?;
        Ok(Self { boot: boot.trim().to_owned(), root: format!("{:x}-{:x}", stat.dev, stat.ino) })
    }
}

/// One process for all time of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessId {
    /// Its number.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot.
    pub(crate) start_ticks: u64,
}

impl ProcessId {
    /// The process that has this number now. For a child that was not waited for yet it cannot be another.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { pid, start_ticks: look(pid)?.start_ticks })
    }

    /// The number as the system calls take it.
    pub(crate) fn raw(self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }

    /// A handle on exactly this process; `None` when it has ended.
    pub(crate) fn open(self) -> io::Result<Option<OwnedFd>> {
        let Some(raw) = self.raw() else { return Ok(None) };
        let handle = match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Looked at after the handle was opened, so that the handle cannot be of a later process with that number.
        let is_it = look(self.pid).is_ok_and(|seen| seen.start_ticks == self.start_ticks && !seen.is_zombie);
        Ok(is_it.then_some(handle))
    }

    /// Whether the number of this process, which has ended, names another one now.
    pub(crate) fn is_reused(self) -> bool {
        look(self.pid).is_ok_and(|seen| seen.start_ticks != self.start_ticks)
    }
}

/// Whether this process leads a session: its number is the session's (fields 1 and 6 of `/proc/self/stat`, proc(5)).
///
/// Not asked of getsid(2): where the session began outside of our pid namespace it answers 0, which is no process and
/// which `rustix` (1.1) takes for one.
pub(crate) fn leads_a_session() -> io::Result<bool> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let session = text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(3));
    Ok(session.is_some() && session == text.split_whitespace().next())
}

struct Seen {
    start_ticks: u64,
    is_zombie: bool,
}

fn look(pid: u32) -> io::Result<Seen> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    parse(&String::from_utf8_lossy(&text)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Fields 3 and 22 of `/proc/PID/stat` (proc(5)).
fn parse(text: &str) -> Option<Seen> {
    // The second field is the program's name in parentheses and may hold anything, parentheses included.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Seen {
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_parentheses() {
        let seen = parse("7 (a) b) c) Z 3 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 12345 0").unwrap();
        assert_eq!((seen.is_zombie, seen.start_ticks), (true, 12345));
        assert!(parse("7 (x").is_none());
        assert!(parse("7 (x) S 1").is_none());
    }

    #[test]
    fn only_the_very_process_is_opened() {
        let me = ProcessId::of(std::process::id()).unwrap();
        assert!(me.open().unwrap().is_some());
        let other = ProcessId { start_ticks: me.start_ticks + 1, ..me };
        assert!(other.open().unwrap().is_none());
        assert!(other.is_reused() && !me.is_reused());
    }

    #[test]
    fn a_zombie_has_ended() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        let state = || fs::read_to_string(format!("/proc/{}/stat", id.pid)).unwrap();
        while !state().contains(") Z ") {
            std::thread::yield_now();
        }
        assert!(id.open().unwrap().is_none());
        child.wait().unwrap();
    }
}
