//! How the rest of the product asks the supervisor for something.

use crate::identity::Stamp;
use crate::layout::{self, SOCKET, rel};
use crate::protocol::{Answer, Ask, Refusal, Request, ServiceStatus, VERSION};
use crate::wire::{self, Inbox};
use crate::{binary, logs, state, verb};
use deployfile_disk::{Dir, DiskError};
use deployfile_model::{HostPath, Name, OnDeploy};
use deployfile_record::Unit;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A supervisor that lives says something every second; one that is silent for this long is given up.
const SILENT_FOR: Duration = Duration::from_secs(30);
/// A supervisor is up, or has said why not, within this time.
const START_WITHIN: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(5);
/// The most that is read of why a supervisor does not start, in bytes.
const MAX_REASON: u64 = 64 * 1024;

/// A connection to the supervisor of a root.
#[derive(Debug)]
pub struct Client {
    root: HostPath,
    stream: UnixStream,
    inbox: Inbox,
    /// Starts another supervisor when this one is killed in the middle of a request.
    program: Option<PathBuf>,
}

/// Why something could not be asked for, or was not done.
#[derive(Debug)]
pub enum ClientError {
    /// The root, or the copy of the program, cannot be read or written.
    Disk(DiskError),
    /// No supervisor could be started.
    Start {
        /// The root.
        root: HostPath,
        /// What it said, or what happened.
        why: String,
    },
    /// The connection cannot be made, or broke.
    Connection {
        /// The root.
        root: HostPath,
        /// The system's answer.
        source: io::Error,
    },
    /// The supervisor said no.
    Refused(Refusal),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(f),
            Self::Start { root, why } => write!(f, "cannot start the supervisor of `{root}`: {why}"),
            Self::Connection { root, .. } => write!(f, "cannot talk to the supervisor of `{root}`"),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Disk(error) => error.source(),
            Self::Connection { source, .. } => Some(source),
            Self::Start { .. } | Self::Refused(_) => None,
        }
    }
}

impl From<DiskError> for ClientError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl Client {
    /// Connects to the supervisor of `root`; `None` when none is running. Services may run all the same: a supervisor
    /// that was killed left them.
    pub fn connect(root: &HostPath) -> Result<Option<Self>, ClientError> {
        let broken = |source| ClientError::Connection { root: root.clone(), source };
        let Some(dir) = layout::supervisor_dir(root)? else { return Ok(None) };
        let Some(stream) = wire::connect_in(&dir, &rel(SOCKET)?).map_err(broken)? else { return Ok(None) };
        stream.set_read_timeout(Some(SILENT_FOR)).map_err(broken)?;
        stream.set_write_timeout(Some(SILENT_FOR)).map_err(broken)?;
        let mut client = Self { root: root.clone(), stream, inbox: Inbox::default(), program: None };
        match client.ask_once(Ask::Hello) {
            Ok(_) => Ok(Some(client)),
            // It was just ending, and took the connection with it.
            Err(ClientError::Connection { source, .. }) if is_hang_up(&source) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Like [`Client::connect_or_start`] where services are recorded, so that those are found which a killed supervisor
    /// left running; `None`, and nothing is started, where there are none.
    pub fn connect_or_revive(root: &HostPath, program: &Path) -> Result<Option<Self>, ClientError> {
        if let Some(client) = Self::connect(root)? {
            return Ok(Some(Self { program: Some(program.to_owned()), ..client }));
        }
        let Some(dir) = layout::supervisor_dir(root)? else { return Ok(None) };
        let recorded = state::load(&dir)
            .map_err(|error| ClientError::Start { root: root.clone(), why: verb::with_source(&error) })?;
        match recorded.is_some_and(|recorded| !recorded.services.is_empty()) {
            true => Self::connect_or_start(root, program).map(Some),
            false => Ok(None),
        }
    }

    /// Connects to the supervisor of `root`, and starts one first if none is running: from a copy of `program` (this
    /// very program: it must know the verbs `supervise`, `hold-sockets` and `run-service`) that is kept in the root.
    pub fn connect_or_start(root: &HostPath, program: &Path) -> Result<Self, ClientError> {
        let deadline = Instant::now() + START_WITHIN;
        let mut copy = None;
        loop {
            if let Some(client) = Self::connect(root)? {
                return Ok(Self { program: Some(program.to_owned()), ..client });
            }
            if Instant::now() > deadline {
                let why = "it does not answer".to_owned();
                return Err(ClientError::Start { root: root.clone(), why });
            }
            let copy = match &copy {
                Some(copy) => copy,
                None => copy.insert(binary::keep(root, program)?),
            };
            start(root, copy, deadline)?;
            std::thread::sleep(PAUSE);
        }
    }

    /// Makes the service run as `unit` says, and waits until it does. Nothing happens when it does already.
    ///
    /// `restart` stops what runs and then starts anew; `reload` sends the reload signal (and restarts where the
    /// addresses changed, which only a process that starts can be given); `none` keeps what runs and changes the next
    /// start; `handover` is [`Client::begin_handover`] and [`Client::finish_handover`] with no probe between them. A
    /// hand-over that is open is aborted first. A process that ends within a moment of its start is
    /// [`Refusal::Start`]; it goes on being started again until the service gets another unit, or is stopped.
    pub fn ensure(&mut self, unit: &Unit, on_deploy: OnDeploy) -> Result<(), ClientError> {
        if on_deploy == OnDeploy::Handover {
            self.begin_handover(unit)?;
            return self.finish_handover(&unit.name);
        }
        self.ask_done(Ask::Ensure { unit: Box::new(unit.clone()), on_deploy })
    }

    /// Starts the unit's processes beside those that run, listening at the same addresses, and waits until they do.
    /// Nothing happens when the service runs as `unit` says already.
    ///
    /// Tells whether old and new are apart ([`ServiceStatus::is_apart`]); where they are not, they accept side by side.
    pub fn begin_handover(&mut self, unit: &Unit) -> Result<bool, ClientError> {
        self.ask_done(Ask::BeginHandover { unit: Box::new(unit.clone()) })?;
        let services = self.status()?;
        Ok(services.iter().any(|service| service.name == unit.name && service.is_apart))
    }

    /// Drains and stops the processes from before the hand-over, and waits until they have ended. Nothing happens when
    /// no hand-over is open.
    pub fn finish_handover(&mut self, service: &Name) -> Result<(), ClientError> {
        self.ask_done(Ask::FinishHandover { name: service.clone() })
    }

    /// Stops the processes that the hand-over started, and waits until they have ended. Nothing happens when no
    /// hand-over is open.
    pub fn abort_handover(&mut self, service: &Name) -> Result<(), ClientError> {
        self.ask_done(Ask::AbortHandover { name: service.clone() })
    }

    /// Stops the service, closes sockets that no other service needs, and forgets it. Nothing happens when it is not
    /// known.
    pub fn forget(&mut self, service: &Name) -> Result<(), ClientError> {
        self.ask_done(Ask::Forget { name: service.clone() })
    }

    /// Starts a service that is known, and waits until it runs.
    pub fn start(&mut self, service: &Name) -> Result<(), ClientError> {
        self.ask_done(Ask::Start { name: service.clone() })
    }

    /// Stops a service until somebody starts it, boots included; its sockets are closed.
    pub fn stop(&mut self, service: &Name) -> Result<(), ClientError> {
        self.ask_done(Ask::Stop { name: service.clone() })
    }

    /// Stops a service and starts it again.
    pub fn restart(&mut self, service: &Name) -> Result<(), ClientError> {
        self.ask_done(Ask::Restart { name: service.clone() })
    }

    /// Sends a service its reload signal; starts it when it is stopped.
    pub fn reload(&mut self, service: &Name) -> Result<(), ClientError> {
        self.ask_done(Ask::Reload { name: service.clone() })
    }

    /// Stops all services and ends the supervisor. Services that were up come back when it does.
    pub fn shutdown(&mut self) -> Result<(), ClientError> {
        self.ask_done(Ask::Shutdown)
    }

    /// All services, by name.
    pub fn status(&mut self) -> Result<Vec<ServiceStatus>, ClientError> {
        match self.ask(Ask::Status)? {
            Answer::Status(status) => Ok(status),
            _ => Err(self.broken(io::ErrorKind::InvalidData.into())),
        }
    }

    /// The last lines of a service's log: [`logs::log_tail`].
    pub fn log_tail(&self, service: &Name, lines: usize) -> Result<Vec<String>, ClientError> {
        Ok(logs::log_tail(&self.root, service, lines)?)
    }

    /// Where the log of a service stands.
    pub fn log_path(&self, service: &Name) -> HostPath {
        logs::log_path(&self.root, service)
    }

    fn ask_done(&mut self, ask: Ask) -> Result<(), ClientError> {
        self.ask(ask).map(drop)
    }

    /// Services whose processes all run although no supervisor does: one that was killed left them. Nothing is started.
    pub fn left_running(root: &HostPath) -> Result<BTreeSet<Name>, ClientError> {
        let unreadable = |why: String| ClientError::Start { root: root.clone(), why };
        let Some(dir) = layout::supervisor_dir(root)? else { return Ok(BTreeSet::new()) };
        let recorded = state::load(&dir).map_err(|error| unreadable(verb::with_source(&error)))?;
        let here = Stamp::of(&Dir::open_root(root)?)?;
        let Some(recorded) = recorded.filter(|recorded| recorded.stamp == here) else {
            return Ok(BTreeSet::new());
        };
        let services = recorded.services.into_iter();
        Ok(services.filter(|(_, service)| service.is_running()).map(|(name, _)| name).collect())
    }

    /// A supervisor that is killed meanwhile comes back, and is asked again: requests may be repeated.
    fn ask(&mut self, ask: Ask) -> Result<Answer, ClientError> {
        match (self.ask_once(ask.clone()), self.program.clone()) {
            (Err(ClientError::Connection { source, .. }), Some(program)) if is_hang_up(&source) => {
                *self = Self::connect_or_start(&self.root.clone(), &program)?;
                self.ask_once(ask)
            }
            (answer, _) => answer,
        }
    }

    fn ask_once(&mut self, ask: Ask) -> Result<Answer, ClientError> {
        let request = Request { version: VERSION, ask };
        wire::send(&self.stream, &request, &[]).map_err(|source| self.broken(source))?;
        loop {
            match self.inbox.wait(&self.stream).map_err(|source| self.broken(source))? {
                Some(Answer::Working) => {}
                Some(Answer::Refused(refusal)) => return Err(ClientError::Refused(refusal)),
                Some(answer) => return Ok(answer),
                None => return Err(self.broken(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    fn broken(&self, source: io::Error) -> ClientError {
        ClientError::Connection { root: self.root.clone(), source }
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// Starts a supervisor and waits until it listens, found another one, or gave up. What keeps it from starting it says on
/// stderr, which it lets go of when it is ready.
fn start(root: &HostPath, program: &Path, deadline: Instant) -> Result<(), ClientError> {
    let failed = |why: String| ClientError::Start { root: root.clone(), why };
    let mut command = Command::new(program);
    command.args(["supervise", root.as_str()]).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped());
    let mut starter = loop {
        match command.spawn() {
            // Another thread of this program was just forking, with the copy still open for writing (execve(2)).
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < deadline => {
                std::thread::sleep(PAUSE);
            }
            spawned => {
                break spawned
                    .map_err(|error| failed(format!("cannot run `{}`: {error}", program.display())))?;
            }
        }
    };
    let said = starter.stderr.take().map(|stderr| read_reason(stderr, deadline));
    let ended = starter.wait();
    match (said, ended) {
        (Some(Ok(said)), Ok(status)) if said.is_empty() && status.success() => Ok(()),
        (Some(Ok(said)), Ok(status)) if said.is_empty() => Err(failed(format!("it ended with {status}"))),
        (Some(Ok(said)), Ok(_)) => Err(failed(said)),
        (Some(Err(error)), _) | (_, Err(error)) => Err(failed(error.to_string())),
        (None, Ok(_)) => Err(failed("its stderr cannot be read".to_owned())),
    }
}

fn read_reason(stderr: std::process::ChildStderr, deadline: Instant) -> io::Result<String> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut said = Vec::new();
    let mut stderr = stderr.take(MAX_REASON);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs().min(3600) as i64,
            tv_nsec: i64::from(left.subsec_nanos()) as _,
        };
        let mut fds = [PollFd::new(stderr.get_ref(), PollFlags::IN)];
        if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout)))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not get ready"));
        }
        let mut chunk = [0; 4096];
        match stderr.read(&mut chunk)? {
            0 => return Ok(String::from_utf8_lossy(&said).trim().to_owned()),
            read => said.extend_from_slice(&chunk[..read]),
        }
    }
}
