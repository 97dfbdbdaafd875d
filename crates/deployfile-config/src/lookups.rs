//! Which `{{ look-ups }}` are known where, and the place in the file of the character that is wrong in one.
//! What a look-up is, is `deployfile-render`'s.

use crate::diagnostic::PRINTED;
use crate::sources::{At, Sources};
use crate::tree::Value;
use deployfile_render::expr::{self, LookupError, NAMES, Names};
use std::collections::BTreeSet;

/// Where a text stands, as far as it decides which names are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Where {
    /// `app root`: before there is a release.
    Root,
    /// `source`: before anything was fetched, the same for all hosts.
    Source,
    /// `release-id`: what names a release cannot use it.
    ReleaseId,
    /// `build-id`.
    BuildId,
    /// A value of `vars`: no other variables.
    Variable,
    /// Steps, templates, links, sites, `env`.
    Step,
    /// Inside a service.
    Service,
}

impl Where {
    /// Where the line of setting `name` stands: in a block of `parent`, and in the nearest `around` of `service` and `app`.
    pub(crate) fn of(name: &str, parent: &str, around: &str) -> Self {
        match (name, parent, around) {
            ("root", "app", _) => Where::Root,
            ("release-id", "app", _) => Where::ReleaseId,
            ("build-id", "app", _) => Where::BuildId,
            ("source", ..) => Where::Source,
            (_, "vars", _) => Where::Variable,
            (_, _, "service") => Where::Service,
            _ => Where::Step,
        }
    }

    pub(crate) fn names(self, vars: &BTreeSet<String>) -> Names {
        let without = |left_out: &[&str]| Names::new(NAMES.into_iter().filter(|n| !left_out.contains(n)));
        let names = match self {
            Where::Root => Names::new(["app", "environment", "host"]),
            Where::Source => Names::new(["app", "environment"]),
            Where::ReleaseId => Names::new(["app", "environment", "source", "build_id", "time"]),
            Where::BuildId => Names::new(["app", "environment", "source", "time"]),
            Where::Variable => return without(&["service"]),
            Where::Step => without(&["service"]),
            Where::Service => Names::all(),
        };
        names.with_vars(vars.iter().map(String::as_str))
    }
}

/// The mistakes in the look-ups of a text: as many as could be printed, as each is looked for in the whole text again.
pub(crate) fn check(text: &str, position: Where, vars: &BTreeSet<String>) -> Vec<LookupError> {
    let mut mistakes = expr::check(text, &position.names(vars)).err().unwrap_or_default();
    mistakes.truncate(PRINTED);
    mistakes
}

/// The place of a mistake in the text of `value`: the exact characters where the text was written without escapes or
/// as `"""` lines, else the whole value.
pub(crate) fn locate(sources: &Sources, value: &Value, error: &LookupError) -> At {
    let (Some(text), written) = (value.text(), sources.slice(value.at)) else { return value.at };
    let len = error.len.max(1);
    if let Some(start) = written.find(text) {
        return value.at.part(start + error.offset, len);
    }
    in_lines(text, written, error.offset).map_or(value.at, |start| value.at.part(start, len))
}

/// Where byte `offset` of a dedented text is in its `"""` form.
fn in_lines(text: &str, written: &str, offset: usize) -> Option<usize> {
    let before = text.get(..offset)?;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text[line_start..].lines().next()?;
    let mut start = 0;
    let number = before.matches('\n').count() + 1;
    for (n, raw) in written.split('\n').enumerate() {
        if n == number {
            return raw.find(line).map(|indent| start + indent + (offset - line_start));
        }
        start += raw.len() + 1;
    }
    None
}
