//! A client of a running supervisord, over XML-RPC on its unix socket.
//!
//! A service is a group (`[program:x]` makes one of its own name). supervisord is told to read its configuration again, and
//! then only the groups of this file are touched: stopped, removed, added. What is deliberately not here: writing the
//! configuration (`deployfile-render`), and restarting supervisord, which would take everybody's processes down.

mod error;
mod rpc;
mod status;

pub use error::{SupervisordError, failure};
pub use status::{GroupState, GroupStatus, ProcessStatus};

use crate::probe::connect;
use deployfile_exec::Stop;
use deployfile_model::service::Signal;
use deployfile_model::{HostPath, Name, OnDeploy};
use deployfile_record::Failure;
use error::fault;
use rpc::{Answer, Param, Value};
use std::collections::BTreeSet;
use std::io::Read;
use std::time::{Duration, Instant};

/// How long one call may take. None waits for processes.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const ANSWER_MAX: u64 = 4 << 20;
/// Between two looks at a group's processes.
const TICK: Duration = Duration::from_millis(100);

/// How long supervisord is waited for. Stopping and starting have limits of their own in its configuration (`stopwaitsecs`,
/// `startsecs`, `startretries`); this one is for a supervisord that hangs.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Makes the supervisord behind `socket` run the group of a service as its configuration now says; see
/// [`Supervisord::ensure_group`].
pub fn ensure(
    socket: &HostPath,
    service: &Name,
    on_deploy: OnDeploy,
    reload_signal: Signal,
    stop: &Stop,
) -> Result<Taken, Failure> {
    let how = Treatment { on_deploy, reload_signal, within: PATIENCE };
    Supervisord::connect(socket).and_then(|it| it.ensure_group(service, &how, stop)).map_err(|e| failure(&e))
}

/// Stops the group of a service and takes it out of the supervisord behind `socket`.
pub fn forget(socket: &HostPath, service: &Name, stop: &Stop) -> Result<(), Failure> {
    Supervisord::connect(socket)
        .and_then(|it| it.forget_group(service, PATIENCE, stop))
        .map_err(|e| failure(&e))
}

/// A running supervisord.
pub struct Supervisord {
    socket: HostPath,
    agent: ureq::Agent,
}

/// What reading the configuration again would change, by group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reread {
    /// In the configuration, not taken up.
    pub added: BTreeSet<String>,
    /// Taken up with another text.
    pub changed: BTreeSet<String>,
    /// Taken up, no longer in the configuration.
    pub removed: BTreeSet<String>,
}

impl Reread {
    /// Groups of others that are no longer in the configuration: a broken or dangling include line. Nothing here
    /// touches them, but somebody's `supervisorctl update` would stop them.
    pub fn lost<'a>(&'a self, ours: &'a BTreeSet<Name>) -> impl Iterator<Item = &'a str> {
        self.removed
            .iter()
            .map(String::as_str)
            .filter(|group| !ours.iter().any(|name| name.as_str() == *group))
    }
}

/// What [`Supervisord::ensure_group`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The group is new.
    Added,
    /// Its configuration changed: stopped, removed, added.
    Replaced,
    /// Its configuration is the same: stopped and started.
    Restarted,
    /// Its configuration is the same: signalled.
    Reloaded,
    /// It was left alone.
    Untouched,
}

/// How a group is treated when it is taken up.
#[derive(Debug, Clone, Copy)]
pub struct Treatment {
    /// What a deploy does with processes that run.
    pub on_deploy: OnDeploy,
    /// The signal of a reload.
    pub reload_signal: Signal,
    /// How long stopping may take (supervisord kills after the group's own `stopwaitsecs`), and then coming up.
    pub within: Duration,
}

impl Supervisord {
    /// Reaches the supervisord behind `socket` and makes sure that it is up.
    pub fn connect(socket: &HostPath) -> Result<Self, SupervisordError> {
        let agent = connect::unix_agent(socket.as_str().into(), CALL_TIMEOUT);
        let this = Self { socket: socket.clone(), agent };
        let state = this.call("supervisor.getState", &[])?;
        match state.get("statecode").and_then(Value::int) {
            // SupervisorStates.RUNNING
            Some(1) => Ok(this),
            _ => {
                let name = state.get("statename").map(Value::text).unwrap_or_default();
                Err(this.strange("supervisor.getState", format!("its state is `{}`", name.escape_debug())))
            }
        }
    }

    /// Makes supervisord read its configuration files again. Changes nothing that runs; so twice is as good as once.
    pub fn reread(&self) -> Result<Reread, SupervisordError> {
        let answer = self.call("supervisor.reloadConfig", &[])?;
        let [added, changed, removed] = answer.list().first().map(Value::list).unwrap_or_default() else {
            return Err(self.strange("supervisor.reloadConfig", "it is not three lists".to_owned()));
        };
        let names = |list: &Value| list.list().iter().map(|name| name.text().to_owned()).collect();
        Ok(Reread { added: names(added), changed: names(changed), removed: names(removed) })
    }

    /// Makes supervisord run the group `name` as its configuration now says, and waits until all of its processes are
    /// up.
    ///
    /// A changed configuration is taken up by stop, remove, add, also with `on-deploy reload`: a signal cannot do it.
    /// `on-deploy none` takes up a new group only.
    pub fn ensure_group(&self, name: &Name, how: &Treatment, stop: &Stop) -> Result<Taken, SupervisordError> {
        if how.on_deploy == OnDeploy::Handover {
            return Err(SupervisordError::Handover(name.clone()));
        }
        let reread = self.reread()?;
        let has = |set: &BTreeSet<String>| set.contains(name.as_str());
        if has(&reread.removed) || (!has(&reread.added) && self.group(name)?.processes.is_empty()) {
            return Err(SupervisordError::NotConfigured(name.clone()));
        }
        let taken = if has(&reread.added) {
            self.add(name)?;
            Taken::Added
        } else {
            match (how.on_deploy, has(&reread.changed)) {
                (OnDeploy::None, _) => return Ok(Taken::Untouched),
                (_, true) => {
                    self.forget_group(name, how.within, stop)?;
                    self.add(name)?;
                    Taken::Replaced
                }
                (OnDeploy::Reload, false) => {
                    self.signal(name, how.reload_signal)?;
                    Taken::Reloaded
                }
                (_, false) => {
                    self.stop(name, how.within, stop)?;
                    Taken::Restarted
                }
            }
        };
        self.start(name, how.within, stop)?;
        Ok(taken)
    }

    /// Stops the group and takes it out of supervisord. A group that it does not have is as good.
    pub fn forget_group(&self, name: &Name, within: Duration, stop: &Stop) -> Result<(), SupervisordError> {
        self.stop(name, within, stop)?;
        self.tolerating(fault::BAD_NAME, self.call("supervisor.removeProcessGroup", &[text(name)]))
    }

    /// Starts the group's processes that do not run, and waits until all are up.
    pub fn start(&self, name: &Name, within: Duration, stop: &Stop) -> Result<(), SupervisordError> {
        self.call("supervisor.startProcessGroup", &[text(name), Param::Bool(false)])?;
        let deadline = Instant::now() + within;
        loop {
            let group = self.group(name)?;
            match group.state {
                GroupState::Running => return Ok(()),
                GroupState::Starting if Instant::now() < deadline => pause(stop)?,
                // Not started yet by supervisord's next turn.
                GroupState::Stopped
                    if Instant::now() < deadline && group.processes.iter().any(|p| p.is_waiting()) =>
                {
                    pause(stop)?;
                }
                _ => {
                    let tail = self.log_tail(name, 20).unwrap_or_default();
                    let states = group.states();
                    return Err(SupervisordError::NotRunning { group: name.clone(), states, tail });
                }
            }
        }
    }

    /// Stops the group's processes and waits until they have ended. A group that supervisord does not have is as good.
    pub fn stop(&self, name: &Name, within: Duration, stop: &Stop) -> Result<(), SupervisordError> {
        let deadline = Instant::now() + within;
        let asked = self.call("supervisor.stopProcessGroup", &[text(name), Param::Bool(false)]);
        self.tolerating(fault::BAD_NAME, asked)?;
        while self.group(name)?.processes.iter().any(ProcessStatus::is_alive) {
            if Instant::now() >= deadline {
                return Err(SupervisordError::NotStopped { group: name.clone(), within });
            }
            pause(stop)?;
        }
        Ok(())
    }

    /// Stops and starts the group's processes.
    pub fn restart(&self, name: &Name, within: Duration, stop: &Stop) -> Result<(), SupervisordError> {
        self.stop(name, within, stop)?;
        self.start(name, within, stop)
    }

    /// Sends a signal to the group's processes that run.
    pub fn signal(&self, name: &Name, signal: Signal) -> Result<(), SupervisordError> {
        self.call("supervisor.signalProcessGroup", &[text(name), Param::Text(signal.name())])?;
        Ok(())
    }

    /// How these groups are, in this order. A group that supervisord does not have is stopped and has no processes.
    pub fn status(&self, names: &[Name]) -> Result<Vec<GroupStatus>, SupervisordError> {
        let all = self.call("supervisor.getAllProcessInfo", &[])?;
        Ok(names.iter().map(|name| GroupStatus::of(name, all.list())).collect())
    }

    /// The last lines of the logs that supervisord keeps of the group's processes, control characters escaped.
    pub fn log_tail(&self, name: &Name, lines: usize) -> Result<Vec<String>, SupervisordError> {
        const BYTES: i64 = 16 << 10;
        let mut tail = Vec::new();
        for process in self.group(name)?.processes {
            let full = format!("{name}:{}", process.name);
            for method in ["supervisor.tailProcessStdoutLog", "supervisor.tailProcessStderrLog"] {
                let params = [Param::Text(&full), Param::Int(0), Param::Int(BYTES)];
                match self.call(method, &params) {
                    Ok(answer) => {
                        let text = answer.list().first().map(Value::text).unwrap_or_default();
                        tail.extend(text.lines().map(|line| crate::process::escape(line.as_bytes())));
                    }
                    // Such a process logs elsewhere.
                    Err(SupervisordError::Fault { code: fault::NO_FILE, .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(tail.split_off(tail.len().saturating_sub(lines)))
    }

    fn group(&self, name: &Name) -> Result<GroupStatus, SupervisordError> {
        let all = self.call("supervisor.getAllProcessInfo", &[])?;
        Ok(GroupStatus::of(name, all.list()))
    }

    fn add(&self, name: &Name) -> Result<(), SupervisordError> {
        match self.call("supervisor.addProcessGroup", &[text(name)]) {
            Err(SupervisordError::Fault { code: fault::BAD_NAME, .. }) => {
                Err(SupervisordError::NotConfigured(name.clone()))
            }
            other => self.tolerating(fault::ALREADY_ADDED, other),
        }
    }

    /// A fault that says that it is so already.
    fn tolerating(&self, code: i64, result: Result<Value, SupervisordError>) -> Result<(), SupervisordError> {
        match result {
            Err(SupervisordError::Fault { code: found, .. }) if found == code => Ok(()),
            other => other.map(|_| ()),
        }
    }

    fn call(&self, method: &'static str, params: &[Param<'_>]) -> Result<Value, SupervisordError> {
        let unreachable = |source| SupervisordError::Unreachable { socket: self.socket.clone(), source };
        let mut response = self
            .agent
            .post("http://localhost/RPC2")
            .header("Content-Type", "text/xml")
            .send(rpc::call(method, params))
            .map_err(unreachable)?;
        match response.status().as_u16() {
            200 => {}
            401 => return Err(self.strange(method, "it wants a user and a password".to_owned())),
            status => return Err(self.strange(method, format!("status {status}"))),
        }
        let mut body = Vec::new();
        let read = response.body_mut().as_reader().take(ANSWER_MAX + 1).read_to_end(&mut body);
        read.map_err(|error| unreachable(error.into()))?;
        if body.len() as u64 > ANSWER_MAX {
            return Err(self.strange(method, format!("it is longer than {ANSWER_MAX} bytes")));
        }
        match rpc::answer(&String::from_utf8_lossy(&body)) {
            Ok(Answer::Value(value)) => Ok(value),
            Ok(Answer::Fault { code, text }) => Err(SupervisordError::Fault { method, code, text }),
            Err(why) => Err(self.strange(method, why)),
        }
    }

    fn strange(&self, method: &'static str, why: String) -> SupervisordError {
        SupervisordError::Answer { socket: self.socket.clone(), method, why }
    }
}

fn text(name: &Name) -> Param<'_> {
    Param::Text(name.as_str())
}

fn pause(stop: &Stop) -> Result<(), SupervisordError> {
    if stop.asked() {
        return Err(SupervisordError::Interrupted);
    }
    std::thread::sleep(TICK);
    Ok(())
}
