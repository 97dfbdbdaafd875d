//! One question to a service: HTTP, a TCP connect, or a program.

use super::{Reply, Trouble, connect};
use crate::process::{self, End, Limits, ProcessError, ProcessSpec};
use deployfile_exec::{Stop, Tell};
use deployfile_model::Name;
use deployfile_record::Failure;
use deployfile_record::event::Stream;
use deployfile_supervisor::PROBED_ENDING;
use std::io::Read;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};
use ureq::{Agent, Body, http::Response};

/// Bytes of an answer that are read; the rest is not looked at.
const ANSWER_MAX: usize = 1 << 20;

/// What URLs of HTTP over a unix socket begin with.
const UNIX_URL: &str = "http+unix://";

/// The socket and the path of `http+unix://SOCKET:/PATH`.
pub(super) fn unix_socket(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix(UNIX_URL)?.split_once(":/")
}

/// GET without following redirects. A body is read as text, its first MiB only.
pub(super) fn http(url: &str, timeout: Duration, means_new: bool) -> Result<Reply, Trouble> {
    let answered = match unix_socket(url) {
        Some((socket, path)) => {
            let ending = if means_new { PROBED_ENDING } else { "" };
            let socket = format!("{socket}{ending}").into();
            connect::unix_agent(socket, timeout).get(format!("http://localhost/{path}")).call()
        }
        None if url.starts_with(UNIX_URL) => {
            let message = format!("`{url}` is not `http+unix://SOCKET:/PATH`");
            return Err(Trouble::Never(Failure::refused("verify::url", message)));
        }
        None if means_new => connect::marked_agent(timeout).get(url).call(),
        None => Agent::new_with_config(connect::config(timeout)).get(url).call(),
    };
    let response = answered.map_err(|error| Trouble::NotYet(no_answer(&error, timeout)))?;
    read(response).map_err(|error| Trouble::NotYet(format!("the answer broke off: {error}")))
}

fn read(mut response: Response<Body>) -> std::io::Result<Reply> {
    let mut body = Vec::new();
    response.body_mut().as_reader().take(ANSWER_MAX as u64).read_to_end(&mut body)?;
    let text = String::from_utf8_lossy(&body).into_owned();
    Ok(Reply { status: Some(response.status().as_u16()), text })
}

fn no_answer(error: &ureq::Error, timeout: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} ms", timeout.as_millis()),
        ureq::Error::Io(error) => format!("no answer: {error}"),
        error => format!("no answer: {error}"),
    }
}

/// Connects to `HOST:PORT`, one address after the other.
pub(super) fn tcp(address: &str, timeout: Duration, means_new: bool) -> Result<Reply, Trouble> {
    let deadline = Instant::now() + timeout;
    let addresses = address
        .to_socket_addrs()
        .map_err(|error| Trouble::NotYet(format!("cannot look up `{address}`: {error}")))?;
    let mut last = format!("`{address}` names no address");
    for one in addresses {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let connected =
            if means_new { connect::marked(&one, left) } else { TcpStream::connect_timeout(&one, left) };
        match connected {
            Ok(_) => return Ok(Reply { status: None, text: format!("connected to {one}") }),
            Err(error) => last = format!("cannot connect to {one}: {error}"),
        }
    }
    Err(Trouble::NotYet(last))
}

/// Runs a program; exit 0 is an answer, and stdout what it says.
pub(super) fn exec(
    mut spec: ProcessSpec,
    timeout: Duration,
    stop: &Stop,
    tell: &mut dyn Tell,
) -> Result<Reply, Trouble> {
    spec.timeout = spec.timeout.min(timeout);
    spec.limits = Limits { line: ANSWER_MAX, kept: 2 * ANSWER_MAX, ..spec.limits };
    let what = spec.argv.first().cloned().unwrap_or_default();
    let mut answer = Stdout { lines: Vec::new(), tell };
    match process::run(&spec, stop, &mut answer) {
        Ok(finished) if finished.end == End::Exited(0) => {
            Ok(Reply { status: None, text: answer.lines.join("\n") })
        }
        Ok(finished) => {
            let said = finished.tail.last().map(|line| format!(": {line}")).unwrap_or_default();
            Err(Trouble::NotYet(format!("`{what}` {}{said}", finished.end)))
        }
        Err(error @ ProcessError::TimedOut { .. }) => Err(Trouble::NotYet(error.to_string())),
        Err(error) => Err(Trouble::Never(process::failure(&error))),
    }
}

/// Collects what the program of a probe prints; it is an answer, not output of a step.
struct Stdout<'a> {
    lines: Vec<String>,
    tell: &'a mut dyn Tell,
}

impl Tell for Stdout<'_> {
    fn output(&mut self, stream: Stream, line: &str) {
        if stream == Stream::Stdout {
            self.lines.push(line.to_owned());
        }
    }
    fn probe(&mut self, service: &Name, attempt: u32, ok: bool, answer: &str) {
        self.tell.probe(service, attempt, ok, answer);
    }
    fn hook(&mut self, plugin: &Name, level: &str, message: &str) {
        self.tell.hook(plugin, level, message);
    }
    fn warning(&mut self, message: &str, help: Option<&str>) {
        self.tell.warning(message, help);
    }
    fn spawned(&mut self, pid: u32, start_ticks: u64, boot: &str) -> Result<(), Failure> {
        self.tell.spawned(pid, start_ticks, boot)
    }
}
