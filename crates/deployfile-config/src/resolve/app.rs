//! `app`, `source`, `secret`, `retention`: what all hosts of an environment share.

use super::Cx;
use super::line::{Line, choose, name, number};
use crate::lookups::Where;
use crate::merge::{Block, Setting};
use crate::schema::schema;
use crate::tree::Value;
use deployfile_model::secret::SecretProvider;
use deployfile_model::spec::{App, BuildIdRule, Retention, ShareMode, Source, SourceKind};
use deployfile_model::units::{Bytes, Millis};
use deployfile_model::{HostPath, Name, Place, Text};
use std::collections::BTreeMap;

const SHARE: [(&str, ShareMode); 2] = [("copy", ShareMode::Copy), ("hardlink", ShareMode::Hardlink)];

/// The application, and what its `build-id` says; which one holds without it depends on the source.
pub(super) type Undecided = (App, bool);

pub(super) fn app<'p>(cx: &mut Cx<'p, '_>, block: &Block<'p>) -> Option<Undecided> {
    let mut apps: Vec<_> = block.named("app").collect();
    apps.sort_by_key(|(_, setting)| setting.order());
    let Some((id, app)) = apps.first() else {
        let at = cx.main();
        cx.findings
            .error("config::missing", at, "no `app` is declared")
            .help("declare it: `app NAME { root \"/srv/NAME\"; }`");
        return None;
    };
    let at = app.at().unwrap_or_else(|| cx.main());
    if let Some((second, setting)) = apps.get(1) {
        let first = cx.findings.related(at, "the first one");
        cx.findings
            .error("config::duplicate", setting.at().unwrap_or(at), format!("a second `app`: `{second}`"))
            .help("one deployfile is for one application")
            .related
            .push(first);
    }
    let root = argument(app, "root");
    if root.is_none() {
        cx.findings
            .error("config::missing", at, format!("app `{id}` has no `root`"))
            .help("say where it lives on a host: `root \"/srv/NAME\"`");
    }
    let root = cx.shared_text(root?, Where::Root);
    let build_id = argument(app, "build-id");
    let rule = match build_id.and_then(Value::text) {
        Some("git") => BuildIdRule::Git,
        // What a store path or an image is called is what its source says of itself.
        None | Some("content" | "nix" | "oci") => BuildIdRule::Content,
        Some(_) => BuildIdRule::Text(cx.shared_text(build_id?, Where::BuildId)),
    };
    let release_id = match argument(app, "release-id") {
        Some(value) => cx.shared_text(value, Where::ReleaseId),
        None => default_argument(cx, "app", "release-id", at),
    };
    let current = argument(app, "current").and_then(name);
    let current = current.or_else(|| Name::new(default("app", "current")).ok())?;
    let user = argument(app, "user").and_then(name);
    let place = cx.place(at);
    let app = App { name: Name::new(*id).ok()?, root, current, user, build_id: rule, release_id, place };
    Some((app, build_id.is_some()))
}

/// Without `build-id`, the source says which one holds.
pub(super) fn with_build_id((app, decided): Undecided, source: &Source) -> App {
    if decided {
        return app;
    }
    let build_id = match source.kind {
        SourceKind::Git { .. } => BuildIdRule::Git,
        SourceKind::Dir { .. } | SourceKind::NotBuilt { .. } => BuildIdRule::Content,
    };
    App { build_id, ..app }
}

pub(super) fn source<'p>(cx: &mut Cx<'p, '_>, block: &Block<'p>) -> Option<Source> {
    let setting = block.get("source");
    let Some((setting, node)) = setting.and_then(|s| Some((s, s.line()?))) else {
        let at = setting.and_then(Setting::at).unwrap_or_else(|| cx.main());
        cx.findings
            .error("config::missing", at, "no `source` is declared")
            .help("say where the code comes from: `source dir \".\"` or `source git \"URL\" ref=main`");
        return None;
    };
    let line = Line::new("", "source", Some(node));
    let location = cx.shared_text(node.args.get(1)?, Where::Source);
    let kind = match node.args.first().and_then(Value::text) {
        Some("git") => {
            let reference = match line.prop("ref") {
                Some(value) => cx.shared_text(value, Where::Source),
                None => cx.default_text("HEAD", node.name.at),
            };
            SourceKind::Git { url: location, reference, submodules: line.flag("submodules") }
        }
        Some(kind @ ("archive" | "nix" | "oci")) => SourceKind::NotBuilt { kind: kind.to_owned(), location },
        _ => {
            let globs = setting.block.items("exclude").flat_map(|n| &n.args);
            SourceKind::Dir { path: location, exclude: globs.map(Value::as_text).collect() }
        }
    };
    let share = match argument(setting, "share").and_then(Value::text) {
        Some(word) => choose(word, &SHARE),
        None => line.word("share", &SHARE),
    };
    Some(Source { kind, share, place: cx.place(node.name.at) })
}

pub(super) fn secrets(block: &Block<'_>) -> BTreeMap<Name, SecretProvider> {
    let provider = |setting: &Setting<'_>| {
        let args = setting.arguments();
        let text = args.get(1)?.text()?.to_owned();
        match args.first()?.text()? {
            "env" => Some(SecretProvider::Env(text)),
            "command" => {
                Some(SecretProvider::Command(args.iter().skip(1).map(|word| word.as_text()).collect()))
            }
            "age" => {
                let identity = HostPath::new(setting.line()?.prop("identity")?.text()?).ok()?;
                Some(SecretProvider::Age { file: HostPath::new(text).ok()?, identity })
            }
            _ => HostPath::new(text).ok().map(SecretProvider::File),
        }
    };
    block
        .named("secret")
        .filter_map(|(id, setting)| Some((Name::new(id).ok()?, provider(setting)?)))
        .collect()
}

pub(super) fn retention(cx: &Cx<'_, '_>, block: &Block<'_>) -> Retention {
    let setting = block.get("retention");
    let value = |key: &'static str| setting.and_then(|s| argument(s, key));
    let count = |key: &'static str| {
        let fallback = || default("retention", key).parse().ok();
        value(key).and_then(number).or_else(fallback).unwrap_or_default()
    };
    let duration = |key: &'static str| value(key).and_then(Value::text).and_then(Millis::parse);
    let grace = duration("grace").or_else(|| Millis::parse(default("retention", "grace")));
    let at = setting.and_then(Setting::at).unwrap_or_else(|| cx.main());
    Retention {
        keep: count("keep"),
        max_age: duration("max-age"),
        max_bytes: value("max-bytes").and_then(Value::text).and_then(Bytes::parse),
        grace: grace.unwrap_or(Millis(0)),
        private_keep_days: count("private-keep-days"),
        keep_failed: count("keep-failed"),
        place: cx.place(at),
    }
}

/// The one argument of a setting in a block.
pub(super) fn argument<'p>(setting: &Setting<'p>, name: &'static str) -> Option<&'p Value> {
    setting.block.get(name)?.line()?.args.first()
}

/// What the schema says holds without the setting.
pub(super) fn default(parent: &str, name: &str) -> &'static str {
    schema().find(parent, name).map_or("", |spec| spec.default)
}

pub(super) fn default_argument(cx: &Cx<'_, '_>, parent: &str, name: &str, at: crate::sources::At) -> Text {
    cx.default_text(default(parent, name), at)
}

/// A place for what stands nowhere in the file.
pub(super) fn place_of(cx: &Cx<'_, '_>, setting: &Setting<'_>) -> Place {
    cx.place(setting.at().unwrap_or_else(|| cx.main()))
}
