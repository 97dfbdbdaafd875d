//! Which process is meant, after time has passed: a pid alone is reused, a pid with its start time and boot is not.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long a killed process may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// This boot of the kernel (`/proc/sys/kernel/random/boot_id`, random(4)).
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// When the process started, in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)).
pub fn start_ticks(pid: u32) -> io::Result<u64> {
    Ok(stat(pid)?.start_ticks)
}

/// Kills the process group that `pid` leads and everything that descends from it, and waits until they are gone; does
/// nothing unless it still is the very process that started at `start_ticks` of this `boot`.
///
/// Processes whose group leader has ended are not found this way. They are the guard's to kill; only somebody who kills
/// both executor and guard can leave some.
pub fn end_leftover(pid: u32, start_ticks: u64, boot: &str) -> io::Result<()> {
    if boot_id()? != boot {
        return Ok(());
    }
    let Some(handle) = open_exactly(pid, start_ticks)? else { return Ok(()) };
    // Stopped, it cannot fork or end and free its number while the rest is looked up.
    ignore_gone(pidfd_send_signal(&handle, Signal::STOP))?;
    let mut killed = Vec::new();
    for (child, ticks) in descendants(pid)? {
        if let Sent::To(handle) = signal_exactly(child, ticks, Signal::KILL)? {
            killed.push((child, handle));
        }
    }
    if let Some(group) = raw(pid) {
        ignore_gone(kill_process_group(group, Signal::KILL))?;
    }
    ignore_gone(pidfd_send_signal(&handle, Signal::KILL))?;
    killed.push((pid, handle));
    killed.iter().try_for_each(|(pid, handle)| wait_gone(handle, *pid))
}

/// All processes below `ancestor` with their start times.
pub(super) fn descendants(ancestor: u32) -> io::Result<BTreeMap<u32, u64>> {
    let mut children: BTreeMap<u32, Vec<(u32, u64)>> = BTreeMap::new();
    for (pid, seen) in all_processes()? {
        children.entry(seen.parent).or_default().push((pid, seen.start_ticks));
    }
    let mut found = BTreeMap::new();
    let mut parents = vec![ancestor];
    // Each parent's children are taken out, so that what was read while pids were reused cannot make a circle.
    while let Some(below) = parents.pop().map(|parent| children.remove(&parent).unwrap_or_default()) {
        parents.extend(below.iter().map(|(pid, _)| *pid));
        found.extend(below);
    }
    Ok(found)
}

/// What became of a signal.
pub(super) enum Sent {
    /// It was sent to the process behind this handle.
    To(OwnedFd),
    /// The process is not there any more.
    Gone,
    /// The process is somebody's that we may not signal.
    Denied,
}

/// Sends a signal to `pid` if it still is the process that started then.
pub(super) fn signal_exactly(pid: u32, start_ticks: u64, signal: Signal) -> io::Result<Sent> {
    let Some(handle) = open_exactly(pid, start_ticks)? else { return Ok(Sent::Gone) };
    match pidfd_send_signal(&handle, signal) {
        Ok(()) => Ok(Sent::To(handle)),
        Err(Errno::SRCH) => Ok(Sent::Gone),
        Err(Errno::PERM) => Ok(Sent::Denied),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn raw(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

struct Stat {
    parent: u32,
    start_ticks: u64,
}

fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    parse_stat(&String::from_utf8_lossy(&text)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses and may hold anything, parentheses included.
    let after_name = text.rsplit_once(')')?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, start_ticks: fields.get(19)?.parse().ok()? })
}

fn all_processes() -> io::Result<BTreeMap<u32, Stat>> {
    let pids = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .collect::<Vec<_>>();
    Ok(pids.into_iter().filter_map(|pid| Some((pid, stat(pid).ok()?))).collect())
}

/// A handle on the process, if it is the one that started then. Opened before the look at its start time, so that the
/// handle cannot be of a later process with that number.
fn open_exactly(pid: u32, ticks: u64) -> io::Result<Option<OwnedFd>> {
    let Some(raw) = raw(pid) else { return Ok(None) };
    let handle = match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(start_ticks(pid).is_ok_and(|now| now == ticks).then_some(handle))
}

fn ignore_gone(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}

fn wait_gone(handle: &OwnedFd, pid: u32) -> io::Result<()> {
    let deadline = Instant::now() + GONE_WITHIN;
    while Instant::now() < deadline {
        let mut fds = [PollFd::new(handle, PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("process {pid} is still there 10 s after KILL")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").process_group(0).spawn().unwrap()
    }

    #[test]
    fn names_may_hold_parentheses() {
        let stat = parse_stat("7 (a) b) c) S 3 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 12345 0").unwrap();
        assert_eq!((stat.parent, stat.start_ticks), (3, 12345));
        assert!(parse_stat("7 (x").is_none());
        assert!(parse_stat("7 (x) S 1").is_none());
    }

    #[test]
    fn a_leftover_is_ended_only_if_it_is_the_same_process() {
        let mut child = sleeper();
        let (pid, boot) = (child.id(), boot_id().unwrap());
        let ticks = start_ticks(pid).unwrap();
        end_leftover(pid, ticks + 1, &boot).unwrap();
        end_leftover(pid, ticks, "another-boot").unwrap();
        assert!(child.try_wait().unwrap().is_none(), "another process's name must not end this one");
        end_leftover(pid, ticks, &boot).unwrap();
        assert!(!child.wait().unwrap().success());
        end_leftover(pid, ticks, &boot).unwrap();
    }

    #[test]
    fn descendants_are_found_by_their_parents() {
        let mut child = Command::new("sh").args(["-c", "sleep 600 & wait"]).process_group(0).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while descendants(child.id()).unwrap().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let below = descendants(child.id()).unwrap();
        assert_eq!(below.len(), 1);
        assert!(descendants(std::process::id()).unwrap().contains_key(&child.id()));
        end_leftover(child.id(), start_ticks(child.id()).unwrap(), &boot_id().unwrap()).unwrap();
        child.wait().unwrap();
        let (grandchild, ticks) = below.into_iter().next().unwrap();
        // Whoever adopted it reaps it; until then it is a zombie with the same start time.
        assert!(start_ticks(grandchild).map_or(true, |now| now != ticks) || is_zombie(grandchild));
    }

    fn is_zombie(pid: u32) -> bool {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|text| text.contains(") Z "))
    }
}
