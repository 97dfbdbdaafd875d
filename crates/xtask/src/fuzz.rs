//! `cargo xtask fuzz [--seconds N]`: the fuzz targets of fuzz/, each for a bounded time, on the compiler that everything
//! else is built with.
//!
//! `cargo fuzz` needs a nightly compiler for its sanitizers. What a fuzzer needs is coverage, and LLVM's pass for it can
//! be had from a stable one; Rust that is safe needs no sanitizer to be caught. The targets are those of `cargo fuzz`,
//! their corpus too, so that whoever has it runs `cargo fuzz run load`. What is found anew stays out of the tree: an
//! input that fails is named, and is to be kept in `fuzz/corpus` with its repair.

use crate::workspace::{Reach, Workspace, cargo};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The targets, and where inputs are that every run begins with, beneath the root.
const TARGETS: [(&str, &[&str]); 2] = [
    ("load", &["fuzz/corpus/load", "crates/deployfile-config/tests/mistakes"]),
    ("fmt", &["fuzz/corpus/fmt", "fuzz/corpus/load", "crates/deployfile-config/tests/mistakes"]),
];
/// The words that inputs are put together from.
const DICTIONARY: &str = "fuzz/deployfile.dict";
/// Of one target, where nothing else is said.
const SECONDS: u32 = 20;
/// Limits of one input: bytes, seconds, MiB.
const LIMITS: [&str; 3] = ["-max_len=16384", "-timeout=5", "-rss_limit_mb=256"];
/// LLVM's coverage, as libFuzzer reads it: a counter at each edge, and what is compared with what.
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Several units of one crate would each begin its counters.
    "-Ccodegen-units=1",
];

/// Does what the arguments say.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let seconds = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => SECONDS,
        ["--seconds", n] => n.parse().map_err(|_| format!("`{n}` is no number of seconds"))?,
        _ => return Err("usage: cargo xtask fuzz [--seconds N]".to_owned()),
    };
    let root = Workspace::here(Reach::Members)?.root;
    let room = room(&root);
    let binaries = build(&root, &room)?;
    TARGETS.iter().try_for_each(|target| fuzz(&root, &room, &binaries, target, seconds))
}

/// What is missing here, if anything is: libFuzzer is C++.
pub(crate) fn missing() -> Option<&'static str> {
    let mut compiler = Command::new("c++");
    let is_here = compiler.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    (!is_here.is_ok_and(|status| status.success())).then_some("a C++ compiler is not here (Debian: g++)")
}

/// Where everything goes that is not kept.
fn room(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |target| root.join(target))
        .join("fuzz")
}

/// Builds the targets, and gives the folder that they are in.
fn build(root: &Path, room: &Path) -> Result<PathBuf, String> {
    let host = host()?;
    let mut command = cargo();
    command
        .args(["build", "--quiet", "--locked", "--release", "--target", &host, "--manifest-path"])
        .arg(root.join("fuzz/Cargo.toml"))
        .arg("--target-dir")
        .arg(room)
        // With a target of their own, build scripts and macros are built without these.
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    let status = command.status().map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() {
        Ok(room.join(host).join("release"))
    } else {
        Err(format!("the fuzz targets: {status}"))
    }
}

fn host() -> Result<String, String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output =
        Command::new(rustc).arg("-vV").output().map_err(|error| format!("cannot start rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc names no host".to_owned())
}

fn fuzz(
    root: &Path,
    room: &Path,
    binaries: &Path,
    (name, corpus): &(&str, &[&str]),
    seconds: u32,
) -> Result<(), String> {
    let (found, failed) = (room.join("found").join(name), room.join("failed"));
    // What an earlier run found is found again, and would be read by this one first.
    let _ = fs::remove_dir_all(&found);
    for folder in [&found, &failed] {
        fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    let log = room.join(format!("{name}.log"));
    let file = fs::File::create(&log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let status = Command::new(binaries.join(name))
        .arg(&found)
        .args(corpus.iter().map(|folder| root.join(folder)))
        .args(LIMITS)
        .arg(format!("-dict={}", root.join(DICTIONARY).display()))
        .arg(format!("-artifact_prefix={}/{name}-", failed.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg("-print_final_stats=1")
        .stdout(Stdio::null())
        .stderr(file)
        .status()
        .map_err(|error| format!("cannot start the fuzz target {name}: {error}"))?;
    let log = fs::read(&log).map_err(|error| format!("cannot read {}: {error}", log.display()))?;
    let log = String::from_utf8_lossy(&log);
    if status.success() {
        println!("{name}: {}", summary(&log));
        return Ok(());
    }
    let last: Vec<&str> = log.lines().rev().take(60).collect();
    last.iter().rev().for_each(|line| println!("{line}"));
    let input = log.lines().find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path));
    Err(format!(
        "{name}: an input fails: {}; keep it in fuzz/corpus/{name} when it is mended",
        input.unwrap_or("not written")
    ))
}

/// How many inputs there were, and how much of the code they reached, as libFuzzer's log says.
fn summary(log: &str) -> String {
    let runs = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let last = log.lines().rfind(|line| line.starts_with('#') && line.contains(" cov: "));
    let reached = last.and_then(|line| line.split_once(" cov: ")?.1.split_whitespace().next());
    format!("{} inputs, {} edges reached", runs.unwrap_or("no").trim(), reached.unwrap_or("no"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_summed_up() {
        let log = "INFO: seed\n#2\tINITED cov: 10 ft: 11\n#9\tDONE   cov: 5134 ft: 2 corp: 3\n\
                   stat::number_of_executed_units: 36928\nstat::new_units_added: 3\n";
        assert_eq!(summary(log), "36928 inputs, 5134 edges reached");
        assert_eq!(summary(""), "no inputs, no edges reached");
    }

    #[test]
    fn what_the_targets_begin_with_is_there_and_small() {
        let root = Workspace::here(Reach::Members).unwrap().root;
        for (name, corpus) in TARGETS {
            assert!(root.join(format!("fuzz/fuzz_targets/{name}.rs")).is_file(), "{name}");
            let files = corpus.iter().flat_map(|folder| fs::read_dir(root.join(folder)).unwrap().flatten());
            let bytes: Vec<u64> = files.map(|file| file.metadata().unwrap().len()).collect();
            assert!(
                bytes.len() >= 20 && bytes.iter().sum::<u64>() < 400 << 10,
                "{name}: {} files",
                bytes.len()
            );
            assert!(bytes.iter().all(|bytes| *bytes <= 16384), "{name}: one is longer than inputs may be");
        }
        assert!(root.join(DICTIONARY).is_file());
    }

    #[test]
    fn arguments() {
        assert!(run(&["--seconds".to_owned(), "x".to_owned()]).is_err());
        assert!(run(&["load".to_owned()]).unwrap_err().starts_with("usage"));
        assert!(host().unwrap().contains('-'));
    }
}
