//! [`Spec`]: the resolved desired state of one environment. Total: no default hides at a point of use.

use crate::grant::Plugin;
use crate::secret::SecretProvider;
use crate::service::Service;
use crate::site::Site;
use crate::stage::{Stage, StageSpec};
use crate::text::EnvValue;
use crate::units::{Bytes, Millis};
use crate::{HostPath, Name, Place, RelPath, Text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that should be true of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The environment.
    pub environment: Name,
    /// The application.
    pub app: App,
    /// Where its code comes from.
    pub source: Source,
    /// Secrets by name.
    pub secrets: BTreeMap<Name, SecretProvider>,
    /// Plugins that a hook of this environment uses, by name.
    pub plugins: BTreeMap<Name, Plugin>,
    /// Retention of releases.
    pub retention: Retention,
    /// The hosts, sorted by name, each with all that applies to it.
    pub hosts: Vec<Host>,
    /// `--set` values that took part, written into the release's manifest.
    pub overrides: BTreeMap<String, String>,
    /// What the file asks for and this version cannot do: it is no part of the rest, and nothing is applied while there is
    /// any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_built: Vec<NotBuilt>,
}

/// Something of the language whose machinery is not built yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotBuilt {
    /// The setting, by its path: `pull`, `service.web.manager container`.
    pub what: String,
    /// Where it was written.
    pub place: Place,
}

/// The application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its name.
    pub name: Name,
    /// The directory that holds `releases/ shared/ current .deployfile/`; look-ups: `app`, `environment`, `host`, `vars`.
    pub root: Text,
    /// The name of the link that traffic follows.
    pub current: Name,
    /// Who owns releases; `None`: whoever runs.
    pub user: Option<Name>,
    /// Where a release's build id comes from.
    pub build_id: BuildIdRule,
    /// The name of the next release.
    pub release_id: Text,
    /// Where it was written.
    pub place: Place,
}

/// Where a release's build id comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildIdRule {
    /// The full commit id.
    Git,
    /// The digest of the source tree.
    Content,
    /// A text with look-ups.
    Text(Text),
}

/// Where the code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What kind of source, and where.
    pub kind: SourceKind,
    /// How files that did not change since the previous release come from it.
    pub share: ShareMode,
    /// Where it was written.
    pub place: Place,
}

/// A kind of source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A git repository.
    Git {
        /// A local path, `file://`, `ssh://`, `https://` or `user@host:path`; look-ups allowed.
        url: Text,
        /// Branch, tag or commit.
        reference: Text,
        /// Submodules are checked out too.
        submodules: bool,
    },
    /// A directory on the machine that runs deployfile, relative to the deployfile's folder or absolute.
    Dir {
        /// The directory; look-ups allowed.
        path: Text,
        /// Globs of paths, relative to the directory, that are left out (`.git` always is).
        exclude: Vec<String>,
    },
    /// A kind of the language that is not built yet; it is in [`Spec::not_built`] too.
    NotBuilt {
        /// `archive`, `nix` or `oci`.
        kind: String,
        /// Where it would come from; look-ups allowed.
        location: Text,
    },
}

/// How a new release gets the files that did not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShareMode {
    /// A reflink where the file system can, else a copy: releases share no inode.
    Copy,
    /// Hard links of files of mode 0444; for trees that no step writes.
    Hardlink,
}

/// One host with all that applies to it. What hosts have alike they share: a thousand hosts of one role are one list of services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: Name,
    /// Its roles, sorted.
    pub roles: Vec<Name>,
    /// How it is reached.
    pub connect: Connect,
    /// Variables for `{{ vars.x }}`; values may use other look-ups than `vars`.
    pub vars: BTreeMap<String, Variable>,
    /// Environment of steps, tasks and services.
    pub env: BTreeMap<String, EnvValue>,
    /// Data that outlives releases.
    pub shared: Arc<Vec<Shared>>,
    /// Links that leave the release, or stand in it.
    pub links: Arc<Vec<Link>>,
    /// What the file puts into stages.
    pub stages: Arc<BTreeMap<Stage, StageSpec>>,
    /// Services, sorted by name.
    pub services: Arc<Vec<Service>>,
    /// Sites, sorted by name.
    pub sites: Arc<Vec<Site>>,
    /// Where it was written.
    pub place: Place,
}

/// A variable. In a look-up it is its text; a template sees what it is, so that `{% if vars.debug %}` means what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its value.
    pub text: Text,
    /// What it was written as.
    pub kind: VariableKind,
}

/// What a variable was written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VariableKind {
    /// A string, or a number with a fraction or leading zeros: `3.10` stays `3.10`.
    Text,
    /// A whole number.
    Whole,
    /// `#true` or `#false`.
    Flag,
}

/// How a host is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connect {
    /// It is this machine.
    Local,
    /// OpenSSH (not built yet: a plan is refused).
    Ssh,
}

/// A file or directory beneath `shared/` that the release links to at the same path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// Its path beneath `shared/` and beneath the release.
    pub path: RelPath,
    /// A directory (made if missing), or a file (must exist, or is made empty with `create`).
    pub directory: bool,
    /// Mode of a directory or file that is made.
    pub mode: Option<u32>,
    /// Where it was written.
    pub place: Place,
}

/// `link AT to=TARGET`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Absolute: made in `switch`, right after `current`. Relative: in the release, in `link`.
    pub at: Text,
    /// What it points to.
    pub to: Text,
    /// Where it was written.
    pub place: Place,
}

/// Which releases are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Good releases that are kept, current included; at least 1.
    pub keep: u32,
    /// Good releases older than this go, however few.
    pub max_age: Option<Millis>,
    /// Oldest go while all take more than this.
    pub max_bytes: Option<Bytes>,
    /// Nothing younger than this goes.
    pub grace: Millis,
    /// Days that a private release is kept.
    pub private_keep_days: u32,
    /// Failed and bad releases that are kept for a look.
    pub keep_failed: u32,
    /// Where it was written.
    pub place: Place,
}

impl App {
    /// `releases/<id>` is joined to the root by this name everywhere.
    pub const RELEASES: &'static str = "releases";
    /// Data that outlives releases.
    pub const SHARED: &'static str = "shared";
    /// deployfile's own folder beneath the root.
    pub const STATE: &'static str = ".deployfile";
}

impl Spec {
    /// The host of this name.
    pub fn host(&self, name: &Name) -> Option<&Host> {
        self.hosts.iter().find(|h| h.name == *name)
    }
}

/// The paths of one root, all derived from it in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The root.
    pub root: HostPath,
    /// The name of the link that traffic follows.
    pub current: Name,
}

impl Layout {
    fn at(&self, name: &str) -> HostPath {
        HostPath::new(format!("{}/{name}", self.root.as_str().trim_end_matches('/')))
            .unwrap_or_else(|_| self.root.clone())
    }
    /// `<root>/current`.
    pub fn current(&self) -> HostPath {
        self.at(self.current.as_str())
    }
    /// `<root>/shared`.
    pub fn shared(&self) -> HostPath {
        self.at(App::SHARED)
    }
    /// `<root>/releases/<id>`.
    pub fn release(&self, id: &crate::ReleaseId) -> HostPath {
        self.at(&format!("{}/{id}", App::RELEASES))
    }
    /// `<root>/.deployfile`.
    pub fn state(&self) -> HostPath {
        self.at(App::STATE)
    }
}
