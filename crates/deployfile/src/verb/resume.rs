//! `resume`: finish or undo what was interrupted, or go on where a run failed before its switch.

use crate::args::{EnvArg, Global};
use crate::error::{CliError, Stop, exit};
use crate::terminal::Terminal;
use crate::{host, project, running};
use deployfile_model::units::Millis;
use std::collections::BTreeMap;

pub(crate) fn run(args: &EnvArg, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let opened = project::open(global, terminal)?;
    let environment = opened.environment(args.env.as_deref(), global)?;
    let spec = opened.spec(&environment, &BTreeMap::new(), terminal)?;
    let mut local = host::open(&spec)?;
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
