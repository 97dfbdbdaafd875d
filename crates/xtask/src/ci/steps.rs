//! The steps of CI, cheap ones first.

use super::tally::{self, Tally};
use super::{Found, Step, stream};
use crate::nix::{self, Evaluation};
use crate::workspace::{Reach, Workspace, cargo};
use crate::{faults, fuzz, in_ci, layers, licences, plugins};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// All of them, in order.
pub(super) const ALL: &[Step] = &[
    Step { name: "fmt", run: fmt },
    Step { name: "layers", run: || layers::run().map(|()| Found::Good) },
    Step { name: "licences", run: || licences::run().map(|()| Found::Good) },
    Step { name: "deny", run: deny },
    Step { name: "nix", run: evaluate_nix },
    Step {
        name: "clippy",
        run: || run_cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    },
    Step { name: "build", run: || run_cargo(&["build", "--package", "deployfile"]) },
    Step { name: "template", run: || run_cargo(TEMPLATE) },
    Step { name: "plugins", run: compare_plugins },
    Step { name: "tests", run: tests },
    Step { name: "faults", run: fault_lanes },
    Step { name: "doc tests", run: doc_tests },
    Step { name: "fuzz", run: fuzz_targets },
];

/// Our sources, and those of the fuzz targets, which are a workspace of their own.
fn fmt() -> Result<Found, String> {
    run_cargo(&["fmt", "--all", "--check"])?;
    run_cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])
}

/// The deployfile that `nix flake init` hands out is a good one.
const TEMPLATE: &[&str] =
    &["run", "--quiet", "--package", "deployfile", "--", "check", "--file", "nix/template/deployfile.kdl"];

/// What the committed components were built with: Debian's library source for its compiler for the web.
const WEB_LIBRARY: &str = "/usr/lib/rustlib/src/rust/library/std";

fn run_cargo(args: &[&str]) -> Result<Found, String> {
    let mut command = cargo();
    command.args(args).current_dir(root()?);
    let status = command.status().map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() { Ok(Found::Good) } else { Err(format!("cargo {}: {status}", args.join(" "))) }
}

fn root() -> Result<std::path::PathBuf, String> {
    Workspace::here(Reach::Members).map(|workspace| workspace.root)
}

/// A second look at the licences, where cargo-deny happens to be; `licences` is the one that counts.
fn deny() -> Result<Found, String> {
    if !has_subcommand("deny") {
        return Ok(Found::Skipped("cargo-deny is not installed; `licences` held the list".to_owned()));
    }
    run_cargo(&["deny", "check", "licenses"])
}

fn evaluate_nix() -> Result<Found, String> {
    Ok(match nix::run()? {
        Evaluation::Done => Found::Good,
        Evaluation::Skipped(why) => Found::Skipped(why),
    })
}

fn compare_plugins() -> Result<Found, String> {
    if !in_ci() && !Path::new(WEB_LIBRARY).exists() {
        let why =
            "the compiler that the components were built with is not here (Debian: rustc-web rust-web-src)";
        println!("SKIPPED: plugins: {why}");
        return Ok(Found::Skipped(why.to_owned()));
    }
    plugins::run(&["--check".to_owned()]).map(|()| Found::Good)
}

fn fuzz_targets() -> Result<Found, String> {
    if let Some(why) = fuzz::missing().filter(|_| !in_ci()) {
        println!("SKIPPED: fuzz: {why}");
        return Ok(Found::Skipped(why.to_owned()));
    }
    fuzz::run(&[]).map(|()| Found::Good)
}

fn tests() -> Result<Found, String> {
    if has_subcommand("nextest") {
        return nextest(&faults::ALL_BUT_LANES);
    }
    println!("cargo-nextest is not installed: cargo test runs the tests");
    cargo_test(&["test", "--workspace", "--all-targets", "--no-fail-fast", "--", "--show-output"])
}

/// The lanes, and what they covered.
fn fault_lanes() -> Result<Found, String> {
    if !has_subcommand("nextest") {
        return Ok(Found::Skipped("cargo-nextest is not installed: they ran among the tests".to_owned()));
    }
    faults::forget()?;
    let found = nextest(&faults::LANES)?;
    faults::tell()?;
    Ok(found)
}

fn doc_tests() -> Result<Found, String> {
    cargo_test(&["test", "--doc", "--workspace", "--no-fail-fast"])
}

/// Runs nextest, which writes down what each test said (.config/nextest.toml).
fn nextest(which: &[&str]) -> Result<Found, String> {
    let root = root()?;
    let written = root.join("target/nextest/ci/junit.xml");
    // What an earlier run wrote must not count for this one.
    match fs::remove_file(&written) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("cannot remove {}: {error}", written.display()));
        }
        _ => {}
    }
    let mut command = cargo();
    command.args(["nextest", "run", "--profile", "ci"]).args(which).current_dir(&root);
    let ended = stream::run(command)?;
    let report = match fs::read_to_string(&written) {
        Ok(report) => report,
        Err(_) if !ended.success => return Err("cargo nextest run: it ran no test".to_owned()),
        Err(error) => return Err(format!("cannot read {}: {error}", written.display())),
    };
    judge(tally::of_junit(&report)?.with_ignored(&ended.lines), ended.success)
}

fn cargo_test(args: &[&str]) -> Result<Found, String> {
    let mut command = cargo();
    command.args(args).current_dir(root()?);
    let ended = stream::run(command)?;
    judge(tally::of_cargo_test(&ended.lines), ended.success)
}

/// A runner and its tests must say the same, and in CI every test must have run.
fn judge(tally: Tally, success: bool) -> Result<Found, String> {
    if !success && tally.failed == 0 {
        return Err(format!("the runner failed, and no test did ({tally})"));
    }
    if success && tally.failed > 0 {
        return Err(format!("the runner succeeded, and tests failed ({tally})"));
    }
    if in_ci() && !tally.skips.is_empty() {
        return Err(format!("CI must not skip ({tally}): {}", tally.skips.join("; ")));
    }
    Ok(Found::Tests(tally))
}

fn has_subcommand(name: impl AsRef<OsStr>) -> bool {
    let mut command: Command = cargo();
    command.arg(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(failed: usize, skips: &[&str]) -> Tally {
        Tally { passed: 3, failed, ignored: 0, skips: skips.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn runner_and_tests_must_agree() {
        assert!(judge(tally(0, &[]), true).is_ok());
        assert!(judge(tally(1, &[]), false).is_ok());
        assert!(judge(tally(0, &[]), false).is_err());
        assert!(judge(tally(1, &[]), true).is_err());
    }

    #[test]
    fn a_skip_is_a_failure_in_ci_only() {
        assert_eq!(judge(tally(0, &["SKIPPED: x"]), true).is_err(), in_ci());
    }

    #[test]
    fn a_subcommand_that_is_not_there_is_noticed() {
        assert!(has_subcommand("clippy"));
        assert!(!has_subcommand("no-such-subcommand-as-this"));
    }
}
