//! The verbs, as one process each: what `deployfile apply`, `rollback` and `clean` do once there is a plan, and `resume`.

use super::effects::{Callers, Host};
use super::{Heard, Injection, Log, Passed, Place, Shared, Still, World};
use deployfile_exec::drive::exit_code;
use deployfile_exec::{Ended, Journal, Mode, Run, drive};
use deployfile_model::{Digest, Name, RunId};
use deployfile_record::event::{Changed, Event};
use deployfile_record::{Entry, Fact, Failure, Goal, Ledger, Plan, RunResult};
use std::cell::RefCell;
use std::rc::Rc;

/// How a process ended, and what it passed and said.
#[derive(Debug)]
pub struct Done {
    /// Its exit code; `None`: it was killed.
    pub exit: Option<u8>,
    /// How its run ended; `None`: it was killed, or there was no run.
    pub ended: Option<Ended>,
    /// The boundaries that it passed.
    pub passed: Vec<Passed>,
    /// What it said.
    pub events: Vec<Event>,
}

impl Done {
    /// The result of its run, when it came to an end.
    pub fn result(&self) -> Option<RunResult> {
        match &self.ended {
            Some(Ended::Over { result, .. }) => Some(*result),
            _ => None,
        }
    }
}

/// A process that begins the run of a plan on one host.
pub fn begin(world: &mut World, plan: &Rc<Plan>, host: &Name, injection: Option<Injection>) -> Done {
    as_process(world, injection, |shared| {
        let run = run_id(&shared.borrow().process.ledger, plan);
        let digest = Digest::of(&plan.to_bytes());
        {
            let mut world = shared.borrow_mut();
            world.process.plan = Some((plan.clone(), host.clone()));
            world.boundary(Place::BeforeEffect)?;
            world.need_room()?;
            world.disk.plans.insert(digest, plan.clone());
            world.boundary(Place::AfterEffect)?;
        }
        let bound = plan.host(host).map(|host| host.bound.current.clone());
        let begin = Fact::Begin {
            goal: plan.goal,
            plan: digest,
            release: plan.release.clone(),
            from: bound.flatten(),
            build_id: plan.build_id.clone(),
            revision: plan.revision.clone(),
            spec: plan.spec,
            who: "tester@world".to_owned(),
        };
        Log(shared.clone()).append(&Entry { at: plan.at, run: Some(run.clone()), fact: begin })?;
        let mode = if plan.goal == Goal::Rollback { Mode::Rollback } else { Mode::Apply };
        Ok(Some(go(shared, plan, host, &run, Vec::new(), mode)))
    })
}

/// A process that goes on with what the journal has open.
pub fn resume(world: &mut World, host: &Name, injection: Option<Injection>) -> Done {
    as_process(world, injection, |shared| {
        let ledger = shared.borrow().process.ledger.clone();
        let Some(open) = ledger.open.or(ledger.resumable) else { return Ok(None) };
        let plan = shared.borrow().disk.plans.get(&open.plan).cloned();
        let plan = plan.ok_or_else(|| Failure::new("store::damaged", "the stored plan is gone"))?;
        shared.borrow_mut().process.plan = Some((plan.clone(), host.clone()));
        let fact = Fact::Resumed { who: "tester@world".to_owned() };
        let entry = Entry { at: plan.at, run: Some(open.run.clone()), fact };
        Log(shared.clone()).append(&entry)?;
        let mut facts = open.facts;
        facts.push(entry.fact);
        Ok(Some(go(shared, &plan, host, &open.run, facts, Mode::Resume)))
    })
}

type Came = (Ended, Vec<Event>);

fn as_process(
    world: &mut World,
    injection: Option<Injection>,
    work: impl FnOnce(&Shared) -> Result<Option<Came>, Failure>,
) -> Done {
    world.start(injection);
    let shared = Rc::new(RefCell::new(std::mem::take(world)));
    let came = work(&shared);
    *world = Rc::try_unwrap(shared).unwrap_or_else(|_| unreachable!("the process is over")).into_inner();
    let is_dead = world.process.is_dead;
    let (exit, ended, events) = match came {
        // Before a run: nothing changed.
        Err(_) => (Some(1), None, Vec::new()),
        Ok(None) => (Some(0), None, Vec::new()),
        Ok(Some((ended, events))) => (Some(exit(&ended)), Some(ended), events),
    };
    let passed = std::mem::take(&mut world.process.passed);
    match is_dead {
        true => Done { exit: None, ended: None, passed, events },
        false => {
            // What ended before its run was driven sweeps nothing: it may not know all that the journal says.
            if ended.is_some() {
                sweep(world);
            }
            Done { exit, ended, passed, events }
        }
    }
}

fn go(shared: &Shared, plan: &Plan, host: &Name, run: &RunId, facts: Vec<Fact>, mode: Mode) -> Came {
    let mut heard = Heard::default();
    let stop = shared.borrow().process.stop.clone();
    let ended = drive(Run {
        id: run,
        plan,
        host: plan.host(host).expect("the plan has the host"),
        facts,
        mode,
        journal: &mut Log(shared.clone()),
        effects: &mut Host(shared.clone()),
        hooks: &mut Callers(shared.clone()),
        clock: &Still(plan.at),
        listener: &mut heard,
        stop: &stop,
    });
    (ended, heard.0)
}

/// The exit code that the command line makes of it.
fn exit(ended: &Ended) -> u8 {
    match ended {
        Ended::Over { result, .. } => exit_code(*result),
        Ended::LeftOpen { .. } => 130,
        Ended::Broken { changed: Changed::None | Changed::Staged, .. } => 1,
        Ended::Broken { .. } => 7,
    }
}

/// Plans that nothing names any more go.
fn sweep(world: &mut World) {
    let ledger = &world.process.ledger;
    let open = ledger.open.iter().chain(&ledger.resumable).map(|open| open.plan);
    let wanted: Vec<Digest> = ledger.releases.values().map(|facts| facts.plan).chain(open).collect();
    world.disk.plans.retain(|digest, _| wanted.contains(digest));
}

fn run_id(ledger: &Ledger, plan: &Plan) -> RunId {
    let base = match plan.release.as_ref().filter(|_| plan.goal == Goal::Apply) {
        Some(release) => format!("apply-{release}"),
        None => format!("{}-{}", plan.goal.name(), plan.at.0),
    };
    let taken = |id: &RunId| ledger.runs.iter().any(|run| run.run == *id);
    (1..)
        .filter_map(|n| RunId::new(if n == 1 { base.clone() } else { format!("{base}-{n}") }).ok())
        .find(|id| !taken(id))
        .expect("there are names enough")
}
