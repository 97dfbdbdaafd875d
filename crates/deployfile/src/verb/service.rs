//! `service`: the services of the current release, through their managers.

use crate::args::{Global, ServiceArgs, ServiceVerb};
use crate::error::{CliError, Stop, exit};
use crate::host::{self, LocalHost};
use crate::project::{self, Opened};
use crate::running;
use crate::signals;
use crate::terminal::Terminal;
use crate::verb::releases::{current_id, stamp};
use crate::verb::status::tail_of;
use deployfile_model::service::{Manager, OnDeploy};
use deployfile_model::units::{Millis, UnixTime};
use deployfile_model::{Name, ReleaseId};
use deployfile_record::effect::ServiceEffect;
use deployfile_record::{FORMAT, Failure, Tail};
use deployfile_report::table::table;
use deployfile_supervisor::{ServiceState as Builtin, log_tail};
use deployfile_system::service;
use deployfile_system::supervisord::{self, Supervisord};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Last lines that `service logs` prints.
const LOG_LINES: usize = 100;

pub(crate) fn run(what: &ServiceVerb, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let (ServiceVerb::List(args)
    | ServiceVerb::Start(args)
    | ServiceVerb::Stop(args)
    | ServiceVerb::Restart(args)
    | ServiceVerb::Reload(args)
    | ServiceVerb::Logs(args)) = what;
    let opened = project::open(global, terminal)?;
    let (environment, names) = words(&opened, args);
    let environment = opened.environment(environment, global)?;
    let spec = opened.spec(&environment, &BTreeMap::new(), terminal)?;
    let mut local = host::open(&spec)?;
    if let Some(role) = &args.role
        && !spec.hosts.iter().any(|host| host.roles.iter().any(|r| r.as_str() == role))
    {
        let error =
            CliError::new("cli::role", exit::USAGE, format!("no host of {environment} has role `{role}`"));
        return Err(error.into());
    }
    let root = local.dir()?;
    let Some(current) = current_id(&local)? else {
        let error = CliError::new(
            "plan::no-current",
            exit::REFUSED,
            "no release is current, so there are no services",
        );
        return Err(error.help("run: deployfile apply").into());
    };
    let tail = tail_of(root, &current)?;
    let chosen = chosen(&tail, &names)?;
    match what {
        ServiceVerb::List(_) => list(&local, &chosen, terminal),
        ServiceVerb::Logs(_) => logs(&local, &chosen, terminal),
        _ => {
            // Not in the middle of a run: it would take what is started or stopped here for its own doing.
            let _locked = running::lock(&mut local, Millis(0))?;
            for effect in &chosen.services {
                act(what, &local, &current, effect)?;
            }
            list(&local, &chosen, terminal)
        }
    }
}

/// A first word that is a declared environment is ENV; the rest are names.
fn words<'a>(opened: &Opened, args: &'a ServiceArgs) -> (Option<&'a str>, Vec<&'a str>) {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((first, rest)) if opened.is_environment(first) => (Some(first), rest.to_vec()),
        _ => (None, words),
    }
}

fn chosen(tail: &Tail, names: &[&str]) -> Result<Tail, Stop> {
    let known = || tail.services.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(unknown) = names.iter().find(|name| !tail.services.iter().any(|s| s.name.as_str() == **name))
    {
        let message = format!("there is no service `{}`", unknown.escape_debug());
        return Err(CliError::new("cli::service", exit::USAGE, message)
            .help(format!("there are: {}", known()))
            .into());
    }
    let mut tail = tail.clone();
    tail.services.retain(|service| names.is_empty() || names.contains(&service.name.as_str()));
    Ok(tail)
}

fn act(
    what: &ServiceVerb,
    local: &LocalHost,
    current: &ReleaseId,
    effect: &ServiceEffect,
) -> Result<(), Stop> {
    match &effect.manager {
        Manager::External => {
            let message =
                format!("service `{}` is kept running by something outside of deployfile", effect.name);
            Err(CliError::new("service::external", exit::REFUSED, message).help("ask its own manager").into())
        }
        Manager::Builtin => Ok(act_builtin(what, local, current, &effect.name)?),
        Manager::Supervisor { socket } => {
            let client = Supervisord::connect(socket).map_err(|e| supervisord::failure(&e))?;
            let (name, within, stop) = (&effect.name, effect.within.duration(), signals::stop());
            let done = match what {
                ServiceVerb::Start(_) => client.start(name, within, &stop),
                ServiceVerb::Stop(_) => client.stop(name, within, &stop),
                ServiceVerb::Reload(_) => client.signal(name, effect.reload_signal),
                _ => client.restart(name, within, &stop),
            };
            Ok(done.map_err(|e| supervisord::failure(&e))?)
        }
    }
}

fn act_builtin(what: &ServiceVerb, local: &LocalHost, current: &ReleaseId, name: &Name) -> Result<(), Stop> {
    let failed = |e: deployfile_supervisor::ClientError| Stop::from(service::failure(&e));
    let unit = service::read_unit(local.dir()?, current, name)?;
    if let ServiceVerb::Stop(_) = what {
        return match service::known_client(&local.layout.root)? {
            Some(mut client) => client.stop(name).map_err(failed),
            None => Ok(()),
        };
    }
    let mut client = service::start_client(&local.layout.root)?;
    client.ensure(&unit, OnDeploy::None).map_err(failed)?;
    match what {
        ServiceVerb::Restart(_) => client.restart(name).map_err(failed),
        ServiceVerb::Reload(_) => client.reload(name).map_err(failed),
        _ => client.start(name).map_err(failed),
    }
}

/// A service as `status` and `service list` show it.
pub(crate) struct ServiceState {
    name: Name,
    manager: &'static str,
    state: String,
    pids: Vec<u32>,
    since: Option<UnixTime>,
    release: Option<ReleaseId>,
}

impl ServiceState {
    pub(crate) fn document(&self) -> Value {
        json!({
            "name": self.name,
            "manager": self.manager,
            "state": self.state,
            "pids": self.pids,
            "since": self.since.map(stamp),
            "release": self.release,
        })
    }
    pub(crate) fn line(&self) -> String {
        let pids: Vec<String> = self.pids.iter().map(ToString::to_string).collect();
        let pids = if pids.is_empty() { String::new() } else { format!(" (pid {})", pids.join(", ")) };
        format!("{} {}{pids}, {}", self.name, self.state, self.manager)
    }
}

/// The services of a tail as they are now.
pub(crate) fn states(local: &LocalHost, tail: &Tail) -> Result<Vec<ServiceState>, Stop> {
    let builtin = match service::known_client(&local.layout.root)? {
        Some(mut client) => client.status().map_err(|e| service::failure(&e))?,
        None => Vec::new(),
    };
    let mut out = Vec::new();
    for effect in &tail.services {
        let name = effect.name.clone();
        out.push(match &effect.manager {
            Manager::External => state(name, "external", "running", Vec::new(), None, None),
            Manager::Supervisor { socket } => {
                let ask = || Supervisord::connect(socket)?.status(std::slice::from_ref(&name));
                match ask().map_err(|e| supervisord::failure(&e))?.pop() {
                    Some(seen) => state(name, "supervisor", seen.state.name(), seen.pids, seen.since, None),
                    None => state(name, "supervisor", "stopped", Vec::new(), None, None),
                }
            }
            Manager::Builtin => match builtin.iter().find(|status| status.name == name) {
                None => state(name, "builtin", "stopped", Vec::new(), None, None),
                Some(seen) => {
                    let pids = seen.pids.clone();
                    state(
                        name,
                        "builtin",
                        word(seen.state),
                        pids,
                        seen.since_unix,
                        Some(seen.release.clone()),
                    )
                }
            },
        });
    }
    Ok(out)
}

/// The words of cli.md: `running|starting|stopped|failed`.
fn word(state: Builtin) -> &'static str {
    match state {
        Builtin::Backoff => Builtin::Failed.name(),
        Builtin::Stopping => Builtin::Running.name(),
        other => other.name(),
    }
}

fn state(
    name: Name,
    manager: &'static str,
    state: &str,
    pids: Vec<u32>,
    since: Option<UnixTime>,
    release: Option<ReleaseId>,
) -> ServiceState {
    ServiceState { name, manager, state: state.to_owned(), pids, since, release }
}

fn list(local: &LocalHost, tail: &Tail, terminal: Terminal) -> Result<u8, Stop> {
    let states = states(local, tail)?;
    if terminal.is_json() {
        let services: Vec<Value> = states.iter().map(ServiceState::document).collect();
        terminal.document(&json!({ "format": FORMAT, "services": services }))?;
        return Ok(exit::DONE);
    }
    if states.is_empty() {
        terminal.answer("no services\n")?;
        return Ok(exit::DONE);
    }
    let rows: Vec<Vec<String>> = states
        .iter()
        .map(|s| {
            let pids: Vec<String> = s.pids.iter().map(ToString::to_string).collect();
            vec![s.name.to_string(), s.state.clone(), s.manager.to_owned(), pids.join(" ")]
        })
        .collect();
    terminal.answer(&table(&["service", "state", "manager", "pids"], &rows))?;
    Ok(exit::DONE)
}

fn logs(local: &LocalHost, tail: &Tail, terminal: Terminal) -> Result<u8, Stop> {
    for effect in &tail.services {
        let lines = match &effect.manager {
            Manager::External => continue,
            Manager::Supervisor { socket } => {
                let ask = || Supervisord::connect(socket)?.log_tail(&effect.name, LOG_LINES);
                ask().map_err(|e| supervisord::failure(&e))?
            }
            Manager::Builtin => log_tail(&local.layout.root, &effect.name, LOG_LINES)
                .map_err(|e| Failure::from_error("disk::failed", &e))?,
        };
        for line in lines {
            let line = deployfile_report::tone::visible(&line);
            if terminal.is_json() {
                terminal.document(&json!({ "format": FORMAT, "service": effect.name, "line": line }))?;
            } else if tail.services.len() > 1 {
                terminal.answer(&format!("{}: {line}\n", effect.name))?;
            } else {
                terminal.answer(&format!("{line}\n"))?;
            }
        }
    }
    Ok(exit::DONE)
}
