//! `clean`: prune by retention.

use crate::args::{EnvArg, Global};
use crate::error::{Stop, exit};
use crate::host::{self, LocalHost};
use crate::observing::{Aim, observation};
use crate::project::{self, Opened};
use crate::running::{self, Ready};
use crate::terminal::Terminal;
use deployfile_model::Spec;
use deployfile_model::units::Millis;
use deployfile_plan::{Request, Wish};
use deployfile_record::{Ledger, Plan};
use std::collections::BTreeMap;

pub(crate) fn run(args: &EnvArg, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let opened = project::open(global, terminal)?;
    let environment = opened.environment(args.env.as_deref(), global)?;
    let spec = opened.spec(&environment, &BTreeMap::new(), terminal)?;
    let mut local = host::open(&spec)?;
    let ready =
        running::ready(&mut local, Millis(0), terminal, |local, ledger| make(&opened, &spec, local, ledger))?;
    match ready {
        Ready::Go(ready) => running::begin(&opened, &spec, &local, ready.0, &ready.1, terminal),
        Ready::Nothing(_) => nothing(terminal),
    }
}

fn nothing(terminal: Terminal) -> Result<u8, Stop> {
    if terminal.is_json() {
        terminal.document(&serde_json::json!({
            "format": deployfile_record::FORMAT, "event": "finished", "result": "done", "exit": exit::DONE, "changed": "none",
        }))?;
    } else {
        terminal.answer("nothing to clean\n")?;
    }
    Ok(exit::DONE)
}

fn make(opened: &Opened, spec: &Spec, local: &LocalHost, ledger: Option<Ledger>) -> Result<Plan, Stop> {
    let seen = observation(opened, spec, local, Aim { source: false, target: None, ledger })?;
    let observations = BTreeMap::from([(local.name.clone(), seen)]);
    let request = Request { spec, observations: &observations, wish: Wish::Clean, at: host::now() };
    Ok(deployfile_plan::plan(&request)?)
}
