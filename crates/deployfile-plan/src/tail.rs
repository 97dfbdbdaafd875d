//! The tail of a run: switch, restart, verify, commit. The same steps for an apply, a rollback and a way back; what they
//! do is said by the tail of the release that they go to.

use crate::apply::manager_name;
use crate::fill::HostContext;
use crate::listing::{Listing, setting};
use crate::{Refusal, services};
use deployfile_model::service::{Manager, OnDeploy};
use deployfile_model::{ReleaseId, Stage};
use deployfile_record::effect::ServiceEffect;
use deployfile_record::{Effect, FORMAT, Tail, Why};

/// From which release to which.
pub(crate) struct Way<'a> {
    /// Where to; `None`: nothing is served afterwards.
    pub(crate) to: Option<(&'a ReleaseId, &'a Tail)>,
    /// What may be left from the other one.
    pub(crate) from: Option<(&'a ReleaseId, &'a Tail)>,
    /// It is a way back: everything belongs to the stage `revert`.
    pub(crate) back: bool,
}

impl Way<'_> {
    fn stage(&self, stage: Stage) -> Stage {
        if self.back { Stage::Revert } else { stage }
    }
    fn why(&self) -> Why {
        self.to.map_or(Why::Always, |(id, _)| if self.back { Why::Release(id.clone()) } else { Why::Always })
    }
}

/// The whole tail without commit, for a way back.
pub(crate) fn append(list: &mut Listing, way: Way<'_>) {
    switch(list, &way);
    restart(list, &way);
    verify(list, &way);
}

/// What this host's part of the spec makes of the release's tail.
pub(crate) fn of_host(context: &HostContext<'_>) -> Result<Tail, Refusal> {
    let mut probes = Vec::new();
    let mut effects = Vec::new();
    for service in context.host.services.iter() {
        let (effect, mut more) = services::tail_of(context, service)?;
        effects.push(effect);
        probes.append(&mut more);
    }
    let mut host_links = Vec::new();
    for link in context.host.links.iter().filter(|link| link.at.raw.starts_with('/')) {
        host_links.push(context.host_link(link)?);
    }
    Ok(Tail {
        format: FORMAT,
        build_id: Some(context.build_id.clone()),
        host_links,
        services: effects,
        probes,
        items: Vec::new(),
    })
}

pub(crate) fn switch(list: &mut Listing, way: &Way<'_>) {
    let stage = way.stage(Stage::Switch);
    let release = way.to.map(|(id, _)| id.clone());
    let what = match &release {
        Some(id) => format!("current → {id}"),
        None => "current is taken away".to_owned(),
    };
    list.main(stage, what, way.why(), Effect::EnsureCurrent { release });
    let wanted = way.to.map(|(_, tail)| tail.host_links.as_slice()).unwrap_or_default();
    for (at, to) in wanted {
        let effect = Effect::EnsureHostLink { at: at.clone(), to: Some(to.clone()) };
        list.main(stage, format!("link {at} → {to}"), way.why(), effect);
    }
    let old = way.from.map(|(_, tail)| tail.host_links.as_slice()).unwrap_or_default();
    for (at, _) in old.iter().filter(|(at, _)| !wanted.iter().any(|(w, _)| w == at)) {
        let effect = Effect::EnsureHostLink { at: at.clone(), to: None };
        list.main(stage, format!("link {at} is taken away"), way.why(), effect);
    }
}

pub(crate) fn restart(list: &mut Listing, way: &Way<'_>) {
    let stage = way.stage(Stage::Restart);
    let wanted = way.to.map(|(_, tail)| tail.services.as_slice()).unwrap_or_default();
    let old = way.from.map(|(_, tail)| tail.services.as_slice()).unwrap_or_default();
    let kept_by_us = |s: &&ServiceEffect| s.manager != Manager::External;
    let same = |a: &ServiceEffect, b: &ServiceEffect| a.name == b.name && a.manager == b.manager;
    // What goes, goes first: it may hold an address that the other release's services want.
    for service in old.iter().filter(kept_by_us).filter(|s| !wanted.iter().any(|w| same(w, s))) {
        let gone = ServiceEffect { release: None, ready: Vec::new(), ready_build: None, ..service.clone() };
        list.main(
            stage,
            format!("service {} is stopped and forgotten", service.name),
            way.why(),
            Effect::EnsureService(gone),
        );
    }
    for service in wanted.iter().filter(kept_by_us) {
        let verb = match (old.iter().any(|o| same(o, service)), service.on_deploy) {
            (false, _) => "start",
            (true, OnDeploy::Restart) => "restart",
            (true, OnDeploy::Reload) => "reload",
            (true, OnDeploy::Handover) => "hand over",
            (true, OnDeploy::None) => "keep",
        };
        let what = format!("{verb} {} ({})", service.name, manager_name(&service.manager));
        let mut service = service.clone();
        if way.back {
            // What is gone back from may hang, and answer in place of what comes back; and nothing better is left to
            // wait for. The probes of `revert` judge once it is gone.
            (service.ready, service.ready_build) = (Vec::new(), None);
        }
        list.main(stage, what, way.why(), Effect::EnsureService(service));
    }
}

pub(crate) fn verify(list: &mut Listing, way: &Way<'_>) {
    let Some((id, tail)) = way.to else { return };
    for (effect, why) in &tail.probes {
        let what = match effect {
            Effect::ProbeHealth { service, probe } => {
                format!("health of {service}: {}", services::asked(&probe.target))
            }
            Effect::ProbeBuild { service, build_id, .. } => {
                format!("{service} runs build {}", short(build_id.as_str()))
            }
            _ => continue,
        };
        let why = if way.back { Why::Release(id.clone()) } else { why.clone() };
        list.main(way.stage(Stage::Verify), what, why, effect.clone());
    }
}

pub(crate) fn commit(list: &mut Listing) {
    list.main(Stage::Commit, "promise the release", Why::Always, Effect::EnsureCommitted);
}

/// A commit or digest by its first 12 digits.
fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    if hex.len() >= 40 && hex.bytes().all(|b| b.is_ascii_hexdigit()) { &hex[..12] } else { id }
}

/// The place of a probe, for the tail that is stored.
pub(crate) fn probe_why(place: &deployfile_model::Place) -> Why {
    setting(place)
}
