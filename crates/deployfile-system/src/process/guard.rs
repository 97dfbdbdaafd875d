//! The guard: stands between executor and program, and leaves nothing of the program behind.
//!
//! It is a session of its own and a child subreaper (prctl(2)), so that whatever the program forks, however it
//! detaches, ends up as a child of the guard when its parent ends.

use super::identity::{Sent, descendants, raw, signal_exactly, start_ticks};
use super::launch;
use super::wire::{GO, KILL, Launch, TERM, Word, Words, receive_frame, send_frame, send_word};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, kill_process_group, pidfd_open,
    set_child_subreaper, setsid, wait,
};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long what a program left behind may take to die.
const SWEEP: Duration = Duration::from_secs(10);

/// The hidden verb `guard`; `args` are those after the verb. Stdin is the socket to whoever started it. Gives the exit
/// status of this process.
pub fn guard_main(args: &[String]) -> i32 {
    match args {
        [] => match guard() {
            Ok(()) => 0,
            Err(_) => 1,
        },
        [what] if what == "launch" => launch::main(),
        _ => 2,
    }
}

fn guard() -> io::Result<()> {
    let executor = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let result = start(&executor).and_then(|mut watch| watch.until_end(&executor));
    let word = match result {
        Ok(Some(word)) => word,
        Ok(None) => return Ok(()),
        Err(error) => Word::failed("guard the program", &error),
    };
    // An executor that is gone needs no answer.
    let _ = send_word(&executor, &word);
    Ok(())
}

fn start(executor: &UnixStream) -> io::Result<Watch> {
    setsid()?;
    set_child_subreaper(Some(getpid()))?;
    let frame = receive_frame(executor)?;
    let launch: Launch = serde_json::from_slice(&frame)?;
    let (launcher, theirs) = UnixStream::pair()?;
    let (program, args) = &launch.launcher;
    let child = Command::new(program)
        .args(args)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .process_group(0)
        .spawn()?;
    let_go_of_stdio()?;
    send_frame(&launcher, &frame)?;
    let pid = raw(child.id()).ok_or(io::ErrorKind::InvalidData)?;
    send_word(executor, &Word::Spawned { pid: child.id(), start_ticks: start_ticks(child.id())? })?;
    let exit = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(Watch { pid, exit, launcher: Some(launcher), words: Words::default(), status: None })
}

/// The program's output pipes must close when the program's side closes them, not when the guard ends.
fn let_go_of_stdio() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(rustix::stdio::dup2_stderr(&null)?)
}

struct Watch {
    pid: Pid,
    exit: OwnedFd,
    /// Open until the launcher has become the program, or failed to.
    launcher: Option<UnixStream>,
    words: Words,
    status: Option<WaitStatus>,
}

impl Watch {
    /// Waits for the end, or for the executor's. `None`: there is nobody left to tell.
    fn until_end(&mut self, executor: &UnixStream) -> io::Result<Option<Word>> {
        loop {
            let (told, launched, ended) = self.wait_for_something(executor)?;
            if launched && let Some(word) = self.hear_launcher()? {
                self.sweep()?;
                return Ok(Some(word));
            }
            if told && !self.obey(executor)? {
                self.sweep()?;
                return Ok(None);
            }
            if ended {
                let left = self.sweep()?;
                return Ok(Some(self.verdict(left)));
            }
            // What was orphaned and ended while the program runs.
            self.reap()?;
        }
    }

    /// Which of executor, launcher and the program's end have something to say; none after a second.
    fn wait_for_something(&self, executor: &UnixStream) -> io::Result<(bool, bool, bool)> {
        let mut fds = vec![PollFd::new(executor, PollFlags::IN), PollFd::new(&self.exit, PollFlags::IN)];
        if let Some(launcher) = &self.launcher {
            fds.push(PollFd::new(launcher, PollFlags::IN));
        }
        match poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |n: usize| fds.get(n).is_some_and(|fd: &PollFd<'_>| !fd.revents().is_empty());
        Ok((ready(0), ready(2), ready(1)))
    }

    /// The launcher's failure; its silent end means that it is the program now.
    fn hear_launcher(&mut self) -> io::Result<Option<Word>> {
        let Some(launcher) = &self.launcher else { return Ok(None) };
        if !self.words.fill(launcher).unwrap_or(false) {
            self.launcher = None;
            return Ok(None);
        }
        self.words.next()
    }

    /// Does what the executor says; `false` when it is gone.
    fn obey(&mut self, mut executor: &UnixStream) -> io::Result<bool> {
        let mut byte = [0];
        match executor.read(&mut byte) {
            Ok(1) => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(_) => return Ok(false),
        }
        match byte[0] {
            GO => {
                if let Some(mut launcher) = self.launcher.as_ref() {
                    // A launcher that ended meanwhile is seen by its exit.
                    let _ = launcher.write_all(&[GO]);
                }
            }
            TERM => self.signal_group(Signal::TERM),
            KILL => {
                self.sweep()?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn signal_group(&self, signal: Signal) {
        // Once its leader is reaped, the group's number may be somebody else's.
        if self.status.is_none() {
            // The group may be gone already, which is what was wanted.
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// Kills the program and all that descends from it, until nothing is left or [`SWEEP`] is over; how many
    /// processes could not be ended (another user's).
    fn sweep(&mut self) -> io::Result<u32> {
        let us = getpid().as_raw_pid().unsigned_abs();
        let deadline = Instant::now() + SWEEP;
        while self.reap()? {
            self.signal_group(Signal::KILL);
            let left = freeze(us, deadline)?;
            let mut denied = 0;
            for (pid, ticks) in &left {
                denied += u32::from(matches!(signal_exactly(*pid, *ticks, Signal::KILL)?, Sent::Denied));
            }
            if Instant::now() > deadline || (denied > 0 && denied as usize == left.len()) {
                return Ok(left.len() as u32);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(0)
    }

    /// Takes the statuses of children that ended; whether there are others.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid => self.status = Some(status),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(true),
                Err(Errno::CHILD) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn verdict(&self, left: u32) -> Word {
        let Some(status) = self.status else {
            return Word::failed("read how the program ended", &io::Error::from_raw_os_error(0));
        };
        match (status.exit_status(), status.terminating_signal()) {
            (Some(status), _) => Word::Exited { status, left },
            (None, signal) => Word::Signaled { signal: signal.unwrap_or(0), left },
        }
    }
}

/// Stops everything below `us` until a look at it shows nothing new: what is stopped cannot fork, so that killing wins
/// against programs that fork faster than they are killed.
fn freeze(us: u32, deadline: Instant) -> io::Result<BTreeMap<u32, u64>> {
    let mut frozen = BTreeMap::new();
    loop {
        let seen = descendants(us)?;
        let new: Vec<_> = seen.iter().filter(|(pid, ticks)| frozen.get(*pid) != Some(*ticks)).collect();
        if new.is_empty() || Instant::now() > deadline {
            return Ok(seen);
        }
        for (pid, ticks) in new {
            signal_exactly(*pid, *ticks, Signal::STOP)?;
        }
        frozen = seen;
    }
}
