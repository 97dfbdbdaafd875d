//! A service: its generations, and which of them are to run.

use crate::generation::{Generation, Role};
use crate::protocol::{ServiceState, ServiceStatus};
use crate::slot::{Slot, Taken};
use crate::sockets::Sockets;
use crate::state::RecordedService;
use crate::steer::{Course, Side};
use deployfile_disk::Dir;
use deployfile_model::Name;
use deployfile_record::Unit;
use std::io;
use std::time::{Duration, Instant};

/// A service that is known.
pub(crate) struct Service {
    /// It is meant to run.
    pub(crate) is_up: bool,
    /// It goes when its last process has ended.
    pub(crate) is_forgotten: bool,
    generations: Vec<Generation>,
}

impl Service {
    /// A service that nothing is known of yet.
    pub(crate) fn new() -> Self {
        Self { is_up: true, is_forgotten: false, generations: Vec::new() }
    }

    pub(crate) fn take_up(recorded: RecordedService, is_same_place: bool, now: Instant) -> io::Result<Self> {
        let generations = recorded.generations.into_iter();
        Ok(Self {
            is_up: recorded.is_up,
            is_forgotten: recorded.is_forgotten,
            generations: generations
                .map(|generation| Generation::take_up(generation, is_same_place, now))
                .collect::<io::Result<_>>()?,
        })
    }

    pub(crate) fn to_record(&self) -> RecordedService {
        RecordedService {
            is_up: self.is_up,
            is_forgotten: self.is_forgotten,
            generations: self.generations.iter().map(Generation::to_record).collect(),
        }
    }

    pub(crate) fn generations(&self) -> &[Generation] {
        &self.generations
    }
    pub(crate) fn by_role(&self, role: Role) -> Option<&Generation> {
        self.generations.iter().find(|generation| generation.role == role)
    }
    pub(crate) fn by_role_mut(&mut self, role: Role) -> Option<&mut Generation> {
        self.generations.iter_mut().find(|generation| generation.role == role)
    }
    pub(crate) fn is_alive(&self) -> bool {
        self.generations.iter().any(Generation::is_alive)
    }
    pub(crate) fn is_retiring(&self) -> bool {
        self.generations.iter().any(|generation| generation.role.is_retiring() && generation.is_alive())
    }

    /// Adds a generation in a role that is free.
    pub(crate) fn add(&mut self, generation: Generation) {
        self.generations.push(generation);
    }

    /// The side whose sockets new connections go to.
    pub(crate) fn serving_side(&self) -> Side {
        let serving = self.by_role(Role::Current).or_else(|| self.by_role(Role::Next));
        serving.map(|generation| generation.side).unwrap_or_default()
    }

    /// Where new connections go.
    pub(crate) fn course(&self) -> Course {
        let serving = self.serving_side();
        let probed = self.by_role(Role::Next).map_or(serving, |next| next.side);
        Course { serving, probed }
    }

    /// The sides of addresses that get no new connections and from which nobody accepts any more.
    pub(crate) fn deserted(&self) -> Vec<(String, Side)> {
        let course = self.course();
        let is_used = |side: Side| {
            let by = |generation: &Generation| generation.side == side && generation.is_alive();
            side == course.serving || side == course.probed || self.generations.iter().any(by)
        };
        let sides: Vec<Side> =
            [Side::First, Side::Second].into_iter().filter(|side| !is_used(*side)).collect();
        let addresses = self.generations.iter().flat_map(|generation| &generation.unit.listen);
        let of = |address: &'_ String| sides.iter().map(|side| (address.clone(), *side)).collect::<Vec<_>>();
        addresses.flat_map(of).collect()
    }

    /// Where no socket is held, the current generation begins with the side that new sockets serve from. Tells whether
    /// that is a change.
    pub(crate) fn begin_anew(&mut self, sockets: &Sockets) -> bool {
        let is_alone = self.generations.len() == 1 && !self.is_alive();
        let one = self.generations.first_mut().filter(|one| is_alone && one.side != Side::default());
        match one {
            Some(one) if !one.unit.listen.is_empty() && sockets.holds_none(&one.unit.listen) => {
                one.side = Side::default();
                true
            }
            _ => false,
        }
    }

    /// New connections go to the next generation from now on, and the current one retires. Nothing happens without a
    /// next one.
    pub(crate) fn hand_over(&mut self, now: Instant) {
        if self.by_role(Role::Next).is_some() {
            if let Some(current) = self.by_role_mut(Role::Current) {
                current.leave(now);
            }
            self.reassign(Role::Next, Role::Current);
        }
    }

    /// Whoever has the role `from` gets the role `to`.
    pub(crate) fn reassign(&mut self, from: Role, to: Role) {
        for generation in self.generations.iter_mut().filter(|generation| generation.role == from) {
            generation.role = to;
        }
    }

    /// Stops whatever runs before `unit` is started.
    pub(crate) fn replace(&mut self, id: u64, unit: Unit) {
        let side = self.serving_side();
        for generation in &mut self.generations {
            generation.role = Role::RetiringFirst;
        }
        self.add(Generation::new(id, Role::Current, unit, side));
    }

    /// Stops everything, and is gone then.
    pub(crate) fn forget(&mut self) {
        self.is_forgotten = true;
        for generation in &mut self.generations {
            generation.role = Role::RetiringFirst;
        }
    }

    pub(crate) fn retry_now(&mut self, now: Instant) {
        for generation in &mut self.generations {
            generation.retry_now(now);
        }
    }

    /// How long the stop of all that runs takes at most.
    pub(crate) fn stop_takes(&self) -> Duration {
        self.generations.iter().map(Generation::stop_takes).max().unwrap_or_default()
    }

    /// Whether any of it is to run.
    pub(crate) fn is_wanted(&self, is_closing: bool) -> bool {
        self.is_up && !self.is_forgotten && !is_closing
    }

    /// Lets every generation do what is next. Tells whether there is something to record.
    pub(crate) fn step(&mut self, is_closing: bool, sockets: &Sockets, logs: &Dir, now: Instant) -> bool {
        let is_wanted = self.is_wanted(is_closing);
        for generation in &mut self.generations {
            generation.watch_leaving(sockets, now);
        }
        let blocks =
            |generation: &Generation| generation.role == Role::RetiringFirst && generation.is_alive();
        let is_blocked = self.generations.iter().any(blocks);
        let mut is_changed = false;
        for at in 0..self.generations.len() {
            let role = self.generations[at].role;
            let is_held_back = !self.generations[at].is_alive()
                && match role {
                    Role::Current => is_blocked,
                    // What a probe asks must be the next one, and not what retires with the same sockets.
                    Role::Next => self.has_retiring_on(self.generations[at].side),
                    Role::Retiring | Role::RetiringFirst => false,
                };
            let runs = is_wanted && !role.is_retiring() && !is_held_back;
            // While others serve at the same address, the file speaks for them.
            let may_take_file = role != Role::Retiring || !self.others_use_file_of(at, is_wanted);
            is_changed |= self.generations[at].step(runs, may_take_file, logs, now);
        }
        let before = self.generations.len();
        self.generations.retain(|generation| !generation.role.is_retiring() || generation.is_alive());
        is_changed || self.generations.len() != before
    }

    fn has_retiring_on(&self, side: Side) -> bool {
        let is_there =
            |other: &Generation| other.role.is_retiring() && other.side == side && other.is_alive();
        self.generations.iter().any(is_there)
    }

    fn others_use_file_of(&self, at: usize, is_wanted: bool) -> bool {
        let file =
            |generation: &Generation| generation.unit.drain.as_ref().and_then(|drain| drain.file.clone());
        let own = file(&self.generations[at]);
        let uses = |other: &Generation| !other.role.is_retiring() && file(other) == own;
        is_wanted && self.generations.iter().any(uses)
    }

    pub(crate) fn launch(&mut self, sockets: &mut Sockets) {
        self.generations.iter_mut().for_each(|generation| generation.launch(sockets));
    }
    pub(crate) fn abandon(&mut self, why: &str) {
        self.generations.iter_mut().for_each(|generation| generation.abandon(why));
    }
    /// Tells whether there is something to record.
    pub(crate) fn send_reloads(&mut self) -> bool {
        let mut is_changed = false;
        for generation in &mut self.generations {
            is_changed |= generation.send_reloads();
        }
        is_changed
    }

    /// What the service is to people: its current generation, or the next where there is no current one yet.
    fn shown(&self) -> Option<&Generation> {
        self.by_role(Role::Current).or_else(|| self.by_role(Role::Next)).or(self.generations.first())
    }

    /// Its state; `None` when there is nothing left of it.
    pub(crate) fn status(&self, name: &Name, is_closing: bool, sockets: &Sockets) -> Option<ServiceStatus> {
        let shown = self.shown()?;
        let processes: Vec<&Taken> = self.generations.iter().flat_map(Generation::processes).collect();
        let oldest = shown.processes().min_by_key(|taken| taken.since);
        let last_exit = shown.slots().iter().find_map(Slot::last_exit);
        Some(ServiceStatus {
            name: name.clone(),
            release: oldest.map_or(&shown.unit.release, |taken| &taken.release).clone(),
            build_id: oldest.map_or(&shown.unit.build_id, |taken| &taken.build_id).clone(),
            state: self.state(shown, is_closing),
            pids: processes.iter().map(|taken| taken.process.id().pid).collect(),
            since_unix: oldest.map(|taken| taken.since),
            restarts: shown.slots().iter().map(Slot::restarts).sum(),
            last_exit: last_exit.map(str::to_owned),
            is_handing_over: self.by_role(Role::Next).is_some(),
            is_apart: self.by_role(Role::Next).is_some_and(|next| {
                let course = self.course();
                course.serving != course.probed && sockets.is_steered(&next.unit.listen, course)
            }),
        })
    }

    fn state(&self, shown: &Generation, is_closing: bool) -> ServiceState {
        if !self.is_wanted(is_closing) {
            return if self.is_alive() { ServiceState::Stopping } else { ServiceState::Stopped };
        }
        let slots = shown.slots();
        if slots.iter().any(Slot::is_unstartable) {
            ServiceState::Failed
        } else if slots.iter().any(Slot::is_waiting) {
            ServiceState::Backoff
        } else if shown.is_settled() {
            ServiceState::Running
        } else {
            ServiceState::Starting
        }
    }

    /// When something is to be done that no descriptor tells of.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.generations.iter().filter_map(Generation::wakes_at).min()
    }
}
