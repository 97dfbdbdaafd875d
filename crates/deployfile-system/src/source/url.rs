//! Which URLs are given to git, how they are shown, and what they are called on disk.

use super::error::SourceError;
use deployfile_model::Digest;

/// A URL that may be given to git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitUrl {
    text: String,
}

/// Schemes that deployfile gives to git. Others run a program of their name (`ext::`, gitremote-helpers(7)) or carry
/// code unprotected (`git:`, `http:`).
const SCHEMES: [&str; 3] = ["file://", "ssh://", "https://"];

impl GitUrl {
    /// Checks a URL or path of a deployfile.
    pub(crate) fn new(text: &str) -> Result<Self, SourceError> {
        let refuse = |why| Err(SourceError::UrlRefused { url: redacted(text), why });
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text.len() > 4096 {
            return refuse("it is longer than 4096 bytes");
        }
        if text.starts_with('-') {
            return refuse("it starts with `-`, so git would take it for an option");
        }
        if text.chars().any(char::is_control) {
            return refuse("it contains a control character");
        }
        if text.starts_with('/') {
            return Ok(Self { text: text.to_owned() });
        }
        if let Some(scheme) = SCHEMES.iter().find(|scheme| text.starts_with(**scheme)) {
            let rest = &text[scheme.len()..];
            return match rest.chars().next() {
                None => refuse("nothing follows its scheme"),
                Some('-') => refuse("its host starts with `-`, so ssh would take it for an option"),
                Some(c) if c != '/' && *scheme == "file://" => refuse("a file:// URL needs an absolute path"),
                Some(_) => Ok(Self { text: text.to_owned() }),
            };
        }
        match text.split_once(':') {
            Some((_, rest)) if rest.starts_with(':') => refuse("it names a transport program"),
            Some((_, rest)) if rest.starts_with("//") => refuse("deployfile does not use this scheme"),
            Some((host, rest)) if !host.contains('/') && !host.is_empty() && !rest.is_empty() => {
                Ok(Self { text: text.to_owned() })
            }
            _ => refuse("it is neither an absolute path nor a URL"),
        }
    }

    /// As git gets it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The path on this machine, when it is there.
    pub(crate) fn local_path(&self) -> Option<&str> {
        let path = self.text.strip_prefix("file://").unwrap_or(&self.text);
        path.starts_with('/').then_some(path)
    }

    /// Reached through ssh.
    pub(crate) fn is_ssh(&self) -> bool {
        self.local_path().is_none() && !self.text.starts_with("https://")
    }

    /// Without its password.
    pub(crate) fn shown(&self) -> String {
        redacted(&self.text)
    }

    /// The name of its mirror: readable, and different for every URL.
    pub(crate) fn mirror_name(&self) -> String {
        let last = self.text.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
        let last = last.strip_suffix(".git").unwrap_or(last);
        let kept: String =
            last.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').take(40).collect();
        let name = kept.trim_start_matches('-');
        format!("{name}-{}.git", Digest::of(self.text.as_bytes()).short())
    }

    /// The URL of a submodule of this repository: relative ones start with `./` or `../` (gitmodules(5)).
    pub(crate) fn submodule(&self, url: &str) -> Result<Self, SourceError> {
        if !url.starts_with("./") && !url.starts_with("../") {
            let absolute = Self::new(url)?;
            // A repository from elsewhere has no say in which files of this machine are read.
            if absolute.local_path().is_some() && self.local_path().is_none() {
                let why = "a submodule of a remote repository cannot be on this machine";
                return Err(SourceError::UrlRefused { url: absolute.shown(), why });
            }
            return Ok(absolute);
        }
        let mut base = self.text.trim_end_matches('/');
        let mut rest = url;
        loop {
            if let Some(next) = rest.strip_prefix("./") {
                rest = next;
            } else if let Some(next) = rest.strip_prefix("../") {
                rest = next;
                // As git does, `host:path` ends at its colon.
                let cut = base.rfind(['/', ':']).unwrap_or(0);
                let is_host = base[..cut].ends_with('/') || base[..cut].is_empty();
                if is_host {
                    let why = "it climbs above the repository that it is a submodule of";
                    return Err(SourceError::UrlRefused { url: redacted(url), why });
                }
                base = &base[..cut + usize::from(base.as_bytes()[cut] == b':')];
            } else {
                let slash = if base.ends_with(':') { "" } else { "/" };
                return Self::new(&format!("{base}{slash}{rest}"));
            }
        }
    }
}

/// A URL without the password in it.
fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    match authority.rsplit_once('@').map(|(userinfo, _)| userinfo) {
        Some(userinfo) => {
            let shown = match userinfo.split_once(':') {
                Some((user, _)) => format!("{user}:***"),
                // A token alone is a common user name of https URLs.
                None if scheme == "https" => "***".to_owned(),
                None => userinfo.to_owned(),
            };
            format!("{scheme}://{shown}{}", &rest[userinfo.len()..])
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_run_programs_or_become_options_are_refused() {
        for bad in [
            "",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c true",
            "ssh://-oProxyCommand=true/x",
            "http://example.com/x.git",
            "git://example.com/x.git",
            "file://relative",
            "relative/path",
            "a\nb",
            "fd::3",
            "https://",
        ] {
            assert!(GitUrl::new(bad).is_err(), "{bad}");
        }
        for good in
            ["/srv/x.git", "file:///srv/x", "ssh://git@h/x", "https://h/x.git", "git@h:x.git", "h:/srv/x"]
        {
            assert!(GitUrl::new(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = |url: &str| GitUrl::new(url).unwrap().shown();
        assert_eq!(shown("https://u:secret@h/x"), "https://u:***@h/x");
        assert_eq!(shown("https://token@h/x"), "https://***@h/x");
        assert_eq!(shown("ssh://git@h/x@y"), "ssh://git@h/x@y");
        assert_eq!(shown("https://h/x@y"), "https://h/x@y");
        let refused = GitUrl::new("http://u:secret@h/x").unwrap_err().to_string();
        assert!(!refused.contains("secret"), "{refused}");
    }

    #[test]
    fn relative_submodule_urls_are_resolved_as_git_does() {
        let under = |base: &str, url: &str| {
            GitUrl::new(base).unwrap().submodule(url).map(|u| u.as_str().to_owned()).ok()
        };
        assert_eq!(under("/srv/app.git", "../lib.git").as_deref(), Some("/srv/lib.git"));
        assert_eq!(under("/srv/app", "./lib").as_deref(), Some("/srv/app/lib"));
        assert_eq!(under("https://h/g/app.git", "../../o/lib").as_deref(), Some("https://h/o/lib"));
        assert_eq!(under("git@h:g/app", "../lib").as_deref(), Some("git@h:g/lib"));
        assert_eq!(under("git@h:app", "../lib").as_deref(), Some("git@h:lib"));
        assert_eq!(under("https://h/app", "../../lib"), None);
        assert_eq!(under("https://h/app", "/srv/lib"), None);
        assert_eq!(under("/srv/app", "/srv/lib").as_deref(), Some("/srv/lib"));
        assert_eq!(under("/srv/app", "--x"), None);
    }

    #[test]
    fn mirrors_have_a_readable_name_of_their_own() {
        let name = |url: &str| GitUrl::new(url).unwrap().mirror_name();
        assert!(name("https://h/shop.git").starts_with("shop-"));
        assert_ne!(name("https://h/shop.git"), name("https://h/shop"));
    }
}
