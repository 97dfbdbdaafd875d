//! What `cargo metadata` says of a workspace, as far as our rules ask.

use serde::Deserialize;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A workspace: its folder and its packages.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One package: ours, or (with [`Reach::All`]) anybody's.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression; absent where the package only names a file.
    pub(crate) license: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a manifest's dependency tables, by the package's real name.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for normal ones, else `build` or `dev`.
    pub(crate) kind: Option<String>,
}

impl Dependency {
    /// Whether only tests, examples and benchmarks see it.
    pub(crate) fn for_tests_only(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

/// Which packages to ask for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The workspace's own. Needs no network and no lock file.
    Members,
    /// These and all that they depend on, on every platform.
    All,
}

impl Workspace {
    /// The workspace that the working directory is in.
    pub(crate) fn here(reach: Reach) -> Result<Self, String> {
        Self::ask(None, reach)
    }

    /// The workspace of the manifest at `path`.
    pub(crate) fn at(path: &Path, reach: Reach) -> Result<Self, String> {
        Self::ask(Some(path), reach)
    }

    fn ask(manifest: Option<&Path>, reach: Reach) -> Result<Self, String> {
        let mut command = cargo();
        command.args(["metadata", "--format-version", "1"]);
        if reach == Reach::Members {
            command.args(["--no-deps", "--offline"]);
        }
        if let Some(path) = manifest {
            command.arg("--manifest-path").arg(path);
        }
        let output = command
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot start cargo metadata: {error}"))?;
        if !output.status.success() {
            return Err(format!("cargo metadata: {}", output.status));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cannot read cargo metadata: {error}"))
    }

    /// A path as a reader of the repository would write it.
    pub(crate) fn shown<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
