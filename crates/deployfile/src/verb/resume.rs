//! `resume`: finish or undo what was interrupted, or go on where a run failed before its switch.

use crate::args::{Global, ResumeArgs};
use crate::error::{CliError, Stop, exit};
use crate::host::LocalHost;
use crate::terminal::Terminal;
use crate::{host, project, running};
use deployfile_disk::Dir;
use deployfile_model::spec::Layout;
use deployfile_model::units::Millis;
use deployfile_model::{HostPath, Spec};
use deployfile_record::Ledger;
use deployfile_system::Store;
use std::collections::BTreeMap;
use std::path::Path;

/// What goes on with a run whose deployfile is gone or wrong.
const WITHOUT: &str = "resume needs no deployfile: deployfile resume --root DIR, with the root of the app";

pub(crate) fn run(args: &ResumeArgs, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let local = match &args.root {
        Some(root) => at_root(root)?,
        None => host::open(&declared(args, global, terminal)?).map(Some)?,
    };
    let Some(mut local) = local else { return nothing(terminal) };
    let ledger = local.ledger()?;
    if ledger.open.is_none() && ledger.resumable.is_none() {
        return nothing(terminal);
    }
    if !terminal.agrees("go on with the run?") {
        let error =
            CliError::new("cli::not-agreed", exit::USAGE, "resume was not agreed to, nothing was touched");
        return Err(error.help("without a terminal, say --yes").into());
    }
    let locked = running::lock(&mut local, Millis(0))?;
    let ledger = locked.journal.ledger();
    match ledger.open.clone().or_else(|| ledger.resumable.clone()) {
        Some(open) => running::resume(&local, locked, open, terminal),
        None => nothing(terminal),
    }
}

/// The environment of the deployfile. One that cannot be read is in the way of nothing.
fn declared(args: &ResumeArgs, global: &Global, terminal: Terminal) -> Result<Spec, Stop> {
    let opened = project::open(global, terminal).map_err(|stop| without_file(stop, terminal))?;
    let environment = opened.environment(args.env.as_deref(), global)?;
    let spec = opened.spec(&environment, &BTreeMap::new(), terminal);
    spec.map_err(|stop| without_file(stop, terminal))
}

fn without_file(stop: Stop, terminal: Terminal) -> Stop {
    match stop {
        Stop::Error(error) => {
            let help =
                error.help.as_ref().map_or_else(|| WITHOUT.to_owned(), |help| format!("{help}; {WITHOUT}"));
            CliError { help: Some(help), ..*error }.into()
        }
        // What is wrong where is told by the mistakes themselves; this is about all of them.
        Stop::Invalid(diagnostics) => {
            let code = terminal.tell(&Stop::Invalid(diagnostics));
            let error = CliError::new("resume::deployfile", code, "the deployfile cannot be read");
            error.help(WITHOUT).into()
        }
        other => other,
    }
}

/// The host of an open run, as its stored plan names it; `None`: no run is open there.
fn at_root(root: &Path) -> Result<Option<LocalHost>, Stop> {
    let unusable = |why: String| {
        let message = format!("--root {}: {why}", root.display());
        Stop::from(
            CliError::new("cli::root", exit::USAGE, message)
                .help("name the app's root, for example /srv/shop"),
        )
    };
    // Neither links nor `..` are followed: a root has neither.
    let absolute = std::path::absolute(root).map_err(|e| unusable(e.to_string()))?;
    let text = absolute.to_str().ok_or_else(|| unusable("the path is not UTF-8".to_owned()))?;
    let path = HostPath::new(text.trim_end_matches('/')).map_err(|e| unusable(e.to_string()))?;
    let dir = Dir::open_root(&path).map_err(|e| unusable(e.to_string()))?;
    let Some(store) = Store::open(&dir).map_err(|e| e.failure())? else { return Ok(None) };
    let Ledger { open, resumable, .. } = store.ledger().map_err(|e| e.failure())?;
    let Some(run) = open.or(resumable) else { return Ok(None) };
    let plan = store.plan(&run.plan).map_err(|e| e.failure())?;
    let Some(host) = plan.hosts.iter().find(|host| host.root == path) else {
        let message = format!("the stored plan of run {} is for another root than {path}", run.run);
        let help = "name the root as the deployfile did";
        return Err(CliError::new("plan::other-host", exit::REFUSED, message).help(help).into());
    };
    let layout = Layout { root: path, current: host.current.clone() };
    host::open_layout(host.host.clone(), layout).map(Some)
}

fn nothing(terminal: Terminal) -> Result<u8, Stop> {
    if terminal.is_json() {
        let document = serde_json::json!({
            "format": deployfile_record::FORMAT,
            "event": "finished",
            "result": "done",
            "exit": exit::DONE,
            "changed": "none",
        });
        terminal.document(&document)?;
    } else {
        terminal.answer("nothing to resume\n")?;
    }
    Ok(exit::DONE)
}
