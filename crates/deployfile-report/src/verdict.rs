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

/// Failures that going on cannot mend: the release is no longer what its plan made, or its plan's source is gone.
const ANEW: [&str; 2] = ["seal::restarted", "source::changed"];

/// The next command, where something is left to do. `failure` is the code of what decided the end.
pub fn next(result: RunResult, failure: Option<&str>) -> Option<&'static str> {
    match result {
        RunResult::Done | RunResult::Reverted | RunResult::Refused => None,
        RunResult::Failed if failure.is_some_and(|code| ANEW.contains(&code)) => {
            Some("deployfile apply (anew: resume could not go on from here)")
        }
        RunResult::Failed => {
            Some("mend it, then: deployfile resume (goes on where it stopped) or deployfile apply (anew)")
        }
        RunResult::Stuck => {
            Some("deployfile status says what is left; deployfile resume tries the way back again")
        }
        RunResult::Interrupted => Some("deployfile resume"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resume_is_offered_only_where_it_can_work() {
        for (code, offers) in [("step::failed", true), ("seal::restarted", false), ("source::changed", false)]
        {
            let line = next(RunResult::Failed, Some(code)).unwrap();
            assert_eq!(line.contains("deployfile resume"), offers, "{code}: {line}");
            assert!(line.contains("deployfile apply"), "{code}: {line}");
        }
        assert!(next(RunResult::Failed, None).unwrap().contains("deployfile resume"));
    }
}
