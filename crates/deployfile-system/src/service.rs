//! Services by their manager: the builtin supervisor, or a supervisord.

use crate::disk_failure as disk;
use crate::probe::{self, Asked};
use crate::supervisord::{self, Supervisord, Treatment};
use deployfile_disk::Dir;
use deployfile_exec::{Stop, Tell};
use deployfile_model::service::{Manager, OnDeploy};
use deployfile_model::spec::{App, Layout};
use deployfile_model::{BuildId, HostPath, Name, RelPath, ReleaseId};
use deployfile_record::effect::ServiceEffect;
use deployfile_record::{Failure, FailureKind, Tail, Unit};
use deployfile_supervisor::{Client, ClientError, ServiceState, log_len, log_tail_since};
use std::collections::BTreeSet;
use std::path::Path;

/// The largest unit that is read, in bytes.
const UNIT_BYTES: u64 = 1 << 20;
/// Last lines of a service's output that a failure shows.
const TAIL_LINES: usize = 20;
/// The program that a supervisor is copied from: this one, also when its file was replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Makes the service run as the release says, or takes it away. `ready` is asked in a hand-over before the old
/// processes go.
pub fn ensure(
    root: &Dir,
    layout: &Layout,
    effect: &ServiceEffect,
    ready: &[(Asked<'_>, Option<&BuildId>)],
    stop: &Stop,
    tell: &mut dyn Tell,
) -> Result<(), Failure> {
    let since = log_len(&layout.root, &effect.name).unwrap_or(0);
    let made = make_true(root, layout, effect, ready, stop, tell);
    made.map_err(|why| with_lines_since(&layout.root, &effect.name, since, why))
}

/// Shows of a service's log only what was written since it had `since` bytes: older lines are of another release.
pub(crate) fn with_lines_since(root: &HostPath, service: &Name, since: u64, why: Failure) -> Failure {
    match log_tail_since(root, service, since, TAIL_LINES) {
        Ok(lines) if log_len(root, service).is_some() => why.output(lines),
        _ => why,
    }
}

fn make_true(
    root: &Dir,
    layout: &Layout,
    effect: &ServiceEffect,
    ready: &[(Asked<'_>, Option<&BuildId>)],
    stop: &Stop,
    tell: &mut dyn Tell,
) -> Result<(), Failure> {
    match (&effect.manager, &effect.release) {
        (Manager::External, _) => Ok(()),
        (Manager::Builtin, Some(release)) => {
            let unit = read_unit(root, release, &effect.name)?;
            let mut client = start_client(&layout.root)?;
            builtin(&mut client, &unit, effect, ready, stop, tell)
        }
        (Manager::Builtin, None) => match known_client(&layout.root)? {
            Some(mut client) => client.forget(&effect.name).map_err(|e| failure(&e)),
            None => Ok(()),
        },
        (Manager::Supervisor { socket }, Some(_)) => {
            make_log_folder(root)?;
            by_supervisord(socket, effect, stop, tell)
        }
        (Manager::Supervisor { socket }, None) => {
            let forget =
                || Supervisord::connect(socket)?.forget_group(&effect.name, effect.within.duration(), stop);
            forget().map_err(|e| supervisord::failure(&e))
        }
    }
}

/// The supervisor of this root, started if it does not run.
pub fn start_client(root: &HostPath) -> Result<Client, Failure> {
    Client::connect_or_start(root, Path::new(THIS_PROGRAM)).map_err(|e| failure(&e))
}

/// The supervisor of this root, if it has services: one that was killed comes back first, as they still run.
pub fn known_client(root: &HostPath) -> Result<Option<Client>, Failure> {
    Client::connect_or_revive(root, Path::new(THIS_PROGRAM)).map_err(|e| failure(&e))
}

/// Whether the service's manager can be asked at all, before anything depends on it.
pub fn check(effect: &ServiceEffect) -> Result<(), Failure> {
    let Manager::Supervisor { socket } = &effect.manager else { return Ok(()) };
    let reached = Supervisord::connect(socket).and_then(|client| client.status(&[]));
    reached.map(drop).map_err(|error| Failure { kind: FailureKind::Refused, ..supervisord::failure(&error) })
}

/// Services that are to run and do not. Nothing is started; of what cannot be asked nothing is said.
pub(crate) fn down(root: &HostPath, tail: &Tail) -> BTreeSet<Name> {
    let builtin = tail.services.iter().filter(|service| service.manager == Manager::Builtin);
    let mut wanted: BTreeSet<Name> = builtin.map(|service| service.name.clone()).collect();
    if wanted.is_empty() {
        return wanted;
    }
    let running = match Client::connect(root) {
        Ok(Some(mut client)) => client.status(),
        Ok(None) => {
            let left = Client::left_running(root).unwrap_or_else(|_| wanted.clone());
            wanted.retain(|name| !left.contains(name));
            return wanted;
        }
        Err(_) => return BTreeSet::new(),
    };
    let Ok(running) = running else { return BTreeSet::new() };
    let runs = |state| matches!(state, ServiceState::Running | ServiceState::Starting);
    wanted.retain(|name| !running.iter().any(|service| service.name == *name && runs(service.state)));
    wanted
}

fn builtin(
    client: &mut Client,
    unit: &Unit,
    effect: &ServiceEffect,
    ready: &[(Asked<'_>, Option<&BuildId>)],
    stop: &Stop,
    tell: &mut dyn Tell,
) -> Result<(), Failure> {
    let result = if effect.on_deploy == OnDeploy::Handover {
        hand_over(client, unit, ready, stop, tell)
    } else {
        client.ensure(unit, effect.on_deploy).map_err(|e| failure(&e))
    };
    result.map_err(|error| {
        let lines = client.log_tail(&effect.name, TAIL_LINES).unwrap_or_default();
        if error.output.is_empty() { error.output(lines) } else { error }
    })
}

/// Starts new beside old, waits until new holds, then lets old go. When new does not hold, old was never touched.
fn hand_over(
    client: &mut Client,
    unit: &Unit,
    ready: &[(Asked<'_>, Option<&BuildId>)],
    stop: &Stop,
    tell: &mut dyn Tell,
) -> Result<(), Failure> {
    let are_apart = client.begin_handover(unit).map_err(|e| failure(&e))?;
    if are_apart && !ready.is_empty() && !ready.iter().any(|(asked, _)| asked.of_new(&unit.listen).is_some())
    {
        let message = format!(
            "no check of service `{}` goes to an address where it listens: it gets connections before it is checked",
            unit.name
        );
        tell.warning(&message, Some("give it a `health` check of its own address"));
    }
    for (asked, build) in ready {
        let of_new = if are_apart { asked.of_new(&unit.listen) } else { None };
        // What goes elsewhere (by way of nginx, say) is answered by old, so it cannot name new's build yet; `verify`
        // asks all of it once old is gone. Where old and new accept side by side, new answers sooner or later.
        if are_apart && of_new.is_none() && build.is_some() {
            continue;
        }
        if let Err(why) = probe::hold(&unit.name, of_new.as_ref().unwrap_or(asked), *build, stop, tell) {
            let lines = client.log_tail(&unit.name, TAIL_LINES).unwrap_or_default();
            client.abort_handover(&unit.name).map_err(|e| failure(&e))?;
            return Err(why.output(lines));
        }
    }
    client.finish_handover(&unit.name).map_err(|e| failure(&e))
}

fn by_supervisord(
    socket: &HostPath,
    effect: &ServiceEffect,
    stop: &Stop,
    tell: &mut dyn Tell,
) -> Result<(), Failure> {
    let client = Supervisord::connect(socket).map_err(|e| supervisord::failure(&e))?;
    let ours = [effect.name.clone()].into();
    let reread = client.reread().map_err(|e| supervisord::failure(&e))?;
    for lost in reread.lost(&ours) {
        let message = format!("supervisord no longer finds the configuration of `{lost}`");
        tell.warning(&message, Some("it was left alone; see the [include] lines of supervisord.conf"));
    }
    let how = Treatment {
        on_deploy: effect.on_deploy,
        reload_signal: effect.reload_signal,
        within: effect.within.duration(),
    };
    client.ensure_group(&effect.name, &how, stop).map_err(|error| {
        let lines = client.log_tail(&effect.name, TAIL_LINES).unwrap_or_default();
        let failure = supervisord::failure(&error);
        if failure.output.is_empty() { failure.output(lines) } else { failure }
    })?;
    Ok(())
}

/// How a release says that a service runs.
pub fn read_unit(root: &Dir, release: &ReleaseId, service: &Name) -> Result<Unit, Failure> {
    let path = format!("{}/{release}/{}", App::RELEASES, Unit::path(service));
    let path = RelPath::new(path).map_err(|e| Failure::new("bug::path", e.to_string()))?;
    let bytes = root.read(&path, UNIT_BYTES).map_err(|e| disk(&e))?;
    serde_json::from_slice(&bytes).map_err(|e| {
        let message = format!("{path} does not describe a service");
        Failure::new("service::unit", message).because(e.to_string()).help("the release was changed by hand")
    })
}

/// supervisord writes a service's log where the builtin manager would, and wants the folder to be there.
fn make_log_folder(root: &Dir) -> Result<(), Failure> {
    let logs =
        RelPath::new(format!("{}/log", App::STATE)).map_err(|e| Failure::new("bug::path", e.to_string()))?;
    root.create_dir_all(&logs, 0o755).map_err(|e| disk(&e))
}

/// The failure that a run ends with.
pub fn failure(error: &ClientError) -> Failure {
    Failure::from_error("service::failed", error)
}
