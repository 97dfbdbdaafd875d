//! Decides every call of a hook against the grants of its plugin. The one place that says yes.
//!
//! What is here: judging. What is deliberately not here: acting (`fetch`, `process`, `interface`), which is given
//! only what was judged: a normalised URL, a path that cannot climb, a permission with its limits.

pub(crate) mod address;
pub(crate) mod path;
pub(crate) mod place;

pub use place::UrlPattern;

use crate::secret::SecretText;
use deployfile_model::grant::{Grant, StateScope};
use deployfile_model::units::Millis;
use deployfile_model::{Name, RelPath};
use path::{Area, FilePath};
use place::Target;
use std::collections::BTreeMap;

/// The grants of one plugin for one call, and the values of the secrets among them.
pub(crate) struct Broker {
    grants: Vec<Grant>,
    secrets: BTreeMap<Name, Result<SecretText, String>>,
    is_sealed: bool,
}

/// A no, with what was tried and the line that would allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) what: String,
    /// The missing line; when no line helps, why.
    pub(crate) allow: String,
}

/// Which addresses a request may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public ones.
    Public,
    /// Loopback only: the grant says `localhost`.
    Loopback,
    /// Any: the grant says `private=#true`, or names the address itself.
    Any,
}

/// How a file is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Write,
}

impl Broker {
    pub(crate) fn new(
        grants: Vec<Grant>,
        secrets: BTreeMap<Name, Result<SecretText, String>>,
        is_sealed: bool,
    ) -> Self {
        Self { grants, secrets, is_sealed }
    }

    /// The target release does not change any more.
    pub(crate) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Whether a request of this method may go there. Redirects ask again.
    pub(crate) fn http(&self, method: &str, target: &Target) -> Result<Reach, Denied> {
        let mut reach = None;
        for grant in &self.grants {
            let Grant::Http { url, methods, private } = grant else { continue };
            let Ok(pattern) = UrlPattern::parse(url) else { continue };
            if !pattern.matches(target) || !(methods.is_empty() || methods.iter().any(|m| m == method)) {
                continue;
            }
            let this = if *private || pattern.names_address() {
                Reach::Any
            } else if pattern.names_localhost() {
                Reach::Loopback
            } else {
                Reach::Public
            };
            if this == Reach::Any || reach.is_none() {
                reach = Some(this);
            }
        }
        reach.ok_or_else(|| Denied {
            what: format!("{method} {}", target.shown()),
            allow: format!("allow http={} methods={}", quoted(&target.shown()), quoted(method)),
        })
    }

    /// Whether this program may run, and for how long at most.
    pub(crate) fn exec(&self, program: &str) -> Result<(RelPath, Option<Millis>), Denied> {
        let denied = || Denied {
            what: format!("exec `{}`", program.escape_debug()),
            allow: format!("allow exec={}", quoted(program)),
        };
        let path = RelPath::new(program).map_err(|error| Denied {
            what: format!("exec `{}`", program.escape_debug()),
            allow: format!("nothing can allow it: {error}"),
        })?;
        let granted = self.grants.iter().find_map(|grant| match grant {
            Grant::Exec { program: granted, timeout } if granted == path.as_str() => Some(*timeout),
            _ => None,
        });
        granted.map(|timeout| (path, timeout)).ok_or_else(denied)
    }

    /// Whether a file may be used so.
    pub(crate) fn file(&self, how: Use, path: &FilePath) -> Result<(), Denied> {
        let verb = if how == Use::Read { "read" } else { "write" };
        if how == Use::Write && path.area == Area::Release && self.is_sealed {
            return Err(Denied {
                what: format!("write `{path}`"),
                allow: "nothing can allow it: a release does not change after `seal`".to_owned(),
            });
        }
        let covers = |text: &str| FilePath::parse(text).is_ok_and(|granted| granted.covers(path));
        let granted = self.grants.iter().any(|grant| match grant {
            Grant::Read { path } if how == Use::Read => covers(path),
            Grant::Write { path } if how == Use::Write => covers(path),
            _ => false,
        });
        if granted {
            return Ok(());
        }
        let allow = format!("allow {verb}={}", quoted(&path.to_string()));
        Err(Denied { what: format!("{verb} `{path}`"), allow })
    }

    /// The value of a granted secret, to be put somewhere, or (`reveal`) given to the plugin. The inner error: it is
    /// granted, but this host has no value for it.
    pub(crate) fn secret(&self, name: &str, reveal: bool) -> Result<Result<&SecretText, String>, Denied> {
        let granted = self.grants.iter().any(|grant| match grant {
            Grant::Secret { name: granted, reveal: may } => granted.as_str() == name && (*may || !reveal),
            _ => false,
        });
        let value = Name::new(name).ok().and_then(|name| self.secrets.get(&name));
        if let (true, Some(value)) = (granted, value) {
            return Ok(value.as_ref().map_err(Clone::clone));
        }
        let (verb, more) = if reveal { ("reveal", " reveal=#true") } else { ("use", "") };
        let allow = format!("allow secret={}{more}", quoted(name));
        Err(Denied { what: format!("{verb} secret `{}`", name.escape_debug()), allow })
    }

    /// Whether this scope of the plugin's state may be used.
    pub(crate) fn state(&self, scope: StateScope) -> Result<(), Denied> {
        if self
            .grants
            .iter()
            .any(|grant| matches!(grant, Grant::State { scope: granted } if *granted == scope))
        {
            return Ok(());
        }
        let name = scope_name(scope);
        Err(Denied { what: format!("state of the {name}"), allow: format!("allow state={name}") })
    }
}

/// The scope as the deployfile writes it.
pub(crate) fn scope_name(scope: StateScope) -> &'static str {
    match scope {
        StateScope::Run => "run",
        StateScope::Machine => "machine",
        StateScope::Environment => "environment",
    }
}

/// `text` as a KDL string.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
