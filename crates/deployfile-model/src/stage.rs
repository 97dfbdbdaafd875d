//! Stages of a run, in the order of lifecycle.md, and the items that stand in them.

use crate::{EnvValue, Name, Place, SecretRef, Text, units::Millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A named phase of a run. The order of the variants is the order of a run; `Revert` and `Failed` stand apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Prerequisites of the host; nothing is touched.
    Check,
    /// Source into the release.
    Fetch,
    /// The file's own steps.
    Build,
    /// Shared files and further links.
    Link,
    /// Rendered configuration into the release, parsed back and checked.
    Render,
    /// Manifest, tree digest, fsync. Immutable from here.
    Seal,
    /// Steps that touch data.
    Migrate,
    /// `current` moves.
    Switch,
    /// Services follow.
    Restart,
    /// Health and build id.
    Verify,
    /// The run is promised.
    Commit,
    /// Retention.
    Prune,
    /// The way back of a run that failed after its switch.
    Revert,
    /// After any failure; hooks only.
    Failed,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Stage; 14] = [
        Stage::Check,
        Stage::Fetch,
        Stage::Build,
        Stage::Link,
        Stage::Render,
        Stage::Seal,
        Stage::Migrate,
        Stage::Switch,
        Stage::Restart,
        Stage::Verify,
        Stage::Commit,
        Stage::Prune,
        Stage::Revert,
        Stage::Failed,
    ];
    /// The name in the deployfile.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Check => "check",
            Stage::Fetch => "fetch",
            Stage::Build => "build",
            Stage::Link => "link",
            Stage::Render => "render",
            Stage::Seal => "seal",
            Stage::Migrate => "migrate",
            Stage::Switch => "switch",
            Stage::Restart => "restart",
            Stage::Verify => "verify",
            Stage::Commit => "commit",
            Stage::Prune => "prune",
            Stage::Revert => "revert",
            Stage::Failed => "failed",
        }
    }
    /// The stage of this name.
    pub fn parse(name: &str) -> Option<Stage> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where in a stage an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// In the stage's `before` block.
    Before,
    /// The stage itself.
    Main,
    /// In the stage's `after` block.
    After,
}

/// What the deployfile puts into one stage, each list in the order it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageSpec {
    /// Items of the `before` block.
    pub before: Vec<Item>,
    /// Items of the stage itself (`run`, `sh`, `template`).
    pub main: Vec<Item>,
    /// Items of the `after` block.
    pub after: Vec<Item>,
}

/// One thing that a stage does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// `run a b c`: an argv; no shell sees it.
    Run(Run),
    /// `sh """…"""`: a script for `sh -eu`, never interpolated.
    Sh(Script),
    /// `template SRC to=…`.
    Template(TemplateFile),
    /// `hook NAME …`.
    Hook(HookUse),
}

/// A command of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Program and arguments; never empty.
    pub argv: Vec<Text>,
    /// Wall-clock limit.
    pub timeout: Millis,
    /// Where it was written.
    pub place: Place,
}

/// A script of a stage, given to `sh -eu` as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The script.
    pub text: String,
    /// Wall-clock limit.
    pub timeout: Millis,
    /// Where it was written.
    pub place: Place,
}

/// A file that is rendered into the release from a template beside the deployfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateFile {
    /// The template's path as written, relative to the file that names it.
    pub source: String,
    /// The template's text, read when the deployfile was loaded.
    pub content: String,
    /// Where it goes, beneath the release.
    pub to: Text,
    /// The quoting rule for look-ups.
    pub kind: TemplateKind,
    /// Mode of the rendered file.
    pub mode: u32,
    /// Lines `KEY="value"` after what the template gives, of [`TemplateKind::Env`] only; the one place for its secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, EnvValue>,
    /// Where it was written.
    pub place: Place,
}

impl TemplateFile {
    /// The secrets that stand in it.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        self.env.values().filter_map(|value| match value {
            EnvValue::Secret(secret) => Some(secret),
            EnvValue::Text(_) => None,
        })
    }
}

impl StageSpec {
    /// The templates of its three lists.
    pub fn templates(&self) -> impl Iterator<Item = &TemplateFile> {
        let items = self.before.iter().chain(&self.main).chain(&self.after);
        items.filter_map(|item| match item {
            Item::Template(file) => Some(file),
            _ => None,
        })
    }
}

/// How a look-up's value is quoted in a free template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TemplateKind {
    /// As it is; control characters other than newline and tab are refused.
    Text,
    /// One line of an ini value.
    Ini,
    /// A JSON string or number.
    Json,
    /// `KEY=value` lines, quoted for a shell and for systemd; the only kind that may hold secrets.
    Env,
    /// One nginx word.
    Nginx,
    /// One supervisor value.
    Supervisor,
    /// One systemd unit value.
    Systemd,
    /// A single-quoted word of POSIX sh.
    Sh,
}

/// `hook NAME` in a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookUse {
    /// The plugin.
    pub plugin: Name,
    /// What an error or a trap of it means.
    pub on_error: OnError,
    /// Once per run instead of on every host.
    pub once: bool,
    /// The line's other properties, laid over the plugin's config; JSON.
    pub config: BTreeMap<String, serde_json::Value>,
    /// Where it was written.
    pub place: Place,
}

/// What a hook's error or trap means. Its `halt` always stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The stage fails.
    Fail,
    /// A warning.
    Warn,
}
