//! `cargo xtask ci`: what must hold before a change goes in, one step after the other, with a summary at the end.
//!
//! A step that fails stops no other: one run says all that is wrong. The last line is the sum of the tests.
//! Not here: how the machine comes by its tools (.ci/run), and what is tested (the crates).

mod steps;
mod stream;
mod tally;

use std::process::ExitCode;
use std::time::{Duration, Instant};
use tally::Tally;

/// What a step found.
enum Found {
    /// It held.
    Good,
    /// Tests ran.
    Tests(Tally),
    /// It could not run here, and why; never in CI, unless CI can do without it.
    Skipped(String),
}

/// One thing that must hold.
struct Step {
    name: &'static str,
    run: fn() -> Result<Found, String>,
}

struct Outcome {
    name: &'static str,
    took: Duration,
    found: Result<Found, String>,
}

/// Runs every step; fails where one did.
pub(crate) fn run() -> ExitCode {
    let outcomes: Vec<_> = steps::ALL.iter().map(perform).collect();
    println!("{}", summary(&outcomes));
    ExitCode::from(u8::from(outcomes.iter().any(Outcome::failed)))
}

fn perform(step: &Step) -> Outcome {
    println!("\n==> {}", step.name);
    let start = Instant::now();
    let found = (step.run)();
    let took = start.elapsed();
    if let Err(why) = &found {
        eprintln!("==> {} FAILED: {why}", step.name);
    }
    Outcome { name: step.name, took, found }
}

impl Outcome {
    fn failed(&self) -> bool {
        match &self.found {
            Ok(Found::Tests(tally)) => tally.failed > 0,
            Ok(_) => false,
            Err(_) => true,
        }
    }

    fn line(&self) -> String {
        let said = match &self.found {
            Ok(Found::Good) => "ok".to_owned(),
            Ok(Found::Tests(tally)) if tally.failed == 0 => format!("ok: {tally}"),
            Ok(Found::Tests(tally)) => format!("FAILED: {tally}"),
            Ok(Found::Skipped(why)) => format!("SKIPPED: {why}"),
            Err(why) => format!("FAILED: {}", why.lines().next().unwrap_or_default()),
        };
        format!("{:<10} {:>7.1} s  {said}", self.name, self.took.as_secs_f64())
    }
}

/// What was skipped, a line for each step, and the sum.
fn summary(outcomes: &[Outcome]) -> String {
    let mut total = Tally::default();
    let mut lines = vec![String::new()];
    for outcome in outcomes {
        match &outcome.found {
            Ok(Found::Tests(tally)) => {
                lines.extend(tally.skips.iter().cloned());
                total.add(tally);
            }
            Ok(_) => {}
            // A red run never says "0 failed".
            Err(_) => total.failed += 1,
        }
    }
    lines.extend(outcomes.iter().map(Outcome::line));
    lines.push(total.to_string());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &'static str, found: Result<Found, String>) -> Outcome {
        Outcome { name, took: Duration::from_millis(1500), found }
    }

    fn tally(passed: usize, failed: usize, ignored: usize, skips: &[&str]) -> Tally {
        Tally { passed, failed, ignored, skips: skips.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn the_last_line_is_the_sum_and_skips_are_named() {
        let outcomes = [
            outcome("fmt", Ok(Found::Good)),
            outcome("tests", Ok(Found::Tests(tally(10, 0, 1, &["SKIPPED: nginx is not here"])))),
            outcome("doc tests", Ok(Found::Tests(tally(2, 0, 0, &[])))),
            outcome("deny", Ok(Found::Skipped("no cargo-deny".to_owned()))),
        ];
        assert_eq!(
            summary(&outcomes),
            "
SKIPPED: nginx is not here
fmt            1.5 s  ok
tests          1.5 s  ok: 10 passed, 0 failed, 2 skipped
doc tests      1.5 s  ok: 2 passed, 0 failed, 0 skipped
deny           1.5 s  SKIPPED: no cargo-deny
12 passed, 0 failed, 2 skipped"
        );
        assert!(!outcomes.iter().any(Outcome::failed));
    }

    #[test]
    fn a_step_that_fails_without_a_test_counts_too() {
        let outcomes = [
            outcome("clippy", Err("cargo clippy: exit status: 101\nmore".to_owned())),
            outcome("tests", Ok(Found::Tests(tally(1, 1, 0, &[])))),
        ];
        let summary = summary(&outcomes);
        assert!(summary.contains("FAILED: cargo clippy: exit status: 101\n"), "{summary}");
        assert!(summary.ends_with("1 passed, 2 failed, 0 skipped"), "{summary}");
        assert!(outcomes.iter().all(Outcome::failed));
    }
}
