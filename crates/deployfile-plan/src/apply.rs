//! Goal `apply`: make the file true.

use crate::fill::HostContext;
use crate::writer::Writer;
use crate::{Refusal, Request, diff, hooks, spec_digest, tail};
use deployfile_model::service::Manager;
use deployfile_model::spec::NotBuilt;
use deployfile_model::{App, Host, HostPath, ReleaseId};
use deployfile_record::observation::{CurrentLink, SeenRelease};
use deployfile_record::plan::{Bound, FileDiff, Finding};
use deployfile_record::{FORMAT, Goal, HostPlan, Ledger, Observation, Plan, ReleaseState, Step, Tail};

pub(crate) fn plan(
    request: &Request<'_>,
    force: bool,
    pinned: Option<&ReleaseId>,
) -> Result<Plan, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let mut hosts = Vec::new();
    let mut findings = not_built(request);
    let mut head = None;
    for (index, host) in request.spec.hosts.iter().enumerate() {
        let context = match context(request, host, pinned) {
            Ok(context) => context,
            Err(refusal) => {
                refusals.push(refusal);
                continue;
            }
        };
        refusals.extend(standing_refusals(&context, force));
        refusals.extend(hooks::refusals(&context));
        head.get_or_insert_with(|| {
            (context.release.clone(), context.build_id.clone(), context.source.revision.clone())
        });
        match host_plan(&context, index == 0) {
            Ok(plan) => {
                findings.extend(host_findings(&context, &plan));
                hosts.push(plan);
            }
            Err(more) => refusals.extend(more),
        }
    }
    findings.extend(unseen(request));
    if hosts.is_empty() && refusals.is_empty() {
        refusals.push(no_hosts(request));
    }
    let Some((release, build_id, revision)) = head.filter(|_| refusals.is_empty()) else {
        return Err(refusals);
    };
    let from = hosts.first().and_then(|h: &HostPlan| h.bound.current.clone());
    Ok(Plan {
        format: FORMAT,
        goal: Goal::Apply,
        app: request.spec.app.name.clone(),
        environment: request.spec.environment.clone(),
        at: request.at,
        release: Some(release),
        from,
        build_id: Some(build_id),
        revision: Some(revision),
        spec: spec_digest(request.spec),
        // Filled in by the caller, which makes the plan once more without its time.
        identity: deployfile_model::Digest::of(b""),
        secrets: request.spec.secrets.clone(),
        hosts,
        findings,
    })
}

/// What the file asks for and no step does.
fn not_built(request: &Request<'_>) -> Vec<Finding> {
    let message = |it: &NotBuilt| format!("`{}` ({}) is not built yet: apply refuses it", it.what, it.place);
    let finding = |it| Finding { severity: "warning".to_owned(), message: message(it) };
    request.spec.not_built.iter().map(finding).collect()
}

/// Hosts at which nobody looked.
fn unseen(request: &Request<'_>) -> Option<Finding> {
    let names: Vec<&str> =
        request.observations.values().filter(|seen| seen.is_unseen).map(|seen| seen.host.as_str()).collect();
    let who = match names.as_slice() {
        [] => return None,
        [one] => format!("host {one}"),
        [first, .., last] => format!("{} hosts ({first} to {last})", names.len()),
    };
    let message = format!("not looked at, planned as for a first deploy: {who}");
    Some(Finding { severity: "info".to_owned(), message })
}

fn no_hosts(request: &Request<'_>) -> Refusal {
    Refusal::new(
        "config::no-hosts",
        format!("environment `{}` has no hosts", request.spec.environment),
        "add `host localhost { connect local; }` to the environment",
    )
}

fn context<'a>(
    request: &'a Request<'a>,
    host: &'a Host,
    pinned: Option<&ReleaseId>,
) -> Result<HostContext<'a>, Refusal> {
    let Some(observation) = request.observations.get(&host.name) else {
        return Err(Refusal::new(
            "bug::unobserved",
            format!("host `{}` was not observed", host.name),
            "report this",
        ));
    };
    HostContext::for_apply(request, host, observation, pinned)
}

/// What stands against any apply on this host.
fn standing_refusals(context: &HostContext<'_>, force: bool) -> Vec<Refusal> {
    let observation = context.observation;
    let mut out = Vec::new();
    out.extend(unfinished(&observation.ledger, force));
    out.extend(current_refusal(observation, &context.layout.current()));
    if let Some(seen) = observation.current_release.as_ref().filter(|seen| !force && !seen.drift.is_empty()) {
        out.push(drift(seen));
    }
    if !force && observation.ledger.rolled_back_from.contains(&context.build_id) {
        out.push(Refusal::new(
            "plan::rolled-back-build",
            format!("build {} was rolled back from", context.build_id),
            "change the source, or apply it again knowingly with --force",
        ));
    }
    out
}

/// A run that is not over stands against every other. One that is stuck, and one that was interrupted before its switch,
/// may be left behind knowingly; in between, what is served is the run's to settle.
pub(crate) fn unfinished(ledger: &Ledger, force: bool) -> Option<Refusal> {
    let open = ledger.open.as_ref()?;
    if !open.is_stuck() {
        let refused = |help| {
            let message = format!("run {} was interrupted", open.run);
            Some(Refusal::new("plan::interrupted-run", message, help))
        };
        return match open.may_have_switched() {
            true => refused("finish or undo it first: deployfile resume"),
            false if force => None,
            false => {
                refused("go on with it: deployfile resume; or leave it behind and begin anew with --force")
            }
        };
    }
    let refusal = Refusal::new(
        "plan::stuck-run",
        format!(
            "run {} is stuck: its way back failed, so what is served may be neither old nor new",
            open.run
        ),
        "mend what stood in the way (deployfile history), then: deployfile resume; or leave it behind with --force",
    );
    Some(refusal).filter(|_| !force)
}

pub(crate) fn drift(seen: &SeenRelease) -> Refusal {
    let shown: Vec<&str> = seen.drift.iter().take(5).map(String::as_str).collect();
    let more = seen.drift.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Refusal::new(
        "plan::drift",
        format!(
            "files of release {} are not as they were sealed: {}{more}",
            seen.record.id,
            shown.join(", ")
        ),
        "put them back, or go on knowingly with --force",
    )
}

/// A `current` that deployfile did not make is never replaced.
pub(crate) fn current_refusal(observation: &Observation, link: &HostPath) -> Option<Refusal> {
    match &observation.current {
        CurrentLink::Absent => None,
        CurrentLink::Release(_) if observation.current_release.is_some() => None,
        CurrentLink::Release(id) => Some(Refusal::new(
            "plan::current-unsealed",
            format!("{link} names release {id}, which is not a whole, sealed release of this root"),
            format!("go to one that is: deployfile rollback; or move the link away: mv {link} {link}.before"),
        )),
        CurrentLink::Foreign(target) => Some(Refusal::new(
            "plan::current-foreign",
            format!("{link} points to {target}, outside of releases/"),
            format!("move the link away, the next apply makes it anew: mv {link} {link}.before"),
        )),
        CurrentLink::NotALink => Some(Refusal::new(
            "plan::current-not-a-link",
            format!("{link} is a real directory or file, not a link"),
            format!("move it away, for example: mv {link} {link}.before"),
        )),
    }
}

fn host_plan(context: &HostContext<'_>, is_first: bool) -> Result<HostPlan, Vec<Refusal>> {
    let mut tail = tail::of_host(context).map_err(|r| vec![r])?;
    let mut writer = Writer::new(context, is_first);
    tail.items = writer.tail_items();
    // The same mistakes come again where the items are planned.
    writer.refusals.clear();
    if !is_already_true(context) {
        writer.until_switch(&tail);
        writer.tail(&tail);
        writer.after_commit();
    }
    let steps = writer.take_steps();
    let old = context.observation.current_release.as_ref();
    let diffs = if steps.is_empty() { Vec::new() } else { diff::against(old, &steps, &context.release) };
    finish(writer, &tail, steps, diffs)
}

/// The host's plan of these steps, with the way back from them.
pub(crate) fn finish(
    mut writer: Writer<'_>,
    tail: &Tail,
    steps: Vec<Step>,
    diffs: Vec<FileDiff>,
) -> Result<HostPlan, Vec<Refusal>> {
    let (unwind, failed) = (writer.way_back(tail), writer.failed());
    if !writer.refusals.is_empty() {
        return Err(writer.refusals);
    }
    let context = writer.context;
    Ok(HostPlan {
        host: context.host.name.clone(),
        roles: context.host.roles.clone(),
        root: context.layout.root.clone(),
        current: context.layout.current.clone(),
        user: context.spec.app.user.clone(),
        bound: bound(context.observation),
        steps,
        unwind,
        failed,
        diffs,
    })
}

/// Same source revision, same specification, same components, and current is the good release that they made.
fn is_already_true(context: &HostContext<'_>) -> bool {
    let observation = context.observation;
    let Some(seen) = &observation.current_release else { return false };
    let good =
        observation.ledger.releases.get(&seen.record.id).is_some_and(|f| f.state == ReleaseState::Good);
    // After a run that is stuck nobody knows what runs; and a service that is down is not as the file says.
    let ledger = &observation.ledger;
    let is_calm = ledger.open.is_none() && ledger.left_stuck.is_none() && observation.down.is_empty();
    good && is_calm
        && seen.drift.is_empty()
        && seen.record.revision.as_deref() == Some(context.source.revision.as_str())
        && seen.record.spec == spec_digest(context.spec)
        && seen.record.plugins == hooks::digests(context)
}

pub(crate) fn bound(observation: &Observation) -> Bound {
    Bound {
        current: observation.current.release().cloned(),
        last_run: observation.ledger.runs.last().map(|run| run.run.clone()),
    }
}

fn host_findings(context: &HostContext<'_>, plan: &HostPlan) -> Vec<Finding> {
    let mut out = hooks::findings(context);
    let observation = context.observation;
    let unknown: Vec<String> = observation
        .release_dirs
        .iter()
        .filter(|id| !observation.ledger.releases.contains_key(id))
        .map(ToString::to_string)
        .collect();
    if !unknown.is_empty() {
        let message = format!("directories that no journal knows, left alone: {}", unknown.join(", "));
        out.push(Finding { severity: "warning".to_owned(), message });
    }
    if !observation.down.is_empty() {
        let down: Vec<&str> = observation.down.iter().map(|name| name.as_str()).collect();
        let message = format!("does not run now: {}", down.join(", "));
        out.push(Finding { severity: "warning".to_owned(), message });
    }
    if plan.steps.is_empty() {
        let current = plan.bound.current.as_ref().map_or_else(String::new, ToString::to_string);
        let message = format!("nothing to do: {current} already is what the file says");
        out.push(Finding { severity: "info".to_owned(), message });
    }
    out
}

/// Managers that need files of their own in the release.
pub(crate) fn manager_name(manager: &Manager) -> &'static str {
    match manager {
        Manager::Builtin => "builtin",
        Manager::Supervisor { .. } => "supervisor",
        Manager::External => "external",
    }
}

/// The root of this host, which must be known before the host can be observed.
pub(crate) fn root_path(text: &str) -> Result<HostPath, String> {
    let path = HostPath::new(text).map_err(|e| e.to_string())?;
    if path.as_str() == "/" {
        return Err(format!(
            "the root of an app must not be `/`, it holds {}/, {}/",
            App::RELEASES,
            App::SHARED
        ));
    }
    Ok(path)
}
