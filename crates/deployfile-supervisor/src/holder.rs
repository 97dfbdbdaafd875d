//! The holder: a process that binds listening sockets and keeps them, so that they outlive services and supervisor.
//!
//! It does nothing else, so there is little that could end it. It serves one connection after the other, and there is
//! one supervisor to make them. It ends when it was told to let go of its last socket, and when it holds none and
//! nobody has connected.

use crate::detach::{Detached, detach, let_go_of_stdio};
use crate::layout::{HOLDER_SOCKET, make_supervisor_dir, rel};
use crate::wire::{Inbox, is_ours, listen_in, send};
use crate::{listen, verb};
use deployfile_disk::{Dir, Lock, LockError};
use deployfile_model::HostPath;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::time::Duration;

/// A holder of nothing waits this long for somebody to connect.
const IDLE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// A supervisor that does not take an answer for this long is hung up on.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// What the supervisor asks the holder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HoldAsk {
    /// The addresses that are held.
    List,
    /// Listen on this address, unless that is so already, and hand its sockets over.
    Hold(String),
    /// Keep the sockets that come beside this message: an earlier holder of them died.
    Adopt(String),
    /// Close the sockets of these addresses.
    Release(Vec<String>),
}

/// What the holder answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HoldAnswer {
    /// It is as asked; for [`HoldAsk::Hold`], the sockets come beside this message.
    Done,
    /// For [`HoldAsk::List`].
    Held(Vec<String>),
    /// It cannot be done.
    Refused(String),
}

/// The verb `hold-sockets ROOT`.
pub fn hold_sockets(root: &HostPath) -> ExitCode {
    verb::exit_code("hold-sockets", hold(root))
}

fn hold(root: &HostPath) -> Result<(), verb::VerbError> {
    if detach("hold-sockets", root)? == Detached::Starter {
        return Ok(());
    }
    let dir = make_supervisor_dir(&Dir::open_root(root)?)?;
    let _lock = match Lock::try_acquire(&dir, &rel("holder.lock")?, &verb::lock_note()) {
        Ok(lock) => lock,
        Err(LockError::Busy { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let listener = listen_in(&dir, &rel(HOLDER_SOCKET)?)?;
    let_go_of_stdio(None)?;
    let mut held = BTreeMap::new();
    while !held.is_empty() || is_wanted(&listener)? {
        let (stream, _) = listener.accept()?;
        if !is_ours(&stream) || stream.set_write_timeout(Some(SEND_WITHIN)).is_err() {
            continue;
        }
        // A connection that breaks is the supervisor's end, not ours.
        if let Ok(Talk::ReleasedLast) = converse(&stream, &mut held) {
            break;
        }
    }
    dir.remove_file(&rel(HOLDER_SOCKET)?)?;
    Ok(())
}

fn is_wanted(listener: &UnixListener) -> io::Result<bool> {
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| poll(&mut fds, Some(&IDLE)))? > 0)
}

/// How a conversation ended.
enum Talk {
    HungUp,
    ReleasedLast,
}

/// Answers until the other side hangs up, or has released the last socket.
fn converse(stream: &UnixStream, held: &mut BTreeMap<String, Vec<OwnedFd>>) -> io::Result<Talk> {
    let mut inbox = Inbox::default();
    while let Some(ask) = inbox.wait(stream)? {
        let is_release = matches!(ask, HoldAsk::Release(_));
        let answer = answer(&ask, inbox.take_descriptors(), held);
        match (&ask, &answer) {
            (HoldAsk::Hold(address), HoldAnswer::Done) => {
                let fds: Vec<_> = held.get(address).into_iter().flatten().map(|fd| fd.as_fd()).collect();
                send(stream, &answer, &fds)?;
            }
            _ => send(stream, &answer, &[])?,
        }
        if is_release && held.is_empty() {
            return Ok(Talk::ReleasedLast);
        }
    }
    Ok(Talk::HungUp)
}

fn answer(ask: &HoldAsk, fds: Vec<OwnedFd>, held: &mut BTreeMap<String, Vec<OwnedFd>>) -> HoldAnswer {
    match ask {
        HoldAsk::List => HoldAnswer::Held(held.keys().cloned().collect()),
        HoldAsk::Hold(address) if held.contains_key(address) => HoldAnswer::Done,
        HoldAsk::Hold(address) => match listen::open(address) {
            Ok(sockets) => {
                held.insert(address.clone(), sockets);
                HoldAnswer::Done
            }
            Err(error) => HoldAnswer::Refused(error.to_string()),
        },
        HoldAsk::Adopt(address) if fds.is_empty() => {
            HoldAnswer::Refused(format!("cannot keep `{address}`: no socket came beside the message"))
        }
        HoldAsk::Adopt(address) => {
            held.insert(address.clone(), fds);
            HoldAnswer::Done
        }
        HoldAsk::Release(addresses) => {
            let failed: Vec<String> = addresses.iter().filter_map(|address| release(address, held)).collect();
            if failed.is_empty() { HoldAnswer::Done } else { HoldAnswer::Refused(failed.join("; ")) }
        }
    }
}

/// Closes one socket; tells what went wrong.
fn release(address: &str, held: &mut BTreeMap<String, Vec<OwnedFd>>) -> Option<String> {
    held.remove(address)?;
    listen::remove(address).err().map(|error| error.to_string())
}
