//! Names and ids, each valid by construction.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a string is not an id. The message is a lowercase fragment that names the offending text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId(String);

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for InvalidId {}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and makes the id of it.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

id! {
    /// The sortable name of a release: one path component, `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`.
    ReleaseId, check_component
}
id! {
    /// One attempt at a plan. Same alphabet as [`ReleaseId`].
    RunId, check_component
}
id! {
    /// The name of an app, environment, role, service, plugin, task, secret or host:
    /// `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`, so that it can never be read as an option or a path.
    Name, check_component
}
id! {
    /// What the running code says it is: a commit id, a digest, or a text of the user's; 1 to 256 printable characters.
    BuildId, check_build_id
}

fn check_component(text: &str) -> Result<(), InvalidId> {
    let ok = text.len() <= 128
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if ok {
        return Ok(());
    }
    Err(InvalidId(format!(
        "`{}` is not a name: it must be 1 to 128 of letters, digits, `.`, `_`, `-`, and start with a letter or digit",
        text.escape_debug()
    )))
}

fn check_build_id(text: &str) -> Result<(), InvalidId> {
    if (1..=256).contains(&text.len()) && text.chars().all(|c| !c.is_control()) {
        return Ok(());
    }
    Err(InvalidId(format!(
        "`{}` is not a build id: it must be 1 to 256 printable characters",
        text.escape_debug()
    )))
}

impl BuildId {
    /// Whether `answer`, as a running service gave it, names this build: exactly after trimming, or as a
    /// hexadecimal prefix of 7 or more characters (language.md).
    pub fn matches(&self, answer: &str) -> bool {
        let answer = answer.trim();
        let is_prefix = answer.len() >= 7
            && answer.bytes().all(|b| b.is_ascii_hexdigit())
            && self.0.to_ascii_lowercase().starts_with(&answer.to_ascii_lowercase());
        answer == self.0 || is_prefix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_ids_are_one_component() {
        for good in ["2026-11-20_14.05.33", "a", "v1-2", &"x".repeat(128)] {
            assert!(ReleaseId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "../x", "a/b", ".hidden", "-x", "a b", "a\0", "é", &"x".repeat(129)] {
            assert!(ReleaseId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn build_ids_match_exactly_or_by_hex_prefix() {
        let id = BuildId::new("0123456789abcdef").unwrap();
        assert!(id.matches(" 0123456789abcdef\n"));
        assert!(id.matches("0123456"));
        assert!(id.matches("0123456789ABCDEF"));
        assert!(!id.matches("012345"));
        assert!(!id.matches("0123457"));
        assert!(!id.matches(""));
        assert!(!BuildId::new("release-7").unwrap().matches("release"));
    }
}
