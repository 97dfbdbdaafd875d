//! Goal `rollback`: go to an older good release, by its own tail.

use crate::apply::{current_refusal, drift, finish, unfinished};
use crate::fill::HostContext;
use crate::writer::Writer;
use crate::{Refusal, Request, hooks, spec_digest};
use deployfile_model::spec::Layout;
use deployfile_model::{Digest, Host, ReleaseId, Stage};
use deployfile_record::observation::{CurrentLink, SeenRelease};
use deployfile_record::{FORMAT, Goal, HostPlan, Ledger, Observation, Plan, ReleaseState};

pub(crate) fn plan(request: &Request<'_>, to: Option<&ReleaseId>, force: bool) -> Result<Plan, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let mut hosts = Vec::new();
    let mut target = None;
    for (index, host) in request.spec.hosts.iter().enumerate() {
        let Some(observation) = request.observations.get(&host.name) else { continue };
        match host_plan(request, host, observation, to, force, index == 0) {
            Ok((plan, seen)) => {
                target.get_or_insert(seen);
                hosts.push(plan);
            }
            Err(more) => refusals.extend(more),
        }
    }
    let Some(target) = target.filter(|_| refusals.is_empty()) else { return Err(refusals) };
    let from = hosts.first().and_then(|h| h.bound.current.clone());
    Ok(Plan {
        format: FORMAT,
        goal: Goal::Rollback,
        app: request.spec.app.name.clone(),
        environment: request.spec.environment.clone(),
        at: request.at,
        release: Some(target.record.id),
        from,
        build_id: target.record.build_id,
        revision: target.record.revision,
        spec: spec_digest(request.spec),
        identity: Digest::of(b""),
        secrets: request.spec.secrets.clone(),
        hosts,
        findings: Vec::new(),
    })
}

/// Where a rollback of this host goes: by the order of commits, never by name or time.
pub fn target(ledger: &Ledger, to: Option<&ReleaseId>, force: bool) -> Result<ReleaseId, Refusal> {
    let Some(id) = to else {
        return ledger.previous().cloned().ok_or_else(|| {
            let help = "see what there is: deployfile releases";
            Refusal::new("plan::no-previous", "there is no good release before the current one", help)
        });
    };
    let help = "see what there is: deployfile releases";
    match ledger.releases.get(id).map(|facts| facts.state) {
        Some(ReleaseState::Good) => Ok(id.clone()),
        Some(ReleaseState::Bad) if force => Ok(id.clone()),
        Some(ReleaseState::Bad) => Err(Refusal::new(
            "plan::bad-release",
            format!("release {id} is bad: it was left once already"),
            "choose another one (deployfile releases), or go there knowingly with --force",
        )),
        Some(_) => Err(Refusal::new("plan::not-good", format!("release {id} was never committed"), help)),
        None => Err(Refusal::new("plan::unknown-release", format!("there is no release {id}"), help)),
    }
}

fn host_plan(
    request: &Request<'_>,
    host: &Host,
    observation: &Observation,
    to: Option<&ReleaseId>,
    force: bool,
    is_first: bool,
) -> Result<(HostPlan, SeenRelease), Vec<Refusal>> {
    // What deployfile did not make is never replaced. A release that can no longer be read may be left.
    if matches!(observation.current, CurrentLink::Foreign(_) | CurrentLink::NotALink) {
        let layout = Layout { root: observation.root.clone(), current: request.spec.app.current.clone() };
        current_refusal(observation, &layout.current()).map_or(Ok(()), |refusal| Err(vec![refusal]))?;
    }
    let seen = target_release(observation, to, force).map_err(|r| vec![r])?;
    let context = HostContext::for_release(request, host, observation, &seen.record).map_err(|r| vec![r])?;
    // Components of the release's own hooks were stored with it; today's file only says what happens on the way back.
    let mut refusals = hooks::refusals_in(&context, &[Stage::Revert, Stage::Failed]);
    let mut writer = Writer::new(&context, is_first);
    writer.kept_tail(&seen.tail);
    let steps = writer.take_steps();
    match finish(writer, &seen.tail, steps, Vec::new()) {
        Ok(plan) if refusals.is_empty() => Ok((plan, seen)),
        Ok(_) => Err(refusals),
        Err(more) => {
            refusals.extend(more);
            Err(refusals)
        }
    }
}

/// The release that the rollback goes to, when nothing stands against it.
fn target_release(
    observation: &Observation,
    to: Option<&ReleaseId>,
    force: bool,
) -> Result<SeenRelease, Refusal> {
    if let Some(refusal) = unfinished(&observation.ledger, force) {
        return Err(refusal);
    }
    let id = target(&observation.ledger, to, force)?;
    let current = match &observation.current {
        CurrentLink::Release(current) => current.clone(),
        _ => {
            let help = "deployfile status says what is served; deployfile apply makes a release";
            return Err(Refusal::new("plan::no-current", "no release is current", help));
        }
    };
    if current == id {
        let help = "name another one with --to; see deployfile releases";
        return Err(Refusal::new("plan::already-current", format!("release {id} is current already"), help));
    }
    let Some(seen) = observation.target_release.clone().filter(|seen| seen.record.id == id) else {
        let message = format!("release {id} cannot be read: it is not sealed, or was removed by hand");
        return Err(Refusal::new(
            "plan::target-unreadable",
            message,
            "choose another one: deployfile releases",
        ));
    };
    if !force && !seen.drift.is_empty() {
        return Err(drift(&seen));
    }
    Ok(seen)
}
