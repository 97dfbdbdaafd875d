//! A run from its beginning to its exit code: what apply, rollback, clean and resume share.

use crate::error::{CliError, Stop, exit};
use crate::host::{self, LocalHost};
use crate::observing::component;
use crate::project::Opened;
use crate::secrets::RunSecrets;
use crate::terminal::Terminal;
use crate::verb::hidden::HOOK_HELPER;
use deployfile_disk::{AppendFile, Dir, Lock};
use deployfile_exec::{Clock, Ended, Journal, Listener, Mode, Run, drive};
use deployfile_hooks::{HookHost, HostConfig};
use deployfile_model::units::{Bytes, Millis, UnixTime};
use deployfile_model::{Digest, RunId, Spec};
use deployfile_record::effect::ProbeTarget;
use deployfile_record::event::{Event, What};
use deployfile_record::{Effect, Entry, Fact, Goal, HostPlan, Ledger, Plan, RunResult};
use deployfile_report::{Human, json_line, verdict};
use deployfile_system::{RootJournal, Store, ThisHost, process, release};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::Instant;

/// From this size on, in bytes, a run's history takes no more chatter (see [`is_chatter`]); that is only shown.
const HISTORY_BYTES: u64 = 16 << 20;
/// This program, also when its file was replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// A host under its lock, with its journal open for writing.
pub(crate) struct Locked {
    pub(crate) store: Store,
    pub(crate) journal: RootJournal,
    pub(crate) lock: Lock,
}

/// Takes the lock and opens the journal.
pub(crate) fn lock(local: &mut LocalHost, wait: Millis) -> Result<Locked, Stop> {
    let store = local.create()?;
    let lock = host::lock(&store, None, wait)?;
    let journal = store.journal().map_err(|e| e.failure())?;
    let root = local.dir()?;
    // What cannot be tidied now is tidied next time.
    let _ = store.tidy(root);
    let _ = release::sweep(root);
    Ok(Locked { store, journal, lock })
}

/// What came of planning.
pub(crate) enum Ready {
    /// The lock is held, and this is what runs under it.
    Go(Box<(Locked, Plan)>),
    /// There is nothing to do.
    Nothing(Box<Plan>),
}

/// Plans, asks, locks. A plan that a person is asked about is made without the lock (nobody else has to wait for the
/// answer) and made again under it; a refused plan leaves no trace on a host where nothing was ever run.
pub(crate) fn ready(
    local: &mut LocalHost,
    wait: Millis,
    terminal: Terminal,
    make: impl Fn(&LocalHost, Option<Ledger>) -> Result<Plan, Stop>,
) -> Result<Ready, Stop> {
    let early = match local.store()? {
        Some(_) if terminal.yes => Some(lock(local, wait)?),
        Some(store) => {
            // Whoever holds the lock is in the middle of something: what could be planned now would be wrong.
            drop(host::lock(&store, None, wait)?);
            None
        }
        None => None,
    };
    if early.is_none() {
        let plan = make(local, None)?;
        if !plan.changes() {
            return Ok(Ready::Nothing(Box::new(plan)));
        }
        agree(&plan, terminal)?;
    }
    let locked = match early {
        Some(locked) => locked,
        None => lock(local, wait)?,
    };
    let plan = make(local, Some(locked.journal.ledger().clone()))?;
    Ok(if plan.changes() { Ready::Go(Box::new((locked, plan))) } else { Ready::Nothing(Box::new(plan)) })
}

/// Shows the plan and asks; without a terminal only `--yes` is agreement.
fn agree(plan: &Plan, terminal: Terminal) -> Result<(), Stop> {
    if !terminal.yes && terminal.can_ask {
        terminal.say(&deployfile_report::plan::text(plan, terminal.talk_tone));
    }
    if terminal.agrees("go ahead?") {
        return Ok(());
    }
    let message = format!("{} was not agreed to, nothing was touched", plan.goal.name());
    Err(CliError::new("cli::not-agreed", exit::USAGE, message).help("without a terminal, say --yes").into())
}

/// Stores the plan and its components, begins the run and drives it.
pub(crate) fn begin(
    opened: &Opened,
    spec: &Spec,
    local: &LocalHost,
    locked: Locked,
    plan: &Plan,
    terminal: Terminal,
) -> Result<u8, Stop> {
    let host = host_plan(plan, local)?;
    if !terminal.is_json() {
        local.warnings.iter().for_each(|warning| terminal.say(&format!("warning: {warning}\n")));
    }
    let Locked { store, mut journal, lock } = locked;
    if plan.goal != Goal::Apply {
        let _ = store.use_reserve();
    }
    store_components(opened, spec, host, &store)?;
    // A run that is left behind: what it started may still write into its release.
    for fact in journal.ledger().open.iter().flat_map(|open| &open.facts) {
        if let Fact::Spawned { pid, start_ticks, boot, .. } = fact {
            process::end_leftover(*pid, *start_ticks, boot).map_err(|e| {
                CliError::from_error("process::leftover", exit::FAILED, &e)
                    .help(format!("end process group {pid} by hand"))
            })?;
        }
    }
    let digest = store.put_plan(plan).map_err(|e| e.failure())?;
    let run = new_run_id(journal.ledger(), plan);
    let entry = Entry {
        at: host::now(),
        run: Some(run.clone()),
        fact: Fact::Begin {
            goal: plan.goal,
            plan: digest,
            release: plan.release.clone(),
            from: host.bound.current.clone(),
            build_id: plan.build_id.clone(),
            revision: plan.revision.clone(),
            spec: plan.spec,
            who: format!("{}@{}", host::who(), host::machine()),
        },
    };
    journal.append(&entry)?;
    let mode = if plan.goal == Goal::Rollback { Mode::Rollback } else { Mode::Apply };
    go(local, Locked { store, journal, lock }, plan, host, &run, Vec::new(), mode, terminal)
}

/// Goes on with an open run from its stored plan. No deployfile takes part.
pub(crate) fn resume(
    local: &LocalHost,
    mut locked: Locked,
    open: deployfile_record::ledger::OpenRun,
    terminal: Terminal,
) -> Result<u8, Stop> {
    let _ = locked.store.use_reserve();
    let plan = locked.store.plan(&open.plan).map_err(|e| e.failure())?;
    let host = host_plan(&plan, local)?;
    let who = format!("{}@{}", host::who(), host::machine());
    let entry = Entry { at: host::now(), run: Some(open.run.clone()), fact: Fact::Resumed { who } };
    locked.journal.append(&entry)?;
    let mut facts = open.facts;
    facts.push(entry.fact);
    go(local, locked, &plan, host, &open.run, facts, Mode::Resume, terminal)
}

fn host_plan<'p>(plan: &'p Plan, local: &LocalHost) -> Result<&'p HostPlan, Stop> {
    let host = plan.host(&local.name).filter(|host| host.root == local.layout.root);
    host.ok_or_else(|| {
        let message = format!("the plan has no host `{}` with root {}", local.name, local.layout.root);
        CliError::new("plan::other-host", exit::REFUSED, message).help("make a new plan").into()
    })
}

#[allow(clippy::too_many_arguments, reason = "the parts of one run, named once, here")]
fn go(
    local: &LocalHost,
    locked: Locked,
    plan: &Plan,
    host: &HostPlan,
    run: &RunId,
    facts: Vec<Fact>,
    mode: Mode,
    terminal: Terminal,
) -> Result<u8, Stop> {
    let Locked { store, mut journal, lock } = locked;
    let root = local.dir()?;
    note_run(&lock, run);
    let mut effects = ThisHost::new(clone(root)?, local.layout.clone());
    let mut hooks = HookHost::new(HostConfig {
        cache: None,
        helper: Some(vec![THIS_PROGRAM.into(), HOOK_HELPER.into()]),
        user: None,
        secrets: Box::new(RunSecrets::new(plan)),
    });
    let mut listener = Telling::new(terminal, store.history_writer(run).ok());
    let clock = RealClock(Instant::now());
    let stop = crate::signals::stop();
    let ended = drive(Run {
        id: run,
        plan,
        host,
        facts,
        mode,
        journal: &mut journal,
        effects: &mut effects,
        hooks: &mut hooks,
        clock: &clock,
        listener: &mut listener,
        stop: &stop,
    });
    sweep(&store, journal.ledger());
    // Kept as soon as there is room again.
    let _ = store.keep_reserve();
    if matches!(&ended, Ended::Over { result: RunResult::Done, .. }) && !terminal.is_json() {
        tell_urls(host, terminal);
    }
    tell_end(ended, local, terminal)
}

/// Where a person can look: the URLs whose health was verified.
fn tell_urls(host: &HostPlan, terminal: Terminal) {
    for step in &host.steps {
        if let Effect::ProbeHealth { service, probe } = &step.effect
            && let ProbeTarget::Http(url) = &probe.target
        {
            terminal.say(&format!("{service} answers at {url}\n"));
        }
    }
}

fn clone(dir: &Dir) -> Result<Dir, Stop> {
    dir.try_clone().map_err(|e| CliError::from_error("disk::failed", exit::FAILED, &e).into())
}

/// Who holds the lock is told to others; that it is the run's id, too, is a convenience.
fn note_run(lock: &Lock, run: &RunId) {
    let note = deployfile_disk::LockNote {
        who: host::who(),
        from: host::machine(),
        since: host::now(),
        run: Some(run.clone()),
        pid: std::process::id(),
    };
    let _ = lock.set_note(&note);
}

fn tell_end(ended: Ended, local: &LocalHost, terminal: Terminal) -> Result<u8, Stop> {
    match ended {
        Ended::Over { result, .. } => Ok(deployfile_exec::drive::exit_code(result)),
        Ended::LeftOpen { changed, served } => {
            let served_line = verdict::served(&local.name, &served);
            if terminal.is_json() {
                terminal.document(&serde_json::json!({
                    "format": deployfile_record::FORMAT,
                    "event": "finished",
                    "host": local.name,
                    "result": "interrupted",
                    "exit": exit::INTERRUPTED,
                    "changed": changed,
                    "served": served,
                }))?;
            } else {
                terminal
                    .say(&format!("interrupted: nothing is lost\n{served_line}\nnext: deployfile resume\n"));
            }
            Ok(exit::INTERRUPTED)
        }
        Ended::Broken { failure, changed } => {
            let mut error = CliError::from(failure);
            error.changed = match changed {
                deployfile_record::event::Changed::None => "none",
                deployfile_record::event::Changed::Staged => "staged",
                _ => "unknown",
            };
            error.exit = if error.changed == "unknown" { exit::STUCK } else { exit::FAILED };
            Err(error.help("mend what the causes name, then: deployfile resume").into())
        }
    }
}

/// Histories of long ago, plans and components that nothing names any more. What is left is swept next time.
fn sweep(store: &Store, ledger: &Ledger) {
    let _ = store.sweep_histories(ledger);
    let mut components = BTreeSet::new();
    let plans = ledger.releases.values().map(|facts| facts.plan);
    for plan in plans.chain(ledger.open.iter().chain(&ledger.resumable).map(|open| open.plan)) {
        let Ok(plan) = store.plan(&plan) else { return };
        components.extend(plan.hosts.iter().flat_map(components_of));
    }
    let _ = store.sweep(ledger, &components.into_iter().collect::<Vec<_>>());
}

fn components_of(host: &HostPlan) -> Vec<Digest> {
    let steps = host.steps.iter().chain(&host.unwind).chain(&host.failed);
    steps
        .filter_map(|step| match &step.effect {
            Effect::CallHook(hook) => Some(hook.component),
            _ => None,
        })
        .collect()
}

/// A host can finish a run with no deployfile at hand: the components that its plan calls are stored first.
fn store_components(opened: &Opened, spec: &Spec, host: &HostPlan, store: &Store) -> Result<(), Stop> {
    let mut missing: BTreeSet<Digest> = components_of(host).into_iter().collect();
    missing.retain(|digest| store.component(digest).is_err());
    for plugin in spec.plugins.values() {
        if missing.is_empty() {
            return Ok(());
        }
        if let Ok(bytes) = component(opened, &plugin.component)
            && missing.remove(&Digest::of(&bytes))
        {
            store.put_component(&bytes).map_err(|e| e.failure())?;
        }
    }
    match missing.first() {
        None => Ok(()),
        Some(digest) => {
            let message = format!("the component {} of the plan is not there any more", digest.short());
            Err(CliError::new("plugin::digest", exit::REFUSED, message).help("make a new plan").into())
        }
    }
}

/// `<time>-<goal>`, with `-2`, `-3` … where one second saw several.
fn new_run_id(ledger: &Ledger, plan: &Plan) -> RunId {
    let stamp = plan.release.as_ref().filter(|_| plan.goal == Goal::Apply);
    let base = match stamp {
        Some(release) => format!("apply-{release}"),
        None => format!("{}-{}", plan.goal.name(), plan.at.0),
    };
    let base: String = base.chars().take(120).collect();
    let taken = |id: &RunId| ledger.runs.iter().any(|run| run.run == *id);
    let mut n = 1u32;
    loop {
        let text = if n == 1 { base.clone() } else { format!("{base}-{n}") };
        match RunId::new(text) {
            Ok(id) if !taken(&id) => return id,
            _ => n += 1,
        }
    }
}

struct RealClock(Instant);

impl Clock for RealClock {
    fn now(&self) -> UnixTime {
        host::now()
    }
    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Tells events to the user and into the run's history. Neither may stop the run.
struct Telling {
    terminal: Terminal,
    human: Human<io::Stderr>,
    history: Option<AppendFile>,
    /// The history is full, and says so.
    is_full: bool,
}

impl Telling {
    fn new(terminal: Terminal, history: Option<AppendFile>) -> Self {
        let human = Human::new(io::stderr(), terminal.talk_tone, terminal.live, terminal.verbosity);
        Self { terminal, human, history, is_full: false }
    }

    fn keep(&mut self, event: &Event, line: &str) {
        let Some(file) = &mut self.history else { return };
        let is_dropped = file.len() >= HISTORY_BYTES && is_chatter(&event.what);
        let kept = match (is_dropped, self.is_full) {
            (false, _) => file.append(format!("{line}\n").as_bytes()),
            (true, true) => Ok(()),
            (true, false) => {
                self.is_full = true;
                file.append(format!("{}\n", json_line(&full(event))).as_bytes())
            }
        };
        if kept.is_err() {
            self.history = None;
        }
    }
}

impl Listener for Telling {
    fn event(&mut self, event: &Event) {
        let line = json_line(event);
        if self.terminal.is_json() {
            let mut out = io::stdout().lock();
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        } else {
            let _ = self.human.event(event);
        }
        self.keep(event, &line);
    }
}

/// What programs, hooks and probes say, as much as they like. Everything else is bounded by the plan.
fn is_chatter(what: &What) -> bool {
    matches!(what, What::Output { .. } | What::Hook { .. } | What::Probe { .. })
}

/// Stands in a history for everything that it has no room for.
fn full(event: &Event) -> Event {
    let message = format!("this history is full ({}): more output is not kept", Bytes(HISTORY_BYTES));
    Event { what: What::Warning { message, help: None }, ..event.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use deployfile_model::{HostPath, Name, Phase, RelPath, Stage};
    use deployfile_record::event::Stream;

    fn event(seq: u64, what: What) -> Event {
        let (host, run) = (Name::new("h").unwrap(), RunId::new("r").unwrap());
        Event { format: 1, seq, host, run, ms: 0, what }
    }

    #[test]
    fn a_full_history_says_so_once_and_keeps_the_end() {
        let sandbox = deployfile_testkit::Sandbox::new("");
        let path = HostPath::new(sandbox.path().to_str().unwrap()).unwrap();
        let name = RelPath::new("r.jsonl").unwrap();
        let file = Dir::open_root(&path).unwrap().create_append(&name, 0o600).unwrap();
        let global = crate::args::Cli::parse_from(["deployfile", "schema"]).global;
        let mut telling = Telling::new(Terminal::new(&global), Some(file));
        let mut keep = |what| {
            let event = event(1, what);
            telling.keep(&event, &json_line(&event));
        };
        let said = |line: String| What::Output { stage: Stage::Build, step: 1, stream: Stream::Stdout, line };
        for _ in 0..40 {
            keep(said("x".repeat(1 << 20)));
        }
        keep(What::StepStarted { stage: Stage::Seal, phase: Phase::Main, step: 2, what: "the end".into() });
        let text = std::fs::read_to_string(sandbox.path().join("r.jsonl")).unwrap();
        assert!((text.len() as u64) < HISTORY_BYTES + (2 << 20), "{} bytes", text.len());
        assert_eq!(text.matches("this history is full").count(), 1);
        assert!(text.lines().last().unwrap().contains("the end"));
    }
}
