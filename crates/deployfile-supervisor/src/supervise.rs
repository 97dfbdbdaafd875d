//! The verb `supervise ROOT`: one process, one thread, one loop around `poll`.
//!
//! SIGTERM and SIGINT end it and nothing else: services and sockets stay, and the next supervisor takes them up. It ends
//! by itself when no service is known and nobody is connected.

use crate::ask::Wait;
use crate::detach::{Detached, detach, let_go_of_stdio};
use crate::keeper::Keeper;
use crate::layout::{self, OWN_LOG, SOCKET, rel};
use crate::protocol::{Answer, Refusal, Request, VERSION};
use crate::verb::{self, VerbError};
use crate::wire::{Fill, Inbox, is_ours, listen_in, send};
use deployfile_disk::{Dir, Lock, LockError};
use deployfile_model::HostPath;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Deserialize;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Clients at a time; more wait in the socket's queue.
const MAX_CLIENTS: usize = 64;
/// A client that does not take an answer for this long is hung up on.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// How often a client that waits is told that its request is still being worked on.
const WORKING_EVERY: Duration = Duration::from_secs(1);
/// With nothing to supervise, the first client is waited for this long.
const FIRST_CLIENT_WITHIN: Duration = Duration::from_secs(5);
/// The longest sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The verb `supervise ROOT`. Returns at once, with success, when a supervisor of this root is running; what keeps one
/// from starting is written to stderr.
pub fn supervise(root: &HostPath) -> ExitCode {
    verb::exit_code("supervise", run(root))
}

fn run(root: &HostPath) -> Result<(), VerbError> {
    if detach("supervise", root)? == Detached::Starter {
        return Ok(());
    }
    let root_dir = Dir::open_root(root)?;
    let dir = layout::make_supervisor_dir(&root_dir)?;
    let _lock = match Lock::try_acquire(&dir, &rel("lock")?, &verb::lock_note()) {
        Ok(lock) => lock,
        Err(LockError::Busy { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    dir.sweep_incoming()?;
    let (signals, for_signals) = UnixStream::pair()?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, for_signals.try_clone()?)?;
    }
    let now = Instant::now();
    let keeper = Keeper::open(root, &root_dir, &dir, now)?;
    let listener = listen_in(&dir, &rel(SOCKET)?)?;
    listener.set_nonblocking(true)?;
    let_go_of_stdio(Some((&dir, OWN_LOG)))?;
    let mut supervisor =
        Supervisor { keeper, listener, signals, clients: Vec::new(), idle_until: now + FIRST_CLIENT_WITHIN };
    let ended = supervisor.run();
    dir.remove_file(&rel(SOCKET)?)?;
    ended
}

struct Supervisor {
    keeper: Keeper,
    listener: UnixListener,
    signals: UnixStream,
    clients: Vec<Client>,
    /// Until then it stays even with nothing to do.
    idle_until: Instant,
}

struct Client {
    stream: UnixStream,
    inbox: Inbox,
    pending: Option<Pending>,
    is_gone: bool,
}

struct Pending {
    wait: Wait,
    deadline: Instant,
    tell_at: Instant,
}

/// What a look at the descriptors brought.
#[derive(Default)]
struct Ready {
    is_told_to_end: bool,
    has_connection: bool,
}

impl Supervisor {
    fn run(&mut self) -> Result<(), VerbError> {
        loop {
            let now = Instant::now();
            self.keeper.step(now);
            self.clients.iter_mut().for_each(|client| client.answer(&self.keeper, now));
            self.clients.retain(|client| !client.is_gone);
            if self.is_done(now) {
                return Ok(());
            }
            let ready = self.sleep(now)?;
            if ready.is_told_to_end {
                return Ok(());
            }
            if ready.has_connection {
                self.accept()?;
            }
            self.read_requests();
        }
    }

    fn is_done(&self, now: Instant) -> bool {
        let is_closed = self.keeper.is_closing && !self.keeper.generations().any(|g| g.is_alive());
        let is_idle = self.keeper.services.is_empty() && now >= self.idle_until;
        self.clients.is_empty() && (is_closed || is_idle)
    }

    fn sleep(&self, now: Instant) -> Result<Ready, VerbError> {
        let timeout = timespec(self.wakes_at(now).saturating_duration_since(now));
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let may_accept = self.clients.len() < MAX_CLIENTS;
        fds.push(PollFd::new(&self.listener, if may_accept { PollFlags::IN } else { PollFlags::empty() }));
        let watched = self.keeper.sockets.watched().into_iter();
        let clients = self.clients.iter().map(|client| &client.stream);
        fds.extend(watched.chain(clients).map(|stream| PollFd::new(stream, PollFlags::IN)));
        for process in self.keeper.generations().flat_map(|g| g.processes()).map(|taken| &taken.process) {
            fds.push(PollFd::new(process.handle(), PollFlags::IN));
            if let Some(stream) = process.shim_stream() {
                fds.push(PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN));
            }
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Ready::default()),
            Err(error) => return Err(VerbError::Process(error.into())),
        }
        Ok(Ready {
            is_told_to_end: !fds[0].revents().is_empty(),
            has_connection: fds[1].revents().contains(PollFlags::IN),
        })
    }

    fn wakes_at(&self, now: Instant) -> Instant {
        let pending = self.clients.iter().filter_map(|client| client.pending.as_ref());
        let telling = pending.map(|pending| pending.tell_at.min(pending.deadline));
        let idle =
            Some(self.idle_until).filter(|_| self.keeper.services.is_empty() && self.clients.is_empty());
        let soonest = telling.chain(self.keeper.wakes_at()).chain(idle).min();
        soonest.map_or(now + LONGEST_SLEEP, |at| at.min(now + LONGEST_SLEEP))
    }

    fn accept(&mut self) -> Result<(), VerbError> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !is_ours(&stream) {
            verb::note("a connection of another user was refused");
            return Ok(());
        }
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(SEND_WITHIN))?;
        self.clients.push(Client { stream, inbox: Inbox::default(), pending: None, is_gone: false });
        self.idle_until = Instant::now();
        Ok(())
    }

    fn read_requests(&mut self) {
        let now = Instant::now();
        for client in &mut self.clients {
            client.is_gone |= match client.inbox.fill(&client.stream, false) {
                // One request at a time: the next may come when this one is answered.
                Ok(Fill::Some) => client.pending.is_some(),
                Ok(Fill::None) => false,
                Ok(Fill::End) | Err(_) => true,
            };
            if client.pending.is_none() && !client.is_gone {
                client.read(&mut self.keeper, now);
            }
        }
        self.clients.retain(|client| !client.is_gone);
    }
}

impl Client {
    fn read(&mut self, keeper: &mut Keeper, now: Instant) {
        let line = match self.inbox.take_line() {
            Ok(None) => return,
            Ok(Some(line)) => line,
            Err(error) => return self.refuse(Refusal::Request { why: error.to_string() }),
        };
        match understand(&line).and_then(|request| keeper.take(request.ask, now)) {
            Ok((wait, within)) => {
                self.pending = Some(Pending { wait, deadline: now + within, tell_at: now + WORKING_EVERY });
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn answer(&mut self, keeper: &Keeper, now: Instant) {
        let Some(pending) = &mut self.pending else { return };
        if let Some(answer) = keeper.answer(&pending.wait) {
            self.pending = None;
            return self.send(&answer);
        }
        if now >= pending.deadline {
            let service = match &pending.wait {
                Wait::Settled(name, _) | Wait::Retired(name) | Wait::Down(name) => Some(name.clone()),
                Wait::Not(_) | Wait::AllDown => None,
            };
            self.pending = None;
            return self.refuse(Refusal::TimedOut { service });
        }
        if now >= pending.tell_at {
            pending.tell_at = now + WORKING_EVERY;
            self.send(&Answer::Working);
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.send(&Answer::Refused(refusal));
    }

    fn send(&mut self, answer: &Answer) {
        self.is_gone |= send(&self.stream, answer, &[]).is_err();
    }
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn understand(line: &[u8]) -> Result<Request, Refusal> {
    let unreadable = |error: serde_json::Error| Refusal::Request { why: error.to_string() };
    let version: Version = serde_json::from_slice(line).map_err(unreadable)?;
    if version.version != VERSION {
        return Err(Refusal::Version { speaks: VERSION });
    }
    serde_json::from_slice(line).map_err(unreadable)
}

/// Whether the next try may go better: the client is gone already, or we are out of something for now.
fn is_passing(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR | Errno::MFILE | Errno::NFILE | Errno::NOBUFS)
    )
}

fn timespec(duration: Duration) -> Timespec {
    // Rounded up, so that what is waited for has come when it wakes.
    let duration = duration + Duration::from_millis(1);
    Timespec { tv_sec: duration.as_secs().min(3600) as i64, tv_nsec: i64::from(duration.subsec_nanos()) as _ }
}
