//! Goal `clean`: prune by retention.

use crate::apply::{bound, unfinished};
use crate::listing::{Listing, setting};
use crate::retention::{Situation, victims};
use crate::{Refusal, Request, spec_digest};
use deployfile_model::{Digest, Host, Stage};
use deployfile_record::{Effect, FORMAT, Goal, HostPlan, Observation, Plan};

pub(crate) fn plan(request: &Request<'_>) -> Result<Plan, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let mut hosts = Vec::new();
    for host in &request.spec.hosts {
        let Some(observation) = request.observations.get(&host.name) else { continue };
        match unfinished(&observation.ledger, false) {
            Some(refusal) => refusals.push(refusal),
            None => hosts.push(host_plan(request, host, observation)),
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    Ok(Plan {
        format: FORMAT,
        goal: Goal::Clean,
        app: request.spec.app.name.clone(),
        environment: request.spec.environment.clone(),
        at: request.at,
        release: None,
        from: hosts.first().and_then(|h: &HostPlan| h.bound.current.clone()),
        build_id: None,
        revision: None,
        spec: spec_digest(request.spec),
        identity: Digest::of(b""),
        secrets: Default::default(),
        hosts,
        findings: Vec::new(),
    })
}

fn host_plan(request: &Request<'_>, host: &Host, observation: &Observation) -> HostPlan {
    let rule = &request.spec.retention;
    let ledger = &observation.ledger;
    let mut kept = observation.in_use.clone();
    kept.extend(observation.current.release().cloned());
    kept.extend(ledger.previous().cloned());
    let mut list = Listing::default();
    for victim in victims(&Situation { ledger, rule, kept, at: request.at }) {
        let what = format!("remove release {} ({})", victim.release, victim.reason);
        let effect = Effect::EnsurePruned { release: victim.release };
        list.main(Stage::Prune, what, setting(&rule.place), effect);
    }
    HostPlan {
        host: host.name.clone(),
        roles: host.roles.clone(),
        root: observation.root.clone(),
        current: request.spec.app.current.clone(),
        user: request.spec.app.user.clone(),
        bound: bound(observation),
        steps: list.steps(),
        unwind: Vec::new(),
        failed: Vec::new(),
        diffs: Vec::new(),
    }
}
