//! What each request changes, and when it is done.
//!
//! A request sets what is wanted and returns what to wait for; [`Keeper::step`] does the work. So a request that is
//! repeated, by a client that was killed, finds its work done or under way.

use crate::generation::{Generation, Role, stop_takes};
use crate::keeper::Keeper;
use crate::protocol::{Answer, Ask, Refusal};
use crate::service::Service;
use crate::sockets::{MAX_ADDRESSES, SocketError};
use crate::steer::{Course, Side};
use deployfile_model::{Name, OnDeploy};
use deployfile_record::{FORMAT, Unit};
use std::time::{Duration, Instant};

/// The most services of one root.
const MAX_SERVICES: usize = 256;
/// The most processes of one service.
pub const MAX_PROCESSES: u32 = 64;
/// The most processes of all services together: each takes two descriptors, and 1,024 is the usual limit.
pub const MAX_ALL_PROCESSES: usize = 256;
/// What a request may take beyond drain and stop.
const GRACE: Duration = Duration::from_secs(30);

/// When a request is done.
pub(crate) enum Wait {
    /// It is, and this is the answer.
    Not(Answer),
    /// All processes of this generation run, and all that was to end has ended.
    Settled(Name, u64),
    /// What was to be stopped has ended.
    Retired(Name),
    /// The service has no process.
    Down(Name),
    /// No service has a process.
    AllDown,
}

impl Keeper {
    /// Takes in a request. Tells what to wait for, and how long at most.
    pub(crate) fn take(&mut self, ask: Ask, now: Instant) -> Result<(Wait, Duration), Refusal> {
        if self.is_closing && !matches!(ask, Ask::Hello | Ask::Status | Ask::Shutdown) {
            return Err(Refusal::ShuttingDown);
        }
        let wait = match ask {
            Ask::Hello => Wait::Not(Answer::Done),
            Ask::Status => Wait::Not(Answer::Status(self.status())),
            Ask::Ensure { unit, on_deploy } => self.ensure(*unit, on_deploy, now)?,
            Ask::BeginHandover { unit } => self.begin_handover(*unit, now)?,
            Ask::FinishHandover { name } => self.finish_handover(name, now)?,
            Ask::AbortHandover { name } => self.abort_handover(name),
            Ask::Forget { name } => self.forget(name),
            Ask::Start { name } => self.start(name, now)?,
            Ask::Stop { name } => self.stop(name)?,
            Ask::Restart { name } => self.restart(name)?,
            Ask::Reload { name } => self.reload(name)?,
            Ask::Shutdown => {
                self.is_closing = true;
                Wait::AllDown
            }
        };
        if !matches!(wait, Wait::Not(_)) {
            self.set_dirty();
        }
        let longest = self.services.values().map(Service::stop_takes).max().unwrap_or_default();
        Ok((wait, longest.saturating_add(GRACE)))
    }

    /// The answer, once there is one.
    pub(crate) fn answer(&self, wait: &Wait) -> Option<Answer> {
        if let (Some(why), false) = (&self.record_error, matches!(wait, Wait::Not(_))) {
            return Some(Answer::Refused(Refusal::Record { why: why.clone() }));
        }
        let is_done = match wait {
            Wait::Not(Answer::Status(status)) => return Some(Answer::Status(status.clone())),
            Wait::Not(_) => true,
            Wait::Settled(name, id) => return self.settled(name, *id),
            Wait::Retired(name) => !self.services.get(name).is_some_and(Service::is_retiring),
            Wait::Down(name) => !self.services.get(name).is_some_and(Service::is_alive),
            Wait::AllDown => !self.services.values().any(Service::is_alive),
        };
        is_done.then_some(Answer::Done)
    }

    fn settled(&self, name: &Name, id: u64) -> Option<Answer> {
        let overtaken = || Some(Answer::Refused(Refusal::Overtaken { service: name.clone() }));
        let Some(service) = self.services.get(name).filter(|service| service.is_wanted(self.is_closing))
        else {
            return overtaken();
        };
        let Some(generation) = service.generations().iter().find(|generation| generation.id == id) else {
            return overtaken();
        };
        if generation.role.is_retiring() {
            return overtaken();
        }
        if let Some(why) = generation.failure() {
            return Some(Answer::Refused(Refusal::Start { service: name.clone(), why: why.to_owned() }));
        }
        (generation.is_settled() && !service.is_retiring()).then_some(Answer::Done)
    }

    fn ensure(&mut self, unit: Unit, on_deploy: OnDeploy, now: Instant) -> Result<Wait, Refusal> {
        if on_deploy == OnDeploy::Handover {
            return Err(Refusal::Request {
                why: "a hand-over is begun and finished, not ensured".to_owned(),
            });
        }
        self.check(&unit)?;
        let id = self.new_generation_id();
        let name = unit.name.clone();
        let service = self.services.entry(name.clone()).or_insert_with(Service::new);
        (service.is_up, service.is_forgotten) = (true, false);
        // A hand-over that its caller left open ends here.
        service.reassign(Role::Next, Role::Retiring);
        let Some(current) = service.by_role_mut(Role::Current) else {
            service.replace(id, unit);
            return Ok(Wait::Settled(name, id));
        };
        let is_same = current.unit == unit;
        match on_deploy {
            _ if is_same && !current.is_stale() => current.retry_now(now),
            OnDeploy::None if is_same => {}
            OnDeploy::None if current.is_alive() => current.redefine(unit),
            // A socket can only be handed over to a process that starts.
            OnDeploy::Reload if current.is_alive() && current.unit.listen == unit.listen => {
                if !is_same {
                    current.redefine(unit);
                }
                current.reload();
            }
            _ => {
                service.replace(id, unit);
                return Ok(Wait::Settled(name, id));
            }
        }
        Ok(Wait::Settled(name, current.id))
    }

    fn begin_handover(&mut self, unit: Unit, now: Instant) -> Result<Wait, Refusal> {
        self.check(&unit)?;
        let id = self.new_generation_id();
        let name = unit.name.clone();
        let has_sockets = unit.listen.is_empty() || !self.sockets.holds_none(&unit.listen);
        let service = self.services.entry(name.clone()).or_insert_with(Service::new);
        (service.is_up, service.is_forgotten) = (true, false);
        if let Some(next) = service.by_role_mut(Role::Next).filter(|next| next.unit == unit) {
            next.retry_now(now);
            return Ok(Wait::Settled(name, next.id));
        }
        service.reassign(Role::Next, Role::Retiring);
        match service.by_role_mut(Role::Current) {
            Some(current) if current.unit == unit && !current.is_stale() => {
                current.retry_now(now);
                return Ok(Wait::Settled(name, current.id));
            }
            // There is nothing to hand over from; or the sockets cannot be had before it has ended, because holder and
            // supervisor were killed.
            Some(current) if !current.is_alive() || !has_sockets => service.replace(id, unit),
            Some(current) => {
                let side = current.side.other();
                service.add(Generation::new(id, Role::Next, unit, side));
            }
            None => service.add(Generation::new(id, Role::Next, unit, Side::default())),
        }
        Ok(Wait::Settled(name, id))
    }

    fn finish_handover(&mut self, name: Name, now: Instant) -> Result<Wait, Refusal> {
        let service = self.known(&name)?;
        if let Some(next) = service.by_role(Role::Next) {
            let (side, addresses) = (next.side, next.unit.listen.clone());
            // Old must not be stopped while connections still go to it.
            for address in addresses {
                let course = Course { serving: side, probed: side };
                self.sockets.steer(&address, course).map_err(|error| Refusal::Listen {
                    service: name.clone(),
                    why: format!("cannot send connections to `{address}` to the new processes: {error}"),
                })?;
            }
        }
        self.known(&name)?.hand_over(now);
        Ok(Wait::Retired(name))
    }

    fn abort_handover(&mut self, name: Name) -> Wait {
        if let Some(service) = self.services.get_mut(&name)
            && service.by_role(Role::Next).is_some()
        {
            service.reassign(Role::Next, Role::Retiring);
            service.is_forgotten |= service.by_role(Role::Current).is_none();
        }
        Wait::Retired(name)
    }

    fn forget(&mut self, name: Name) -> Wait {
        if let Some(service) = self.services.get_mut(&name) {
            service.forget();
        }
        Wait::Down(name)
    }

    fn start(&mut self, name: Name, now: Instant) -> Result<Wait, Refusal> {
        let service = self.known(&name)?;
        service.is_up = true;
        service.retry_now(now);
        let shown = service.by_role(Role::Current).or_else(|| service.by_role(Role::Next));
        let id = shown.map(|generation| generation.id);
        id.map_or(Err(Refusal::Unknown { service: name.clone() }), |id| Ok(Wait::Settled(name, id)))
    }

    fn stop(&mut self, name: Name) -> Result<Wait, Refusal> {
        let service = self.known(&name)?;
        service.is_up = false;
        service.reassign(Role::Next, Role::Retiring);
        Ok(Wait::Down(name))
    }

    fn restart(&mut self, name: Name) -> Result<Wait, Refusal> {
        let id = self.new_generation_id();
        let service = self.known(&name)?;
        let shown = service.by_role(Role::Current).or_else(|| service.by_role(Role::Next));
        let Some(unit) = shown.map(|generation| generation.unit.clone()) else {
            return Err(Refusal::Unknown { service: name });
        };
        service.is_up = true;
        service.replace(id, unit);
        Ok(Wait::Settled(name, id))
    }

    fn reload(&mut self, name: Name) -> Result<Wait, Refusal> {
        let service = self.known(&name)?;
        service.is_up = true;
        let Some(current) = service.by_role_mut(Role::Current) else {
            return Err(Refusal::Unknown { service: name });
        };
        current.reload_all();
        Ok(Wait::Settled(name, current.id))
    }

    fn known(&mut self, name: &Name) -> Result<&mut Service, Refusal> {
        let service = self.services.get_mut(name).filter(|service| !service.is_forgotten);
        service.ok_or_else(|| Refusal::Unknown { service: name.clone() })
    }

    /// Refuses what cannot run, before anything is changed.
    fn check(&mut self, unit: &Unit) -> Result<(), Refusal> {
        let others = self.generations().filter(|other| other.unit.name != unit.name);
        let others: usize = others.map(|generation| generation.count as usize).sum();
        let why = if unit.format != FORMAT {
            Some(format!("its unit has format {}, and this supervisor knows {FORMAT}", unit.format))
        } else if unit.command.first().is_none_or(String::is_empty) {
            Some("its command is empty".to_owned())
        } else if unit.command.iter().any(|word| word.contains('\0')) {
            Some("its command holds a NUL".to_owned())
        } else if !(1..=MAX_PROCESSES).contains(&unit.numprocs) {
            Some(format!("it wants {} processes; 1 to {MAX_PROCESSES} are possible", unit.numprocs))
        } else if others + unit.numprocs as usize > MAX_ALL_PROCESSES {
            Some(format!("all services together may have {MAX_ALL_PROCESSES} processes"))
        } else if unit.listen.len() > MAX_ADDRESSES {
            Some(format!("it listens on more than {MAX_ADDRESSES} addresses"))
        } else if !self.services.contains_key(&unit.name) && self.services.len() >= MAX_SERVICES {
            Some(format!("there are {MAX_SERVICES} services already"))
        } else if stop_takes(unit) > Duration::from_secs(24 * 3600) {
            Some("its drain and stop take more than a day".to_owned())
        } else {
            None
        };
        match why {
            Some(why) => Err(Refusal::Unit { service: unit.name.clone(), why }),
            None => self.check_sockets(unit),
        }
    }

    /// Binds what is not bound yet, so that an address that cannot be had changes nothing.
    fn check_sockets(&mut self, unit: &Unit) -> Result<(), Refusal> {
        let Err(error) = self.sockets.obtain(&unit.listen, Side::default()) else { return Ok(()) };
        let own = self.services.get(&unit.name).and_then(|service| service.by_role(Role::Current));
        let has =
            |address: &String| own.is_some_and(|own| own.is_alive() && own.unit.listen.contains(address));
        match error {
            // Holder and supervisor died, and these very processes have the socket: it is free once they have ended.
            SocketError::Address { address, .. } if has(&address) => Ok(()),
            error => Err(Refusal::Listen { service: unit.name.clone(), why: error.to_string() }),
        }
    }
}
