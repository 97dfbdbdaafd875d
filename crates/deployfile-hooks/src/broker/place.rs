//! Where a request goes, and patterns of it, both normalised by the rules that servers and browsers share (WHATWG
//! URL): case, default ports, dots (also percent-encoded), numeric hosts, IDN.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use url::{Host, Url};

/// Longest URL that is looked at, in bytes.
const LONGEST: usize = 8 * 1024;

/// A normalised URL that a request may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target(Url);

/// Why a text is no such URL, as a lowercase fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadUrl(String);

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for BadUrl {}

/// The URL of an `allow http=` line: scheme, host and port as they are, a path that ends in `*` matches the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlPattern {
    url: Url,
    /// The path matches what begins with it.
    is_prefix: bool,
}

fn normalised(text: &str) -> Result<Url, BadUrl> {
    let bad = |why: String| BadUrl(format!("URL `{}` {why}", text.escape_debug()));
    if text.len() > LONGEST {
        return Err(BadUrl(format!("URL is longer than {LONGEST} bytes")));
    }
    // WHATWG drops these silently and reads `\` as `/`; one who writes them wants two readers to differ.
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err(bad("has a blank, control character or backslash".to_owned()));
    }
    let mut url = Url::parse(text).map_err(|error| bad(format!("cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("is neither http nor https".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("has a user name or password; use header-secret".to_owned()));
    }
    if text.split_once("://").is_some_and(|(_, rest)| authority(rest).contains('@')) {
        return Err(bad("has an `@` in its host".to_owned()));
    }
    url.set_fragment(None);
    if climbs(url.path()) {
        return Err(bad("has encoded dots in its path".to_owned()));
    }
    Ok(url)
}

fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// Whether a server that decodes the path, once or more often, could see it climb.
fn climbs(path: &str) -> bool {
    let mut path = path.to_owned();
    for _ in 0..3 {
        if path.contains('\0') || path.split(['/', '\\']).any(|part| matches!(part, "." | "..")) {
            return true;
        }
        let decoded = decode(&path);
        if decoded == path {
            return false;
        }
        path = decoded;
    }
    // Encoded three times or more: nobody means well.
    true
}

fn decode(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = path.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

impl Target {
    /// Reads and normalises.
    pub(crate) fn parse(text: &str) -> Result<Self, BadUrl> {
        normalised(text).map(Self)
    }
    /// Where a redirect leads, seen from here.
    pub(crate) fn join(&self, location: &str) -> Result<Self, BadUrl> {
        let joined = self.0.join(location).map_err(|error| {
            BadUrl(format!("redirect to `{}` cannot be read: {error}", location.escape_debug()))
        })?;
        normalised(joined.as_str()).map(Self)
    }
    /// The whole URL, as it is asked for.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
    /// Without the query, which may hold what is nobody's business.
    pub(crate) fn shown(&self) -> String {
        let mut url = self.0.clone();
        url.set_query(None);
        url.into()
    }
    /// Whether both have the same scheme, host and port.
    pub(crate) fn is_same_origin(&self, other: &Target) -> bool {
        self.0.origin() == other.0.origin()
    }
}

impl UrlPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let (text, is_prefix) = match text.strip_suffix('*') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let bad = |why: &str| BadUrl(format!("URL pattern `{}` {why}", text.escape_debug()));
        if text.contains('*') {
            return Err(bad("may have `*` only at the end of its path"));
        }
        if is_prefix && text.split_once("://").is_none_or(|(_, rest)| !rest.contains('/')) {
            return Err(bad("must have a `/` after its host before `*`"));
        }
        let url = normalised(text)?;
        if url.query().is_some() {
            return Err(bad("must not have a query"));
        }
        Ok(Self { url, is_prefix })
    }
    /// Whether the grant names an address and no name.
    pub(crate) fn names_address(&self) -> bool {
        matches!(self.url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_)))
    }
    /// Whether the grant names this machine.
    pub(crate) fn names_localhost(&self) -> bool {
        matches!(self.url.host(), Some(Host::Domain(name)) if name == "localhost")
    }
    pub(crate) fn matches(&self, target: &Target) -> bool {
        let (ours, theirs) = (&self.url, &target.0);
        let path = if self.is_prefix {
            theirs.path().starts_with(ours.path())
        } else {
            theirs.path() == ours.path()
        };
        path && ours.scheme() == theirs.scheme()
            && same_host(ours, theirs)
            && ours.port_or_known_default() == theirs.port_or_known_default()
    }
}

fn same_host(ours: &Url, theirs: &Url) -> bool {
    match (ours.host(), theirs.host()) {
        (Some(Host::Domain(a)), Some(Host::Domain(b))) => a == b,
        (Some(a), Some(b)) => numeric(&a).is_some() && numeric(&a) == numeric(&b),
        _ => false,
    }
}

fn numeric(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => {
            Some(address.to_ipv4_mapped().map_or(IpAddr::V6(*address), |v4: Ipv4Addr| v4.into()))
        }
        Host::Domain(_) => None,
    }
}
