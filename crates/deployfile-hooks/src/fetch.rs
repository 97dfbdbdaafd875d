//! Sends a request that was allowed, and nothing else: every redirect is judged again, and the connection goes to an
//! address that was looked at, never to one that is looked up later. No proxy of the environment is used: it would
//! choose the address.

use crate::broker::place::Target;
use crate::broker::{Broker, Denied, Reach, address, quoted};
use crate::redact::Redactor;
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;
use ureq::Agent;
use ureq::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// Bytes of a response's body.
const BODY_MAX: u64 = 8 << 20;
/// Redirects that are followed.
const REDIRECTS_MAX: u32 = 10;
/// What the client itself writes, and what would let one message look like two.
const RESERVED: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
];

/// A request that was allowed. Not `Debug`: it holds secrets.
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Sent to the origin of the first URL only.
    pub(crate) secret_headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Vec<u8>,
    pub(crate) deadline: Instant,
}

/// What was answered, complete.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer. The texts name the URL without its query.
pub(crate) enum FetchError {
    Denied(Denied),
    BadRedirect(String),
    TooLarge(String),
    Timeout(String),
    Unavailable(String),
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
    pub(crate) fn redact(&mut self, redactor: &Redactor) {
        self.body = redactor.bytes(&self.body);
        self.headers.iter_mut().for_each(|(_, value)| *value = redactor.text(value));
    }
}

/// Reads a method; upper case as it is sent.
pub(crate) fn method(text: &str) -> Result<Method, String> {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let method = Method::from_bytes(text.as_bytes()).ok().filter(|m| known.contains(&m.as_str()));
    method.ok_or_else(|| format!("method `{}` is none of {}", text.escape_debug(), known.join(" ")))
}

/// Checks names and values; a line break in either is refused. A value never stands in the error.
pub(crate) fn headers(headers: Vec<(String, String)>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let mut checked = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let shown = name.escape_debug().to_string();
        let name: HeaderName = name.parse().map_err(|_| format!("`{shown}` is not a header's name"))?;
        if RESERVED.contains(&name) || name.as_str().starts_with("proxy-") {
            return Err(format!("header `{shown}` is the client's own"));
        }
        let value = HeaderValue::from_str(&value)
            .map_err(|_| format!("the value of header `{shown}` has characters that a header cannot hold"))?;
        checked.push((name, value));
    }
    Ok(checked)
}

/// Sends, follows redirects as far as they are granted, and reads the body.
pub(crate) fn fetch(mut ask: Ask, broker: &Broker) -> Result<Answer, FetchError> {
    for _ in 0..=REDIRECTS_MAX {
        let reach = broker.http(ask.method.as_str(), &ask.target).map_err(FetchError::Denied)?;
        let response = send(&ask, reach)?;
        let Some(next) = redirect(&ask.target, &response)? else { return read(&ask, response) };
        if !ask.target.is_same_origin(&next) {
            ask.secret_headers.clear();
            ask.headers.retain(|(name, _)| *name != header::AUTHORIZATION && *name != header::COOKIE);
        }
        let keeps_method =
            matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if !keeps_method && ask.method != Method::GET && ask.method != Method::HEAD {
            ask.method = Method::GET;
            ask.body.clear();
            ask.headers.retain(|(name, _)| !name.as_str().starts_with("content-"));
        }
        ask.target = next;
    }
    Err(FetchError::BadRedirect(format!("{}: more than {REDIRECTS_MAX} redirects", ask.target.shown())))
}

fn redirect(from: &Target, response: &Response<ureq::Body>) -> Result<Option<Target>, FetchError> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(header::LOCATION).filter(|_| is_redirect);
    let Some(location) = location else { return Ok(None) };
    let location = location.to_str().unwrap_or("\0");
    from.join(location).map(Some).map_err(|bad| FetchError::BadRedirect(bad.to_string()))
}

fn send(ask: &Ask, reach: Reach) -> Result<Response<ureq::Body>, FetchError> {
    let left = ask.deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(FetchError::Timeout(format!("{}: no time is left", ask.target.shown())));
    }
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(left))
        .user_agent(concat!("deployfile/", env!("CARGO_PKG_VERSION")))
        .max_idle_connections(0)
        .build();
    let agent = Agent::with_parts(config, DefaultConnector::default(), Checked(reach));
    let mut request = ureq::http::Request::builder().method(ask.method.clone()).uri(ask.target.as_str());
    for (name, value) in ask.headers.iter().chain(&ask.secret_headers) {
        request = request.header(name, value);
    }
    let has_body = !ask.body.is_empty() || [Method::POST, Method::PUT, Method::PATCH].contains(&ask.method);
    let sent = if has_body {
        request.body(ask.body.clone()).map_err(ureq::Error::from).and_then(|request| agent.run(request))
    } else {
        request.body(()).map_err(ureq::Error::from).and_then(|request| agent.run(request))
    };
    sent.map_err(|error| failed(ask, error))
}

fn read(ask: &Ask, mut response: Response<ureq::Body>) -> Result<Answer, FetchError> {
    let status = response.status().as_u16();
    let headers = response.headers();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let body = response.body_mut().with_config().limit(BODY_MAX).read_to_vec();
    Ok(Answer { status, headers, body: body.map_err(|error| failed(ask, error))? })
}

fn failed(ask: &Ask, error: ureq::Error) -> FetchError {
    let what = format!("{} {}", ask.method, ask.target.shown());
    match error {
        ureq::Error::Other(other) if other.is::<NotPublic>() => FetchError::Denied(Denied {
            what: format!("{what}: {other}"),
            allow: format!("allow http={} private=#true", quoted(&ask.target.shown())),
        }),
        ureq::Error::BodyExceedsLimit(_) => {
            FetchError::TooLarge(format!("{what}: the body is longer than 8 MiB"))
        }
        ureq::Error::Timeout(_) => FetchError::Timeout(format!("{what}: no answer in time")),
        error => FetchError::Unavailable(format!("{what}: {error}")),
    }
}

/// Looks names up, and lets only addresses pass that the grant reaches.
#[derive(Debug)]
struct Checked(Reach);

/// A name answers an address that its grant does not reach.
#[derive(Debug)]
struct NotPublic(SocketAddr);

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its name answers the address {}, which is not public", self.0.ip())
    }
}
impl std::error::Error for NotPublic {}

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = DefaultResolver::default().resolve(uri, config, timeout)?;
        match addresses.iter().find(|address| !reaches(self.0, address)) {
            Some(address) => Err(ureq::Error::Other(Box::new(NotPublic(*address)))),
            None => Ok(addresses),
        }
    }
}

fn reaches(reach: Reach, address: &SocketAddr) -> bool {
    match reach {
        Reach::Public => address::is_public(address.ip()),
        Reach::Loopback => address.ip().to_canonical().is_loopback(),
        Reach::Any => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_cannot_hold_a_second_line() {
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert!(headers(pair("x-a", "b")).is_ok());
        for (name, value) in [
            ("x-a", "b\r\nx-c: d"),
            ("x a", "b"),
            ("x-a\n", "b"),
            ("Host", "b"),
            ("content-length", "1"),
            ("proxy-authorization", "b"),
        ] {
            let refused = headers(pair(name, value)).unwrap_err();
            assert!(!refused.contains("x-c: d"), "{refused}");
        }
        assert!(method("get").is_err() && method("CONNECT").is_err() && method("GET").is_ok());
    }

    #[test]
    fn a_reach_is_what_it_says() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(!reaches(Reach::Public, &at("127.0.0.1:1")) && reaches(Reach::Public, &at("1.1.1.1:1")));
        assert!(
            reaches(Reach::Loopback, &at("[::ffff:127.0.0.1]:1"))
                && !reaches(Reach::Loopback, &at("10.0.0.1:1"))
        );
    }
}
