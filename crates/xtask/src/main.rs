//! `cargo xtask VERB`: the project's own tools. Each verb is a room; this page only finds the door.
//!
//! Not here: anything that the product needs at run time, and the tests themselves.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool of ours talks to the terminal")]

mod ci;
mod faults;
mod fuzz;
mod layers;
mod licences;
mod nix;
mod plugins;
mod workspace;

use std::env;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask VERB

  ci         everything that CI runs, with a summary; the README's test command
  faults     kills, refusals, power cuts and races of the real program [--long: for a night]
  fuzz       the fuzz targets, each for some time [--seconds N]
  layers     who may depend on whom, and what the pure crates must not touch
  licences   each dependency's licence against deny.toml
  plugins    builds the components of plugins/ [--check: compares, --bindings: those of the SDK]
  nix        evaluates flake.nix with Debian's Nix and a stub nixpkgs";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    run(&args).unwrap_or_else(|why| {
        eprintln!("xtask: {why}");
        ExitCode::FAILURE
    })
}

fn run(args: &[String]) -> Result<ExitCode, String> {
    let (verb, rest) = args.split_first().ok_or(USAGE)?;
    match verb.as_str() {
        "ci" => return bare(rest).map(|()| ci::run()),
        "faults" => faults::run(rest)?,
        "fuzz" => fuzz::run(rest)?,
        "layers" => bare(rest).and_then(|()| layers::run())?,
        "licences" => bare(rest).and_then(|()| licences::run())?,
        "nix" => drop(bare(rest).and_then(|()| nix::run())?),
        "plugins" => plugins::run(rest)?,
        "help" | "--help" | "-h" => println!("{USAGE}"),
        unknown => return Err(format!("no verb `{unknown}`\n{USAGE}")),
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses arguments where a verb takes none.
fn bare(rest: &[String]) -> Result<(), String> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => Err(format!("`{extra}` was not expected: this verb takes no arguments")),
    }
}

/// Whether this is CI, where what would be skipped elsewhere is a failure.
fn in_ci() -> bool {
    env::var("CI").as_deref() == Ok("true")
}
