//! The last lines of a run: what is served now, and what to type next if something is left to do.

use crate::plan::short;
use crate::took;
use deployfile_model::Name;
use deployfile_record::RunResult;
use deployfile_record::event::{Changed, Served};

/// One line that says what is served on the host.
pub fn served(host: &Name, served: &Served) -> String {
    let Some(release) = &served.release else { return format!("nothing is served on {host}") };
    let build = served.build_id.as_ref().map(|id| format!(" (build {})", short(id))).unwrap_or_default();
    let verified = if served.verified { ", confirmed by the running service" } else { "" };
    format!("{host} serves release {release}{build}{verified}")
}

/// How the run ended, in words that match its exit code.
pub fn ended(result: RunResult, changed: Changed, took_ms: u64) -> String {
    let words = match result {
        RunResult::Done => "done",
        RunResult::Failed => "failed before the switch: what is served did not change",
        RunResult::Refused => "refused: what is served did not change",
        RunResult::Reverted => "failed after the switch and rolled back",
        RunResult::Stuck => "stuck: the way back failed too, a human is needed",
        RunResult::Interrupted => "interrupted",
    };
    let nothing =
        if changed == Changed::None && result == RunResult::Failed { ", nothing was touched" } else { "" };
    format!("{words}{nothing} ({})", took(took_ms))
}

/// The next command, where something is left to do.
pub fn next(result: RunResult) -> Option<&'static str> {
    match result {
        RunResult::Done | RunResult::Reverted | RunResult::Refused => None,
        RunResult::Failed => {
            Some("mend it, then: deployfile resume (goes on where it stopped) or deployfile apply (anew)")
        }
        RunResult::Stuck => {
            Some("deployfile status says what is left; deployfile resume tries the way back again")
        }
        RunResult::Interrupted => Some("deployfile resume"),
    }
}
