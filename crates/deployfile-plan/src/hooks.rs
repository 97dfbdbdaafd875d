//! Hook calls, and what stands against them before anything runs.

use crate::Refusal;
use crate::fill::HostContext;
use deployfile_model::grant::Plugin;
use deployfile_model::stage::{HookUse, Item};
use deployfile_model::{Digest, Host, Name, Phase, Place, Spec, Stage};
use deployfile_record::HookCall;
use deployfile_record::observation::PluginFacts;
use deployfile_record::plan::Finding;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The call of a `hook` line.
pub(crate) fn call(
    context: &HostContext<'_>,
    stage: Stage,
    phase: Phase,
    hook: &HookUse,
) -> Result<HookCall, Refusal> {
    let Some((plugin, facts)) = known(context, &hook.plugin) else {
        let message = format!("plugin `{}` was not observed", hook.plugin);
        return Err(Refusal::new("bug::plugin", message, "report this").at(&hook.place));
    };
    let mut config = plugin.config.clone();
    config.extend(hook.config.clone());
    Ok(HookCall {
        plugin: hook.plugin.clone(),
        component: facts.digest,
        grants: plugin.allow.clone(),
        config: serde_json::Value::Object(config.into_iter().collect()).to_string(),
        limits: plugin.limits,
        on_error: hook.on_error,
        once: hook.once,
        stage,
        phase,
        lookups: context.lookups(),
    })
}

/// The components that the plan calls.
pub(crate) fn digests(context: &HostContext<'_>) -> BTreeMap<Name, Digest> {
    let used = used(context.host);
    let facts = context.observation.plugins.iter();
    facts
        .filter(|(name, _)| used.contains_key(name))
        .map(|(name, facts)| (name.clone(), facts.digest))
        .collect()
}

/// Why a plugin that a hook names must not be called.
pub(crate) fn refusals(context: &HostContext<'_>) -> Vec<Refusal> {
    of_host(context.host, context.spec, &context.observation.plugins)
}

/// The same, for the hooks of some stages only.
pub(crate) fn refusals_in(context: &HostContext<'_>, stages: &[Stage]) -> Vec<Refusal> {
    let mut host = context.host.clone();
    Arc::make_mut(&mut host.stages).retain(|stage, _| stages.contains(stage));
    of_host(&host, context.spec, &context.observation.plugins)
}

/// Why plugins that the hooks of a specification name must not be called: what stands against them on every host.
pub fn plugin_refusals(spec: &Spec, observed: &BTreeMap<Name, PluginFacts>) -> Vec<Refusal> {
    let mut out: Vec<Refusal> = Vec::new();
    for refusal in spec.hosts.iter().flat_map(|host| of_host(host, spec, observed)) {
        if !out.contains(&refusal) {
            out.push(refusal);
        }
    }
    out
}

fn of_host(host: &Host, spec: &Spec, observed: &BTreeMap<Name, PluginFacts>) -> Vec<Refusal> {
    let mut out = Vec::new();
    for (name, place) in used(host) {
        let (Some(plugin), Some(facts)) = (spec.plugins.get(&name), observed.get(&name)) else { continue };
        out.extend(refusal(plugin, facts).map(|refusal| refusal.at(&place)));
    }
    out
}

fn refusal(plugin: &Plugin, facts: &PluginFacts) -> Option<Refusal> {
    let name = &plugin.name;
    if let Some(why) = &facts.unusable {
        let message = format!("plugin `{name}`: {}: {why}", plugin.component);
        return Some(Refusal::new(
            "plugin::unusable",
            message,
            "build it again: it must be a component of hook.wit",
        ));
    }
    match facts.pinned {
        None => {
            let message = format!("plugin `{name}` is not pinned in deployfile.lock");
            let help = format!("look at it and pin it: deployfile plugin lock {name}");
            return Some(Refusal::new("plugin::unpinned", message, help));
        }
        Some(pinned) if pinned != facts.digest => {
            let message = format!(
                "plugin `{name}`: {} has digest {}, deployfile.lock pins {pinned}",
                plugin.component, facts.digest
            );
            let help = format!(
                "put the pinned component back, or accept the new one: deployfile plugin lock {name}"
            );
            return Some(Refusal::new("plugin::digest", message, help));
        }
        Some(_) => {}
    }
    if facts.missing_grants.is_empty() {
        return None;
    }
    let message = format!("plugin `{name}` asks for more than it is granted");
    let help = format!("add to `plugin {name}`, if you agree: {}", facts.missing_grants.join("; "));
    Some(Refusal::new("plugin::grant", message, help))
}

/// Grants that a plugin never asks for.
pub(crate) fn findings(context: &HostContext<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for name in used(context.host).keys() {
        let Some((_, facts)) = known(context, name) else { continue };
        for grant in &facts.unused_grants {
            let message = format!("plugin `{name}` is granted `{grant}` but never asks for it");
            out.push(Finding { severity: "warning".to_owned(), message });
        }
    }
    out
}

fn known<'a>(context: &'a HostContext<'_>, name: &Name) -> Option<(&'a Plugin, &'a PluginFacts)> {
    Some((context.spec.plugins.get(name)?, context.observation.plugins.get(name)?))
}

/// Plugins that hooks of this host name, each with the place of its first use.
fn used(host: &Host) -> BTreeMap<Name, Place> {
    let mut out = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for stage in host.stages.values() {
        for item in stage.before.iter().chain(&stage.main).chain(&stage.after) {
            if let Item::Hook(hook) = item
                && seen.insert(&hook.plugin)
            {
                out.insert(hook.plugin.clone(), hook.place.clone());
            }
        }
    }
    out
}
