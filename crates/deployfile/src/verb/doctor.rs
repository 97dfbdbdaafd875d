//! `doctor`: what the machine lacks or does unsafely, and the line that starts services at boot.

use crate::args::{EnvArg, Global};
use crate::error::{Stop, exit};
use crate::host::{self, LocalHost};
use crate::project;
use crate::terminal::Terminal;
use crate::verb::releases::current_id;
use deployfile_model::service::Manager;
use deployfile_model::spec::SourceKind;
use deployfile_model::{HostPath, Spec};
use deployfile_record::FORMAT;
use deployfile_system::{nginx, process};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One thing to know, with what mends it.
struct Remark {
    ok: bool,
    what: String,
    mend: Option<String>,
}

pub(crate) fn run(args: &EnvArg, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let opened = project::open(global, terminal)?;
    let environment = opened.environment(args.env.as_deref(), global)?;
    let spec = opened.spec(&environment, &BTreeMap::new(), terminal)?;
    let local = host::open(&spec)?;
    let remarks = remarks(&spec, &local)?;
    if terminal.is_json() {
        let list: Vec<Value> =
            remarks.iter().map(|r| json!({ "ok": r.ok, "what": r.what, "mend": r.mend })).collect();
        terminal.document(&json!({ "format": FORMAT, "host": local.name, "remarks": list }))?;
    } else {
        for remark in &remarks {
            let mark = if remark.ok { terminal.tone.good("ok  ") } else { terminal.tone.warn("note") };
            let mend = remark.mend.as_ref().map(|mend| format!("\n{}", indent(mend))).unwrap_or_default();
            terminal.answer(&format!("{mark} {}{mend}\n", remark.what))?;
        }
    }
    Ok(exit::DONE)
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("       {line}")).collect::<Vec<_>>().join("\n")
}

fn remarks(spec: &Spec, local: &LocalHost) -> Result<Vec<Remark>, Stop> {
    let mut out = Vec::new();
    let mut say = |ok: bool, what: String, mend: Option<String>| out.push(Remark { ok, what, mend });
    let root = &local.layout.root;
    match &local.root {
        Some(_) => say(true, format!("root {root} can be used"), None),
        None => say(true, format!("root {root} is not there yet; the first apply makes it"), None),
    }
    for warning in &local.warnings {
        say(
            false,
            warning.clone(),
            Some("choose a root on ext4 (with its journal), XFS or btrfs".to_owned()),
        );
    }
    if matches!(spec.source.kind, SourceKind::Git { .. }) {
        let found = process::which("git").is_some();
        say(found, "git, for the source".to_owned(), (!found).then(|| "apt-get install git".to_owned()));
    }
    let host = host::only_local(spec)?;
    if !host.sites.is_empty() {
        let found = nginx::is_installed();
        let mend = format!(
            "put into nginx.conf, in http {{}}:\ninclude {}/services/nginx/*.conf;",
            local.layout.current()
        );
        say(found, "nginx, for the sites".to_owned(), Some(mend));
    }
    let by_supervisor = |manager: &Manager| matches!(manager, Manager::Supervisor { .. });
    if host.services.iter().any(|service| by_supervisor(&service.manager)) {
        let files = format!("{}/services/supervisor/*.conf", local.layout.current());
        say(
            process::which("supervisord").is_some(),
            "supervisord, for the services".to_owned(),
            Some(format!("put into supervisord.conf:\n[include]\nfiles = {files}")),
        );
    }
    if host.services.iter().any(|service| service.manager == Manager::Builtin) {
        say(
            false,
            "services of the builtin manager do not start at boot by themselves".to_owned(),
            Some(boot_lines(local)),
        );
    }
    if let (Some(id), Some(dir)) = (current_id(local)?, &local.root) {
        let drift = deployfile_system::observe::drift(dir, &id)?;
        let mend = (!drift.is_empty()).then(|| format!("deployfile release verify {id}"));
        say(drift.is_empty(), format!("current {id} is as it was sealed"), mend);
    }
    Ok(out)
}

fn boot_lines(local: &LocalHost) -> String {
    let exe = std::env::current_exe().ok().and_then(|path| path.into_os_string().into_string().ok());
    let Some(exe) = exe.and_then(|path| HostPath::new(path).ok()) else { return String::new() };
    let boot =
        deployfile_supervisor::boot_lines(&local.layout.root, &exe, rustix::process::geteuid().as_raw());
    format!("either the systemd unit\n{}\nor the crontab line\n{}", boot.systemd_unit, boot.cron_line)
}
