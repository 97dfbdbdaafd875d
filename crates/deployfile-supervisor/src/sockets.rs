//! The supervisor's side of the holder: it has a copy of every socket, so that the sockets outlive the holder too.

use crate::detach::own_program;
use crate::holder::{HoldAnswer, HoldAsk};
use crate::layout::{HOLDER_SOCKET, rel};
use crate::listen;
use crate::steer::{Course, Side};
use crate::wire::{self, Fill, Inbox, MAX_DESCRIPTORS};
use deployfile_disk::Dir;
use deployfile_model::HostPath;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::accept;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A holder answers at once; one that does not for this long is given up.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const START_WITHIN: Duration = Duration::from_secs(10);
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(5);
/// A connection that is not there after all is waited for this long (`SO_RCVTIMEO`, socket(7)).
const ACCEPT_WITHIN: Duration = Duration::from_millis(10);

/// The most addresses that one unit may listen on.
pub(crate) const MAX_ADDRESSES: usize = MAX_DESCRIPTORS;

/// Why a socket could not be had.
#[derive(Debug)]
pub(crate) enum SocketError {
    /// An address cannot be listened on.
    Address {
        /// Which.
        address: String,
        /// Why; the text names the address.
        why: String,
    },
    /// The holder cannot do something else, and says why.
    Refused(String),
    /// The holder cannot be started or talked to.
    Holder(io::Error),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { why, .. } | Self::Refused(why) => f.write_str(why),
            Self::Holder(error) => write!(f, "cannot reach the holder of listening sockets: {error}"),
        }
    }
}

impl From<io::Error> for SocketError {
    fn from(error: io::Error) -> Self {
        Self::Holder(error)
    }
}

struct Connection {
    stream: UnixStream,
    inbox: Inbox,
}

/// The sockets of one address: two where a hand-over can keep old and new apart, one elsewhere.
struct Held {
    sockets: Vec<OwnedFd>,
    /// As it was set last; `None` when that is not known, after a new start of the supervisor.
    course: Option<Course>,
}

impl Held {
    fn of(&self, side: Side) -> Option<&OwnedFd> {
        self.sockets.get(side.index()).or(self.sockets.first())
    }
}

/// All listening sockets of a root.
pub(crate) struct Sockets {
    root: HostPath,
    dir: Dir,
    connection: Option<Connection>,
    held: BTreeMap<String, Held>,
}

impl Sockets {
    /// Connects to the holder if one runs, and takes a copy of all that it holds.
    pub(crate) fn open(root: &HostPath, dir: Dir) -> Result<Self, SocketError> {
        let mut sockets = Self { root: root.clone(), dir, connection: None, held: BTreeMap::new() };
        sockets.connection = sockets.connect()?;
        if sockets.connection.is_some()
            && let HoldAnswer::Held(addresses) = sockets.ask(&HoldAsk::List)?
        {
            for address in addresses {
                sockets.hold(&address)?;
            }
        }
        Ok(sockets)
    }

    /// The sockets of these addresses on that side, in their order. All of them, or none is new.
    pub(crate) fn obtain(
        &mut self,
        addresses: &[String],
        side: Side,
    ) -> Result<Vec<BorrowedFd<'_>>, SocketError> {
        let missing: Vec<String> =
            addresses.iter().filter(|address| !self.held.contains_key(*address)).cloned().collect();
        for (at, address) in missing.iter().enumerate() {
            if let Err(error) = self.hold(address) {
                // The first error is the one to tell; what stays bound is closed by the next `keep_only`.
                let _released = self.release(missing[..at].to_vec());
                return Err(error);
            }
        }
        Ok(addresses.iter().filter_map(|address| Some(self.held.get(address)?.of(side)?.as_fd())).collect())
    }

    /// Sends new connections to where they are to go. An address with one socket has no choice.
    pub(crate) fn steer(&mut self, address: &str, course: Course) -> io::Result<()> {
        let Some(held) = self.held.get_mut(address) else { return Ok(()) };
        if let [first, _] = held.sockets.as_slice()
            && held.course != Some(course)
        {
            listen::set_course(address, first, course)?;
            held.course = Some(course);
        }
        Ok(())
    }

    /// Whether new connections to these addresses can be kept from one side: each has two sockets.
    pub(crate) fn can_steer(&self, addresses: &[String]) -> bool {
        let has_two = |address: &String| self.held.get(address).is_some_and(|held| held.sockets.len() == 2);
        addresses.iter().all(has_two)
    }

    /// Whether connections to these addresses were sent on this course.
    pub(crate) fn is_steered(&self, addresses: &[String], course: Course) -> bool {
        let is_on_it = |address: &String| {
            self.held.get(address).is_some_and(|held| held.sockets.len() == 2 && held.course == Some(course))
        };
        addresses.iter().all(is_on_it)
    }

    /// Whether none of these addresses has a socket yet.
    pub(crate) fn holds_none(&self, addresses: &[String]) -> bool {
        !addresses.iter().any(|address| self.held.contains_key(address))
    }

    /// Closes the connections that wait on a side from which nobody accepts: a client is to be told at once, and not
    /// answered by whoever gets this side next.
    pub(crate) fn close_waiting(&self, address: &str, side: Side) {
        let Some(held) = self.held.get(address).filter(|held| held.sockets.len() == 2) else { return };
        let Some(socket) = held.of(side) else { return };
        let has_waiting = || self.has_waiting(&[address.to_owned()], side);
        // A process that left its service's group may accept here too, and take what was just seen: this must not block.
        if !has_waiting() || set_socket_timeout(socket, Timeout::Recv, Some(ACCEPT_WITHIN)).is_err() {
            return;
        }
        while has_waiting() && accept(socket).is_ok() {}
        let (Ok(()) | Err(_)) = set_socket_timeout(socket, Timeout::Recv, None);
    }

    /// Whether a connection waits on this side of these addresses to be accepted.
    pub(crate) fn has_waiting(&self, addresses: &[String], side: Side) -> bool {
        let sockets = addresses.iter().filter_map(|address| self.held.get(address)?.of(side));
        let mut fds: Vec<PollFd<'_>> = sockets.map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        rustix::io::retry_on_intr(|| poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })))
            .is_ok_and(|ready| ready > 0)
    }

    /// Closes all sockets but these. The holder ends when there are none.
    pub(crate) fn keep_only(&mut self, addresses: &BTreeSet<String>) -> Result<(), SocketError> {
        let unwanted: Vec<String> =
            self.held.keys().filter(|held| !addresses.contains(*held)).cloned().collect();
        if unwanted.is_empty() { Ok(()) } else { self.release(unwanted) }
    }

    /// The connection to the holder, to be watched: it says nothing by itself, so it is only ever readable when the
    /// holder has died.
    pub(crate) fn watched(&self) -> Option<&UnixStream> {
        self.connection.as_ref().map(|connection| &connection.stream)
    }

    /// Starts another holder if this one has died, and gives it the copies. Tells whether it did.
    pub(crate) fn replace_dead_holder(&mut self) -> Result<bool, SocketError> {
        let Some(connection) = &mut self.connection else { return Ok(false) };
        if let Ok(Fill::Some | Fill::None) = connection.inbox.fill(&connection.stream, false) {
            return Ok(false);
        }
        self.connection = None;
        if self.held.is_empty() {
            return Ok(false);
        }
        self.connected().map(|_| true)
    }

    fn hold(&mut self, address: &str) -> Result<(), SocketError> {
        self.ask(&HoldAsk::Hold(address.to_owned())).map_err(|error| match error {
            SocketError::Refused(why) => SocketError::Address { address: address.to_owned(), why },
            error => error,
        })?;
        let inbox = self.connection.as_mut().map(|connection| &mut connection.inbox);
        let sockets = inbox.map(Inbox::take_descriptors).unwrap_or_default();
        if sockets.is_empty() {
            return Err(io::Error::other("it handed over no socket").into());
        }
        self.held.insert(address.to_owned(), Held { sockets, course: None });
        Ok(())
    }

    fn release(&mut self, addresses: Vec<String>) -> Result<(), SocketError> {
        self.held.retain(|held, _| !addresses.contains(held));
        if !self.held.is_empty() {
            return self.ask(&HoldAsk::Release(addresses)).map(drop);
        }
        // It ends with its last socket; one that has died already is not started again for this.
        let released = match &self.connection {
            Some(_) => self.ask_once(&HoldAsk::Release(addresses)).map(drop),
            None => Ok(()),
        };
        self.connection = None;
        released
    }

    fn ask(&mut self, ask: &HoldAsk) -> Result<HoldAnswer, SocketError> {
        for _ in 1..TRIES {
            match self.ask_once(ask) {
                // The holder was just ending; what was asked for may be asked for twice.
                Err(SocketError::Holder(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    std::thread::sleep(PAUSE);
                }
                answered => return answered,
            }
        }
        self.ask_once(ask)
    }

    fn ask_once(&mut self, ask: &HoldAsk) -> Result<HoldAnswer, SocketError> {
        let connection = self.connected()?;
        let answered = wire::send(&connection.stream, ask, &[])
            .and_then(|()| connection.inbox.wait(&connection.stream))
            .and_then(|answer| answer.ok_or_else(|| io::ErrorKind::ConnectionReset.into()));
        match answered {
            Ok(HoldAnswer::Refused(why)) => Err(SocketError::Refused(why)),
            Ok(answer) => Ok(answer),
            Err(error) => {
                self.connection = None;
                Err(error.into())
            }
        }
    }

    fn connected(&mut self) -> Result<&mut Connection, SocketError> {
        if self.connection.is_none() {
            let mut connection = self.start()?;
            for (address, held) in &self.held {
                let sockets: Vec<_> = held.sockets.iter().map(|socket| socket.as_fd()).collect();
                wire::send(&connection.stream, &HoldAsk::Adopt(address.clone()), &sockets)?;
                connection.inbox.wait::<HoldAnswer>(&connection.stream)?;
            }
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or_else(|| SocketError::Holder(io::ErrorKind::NotConnected.into()))
    }

    fn start(&self) -> Result<Connection, SocketError> {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            if let Some(connection) = self.connect()? {
                return Ok(connection);
            }
            if Instant::now() > deadline {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            let status = Command::new(own_program())
                .args(["hold-sockets", self.root.as_str()])
                .env_clear()
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()?;
            if !status.success() {
                return Err(io::Error::other(format!("it ended with {status}")).into());
            }
            if let Some(connection) = self.wait_for_holder(deadline)? {
                return Ok(connection);
            }
        }
    }

    /// The starter has returned; its child needs a moment, or found that another holder is just ending.
    fn wait_for_holder(&self, deadline: Instant) -> Result<Option<Connection>, SocketError> {
        let patience = deadline.min(Instant::now() + Duration::from_secs(1));
        while Instant::now() < patience {
            if let Some(connection) = self.connect()? {
                return Ok(Some(connection));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(None)
    }

    fn connect(&self) -> Result<Option<Connection>, SocketError> {
        let name = rel(HOLDER_SOCKET).map_err(io::Error::other)?;
        let Some(stream) = wire::connect_in(&self.dir, &name)? else { return Ok(None) };
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        Ok(Some(Connection { stream, inbox: Inbox::default() }))
    }
}
