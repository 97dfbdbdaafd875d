//! Everything that the supervisor knows and does, but for talking: all services, their record and their sockets.
//!
//! [`Keeper::step`] brings the world one step nearer to what is wanted, in an order that holds the promises: shims are
//! started, then recorded, then launched; sockets are closed last.

use crate::generation::Generation;
use crate::identity::Stamp;
use crate::layout::{self, log_name};
use crate::protocol::ServiceStatus;
use crate::service::Service;
use crate::sockets::Sockets;
use crate::state::{self, Recorded};
use crate::verb::{self, VerbError};
use crate::{logs, protocol};
use deployfile_disk::Dir;
use deployfile_model::{HostPath, Name};
use deployfile_record::FORMAT;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How often a record that could not be written is tried again.
const RECORD_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often the sizes of the logs are looked at.
const LOGS_EVERY: Duration = Duration::from_secs(2);

/// All services of a root.
pub(crate) struct Keeper {
    dir: Dir,
    logs: Dir,
    stamp: Stamp,
    pub(crate) sockets: Sockets,
    pub(crate) services: BTreeMap<Name, Service>,
    next_generation: u64,
    /// Everything is being stopped, for this supervisor to end.
    pub(crate) is_closing: bool,
    is_dirty: bool,
    /// Why the record could not be written, while that is so.
    pub(crate) record_error: Option<String>,
    record_again_at: Option<Instant>,
    logs_at: Instant,
}

impl Keeper {
    /// Reads the record and takes up what still runs.
    pub(crate) fn open(root: &HostPath, root_dir: &Dir, dir: &Dir, now: Instant) -> Result<Self, VerbError> {
        let stamp = Stamp::of(root_dir)?;
        let recorded = state::load(dir)?;
        let is_same_place = recorded.as_ref().is_some_and(|recorded| recorded.stamp == stamp);
        let next_generation = recorded.as_ref().map_or(1, |recorded| recorded.next_generation);
        let mut services = BTreeMap::new();
        for (name, service) in recorded.map(|recorded| recorded.services).unwrap_or_default() {
            services.insert(name, Service::take_up(service, is_same_place, now)?);
        }
        Ok(Self {
            dir: dir.try_clone()?,
            logs: layout::make_log_dir(root_dir)?,
            stamp,
            sockets: Sockets::open(root, dir.try_clone()?).map_err(VerbError::Sockets)?,
            services,
            next_generation,
            is_closing: false,
            is_dirty: false,
            record_error: None,
            record_again_at: None,
            logs_at: now,
        })
    }

    /// Something changed that has to be recorded.
    pub(crate) fn set_dirty(&mut self) {
        self.is_dirty = true;
    }

    /// A generation that no other was before.
    pub(crate) fn new_generation_id(&mut self) -> u64 {
        let id = self.next_generation;
        self.next_generation += 1;
        id
    }

    /// Does what is to be done now.
    pub(crate) fn step(&mut self, now: Instant) {
        // Somebody removed the root: what it serves is gone, and nobody could ever ask for anything again.
        self.is_closing |= self.dir.stat_self().is_ok_and(|dir| dir.nlink == 0);
        self.steer();
        for service in self.services.values_mut() {
            // New sockets begin with the first side.
            self.is_dirty |= service.begin_anew(&self.sockets);
            self.is_dirty |= service.step(self.is_closing, &self.sockets, &self.logs, now);
        }
        let known = self.services.len();
        self.services.retain(|_, service| !service.is_forgotten || service.is_alive());
        self.is_dirty |= self.services.len() != known;
        if self.record(now) {
            let mut is_reloaded = false;
            for service in self.services.values_mut() {
                service.launch(&mut self.sockets);
                is_reloaded |= service.send_reloads();
            }
            self.is_dirty |= is_reloaded;
            self.record(now);
        }
        self.tend_sockets();
        self.rotate_logs(now);
    }

    /// Before anything is stopped: what is to end must not get new connections.
    fn steer(&mut self) {
        for (name, service) in &self.services {
            let serves = |generation: &&Generation| !generation.role.is_retiring();
            let course = service.course();
            for address in service.generations().iter().filter(serves).flat_map(|one| &one.unit.listen) {
                if let Err(error) = self.sockets.steer(address, course) {
                    verb::note(&format!("service {name}: cannot steer connections to `{address}`: {error}"));
                }
            }
        }
        for service in self.services.values() {
            for (address, side) in service.deserted() {
                self.sockets.close_waiting(&address, side);
            }
        }
    }

    /// Writes the record if it changed. Tells whether what is in memory is durable now.
    fn record(&mut self, now: Instant) -> bool {
        if !self.is_dirty {
            return true;
        }
        if self.record_again_at.is_some_and(|at| now < at) {
            return self.refuse_to_go_on();
        }
        let services = self.services.iter().map(|(name, service)| (name.clone(), service.to_record()));
        let recorded = Recorded {
            format: FORMAT,
            stamp: self.stamp.clone(),
            next_generation: self.next_generation,
            services: services.collect(),
        };
        match state::save(&self.dir, &recorded) {
            Ok(()) => {
                (self.is_dirty, self.record_error, self.record_again_at) = (false, None, None);
                true
            }
            Err(error) => {
                let why = verb::with_source(&error);
                verb::note(&why);
                self.record_error = Some(why);
                self.record_again_at = Some(now + RECORD_AGAIN_AFTER);
                self.refuse_to_go_on()
            }
        }
    }

    /// What is not recorded is not started.
    fn refuse_to_go_on(&mut self) -> bool {
        let why = self.record_error.clone().unwrap_or_default();
        self.services.values_mut().for_each(|service| service.abandon(&why));
        false
    }

    fn tend_sockets(&mut self) {
        let is_closing = self.is_closing;
        let needs = |service: &&Service| service.is_wanted(is_closing) || service.is_alive();
        let needed: BTreeSet<String> = self
            .services
            .values()
            .filter(needs)
            .flat_map(|service| service.generations().iter())
            .flat_map(|generation| generation.unit.listen.iter().cloned())
            .collect();
        if let Err(error) = self.sockets.keep_only(&needed) {
            verb::note(&format!("cannot close sockets: {error}"));
        }
        match self.sockets.replace_dead_holder() {
            Ok(false) => {}
            Ok(true) => verb::note("the holder of listening sockets had died; a new one has them now"),
            Err(error) => verb::note(&error.to_string()),
        }
    }

    fn rotate_logs(&mut self, now: Instant) {
        if now < self.logs_at {
            return;
        }
        self.logs_at = now + LOGS_EVERY;
        let units = self.services.values().filter_map(|service| service.generations().last());
        for unit in units.map(|generation| &generation.unit) {
            let rotated = log_name(&unit.name)
                .and_then(|name| logs::rotate(&self.logs, &name, unit.log_bytes.0, unit.log_keep));
            if let Err(error) = rotated {
                verb::note(&verb::with_source(&error));
            }
        }
        if let Err(error) = logs::rotate_own(&self.dir) {
            verb::note(&verb::with_source(&error));
        }
    }

    /// When something is to be done that no descriptor tells of.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        let logs = Some(self.logs_at).filter(|_| self.services.values().any(Service::is_alive));
        let services = self.services.values().filter_map(Service::wakes_at);
        services.chain(logs).chain(self.record_again_at).min()
    }

    /// The state of all services.
    pub(crate) fn status(&self) -> Vec<protocol::ServiceStatus> {
        let status = |(name, service): (&Name, &Service)| -> Option<ServiceStatus> {
            service.status(name, self.is_closing, &self.sockets)
        };
        self.services.iter().filter_map(status).collect()
    }

    /// All generations of all services.
    pub(crate) fn generations(&self) -> impl Iterator<Item = &Generation> {
        self.services.values().flat_map(|service| service.generations().iter())
    }
}
