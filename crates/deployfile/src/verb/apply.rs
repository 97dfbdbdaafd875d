//! `apply`: make the deployfile true.

use crate::args::{ApplyArgs, Global};
use crate::error::{CliError, Stop, exit};
use crate::host::{self, LocalHost};
use crate::running::{self, Ready};
use crate::terminal::Terminal;
use crate::verb::plan::{applicable, make, wanted};
use deployfile_model::units::Millis;
use deployfile_record::{Goal, Ledger, Plan};
use std::fs;
use std::path::Path;

/// The largest plan that `--plan` reads, in bytes.
const PLAN_BYTES: u64 = 256 << 20;

pub(crate) fn run(args: &ApplyArgs, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let wait = wait(args.wait.as_deref())?;
    let (opened, spec) = wanted(args.env.as_deref(), &args.wish, global, terminal)?;
    applicable(&spec)?;
    let mut local = host::open(&spec)?;
    let ready = match args.plan.as_deref().map(read).transpose()? {
        Some(saved) => {
            let locked = running::lock(&mut local, wait)?;
            let plan = still_bound(saved, &local, locked.journal.ledger())?;
            Ready::Go(Box::new((locked, plan)))
        }
        None => running::ready(&mut local, wait, terminal, |local, ledger| {
            make(&opened, &spec, local, &args.wish, ledger)
        })?,
    };
    match ready {
        Ready::Go(ready) => running::begin(&opened, &spec, &local, ready.0, &ready.1, terminal),
        Ready::Nothing(plan) => nothing_to_do(&plan, terminal),
    }
}

pub(crate) fn wait(text: Option<&str>) -> Result<Millis, Stop> {
    let Some(text) = text else { return Ok(Millis(0)) };
    Millis::parse(text).ok_or_else(|| {
        let message = format!("`{text}` is not a duration");
        CliError::new("cli::duration", exit::USAGE, message).help("for example 30s, 5m or 1h").into()
    })
}

fn nothing_to_do(plan: &Plan, terminal: Terminal) -> Result<u8, Stop> {
    if terminal.is_json() {
        terminal.document(&serde_json::json!({
            "format": deployfile_record::FORMAT,
            "event": "finished",
            "result": "done",
            "exit": exit::DONE,
            "changed": "none",
            "digest": plan.identity,
            "served": { "release": plan.from, "build_id": plan.build_id, "verified": false },
        }))?;
    } else {
        for finding in &plan.findings {
            terminal.answer(&format!("{}\n", finding.message))?;
        }
    }
    Ok(exit::DONE)
}

fn read(path: &Path) -> Result<Plan, Stop> {
    let failed = |why: String| {
        let message = format!("{} is not a plan that can be run", path.display());
        Stop::from(
            CliError::new("plan::unreadable", exit::REFUSED, message)
                .because(why)
                .help("make it anew: deployfile plan --out FILE"),
        )
    };
    let size = fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
    if size > PLAN_BYTES {
        return Err(failed(format!("it has {size} bytes, more than {PLAN_BYTES}")));
    }
    let bytes = fs::read(path).map_err(|e| failed(e.to_string()))?;
    let plan = Plan::from_bytes(&bytes).map_err(|e| failed(e.to_string()))?;
    if plan.goal != Goal::Apply {
        return Err(failed(format!("its goal is {}", plan.goal.name())));
    }
    Ok(plan)
}

/// A plan is bound to the observation that it was made from.
fn still_bound(plan: Plan, local: &LocalHost, ledger: &Ledger) -> Result<Plan, Stop> {
    let moved = |what: String| {
        let message = format!("host `{}` is not as it was when the plan was made: {what}", local.name);
        Stop::from(
            CliError::new("plan::stale", exit::REFUSED, message)
                .help("make a new plan: deployfile plan --out FILE"),
        )
    };
    if let Some(open) = &ledger.open {
        let message = format!("run {} is not over", open.run);
        let error = CliError::new("plan::interrupted-run", exit::REFUSED, message);
        return Err(error.help("finish or undo it first: deployfile resume").into());
    }
    let Some(host) = plan.host(&local.name).filter(|host| host.root == local.layout.root) else {
        return Err(moved("the plan is for another host or root".to_owned()));
    };
    let current = deployfile_system::current::read(local.dir()?, &local.layout.root, &local.layout.current)?;
    if current.release() != host.bound.current.as_ref() {
        return Err(moved(format!(
            "current is {}",
            current.release().map_or("not a release", |id| id.as_str())
        )));
    }
    let last_run = ledger.runs.last().map(|run| &run.run);
    if last_run != host.bound.last_run.as_ref() {
        return Err(moved(format!("run {} came between", last_run.map_or("", |id| id.as_str()))));
    }
    Ok(plan)
}
