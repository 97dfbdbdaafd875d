//! What a plan is told: the host, and what only this machine knows (source, components).

use crate::error::{CliError, Stop, exit};
use crate::host::LocalHost;
use crate::project::Opened;
use deployfile_exec::Stop as Wish;
use deployfile_hooks::{check_grants, inspect, pins};
use deployfile_model::spec::SourceKind;
use deployfile_model::{Digest, Host, HostPath, Name, ReleaseId, Spec};
use deployfile_plan::source_texts;
use deployfile_record::observation::{PluginFacts, SourceFacts};
use deployfile_record::{Failure, FailureKind, Ledger, Observation};
use deployfile_system::{observe, source};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The largest component that is read, in bytes (hooks.md).
const COMPONENT_BYTES: u64 = 32 << 20;

/// What an observation is for.
pub(crate) struct Aim<'a> {
    /// The source is needed.
    pub(crate) source: bool,
    /// The release that the goal goes to.
    pub(crate) target: Option<&'a ReleaseId>,
    /// The journal, when it is open already.
    pub(crate) ledger: Option<Ledger>,
}

/// Observes a host for a goal.
pub(crate) fn observation(
    opened: &Opened,
    spec: &Spec,
    local: &LocalHost,
    aim: Aim<'_>,
) -> Result<Observation, Stop> {
    let mut seen = observe(&local.name, &local.layout, local.root.as_ref(), aim.ledger, aim.target)?;
    seen.plugins = plugins(opened, spec)?;
    if aim.source
        && let Some(host) = spec.host(&local.name)
    {
        seen.source = Some(source_facts(opened, spec, host, local)?);
    }
    Ok(seen)
}

fn source_facts(opened: &Opened, spec: &Spec, host: &Host, local: &LocalHost) -> Result<SourceFacts, Stop> {
    let observed = match &spec.source.kind {
        SourceKind::Git { url, reference, .. } => {
            let texts = source_texts(spec, host, &[url, reference])?;
            let url = url_from(&opened.folder, &texts[0])?;
            // Whatever is shown of it, the plan needs the URL itself.
            source::observe_git(local.root.as_ref(), &url, &texts[1], &Wish::new())
                .map(|facts| SourceFacts { location: url, ..facts })
        }
        SourceKind::Dir { path, exclude } => {
            let texts = source_texts(spec, host, &[path])?;
            let path = HostPath::new(absolute(&opened.folder, &texts[0])?)
                .map_err(|e| CliError::new("config::path", exit::INVALID, e.to_string()))?;
            source::observe_dir(&path, exclude, &local.layout.root)
        }
        SourceKind::NotBuilt { kind, .. } => {
            let message = format!("`source {kind}` is not built yet");
            return Err(CliError::new("plan::not-built", exit::REFUSED, message).into());
        }
    };
    Ok(observed.map_err(|e| at_planning(e.into()))?)
}

/// A source that cannot be read is no refusal, but a failure: exit 1. One that was read, and holds what no release may hold,
/// is refused as the step that fetches it refuses it: exit 4.
fn at_planning(failure: Failure) -> Failure {
    match failure.code.as_str() {
        "source::symlink-leaves" | "source::path-refused" => failure,
        _ => Failure { kind: FailureKind::Failed, ..failure },
    }
}

/// A local path counts from the deployfile's folder; anything with a scheme, or a host before `:`, is left as it is.
pub(crate) fn url_from(folder: &Path, url: &str) -> Result<String, Stop> {
    let before_slash = url.split('/').next().unwrap_or_default();
    let is_remote = url.contains("://") || before_slash.contains(':') || url.starts_with('-');
    if is_remote { Ok(url.to_owned()) } else { absolute(folder, url) }
}

/// An existing path without links and dots; one that does not exist is left for whoever opens it to say so.
fn absolute(folder: &Path, path: &str) -> Result<String, Stop> {
    let joined = folder.join(path);
    let real = fs::canonicalize(&joined).or_else(|_| std::path::absolute(&joined)).map_err(|e| {
        Stop::from(CliError::new("source::path", exit::FAILED, format!("find {path}")).because(e.to_string()))
    })?;
    real.into_os_string().into_string().map_err(|_| {
        CliError::new("source::path", exit::FAILED, format!("the path of {path} is not UTF-8")).into()
    })
}

/// The components of the plugins that hooks of this environment name.
pub(crate) fn plugins(opened: &Opened, spec: &Spec) -> Result<BTreeMap<Name, PluginFacts>, Stop> {
    if spec.plugins.is_empty() {
        return Ok(BTreeMap::new());
    }
    let pinned = read_pins(opened)?;
    let mut out = BTreeMap::new();
    for (name, plugin) in &spec.plugins {
        let pin = pinned.get(name).map(|pin| pin.digest);
        let facts = match component(opened, &plugin.component) {
            Err(why) => facts(Digest::of(b""), pin, 0, Some(why)),
            Ok(bytes) => {
                let found = inspect(&bytes);
                let mut facts = facts(found.digest, pin, found.size, found.unusable.clone());
                let grants = check_grants(&found, &plugin.allow);
                (facts.missing_grants, facts.unused_grants) = (grants.missing, grants.unused);
                facts
            }
        };
        out.insert(name.clone(), facts);
    }
    Ok(out)
}

fn facts(digest: Digest, pinned: Option<Digest>, size: u64, unusable: Option<String>) -> PluginFacts {
    PluginFacts { digest, pinned, size, missing_grants: Vec::new(), unused_grants: Vec::new(), unusable }
}

/// The bytes of a component beside the deployfile, or why there are none.
pub(crate) fn component(opened: &Opened, path: &str) -> Result<Vec<u8>, String> {
    let path = opened.folder.join(path);
    let size = fs::metadata(&path).map_err(|e| format!("cannot be read: {e}"))?.len();
    if size > COMPONENT_BYTES {
        return Err(format!("has {size} bytes, a component may have at most {COMPONENT_BYTES}"));
    }
    fs::read(&path).map_err(|e| format!("cannot be read: {e}"))
}

/// The pins of `deployfile.lock`; none, when there is no such file.
pub(crate) fn read_pins(opened: &Opened) -> Result<pins::Pins, Stop> {
    let path = opened.folder.join(pins::FILE_NAME);
    match fs::read_to_string(&path) {
        Ok(text) => pins::read(&text).map_err(|e| {
            let message = format!("{} cannot be read", path.display());
            Stop::from(
                CliError::new("plugin::lock-file", exit::REFUSED, message)
                    .because(e.to_string())
                    .help("put it back as it was committed, or write it anew: deployfile plugin lock"),
            )
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(pins::Pins::default()),
        Err(e) => Err(CliError::new("plugin::lock-file", exit::REFUSED, format!("read {}", path.display()))
            .because(e.to_string())
            .into()),
    }
}
