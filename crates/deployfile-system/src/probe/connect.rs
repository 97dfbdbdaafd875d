//! HTTP over a unix socket, and to the new processes of a hand-over: connectors for ureq. Not covered by ureq's semver
//! promise, so a new ureq may ask for a change here.

use deployfile_supervisor::PROBE_TRAFFIC_CLASS;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{set_ip_tos, set_ipv6_tclass, socket_error};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector, Transport,
};
use ureq::{Agent, Error};

/// How long a connection may take where nothing else limits it.
const CONNECT_MAX: Duration = Duration::from_secs(60);

/// An agent whose every request goes to `socket`, whatever host its URL names.
pub(crate) fn unix_agent(socket: PathBuf, timeout: Duration) -> Agent {
    Agent::with_parts(config(timeout), SocketConnector { socket }, NoNames)
}

/// An agent whose connections are those of [`marked`].
pub(super) fn marked_agent(timeout: Duration) -> Agent {
    let connector = ().chain(MarkedConnector).chain(RustlsConnector::default());
    Agent::with_parts(config(timeout), connector, DefaultResolver::default())
}

/// Connects with packets that mean the new processes of a hand-over.
pub(super) fn marked(to: &SocketAddr, timeout: Duration) -> std::io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match to {
        SocketAddr::V4(_) => set_ip_tos(&socket, PROBE_TRAFFIC_CLASS)?,
        SocketAddr::V6(_) => set_ipv6_tclass(&socket, u32::from(PROBE_TRAFFIC_CLASS))?,
    }
    if let Err(error) = connect(&socket, to)
        && error != Errno::INPROGRESS
    {
        return Err(error.into());
    }
    let left = Timespec::try_from(timeout).map_err(std::io::Error::other)?;
    let mut fds = [PollFd::new(&socket, PollFlags::OUT)];
    if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&left)))? == 0 {
        return Err(ErrorKind::TimedOut.into());
    }
    socket_error(&socket)??;
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// What all HTTP of this crate has in common: no proxy, no redirects, any status is an answer, a limit in time.
pub(super) fn config(timeout: Duration) -> Config {
    Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .max_response_header_size(64 << 10)
        .max_idle_connections(0)
        .user_agent(concat!("deployfile/", env!("CARGO_PKG_VERSION")))
        .build()
}

#[derive(Debug)]
struct SocketConnector {
    socket: PathBuf,
}

impl<In: Transport> Connector<In> for SocketConnector {
    type Out = SocketTransport<UnixStream>;

    fn connect(&self, details: &ConnectionDetails, _: Option<In>) -> Result<Option<Self::Out>, Error> {
        let stream = UnixStream::connect(&self.socket)?;
        Ok(Some(SocketTransport::new(stream, details)))
    }
}

#[derive(Debug)]
struct MarkedConnector;

impl<In: Transport> Connector<In> for MarkedConnector {
    type Out = SocketTransport<TcpStream>;

    fn connect(&self, details: &ConnectionDetails, _: Option<In>) -> Result<Option<Self::Out>, Error> {
        let within = left(&details.timeout)?.unwrap_or(CONNECT_MAX);
        let mut last = Error::HostNotFound;
        for to in &details.addrs {
            match marked(to, within) {
                Ok(stream) => return Ok(Some(SocketTransport::new(stream, details))),
                Err(error) => last = timed_out(error, &details.timeout),
            }
        }
        Err(last)
    }
}

/// What both kinds of sockets can.
trait Socket: Read + Write + Send + Sync + 'static {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> std::io::Result<()>;
    fn set_write_timeout(&self, timeout: Option<Duration>) -> std::io::Result<()>;
}

impl Socket for UnixStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> std::io::Result<()> {
        Self::set_read_timeout(self, timeout)
    }
    fn set_write_timeout(&self, timeout: Option<Duration>) -> std::io::Result<()> {
        Self::set_write_timeout(self, timeout)
    }
}

impl Socket for TcpStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> std::io::Result<()> {
        Self::set_read_timeout(self, timeout)
    }
    fn set_write_timeout(&self, timeout: Option<Duration>) -> std::io::Result<()> {
        Self::set_write_timeout(self, timeout)
    }
}

struct SocketTransport<S> {
    stream: S,
    buffers: LazyBuffers,
}

impl<S> SocketTransport<S> {
    fn new(stream: S, details: &ConnectionDetails) -> Self {
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Self { stream, buffers }
    }
}

impl<S> fmt::Debug for SocketTransport<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketTransport")
    }
}

impl<S: Socket> Transport for SocketTransport<S> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.set_write_timeout(left(&timeout.for_write())?)?;
        let sent = self.stream.write_all(&self.buffers.output()[..amount]);
        sent.map_err(|error| timed_out(error, &timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(left(&timeout.for_read())?)?;
        let got = self.stream.read(self.buffers.input_append_buf());
        let amount = got.map_err(|error| timed_out(error, &timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // Connections are not kept for another request.
        false
    }
}

/// The time that is left, never zero: a zero timeout of a socket means none.
fn left(timeout: &NextTimeout) -> Result<Option<Duration>, Error> {
    if timeout.after.is_zero() {
        return Err(Error::Timeout(timeout.reason));
    }
    Ok(timeout.not_zero().map(|left| *left))
}

fn timed_out(error: std::io::Error, timeout: &NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

/// Nothing is looked up: the socket is the address.
#[derive(Debug)]
struct NoNames;

impl Resolver for NoNames {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut nowhere = self.empty();
        nowhere.push(([127, 0, 0, 1], 0).into());
        Ok(nowhere)
    }
}
