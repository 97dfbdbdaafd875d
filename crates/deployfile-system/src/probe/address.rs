//! Whether a probe goes to an address at which a service listens.

use std::net::{SocketAddr, ToSocketAddrs as _};
use ureq::http::Uri;

/// The `HOST:PORT` that a URL of HTTP goes to; `None` where it names none.
pub(super) fn of_url(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let usual = match uri.scheme_str()? {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    Some(format!("{}:{}", uri.host()?, uri.port_u16().unwrap_or(usual)))
}

/// Whether connections to `address` arrive at one of those addresses.
pub(super) fn is_one_of(address: &str, listen: &[String]) -> bool {
    let resolved =
        |address: &str| address.to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let listening: Vec<SocketAddr> = listen.iter().flat_map(|address| resolved(address)).collect();
    resolved(address).iter().any(|to| listening.iter().any(|at| arrives(to, at)))
}

fn arrives(to: &SocketAddr, at: &SocketAddr) -> bool {
    let is_everywhere = at.ip().is_unspecified() && to.ip().is_loopback();
    to.port() == at.port() && (to.ip() == at.ip() || is_everywhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_compared_and_not_texts() {
        let goes =
            |url: &str, listen: &str| of_url(url).is_some_and(|at| is_one_of(&at, &[listen.to_owned()]));
        assert!(goes("http://127.0.0.1:8000/up?x=1", "127.0.0.1:8000"));
        assert!(goes("http://localhost:8000", "127.0.0.1:8000"));
        assert!(goes("http://[::1]:8000/", "[::]:8000"));
        assert!(goes("http://127.0.0.1:8000/", "0.0.0.0:8000"));
        assert!(goes("https://127.0.0.1/", "127.0.0.1:443"));
        assert!(!goes("http://127.0.0.1:8001/", "127.0.0.1:8000"));
        assert!(!goes("http://127.0.0.2:8000/", "127.0.0.1:8000"));
        assert!(!goes("http://127.0.0.1:8000/", "unix:/run/web.sock"));
        assert!(!goes("http+unix:///run/web.sock:/up", "unix:/run/web.sock"));
    }
}
