//! `cargo xtask nix`: evaluates flake.nix and its template, without a network and without building anything.
//!
//! nixpkgs is the stub in nix/stub-nixpkgs; the store is a temporary one. Works with Debian's Nix 2.8, as root
//! without a daemon. Not here: a build, which needs the real nixpkgs.

use crate::{in_ci, workspace};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What the flake must give for each system.
const OUTPUTS: &[(&str, &[&str])] =
    &[("packages", &["default"]), ("checks", &["clippy", "fmt", "tests"]), ("devShells", &["default"])];
const SYSTEMS: &[&str] = &["aarch64-linux", "x86_64-linux"];

/// Settings of each call: no substituter is asked (each would be retried for seconds), no sandbox, no build users.
const CONFIG: &str = "substituters =
sandbox = false
build-users-group =
flake-registry =
experimental-features = nix-command flakes";

/// What came of it.
pub(crate) enum Evaluation {
    Done,
    /// And why.
    Skipped(String),
}

/// Evaluates the flake of this workspace; skipped where there is no Nix, unless this is CI.
pub(crate) fn run() -> Result<Evaluation, String> {
    let Some(version) = version() else {
        let why = "nix is not on this machine (Debian: apt-get install nix-bin)";
        if in_ci() {
            return Err(why.to_owned());
        }
        println!("SKIPPED: nix: {why}");
        return Ok(Evaluation::Skipped(why.to_owned()));
    };
    let root = workspace::Workspace::here(workspace::Reach::Members)?.root;
    for line in Scratch::of(&root)?.evaluate()? {
        println!("{line}");
    }
    println!("nix: flake.nix and its template evaluate with {version}");
    Ok(Evaluation::Done)
}

fn version() -> Option<String> {
    let output =
        Command::new("nix").arg("--version").output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A copy of the tracked files and a store of its own: Nix copies what it evaluates, and `target/` is large.
struct Scratch {
    folder: TempDir,
}

impl Scratch {
    fn of(root: &Path) -> Result<Self, String> {
        let folder =
            tempfile::tempdir().map_err(|error| format!("cannot make a temporary folder: {error}"))?;
        let scratch = Self { folder };
        for file in tracked(root)? {
            copy(&root.join(&file), &scratch.source().join(&file))?;
        }
        Ok(scratch)
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn flake(&self, beneath: &str) -> String {
        format!("path:{}", self.source().join(beneath).display())
    }

    /// Evaluates all; gives a line for each output.
    fn evaluate(&self) -> Result<Vec<String>, String> {
        let stub = self.flake("nix/stub-nixpkgs");
        let ours = ["--override-input", "nixpkgs", &stub];
        self.nix(&["flake", "check", "--no-build", &self.flake("")], &ours)?;
        let mut lines = Vec::new();
        for (output, names) in OUTPUTS {
            lines.extend(self.derivations(&self.flake(""), &ours, output, names)?);
        }
        self.template()?;
        let template = self.flake("nix/template");
        let theirs = [
            "--override-input",
            "deployfile",
            &self.flake(""),
            "--override-input",
            "deployfile/nixpkgs",
            &stub,
        ];
        self.nix(&["flake", "check", "--no-build", &template], &theirs)?;
        let shells = self.derivations(&template, &theirs, "devShells", &["default"])?;
        lines.extend(shells.into_iter().map(|line| format!("template: {line}")));
        Ok(lines)
    }

    /// Each system's derivations of an output; an error where their names are not `expected`.
    fn derivations(
        &self,
        flake: &str,
        inputs: &[&str],
        output: &str,
        expected: &[&str],
    ) -> Result<Vec<String>, String> {
        let target = format!("{flake}#{output}");
        let paths = "builtins.mapAttrs (_: builtins.mapAttrs (_: d: d.drvPath))";
        let json = self.nix(&["eval", "--json", &target, "--apply", paths], inputs)?;
        let found: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(&json)
            .map_err(|error| format!("cannot read the flake's {output}: {error}"))?;
        if !found.keys().eq(SYSTEMS) {
            return Err(format!("{output}: expected {SYSTEMS:?}, found {:?}", found.keys()));
        }
        if let Some((system, names)) = found.iter().find(|(_, names)| !names.keys().eq(expected)) {
            return Err(format!("{output}.{system}: expected {expected:?}, found {:?}", names.keys()));
        }
        Ok(found.keys().map(|system| format!("{output}.{system}: {}", expected.join(", "))).collect())
    }

    /// The template's folder holds what it promises.
    fn template(&self) -> Result<(), String> {
        let target = format!("{}#templates.default.path", self.flake(""));
        let stub = self.flake("nix/stub-nixpkgs");
        let path = self.nix(&["eval", "--raw", &target], &["--override-input", "nixpkgs", &stub])?;
        match ["flake.nix", "deployfile.kdl"].iter().find(|file| !Path::new(&path).join(file).is_file()) {
            None => Ok(()),
            Some(file) => Err(format!("templates.default: `{file}` is missing")),
        }
    }

    fn nix(&self, command: &[&str], inputs: &[&str]) -> Result<String, String> {
        let place = |name: &str| self.folder.path().join(name);
        let output = Command::new("nix")
            .args(command)
            .arg("--no-write-lock-file")
            .args(inputs)
            .env("NIX_CONFIG", CONFIG)
            .env("NIX_STORE_DIR", place("store"))
            .env("NIX_STATE_DIR", place("state"))
            .env("NIX_LOG_DIR", place("log"))
            .env("HOME", place("home"))
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .output()
            .map_err(|error| format!("cannot start nix: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("nix {}: {}\n{}", command.join(" "), output.status, said.trim_end()))
    }
}

impl Drop for Scratch {
    /// The store's folders are read-only; nobody but root could delete them so.
    fn drop(&mut self) {
        make_writable(self.folder.path());
    }
}

fn make_writable(folder: &Path) {
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

/// The files that a clone would have, and new ones that are not ignored.
fn tracked(root: &Path) -> Result<Vec<PathBuf>, String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot start git: {error}"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim_end()));
    }
    let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let paths = names.map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name)));
    // A file that is tracked and was just deleted is still listed.
    Ok(paths.filter(|path| root.join(path).is_file()).collect())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder)
        .and_then(|()| fs::copy(from, to))
        .map(drop)
        .map_err(|error| format!("cannot copy {}: {error}", from.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scratch of the real flake, without the sources, in which `break_it` had its way; `None` without Nix.
    fn scratch(break_it: impl FnOnce(&Path)) -> Option<Scratch> {
        if version().is_none() {
            assert!(!in_ci(), "nix is not on this machine, and CI must not skip");
            eprintln!("SKIPPED: nix is not on this machine");
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let scratch = Scratch { folder: tempfile::tempdir().unwrap() };
        for file in tracked(&root).unwrap() {
            let wanted = ["flake.nix", "Cargo.toml", "Cargo.lock"].iter().any(|name| file == Path::new(name));
            if wanted || file.starts_with("nix") {
                copy(&root.join(&file), &scratch.source().join(&file)).unwrap();
            }
        }
        break_it(&scratch.source());
        Some(scratch)
    }

    fn replace(file: &Path, from: &str, to: &str) {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(from), "{}: `{from}` is not there to be broken", file.display());
        fs::write(file, text.replace(from, to)).unwrap();
    }

    fn refusal(break_it: impl FnOnce(&Path)) -> Option<String> {
        scratch(break_it).map(|scratch| scratch.evaluate().unwrap_err())
    }

    #[test]
    fn the_flake_evaluates_to_derivations_for_both_systems() {
        let Some(scratch) = scratch(|_| ()) else { return };
        let lines = scratch.evaluate().unwrap();
        assert_eq!(
            lines,
            [
                "packages.aarch64-linux: default",
                "packages.x86_64-linux: default",
                "checks.aarch64-linux: clippy, fmt, tests",
                "checks.x86_64-linux: clippy, fmt, tests",
                "devShells.aarch64-linux: default",
                "devShells.x86_64-linux: default",
                "template: devShells.aarch64-linux: default",
                "template: devShells.x86_64-linux: default",
            ]
        );
    }

    #[test]
    fn a_check_that_went_missing_is_caught() {
        let Some(why) = refusal(|root| replace(&root.join("flake.nix"), "fmt clippy tests", "fmt tests"))
        else {
            return;
        };
        assert!(why.starts_with("checks.aarch64-linux: expected"), "{why}");
    }

    #[test]
    fn a_slip_in_an_argument_of_the_build_is_caught() {
        let Some(why) =
            refusal(|root| replace(&root.join("nix/crate.nix"), "cargoBuildFlags", "cargoBuildFlag"))
        else {
            return;
        };
        assert!(why.contains("cargoBuildFlag"), "{why}");
    }

    #[test]
    fn a_lock_file_with_a_source_that_nix_cannot_fetch_by_itself_is_caught() {
        let git = "\n[[package]]\nname = \"odd\"\nversion = \"1.0.0\"\nsource = \"git+https://git.example.com/odd\"\n";
        let Some(why) = refusal(|root| {
            let lock = root.join("Cargo.lock");
            let text = fs::read_to_string(&lock).unwrap();
            fs::write(&lock, text + git).unwrap();
        }) else {
            return;
        };
        assert!(why.contains("needs an outputHash: odd"), "{why}");
    }

    #[test]
    fn a_template_without_its_deployfile_is_caught() {
        let Some(why) = refusal(|root| fs::remove_file(root.join("nix/template/deployfile.kdl")).unwrap())
        else {
            return;
        };
        assert_eq!(why, "templates.default: `deployfile.kdl` is missing");
    }
}
