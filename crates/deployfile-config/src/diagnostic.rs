//! What is wrong with a deployfile, as people and programs read it.
//!
//! Mistakes are collected, sorted by place and said once. How one looks on a terminal is in [`render`]; the JSON
//! forms are cli.md's.

mod render;

use crate::sources::{At, Sources};
use deployfile_model::Place;
use serde_json::{Value, json};

/// At most this many errors and as many warnings are printed; the rest is counted.
pub const PRINTED: usize = 20;

/// At most this many of one pass over one file are kept: a hostile file could make one of every byte.
const KEPT: usize = 200;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The deployfile cannot be used.
    Error,
    /// It can, but something in it does not do what it seems to.
    Warning,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// `config::…`, stable; `explain` knows it.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, a lowercase fragment.
    pub message: String,
    /// Where it begins.
    pub place: Place,
    /// Characters of the source line that are meant; at least 1.
    pub span_len: u32,
    /// What stands beside the caret; may be empty.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
    /// Other places that take part.
    pub related: Vec<Related>,
    /// The line of the source, for display.
    pub source_line: String,
}

/// Another place that takes part in a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Where.
    pub place: Place,
    /// What is there.
    pub label: String,
    /// The line of the source, for display.
    pub source_line: String,
    /// Characters of the source line that are meant; at least 1.
    pub span_len: u32,
}

impl Diagnostic {
    /// A mistake that has no text to point at (a file that cannot be read).
    pub fn error_in_file(code: &'static str, file: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            place: Place::new(file, 1, 1),
            span_len: 1,
            label: String::new(),
            help: None,
            related: Vec::new(),
            source_line: String::new(),
        }
    }

    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = clip(label.into());
        self
    }

    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(clip(help.into()));
        self
    }

    pub(crate) fn maybe_help(&mut self, help: Option<String>) -> &mut Self {
        self.help = help.or(self.help.take());
        self
    }

    /// For people: several lines, the last one ends with a newline. No control character of the source gets through.
    pub fn render(&self, colour: bool) -> String {
        render::diagnostic(self, colour)
    }

    /// cli.md's error object (`"event":"warning"` for a warning, without `exit`).
    pub fn to_json(&self) -> Value {
        let at = |place: &Place| json!({"file": place.file, "line": place.line, "column": place.column});
        let mut object = json!({
            "format": 1,
            "event": if self.severity == Severity::Error { "error" } else { "warning" },
            "code": self.code,
            "at": at(&self.place),
            "message": self.message,
            "label": self.label,
            "help": self.help,
            "related": self.related.iter().map(|r| json!({"at": at(&r.place), "label": r.label})).collect::<Vec<_>>(),
        });
        if self.severity == Severity::Error {
            object["exit"] = json!(3);
            object["stage"] = Value::Null;
            object["host"] = Value::Null;
            object["causes"] = json!([]);
            object["output"] = json!([]);
            object["changed"] = json!("none");
            object["retry"] = json!("no");
        }
        object
    }
}

/// Mistakes, sorted by place, each said once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Sorts by place and drops what was said already.
    fn of(mut list: Vec<Diagnostic>) -> Self {
        list.sort_by(|a, b| {
            (&a.place, a.severity, a.code, &a.message).cmp(&(&b.place, b.severity, b.code, &b.message))
        });
        list.dedup_by(|b, a| a.place == b.place && a.code == b.code && a.message == b.message);
        Self { list }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// Nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The errors.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter().filter(|d| d.severity == Severity::Error)
    }

    /// The warnings.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter().filter(|d| d.severity == Severity::Warning)
    }

    /// At least one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::of(self.list.into_iter().chain(other.list).collect())
    }

    /// Those that would be printed: the first [`PRINTED`] errors and the first [`PRINTED`] warnings.
    fn printed(&self) -> (Vec<&Diagnostic>, Vec<&Diagnostic>, usize) {
        let errors: Vec<_> = self.errors().take(PRINTED).collect();
        let warnings: Vec<_> = self.warnings().take(PRINTED).collect();
        let omitted = self.list.len() - errors.len() - warnings.len();
        (errors, warnings, omitted)
    }

    /// For people: at most [`PRINTED`] errors and warnings, the rest counted.
    pub fn render(&self, colour: bool) -> String {
        let (errors, warnings, omitted) = self.printed();
        let mut blocks: Vec<_> = errors.iter().chain(&warnings).map(|d| d.render(colour)).collect();
        if omitted > 0 {
            blocks.push(format!("{omitted} more omitted\n"));
        }
        blocks.join("\n")
    }

    /// cli.md's document of `check`.
    pub fn to_json(&self) -> Value {
        let (errors, warnings, omitted) = self.printed();
        let all = |list: &[&Diagnostic]| list.iter().map(|d| d.to_json()).collect::<Vec<_>>();
        json!({
            "format": 1,
            "ok": !self.has_errors(),
            "errors": all(&errors),
            "warnings": all(&warnings),
            "omitted": omitted,
        })
    }
}

impl From<Vec<Diagnostic>> for Diagnostics {
    fn from(list: Vec<Diagnostic>) -> Self {
        Self::of(list)
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

/// A message that repeats the text it is about must not be as long as a file.
fn clip(text: String) -> String {
    const LONGEST: usize = 1000;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Collects mistakes about texts that were read.
pub(crate) struct Findings<'s> {
    pub(crate) sources: &'s Sources,
    list: Vec<Diagnostic>,
    /// How many there were, also those that were not kept.
    said: usize,
    /// Takes what comes after [`KEPT`] were kept.
    spare: Diagnostic,
}

impl<'s> Findings<'s> {
    pub(crate) fn new(sources: &'s Sources) -> Self {
        let spare = Diagnostic::error_in_file("", "", "");
        Self { sources, list: Vec::new(), said: 0, spare }
    }

    pub(crate) fn error(
        &mut self,
        code: &'static str,
        at: At,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(code, Severity::Error, at, message.into())
    }

    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        at: At,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(code, Severity::Warning, at, message.into())
    }

    fn add(&mut self, code: &'static str, severity: Severity, at: At, message: String) -> &mut Diagnostic {
        self.said += 1;
        if self.list.len() >= KEPT {
            return &mut self.spare;
        }
        let diagnostic = Diagnostic {
            code,
            severity,
            message: clip(message),
            place: self.sources.place(at),
            span_len: self.sources.width(at),
            label: String::new(),
            help: None,
            related: Vec::new(),
            source_line: self.sources.line(at).to_owned(),
        };
        self.list.push(diagnostic);
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    /// A place that takes part, for [`Diagnostic::related`].
    pub(crate) fn related(&self, at: At, label: impl Into<String>) -> Related {
        Related {
            place: self.sources.place(at),
            label: label.into(),
            source_line: self.sources.line(at).to_owned(),
            span_len: self.sources.width(at),
        }
    }

    /// The lines about which something was said.
    pub(crate) fn lines(&self) -> std::collections::BTreeSet<u32> {
        self.list.iter().map(|d| d.place.line).collect()
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// How many there were so far.
    pub(crate) fn said(&self) -> usize {
        self.said
    }

    /// No more are kept.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= KEPT
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    pub(crate) fn into_list(self) -> Vec<Diagnostic> {
        self.list
    }
}
