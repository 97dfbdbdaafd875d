//! The loop over a simulated host that is killed at every boundary: before and after each effect and each append of
//! the journal. Whatever the boundary, `resume` (again killed anywhere, once) must end in new or in old, whole.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_exec::{
    Call, Clock, Effects, Ended, Hooks, Journal, Listener, Mode, Outcome, Run, Stop, Tell, drive,
};
use deployfile_model::service::{Manager, OnDeploy};
use deployfile_model::units::UnixTime;
use deployfile_model::{Digest, HostPath, Name, Phase, ReleaseId, RunId, Stage};
use deployfile_record::effect::{SealEffect, ServiceEffect};
use deployfile_record::event::{Event, What};
use deployfile_record::hook::HookAnswer;
use deployfile_record::plan::{Bound, Why};
use deployfile_record::{
    Effect, Entry, Fact, Failure, Goal, HookCall, HostPlan, Ledger, Plan, ReleaseState, RunResult, Step,
};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// A host whose memory survives the death of the process, with a budget of boundaries until it dies.
#[derive(Clone, Default)]
struct World {
    entries: Vec<Entry>,
    current: Option<ReleaseId>,
    serving: Option<ReleaseId>,
    sealed: BTreeSet<ReleaseId>,
    /// Boundaries left until the process dies; `None`: it lives.
    lives: Option<u32>,
    /// Boundaries passed.
    passed: u32,
    /// The new release never becomes healthy.
    sick: bool,
    /// A probe of the new build was asked while current was the old one, or the other way round.
    mixed: bool,
}

/// The process was killed here: nothing after it happens.
fn dead() -> Failure {
    Failure::new("test::killed", "killed")
}

impl World {
    fn boundary(&mut self) -> Result<(), Failure> {
        self.passed += 1;
        match &mut self.lives {
            Some(0) => Err(dead()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
    fn is_dead(&self) -> bool {
        self.lives == Some(0)
    }
}

type Shared = Rc<RefCell<World>>;

struct Log(Shared);
impl Journal for Log {
    fn append(&mut self, entry: &Entry) -> Result<(), Failure> {
        let mut world = self.0.borrow_mut();
        world.boundary()?;
        world.entries.push(entry.clone());
        world.boundary()
    }
}

struct Host(Shared);
impl Effects for Host {
    fn perform(&mut self, call: &Call<'_>, _: &mut dyn Tell) -> Result<Outcome, Failure> {
        let mut world = self.0.borrow_mut();
        world.boundary()?;
        let release = call.plan.release.clone().unwrap();
        match &call.step.effect {
            Effect::EnsureSealed(_) => {
                world.sealed.insert(release);
                world.boundary()?;
                return Ok(Outcome::Sealed { tree: Digest::of(b"tree"), bytes: 1 });
            }
            Effect::EnsureCurrent { release } => {
                assert!(
                    release.as_ref().is_none_or(|id| world.sealed.contains(id)),
                    "switched to an unsealed release"
                );
                world.current = release.clone();
            }
            Effect::EnsureService(service) => {
                world.mixed |= service.release != world.current;
                world.serving = service.release.clone();
            }
            Effect::ProbeNginx { .. } if world.sick && world.serving == call.plan.release => {
                return Err(Failure::new("verify::health", "sick"));
            }
            _ => {}
        }
        world.boundary()?;
        Ok(Outcome::Plain)
    }
    fn end_leftover(&mut self, _: u32, _: u64, _: &str) -> Result<(), Failure> {
        Ok(())
    }
    fn read_current(&mut self) -> Result<Option<ReleaseId>, Failure> {
        Ok(self.0.borrow().current.clone())
    }
}

struct NoHooks;
impl Hooks for NoHooks {
    fn call(&mut self, _: &HookCall, _: &Call<'_>, _: &mut dyn Tell) -> Result<HookAnswer, Failure> {
        Err(Failure::new("test::hook", "no hooks here"))
    }
}
struct Still;
impl Clock for Still {
    fn now(&self) -> UnixTime {
        UnixTime(1)
    }
    fn monotonic_ms(&self) -> u64 {
        0
    }
}
#[derive(Default)]
struct Heard(Vec<What>);
impl Listener for Heard {
    fn event(&mut self, event: &Event) {
        self.0.push(event.what.clone());
    }
}

fn id(text: &str) -> ReleaseId {
    ReleaseId::new(text).unwrap()
}
fn service(release: &str) -> Effect {
    Effect::EnsureService(ServiceEffect {
        name: Name::new("web").unwrap(),
        manager: Manager::Builtin,
        release: Some(id(release)),
        on_deploy: OnDeploy::Restart,
        reload_signal: deployfile_model::service::Signal::Hup,
        within: deployfile_model::units::Millis(0),
        ready: vec![],
        ready_build: None,
    })
}
fn steps(effects: Vec<(Stage, Effect)>) -> Vec<Step> {
    let numbered = effects.into_iter().enumerate();
    numbered
        .map(|(i, (stage, effect))| Step {
            n: i as u32 + 1,
            stage,
            phase: Phase::Main,
            what: format!("{stage}"),
            why: Why::Always,
            effect,
            skipped: None,
        })
        .collect()
}
fn current(release: &str) -> Effect {
    Effect::EnsureCurrent { release: Some(id(release)) }
}
fn verify() -> Effect {
    Effect::ProbeNginx { files: vec![] }
}

/// From r1 to r2. `mirrored`: a way back that undoes in reverse order, which must be caught.
fn plan(mirrored: bool) -> Plan {
    let seal =
        SealEffect { secret_files: vec![], plugins: Default::default(), overrides: Default::default() };
    let mut back = vec![(Stage::Revert, current("r1")), (Stage::Revert, service("r1"))];
    if mirrored {
        back.reverse();
    }
    back.push((Stage::Revert, verify()));
    let host = HostPlan {
        host: Name::new("localhost").unwrap(),
        roles: vec![],
        root: HostPath::new("/srv/x").unwrap(),
        current: Name::new("current").unwrap(),
        user: None,
        bound: Bound { current: Some(id("r1")), last_run: None },
        steps: steps(vec![
            (Stage::Fetch, Effect::EnsureReleaseDir),
            (Stage::Seal, Effect::EnsureSealed(seal)),
            (Stage::Switch, current("r2")),
            (Stage::Restart, service("r2")),
            (Stage::Verify, verify()),
            (Stage::Commit, Effect::EnsureCommitted),
            (Stage::Prune, Effect::EnsurePruned { release: id("r0") }),
        ]),
        unwind: steps(back),
        failed: vec![],
        diffs: vec![],
    };
    Plan {
        format: 1,
        goal: Goal::Apply,
        app: Name::new("x").unwrap(),
        environment: Name::new("local").unwrap(),
        at: UnixTime(0),
        release: Some(id("r2")),
        from: Some(id("r1")),
        build_id: None,
        revision: None,
        spec: Digest::of(b""),
        identity: Digest::of(b""),
        secrets: Default::default(),
        hosts: vec![host],
        findings: vec![],
    }
}

fn begin(plan: &Plan) -> Entry {
    Entry {
        at: UnixTime(0),
        run: Some(RunId::new("run").unwrap()),
        fact: Fact::Begin {
            goal: plan.goal,
            plan: Digest::of(b"plan"),
            release: plan.release.clone(),
            from: plan.from.clone(),
            build_id: None,
            revision: None,
            spec: plan.spec,
            who: "me".into(),
        },
    }
}

fn go(world: &Shared, plan: &Plan, facts: Vec<Fact>, mode: Mode) -> Ended {
    drive(Run {
        id: &RunId::new("run").unwrap(),
        plan,
        host: &plan.hosts[0],
        facts,
        mode,
        journal: &mut Log(world.clone()),
        effects: &mut Host(world.clone()),
        hooks: &mut NoHooks,
        clock: &Still,
        listener: &mut Heard::default(),
        stop: &Stop::new(),
    })
}

/// One process: begins the run, or goes on with it if the journal has it open.
fn process(world: &Shared, plan: &Plan) -> Option<Ended> {
    let ledger = Ledger::fold(&world.borrow().entries);
    let log = &mut Log(world.clone());
    if let Some(open) = ledger.open {
        let run = Some(open.run);
        log.append(&Entry { at: UnixTime(0), run, fact: Fact::Resumed { who: "me".into() } }).ok()?;
        return Some(go(world, plan, open.facts, Mode::Resume));
    }
    if ledger.runs.is_empty() {
        log.append(&begin(plan)).ok()?;
        return Some(go(world, plan, vec![], Mode::Apply));
    }
    None
}

fn world(sick: bool) -> Shared {
    let serving = Some(id("r1"));
    let sealed = BTreeSet::from([id("r1")]);
    Rc::new(RefCell::new(World { current: serving.clone(), serving, sealed, sick, ..World::default() }))
}

/// What must hold once no run is open. Gives what does not.
fn violation(world: &World) -> Option<String> {
    let ledger = Ledger::fold(&world.entries);
    if ledger.open.is_some() {
        return Some("a run is left open".into());
    }
    let committed = world.entries.iter().any(|e| matches!(e.fact, Fact::Committed { .. }));
    let wanted = if committed { id("r2") } else { id("r1") };
    if world.current.as_ref() != Some(&wanted) || world.serving.as_ref() != Some(&wanted) {
        return Some(format!(
            "{wanted} should be served, current {:?}, serving {:?}",
            world.current, world.serving
        ));
    }
    if committed && ledger.releases.get(&wanted).map(|f| f.state) != Some(ReleaseState::Good) {
        return Some("a committed release is not good".into());
    }
    if world.sick && committed {
        return Some("a sick release was committed".into());
    }
    world.mixed.then(|| "a service was started that does not match current".into())
}

/// Kills at boundary `first`, then the recovery at boundary `second`, then lets it finish. Gives the number of
/// boundaries passed in the first process and the violation.
fn killed_at(plan: &Plan, sick: bool, first: Option<u32>, second: Option<u32>) -> (u32, Option<String>) {
    let world = world(sick);
    world.borrow_mut().lives = first;
    process(&world, plan);
    let passed = world.borrow().passed;
    for lives in [second, None] {
        world.borrow_mut().lives = lives;
        if !Ledger::fold(&world.borrow().entries).runs.is_empty() {
            process(&world, plan);
        }
    }
    // Killed before `begin` was durable: nothing happened, a new apply begins anew.
    if world.borrow().entries.is_empty() {
        process(&world, plan);
    }
    assert!(!world.borrow().is_dead());
    let found = violation(&world.borrow());
    (passed, found)
}

#[test]
fn every_boundary_and_every_pair_of_boundaries() {
    for sick in [false, true] {
        let plan = plan(false);
        let (boundaries, found) = killed_at(&plan, sick, None, None);
        assert_eq!(found, None);
        assert!(boundaries > 30, "the simulation passes {boundaries} boundaries");
        for first in 0..boundaries {
            for second in (0..boundaries).map(Some).chain([None]) {
                let (_, found) = killed_at(&plan, sick, Some(first), second);
                assert_eq!(found, None, "sick {sick}, killed at {first}, then at {second:?}");
            }
        }
    }
}

#[test]
fn a_mirrored_way_back_is_caught() {
    let (_, found) = killed_at(&plan(true), true, None, None);
    assert_eq!(found.as_deref(), Some("a service was started that does not match current"));
}

#[test]
fn a_stop_before_the_switch_leaves_the_run_open_and_after_it_goes_back() {
    let plan = plan(false);
    let world = world(false);
    Log(world.clone()).append(&begin(&plan)).unwrap();
    let stop = Stop::new();
    stop.ask();
    let id = RunId::new("run").unwrap();
    let run = |facts: Vec<Fact>, world: &Shared| {
        drive(Run {
            id: &id,
            plan: &plan,
            host: &plan.hosts[0],
            facts,
            mode: Mode::Apply,
            journal: &mut Log(world.clone()),
            effects: &mut Host(world.clone()),
            hooks: &mut NoHooks,
            clock: &Still,
            listener: &mut Heard::default(),
            stop: &stop,
        })
    };
    assert!(matches!(run(vec![], &world), Ended::LeftOpen { .. }));
    assert!(Ledger::fold(&world.borrow().entries).open.is_some());

    // The same wish after the switch: the facts of the first three steps, then the loop hears it.
    let facts: Vec<Fact> = (1..=3)
        .map(|n| {
            let step = deployfile_record::StepKey { list: deployfile_record::entry::StepList::Forward, n };
            if n == 3 {
                Fact::Switching { step, from: None, to: Some(self::id("r2")) }
            } else {
                Fact::Done { step }
            }
        })
        .collect();
    world.borrow_mut().sealed.insert(self::id("r2"));
    world.borrow_mut().current = Some(self::id("r2"));
    let Ended::Over { result, .. } = run(facts, &world) else { panic!("it should go back") };
    assert_eq!(result, RunResult::Reverted);
    assert_eq!(world.borrow().current, Some(self::id("r1")));
}

#[test]
fn a_failed_run_can_be_resumed_where_it_failed() {
    let plan = plan(false);
    let world = world(false);
    Log(world.clone()).append(&begin(&plan)).unwrap();
    let step = deployfile_record::StepKey { list: deployfile_record::entry::StepList::Forward, n: 1 };
    let run = Some(RunId::new("run").unwrap());
    let failure = Failure::new("x::y", "no");
    for fact in [
        Fact::Started { step },
        Fact::Failed { step, failure },
        Fact::Finished { result: RunResult::Failed, exit: 1 },
    ] {
        Log(world.clone()).append(&Entry { at: UnixTime(0), run: run.clone(), fact }).unwrap();
    }
    let ledger = Ledger::fold(&world.borrow().entries);
    assert_eq!(ledger.releases[&id("r2")].state, ReleaseState::Failed);
    let resumable = ledger.resumable.unwrap();
    let resumed = Fact::Resumed { who: "me".into() };
    Log(world.clone()).append(&Entry { at: UnixTime(0), run, fact: resumed.clone() }).unwrap();
    let mut facts = resumable.facts;
    facts.push(resumed);
    let Ended::Over { result, .. } = go(&world, &plan, facts, Mode::Resume) else { panic!() };
    assert_eq!(result, RunResult::Done);
    assert_eq!(violation(&world.borrow()), None);
}
