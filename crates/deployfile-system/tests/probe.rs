//! Probes against small servers of all kinds.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic, and says loudly what it skips"
)]

use deployfile_exec::{Stop, Tell};
use deployfile_model::units::Millis;
use deployfile_model::{BuildId, HostPath, Name};
use deployfile_record::effect::{Call, Command, Probe, ProbeTarget};
use deployfile_record::event::Stream;
use deployfile_record::{Failure, FailureKind};
use deployfile_system::probe::{Asked, hold, plain};
use deployfile_system::process::{self, Guard, Limits, ProcessSpec};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::Duration;

#[derive(Default)]
struct Heard {
    probes: Vec<(u32, bool, String)>,
    stop: Option<Stop>,
}

impl Tell for Heard {
    fn output(&mut self, _: Stream, line: &str) {
        panic!("the answer `{line}` of a probe is not output of a step");
    }
    fn probe(&mut self, service: &Name, attempt: u32, ok: bool, answer: &str) {
        assert_eq!(service.as_str(), "web");
        self.probes.push((attempt, ok, answer.to_owned()));
        if let Some(stop) = &self.stop {
            stop.ask();
        }
    }
    fn hook(&mut self, _: &Name, _: &str, _: &str) {}
    fn warning(&mut self, message: &str, _: Option<&str>) {
        panic!("{message}");
    }
    fn spawned(&mut self, _: u32, _: u64, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

/// Serves connections one after the other; the n-th gets what `answer(n)` does.
fn server(answer: impl Fn(usize, &mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            read_request(&mut stream);
            answer(n, &mut stream);
        }
    });
    address
}

fn read_request(stream: &mut impl Read) -> String {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        request.push(byte[0]);
    }
    String::from_utf8(request).unwrap()
}

/// A probe's client may leave at any time.
fn say(stream: &mut impl Write, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

fn respond(stream: &mut impl Write, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    say(stream, format!("{head}{body}").as_bytes());
}

fn serving(status: &'static str, body: &'static str) -> SocketAddr {
    server(move |_, stream| respond(stream, status, body))
}

fn probe(target: ProbeTarget, within_ms: u64) -> Probe {
    Probe {
        target,
        status: None,
        contains: None,
        json: None,
        within: Millis(within_ms),
        interval: Millis(10),
    }
}

fn http(address: SocketAddr) -> Probe {
    probe(ProbeTarget::Http(format!("http://{address}/healthz")), 300)
}

fn held(probe: &Probe, build: Option<&BuildId>) -> (Result<String, Failure>, Heard) {
    let mut heard = Heard::default();
    let result = hold(&Name::new("web").unwrap(), &plain(probe).unwrap(), build, &Stop::new(), &mut heard);
    (result, heard)
}

#[test]
fn a_good_answer_holds() {
    let (result, heard) = held(&http(serving("200 OK", "fine")), None);
    assert_eq!(result.unwrap(), "200 fine");
    assert_eq!(heard.probes, [(1, true, "200 fine".to_owned())]);
}

#[test]
fn a_service_that_takes_its_time_to_start_holds_later() {
    let address = server(|n, stream| match n {
        0 => respond(stream, "503 Service Unavailable", "starting"),
        1 => say(stream, b"\x00\xff\x1b]0;garbage\r\n\r\n"),
        2 => {}
        _ => respond(stream, "200 OK", "up"),
    });
    let (result, heard) = held(&Probe { within: Millis(60_000), ..http(address) }, None);
    assert_eq!(result.unwrap(), "200 up");
    assert_eq!(heard.probes[0], (1, false, "status 503: starting".to_owned()));
    assert_eq!(heard.probes.last().unwrap().0, 4);
    assert!(heard.probes.iter().all(|(_, _, answer)| answer.chars().all(|c| !c.is_control())));
}

#[test]
fn no_good_answer_fails_with_the_last_one() {
    let failure = held(&http(serving("500 Oh", "broken")), None).0.unwrap_err();
    assert_eq!(failure.code, "verify::health");
    assert!(failure.message.starts_with("service `web` was not healthy within 300ms ("), "{failure}");
    assert_eq!(failure.causes, ["status 500: broken"]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = held(&http(nobody), None).0.unwrap_err();
    assert!(failure.causes[0].contains("refused"), "{failure}");
}

#[test]
fn a_slow_answer_is_not_waited_for() {
    let silent = server(|_, _| std::thread::sleep(Duration::from_secs(600)));
    let failure = held(&http(silent), None).0.unwrap_err();
    assert!(failure.causes[0].starts_with("no answer within"), "{failure}");
    let dripping = server(|_, stream| {
        say(stream, b"HTTP/1.1 200 OK\r\n");
        loop {
            say(stream, b"X-More: 1\r\n");
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(held(&http(dripping), None).0.is_err());
}

#[test]
fn an_endless_answer_is_cut() {
    let address = server(|_, stream| {
        say(stream, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbeginning ");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let contains = Probe { contains: Some("beginning".into()), within: Millis(60_000), ..http(address) };
    assert!(held(&contains, None).0.is_ok());
    let huge_head = server(|_, stream| {
        say(stream, b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-More: 1\r\n").is_ok() {}
    });
    assert!(held(&http(huge_head), None).0.is_err());
}

#[test]
fn a_redirect_is_the_answer() {
    let elsewhere = "302 Found\r\nLocation: http://127.0.0.1:1/";
    assert_eq!(held(&http(serving(elsewhere, "")), None).0.unwrap(), "302 (empty)");
    let strict = Probe { status: Some(200), ..http(serving(elsewhere, "")) };
    assert_eq!(held(&strict, None).0.unwrap_err().causes, ["status 302, not 200: (empty)"]);
}

#[test]
fn json_must_say_what_is_expected() {
    let address = serving("200 OK", r#"{"db":{"ok":false}}"#);
    let probe = |value: &str| Probe { json: Some(("db.ok".into(), Some(value.into()))), ..http(address) };
    assert!(held(&probe("false"), None).0.is_ok());
    assert_eq!(held(&probe("true"), None).0.unwrap_err().causes, ["`db.ok` is `false`, not `true`"]);
}

#[test]
fn the_running_build_is_compared() {
    let address = serving("200 OK", r#"{"build":"0123456789ab"}"#);
    let probe = Probe { json: Some(("build".into(), None)), ..http(address) };
    let build = |id: &str| BuildId::new(id).unwrap();
    assert!(held(&probe, Some(&build("0123456789abcdef0123"))).0.is_ok());
    let failure = held(&probe, Some(&build("ffff456789abcdef0123"))).0.unwrap_err();
    assert_eq!(failure.code, "verify::build");
    assert!(failure.message.contains("build `ffff456789abcdef0123`"), "{failure}");
    assert_eq!(failure.causes, ["it says that it is build `0123456789ab`, not `ffff456789abcdef0123`"]);
}

#[test]
fn unix_sockets_are_asked_too() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("app.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read_request(&mut stream);
            respond(&mut stream, "200 OK", request.lines().next().unwrap());
        }
    });
    let url = format!("http+unix://{}:/deep/path?q=1", socket.display());
    let unix = probe(ProbeTarget::Http(url), 5_000);
    assert_eq!(held(&unix, None).0.unwrap(), "200 GET /deep/path?q=1 HTTP/1.1");
    let missing = probe(ProbeTarget::Http("http+unix:///no/such.sock:/x".into()), 50);
    assert!(held(&missing, None).0.unwrap_err().causes[0].contains("No such file"));
    let malformed = probe(ProbeTarget::Http("http+unix:///no/such.sock".into()), 5_000);
    assert_eq!(held(&malformed, None).0.unwrap_err().code, "verify::url");
}

#[test]
fn a_tcp_connect_is_enough() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let tcp = probe(ProbeTarget::Tcp(address.to_string()), 200);
    assert_eq!(held(&tcp, None).0.unwrap(), format!("connected to {address}"));
    drop(listener);
    assert!(held(&tcp, None).0.unwrap_err().causes[0].contains("refused"));
    assert!(held(&probe(ProbeTarget::Tcp("nonsense".into()), 50), None).0.is_err());
}

#[test]
fn stopping_ends_the_wait() {
    let stop = Stop::new();
    let mut heard = Heard { stop: Some(stop.clone()), ..Heard::default() };
    let probe = Probe { within: Millis::from_secs(600), ..http(serving("500 Oh", "")) };
    let failure =
        hold(&Name::new("web").unwrap(), &plain(&probe).unwrap(), None, &stop, &mut heard).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Interrupted);
}

fn run_program(command: &Command) -> ProcessSpec {
    let test = std::env::current_exe().unwrap();
    let guard = test.parent().unwrap().parent().unwrap().join("examples/guard");
    ProcessSpec {
        argv: process::argv(&command.call),
        directory: command.directory.as_str().into(),
        env: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
        user: None,
        timeout: command.timeout.duration(),
        limits: Limits::default(),
        guard: Guard { program: guard, args: vec!["guard".to_owned()] },
        redactor: Default::default(),
    }
}

#[test]
fn programs_answer_by_their_status_and_stdout() {
    let dir = tempfile::tempdir().unwrap();
    let check = |script: &str, within, build: Option<&BuildId>| {
        let command = Command {
            call: Call::Script(script.to_owned()),
            directory: HostPath::new(dir.path().to_str().unwrap()).unwrap(),
            env: Default::default(),
            timeout: Millis::from_secs(30),
        };
        let process = run_program(&command);
        let probe = probe(ProbeTarget::Exec(command), within);
        assert_eq!(plain(&probe).err().unwrap().code, "verify::exec");
        let asked = Asked::program(&probe, process);
        hold(&Name::new("web").unwrap(), &asked, build, &Stop::new(), &mut Heard::default())
    };
    let build = BuildId::new("release-7").unwrap();
    assert_eq!(check("echo noise >&2; echo release-7", 30_000, Some(&build)).unwrap(), "build release-7");
    // Not healthy at once, but after a second try.
    assert!(check("test -e again || { touch again; exit 1; }", 30_000, None).is_ok());
    let failure = check("echo broken >&2; exit 3", 50, None).unwrap_err();
    assert_eq!(failure.causes, ["`/bin/sh` exited with status 3: broken"]);
    let failure = check("sleep 600", 300, None).unwrap_err();
    assert!(failure.causes[0].contains("did not end within"), "{failure}");
}
