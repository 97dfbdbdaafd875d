//! `service`: what keeps running between deploys.

use super::app::{argument, default, default_argument, place_of};
use super::layers::{MOST_USES, carries};
use super::line::{Line, choose, name, number};
use super::{Cx, host, not_built};
use crate::lookups::Where;
use crate::merge::{Block, Setting};
use crate::suggest::did_you_mean;
use crate::tree::{Data, Node, Value};
use deployfile_model::probe::{Expect, Health, RunningBuild, Target};
use deployfile_model::service::{Drain, Manager, OnDeploy, Service, Signal, Stop};
use deployfile_model::{HostPath, Name, Text};
use deployfile_render::expr::lookups;
use std::collections::{BTreeMap, BTreeSet};

const ON_DEPLOY: [(&str, OnDeploy); 4] = [
    ("restart", OnDeploy::Restart),
    ("reload", OnDeploy::Reload),
    ("handover", OnDeploy::Handover),
    ("none", OnDeploy::None),
];

/// The services that a host with `roles` runs, sorted by name.
pub(super) fn services<'p>(
    cx: &mut Cx<'p, '_>,
    block: &Block<'p>,
    roles: &[&str],
    around: &BTreeMap<&'p str, Vec<&[&'p str]>>,
) -> Vec<Service> {
    let runs =
        |id: &str, setting: &Setting<'p>| !is_abstract(setting) && runs_here(setting, around.get(id), roles);
    let here: Vec<_> = block.named("service").filter(|(id, setting)| runs(id, setting)).collect();
    let all: BTreeMap<&str, &Setting<'_>> = block.named("service").collect();
    let complete: Vec<bool> = here.iter().map(|(id, setting)| has_its_bases(cx, &all, id, setting)).collect();
    one_service_at_an_address(cx, &here);
    let names: BTreeSet<&str> = here.iter().map(|(id, _)| *id).collect();
    not_built::collect(cx, block, &|kind, id| kind == "service" && names.contains(id));
    let complete = here.iter().zip(complete).filter(|(_, complete)| *complete).map(|(service, _)| service);
    complete.filter_map(|(id, setting)| service(cx, id, setting)).collect()
}

fn is_abstract(setting: &Setting<'_>) -> bool {
    let line = setting.block.get("abstract").and_then(Setting::line);
    line.is_some_and(|node| node.args.first().is_none_or(|value| value.data != Data::Bool(false)))
}

/// What a service uses must be there on every host on which it runs, and must not use the service itself.
fn has_its_bases(
    cx: &mut Cx<'_, '_>,
    all: &BTreeMap<&str, &Setting<'_>>,
    id: &str,
    setting: &Setting<'_>,
) -> bool {
    let before = cx.findings.said();
    for value in setting.block.get("use").map(Setting::arguments).unwrap_or_default() {
        let Some(base) = value.text() else { continue };
        if !all.contains_key(base) {
            let message = format!("service `{id}` uses `{base}`, which is not there on {}", cx.who);
            cx.findings
                .error("config::undeclared", value.at, message)
                .help("declare it at the top level, or where this one is declared")
                .maybe_help(did_you_mean(base, all.keys().copied()));
        } else if let Some(circle) = circle(all, id, base) {
            cx.findings
                .error("config::use", value.at, format!("service `{id}` uses itself: {circle}"))
                .help("delete one of the `use`s");
        } else if is_too_deep(all, base) {
            let message = format!("service `{id}` uses services more than {MOST_USES} deep");
            cx.findings.error("config::use", value.at, message).help("use one of them directly");
        }
    }
    cx.findings.said() == before
}

/// Whether a chain of more than [`MOST_USES`] services begins with this one.
fn is_too_deep(all: &BTreeMap<&str, &Setting<'_>>, base: &str) -> bool {
    let mut level: BTreeSet<&str> = BTreeSet::from([base]);
    for _ in 0..MOST_USES {
        let bases = level.iter().filter_map(|id| all.get(id)).flat_map(|setting| setting.bases());
        level = bases.collect();
    }
    !level.is_empty()
}

/// The way from `id` over `base` back to `id`, if there is one. Longer ones than [`MOST_USES`] are not looked for.
fn circle(all: &BTreeMap<&str, &Setting<'_>>, id: &str, base: &str) -> Option<String> {
    let mut ways = vec![vec![base]];
    let mut seen = BTreeSet::from([base]);
    while let Some(way) = ways.pop() {
        let last = *way.last()?;
        if last == id {
            return Some([&[id][..], &way].concat().join(" → "));
        }
        let next =
            all.get(last).filter(|_| way.len() <= MOST_USES).into_iter().flat_map(|setting| setting.bases());
        ways.extend(next.filter(|next| seen.insert(next)).map(|next| [&way[..], &[next]].concat()));
    }
    None
}

/// Connections to an address go to one service; two would take them from each other.
fn one_service_at_an_address(cx: &mut Cx<'_, '_>, services: &[(&str, &Setting<'_>)]) {
    let mut taken: BTreeMap<String, (&str, &Value)> = BTreeMap::new();
    for (id, setting) in services {
        for value in setting.block.items("listen").flat_map(|node| &node.args) {
            let text = value.as_text();
            // With `{{ service }}` one text is an address of each.
            if lookups(&text).iter().any(|name| name == "service") {
                continue;
            }
            let Some((other, first)) = taken.insert(text.clone(), (id, value)) else { continue };
            if other != *id {
                let related = cx.findings.related(first.at, format!("service {other}"));
                cx.findings
                    .error(
                        "config::service",
                        value.at,
                        format!("services `{other}` and `{id}` listen on `{text}`"),
                    )
                    .label(format!("service {id}"))
                    .help("give each an address of its own")
                    .related
                    .push(related);
            }
        }
    }
}

/// Whether something with `roles` of its own, in the blocks of the roles `around` it, or in a block of the host itself, applies
/// to a host.
pub(super) fn runs_here(setting: &Setting<'_>, around: Option<&Vec<&[&str]>>, roles: &[&str]) -> bool {
    let own = setting.block.get("roles").map(|s| s.arguments());
    match (own, around) {
        (Some(own), _) => own.iter().filter_map(|v| v.text()).any(|role| roles.contains(&role)),
        (None, Some(around)) => {
            let of_role = around.iter().any(|wanted| carries(roles, wanted));
            of_role || setting.mentions.iter().any(|d| d.scope.host.is_some())
        }
        (None, None) => true,
    }
}

fn service<'p>(cx: &mut Cx<'p, '_>, id: &str, setting: &Setting<'p>) -> Option<Service> {
    let at = setting.at().unwrap_or_else(|| cx.main());
    let block = &setting.block;
    let line = |name: &'static str| Line::new("service", name, block.get(name).and_then(Setting::line));
    let (word, manager) = manager(setting);
    let command = block.get("command").map(Setting::arguments).unwrap_or_default();
    let command = command.into_iter().map(|value| cx.text(value, Where::Service)).collect();
    let directory = match argument(setting, "directory") {
        Some(value) => cx.text(value, Where::Service),
        None => default_argument(cx, "service", "directory", at),
    };
    let listen = block.items("listen").flat_map(|n| &n.args).map(|v| cx.text(v, Where::Service)).collect();
    let on_deploy =
        argument(setting, "on-deploy").and_then(Value::text).unwrap_or(default("service", "on-deploy"));
    let (stop, reload) = (line("stop"), line("reload"));
    let numprocs = argument(setting, "numprocs").and_then(number);
    let service = Service {
        name: Name::new(id).ok()?,
        manager: manager.clone().unwrap_or(Manager::External),
        command,
        directory,
        numprocs: numprocs.or_else(|| default("service", "numprocs").parse().ok())?,
        user: argument(setting, "user").and_then(name),
        listen,
        on_deploy: choose(on_deploy, &ON_DEPLOY),
        env: host::environment(cx, block, Where::Service),
        stop: Stop { signal: stop.word("signal", &Signal::ALL), timeout: stop.duration("timeout") },
        reload_signal: reload.word("signal", &Signal::ALL),
        drain: drain(cx, block),
        health: block.items("health").filter_map(|node| health(cx, node)).collect(),
        running_build: running_build(cx, block),
        place: place_of(cx, setting),
    };
    consistent(cx, &service, word, setting);
    manager.map(|_| service)
}

/// The manager's word, and what it is; `None`: it is not built yet, so the service cannot be part of what is planned.
fn manager<'p>(setting: &Setting<'p>) -> (&'p str, Option<Manager>) {
    let node = setting.block.get("manager").and_then(Setting::line);
    let word =
        node.and_then(|n| n.args.first()).and_then(Value::text).unwrap_or(default("service", "manager"));
    let manager = match word {
        "supervisor" => {
            let line = Line::new("service", "manager", node);
            match HostPath::new(line.text("socket")) {
                Ok(socket) => Some(Manager::Supervisor { socket }),
                Err(_) => unreachable!("the schema lets only absolute paths through"),
            }
        }
        "external" => Some(Manager::External),
        "builtin" => Some(Manager::Builtin),
        _ => None,
    };
    (word, manager)
}

/// What one setting of a service means for another.
fn consistent(cx: &mut Cx<'_, '_>, service: &Service, manager: &str, setting: &Setting<'_>) {
    let at = setting.at().unwrap_or_else(|| cx.main());
    let at_of = |name: &'static str| setting.block.get(name).and_then(Setting::at).unwrap_or(at);
    let id = &service.name;
    // A container has a command of its own.
    if service.command.is_empty() && !matches!(manager, "external" | "container") {
        let names = cx.project.service_names();
        let others = names.iter().filter(|n| *n != id).map(Name::as_str);
        cx.findings
            .error("config::missing", at, format!("service `{id}` has no `command`"))
            .help("say what it runs: `command \"{{ release }}/bin/app\"`, or that it is `manager external`")
            .maybe_help(did_you_mean(id.as_str(), others));
    }
    let first_listen = setting.block.items("listen").next().map(|n| n.name.at);
    if let Some(listen) = first_listen.filter(|_| !matches!(manager, "builtin" | "systemd")) {
        let help = match manager {
            "container" => "a container's ports are published: `publish \"127.0.0.1:8080\" 80`",
            _ => "only the builtin manager holds sockets and hands them over",
        };
        cx.findings
            .error("config::service", listen, format!("service `{id}`: `listen` needs `manager builtin`"))
            .help(help);
    }
    let first_publish = setting.block.items("publish").next().map(|n| n.name.at);
    if let Some(publish) = first_publish.filter(|_| manager != "container") {
        cx.findings
            .error("config::service", publish, format!("service `{id}`: `publish` needs `manager container`"))
            .help("other managers' processes listen on the host themselves");
    }
    if service.on_deploy == OnDeploy::Handover && service.listen.is_empty() {
        let (needs, help) = match manager {
            "builtin" | "systemd" => (
                "`listen`",
                "old and new process share the socket that `listen` names; without it use `restart`",
            ),
            _ => (
                "`manager builtin`",
                "only the builtin manager holds sockets and hands them over; use `restart`",
            ),
        };
        cx.findings
            .error(
                "config::service",
                at_of("on-deploy"),
                format!("service `{id}`: `on-deploy handover` needs {needs}"),
            )
            .help(help);
    }
    let without_effect = ["command", "directory", "numprocs", "user", "env", "stop", "reload"]
        .into_iter()
        .filter(|_| manager == "external");
    for name in without_effect.filter(|name| setting.block.get(name).is_some()) {
        cx.findings
            .warning(
                "config::no-effect",
                at_of(name),
                format!("service `{id}`: an external manager heeds no `{name}`"),
            )
            .help("delete it, or choose `manager builtin`");
    }
    let socket = setting.block.get("manager").and_then(Setting::line).and_then(|node| node.prop("socket"));
    if let Some(socket) = socket.filter(|_| manager != "supervisor") {
        cx.findings
            .warning(
                "config::no-effect",
                socket.at,
                format!("service `{id}`: `manager {manager}` has no `socket=`"),
            )
            .help("delete it, or choose `manager supervisor`");
    }
}

fn texts<'p>(cx: &mut Cx<'p, '_>, node: Option<&'p Node>) -> Vec<Text> {
    node.map(|n| n.args.iter().map(|v| cx.text(v, Where::Service)).collect()).unwrap_or_default()
}

fn drain<'p>(cx: &mut Cx<'p, '_>, block: &Block<'p>) -> Option<Drain> {
    let line = Line::new("service", "drain", Some(block.get("drain")?.line()?));
    let file = line.prop("file").map(|v| cx.text(v, Where::Service));
    Some(Drain { file, wait: line.duration("wait") })
}

fn target<'p>(cx: &mut Cx<'p, '_>, node: &'p Node) -> Option<Target> {
    if let Some(url) = node.prop("http") {
        return Some(Target::Http(cx.text(url, Where::Service)));
    }
    if let Some(address) = node.prop("tcp") {
        return Some(Target::Tcp(cx.text(address, Where::Service)));
    }
    let program = cx.text(node.prop("exec")?, Where::Service);
    Some(Target::Exec(std::iter::once(program).chain(texts(cx, Some(node))).collect()))
}

fn health<'p>(cx: &mut Cx<'p, '_>, node: &'p Node) -> Option<Health> {
    let line = Line::new("service", "health", Some(node));
    let json = line.prop("json").and_then(|value| {
        let text = cx.text(value, Where::Service);
        let (key, wanted) = text.raw.split_once('=')?;
        Some((key.to_owned(), Text { raw: wanted.to_owned(), place: text.place.clone() }))
    });
    let expect = Expect {
        status: line.prop("expect").and_then(number).and_then(|n| u16::try_from(n).ok()),
        contains: line.prop("contains").map(|v| cx.text(v, Where::Service)),
        json,
    };
    let (within, interval) = (line.duration("within"), line.duration("interval"));
    Some(Health { target: target(cx, node)?, expect, within, interval, place: cx.place(node.name.at) })
}

fn running_build<'p>(cx: &mut Cx<'p, '_>, block: &Block<'p>) -> Option<RunningBuild> {
    let node = block.get("running-build")?.line()?;
    let line = Line::new("service", "running-build", Some(node));
    Some(RunningBuild {
        target: target(cx, node)?,
        json: line.prop("json").map(Value::as_text),
        within: line.duration("within"),
        interval: line.duration("interval"),
        place: cx.place(node.name.at),
    })
}
