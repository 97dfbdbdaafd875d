//! Services: what is rendered for their managers, and how a release's tail treats and verifies them.

use crate::apply::manager_name;
use crate::fill::HostContext;
use crate::tail::probe_why;
use crate::{Refusal, files};
use deployfile_model::probe::{Expect, Target};
use deployfile_model::service::{Manager, OnDeploy};
use deployfile_model::units::{Bytes, Millis};
use deployfile_model::{Name, RelPath, Service, Text};
use deployfile_record::effect::{FileEffect, Probe, ProbeTarget, Quoting, ServiceEffect};
use deployfile_record::unit::{Unit, UnitDrain};
use deployfile_record::{Effect, FORMAT, Piece, Why};
use deployfile_render::supervisor::{Program, program_conf};

/// A log file is rotated at this size; so many old ones are kept.
const LOG_BYTES: Bytes = Bytes(10 << 20);
const LOG_KEEP: u32 = 5;
/// How long processes of a supervisord may take to come up, besides the time to stop the old ones.
const SUPERVISOR_START: Millis = Millis::from_secs(60);

/// How the release's tail treats this service, and the probes that verify it.
pub(crate) fn tail_of(
    context: &HostContext<'_>,
    service: &Service,
) -> Result<(ServiceEffect, Vec<(Effect, Why)>), Refusal> {
    let mut probes = Vec::new();
    let mut ready = Vec::new();
    for health in &service.health {
        let target = target(context, service, &health.target, health.within)?;
        let mut probe = expecting(context, service, &health.expect, target)?;
        (probe.within, probe.interval) = (health.within, health.interval);
        ready.push(probe.clone());
        probes.push((Effect::ProbeHealth { service: service.name.clone(), probe }, probe_why(&health.place)));
    }
    let mut ready_build = None;
    if let Some(ask) = &service.running_build {
        let target = target(context, service, &ask.target, ask.within)?;
        let json = ask.json.clone().map(|key| (key, None));
        let probe =
            Probe { target, status: None, contains: None, json, within: ask.within, interval: ask.interval };
        let build_id = context.build_id.clone();
        ready_build = Some((probe.clone(), build_id.clone()));
        let effect = Effect::ProbeBuild { service: service.name.clone(), probe, build_id };
        probes.push((effect, probe_why(&ask.place)));
    }
    let handover = service.on_deploy == OnDeploy::Handover;
    let effect = ServiceEffect {
        name: service.name.clone(),
        manager: service.manager.clone(),
        release: Some(context.release.clone()),
        on_deploy: service.on_deploy,
        reload_signal: service.reload_signal,
        within: Millis(service.stop.timeout.0.saturating_add(SUPERVISOR_START.0)),
        ready: if handover { ready } else { Vec::new() },
        ready_build: ready_build.filter(|_| handover),
    };
    Ok((effect, probes))
}

fn target(
    context: &HostContext<'_>,
    service: &Service,
    target: &Target,
    within: Millis,
) -> Result<ProbeTarget, Refusal> {
    Ok(match target {
        Target::Http(url) => ProbeTarget::Http(context.url_for(service, url)?),
        Target::Tcp(address) => ProbeTarget::Tcp(context.address_for(service, address, false)?),
        Target::Exec(argv) => {
            let argv: Result<Vec<String>, Refusal> =
                argv.iter().map(|a| context.text_for(service, a)).collect();
            ProbeTarget::Exec(context.probe_command(argv?, within)?)
        }
    })
}

fn expecting(
    context: &HostContext<'_>,
    service: &Service,
    expect: &Expect,
    target: ProbeTarget,
) -> Result<Probe, Refusal> {
    let text = |text: &Text| context.text_for(service, text);
    Ok(Probe {
        target,
        status: expect.status,
        contains: expect.contains.as_ref().map(text).transpose()?,
        json: match &expect.json {
            Some((key, value)) => Some((key.clone(), Some(text(value)?))),
            None => None,
        },
        within: Millis(0),
        interval: Millis(0),
    })
}

/// What a probe asks, for people.
pub(crate) fn asked(target: &ProbeTarget) -> String {
    match target {
        ProbeTarget::Http(url) => url.clone(),
        ProbeTarget::Tcp(address) => format!("tcp {address}"),
        ProbeTarget::Exec(command) => match &command.call {
            deployfile_record::effect::Call::Argv(argv) => format!("exec {}", argv.join(" ")),
            deployfile_record::effect::Call::Script(_) => "exec a script".to_owned(),
        },
    }
}

/// The files of the release that its manager reads.
pub(crate) fn rendered(context: &HostContext<'_>, service: &Service) -> Result<Vec<FileEffect>, Refusal> {
    match &service.manager {
        Manager::Builtin => Ok(vec![environment_file(context, service)?, unit_file(context, service)?]),
        Manager::Supervisor { .. } => Ok(vec![supervisor_file(context, service)?]),
        Manager::External => Ok(Vec::new()),
    }
}

/// Whether the service's environment file holds a secret.
pub(crate) fn has_secret_file(context: &HostContext<'_>, service: &Service) -> bool {
    let is_secret = |v: &deployfile_model::EnvValue| matches!(v, deployfile_model::EnvValue::Secret(_));
    service.manager == Manager::Builtin
        && (context.host.env.values().chain(service.env.values()).any(is_secret))
}

fn unit_file(context: &HostContext<'_>, service: &Service) -> Result<FileEffect, Refusal> {
    let release = context.layout.release(&context.release);
    let environment = rel(&Unit::environment_path(&service.name), service)?;
    let drain = match &service.drain {
        Some(drain) => {
            let file = drain.file.as_ref().map(|file| context.host_path_for(service, file)).transpose()?;
            Some(UnitDrain { file, wait: drain.wait })
        }
        None => None,
    };
    let texts = |texts: &[Text]| -> Result<Vec<String>, Refusal> {
        texts.iter().map(|text| context.text_for(service, text)).collect()
    };
    let listen: Result<Vec<String>, Refusal> =
        service.listen.iter().map(|address| context.address_for(service, address, true)).collect();
    let unit = Unit {
        format: FORMAT,
        name: service.name.clone(),
        release: context.release.clone(),
        build_id: Some(context.build_id.clone()),
        command: texts(&service.command)?,
        directory: context.host_path_for(service, &service.directory)?,
        environment_file: release.join(&environment),
        user: service.user.clone().or_else(|| context.spec.app.user.clone()),
        numprocs: service.numprocs,
        listen: listen?,
        stop_signal: service.stop.signal,
        stop_timeout: service.stop.timeout,
        reload_signal: service.reload_signal,
        drain,
        log_bytes: LOG_BYTES,
        log_keep: LOG_KEEP,
    };
    let mut text = serde_json::to_string_pretty(&unit).unwrap_or_default();
    text.push('\n');
    let path = rel(&Unit::path(&service.name), service)?;
    Ok(FileEffect { path, content: vec![Piece::Text(text)], mode: 0o644 })
}

fn environment_file(context: &HostContext<'_>, service: &Service) -> Result<FileEffect, Refusal> {
    let env = context.environment(Some(service), Quoting::EnvFile)?;
    let content = files::environment(&env).map_err(|why| refused(service, "environment", &why))?;
    Ok(FileEffect { path: rel(&Unit::environment_path(&service.name), service)?, content, mode: 0o600 })
}

fn supervisor_file(context: &HostContext<'_>, service: &Service) -> Result<FileEffect, Refusal> {
    let mut environment = std::collections::BTreeMap::new();
    for (name, pieces) in context.environment(Some(service), Quoting::Raw)? {
        let mut value = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => value.push_str(&text),
                Piece::Secret(secret, _) => return Err(secret_in_supervisor(service, &secret.0)),
            }
        }
        environment.insert(name, value);
    }
    let command: Result<Vec<String>, Refusal> =
        service.command.iter().map(|arg| context.text_for(service, arg)).collect();
    let logs = format!("{}/log/{}.log", context.layout.state(), service.name);
    let program = Program {
        name: service.name.to_string(),
        command: command?,
        directory: context.host_path_for(service, &service.directory)?.to_string(),
        user: service.user.as_ref().or(context.spec.app.user.as_ref()).map(ToString::to_string),
        numprocs: service.numprocs,
        environment,
        stop_signal: service.stop.signal,
        stop_wait_secs: service.stop.timeout.0.div_ceil(1000),
        stdout_logfile: Some(logs),
    };
    let text = program_conf(&program)
        .map_err(|e| refused(service, manager_name(&service.manager), &e.to_string()))?;
    let path = rel(&format!("services/supervisor/{}.conf", service.name), service)?;
    Ok(FileEffect { path, content: vec![Piece::Text(text)], mode: 0o644 })
}

fn secret_in_supervisor(service: &Service, secret: &Name) -> Refusal {
    Refusal::new(
        "plan::supervisor-secret",
        format!("service `{}`: the secret `{secret}` cannot be given to supervisor, which keeps environments in plain configuration files", service.name),
        "use `manager builtin`, or let the program read the secret from a file",
    )
    .at(&service.place)
}

fn refused(service: &Service, target: &str, why: &str) -> Refusal {
    let message = format!("service `{}` cannot be written for {target}: {why}", service.name);
    Refusal::new("render::refused", message, "change the value that is named").at(&service.place)
}

fn rel(path: &str, service: &Service) -> Result<RelPath, Refusal> {
    RelPath::new(path).map_err(|e| refused(service, "a release", &e.to_string()))
}
