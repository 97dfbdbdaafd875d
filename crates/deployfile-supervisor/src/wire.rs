//! One JSON document a line, with descriptors beside it, over a unix socket; and who is at the other end.

use deployfile_disk::{Dir, DiskError};
use deployfile_model::RelPath;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

/// The longest message, in bytes.
pub(crate) const MAX_MESSAGE: usize = 1 << 20;
/// Descriptors beside one message.
pub(crate) const MAX_DESCRIPTORS: usize = 64;

/// Sends one message.
pub(crate) fn send(stream: &UnixStream, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    if line.len() > MAX_MESSAGE || fds.len() > MAX_DESCRIPTORS {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is longer than 1 MiB"));
    }
    let mut sent = 0;
    while sent < line.len() {
        // Descriptors go with the first byte.
        let beside = if sent == 0 { fds } else { &[] };
        sent += send_some(stream, &line[sent..], beside)?;
    }
    Ok(())
}

fn send_some(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent = rustix::io::retry_on_intr(|| {
        sendmsg(stream, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)
    })?;
    Ok(sent)
}

/// What came in and was not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

/// What a look at the socket brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Some bytes.
    Some,
    /// Nothing yet.
    None,
    /// The other side is gone.
    End,
}

impl Inbox {
    /// Reads what is there; waits for it when `wait`.
    pub(crate) fn fill(&mut self, stream: &UnixStream, wait: bool) -> io::Result<Fill> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut chunk = vec![0; 16 * 1024];
        let flags = RecvFlags::CMSG_CLOEXEC | if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        let received = match rustix::io::retry_on_intr(|| {
            recvmsg(stream, &mut [IoSliceMut::new(&mut chunk)], &mut beside, flags)
        }) {
            Ok(received) => received,
            Err(rustix::io::Errno::AGAIN) if !wait => return Ok(Fill::None),
            Err(rustix::io::Errno::CONNRESET) => return Ok(Fill::End),
            Err(error) => return Err(error.into()),
        };
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) || self.fds.len() > MAX_DESCRIPTORS {
            return Err(invalid("more descriptors came than a message may have"));
        }
        if received.bytes == 0 {
            return Ok(Fill::End);
        }
        self.bytes.extend_from_slice(&chunk[..received.bytes]);
        Ok(Fill::Some)
    }

    /// The next whole message, if it is here.
    pub(crate) fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        match self.take_line()? {
            Some(line) => Ok(Some(serde_json::from_slice(&line)?)),
            None => Ok(None),
        }
    }

    /// The bytes of the next whole message, without its end of line.
    pub(crate) fn take_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
            if self.bytes.len() >= MAX_MESSAGE {
                return Err(invalid("the message is longer than 1 MiB"));
            }
            return Ok(None);
        };
        let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
        line.pop();
        Ok(Some(line))
    }

    /// The descriptors that came beside the messages so far.
    pub(crate) fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.fds)
    }

    /// Waits for the next message, as long as the socket's read timeout allows; `None` when the other side is gone.
    pub(crate) fn wait<T: DeserializeOwned>(&mut self, stream: &UnixStream) -> io::Result<Option<T>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            if self.fill(stream, true)? == Fill::End {
                return Ok(None);
            }
        }
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Binds a socket in `dir`, for its owner only. Whatever a dead process left under that name goes.
///
/// The address is `/proc/self/fd/N/name`: an address of its own takes only 108 bytes (unix(7)), a root may be longer.
pub(crate) fn listen_in(dir: &Dir, name: &RelPath) -> Result<UnixListener, DiskError> {
    dir.remove_file(name)?;
    let path = format!("{}/{name}", dir.path_for_display());
    let listener = UnixListener::bind(dir.proc_path().join(name.as_str()))
        .map_err(|source| DiskError::Call { verb: "bind socket", path, source })?;
    dir.set_mode(name, 0o600)?;
    Ok(listener)
}

/// Connects to a socket in `dir`; `None` when nobody listens there.
pub(crate) fn connect_in(dir: &Dir, name: &RelPath) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(dir.proc_path().join(name.as_str())) {
        Ok(stream) => Ok(Some(stream)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the other side may ask us for anything: the same user, or root.
pub(crate) fn is_ours(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream)
        .is_ok_and(|peer| may_ask(peer.uid.as_raw(), rustix::process::geteuid().as_raw()))
}

fn may_ask(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn another_user_is_refused() {
        assert!(may_ask(1000, 1000) && may_ask(0, 1000));
        assert!(!may_ask(1001, 1000) && !may_ask(1000, 0));
        let (a, _b) = UnixStream::pair().unwrap();
        assert!(is_ours(&a));
    }

    #[test]
    fn messages_and_descriptors_arrive_in_order() {
        let (a, b) = UnixStream::pair().unwrap();
        let file = std::fs::File::open("/proc/self/status").unwrap();
        send(&a, &vec!["x".repeat(100_000)], &[file.as_fd(), file.as_fd()]).unwrap();
        send(&a, &"second", &[]).unwrap();
        let mut inbox = Inbox::default();
        assert_eq!(inbox.wait::<Vec<String>>(&b).unwrap().unwrap()[0].len(), 100_000);
        assert_eq!(inbox.take_descriptors().len(), 2);
        assert_eq!(inbox.wait::<String>(&b).unwrap().unwrap(), "second");
        assert_eq!(inbox.fill(&b, false).unwrap(), Fill::None);
        drop(a);
        assert_eq!(inbox.fill(&b, false).unwrap(), Fill::End);
    }

    #[test]
    fn a_message_without_end_is_refused() {
        let (a, b) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || {
            use std::io::Write;
            let mut a = a;
            // The reader hangs up before it has read all of it.
            a.write_all(&vec![b'x'; 2 * MAX_MESSAGE]).is_err()
        });
        let error = Inbox::default().wait::<String>(&b).unwrap_err();
        assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
        drop(b);
        assert!(writer.join().unwrap());
        let (a, _b) = UnixStream::pair().unwrap();
        assert!(send(&a, &"x".repeat(MAX_MESSAGE), &[]).is_err());
    }
}
