//! Addresses that services listen on: `HOST:PORT` and `unix:PATH`, each with two sockets, one for each side of a
//! hand-over.
//!
//! ```text
//! HOST:PORT     two sockets of one group; a filter chooses for each connection (`steer`)
//! unix:PATH     PATH.1 and PATH.2; PATH is a hard link to the one that serves, PATH.new to the one that is probed
//! ```

use crate::place::{self, Place};
use crate::steer::{Course, Side, steer};
use deployfile_disk::{DiskError, Kind};
use deployfile_model::RelPath;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
const UNIX: &str = "unix:";
/// What is added to the path of a unix socket to reach the new processes of a hand-over.
pub const PROBED_ENDING: &str = ".new";

/// Why an address cannot be listened on. The message names the address.
#[derive(Debug)]
pub(crate) struct ListenError {
    address: String,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Form,
    InUse,
    Unresolved(io::Error),
    NotSocket,
    Disk(DiskError),
    Call(&'static str, io::Error),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on `{}`: ", self.address.escape_debug())?;
        match &self.why {
            Why::Form => f.write_str("it must be HOST:PORT or unix:/PATH"),
            Why::InUse => f.write_str("the address is in use by another program"),
            Why::Unresolved(error) => write!(f, "the host cannot be resolved: {error}"),
            Why::NotSocket => f.write_str("something that is not a socket stands there"),
            Why::Disk(error) => match std::error::Error::source(error) {
                Some(source) => write!(f, "{error}: {source}"),
                None => error.fmt(f),
            },
            Why::Call(verb, error) => write!(f, "cannot {verb}: {error}"),
        }
    }
}

impl std::error::Error for ListenError {}

/// Opens, binds and listens: two sockets, of which the first gets all connections until they are steered, and one where
/// the kernel cannot do that.
pub(crate) fn open(address: &str) -> Result<Vec<OwnedFd>, ListenError> {
    let opened = match address.strip_prefix(UNIX) {
        Some(path) if path.starts_with('/') => open_unix(path),
        Some(_) => Err(Why::Form),
        None => open_tcp(address),
    };
    opened.map_err(|why| ListenError { address: address.to_owned(), why })
}

/// Sends new connections to where they are to go; `first` is one of the two sockets.
pub(crate) fn set_course(address: &str, first: impl AsFd, course: Course) -> io::Result<()> {
    let Some(path) = address.strip_prefix(UNIX) else { return steer(first, course) };
    let place = place::open(path).map_err(io::Error::other)?;
    let new = place.beside(PROBED_ENDING).map_err(io::Error::other)?;
    if course.serving == course.probed {
        place.dir.remove_file(&new).map_err(io::Error::other)?;
    } else {
        place.link(&place.beside(ending(course.probed)).map_err(io::Error::other)?, &new)?;
    }
    place.link(&place.beside(ending(course.serving)).map_err(io::Error::other)?, &place.name)
}

/// What the name of a side's own socket ends with.
fn ending(side: Side) -> &'static str {
    match side {
        Side::First => ".1",
        Side::Second => ".2",
    }
}

/// Takes away what closed sockets leave: the files of a unix socket.
pub(crate) fn remove(address: &str) -> Result<(), DiskError> {
    let Some(path) = address.strip_prefix(UNIX) else { return Ok(()) };
    let place = place::open(path)?;
    // Its own name first: nobody is to find it and be refused.
    for name in ["", PROBED_ENDING, ending(Side::First), ending(Side::Second)] {
        let name = place.beside(name)?;
        if place.dir.stat(&name)?.map(|stat| stat.kind) == Some(Kind::Other) {
            place.dir.remove_file(&name)?;
        }
    }
    Ok(())
}

fn open_tcp(address: &str) -> Result<Vec<OwnedFd>, Why> {
    let (host, port) = address.rsplit_once(':').ok_or(Why::Form)?;
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(Why::Form);
    }
    let resolved = address.to_socket_addrs().map_err(Why::Unresolved)?.next();
    let resolved = resolved.ok_or_else(|| Why::Unresolved(io::ErrorKind::NotFound.into()))?;
    let first = tcp_socket(&resolved)?;
    bind(&first, &resolved).map_err(not_bound)?;
    // Set after the first socket was bound: the address must have been free, also of programs that would share it.
    let can_share = sockopt::set_socket_reuseport(&first, true).is_ok();
    listen(&first, BACKLOG).map_err(not_bound)?;
    if !can_share || steer(&first, Course::default()).is_err() {
        // An old or a simulated kernel: old and new share one socket in a hand-over.
        return Ok(vec![first]);
    }
    // Port 0 is known only now.
    let bound = rustix::net::getsockname(&first).map_err(failed("ask for the address"))?;
    let second = tcp_socket(&resolved)?;
    sockopt::set_socket_reuseport(&second, true).map_err(failed("set SO_REUSEPORT"))?;
    bind(&second, &bound).and_then(|()| listen(&second, BACKLOG)).map_err(not_bound)?;
    Ok(vec![first, second])
}

fn tcp_socket(address: &SocketAddr) -> Result<OwnedFd, Why> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(failed("open a socket"))?;
    // A restart must not wait for connections of the past (TIME_WAIT, tcp(7)).
    sockopt::set_socket_reuseaddr(&socket, true).map_err(failed("set SO_REUSEADDR"))?;
    Ok(socket)
}

fn failed(verb: &'static str) -> impl Fn(Errno) -> Why {
    move |error| Why::Call(verb, error.into())
}

fn not_bound(error: Errno) -> Why {
    match error {
        Errno::ADDRINUSE => Why::InUse,
        error => Why::Call("bind", error.into()),
    }
}

fn open_unix(path: &str) -> Result<Vec<OwnedFd>, Why> {
    let place = place::open(path).map_err(Why::Disk)?;
    clear_the_dead(&place, &place.name)?;
    let mut sockets = Vec::new();
    for side in [Side::First, Side::Second] {
        let name = place.beside(ending(side)).map_err(Why::Disk)?;
        clear_the_dead(&place, &name)?;
        sockets.push(bind_unix(&place, &name)?);
    }
    let first = place.beside(ending(Side::First)).map_err(Why::Disk)?;
    place.link(&first, &place.name).map_err(|error| Why::Call("link", error))?;
    Ok(sockets)
}

/// Makes a name free that a socket without a process has. Anything else is left alone.
fn clear_the_dead(place: &Place, name: &RelPath) -> Result<(), Why> {
    match place.dir.stat(name).map_err(Why::Disk)?.map(|stat| stat.kind) {
        None => Ok(()),
        Some(Kind::Other) => match UnixStream::connect(place.address(name)) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                place.dir.remove_file(name).map(drop).map_err(Why::Disk)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            _ => Err(Why::InUse),
        },
        Some(_) => Err(Why::NotSocket),
    }
}

/// Mode 0666, as systemd's sockets have it: who may connect is the directory's to say.
fn bind_unix(place: &Place, name: &RelPath) -> Result<OwnedFd, Why> {
    let bound = UnixListener::bind(place.address(name)).map_err(|error| Why::Call("bind", error))?;
    listen(&bound, BACKLOG).map_err(|error| Why::Call("listen", error.into()))?;
    place.dir.set_mode(name, 0o666).map_err(Why::Disk)?;
    Ok(bound.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in ["", "80", ":80", "127.0.0.1:", "127.0.0.1:99999", "unix:", "unix:relative", "a b:80"] {
            let error = open(bad).unwrap_err().to_string();
            assert!(error.contains("cannot listen on"), "{error}");
        }
    }

    #[test]
    fn an_address_in_use_is_named() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap().to_string();
        assert_eq!(
            open(&address).unwrap_err().to_string(),
            format!("cannot listen on `{address}`: the address is in use by another program")
        );
        drop(other);
        let ours = open(&address).unwrap();
        TcpStream::connect(&address).unwrap();
        drop(ours);
    }

    #[test]
    fn unix_sockets_replace_the_dead_but_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let long = temp.path().canonicalize().unwrap().join("d".repeat(150));
        std::fs::create_dir(&long).unwrap();
        let path = long.join("s");
        let address = format!("unix:{}", path.display());
        drop(open(&address).unwrap());
        assert!(path.exists());
        let live = open(&address).unwrap();
        assert_eq!(live.len(), 2);
        assert!(open(&address).unwrap_err().to_string().contains("in use"));
        drop(live);
        remove(&address).unwrap();
        assert_eq!(std::fs::read_dir(&long).unwrap().count(), 0, "nothing is left");
        std::fs::write(&path, "data").unwrap();
        assert!(open(&address).unwrap_err().to_string().contains("not a socket"));
        remove(&address).unwrap();
        assert!(path.exists());
    }
}
