//! The verb `run-service`: what a service starts as, and becomes.
//!
//! Its stdin is a socket to the supervisor. The supervisor first makes this process's pid durable, and only then sends
//! what to run; when the socket ends before that, this process ends and nothing was started. The socket closes when the
//! service's program is executed, which is how the supervisor knows that it was.

mod env;
mod program;
mod user;

use crate::inherited;
use crate::wire::{self, Inbox, MAX_DESCRIPTORS};
use deployfile_record::Unit;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

/// The exit status of a shim that could not become its service, as shells have it for commands they cannot run.
const CANNOT_RUN: u8 = 126;
/// The first descriptor of systemd's protocol (sd_listen_fds(3)).
const FIRST: i32 = 3;

/// What to run. The listening sockets come beside it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Launch {
    pub(crate) unit: Unit,
    /// Which of the unit's processes this is, from 0.
    pub(crate) num: u32,
}

/// Why nothing could be run; the shim's last word.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CannotRun {
    pub(crate) why: String,
}

/// The verb `run-service`. Started by a supervisor only, and of no use to anybody else.
pub fn run_service() -> ExitCode {
    // Out of the way of the listening sockets, and closed by the execution of the service's program.
    let supervisor = match lift(io::stdin().as_fd(), MAX_DESCRIPTORS) {
        Ok(stdin) => UnixStream::from(stdin),
        Err(_) => return ExitCode::from(CANNOT_RUN),
    };
    match become_service(&supervisor) {
        Ok(never) => match never {},
        Err(End::NothingToRun) => ExitCode::SUCCESS,
        Err(End::Cannot(why)) => {
            // Stderr is the service's log. Neither of the two has anybody to be told of its own failure.
            let _written = writeln!(io::stderr(), "deployfile: {why}");
            let _sent = wire::send(&supervisor, &CannotRun { why }, &[]);
            ExitCode::from(CANNOT_RUN)
        }
    }
}

enum End {
    NothingToRun,
    Cannot(String),
}

fn become_service(supervisor: &UnixStream) -> Result<Infallible, End> {
    let cannot = |what: &str, error: &dyn std::fmt::Display| End::Cannot(format!("cannot {what}: {error}"));
    inherited::close_on_exec().map_err(|e| cannot("close inherited descriptors", &e))?;
    let mut inbox = Inbox::default();
    let launch = inbox.wait(supervisor).map_err(|e| cannot("read what to run from stdin", &e))?;
    let Some(Launch { unit, num }) = launch else { return Err(End::NothingToRun) };

    let environment = env::read(&unit.environment_file).map_err(End::Cannot)?;
    if let Some(user) = &unit.user {
        user::become_user(user).map_err(End::Cannot)?;
    }
    std::env::set_current_dir(unit.directory.as_str())
        .map_err(|e| cannot(&format!("enter directory `{}`", unit.directory), &e))?;
    let program = program::find(&unit, environment.get("PATH").map(String::as_str)).map_err(End::Cannot)?;
    let sockets =
        place(inbox.take_descriptors()).map_err(|e| cannot("move listening sockets to their places", &e))?;

    let mut command = Command::new(&program);
    command
        .arg0(unit.command.first().map_or("", String::as_str))
        .args(unit.command.iter().skip(1))
        .env_clear()
        .envs(&environment)
        .env("DEPLOY_PROCESS_NUM", num.to_string())
        .stdin(Stdio::null());
    if !sockets.is_empty() {
        command
            .env("LISTEN_FDS", sockets.len().to_string())
            .env("LISTEN_PID", std::process::id().to_string())
            .env("LISTEN_FDNAMES", vec![unit.name.as_str(); sockets.len()].join(":"));
    }
    let error = command.exec();
    Err(cannot(&format!("run `{}`", program.display()), &error))
}

/// A copy of `fd` that leaves this many places free for sockets.
fn lift(fd: impl AsFd, places: usize) -> io::Result<OwnedFd> {
    let above = FIRST + i32::try_from(places).map_err(io::Error::other)?;
    Ok(fcntl_dupfd_cloexec(fd, above)?)
}

/// Moves the sockets to descriptor 3 and up, and leaves them open across exec.
fn place(sockets: Vec<OwnedFd>) -> io::Result<Vec<OwnedFd>> {
    let count = sockets.len();
    let lifted: Vec<OwnedFd> = sockets.iter().map(|socket| lift(socket, count)).collect::<io::Result<_>>()?;
    drop(sockets);
    let mut placed = Vec::with_capacity(count);
    for (wanted, socket) in (FIRST..).zip(&lifted) {
        let fd = fcntl_dupfd_cloexec(socket, wanted)?;
        if fd.as_raw_fd() != wanted {
            return Err(io::Error::other(format!("descriptor {wanted} is taken")));
        }
        fcntl_setfd(&fd, FdFlags::empty())?;
        placed.push(fd);
    }
    Ok(placed)
}
