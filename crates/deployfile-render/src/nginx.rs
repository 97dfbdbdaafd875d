//! `site` → an nginx server block that always passes real paths.
//!
//! `set $rel …` stands at server level and reads a literal `root`, so one request sees one release from
//! its first file to its last, however often `current` moves meanwhile. Every location then uses `$rel`: as its root,
//! and for `SCRIPT_FILENAME` and `DOCUMENT_ROOT` after `include fastcgi_params` (which names the link). Only the literal
//! `root` of the server may be what `$realpath_root` reads: a `root` with a variable is set in locations alone.
//!
//! `$rel` takes the path by way of a `map`. `set` works out how long its value is, and then the value; `$realpath_root` is
//! read anew for each, and a switch between the two to a release with a longer name is an error 500 ("no buffer space in
//! script copy", seen once in 2,000 requests under hundreds of switches). What a map gives is worked out once for a request.
//!
//! The block is built as directives, written, read back with nginx's own rules for words, and compared. Not here:
//! running `nginx -t`; [`test_wrapper`] makes what it needs.

mod syntax;
mod wrapper;

pub use wrapper::{only_binding_was_refused, test_wrapper};

use crate::Refused;
use crate::refused::one_line;
use std::collections::BTreeSet;
use syntax::Directive;

/// A site with all look-ups filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilledSite {
    /// Its name.
    pub name: String,
    /// `80`, `127.0.0.1:80`, `[::]:80`, `unix:/run/x.sock`; at least one.
    pub listen: Vec<String>,
    /// Names, wildcards, `_`, or `~regex`; none: nginx's default.
    pub server_names: Vec<String>,
    /// The document root as traffic sees it: an absolute path, through `current`.
    pub root: Option<String>,
    /// `index` file names.
    pub index: Vec<String>,
    /// Locations, in order.
    pub locations: Vec<FilledLocation>,
}

/// A location with all look-ups filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilledLocation {
    /// `/x`, `= /x`, `^~ /x`, `~ regex` or `~* regex`.
    pub pattern: String,
    /// `try_files` values; none or at least two. Only here nginx's variables (`$uri`) may be used.
    pub try_files: Vec<String>,
    /// What answers.
    pub handler: FilledHandler,
}

/// What answers in a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilledHandler {
    /// Files beneath the root.
    Static,
    /// An HTTP upstream, `HOST:PORT` or `unix:PATH`.
    Proxy(String),
    /// A FastCGI upstream, `HOST:PORT` or `unix:PATH`.
    Fastcgi(String),
}

/// The server block of `site`, to be included at nginx's `http` level.
///
/// # Errors
/// What nginx cannot represent, or would read as something else.
pub fn server_block(site: &FilledSite) -> Result<String, Refused> {
    let mut directives = vec![server(site)?];
    if site.root.is_some() {
        directives.insert(0, real_path());
    }
    let text = syntax::write(&directives);
    if syntax::parse(&text).as_ref() != Ok(&directives) {
        return Err(Refused::internal("nginx"));
    }
    Ok(text)
}

/// One value as one word of an nginx configuration, for free templates. Variables cannot be written: nginx has no
/// escape for `$`.
pub(crate) fn word(value: &str) -> Result<String, Refused> {
    literal("value", value)?;
    Ok(syntax::quote(value))
}

/// The variable that sites read the real path of their root from. Sites of one nginx say the same map; the last one said
/// holds for all.
const REAL_PATH: &str = "$deployfile_real_path";

fn real_path() -> Directive {
    let default = Directive::line(["default", "$realpath_root"]);
    Directive::block(["map", "$realpath_root", REAL_PATH], vec![default])
}

fn server(site: &FilledSite) -> Result<Directive, Refused> {
    if site.listen.is_empty() {
        return Err(Refused::new("listen", "a site needs at least one, for example listen \"80\""));
    }
    let mut inside = Vec::new();
    for listen in &site.listen {
        inside.push(Directive::line(["listen", check_listen(listen)?]));
    }
    if !site.server_names.is_empty() {
        site.server_names.iter().try_for_each(|name| check_server_name(name))?;
        inside.push(Directive::line(std::iter::once("server_name").chain(texts(&site.server_names))));
    }
    if let Some(root) = &site.root {
        inside.push(Directive::line(["root", check_root(root)?]));
        inside.push(Directive::line(["set", "$rel", REAL_PATH]));
    }
    if !site.index.is_empty() {
        site.index.iter().try_for_each(|file| literal("index", file))?;
        inside.push(Directive::line(std::iter::once("index").chain(texts(&site.index))));
    }
    let mut patterns = BTreeSet::new();
    for location in &site.locations {
        let directive = self::location(location, site.root.is_some())?;
        if !patterns.insert(directive.words.clone()) {
            return Err(Refused::new(format!("location \"{}\"", location.pattern), "it stands twice"));
        }
        inside.push(directive);
    }
    let everything = ["/", "^~ /"].map(|p| Directive::line(pattern_words(p)).words);
    if site.root.is_some() && !everything.iter().any(|words| patterns.contains(words)) {
        // Else what no location matches would be served through the link.
        inside.push(Directive::block(["location", "/"], vec![Directive::line(["root", "$rel"])]));
    }
    Ok(Directive::block(["server"], inside))
}

fn location(location: &FilledLocation, has_root: bool) -> Result<Directive, Refused> {
    check_pattern(&location.pattern)?;
    let what = || format!("location \"{}\"", location.pattern);
    let mut inside = Vec::new();
    if has_root {
        inside.push(Directive::line(["root", "$rel"]));
    } else if !matches!(location.handler, FilledHandler::Proxy(_)) || !location.try_files.is_empty() {
        return Err(Refused::new(what(), "it serves files of the release, so the site needs a root"));
    }
    if !location.try_files.is_empty() {
        check_try_files(&location.try_files).map_err(|why| Refused::new(what(), why))?;
        inside.push(Directive::line(std::iter::once("try_files").chain(texts(&location.try_files))));
    }
    match &location.handler {
        FilledHandler::Static => {}
        FilledHandler::Proxy(upstream) => inside.extend(proxy(&check_upstream("proxy", upstream)?)),
        FilledHandler::Fastcgi(upstream) => inside.extend(fastcgi(&check_upstream("fastcgi", upstream)?)),
    }
    Ok(Directive::block(pattern_words(&location.pattern), inside))
}

/// HTTP/1.1 without `Connection: close`, so that an upstream's connections can be kept.
fn proxy(upstream: &str) -> Vec<Directive> {
    vec![
        Directive::line(["proxy_pass", &format!("http://{upstream}")]),
        Directive::line(["proxy_http_version", "1.1"]),
        Directive::line(["proxy_set_header", "Connection", ""]),
        Directive::line(["proxy_set_header", "Host", "$host"]),
        Directive::line(["proxy_set_header", "X-Real-IP", "$remote_addr"]),
        Directive::line(["proxy_set_header", "X-Forwarded-For", "$proxy_add_x_forwarded_for"]),
        Directive::line(["proxy_set_header", "X-Forwarded-Proto", "$scheme"]),
    ]
}

fn fastcgi(upstream: &str) -> Vec<Directive> {
    vec![
        Directive::line(["fastcgi_pass", upstream]),
        Directive::line(["include", "fastcgi_params"]),
        Directive::line(["fastcgi_param", "SCRIPT_FILENAME", "$rel$fastcgi_script_name"]),
        Directive::line(["fastcgi_param", "DOCUMENT_ROOT", "$rel"]),
    ]
}

fn texts(values: &[String]) -> impl Iterator<Item = &str> {
    values.iter().map(String::as_str)
}

/// The words of `location`: the modifier, if there is one, and what it matches.
fn pattern_words(pattern: &str) -> Vec<String> {
    let words = match split_pattern(pattern) {
        ("", matched) => vec!["location", matched],
        (modifier, matched) => vec!["location", modifier, matched],
    };
    words.into_iter().map(str::to_owned).collect()
}

fn split_pattern(pattern: &str) -> (&str, &str) {
    match pattern.split_once(' ') {
        Some((modifier @ ("=" | "^~" | "~" | "~*"), matched)) => (modifier, matched.trim_start_matches(' ')),
        _ => ("", pattern),
    }
}

fn check_pattern(pattern: &str) -> Result<(), Refused> {
    let what = format!("location \"{}\"", pattern.escape_debug());
    match split_pattern(pattern) {
        ("~" | "~*", "") => Err(Refused::new(what, "the regular expression is empty")),
        // A regex may hold `;{}`: it is written in quotes.
        ("~" | "~*", regex) => sized(&what, regex),
        (_, path) if path.starts_with('/') => plain(&what, path),
        _ => Err(Refused::new(what, "it must be /x, = /x, ^~ /x, ~ REGEX or ~* REGEX")),
    }
}

fn check_try_files(values: &[String]) -> Result<(), String> {
    let (Some(last), true) = (values.last(), values.len() >= 2) else {
        return Err("try_files takes at least two values: $uri =404".to_owned());
    };
    for value in values {
        plain("try_files", value).map_err(|e| e.to_string())?;
        let variables = value.split('$').skip(1);
        if variables.into_iter().any(|v| !v.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')) {
            return Err("try_files: a `$` must begin a variable's name".to_owned());
        }
        if value.starts_with('@') {
            return Err("try_files: named locations (@name) are not supported".to_owned());
        }
        let code = value.strip_prefix('=');
        let is_code = |code: &str| code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
        if code.is_some_and(|code| !is_code(code) || !std::ptr::eq(value, last)) {
            return Err("try_files: a status such as =404 stands last, with three digits".to_owned());
        }
    }
    Ok(())
}

fn check_root(root: &str) -> Result<&str, Refused> {
    literal("root", root)?;
    if !root.starts_with('/') {
        return Err(Refused::new("root", "it must be an absolute path"));
    }
    Ok(root)
}

fn check_listen(listen: &str) -> Result<&str, Refused> {
    if port(listen) || check_upstream("listen", listen).is_ok() || listen.strip_prefix("*:").is_some_and(port)
    {
        return Ok(listen);
    }
    let why = "it must be a port, ADDRESS:PORT or unix:/PATH; parameters such as `ssl` are not supported";
    Err(Refused::new(format!("listen \"{}\"", listen.escape_debug()), why))
}

/// `HOST:PORT`, `[IPv6]:PORT` or `unix:/PATH`, as nginx takes it after `fastcgi_pass` and `http://`.
fn check_upstream(what: &str, upstream: &str) -> Result<String, Refused> {
    let what = || format!("{what} \"{}\"", upstream.escape_debug());
    if let Some(path) = upstream.strip_prefix("unix:") {
        literal(&what(), path)?;
        // A second colon would end the path and begin a URI.
        if !path.starts_with('/') || path.contains([':', ' ', '"', '\'', '\\']) {
            return Err(Refused::new(
                what(),
                "the socket must be an absolute path without colons, spaces and quotes",
            ));
        }
        return Ok(upstream.to_owned());
    }
    let host_ok = |host: &str| match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-'),
    };
    match upstream.rsplit_once(':') {
        Some((host, number)) if host_ok(host) && port(number) => Ok(upstream.to_owned()),
        _ => Err(Refused::new(what(), "it must be HOST:PORT or unix:/PATH")),
    }
}

fn port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn check_server_name(name: &str) -> Result<(), Refused> {
    let what = format!("server-name \"{}\"", name.escape_debug());
    match name.strip_prefix('~') {
        Some("") => Err(Refused::new(what, "the regular expression is empty")),
        Some(regex) => sized(&what, regex),
        None if !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_*".contains(&b) || b >= 0x80) =>
        {
            sized(&what, name)
        }
        None => Err(Refused::new(what, "it must be a host name, *.NAME, _ or ~REGEX")),
    }
}

/// No word of nginx may be longer (its own limit, `NGX_CONF_BUFFER`, is 4,096 bytes with quotes and escapes).
const WORD_LIMIT: usize = 2_000;

fn sized(what: &str, value: &str) -> Result<(), Refused> {
    one_line(what, value, WORD_LIMIT)
}

/// A value that is not a regular expression: it needs none of the characters that end a directive.
fn plain(what: &str, value: &str) -> Result<(), Refused> {
    sized(what, value)?;
    if value.contains([';', '{', '}']) {
        return Err(Refused::new(
            what,
            "it has one of `;`, `{`, `}`, which end or begin a directive in nginx",
        ));
    }
    Ok(())
}

/// A value without variables.
fn literal(what: &str, value: &str) -> Result<(), Refused> {
    plain(what, value)?;
    if value.contains('$') {
        return Err(Refused::new(what, "it has a `$`, which nginx would read as a variable"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
