//! `rollback`: a new run to the previous good release, or to another one.

use crate::args::{Global, RollbackArgs};
use crate::error::{CliError, Stop, exit};
use crate::host::{self, LocalHost};
use crate::observing::{Aim, observation};
use crate::project::{self, Opened};
use crate::running::{self, Ready};
use crate::terminal::Terminal;
use deployfile_model::units::Millis;
use deployfile_model::{ReleaseId, Spec};
use deployfile_plan::{Request, Wish, rollback_target};
use deployfile_record::{Ledger, Plan};
use std::collections::BTreeMap;

pub(crate) fn run(args: &RollbackArgs, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let opened = project::open(global, terminal)?;
    let environment = opened.environment(args.env.as_deref(), global)?;
    let spec = opened.spec(&environment, &BTreeMap::new(), terminal)?;
    let mut local = host::open(&spec)?;
    let to = args.to.as_deref().map(release_id).transpose()?;
    let ready = running::ready(&mut local, Millis(0), terminal, |local, ledger| {
        make(&opened, &spec, local, to.as_ref(), args.force, ledger)
    })?;
    match ready {
        Ready::Go(ready) => running::begin(&opened, &spec, &local, ready.0, &ready.1, terminal),
        // A rollback moves current or is refused.
        Ready::Nothing(_) => Ok(exit::DONE),
    }
}

/// A release id that was typed.
pub(crate) fn release_id(text: &str) -> Result<ReleaseId, Stop> {
    ReleaseId::new(text).map_err(|e| {
        CliError::new("cli::release", exit::USAGE, e.to_string())
            .help("see what there is: deployfile releases")
            .into()
    })
}

fn make(
    opened: &Opened,
    spec: &Spec,
    local: &LocalHost,
    to: Option<&ReleaseId>,
    force: bool,
    ledger: Option<Ledger>,
) -> Result<Plan, Stop> {
    local.dir()?;
    let ledger = match ledger {
        Some(ledger) => ledger,
        None => local.ledger()?,
    };
    let target = rollback_target(&ledger, to, force).ok();
    let aim = Aim { source: false, target: target.as_ref(), ledger: Some(ledger) };
    let seen = observation(opened, spec, local, aim)?;
    let observations = BTreeMap::from([(local.name.clone(), seen)]);
    let wish = Wish::Rollback { to: to.cloned(), force };
    let request = Request { spec, observations: &observations, wish, at: host::now() };
    Ok(deployfile_plan::plan(&request)?)
}
