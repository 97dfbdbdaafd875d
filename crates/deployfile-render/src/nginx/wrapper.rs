//! What `nginx -t` needs to check a rendered file by itself, without root and without the host's own configuration.

use super::{literal, syntax};
use crate::Refused;
use syntax::Directive;

/// Files to write into the directory `scratch` (absolute, made for this), as name and content. The first is the
/// configuration: `nginx -t -c SCRATCH/nginx.conf` then checks `confs` (absolute paths). The second stands in for
/// the host's `fastcgi_params`, which nginx looks for beside the configuration.
///
/// # Errors
/// A path that nginx cannot represent, or would read as a pattern.
pub fn test_wrapper(confs: &[&str], scratch: &str) -> Result<[(&'static str, String); 2], Refused> {
    for path in confs.iter().chain([&scratch]) {
        literal("path", path)?;
        if !path.starts_with('/') || path.contains(['*', '?', '[', '\\']) {
            return Err(Refused::new("path", "it must be absolute, without wildcards"));
        }
    }
    let beneath = |name: &str| format!("{scratch}/{name}");
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| Directive::line([format!("{kind}_temp_path"), beneath(kind)]));
    let mut http: Vec<Directive> = temporary.into();
    http.push(Directive::line(["access_log", "off"]));
    http.extend(confs.iter().map(|path| Directive::line(["include", path])));
    let main = [
        Directive::line(["daemon", "off"]),
        Directive::line(["pid".to_owned(), beneath("nginx.pid")]),
        Directive::line(["error_log", "stderr"]),
        Directive::block(["events"], vec![]),
        Directive::block(["http"], http),
    ];
    let parameters = "fastcgi_param DOCUMENT_ROOT $document_root;\n".to_owned();
    Ok([("nginx.conf", syntax::write(&main)), ("fastcgi_params", parameters)])
}

/// Whether a failed `nginx -t` says no more than that this user may not listen on a port below 1024. nginx binds
/// after it has read and accepted the whole configuration, so that is a yes.
pub fn only_binding_was_refused(stderr: &str) -> bool {
    let serious: Vec<&str> = stderr
        .lines()
        .filter(|line| ["[emerg]", "[alert]", "[crit]"].iter().any(|level| line.contains(level)))
        .collect();
    !serious.is_empty()
        && serious
            .iter()
            .all(|line| line.contains("bind() to ") && line.contains("failed (13: Permission denied)"))
}
