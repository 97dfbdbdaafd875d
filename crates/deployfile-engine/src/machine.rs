//! States and transitions.

use deployfile_model::stage::OnError;
use deployfile_record::entry::StepList;
use deployfile_record::{Effect, Fact, Failure, FailureKind, HostPlan, RunResult, Step, StepKey};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// Perform this step: journal its intent, act, journal its outcome.
    Perform(StepKey),
    /// Journal that the way back begins, for this reason.
    BeginUnwind(Failure),
    /// Journal the end.
    Finish(RunResult),
}

/// Where a run stands. Each state carries what the next decision needs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Forward {
        next: u32,
    },
    MustUnwind {
        cause: Failure,
    },
    Unwinding {
        next: u32,
    },
    /// The hooks of stage `failed`, then the end.
    Failing {
        next: u32,
        result: RunResult,
        at: u32,
    },
    /// The way back failed at this step: a human is needed, and then `resume`.
    Stuck {
        at: u32,
    },
    Over(RunResult),
}

/// The machine of one host's part of a plan.
#[derive(Debug, Clone)]
pub struct Machine<'p> {
    plan: &'p HostPlan,
    state: State,
    switch_began: bool,
    committed: bool,
    intents: Vec<StepKey>,
}

impl<'p> Machine<'p> {
    /// A run of which nothing is known but that it began.
    pub fn new(plan: &'p HostPlan) -> Self {
        Self {
            plan,
            state: State::Forward { next: 1 },
            switch_began: false,
            committed: false,
            intents: Vec::new(),
        }
    }

    /// The machine after these facts.
    pub fn replay<'f>(plan: &'p HostPlan, facts: impl IntoIterator<Item = &'f Fact>) -> Self {
        let mut machine = Self::new(plan);
        facts.into_iter().for_each(|fact| machine.take(fact));
        machine
    }

    /// What to do now.
    pub fn next(&self) -> Directive {
        match &self.state {
            State::Forward { next } => self.perform_or(StepList::Forward, *next, RunResult::Done),
            State::MustUnwind { cause } => Directive::BeginUnwind(cause.clone()),
            State::Unwinding { next } => self.perform_or(StepList::Unwind, *next, RunResult::Reverted),
            State::Failing { next, result, .. } => self.perform_or(StepList::Failed, *next, *result),
            State::Stuck { .. } => Directive::Finish(RunResult::Stuck),
            State::Over(result) => Directive::Finish(*result),
        }
    }

    /// Takes a journaled fact in.
    pub fn take(&mut self, fact: &Fact) {
        if let Some(step) = fact.intent() {
            self.intents.push(step);
            self.switch_began |= step.list == StepList::Forward && self.moves_current(step);
        }
        match fact {
            Fact::Reverting { .. } => self.state = State::Unwinding { next: 1 },
            Fact::Finished { result, .. } => self.end(*result),
            Fact::Resumed { .. } => self.reopen(),
            Fact::Restarted { .. } if self.can_begin_anew() => self.state = State::Forward { next: 1 },
            _ => {}
        }
        match fact.outcome() {
            Some((step, Ok(()))) => self.succeeded(step),
            Some((step, Err(failure))) => self.failed(step, failure),
            None => {}
        }
    }

    /// Whether what is served may have changed: from the intent to switch on.
    pub fn switch_began(&self) -> bool {
        self.switch_began
    }

    /// Whether it is on its way, and what is served cannot have changed: all of its steps may be performed once more.
    pub fn can_begin_anew(&self) -> bool {
        matches!(self.state, State::Forward { next } if next > 1) && !self.switch_began
    }

    /// Whether the run is promised: nothing undoes it any more.
    pub fn committed(&self) -> bool {
        self.committed
    }

    /// Whether the way back was begun.
    pub fn unwinding(&self) -> bool {
        matches!(self.state, State::Unwinding { .. })
    }

    /// How often this step's intent was journaled.
    pub fn attempts(&self, step: StepKey) -> u32 {
        u32::try_from(self.intents.iter().filter(|key| **key == step).count()).unwrap_or(u32::MAX)
    }

    /// The step of this key.
    pub fn step(&self, key: StepKey) -> Option<&'p Step> {
        list(self.plan, key.list).iter().find(|step| step.n == key.n)
    }

    fn moves_current(&self, key: StepKey) -> bool {
        self.step(key).is_some_and(|step| matches!(step.effect, Effect::EnsureCurrent { .. }))
    }

    /// The first step from `next` on that is not skipped, or the end.
    fn perform_or(&self, which: StepList, next: u32, end: RunResult) -> Directive {
        let step = list(self.plan, which).iter().find(|step| step.n >= next && step.skipped.is_none());
        match (step, which) {
            (Some(step), _) => Directive::Perform(StepKey { list: which, n: step.n }),
            (None, StepList::Unwind) => match self.first_failed_hook() {
                Some(key) => Directive::Perform(key),
                None => Directive::Finish(end),
            },
            (None, _) => Directive::Finish(end),
        }
    }

    fn first_failed_hook(&self) -> Option<StepKey> {
        let step = self.plan.failed.iter().find(|step| step.skipped.is_none())?;
        Some(StepKey { list: StepList::Failed, n: step.n })
    }

    fn succeeded(&mut self, step: StepKey) {
        if self.step(step).is_some_and(|step| step.effect == Effect::EnsureCommitted) {
            self.committed = true;
        }
        self.advance(step);
    }

    fn advance(&mut self, done: StepKey) {
        let after = done.n.saturating_add(1);
        match &mut self.state {
            State::Forward { next } if done.list == StepList::Forward => *next = after,
            State::Unwinding { next } if done.list == StepList::Unwind => *next = after,
            State::Unwinding { .. } if done.list == StepList::Failed => {
                self.state = State::Failing { next: after, result: RunResult::Reverted, at: 0 };
            }
            State::Failing { next, .. } if done.list == StepList::Failed => *next = after,
            // A fact about a step that is not being performed changes nothing; the journal's checks report it.
            _ => {}
        }
    }

    fn failed(&mut self, key: StepKey, failure: &Failure) {
        if self.is_only_a_warning(key, failure) {
            return self.advance(key);
        }
        self.state = match key.list {
            StepList::Unwind => State::Stuck { at: key.n },
            _ if self.switch_began => State::MustUnwind { cause: failure.clone() },
            _ => State::Failing { next: 1, result: result_before_switch(failure.kind), at: key.n },
        };
    }

    /// After commit nothing is undone; in `revert` and `failed` a hook cannot object; `on-error=warn` covers errors and
    /// traps of a hook, never its `halt` (hooks.md).
    fn is_only_a_warning(&self, key: StepKey, failure: &Failure) -> bool {
        let hook = self.step(key).and_then(|step| match &step.effect {
            Effect::CallHook(hook) => Some(hook),
            _ => None,
        });
        let prunes = self.step(key).is_some_and(|step| matches!(step.effect, Effect::EnsurePruned { .. }));
        match (key.list, hook) {
            // Also in a clean, which commits nothing: the other releases go all the same.
            (StepList::Forward, _) if self.committed || prunes => true,
            (StepList::Forward, Some(hook)) => {
                hook.on_error == OnError::Warn && failure.kind == FailureKind::Failed
            }
            (StepList::Forward | StepList::Unwind, None) => false,
            (StepList::Unwind, Some(_)) | (StepList::Failed, _) => true,
        }
    }

    fn end(&mut self, result: RunResult) {
        // The step at which it failed is kept: `resume` may go on there.
        match &mut self.state {
            State::Failing { result: known, .. } => *known = result,
            State::Stuck { .. } => {}
            _ => self.state = State::Over(result),
        }
    }

    /// A run that failed before its switch, or on its way back, goes on at the step that failed.
    fn reopen(&mut self) {
        match self.state {
            State::Failing { at, .. } if at > 0 => self.state = State::Forward { next: at },
            State::Stuck { at } => self.state = State::Unwinding { next: at },
            _ => {}
        }
    }
}

fn list(plan: &HostPlan, which: StepList) -> &[Step] {
    match which {
        StepList::Forward => &plan.steps,
        StepList::Unwind => &plan.unwind,
        StepList::Failed => &plan.failed,
    }
}

fn result_before_switch(kind: FailureKind) -> RunResult {
    match kind {
        FailureKind::Failed => RunResult::Failed,
        FailureKind::Refused | FailureKind::Veto => RunResult::Refused,
        FailureKind::Interrupted => RunResult::Interrupted,
    }
}

#[cfg(test)]
mod tests;
