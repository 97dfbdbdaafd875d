//! URLs and addresses: what can be said of them before anything is asked there. The deployfile's text is held against
//! this with its look-ups left open, and the plan's once they are filled in.

use crate::HostPath;

/// The schemes that a probe can ask, without `://`.
pub const PROBE_SCHEMES: &[&str] = &["http", "https", "http+unix"];

/// Why a text is no URL or address, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnAddress {
    /// What is wrong, with the text as it was written.
    pub message: String,
    /// What to write in its place.
    pub help: String,
}

fn wrong<T>(message: String, help: impl Into<String>) -> Result<T, NotAnAddress> {
    Err(NotAnAddress { message, help: help.into() })
}

/// Scheme and host of a URL; what follows is whoever answers' business. Messages show it as `written`.
pub fn check_url(text: &str, schemes: &[&str], written: &str) -> Result<(), NotAnAddress> {
    let shown = written.escape_debug();
    let rest = text.split_once("://").filter(|(scheme, _)| schemes.contains(scheme)).map(|(_, rest)| rest);
    let Some(rest) = rest else {
        let list: Vec<_> = schemes.iter().map(|scheme| format!("`{scheme}://`")).collect();
        return wrong(
            format!("`{shown}` is not a URL that is taken here"),
            format!("it begins with {}", list.join(", ")),
        );
    };
    if rest.is_empty() || rest.starts_with(['/', '?', '#', ':']) && !text.starts_with("http+unix") {
        let help = "write scheme, host and path: `\"https://example.com/path\"`";
        return wrong(format!("the URL `{shown}` names no host"), help);
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return wrong(format!("the URL `{shown}` contains white space"), "write `%20` for a space");
    }
    Ok(())
}

/// `unix:PATH`, where the path is absolute. Messages show it as `written`.
pub fn check_socket(path: &str, written: &str) -> Result<(), NotAnAddress> {
    match HostPath::new(path) {
        Ok(_) => Ok(()),
        Err(error) => wrong(
            format!("the socket of `{}` is not a path: {error}", written.escape_debug()),
            "write its absolute path: `\"unix:/run/shop/web.sock\"`",
        ),
    }
}

/// `HOST:PORT`, or `unix:PATH` where `unix` says so.
pub fn check_address(text: &str, unix: bool) -> Result<(), NotAnAddress> {
    if let Some(path) = text.strip_prefix("unix:").filter(|_| unix) {
        return check_socket(path, text);
    }
    let shown = text.escape_debug();
    let Some((host, port)) = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()) else {
        let forms = if unix { "`HOST:PORT` or `unix:PATH`" } else { "`HOST:PORT`" };
        return wrong(format!("`{shown}` is not {forms}"), "write it like this: `\"127.0.0.1:9010\"`");
    };
    match port.parse::<u16>() {
        Ok(1..) if port.bytes().all(|b| b.is_ascii_digit()) && !host.contains('/') => Ok(()),
        _ if host.contains('/') => wrong(
            format!("`{shown}` is a URL or a path, not an address"),
            "leave out scheme and path: `\"127.0.0.1:9010\"`",
        ),
        _ => wrong(
            format!("`{}` of `{shown}` is not a port", port.escape_debug()),
            "ports are whole numbers from 1 to 65535",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:80", "[::1]:8080", "localhost:65535"] {
            assert_eq!(check_address(good, false), Ok(()), "{good}");
        }
        assert_eq!(check_address("unix:/run/web.sock", true), Ok(()));
        for bad in ["", ":80", "80", "host", "host:0", "host:+80", "http://host:80", "unix:/a", "host:x y"] {
            assert!(check_address(bad, false).is_err(), "{bad}");
        }
        assert!(check_address("unix:web.sock", true).is_err());
    }

    #[test]
    fn urls() {
        for good in ["http://localhost/", "https://a:1/b?c", "http+unix:///run/a.sock:/health"] {
            assert_eq!(check_url(good, PROBE_SCHEMES, good), Ok(()), "{good}");
        }
        for bad in ["", "localhost", "ftp://a", "http://", "http:///path", "http://:80/", "http://a/b c"] {
            assert!(check_url(bad, PROBE_SCHEMES, bad).is_err(), "{bad}");
        }
    }
}
