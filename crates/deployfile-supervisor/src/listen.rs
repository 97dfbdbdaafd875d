//! Addresses that services listen on: `HOST:PORT` and `unix:PATH`.

use crate::place;
use crate::steer::{Course, steer};
use deployfile_disk::{DiskError, Kind};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// What addresses of unix sockets begin with.
pub(crate) const UNIX: &str = "unix:";

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

/// Opens, binds and listens: two sockets at a TCP address, of which the first gets all connections until they are
/// steered (`steer`), and one where that cannot be.
pub(crate) fn open(address: &str) -> Result<Vec<OwnedFd>, ListenError> {
    let opened = match address.strip_prefix(UNIX) {
        Some(path) if path.starts_with('/') => open_unix(path).map(|socket| vec![socket]),
        Some(_) => Err(Why::Form),
        None => open_tcp(address),
    };
    opened.map_err(|why| ListenError { address: address.to_owned(), why })
}

/// Takes away what a closed socket leaves: the file of a unix socket.
pub(crate) fn remove(address: &str) -> Result<(), DiskError> {
    let Some(path) = address.strip_prefix(UNIX) else { return Ok(()) };
    let place = place::open(path)?;
    match place.dir.stat(&place.name)?.map(|stat| stat.kind) {
        Some(Kind::Other) => place.dir.remove_file(&place.name).map(drop),
        _ => Ok(()),
    }
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

/// Mode 0666, as systemd's sockets have it: who may connect is the directory's to say.
fn open_unix(path: &str) -> Result<OwnedFd, Why> {
    let place = place::open(path).map_err(Why::Disk)?;
    // By way of the directory's handle: an address of its own takes only 108 bytes (unix(7)).
    let address = place.dir.proc_path().join(place.name.as_str());
    match place.dir.stat(&place.name).map_err(Why::Disk)?.map(|stat| stat.kind) {
        None => {}
        Some(Kind::Other) => match UnixStream::connect(&address) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                place.dir.remove_file(&place.name).map_err(Why::Disk)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => return Err(Why::InUse),
        },
        Some(_) => return Err(Why::NotSocket),
    }
    let bound = UnixListener::bind(&address).map_err(|error| Why::Call("bind", error))?;
    listen(&bound, BACKLOG).map_err(|error| Why::Call("listen", error.into()))?;
    place.dir.set_mode(&place.name, 0o666).map_err(Why::Disk)?;
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
        assert!(open(&address).unwrap_err().to_string().contains("in use"));
        drop(live);
        remove(&address).unwrap();
        assert!(!path.exists());
        std::fs::write(&path, "data").unwrap();
        assert!(open(&address).unwrap_err().to_string().contains("not a socket"));
        remove(&address).unwrap();
        assert!(path.exists());
    }
}
