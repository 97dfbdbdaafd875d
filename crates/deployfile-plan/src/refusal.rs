//! Why there is no plan.

use deployfile_model::Place;
use std::fmt;

/// One reason why a goal is refused: exit 4, or 3 where the deployfile is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `area::code`.
    pub code: &'static str,
    /// What, with the path, host or release. Lowercase fragment.
    pub message: String,
    /// What to do.
    pub help: String,
    /// The setting that it is about.
    pub place: Option<Place>,
}

impl Refusal {
    /// A refusal that is about no particular line.
    pub(crate) fn new(code: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: help.into(), place: None }
    }
    /// The line that it is about.
    pub(crate) fn at(mut self, place: &Place) -> Self {
        self.place = Some(place.clone());
        self
    }
    /// Whether the deployfile itself is at fault (exit 3), not the host's state (exit 4).
    pub fn is_invalid_file(&self) -> bool {
        self.code.starts_with("config::")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Refusal {}
