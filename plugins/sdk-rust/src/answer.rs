//! What a hook answers.

use crate::bindings::deployfile::hook::types::{Outcome, Verdict};

/// Proceed or halt, with a summary and notes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Answer {
    halt: Option<String>,
    summary: Option<String>,
    notes: Vec<(String, String)>,
}

impl Answer {
    /// The run goes on.
    pub fn proceed() -> Self {
        Self { halt: None, summary: None, notes: Vec::new() }
    }

    /// Stops the run here; the reason is shown to the operator.
    pub fn halt(reason: impl Into<String>) -> Self {
        Self { halt: Some(reason.into()), ..Self::proceed() }
    }

    /// One line for the operator.
    pub fn summary(mut self, text: impl Into<String>) -> Self {
        self.summary = Some(text.into());
        self
    }

    /// Keeps `key` = `value` in the journal, with the release. Later hooks read it as `hook.<plugin>.<key>`.
    pub fn note(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.notes.push((key.into(), value.to_string()));
        self
    }
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Outcome {
            verdict: answer.halt.map_or(Verdict::Proceed, Verdict::Halt),
            summary: answer.summary,
            outputs: answer.notes,
            undo: None,
        }
    }
}
