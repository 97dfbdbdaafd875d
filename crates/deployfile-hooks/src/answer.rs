//! What a hook answered, bounded and made fit to be shown and kept.

use crate::bindings::deployfile::hook::types::{Error, Outcome, Verdict};
use crate::redact::Redactor;
use deployfile_model::Name;
use deployfile_record::Failure;
use deployfile_record::hook::HookAnswer;

/// Notes of one answer.
const NOTES: usize = 100;
/// Bytes of a text in an answer.
const TEXT: usize = 4 << 10;

/// The answer, or the failure that the hook itself reported.
pub(crate) fn answer(
    plugin: &Name,
    ended: Result<Outcome, Error>,
    redactor: &Redactor,
) -> Result<HookAnswer, Failure> {
    let outcome = ended.map_err(|error| failed(plugin, error, redactor))?;
    if outcome.outputs.len() > NOTES {
        let message = format!("hook `{plugin}` made {} notes, the most is {NOTES}", outcome.outputs.len());
        return Err(
            Failure::new("hook::output", message).help("this limit cannot be raised: make fewer notes")
        );
    }
    // Secrets first: half of one is not found any more.
    let shown = |text: &str| shortened(&redactor.line(text));
    Ok(HookAnswer {
        halt: match outcome.verdict {
            Verdict::Proceed => None,
            Verdict::Halt(reason) => Some(shown(&reason)),
        },
        summary: outcome.summary.map(|text| shown(&text)).filter(|text| !text.is_empty()),
        notes: outcome.outputs.iter().map(|(key, value)| (shown(key), shown(value))).collect(),
        ..HookAnswer::default()
    })
}

fn failed(plugin: &Name, error: Error, redactor: &Redactor) -> Failure {
    let message = format!("hook `{plugin}` failed: {}", shortened(&redactor.line(&error.message)));
    let failure = Failure::new("hook::error", message);
    match error.hint {
        Some(hint) => failure.help(shortened(&redactor.line(&hint))),
        None => failure,
    }
}

/// At most [`TEXT`] bytes of it.
fn shortened(text: &str) -> String {
    if text.len() <= TEXT {
        return text.to_owned();
    }
    let end = (0..=TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}
