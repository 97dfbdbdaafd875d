//! The ports of the loop: what it needs from the outside, as traits. `deployfile-system` and `deployfile-hooks`
//! implement them for this machine, `deployfile-testkit` for a simulated one.

use deployfile_model::units::UnixTime;
use deployfile_model::{Digest, Name, RunId};
use deployfile_record::event::{Event, Stream};
use deployfile_record::hook::HookAnswer;
use deployfile_record::{Failure, HookCall, HostPlan, Plan, Step, StepKey};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Everything that an effect may know about the step that it performs.
pub struct Call<'a> {
    /// The run.
    pub run: &'a RunId,
    /// The plan.
    pub plan: &'a Plan,
    /// This host's part of it.
    pub host: &'a HostPlan,
    /// The step.
    pub step: &'a Step,
    /// Its key in the journal.
    pub key: StepKey,
    /// How often this step was started in this run, from 1.
    pub attempt: u32,
    /// What kind of run this is, as hooks are told.
    pub mode: Mode,
    /// Notes of earlier hooks of this run, `<plugin>.<key>`.
    pub notes: &'a BTreeMap<String, String>,
    /// Asks to stop.
    pub stop: &'a Stop,
}

/// What kind of run this is (hook.wit, `mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The first process of an apply.
    Apply,
    /// Another process goes on with a run.
    Resume,
    /// The goal is a rollback.
    Rollback,
}

impl Mode {
    /// The name that hooks and their facts use.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Apply => "apply",
            Mode::Resume => "resume",
            Mode::Rollback => "rollback",
        }
    }
}

/// Makes effects true on a host.
pub trait Effects {
    /// Makes the end that `call.step.effect` names true, or reads. Performing it again after a success, or after a
    /// crash in the middle, must be as good as once. Never called for `CallHook`.
    fn perform(&mut self, call: &Call<'_>, tell: &mut dyn Tell) -> Result<Outcome, Failure>;
    /// Ends a process of an earlier try of this run, if it still is the one that the journal names.
    fn end_leftover(&mut self, pid: u32, start_ticks: u64, boot: &str) -> Result<(), Failure>;
    /// Whether the machine was started again since this release was begun, and it is not sealed: nothing of it is durable.
    fn is_lost(&mut self, release: &deployfile_model::ReleaseId) -> Result<bool, Failure>;
    /// The release that the current link names, read from the host.
    fn read_current(&mut self) -> Result<Option<deployfile_model::ReleaseId>, Failure>;
}

/// What performing an effect brought to light.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing beyond its end.
    Plain,
    /// A sealed release's tree.
    Sealed {
        /// Digest of the tree listing.
        tree: Digest,
        /// Bytes of its files.
        bytes: u64,
    },
}

/// Calls hooks.
pub trait Hooks {
    /// Calls the component under its grants. `Err` is a trap, an error of the hook or a failure of the host;
    /// a `halt` is an answer.
    fn call(&mut self, hook: &HookCall, call: &Call<'_>, tell: &mut dyn Tell) -> Result<HookAnswer, Failure>;
}

/// The clock. The one place that time comes from.
pub trait Clock {
    /// Seconds since 1970.
    fn now(&self) -> UnixTime;
    /// Milliseconds since some fixed moment; never goes back.
    fn monotonic_ms(&self) -> u64;
}

/// What an effect tells while it acts.
pub trait Tell {
    /// A program printed a line (without its newline).
    fn output(&mut self, stream: Stream, line: &str);
    /// A probe was tried.
    fn probe(&mut self, service: &Name, attempt: u32, ok: bool, answer: &str);
    /// A hook said something; `level` as in [`deployfile_record::event::What::Hook`].
    fn hook(&mut self, plugin: &Name, level: &str, message: &str);
    /// Something to know that stops nothing.
    fn warning(&mut self, message: &str, help: Option<&str>);
    /// A process of the step runs: journaled before it may do anything, so that `resume` can end it.
    fn spawned(&mut self, pid: u32, start_ticks: u64, boot: &str) -> Result<(), Failure>;
}

/// The journal as the loop needs it: durable when `append` returns.
pub trait Journal {
    /// Appends one entry. An error stops the run.
    fn append(&mut self, entry: &deployfile_record::Entry) -> Result<(), Failure>;
}

/// Hears the events of a run. Telemetry: must not fail, may drop.
pub trait Listener {
    /// One event.
    fn event(&mut self, event: &Event);
}

/// How urgently the user asks to stop; set by signal handlers.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    asks: Arc<AtomicU8>,
    /// Asks that are not heeded.
    patience: u8,
}

impl Stop {
    /// Nobody asks.
    pub fn new() -> Self {
        Self::default()
    }
    /// The same wish, heeded only when it is said twice: for a way back, which once begun is better finished.
    #[must_use]
    pub fn patient(&self) -> Self {
        Self { asks: self.asks.clone(), patience: 1 }
    }
    /// Asks once more.
    pub fn ask(&self) {
        let _ = self.asks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| Some(n.saturating_add(1)));
    }
    /// Stop at the next safe boundary; a running program is cut short.
    pub fn asked(&self) -> bool {
        self.asks.load(Ordering::SeqCst) > self.patience
    }
    /// Leave everything for `resume`.
    pub fn asked_twice(&self) -> bool {
        self.asks.load(Ordering::SeqCst) >= 2
    }
}
