//! Paths on a host. They are text with rules, not `PathBuf`s: the host that they belong to may not be this machine.

use crate::id::InvalidId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An absolute, normalised path on a host: starts with `/`, no `.`, `..`, empty component, NUL or newline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPath(String);

/// A path beneath something (a release, `shared/`, the root): relative, normalised, never climbing, not empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelPath(String);

/// Why a string is not a path, as a lowercase fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPath(String);

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for InvalidPath {}
impl From<InvalidId> for InvalidPath {
    fn from(e: InvalidId) -> Self {
        Self(e.to_string())
    }
}

/// Linux's PATH_MAX, terminator included (limits.h).
const PATH_MAX: usize = 4096;
/// Linux's NAME_MAX (limits.h).
const NAME_MAX: usize = 255;

fn check_components(path: &str, whole: &str) -> Result<(), InvalidPath> {
    let refuse = |why: &str| Err(InvalidPath(format!("path `{}` {why}", whole.escape_debug())));
    if whole.len() >= PATH_MAX {
        return refuse("is longer than 4095 bytes");
    }
    for component in path.split('/') {
        match component {
            "" => return refuse("has an empty component"),
            "." | ".." => return refuse("must not contain `.` or `..`"),
            c if c.len() > NAME_MAX => return refuse("has a component longer than 255 bytes"),
            c if c.chars().any(|c| c.is_control()) => return refuse("contains a control character"),
            _ => {}
        }
    }
    Ok(())
}

impl HostPath {
    /// Checks and keeps `text`; one trailing slash is dropped.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidPath> {
        let mut text = text.into();
        if !text.starts_with('/') {
            return Err(InvalidPath(format!(
                "path `{}` must be absolute (start with `/`)",
                text.escape_debug()
            )));
        }
        if text.len() > 1 && text.ends_with('/') {
            text.pop();
        }
        if text != "/" {
            check_components(&text[1..], &text)?;
        }
        Ok(Self(text))
    }
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// This path with `rel` beneath it.
    pub fn join(&self, rel: &RelPath) -> HostPath {
        let base = if self.0 == "/" { "" } else { &self.0 };
        HostPath(format!("{base}/{}", rel.0))
    }
    /// The part of this path beneath `base`, if it is beneath it.
    pub fn beneath(&self, base: &HostPath) -> Option<RelPath> {
        let rest = self.0.strip_prefix(base.0.trim_end_matches('/'))?.strip_prefix('/')?;
        RelPath::new(rest).ok()
    }
}

impl RelPath {
    /// Checks and keeps `text`; one trailing slash is dropped.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidPath> {
        let mut text = text.into();
        if text.starts_with('/') {
            return Err(InvalidPath(format!("path `{}` must be relative", text.escape_debug())));
        }
        if text.ends_with('/') {
            text.pop();
        }
        check_components(&text, &text)?;
        Ok(Self(text))
    }
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// This path with `rel` beneath it.
    pub fn join(&self, rel: &RelPath) -> RelPath {
        RelPath(format!("{}/{}", self.0, rel.0))
    }
    /// Everything before the last component; `None` for a single component.
    pub fn parent(&self) -> Option<RelPath> {
        self.0.rsplit_once('/').map(|(parent, _)| RelPath(parent.to_owned()))
    }
    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
    /// The components, first to last.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

macro_rules! text_like {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidPath;
            fn try_from(text: String) -> Result<Self, InvalidPath> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(path: $name) -> String {
                path.0
            }
        }
    };
}
text_like!(HostPath);
text_like!(RelPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_paths_are_absolute_and_never_climb() {
        assert_eq!(HostPath::new("/srv/shop/").unwrap().as_str(), "/srv/shop");
        for bad in ["srv", "", "/a/../b", "/a//b", "/a/./b", "/a\n", "/a\0b"] {
            assert!(HostPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn relative_paths_never_climb() {
        assert_eq!(RelPath::new("media/img/").unwrap().as_str(), "media/img");
        for bad in ["", "/a", "..", "a/../../b", "a//b", "."] {
            assert!(RelPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn beneath_is_by_component() {
        let root = HostPath::new("/srv/shop").unwrap();
        assert_eq!(HostPath::new("/srv/shop/a").unwrap().beneath(&root).unwrap().as_str(), "a");
        assert!(HostPath::new("/srv/shopping/a").unwrap().beneath(&root).is_none());
    }
}
