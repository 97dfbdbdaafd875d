//! Requests, against a server on this machine that tells what it was sent.

use crate::world::{World, name};
use deployfile_model::Grant;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

/// A server; what it is sent comes through the channel.
struct Server {
    port: u16,
    seen: Receiver<String>,
}

/// Answers by path: `/hello`, `/echo` (what it was sent), `/to?URL` (redirects), `/big`, `/slow`.
fn serve() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, seen) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let tell = tell.clone();
            std::thread::spawn(move || drop(answer(stream, &tell)));
        }
    });
    Server { port, seen }
}

fn answer(mut stream: TcpStream, tell: &std::sync::mpsc::Sender<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let request = format!("{head}{}", String::from_utf8_lossy(&body));
    let path = head.split(' ').nth(1).unwrap_or("").to_owned();
    let _ = tell.send(request.clone());
    let plain = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    if let Some(to) = path.strip_prefix("/to?") {
        write!(stream, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")?;
    } else if path == "/big" {
        let size = 9 << 20;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")?;
        stream.write_all(&vec![b'x'; size])?;
    } else if path == "/slow" {
        std::thread::sleep(std::time::Duration::from_secs(20));
    } else if path == "/echo" {
        stream.write_all(plain(&request).as_bytes())?;
    } else {
        stream.write_all(plain("hello").as_bytes())?;
    }
    stream.shutdown(Shutdown::Write)
}

fn fetching(method: &str, url: &str) -> World {
    World::doing(&format!(
        r#"{{"do":"fetch","method":"{method}","url":"{url}","header":null,"secret":null}}"#
    ))
}

fn granted(url: &str, methods: &[&str], private: bool) -> Grant {
    Grant::Http { url: url.to_owned(), methods: methods.iter().map(|m| (*m).to_owned()).collect(), private }
}

#[test]
fn what_is_granted_is_sent() {
    let server = serve();
    let url = format!("http://127.0.0.1:{}", server.port);
    let grant = granted(&format!("{url}/*"), &["POST"], false);
    assert_eq!(fetching("POST", &format!("{url}/x")).allow(grant).call().summary(), "200 hello");
    let seen = server.seen.recv().unwrap();
    assert!(seen.starts_with("POST /x HTTP/1.1") && seen.ends_with("{\"text\":\"deployed\"}"), "{seen}");
}

#[test]
fn what_is_not_granted_is_never_sent() {
    let server = serve();
    let url = format!("http://127.0.0.1:{}", server.port);
    let allow = format!("allow http=\"{url}/a\" methods=\"GET\"");
    fetching("GET", &format!("{url}/a")).call().is_denied(&allow);
    let post_only = granted(&format!("{url}/*"), &["POST"], false);
    fetching("GET", &format!("{url}/a")).allow(post_only).call().is_denied(&allow);
    let elsewhere = granted(&format!("{url}/b/*"), &[], false);
    fetching("GET", &format!("{url}/b/../a")).allow(elsewhere.clone()).call().is_denied(&allow);
    fetching("GET", &format!("http://user@127.0.0.1:{}/b/a", server.port))
        .allow(elsewhere)
        .call()
        .fails("hook::error", &["user name or password"]);
    assert!(server.seen.try_recv().is_err());
}

#[test]
fn a_name_that_answers_a_private_address_is_denied() {
    let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") else { return };
    let host = host.trim().to_lowercase();
    let local = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), 80)).is_ok_and(|mut found| {
        found.all(|a| a.ip().is_loopback() || matches!(a.ip(), std::net::IpAddr::V4(v4) if v4.is_private()))
    });
    if !local {
        assert!(std::env::var_os("CI").is_none(), "`{host}` has no private address");
        eprintln!("SKIPPED: `{host}` has no private address");
        return;
    }
    let server = serve();
    let url = format!("http://{host}:{}", server.port);
    let called = fetching("GET", &format!("{url}/x")).allow(granted(&format!("{url}/*"), &[], false)).call();
    called.is_denied(&format!("allow http=\"{url}/x\" private=#true"));
    called.fails("hook::error", &["which is not public"]);
    assert!(server.seen.try_recv().is_err());
}

#[test]
fn localhost_is_granted_by_its_name() {
    let server = serve();
    let url = format!("http://localhost:{}", server.port);
    let called = fetching("GET", &format!("{url}/x")).allow(granted(&format!("{url}/*"), &[], false)).call();
    assert_eq!(called.summary(), "200 hello");
}

#[test]
fn redirects_are_judged_again() {
    let (first, second) = (serve(), serve());
    let one = format!("http://127.0.0.1:{}", first.port);
    let two = format!("http://127.0.0.1:{}", second.port);
    let start = format!("{one}/to?{two}/x");
    let called = fetching("GET", &start).allow(granted(&format!("{one}/*"), &[], false)).call();
    called.is_denied(&format!("allow http=\"{two}/x\" methods=\"GET\""));
    assert!(second.seen.try_recv().is_err());
    let called = fetching("GET", &start)
        .allow(granted(&format!("{one}/*"), &[], false))
        .allow(granted(&format!("{two}/*"), &[], false))
        .call();
    assert_eq!(called.summary(), "200 hello");
    let round = format!("{one}/to?/to?/to?/x");
    assert_eq!(
        fetching("GET", &round).allow(granted(&format!("{one}/*"), &[], false)).call().summary(),
        "200 hello"
    );
}

#[test]
fn endless_redirects_end() {
    let server = serve();
    let url = format!("http://127.0.0.1:{}", server.port);
    let round = format!("{url}/to?{}", "/to?".repeat(20));
    let called = fetching("GET", &round).allow(granted(&format!("{url}/*"), &[], false)).call();
    called.fails("hook::error", &["more than 10 redirects"]);
    assert_eq!(server.seen.try_iter().count(), 11);
}

#[test]
fn a_secret_goes_into_the_header_and_nowhere_else() {
    let (first, second) = (serve(), serve());
    let one = format!("http://127.0.0.1:{}", first.port);
    let two = format!("http://127.0.0.1:{}", second.port);
    let deed = |url: &str| {
        let deed = format!(r#"{{"do":"fetch","method":"GET","url":"{url}","header":null,"secret":"token"}}"#);
        World::doing(&deed)
            .secret("token", "s3cr3t-value")
            .allow(granted(&format!("{one}/*"), &[], false))
            .allow(granted(&format!("{two}/*"), &[], false))
    };
    deed(&format!("{one}/echo")).call().is_denied("allow secret=\"token\"");
    assert!(first.seen.try_recv().is_err());
    let grant = Grant::Secret { name: name("token"), reveal: false };
    let called = deed(&format!("{one}/echo")).allow(grant.clone()).call();
    assert!(first.seen.recv().unwrap().to_lowercase().contains("authorization: bearer s3cr3t-value"));
    assert!(!called.all().contains("s3cr3t-value") && called.summary().contains("(secret)token"));
    // Another origin is not told, though it is granted too.
    deed(&format!("{one}/to?{two}/x")).allow(grant).call().summary();
    assert!(!second.seen.recv().unwrap().contains("s3cr3t-value"));
}

#[test]
fn a_header_cannot_hold_a_second_one() {
    let server = serve();
    let url = format!("http://127.0.0.1:{}", server.port);
    let deed = format!(
        r#"{{"do":"fetch","method":"GET","url":"{url}/x","header":["x-a","b\r\nx-evil: 1"],"secret":null}}"#
    );
    let called = World::doing(&deed).allow(granted(&format!("{url}/*"), &[], false)).call();
    called.fails("hook::error", &["header `x-a`"]);
    assert!(server.seen.try_recv().is_err());
}

#[test]
fn a_body_has_a_limit() {
    let server = serve();
    let url = format!("http://127.0.0.1:{}", server.port);
    let called =
        fetching("GET", &format!("{url}/big")).allow(granted(&format!("{url}/*"), &[], false)).call();
    called.fails("hook::error", &["longer than 8 MiB"]);
}

#[test]
fn a_server_that_never_answers_ends_with_the_deadline() {
    let server = serve();
    let url = format!("http://127.0.0.1:{}", server.port);
    let called = fetching("GET", &format!("{url}/slow"))
        .allow(granted(&format!("{url}/*"), &[], false))
        .limited(None, 300)
        .call();
    assert!(
        ["hook::deadline", "hook::error"].contains(&called.failure().code.as_str()),
        "{:?}",
        called.failure()
    );
}

#[test]
fn nobody_there_is_unavailable() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let called = fetching("GET", &format!("{url}/x")).allow(granted(&format!("{url}/*"), &[], false)).call();
    called.fails("hook::error", &[&format!("GET {url}/x")]);
}
