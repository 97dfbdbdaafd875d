//! `cargo xtask faults [--long]`: the lanes that kill, refuse, cut and race (crates/deployfile/tests/faults), and what they
//! covered. `--long` is for a night: every boundary, more seeds.

use crate::workspace::{Reach, Workspace, cargo};
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// The test binary, for nextest. Of the whole workspace, so that nothing is built again with other features.
pub(crate) const LANES: [&str; 3] = ["--workspace", "-E", "package(deployfile) and binary(faults)"];
/// Everything else.
pub(crate) const ALL_BUT_LANES: [&str; 3] =
    ["--workspace", "-E", "not (package(deployfile) and binary(faults))"];

/// Does what the arguments say.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let is_long = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--long"] => true,
        _ => return Err("usage: cargo xtask faults [--long]".to_owned()),
    };
    forget()?;
    let mut command = cargo();
    command.args(["nextest", "run", "--no-fail-fast"]).args(LANES);
    if is_long {
        command.args(["--profile", "night"]).env("DEPLOYFILE_LONG", "1");
    }
    let status = command.status().map_err(|error| format!("cannot start cargo nextest: {error}"))?;
    tell()?;
    if status.success() { Ok(()) } else { Err(format!("a lane found something: {status}")) }
}

/// Where each lane leaves a line on what it covered, as `deployfile_testkit::coverage` has it.
fn folder() -> Result<PathBuf, String> {
    let root = Workspace::here(Reach::Members)?.root;
    Ok(env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |target| root.join(target))
        .join("faults"))
}

/// What an earlier run covered does not count for the next one.
pub(crate) fn forget() -> Result<(), String> {
    let folder = folder()?;
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Prints what the lanes covered.
pub(crate) fn tell() -> Result<(), String> {
    let folder = folder()?;
    let cannot = |error| format!("no lane said what it covered: cannot read {}: {error}", folder.display());
    let mut lines = Vec::new();
    for entry in fs::read_dir(&folder).map_err(cannot)? {
        lines.push(fs::read_to_string(entry.map_err(cannot)?.path()).map_err(cannot)?);
    }
    lines.sort();
    print!("\nwhat the lanes of faults covered:\n{}", lines.concat());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        assert!(run(&["--short".to_owned()]).unwrap_err().starts_with("usage"));
        assert!(folder().unwrap().ends_with("faults"));
    }
}
