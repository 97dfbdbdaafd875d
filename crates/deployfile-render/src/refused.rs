//! Why a target cannot represent a value, and the one check that all targets share.

use std::fmt;

/// A value that a target cannot represent. What may be a secret (values of variables and of templates) is never in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    what: String,
    why: String,
}

impl Refused {
    /// `what` (for example `root`) cannot be written because of `why`, a lowercase fragment.
    pub(crate) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into() }
    }

    /// What was written does not read back as what was meant: a bug of ours, not of the value.
    pub(crate) fn internal(target: &str) -> Self {
        Self::new(
            format!("the {target} file"),
            "it does not read back as it was meant; please report this bug",
        )
    }

    /// The reason alone, where the caller names what it is about.
    pub(crate) fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}
impl std::error::Error for Refused {}

/// A value of one line: no control characters (a newline would begin a new line, a NUL end a string), and at most
/// `limit` bytes.
pub(crate) fn one_line(what: &str, value: &str, limit: usize) -> Result<(), Refused> {
    if value.len() > limit {
        return Err(Refused::new(what, format!("it is longer than {limit} bytes")));
    }
    if value.chars().any(char::is_control) {
        return Err(Refused::new(what, "it has a newline or another control character"));
    }
    Ok(())
}
