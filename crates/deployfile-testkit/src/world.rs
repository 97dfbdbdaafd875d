//! A simulated host: it implements the ports of `deployfile-exec` over a disk in memory, so that real plans run through
//! the real engine, loop, journal format and ledger, thousands of times a second, cut off at any boundary.
//!
//! What is here: what effects do to such a host, the boundaries of a process and what may happen at each, and what must
//! hold of a host whenever nobody is at work on it. What is deliberately not here: planning (a test hands plans in), and
//! what real file calls do at a power cut.

mod check;
mod disk;
mod effects;
mod fault;
mod observe;
mod verbs;

pub use check::{Before, Secrets};
pub use disk::{Alive, Disk, Release};
pub use fault::{Broken, Fault, Injection, Passed, Place};
pub use observe::Told;
pub use verbs::{Done, begin, resume};

use deployfile_exec::{Clock, Journal, Listener, Stop};
use deployfile_journal::{Seq, bytes};
use deployfile_model::units::UnixTime;
use deployfile_model::{Name, ReleaseId, Stage};
use deployfile_record::entry::StepList;
use deployfile_record::event::Event;
use deployfile_record::{Entry, Failure, Ledger, Plan, StepKey};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A host, and the process that is at work on it.
#[derive(Clone, Default)]
pub struct World {
    /// What outlives processes.
    pub disk: Disk,
    /// Values of secrets.
    pub secrets: BTreeMap<Name, String>,
    /// Releases that never become healthy.
    pub sick: BTreeSet<ReleaseId>,
    /// What is broken on purpose.
    pub broken: Option<Broken>,
    /// What an effect found that must never be.
    pub violations: Vec<String>,
    /// The disk as it was at each boundary, when that is wanted.
    pub snapshots: Option<Vec<Disk>>,
    pub(crate) process: Process,
}

/// One process from its start to its death.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) injection: Option<Injection>,
    pub(crate) passed: Vec<Passed>,
    pub(crate) is_dead: bool,
    pub(crate) is_full: bool,
    pub(crate) repeats: bool,
    pub(crate) stop: Stop,
    pub(crate) plan: Option<(Rc<Plan>, Name)>,
    step: Option<StepKey>,
    is_poisoned: bool,
    next: Seq,
    kept_back: Vec<Vec<u8>>,
    pub(crate) ledger: Ledger,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            injection: None,
            passed: Vec::new(),
            is_dead: false,
            is_full: false,
            repeats: false,
            stop: Stop::new(),
            plan: None,
            step: None,
            is_poisoned: false,
            next: Seq(1),
            kept_back: Vec::new(),
            ledger: Ledger::default(),
        }
    }
}

/// The ports share the world.
pub(crate) type Shared = Rc<RefCell<World>>;

/// The process was killed here: nothing after it happens.
fn dead() -> Failure {
    Failure::new("test::killed", "killed")
}

impl World {
    /// A new process: the journal is opened, a fault waits for it.
    pub(crate) fn start(&mut self, injection: Option<Injection>) {
        let (ledger, next) = self.disk.open_journal();
        // What lies in the trash is deleted by whoever takes the lock next.
        self.disk.trash = 0;
        self.process = Process { injection, ledger, next, ..Process::default() };
        self.snapshots = self.snapshots.take().map(|_| Vec::new());
    }

    pub(crate) fn at_step(&mut self, step: Option<StepKey>) {
        self.process.step = step;
    }

    /// Something that must never be.
    pub(crate) fn violated(&mut self, what: String) {
        self.violations.push(what);
    }

    /// A boundary: the fault that waits for it happens.
    pub(crate) fn boundary(&mut self, place: Place) -> Result<(), Failure> {
        if self.process.is_dead {
            return Err(dead());
        }
        let at = self.process.passed.len();
        let step = self.process.step;
        self.process.passed.push(Passed { place, step, stage: step.and_then(|key| self.stage_of(key)) });
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.push(self.disk.clone());
        }
        match self.process.injection.filter(|injection| injection.at == at).map(|injection| injection.fault) {
            None => Ok(()),
            Some(Fault::Kill) => self.die(),
            Some(Fault::PowerCut) => {
                self.disk.left_running.clear();
                self.disk.boot += 1;
                self.die()
            }
            Some(Fault::Refuse) => Err(self.refusal()),
            Some(Fault::Repeat) => {
                self.process.repeats = true;
                Ok(())
            }
            Some(Fault::DiskFull) => {
                self.process.is_full = true;
                Ok(())
            }
            Some(Fault::Stop) => {
                self.process.stop.ask();
                Ok(())
            }
        }
    }

    fn die(&mut self) -> Result<(), Failure> {
        self.process.is_dead = true;
        Err(dead())
    }

    /// What a refused effect says. A product that quotes its environment here gives secrets away.
    fn refusal(&self) -> Failure {
        let failure = Failure::new("step::failed", "it was refused").help("mend it");
        match self.broken {
            Some(Broken::SecretInFailure) => {
                failure.output(self.secrets.iter().map(|(name, value)| format!("{name}={value}")).collect())
            }
            _ => failure,
        }
    }

    /// What needs room on the disk.
    pub(crate) fn need_room(&self) -> Result<(), Failure> {
        if self.process.is_full {
            return Err(Failure::new("disk::failed", "write: no space left on device").help("free space"));
        }
        Ok(())
    }

    fn stage_of(&self, key: StepKey) -> Option<Stage> {
        let (plan, host) = self.process.plan.as_ref()?;
        let host = plan.host(host)?;
        let list = match key.list {
            StepList::Forward => &host.steps,
            StepList::Unwind => &host.unwind,
            StepList::Failed => &host.failed,
        };
        list.iter().find(|step| step.n == key.n).map(|step| step.stage)
    }

    fn append(&mut self, entry: &Entry) -> Result<(), Failure> {
        if let Some(step) = entry.fact.intent().or_else(|| entry.fact.outcome().map(|(step, _)| step)) {
            self.at_step(Some(step));
        }
        if self.process.is_poisoned {
            return Err(Failure::new("journal::failed", "an earlier write failed"));
        }
        // An error of any of these leaves the journal unusable until it is opened again.
        self.process.is_poisoned = true;
        let line = bytes::line(self.process.next, entry).expect("an entry can be written");
        if self.broken == Some(Broken::JournalAtTheEnd) {
            self.keep_back(line, entry)?;
        } else {
            self.write(&line)?;
        }
        self.process.next = Seq(self.process.next.0 + 1);
        self.process.ledger.take(entry);
        self.process.is_poisoned = false;
        Ok(())
    }

    fn write(&mut self, line: &[u8]) -> Result<(), Failure> {
        self.boundary(Place::BeforeAppend)?;
        // Where it is torn differs from boundary to boundary.
        let torn = 1 + self.process.passed.len() * 37 % (line.len() - 1);
        let before = self.disk.journal.len();
        self.disk.journal.extend_from_slice(&line[..torn]);
        if self.process.is_full {
            return Err(Failure::new("journal::failed", "append: no space left on device"));
        }
        self.boundary(Place::TornAppend)?;
        self.disk.journal.truncate(before);
        self.disk.journal.extend_from_slice(line);
        self.boundary(Place::AfterAppend)
    }

    fn keep_back(&mut self, line: Vec<u8>, entry: &Entry) -> Result<(), Failure> {
        self.process.kept_back.push(line);
        if !matches!(entry.fact, deployfile_record::Fact::Finished { .. }) {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.process.kept_back);
        lines.iter().try_for_each(|line| self.write(line))
    }
}

pub(crate) struct Log(pub(crate) Shared);

impl Journal for Log {
    fn append(&mut self, entry: &Entry) -> Result<(), Failure> {
        self.0.borrow_mut().append(entry)
    }
}

/// A clock that stands still at the moment of the plan: no decision of a run rests on it.
pub(crate) struct Still(pub(crate) UnixTime);

impl Clock for Still {
    fn now(&self) -> UnixTime {
        self.0
    }
    fn monotonic_ms(&self) -> u64 {
        0
    }
}

#[derive(Default)]
pub(crate) struct Heard(pub(crate) Vec<Event>);

impl Listener for Heard {
    fn event(&mut self, event: &Event) {
        self.0.push(event.clone());
    }
}
