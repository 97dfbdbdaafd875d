//! `status`: what is served, by which services, and what is left to do. Reads only.

use crate::args::{EnvArg, Global};
use crate::error::{CliError, Stop, exit};
use crate::host::{self, LocalHost};
use crate::project;
use crate::terminal::Terminal;
use crate::verb::lock;
use crate::verb::releases::{current_id, stamp};
use crate::verb::service::{ServiceState, states};
use deployfile_disk::Dir;
use deployfile_exec::{Stop as Wish, Tell};
use deployfile_model::{Name, ReleaseId};
use deployfile_record::event::Stream;
use deployfile_record::ledger::OpenRun;
use deployfile_record::observation::CurrentLink;
use deployfile_record::{Effect, FORMAT, Failure, Ledger, Tail};
use deployfile_report::plan::short;
use deployfile_system::{current, observe, probe, release};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a service may take to say its build id before `status` goes on without it.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &EnvArg, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let opened = project::open(global, terminal)?;
    let environment = opened.environment(args.env.as_deref(), global)?;
    let spec = opened.spec(&environment, &BTreeMap::new(), terminal)?;
    let local = host::open(&spec)?;
    let status = look(&local)?;
    if terminal.is_json() {
        let hosts = json!([document(&local, &status)]);
        terminal.document(&json!({ "format": FORMAT, "environment": environment, "hosts": hosts }))?;
    } else {
        terminal.answer(&text(&local, &status))?;
    }
    Ok(exit::DONE)
}

struct Status {
    ledger: Ledger,
    current: Option<ReleaseId>,
    served: Option<String>,
    services: Vec<ServiceState>,
    lock: Value,
    drift: Vec<String>,
    trouble: Option<Trouble>,
}

/// Why what is served is not a release of this root, and what mends it.
struct Trouble {
    what: String,
    next: String,
}

fn look(local: &LocalHost) -> Result<Status, Stop> {
    let (ledger, holder) = local.ledger_and_holder()?;
    let current = current_id(local)?;
    let known = current.as_ref().filter(|id| ledger.releases.contains_key(id));
    let (mut drift, mut services, mut served) = (Vec::new(), Vec::new(), None);
    let mut trouble = trouble_of_link(local, &ledger)?;
    if let (Some(id), Some(root)) = (known, &local.root) {
        match whole(root, id) {
            Err(failure) if UNREADABLE.contains(&failure.code.as_str()) => {
                let next = "deployfile rollback".to_owned();
                trouble = Some(Trouble { what: failure.to_string(), next });
            }
            read => {
                let (found, tail) = read?;
                drift = found;
                services = states(local, &tail)?;
                served = ask_build(tail.probes.iter().map(|(effect, _)| effect));
            }
        }
    }
    Ok(Status { lock: lock::document(holder.as_ref()), ledger, current, served, services, drift, trouble })
}

/// The drift of a release, and its tail.
fn whole(root: &Dir, id: &ReleaseId) -> Result<(Vec<String>, Tail), Failure> {
    let drift = observe::drift(root, id)?;
    let tail = release::read_tail(&release::open(root, id)?)?;
    let unsealed =
        || Failure::new("release::not-sealed", format!("release {id} was not rendered completely"));
    Ok((drift, tail.ok_or_else(unsealed)?))
}

/// What a current release is when it can no longer say what it is.
const UNREADABLE: [&str; 3] = [release::DAMAGED, "release::not-sealed", "release::missing"];

/// A link that names nothing of ours, or is none.
fn trouble_of_link(local: &LocalHost, ledger: &Ledger) -> Result<Option<Trouble>, Stop> {
    let Some(root) = &local.root else { return Ok(None) };
    let link = local.layout.current();
    let away = format!("mv {link} {link}.before, then: deployfile apply");
    let trouble = match current::read(root, &local.layout.root, &local.layout.current)? {
        CurrentLink::NotALink => (format!("{link} is a real directory or file, not a link"), away),
        CurrentLink::Foreign(to) => (format!("{link} points to {to}, outside of releases/"), away),
        CurrentLink::Release(id) if !ledger.releases.contains_key(&id) => {
            (format!("{link} names {id}, which the journal does not know"), "deployfile rollback".to_owned())
        }
        CurrentLink::Absent if !ledger.committed.is_empty() => {
            (format!("{link} is not there, and a release was committed"), "deployfile apply".to_owned())
        }
        CurrentLink::Absent | CurrentLink::Release(_) => return Ok(None),
    };
    Ok(Some(Trouble { what: trouble.0, next: trouble.1 }))
}

/// Asks the running service once, where the release says how.
fn ask_build<'a>(effects: impl Iterator<Item = &'a Effect>) -> Option<String> {
    let mut effects = effects;
    let probe = effects.find_map(|effect| match effect {
        Effect::ProbeBuild { probe, .. } => Some(probe.clone()),
        _ => None,
    })?;
    let asked = probe::plain(&probe).ok()?;
    probe::answer(&asked, ANSWER_WITHIN, &Wish::new(), &mut Silent).ok()
}

/// The tail of a release that the journal knows.
pub(crate) fn tail_of(root: &Dir, id: &ReleaseId) -> Result<Tail, Stop> {
    let read = || -> Result<Option<Tail>, Failure> { Ok(release::read_tail(&release::open(root, id)?)?) };
    read()?.ok_or_else(|| {
        let error = CliError::new(
            "release::not-sealed",
            exit::REFUSED,
            format!("release {id} was not rendered completely"),
        );
        error.help("deployfile resume finishes it").into()
    })
}

/// Nobody listens to the probes of `status`.
struct Silent;

impl Tell for Silent {
    fn output(&mut self, _: Stream, _: &str) {}
    fn probe(&mut self, _: &Name, _: u32, _: bool, _: &str) {}
    fn hook(&mut self, _: &Name, _: &str, _: &str) {}
    fn warning(&mut self, _: &str, _: Option<&str>) {}
    fn spawned(&mut self, _: u32, _: u64, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

impl Status {
    /// The open run, where somebody is at work on it; else it was interrupted.
    fn running(&self) -> Option<&OpenRun> {
        self.ledger.open.as_ref().filter(|_| !self.lock.is_null())
    }
    fn interrupted(&self) -> Option<&OpenRun> {
        self.ledger.open.as_ref().filter(|_| self.lock.is_null())
    }
}

fn document(local: &LocalHost, status: &Status) -> Value {
    let facts = status.current.as_ref().and_then(|id| status.ledger.releases.get(id));
    let run =
        |open: &OpenRun| json!({ "run": open.run, "stage": stage(local, open), "stuck": open.is_stuck() });
    json!({
        "name": local.name,
        "root": local.layout.root,
        "current": status.current,
        "previous": status.ledger.previous(),
        "build_id": facts.and_then(|facts| facts.build_id.clone()),
        "served_build_id": status.served,
        "services": status.services.iter().map(ServiceState::document).collect::<Vec<_>>(),
        "lock": status.lock,
        "running": status.running().map(run),
        "interrupted": status.interrupted().map(run),
        "left_stuck": status.ledger.left_stuck,
        "drift": status.drift,
        "trouble": status.trouble.as_ref().map(|trouble| trouble.what.as_str()),
    })
}

/// The stage that an open run was in.
fn stage(local: &LocalHost, open: &OpenRun) -> Option<&'static str> {
    let plan = local.store().ok()??.plan(&open.plan).ok()?;
    let host = plan.host(&local.name)?;
    let last = open.facts.iter().rev().find_map(deployfile_record::Fact::intent)?;
    let machine = deployfile_engine::Machine::new(host);
    Some(machine.step(last)?.stage.name())
}

fn text(local: &LocalHost, status: &Status) -> String {
    let mut out = format!("{}  {}\n", local.name, local.layout.root);
    let mut line = |key: &str, value: &str| out.push_str(&format!("  {key:10} {value}\n"));
    match &status.current {
        None => line("current", "nothing is served"),
        Some(id) => {
            let build = status.ledger.releases.get(id).and_then(|facts| facts.build_id.as_ref());
            let build = build.map(|id| format!(" (build {})", short(id.as_str()))).unwrap_or_default();
            line("current", &format!("{id}{build}"));
        }
    }
    if let Some(trouble) = &status.trouble {
        line("trouble", &trouble.what);
    }
    if let Some(previous) = status.ledger.previous() {
        line("previous", previous.as_str());
    }
    if let Some(served) = &status.served {
        line("serves", &format!("build {}", short(served)));
    }
    for service in &status.services {
        line("service", &service.line());
    }
    line("lock", &lock::line(&status.lock));
    for drift in &status.drift {
        line("drift", drift);
    }
    let run = |open: &OpenRun| {
        let stage = stage(local, open).map(|stage| format!(" in stage {stage}")).unwrap_or_default();
        format!("run {}{stage}", open.run)
    };
    if let Some(open) = status.running() {
        let started = status.ledger.runs.iter().rev().find(|known| known.run == open.run);
        let by = started.map(|known| format!(", {} since {}", known.who, stamp(known.started)));
        line("running", &format!("{}{}", run(open), by.unwrap_or_default()));
    }
    if let Some(run) = &status.ledger.left_stuck {
        line(
            "left stuck",
            &format!("run {run}: what runs may not be what current is; deployfile apply makes it so"),
        );
    }
    if let Some(open) = status.interrupted() {
        line(if open.is_stuck() { "stuck" } else { "interrupted" }, &run(open));
        out.push_str("next: deployfile resume\n");
    } else if let Some(trouble) = &status.trouble {
        out.push_str(&format!("next: {}\n", trouble.next));
    }
    out
}
