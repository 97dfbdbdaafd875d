//! The place of one process of a service: empty, taken, or waiting for its next try.

use crate::process::{self, Process, Shimming};
use crate::state::RecordedProcess;
use crate::verb;
use deployfile_model::units::UnixTime;
use deployfile_model::{BuildId, ReleaseId};
use deployfile_record::Unit;
use rustix::process::Signal;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

/// A process that has run for this long has started: until then its end is a failed start.
const SETTLES_AFTER: Duration = Duration::from_millis(500);
/// The first pause before a process that ended by itself is started again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// After a run of this long the next pause is the first again.
const IS_STABLE_AFTER: Duration = Duration::from_secs(10);

/// One of a generation's processes.
pub(crate) struct Slot {
    num: u32,
    life: Life,
    pause: Duration,
    failure: Option<Failure>,
    last_exit: Option<String>,
    restarts: u64,
}

enum Life {
    Empty,
    Taken(Box<Taken>),
    Waiting { until: Instant },
}

/// Why the last try did not become a running process.
struct Failure {
    why: String,
    /// Not even its program could be executed.
    is_early: bool,
}

/// A process and what is known of it.
pub(crate) struct Taken {
    pub(crate) process: Process,
    pub(crate) since: UnixTime,
    pub(crate) release: ReleaseId,
    pub(crate) build_id: Option<BuildId>,
    /// It may run something else than its generation's unit says.
    pub(crate) is_stale: bool,
    is_launched: bool,
    /// When it became the service.
    executed: Option<Instant>,
    is_settled: bool,
    stop: Option<Stopping>,
}

struct Stopping {
    kill_at: Instant,
    is_killed: bool,
}

impl Slot {
    /// An empty slot.
    pub(crate) fn new(num: u32) -> Self {
        Self { num, life: Life::Empty, pause: FIRST_PAUSE, failure: None, last_exit: None, restarts: 0 }
    }

    /// The slot of a process that an earlier supervisor started, which may have ended since.
    pub(crate) fn take_up(recorded: RecordedProcess, now: Instant) -> io::Result<Self> {
        let mut slot = Self::new(recorded.num);
        match Process::take_up(recorded.process)? {
            Some(process) => {
                slot.life = Life::Taken(Box::new(Taken {
                    process,
                    since: recorded.since,
                    release: recorded.release,
                    build_id: recorded.build_id,
                    is_stale: recorded.is_stale,
                    is_launched: true,
                    executed: Some(now),
                    is_settled: true,
                    stop: None,
                }));
            }
            None => {
                process::kill_leftovers(recorded.process);
                slot.last_exit = Some("ended while no supervisor ran: its exit status is unknown".to_owned())
            }
        }
        Ok(slot)
    }

    pub(crate) fn num(&self) -> u32 {
        self.num
    }
    pub(crate) fn taken(&self) -> Option<&Taken> {
        match &self.life {
            Life::Taken(taken) => Some(taken),
            _ => None,
        }
    }
    pub(crate) fn taken_mut(&mut self) -> Option<&mut Taken> {
        match &mut self.life {
            Life::Taken(taken) => Some(taken),
            _ => None,
        }
    }
    pub(crate) fn is_settled(&self) -> bool {
        self.taken().is_some_and(|taken| taken.is_settled)
    }
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.life, Life::Waiting { .. })
    }
    /// Why it does not run, until it does.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| failure.why.as_str())
    }
    /// Not even its program could be executed.
    pub(crate) fn is_unstartable(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.is_early)
    }
    pub(crate) fn last_exit(&self) -> Option<&str> {
        self.failure().or(self.last_exit.as_deref())
    }
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Whether a process is to be started now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        match self.life {
            Life::Empty => true,
            Life::Waiting { until } => until <= now,
            Life::Taken(_) => false,
        }
    }

    /// Forgets what went wrong, so that the next try is now.
    pub(crate) fn retry_now(&mut self, now: Instant) {
        self.failure = None;
        self.pause = FIRST_PAUSE;
        if let Life::Waiting { until } = &mut self.life {
            *until = now;
        }
    }

    /// Waits for nothing any more: it is not wanted.
    pub(crate) fn rest(&mut self) {
        if self.is_waiting() {
            self.life = Life::Empty;
        }
    }

    /// Starts a shim. Tells whether there is a process now that has to be recorded.
    pub(crate) fn spawn(&mut self, unit: &Unit, log: io::Result<File>, now: Instant) -> bool {
        match log.and_then(Process::spawn) {
            Ok(process) => {
                if self.is_waiting() {
                    self.restarts += 1;
                }
                self.life = Life::Taken(Box::new(Taken {
                    process,
                    since: verb::now(),
                    release: unit.release.clone(),
                    build_id: unit.build_id.clone(),
                    is_stale: false,
                    is_launched: false,
                    executed: None,
                    is_settled: false,
                    stop: None,
                }));
                true
            }
            Err(error) => {
                self.fail(format!("cannot start a process: {error}"));
                self.wait(now);
                false
            }
        }
    }

    /// Remembers that it could not be started; its process, if there is one, is ended.
    pub(crate) fn fail(&mut self, why: String) {
        self.failure = Some(Failure { why, is_early: true });
        if let Life::Taken(taken) = &self.life {
            taken.process.kill();
        }
    }

    fn wait(&mut self, now: Instant) {
        self.life = Life::Waiting { until: now + self.pause };
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    /// Looks what became of its process. Tells whether there is something to record.
    pub(crate) fn observe(&mut self, now: Instant) -> bool {
        let Life::Taken(taken) = &mut self.life else { return false };
        match taken.process.shimming() {
            Shimming::Yes => {}
            Shimming::Cannot(why) => self.failure = Some(Failure { why, is_early: true }),
            Shimming::No => {
                let executed = *taken.executed.get_or_insert(now);
                if now >= executed + SETTLES_AFTER {
                    taken.is_settled = true;
                    self.failure = None;
                }
            }
        }
        match taken.process.bury() {
            Some(how) => {
                self.ended(how, now);
                true
            }
            None => false,
        }
    }

    fn ended(&mut self, how: String, now: Instant) {
        let Life::Taken(taken) = std::mem::replace(&mut self.life, Life::Empty) else { return };
        verb::note(&format!("process {} of release {} {how}", taken.process.id().pid, taken.release));
        if taken.stop.is_none() {
            if taken.executed.is_some_and(|executed| now >= executed + IS_STABLE_AFTER) {
                self.pause = FIRST_PAUSE;
            }
            if !taken.is_settled && self.failure.is_none() {
                self.failure = Some(Failure { why: format!("process {how}"), is_early: false });
            }
            self.wait(now);
        }
        self.last_exit = Some(how);
    }

    /// When something is to be done that no descriptor tells of.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        match &self.life {
            Life::Empty => None,
            Life::Waiting { until } => Some(*until),
            Life::Taken(taken) => match &taken.stop {
                Some(stop) if !stop.is_killed => Some(stop.kill_at),
                Some(_) => None,
                None if taken.is_settled => None,
                None => taken.executed.map(|executed| executed + SETTLES_AFTER),
            },
        }
    }
}

impl Taken {
    /// Whether its shim waits to be told what to run.
    pub(crate) fn waits_for_launch(&self) -> bool {
        !self.is_launched && self.stop.is_none()
    }
    /// It was told.
    pub(crate) fn set_launched(&mut self) {
        self.is_launched = true;
    }
    pub(crate) fn is_settled(&self) -> bool {
        self.is_settled
    }
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Sends the first signal of a stop, once. A shim that was not launched is killed: it has nothing to finish.
    pub(crate) fn stop(&mut self, signal: Signal, timeout: Duration, now: Instant) {
        if self.stop.is_some() {
            return;
        }
        let is_killed = !self.is_launched;
        if is_killed {
            self.process.kill();
        } else {
            self.process.signal(signal);
        }
        self.stop = Some(Stopping { kill_at: now + timeout, is_killed });
    }

    /// Kills it when its time to stop is over.
    pub(crate) fn enforce_stop(&mut self, now: Instant) {
        if let Some(stop) = &mut self.stop
            && !stop.is_killed
            && now >= stop.kill_at
        {
            stop.is_killed = true;
            self.process.kill();
        }
    }
}
