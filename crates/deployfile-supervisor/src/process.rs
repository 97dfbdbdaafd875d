//! One process of a service: started as a shim, launched, watched by its pidfd, signalled, and buried.

use crate::detach::own_program;
use crate::identity::ProcessId;
use crate::shim::{CannotRun, Launch};
use crate::wire::{self, Fill, Inbox};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    PidfdFlags, Signal, WaitOptions, kill_process_group, pidfd_open, pidfd_send_signal, waitpid,
};
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// A shim that does not take in what to run for this long is given up.
const LAUNCH_WITHIN: Duration = Duration::from_secs(5);

/// A process that was started or taken up, and was not seen to end.
pub(crate) struct Process {
    id: ProcessId,
    handle: OwnedFd,
    shim: Option<Shim>,
    is_child: bool,
}

struct Shim {
    stream: UnixStream,
    inbox: Inbox,
}

/// How far the shim has come.
pub(crate) enum Shimming {
    /// It is still the shim.
    Yes,
    /// It has become the service (or has ended without a word).
    No,
    /// It cannot, and says why.
    Cannot(String),
}

impl Process {
    /// Starts a shim that waits for [`Process::launch`], as the leader of a process group of its own.
    pub(crate) fn spawn(log: File) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_write_timeout(Some(LAUNCH_WITHIN))?;
        let child = Command::new(own_program())
            .arg0("deployfile")
            .arg("run-service")
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let id = ProcessId::of(child.id())?;
        let raw = id.raw().ok_or(io::ErrorKind::InvalidData)?;
        let handle = pidfd_open(raw, PidfdFlags::empty())?;
        Ok(Self { id, handle, shim: Some(Shim { stream: ours, inbox: Inbox::default() }), is_child: true })
    }

    /// Takes up a process that an earlier supervisor started; `None` when it has ended.
    pub(crate) fn take_up(id: ProcessId) -> io::Result<Option<Self>> {
        Ok(id.open()?.map(|handle| Self { id, handle, shim: None, is_child: false }))
    }

    /// Lets the shim become the service. To be called when its id is durable.
    pub(crate) fn launch(&self, launch: &Launch, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        match &self.shim {
            Some(shim) => wire::send(&shim.stream, launch, sockets),
            None => Ok(()),
        }
    }

    /// Which process it is.
    pub(crate) fn id(&self) -> ProcessId {
        self.id
    }

    /// What gets readable when it ends.
    pub(crate) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// What gets readable when the shim has something to say or is no more.
    pub(crate) fn shim_stream(&self) -> Option<&UnixStream> {
        self.shim.as_ref().map(|shim| &shim.stream)
    }

    /// Whether it has become the service yet.
    pub(crate) fn shimming(&mut self) -> Shimming {
        let Some(shim) = &mut self.shim else { return Shimming::No };
        let filled = shim.inbox.fill(&shim.stream, false);
        if let Ok(Some(CannotRun { why })) = shim.inbox.take() {
            return Shimming::Cannot(why);
        }
        match filled {
            Ok(Fill::None | Fill::Some) => Shimming::Yes,
            Ok(Fill::End) | Err(_) => {
                self.shim = None;
                Shimming::No
            }
        }
    }

    /// Sends it a signal, and nothing to what it forked. A process that has ended is left alone.
    pub(crate) fn signal(&self, signal: Signal) {
        // It may be gone, or have become another user's: nothing more can be done to it from here.
        let (Ok(()) | Err(_)) = pidfd_send_signal(&self.handle, signal);
    }

    /// Kills it and its process group.
    pub(crate) fn kill(&self) {
        self.kill_group();
        self.signal(Signal::KILL);
    }

    fn kill_group(&self) {
        // While the leader was not waited for, or has members left, its number is not given to another process; a
        // process taken up is waited for by somebody else.
        if !self.is_child && self.id.is_reused() {
            return;
        }
        if let Some(group) = self.id.raw() {
            let (Ok(()) | Err(_)) = kill_process_group(group, Signal::KILL);
        }
    }

    /// Whether it has ended; if so, what is left of its process group is killed, and it is told how it ended.
    pub(crate) fn bury(&mut self) -> Option<String> {
        if !has_ended(&self.handle) {
            return None;
        }
        self.kill_group();
        if !self.is_child {
            return Some("ended while no supervisor was its parent: its exit status is unknown".to_owned());
        }
        match rustix::io::retry_on_intr(|| waitpid(self.id.raw(), WaitOptions::empty())) {
            Ok(Some((_, status))) => Some(in_words(ExitStatus::from_raw(status.as_raw()))),
            Ok(None) | Err(_) => Some("ended: its exit status is unknown".to_owned()),
        }
    }
}

/// Kills what is left of the process group of a process that has ended. Its number names no other process while its group
/// has members (setpgid(2)).
pub(crate) fn kill_leftovers(id: ProcessId) {
    if !id.is_reused()
        && let Some(group) = id.raw()
    {
        let (Ok(()) | Err(_)) = kill_process_group(group, Signal::KILL);
    }
}

/// A pidfd is readable once its process has ended (pidfd_open(2)).
fn has_ended(handle: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(handle, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&now)) {
        Ok(ready) => ready > 0,
        Err(Errno::INTR) => false,
        // Only a handle that is none can be refused, and ours came from pidfd_open.
        Err(_) => true,
    }
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended: its exit status is unknown".to_owned(),
    }
}
