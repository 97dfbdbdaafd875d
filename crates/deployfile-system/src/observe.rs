//! What is on this host now, as the planner is told it.

use crate::disk_failure as disk;
use crate::store::{Store, StoreError};
use crate::{current, in_use, nginx, release, service};
use deployfile_disk::Dir;
use deployfile_model::spec::{App, Layout};
use deployfile_model::{Digest, Name, RelPath, ReleaseId};
use deployfile_record::observation::{CurrentLink, SeenRelease};
use deployfile_record::{Effect, Failure, Ledger, Observation};
use std::collections::{BTreeMap, BTreeSet};

/// Reads everything but source and plugins, which belong to the machine that plans. A root that is not there yet is
/// an empty host. `target` is the release that the goal goes to, when it is one that exists.
pub fn observe(
    host: &Name,
    layout: &Layout,
    root: Option<&Dir>,
    ledger: Option<Ledger>,
    target: Option<&ReleaseId>,
) -> Result<Observation, Failure> {
    let ledger = match (ledger, root) {
        (Some(ledger), _) => ledger,
        (None, Some(root)) => read_ledger(root).map_err(|e| e.failure())?,
        (None, None) => Ledger::default(),
    };
    let mut seen = Observation {
        host: host.clone(),
        root: layout.root.clone(),
        current: CurrentLink::Absent,
        ledger,
        current_release: None,
        target_release: None,
        source: None,
        release_dirs: BTreeSet::new(),
        in_use: BTreeSet::new(),
        down: BTreeSet::new(),
        plugins: BTreeMap::new(),
        base_env: base_env(),
        is_unseen: false,
        has_nginx: nginx::is_installed(),
    };
    let Some(root) = root else { return Ok(seen) };
    seen.current = current::read(root, &layout.root, &layout.current)?;
    seen.release_dirs = release_dirs(root)?;
    seen.in_use = in_use::releases_in_use(&layout.root);
    if let Some(id) = seen.current.release() {
        // A way away from a release that can no longer be read must stay open.
        seen.current_release = match see(root, id, &seen.ledger) {
            Err(failure) if failure.code == release::DAMAGED => None,
            seen => seen?,
        };
    }
    if let Some(current) = &seen.current_release {
        seen.down = service::down(&layout.root, &current.tail);
    }
    if let Some(id) = target {
        seen.target_release = see(root, id, &seen.ledger)?;
    }
    Ok(seen)
}

/// What the journal of this root says; nothing, when nothing was ever run there.
pub fn read_ledger(root: &Dir) -> Result<Ledger, StoreError> {
    Store::open(root)?.map_or_else(|| Ok(Ledger::default()), |store| store.ledger())
}

/// What a sealed release keeps of itself; `None` when it is not a sealed release that the journal knows.
fn see(root: &Dir, id: &ReleaseId, ledger: &Ledger) -> Result<Option<SeenRelease>, Failure> {
    if !ledger.releases.contains_key(id) {
        return Ok(None);
    }
    let dir = match release::open(root, id) {
        Err(release::ReleaseError::Missing { .. }) => return Ok(None),
        dir => dir?,
    };
    let (Some(record), Some(tail)) = (release::read_record(&dir)?, release::read_tail(&dir)?) else {
        return Ok(None);
    };
    let files = release::rendered_files(&dir, &templates(root, &ledger.releases[id].plan))?;
    Ok(Some(SeenRelease { record, tail, drift: drift(root, id)?, files }))
}

/// Entries of a sealed release that are not as they were sealed. What was added (`__pycache__`) is no drift.
pub fn drift(root: &Dir, id: &ReleaseId) -> Result<Vec<String>, Failure> {
    let found = release::verify(root, id, release::Depth::Changed)?;
    let spoiled = found.iter().filter(|drift| drift.what != release::DriftKind::Added);
    Ok(spoiled.map(ToString::to_string).collect())
}

/// The files that the release's own plan made from templates. Only diffs need them: a plan that is gone names none.
fn templates(root: &Dir, plan: &Digest) -> Vec<RelPath> {
    let Ok(Some(store)) = Store::open(root) else { return Vec::new() };
    let Ok(plan) = store.plan(plan) else { return Vec::new() };
    let steps = plan.hosts.iter().flat_map(|host| &host.steps);
    steps
        .filter_map(|step| match &step.effect {
            Effect::EnsureFile(file) if !file.is_secret() => Some(file.path.clone()),
            _ => None,
        })
        .collect()
}

fn release_dirs(root: &Dir) -> Result<BTreeSet<ReleaseId>, Failure> {
    let releases = RelPath::new(App::RELEASES).map_err(|e| Failure::new("bug::path", e.to_string()))?;
    if root.stat(&releases).map_err(|e| disk(&e))?.is_none() {
        return Ok(BTreeSet::new());
    }
    let entries = root.list(&releases).map_err(|e| disk(&e))?;
    Ok(entries.iter().filter_map(|entry| ReleaseId::new(entry.text()?).ok()).collect())
}

/// `HOME USER LANG PATH`: all that a step or a service gets of the environment that deployfile was started in.
pub(crate) fn base_env() -> BTreeMap<String, String> {
    /// Where programs are found when whoever starts deployfile has no `PATH` (cron, a bare container).
    const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut env: BTreeMap<String, String> = ["HOME", "USER", "LANG", "PATH"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect();
    env.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    env
}
