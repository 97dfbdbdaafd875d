//! All processes of one service that were started for one unit: the same command, environment and sockets.

use crate::slot::{Slot, Taken};
use crate::sockets::Sockets;
use crate::state::{RecordedGeneration, RecordedProcess};
use crate::steer::Side;
use crate::{drain, logs, shim, verb};
use deployfile_disk::{Dir, DiskError};
use deployfile_model::HostPath;
use deployfile_model::service::Signal as ServiceSignal;
use deployfile_record::Unit;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::io;
use std::time::{Duration, Instant};

/// Connections that were on their way when new ones were sent elsewhere arrive within this time.
const LEAVE_MIN: Duration = Duration::from_millis(200);
/// A generation that does not accept what waits for it is stopped all the same after this time, or after that of its drain
/// and stop if that is longer.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// How often a leaving generation is looked at.
const LEAVE_LOOK: Duration = Duration::from_millis(20);

/// What a generation is to its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// The one.
    Current,
    /// Runs beside the current one until a hand-over is finished or aborted.
    Next,
    /// Is stopped, beside whatever else runs.
    Retiring,
    /// Is stopped, and nothing new starts before it has ended.
    RetiringFirst,
}

impl Role {
    pub(crate) fn is_retiring(self) -> bool {
        matches!(self, Self::Retiring | Self::RetiringFirst)
    }
}

/// Processes of one unit.
pub(crate) struct Generation {
    pub(crate) id: u64,
    pub(crate) role: Role,
    /// How they are started from now on.
    pub(crate) unit: Unit,
    /// How many there are to be.
    pub(crate) count: u32,
    slots: Vec<Slot>,
    /// Which sockets of its addresses it has.
    pub(crate) side: Side,
    /// Since when new connections go elsewhere, while it still accepts those that came before.
    leaving_since: Option<Instant>,
    /// Set while it is out of traffic: from then on it may be stopped.
    drained_at: Option<Instant>,
    is_file_away: bool,
    /// Stale processes are to get the reload signal.
    is_reload_due: bool,
}

impl Generation {
    pub(crate) fn new(id: u64, role: Role, unit: Unit, side: Side) -> Self {
        let count = unit.numprocs;
        Self {
            id,
            role,
            unit,
            count,
            slots: Vec::new(),
            side,
            leaving_since: None,
            drained_at: None,
            is_file_away: true,
            is_reload_due: false,
        }
    }

    /// The generation as it was recorded, with those of its processes that still run.
    pub(crate) fn take_up(
        recorded: RecordedGeneration,
        is_same_place: bool,
        now: Instant,
    ) -> io::Result<Self> {
        let mut generation = Self::new(recorded.id, recorded.role, recorded.unit, recorded.side);
        generation.count = recorded.count;
        // Whether it had left already was not recorded.
        generation.leaving_since = Some(now).filter(|_| generation.role == Role::Retiring);
        if is_same_place {
            let slots = recorded.processes.into_iter().map(|process| Slot::take_up(process, now));
            generation.slots = slots.collect::<io::Result<_>>()?;
        }
        Ok(generation)
    }

    pub(crate) fn to_record(&self) -> RecordedGeneration {
        let process = |slot: &Slot| {
            let taken = slot.taken()?;
            Some(RecordedProcess {
                num: slot.num(),
                process: taken.process.id(),
                since: taken.since,
                release: taken.release.clone(),
                build_id: taken.build_id.clone(),
                is_stale: taken.is_stale,
            })
        };
        RecordedGeneration {
            id: self.id,
            role: self.role,
            count: self.count,
            side: self.side,
            unit: self.unit.clone(),
            processes: self.slots.iter().filter_map(process).collect(),
        }
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }
    pub(crate) fn processes(&self) -> impl Iterator<Item = &Taken> {
        self.slots.iter().filter_map(Slot::taken)
    }
    pub(crate) fn is_alive(&self) -> bool {
        self.processes().next().is_some()
    }
    pub(crate) fn is_stale(&self) -> bool {
        self.processes().any(|taken| taken.is_stale)
    }
    /// Why one of its processes does not run.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.slots.iter().find_map(Slot::failure)
    }
    /// All processes run, as the unit says where that was asked for.
    pub(crate) fn is_settled(&self) -> bool {
        let running = self.slots.iter().filter(|slot| slot.is_settled()).count();
        running == self.count as usize && self.slots.len() == running && !self.is_reload_due
    }

    /// The unit is another one from now on; what runs is left as it is.
    pub(crate) fn redefine(&mut self, unit: Unit) {
        self.unit = unit;
        for taken in self.slots.iter_mut().filter_map(Slot::taken_mut) {
            taken.is_stale = true;
        }
    }

    /// Stale processes get the reload signal.
    pub(crate) fn reload(&mut self) {
        self.count = self.unit.numprocs;
        self.is_reload_due = true;
    }

    /// All processes count as stale, and get the reload signal.
    pub(crate) fn reload_all(&mut self) {
        self.redefine(self.unit.clone());
        self.reload();
    }

    pub(crate) fn retry_now(&mut self, now: Instant) {
        for slot in &mut self.slots {
            slot.retry_now(now);
        }
    }

    /// It hands over: from now on new connections go to another generation, and it stops when it has those that came
    /// before.
    pub(crate) fn leave(&mut self, now: Instant) {
        self.role = Role::Retiring;
        self.leaving_since = Some(now);
    }

    /// Looks whether it has accepted all that came before it left.
    pub(crate) fn watch_leaving(&mut self, sockets: &Sockets, now: Instant) {
        if let Some(since) = self.leaving_since {
            let left_for = now.saturating_duration_since(since);
            let (addresses, side) = (&self.unit.listen, self.side);
            let longest = LEAVE_MAX.max(stop_takes(&self.unit));
            let may_have_more =
                left_for < LEAVE_MIN || (left_for < longest && sockets.has_waiting(addresses, side));
            // With a socket that others accept from as well, nothing can be left behind.
            if !self.is_alive() || !sockets.can_steer(addresses) || !may_have_more {
                self.leaving_since = None;
            }
        }
    }

    /// How long its stop takes at most.
    pub(crate) fn stop_takes(&self) -> Duration {
        let stop = stop_takes(&self.unit);
        let leaving = if self.leaving_since.is_some() { LEAVE_MAX.max(stop) } else { Duration::ZERO };
        stop.saturating_add(leaving)
    }

    /// Looks what became of its processes, then starts or stops what is to be. Tells whether there is something to
    /// record.
    pub(crate) fn step(&mut self, is_wanted: bool, may_take_file: bool, logs: &Dir, now: Instant) -> bool {
        let mut is_changed = false;
        for slot in &mut self.slots {
            is_changed |= slot.observe(now);
        }
        if is_wanted {
            is_changed |= self.raise(logs, now);
        } else {
            self.lower(may_take_file, now);
        }
        for taken in self.slots.iter_mut().filter_map(Slot::taken_mut) {
            taken.enforce_stop(now);
        }
        is_changed
    }

    fn raise(&mut self, logs: &Dir, now: Instant) -> bool {
        self.drained_at = None;
        for num in 0..self.count {
            if !self.slots.iter().any(|slot| slot.num() == num) {
                self.slots.push(Slot::new(num));
            }
        }
        let mut is_changed = false;
        let (unit, count) = (&self.unit, self.count);
        for slot in &mut self.slots {
            if slot.num() >= count {
                stop(slot, unit, now);
            } else if slot.is_due(now) {
                let log = logs::open(logs, &unit.name).map_err(io::Error::other);
                is_changed |= slot.spawn(unit, log, now);
            }
        }
        self.slots.retain(|slot| slot.num() < count || slot.taken().is_some());
        if self.is_file_away && self.slots.iter().any(Slot::is_settled) {
            self.is_file_away = false;
            self.with_drain_file("put back", drain::put_back);
        }
        is_changed
    }

    fn lower(&mut self, may_take_file: bool, now: Instant) {
        self.slots.iter_mut().for_each(Slot::rest);
        if !self.is_alive() || self.leaving_since.is_some() {
            return;
        }
        let drained_at = match self.drained_at {
            Some(at) => at,
            None => {
                if may_take_file {
                    self.is_file_away = true;
                    self.with_drain_file("take away", drain::take_away);
                }
                let wait = self.unit.drain.as_ref().map_or(Duration::ZERO, |drain| drain.wait.duration());
                *self.drained_at.insert(now + wait)
            }
        };
        if now >= drained_at {
            let unit = &self.unit;
            self.slots.iter_mut().for_each(|slot| stop(slot, unit, now));
        }
    }

    fn with_drain_file(&self, verb: &str, act: fn(&HostPath) -> Result<(), DiskError>) {
        if let Some(file) = self.unit.drain.as_ref().and_then(|drain| drain.file.as_ref())
            && let Err(error) = act(file)
        {
            verb::note(&format!(
                "service {}: cannot {verb} drain file: {}",
                self.unit.name,
                verb::with_source(&error)
            ));
        }
    }

    /// Tells shims that are recorded what to run.
    pub(crate) fn launch(&mut self, sockets: &mut Sockets) {
        let unit = &self.unit;
        for slot in &mut self.slots {
            let num = slot.num();
            let Some(taken) = slot.taken_mut().filter(|taken| taken.waits_for_launch()) else { continue };
            let launch = shim::Launch { unit: unit.clone(), num };
            let launched = match sockets.obtain(&unit.listen, self.side) {
                Ok(fds) => taken
                    .process
                    .launch(&launch, &fds)
                    .map_err(|e| format!("cannot tell it what to run: {e}")),
                Err(error) => Err(error.to_string()),
            };
            taken.set_launched();
            if let Err(why) = launched {
                slot.fail(why);
            }
        }
    }

    /// Ends shims that cannot be recorded.
    pub(crate) fn abandon(&mut self, why: &str) {
        for slot in &mut self.slots {
            if slot.taken().is_some_and(Taken::waits_for_launch) {
                slot.fail(why.to_owned());
            }
        }
    }

    /// Sends the reload signal to the stale, once they have started. Tells whether there is something to record.
    pub(crate) fn send_reloads(&mut self) -> bool {
        if !self.is_reload_due {
            return false;
        }
        let (unit, mut is_changed) = (&self.unit, false);
        // One that has just started might not handle the signal yet, and would be ended by it.
        let stale = |taken: &&mut Taken| taken.is_stale && taken.is_settled();
        for taken in self.slots.iter_mut().filter_map(Slot::taken_mut).filter(stale) {
            taken.process.signal(number(unit.reload_signal));
            taken.is_stale = false;
            taken.release = unit.release.clone();
            taken.build_id = unit.build_id.clone();
            is_changed = true;
        }
        self.is_reload_due = self.is_stale();
        is_changed
    }

    /// When something is to be done that no descriptor tells of.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        let drained = self.drained_at.filter(|_| self.processes().any(|taken| !taken.is_stopping()));
        let leaving = self.leaving_since.map(|_| Instant::now() + LEAVE_LOOK);
        self.slots.iter().filter_map(Slot::wakes_at).chain(drained).chain(leaving).min()
    }
}

/// How long the stop of a unit's processes takes at most.
pub(crate) fn stop_takes(unit: &Unit) -> Duration {
    let drain = unit.drain.as_ref().map_or(Duration::ZERO, |drain| drain.wait.duration());
    drain.saturating_add(unit.stop_timeout.duration())
}

fn stop(slot: &mut Slot, unit: &Unit, now: Instant) {
    if let Some(taken) = slot.taken_mut() {
        taken.stop(number(unit.stop_signal), unit.stop_timeout.duration(), now);
    }
}

fn number(signal: ServiceSignal) -> Signal {
    match signal {
        ServiceSignal::Term => Signal::TERM,
        ServiceSignal::Int => Signal::INT,
        ServiceSignal::Quit => Signal::QUIT,
        ServiceSignal::Hup => Signal::HUP,
        ServiceSignal::Usr1 => Signal::USR1,
        ServiceSignal::Usr2 => Signal::USR2,
        ServiceSignal::Winch => Signal::WINCH,
        ServiceSignal::Kill => Signal::KILL,
    }
}
