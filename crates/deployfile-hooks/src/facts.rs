//! What a hook may know of its call, as `context` tells it. Never a secret.

use deployfile_disk::Dir;
use deployfile_exec::Call;
use deployfile_model::{BuildId, Name, Phase, RelPath, ReleaseId, RunId, Stage};
use deployfile_record::{Goal, HookCall, ReleaseRecord};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

/// `.release/manifest.json` of a release is at most this long, in bytes.
const MANIFEST_MAX: u64 = 1 << 20;

/// A release as hooks see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Release {
    pub(crate) id: ReleaseId,
    pub(crate) build_id: Option<BuildId>,
    /// Seconds since 1970.
    pub(crate) created: u64,
}

/// The facts of one call, owned, so that the component's store can hold them.
pub(crate) struct Facts {
    pub(crate) run: RunId,
    pub(crate) environment: Name,
    pub(crate) app: Name,
    pub(crate) goal: Goal,
    pub(crate) mode: deployfile_exec::Mode,
    pub(crate) stage: Stage,
    pub(crate) phase: Phase,
    pub(crate) attempt: u32,
    pub(crate) config: String,
    pub(crate) lookups: BTreeMap<String, String>,
    pub(crate) notes: BTreeMap<String, String>,
    pub(crate) target: Option<Release>,
    pub(crate) current: Option<Release>,
    pub(crate) previous: Option<Release>,
    pub(crate) revision: Option<String>,
    pub(crate) machine: Option<Name>,
    pub(crate) roles: Vec<Name>,
    pub(crate) deadline: Instant,
}

impl Facts {
    pub(crate) fn of(hook: &HookCall, call: &Call<'_>, root: Option<&Dir>, deadline: Instant) -> Self {
        let plan = call.plan;
        let known = |id: Option<&ReleaseId>| id.map(|id| release(id, root));
        // A release that is being made has no record yet; the plan knows what it will be.
        let target = plan.release.as_ref().map(|id| match plan.goal {
            Goal::Apply => Release {
                id: id.clone(),
                build_id: plan.build_id.clone(),
                created: u64::try_from(plan.at.0).unwrap_or(0),
            },
            Goal::Rollback | Goal::Clean => release(id, root),
        });
        let serving = root.and_then(|root| serving(root, &call.host.current));
        let previous = plan.from.as_ref().filter(|from| serving.as_ref() != Some(from));
        Self {
            run: call.run.clone(),
            environment: plan.environment.clone(),
            app: plan.app.clone(),
            goal: plan.goal,
            mode: call.mode,
            stage: hook.stage,
            phase: hook.phase,
            attempt: call.attempt,
            config: hook.config.clone(),
            lookups: hook.lookups.clone(),
            notes: call.notes.clone(),
            current: known(serving.as_ref()),
            previous: known(previous),
            target,
            revision: plan.revision.clone(),
            machine: (!hook.once).then(|| call.host.host.clone()),
            roles: call.host.roles.clone(),
            deadline,
        }
    }

    /// A look-up of the language, or `hook.<plugin>.<key>`.
    pub(crate) fn lookup(&self, name: &str) -> Option<&String> {
        match name.strip_prefix("hook.") {
            Some(note) => self.notes.get(note),
            None => self.lookups.get(name),
        }
    }

    /// All of it as one document; keys are only ever added.
    pub(crate) fn document(&self) -> String {
        let release = |release: &Option<Release>| match release {
            Some(r) => json!({
                "id": r.id.as_str(),
                "build-id": r.build_id.as_ref().map(BuildId::as_str),
                "created-unix": r.created,
            }),
            None => Value::Null,
        };
        json!({
            "schema": 1,
            "run": self.run.as_str(),
            "app": self.app.as_str(),
            "environment": self.environment.as_str(),
            "goal": self.goal.name(),
            "mode": self.mode.name(),
            "stage": self.stage.name(),
            "phase": phase_name(self.stage, self.phase),
            "attempt": self.attempt,
            "machine": self.machine.as_ref().map(Name::as_str),
            "roles": self.roles.iter().map(Name::as_str).collect::<Vec<_>>(),
            "revision": self.revision,
            "target-release": release(&self.target),
            "current-release": release(&self.current),
            "previous-release": release(&self.previous),
            "lookups": self.lookups,
            "notes": self.notes,
        })
        .to_string()
    }
}

fn phase_name(stage: Stage, phase: Phase) -> &'static str {
    match (stage, phase) {
        (Stage::Failed, _) => "failed",
        (_, Phase::Before | Phase::Main) => "before",
        (_, Phase::After) => "after",
    }
}

/// The release that the current link names now.
fn serving(root: &Dir, link: &Name) -> Option<ReleaseId> {
    let target = root.read_link(&RelPath::new(link.as_str()).ok()?).ok()??;
    let id = target.to_str()?.rsplit('/').next()?;
    ReleaseId::new(id).ok()
}

/// What a release's record says of it. One without a readable record is known by its id alone.
fn release(id: &ReleaseId, root: Option<&Dir>) -> Release {
    let unknown = Release { id: id.clone(), build_id: None, created: 0 };
    let path = RelPath::new(format!("releases/{id}/{}", ReleaseRecord::PATH));
    let (Some(root), Ok(path)) = (root, path) else { return unknown };
    let record: Option<ReleaseRecord> =
        root.read(&path, MANIFEST_MAX).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let sealed_ns = root.stat(&path).ok().flatten().map_or(0, |stat| stat.mtime_ns);
    Release {
        build_id: record.and_then(|record| record.build_id),
        created: u64::try_from(sealed_ns / 1_000_000_000).unwrap_or(0),
        ..unknown
    }
}
