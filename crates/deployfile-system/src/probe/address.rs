//! Whether a probe goes to an address at which a service listens.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _, UdpSocket};
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
    let (to_ip, at_ip) = (to.ip().to_canonical(), at.ip().to_canonical());
    // A socket for all addresses of IPv6 takes those of IPv4 too.
    let is_everywhere = at_ip.is_unspecified() && (at.is_ipv6() || to_ip.is_ipv4()) && is_ours(to_ip);
    to.port() == at.port() && (to_ip == at_ip || is_everywhere)
}

/// Whether this machine has the address: only then can something be bound to it.
fn is_ours(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
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
        assert!(goes("http://127.0.0.1:8000/", "[::]:8000"));
        assert!(goes("http://[::ffff:127.0.0.1]:8000/", "127.0.0.1:8000"));
        assert!(!goes("http://192.0.2.1:8000/", "0.0.0.0:8000"), "an address of documentation is not ours");
        assert!(!goes("http://127.0.0.1:8001/", "127.0.0.1:8000"));
        assert!(!goes("http://127.0.0.2:8000/", "127.0.0.1:8000"));
        assert!(!goes("http://127.0.0.1:8000/", "unix:/run/web.sock"));
        assert!(!goes("http+unix:///run/web.sock:/up", "unix:/run/web.sock"));
    }
}
