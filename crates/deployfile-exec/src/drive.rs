//! The loop itself.

use crate::port::{Call, Clock, Effects, Hooks, Journal, Listener, Mode, Outcome, Stop};
use crate::teller::{StepTeller, Teller};
use deployfile_engine::{Directive, Machine};
use deployfile_model::{BuildId, RunId, Stage};
use deployfile_record::entry::StepList;
use deployfile_record::event::{Changed, Served, What};
use deployfile_record::{
    Effect, Entry, Fact, Failure, FailureKind, HookCall, HostPlan, Plan, RunResult, Step, StepKey, Why,
};
use std::collections::BTreeMap;

/// A run that is begun: its plan is stored and `Begin` (or `Resumed`) is journaled.
pub struct Run<'a> {
    /// Its id.
    pub id: &'a RunId,
    /// Its plan.
    pub plan: &'a Plan,
    /// The part of this host.
    pub host: &'a HostPlan,
    /// What the journal says of it so far, without `Begin`.
    pub facts: Vec<Fact>,
    /// What kind of run hooks are told it is.
    pub mode: Mode,
    /// The journal of this host.
    pub journal: &'a mut dyn Journal,
    /// Effects on this host.
    pub effects: &'a mut dyn Effects,
    /// Hooks on this host.
    pub hooks: &'a mut dyn Hooks,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// Who hears the events.
    pub listener: &'a mut dyn Listener,
    /// The user's wish to stop.
    pub stop: &'a Stop,
}

/// How the loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The run is over and the journal says so.
    Over {
        /// How.
        result: RunResult,
        /// Why, when the goal was not reached.
        failure: Option<Failure>,
        /// What changed.
        changed: Changed,
        /// What is served.
        served: Served,
    },
    /// The user stopped it: the run stays open for `resume`.
    LeftOpen {
        /// What changed.
        changed: Changed,
        /// What is served.
        served: Served,
    },
    /// The journal could not be written: what is not journaled was not begun, the run stays open.
    Broken {
        /// What failed.
        failure: Failure,
        /// What changed.
        changed: Changed,
    },
}

/// Drives the run to its end.
pub fn drive(run: Run<'_>) -> Ended {
    let Run { id, plan, host, facts, mode, journal, effects, hooks, clock, listener, stop } = run;
    let began_ms = clock.monotonic_ms();
    let teller = Teller { host: &host.host, run: id, clock, listener, began_ms, seq: 0 };
    let machine = Machine::replay(host, &facts);
    let notes = notes_of(&facts);
    let progress = Progress { stage: None, verified: false, failure: failure_of(&facts) };
    Loop { id, plan, host, mode, journal, effects, hooks, stop, teller, machine, notes, progress }.run(&facts)
}

/// What the loop remembers for its events and its end.
struct Progress {
    /// The stage that is under way, and when it began.
    stage: Option<(Stage, u64)>,
    /// The running service named the build of what is current.
    verified: bool,
    /// The first failure that decided the end.
    failure: Option<Failure>,
}

struct Loop<'a> {
    id: &'a RunId,
    plan: &'a Plan,
    host: &'a HostPlan,
    mode: Mode,
    journal: &'a mut dyn Journal,
    effects: &'a mut dyn Effects,
    hooks: &'a mut dyn Hooks,
    stop: &'a Stop,
    teller: Teller<'a>,
    machine: Machine<'a>,
    notes: BTreeMap<String, String>,
    progress: Progress,
}

/// Why the loop stops in the middle.
enum Break {
    Journal(Failure),
    LeaveOpen,
}

impl From<Failure> for Break {
    fn from(failure: Failure) -> Self {
        Break::Journal(failure)
    }
}

impl Loop<'_> {
    fn run(mut self, facts: &[Fact]) -> Ended {
        let end = self.end_leftovers(facts).and_then(|()| self.begin_anew_if_lost()).and_then(|()| self.go());
        match end {
            Ok(result) => self.over(result),
            Err(Break::LeaveOpen) => Ended::LeftOpen { changed: self.changed_open(), served: self.served() },
            Err(Break::Journal(failure)) => Ended::Broken { failure, changed: self.changed_open() },
        }
    }

    fn go(&mut self) -> Result<RunResult, Break> {
        loop {
            match self.machine.next() {
                Directive::Perform(key) => self.perform(key)?,
                Directive::BeginUnwind(failure) => self.begin_unwind(failure)?,
                Directive::Finish(result) => return self.finish(result),
            }
        }
    }

    /// A process of an earlier try may still write into the release: it ends before anything is tried again.
    fn end_leftovers(&mut self, facts: &[Fact]) -> Result<(), Break> {
        for fact in facts {
            if let Fact::Spawned { pid, start_ticks, boot, .. } = fact {
                self.effects.end_leftover(*pid, *start_ticks, boot)?;
            }
        }
        Ok(())
    }

    /// After a power cut files may be empty that a finished step wrote, and nothing in them tells.
    fn begin_anew_if_lost(&mut self) -> Result<(), Break> {
        let Some(release) = self.plan.release.clone().filter(|_| self.machine.can_begin_anew()) else {
            return Ok(());
        };
        if self.effects.is_lost(&release)? {
            let message = format!("the machine was started again since release {release} was begun");
            self.teller.say(What::Warning { message, help: Some("it is made anew".to_owned()) });
            self.note(Fact::Restarted { release })?;
        }
        Ok(())
    }

    fn perform(&mut self, key: StepKey) -> Result<(), Break> {
        let Some(step) = self.machine.step(key) else {
            return Err(Failure::new("bug::step", format!("the plan has no step {}", key.n)).into());
        };
        if self.heed_stop(key)? {
            return Ok(());
        }
        self.enter(step.stage);
        let (n, stage, phase, what) = (step.n, step.stage, step.phase, step.what.clone());
        self.teller.say(What::StepStarted { stage, phase, step: n, what });
        self.note(self.intent(step, key))?;
        let began = self.teller.elapsed_ms();
        let result = self.act(step, key);
        let took_ms = self.teller.elapsed_ms().saturating_sub(began);
        let finished = |ok| What::StepFinished { stage, step: n, took_ms, ok };
        if result.is_err() {
            // First that it failed, then why.
            self.teller.say(finished(false));
            return self.settle(step, key, result);
        }
        self.settle(step, key, result)?;
        self.teller.say(finished(true));
        Ok(())
    }

    /// Before the switch a stop leaves the run for `resume`; from the switch on it goes back; a way back is
    /// finished; twice leaves everything. True: the step was not performed, ask the engine again.
    fn heed_stop(&mut self, key: StepKey) -> Result<bool, Break> {
        if self.stop.asked_twice() || (self.stop.asked() && !self.machine.switch_began()) {
            return Err(Break::LeaveOpen);
        }
        let undoes = key.list == StepList::Forward && !self.machine.committed();
        if self.stop.asked() && undoes && self.progress.failure.is_none() {
            let failure = interrupted();
            self.tell_failure(None, &failure, 6);
            self.note(Fact::Failed { step: key, failure })?;
            return Ok(true);
        }
        Ok(false)
    }

    fn intent(&self, step: &Step, key: StepKey) -> Fact {
        match &step.effect {
            Effect::EnsureCurrent { release } => Fact::Switching {
                step: key,
                from: if key.list == StepList::Forward {
                    self.plan.from.clone()
                } else {
                    self.plan.release.clone()
                },
                to: release.clone(),
            },
            _ => Fact::Started { step: key },
        }
    }

    fn act(&mut self, step: &Step, key: StepKey) -> Result<Fact, Failure> {
        // What the user asked to stop is the way forward; the way back and the tidying after commit go to their end.
        let is_forward = key.list == StepList::Forward && !self.machine.committed();
        let stop = if is_forward { self.stop.clone() } else { self.stop.patient() };
        let call = Call {
            run: self.id,
            plan: self.plan,
            host: self.host,
            step,
            key,
            attempt: self.machine.attempts(key),
            mode: self.mode,
            notes: &self.notes,
            stop: &stop,
        };
        let mut tell = StepTeller { teller: &mut self.teller, journal: self.journal, stage: step.stage, key };
        if let Effect::CallHook(hook) = &step.effect {
            let answer = self.hooks.call(hook, &call, &mut tell)?;
            return self.heed_hook(hook, key, step.stage, answer);
        }
        let outcome = self.effects.perform(&call, &mut tell)?;
        self.progress.verified |= matches!(step.effect, Effect::ProbeBuild { .. });
        Ok(outcome_fact(self.plan, step, key, outcome))
    }

    fn heed_hook(
        &mut self,
        hook: &HookCall,
        step: StepKey,
        stage: Stage,
        answer: deployfile_record::hook::HookAnswer,
    ) -> Result<Fact, Failure> {
        if let Some(summary) = answer.summary {
            let (plugin, level) = (hook.plugin.clone(), "summary".to_owned());
            self.teller.say(What::Hook { stage, plugin, level, message: summary });
        }
        if let Some(reason) = answer.halt {
            let message = format!("hook `{}` stopped the run: {reason}", hook.plugin);
            return Err(Failure { kind: FailureKind::Veto, ..Failure::new("hook::veto", message) });
        }
        for (key, value) in answer.notes {
            let key = format!("{}.{key}", hook.plugin);
            self.notes.insert(key.clone(), value.clone());
            if let Some(release) = self.plan.release.clone() {
                self.note(Fact::Note { release, key, value })?;
            }
        }
        Ok(Fact::Done { step })
    }

    /// Journals the outcome. An interrupt before the switch has no outcome: `resume` performs the step again.
    fn settle(&mut self, step: &Step, key: StepKey, result: Result<Fact, Failure>) -> Result<(), Break> {
        let fact = match result {
            Ok(fact) => fact,
            Err(failure) => {
                let is_cut_short = self.stop.asked_twice() || !self.machine.switch_began();
                if failure.kind == FailureKind::Interrupted && is_cut_short {
                    return Err(Break::LeaveOpen);
                }
                self.tell_outcome(step, key, &failure);
                Fact::Failed { step: key, failure }
            }
        };
        self.note(fact.clone())?;
        match fact {
            Fact::Switched { to, .. } if key.list == StepList::Unwind => {
                self.teller.say(What::Reverted { to })
            }
            Fact::Switched { to, .. } => self.teller.say(What::Switched { from: self.plan.from.clone(), to }),
            _ => {}
        }
        Ok(())
    }

    /// Whether a failure decides the run is the engine's to say; a copy of it is asked before the journal is written.
    fn tell_outcome(&mut self, step: &Step, key: StepKey, failure: &Failure) {
        let mut after = self.machine.clone();
        after.take(&Fact::Failed { step: key, failure: failure.clone() });
        let goes_on = matches!(after.next(), Directive::Perform(next) if next.list == key.list && next.n > key.n)
            || (key.list == StepList::Failed)
            || after.next() == Directive::Finish(RunResult::Done)
            || (self.machine.committed() && key.list == StepList::Forward);
        if goes_on {
            let message = format!("{}: {failure}", step.what);
            self.teller.say(What::Warning { message, help: failure.help.clone() });
            return;
        }
        let exit = match (after.next(), key.list) {
            (Directive::BeginUnwind(_), _) => 6,
            (_, StepList::Unwind) => 7,
            _ if failure.kind == FailureKind::Failed => 1,
            _ => 4,
        };
        self.tell_failure(Some(step), failure, exit);
    }

    fn tell_failure(&mut self, step: Option<&Step>, failure: &Failure, exit: u8) {
        self.progress.failure = Some(failure.clone());
        let at = step.and_then(|step| match &step.why {
            Why::Setting(place) => Some(place.clone()),
            _ => None,
        });
        let retry = if failure.kind == FailureKind::Interrupted { "same" } else { "after" }.to_owned();
        let (stage, changed) = (step.map(|step| step.stage), self.changed_open());
        self.teller.say(What::Error { stage, at, failure: failure.clone(), exit, changed, retry });
    }

    fn begin_unwind(&mut self, failure: Failure) -> Result<(), Break> {
        self.progress.failure.get_or_insert_with(|| failure.clone());
        self.progress.verified = false;
        self.note(Fact::Reverting { failure })?;
        Ok(())
    }

    fn finish(&mut self, result: RunResult) -> Result<RunResult, Break> {
        self.leave_stage();
        self.note(Fact::Finished { result, exit: exit_code(result) })?;
        Ok(result)
    }

    fn note(&mut self, fact: Fact) -> Result<(), Failure> {
        let at = self.teller.clock.now();
        let entry = Entry { at, run: Some(self.id.clone()), fact };
        self.journal.append(&entry)?;
        self.machine.take(&entry.fact);
        Ok(())
    }

    fn enter(&mut self, stage: Stage) {
        if self.progress.stage.is_some_and(|(now, _)| now == stage) {
            return;
        }
        self.leave_stage();
        self.progress.stage = Some((stage, self.teller.elapsed_ms()));
        self.teller.say(What::StageStarted { stage });
    }

    fn leave_stage(&mut self) {
        if let Some((stage, began)) = self.progress.stage.take() {
            let took_ms = self.teller.elapsed_ms().saturating_sub(began);
            self.teller.say(What::StageFinished { stage, took_ms });
        }
    }

    fn over(mut self, result: RunResult) -> Ended {
        let changed = match result {
            RunResult::Done if self.machine.switch_began() => Changed::Switched,
            RunResult::Reverted => Changed::Reverted,
            RunResult::Stuck => Changed::Unknown,
            _ => self.changed_open(),
        };
        let served = self.served();
        let took_ms = self.teller.elapsed_ms();
        let exit = exit_code(result);
        self.teller.say(What::Finished { result, exit, changed, served: served.clone(), took_ms });
        Ended::Over { result, failure: self.progress.failure, changed, served }
    }

    fn changed_open(&self) -> Changed {
        let any = |effect: fn(&Effect) -> bool| {
            self.host.steps.iter().any(|s| {
                effect(&s.effect) && self.machine.attempts(StepKey { list: StepList::Forward, n: s.n }) > 0
            })
        };
        match () {
            () if self.machine.switch_began() => Changed::Partial,
            () if any(Effect::changes) => Changed::Staged,
            () => Changed::None,
        }
    }

    /// Read back from the host: the last line of a run says what is true, not what was meant.
    fn served(&mut self) -> Served {
        let release = self.effects.read_current().ok().flatten();
        let is_target = release.is_some() && release == self.plan.release;
        let build_id = if is_target { self.plan.build_id.as_ref() } else { self.build_before() };
        let build_id = build_id.map(ToString::to_string);
        Served { release, build_id, verified: self.progress.verified }
    }
}

impl Loop<'_> {
    /// The build that the way back leads to, where it asks for it.
    fn build_before(&self) -> Option<&BuildId> {
        self.host.unwind.iter().find_map(|step| match &step.effect {
            Effect::ProbeBuild { build_id, .. } => Some(build_id),
            _ => None,
        })
    }
}

/// The documented exit code of a result (cli.md).
pub fn exit_code(result: RunResult) -> u8 {
    match result {
        RunResult::Done => 0,
        RunResult::Failed => 1,
        RunResult::Refused => 4,
        RunResult::Reverted => 6,
        RunResult::Stuck => 7,
        RunResult::Interrupted => 130,
    }
}

fn interrupted() -> Failure {
    Failure { kind: FailureKind::Interrupted, ..Failure::new("run::interrupted", "stopped by the user") }
}

fn outcome_fact(plan: &Plan, step: &Step, key: StepKey, outcome: Outcome) -> Fact {
    match (&step.effect, outcome, &plan.release) {
        (Effect::EnsureSealed(_), Outcome::Sealed { tree, bytes }, Some(release)) => {
            Fact::Sealed { step: key, release: release.clone(), tree, bytes }
        }
        (Effect::EnsureCurrent { release }, _, _) => Fact::Switched { step: key, to: release.clone() },
        (Effect::EnsureCommitted, _, Some(release)) => {
            Fact::Committed { step: key, release: release.clone() }
        }
        (Effect::EnsurePruned { release }, _, _) => Fact::Pruned { step: key, release: release.clone() },
        _ => Fact::Done { step: key },
    }
}

fn notes_of(facts: &[Fact]) -> BTreeMap<String, String> {
    facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Note { key, value, .. } => Some((key.clone(), value.clone())),
            _ => None,
        })
        .collect()
}

fn failure_of(facts: &[Fact]) -> Option<Failure> {
    facts.iter().rev().find_map(|fact| match fact {
        Fact::Reverting { failure } => Some(failure.clone()),
        _ => None,
    })
}
