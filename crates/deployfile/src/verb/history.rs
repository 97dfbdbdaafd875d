//! `history`: runs; `history show RUN` tells the events of one again.

use crate::args::{Global, HistoryArgs};
use crate::error::{CliError, Stop, exit};
use crate::host::LocalHost;
use crate::terminal::Terminal;
use crate::verb::releases::stamp;
use crate::{host, project};
use deployfile_model::RunId;
use deployfile_record::event::What;
use deployfile_record::ledger::RunFacts;
use deployfile_record::{Event, FORMAT, RunResult};
use deployfile_report::table::table;
use deployfile_report::{Human, took};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) fn run(args: &HistoryArgs, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let (run, env) = match words.as_slice() {
        ["show", run] => (Some(*run), None),
        ["show", run, env] => (Some(*run), Some(*env)),
        [] => (None, None),
        [env] if *env != "show" => (None, Some(*env)),
        _ => {
            let error = CliError::new("cli::history", exit::USAGE, "history takes ENV, or show RUN [ENV]");
            return Err(error.help("for example: deployfile history show RUN").into());
        }
    };
    let opened = project::open(global, terminal)?;
    let environment = opened.environment(env, global)?;
    let spec = opened.spec(&environment, &BTreeMap::new(), terminal)?;
    let local = host::open(&spec)?;
    match run {
        Some(run) => show(&local, run, terminal),
        None => list(&local, terminal),
    }
}

fn list(local: &LocalHost, terminal: Terminal) -> Result<u8, Stop> {
    let ledger = local.ledger()?;
    if terminal.is_json() {
        let runs: Vec<Value> = ledger.runs.iter().map(|run| document(local, run)).collect();
        terminal.document(&json!({ "format": FORMAT, "runs": runs }))?;
    } else if ledger.runs.is_empty() {
        terminal.answer("no runs yet\n")?;
    } else {
        let rows: Vec<Vec<String>> = ledger.runs.iter().rev().map(row).collect();
        terminal.answer(&table(&["run", "goal", "result", "release", "who", "started", "took"], &rows))?;
    }
    Ok(exit::DONE)
}

fn row(run: &RunFacts) -> Vec<String> {
    let seconds = run.ended.map(|ended| u64::try_from(ended.0 - run.started.0).unwrap_or(0));
    vec![
        run.run.to_string(),
        run.goal.name().to_owned(),
        result(run.result).to_owned(),
        run.release.as_ref().map_or_else(String::new, ToString::to_string),
        run.who.clone(),
        stamp(run.started),
        seconds.map_or_else(String::new, |s| took(s * 1000)),
    ]
}

fn result(result: Option<RunResult>) -> &'static str {
    match result {
        None => "open",
        Some(RunResult::Done) => "done",
        Some(RunResult::Failed) => "failed",
        Some(RunResult::Refused) => "refused",
        Some(RunResult::Reverted) => "reverted",
        Some(RunResult::Stuck) => "stuck",
        Some(RunResult::Interrupted) => "interrupted",
    }
}

fn document(local: &LocalHost, run: &RunFacts) -> Value {
    let stages: Vec<Value> = events(local, &run.run)
        .iter()
        .filter_map(|event| match &event.what {
            What::StageFinished { stage, took_ms } => Some(json!({ "name": stage.name(), "ms": took_ms })),
            _ => None,
        })
        .collect();
    json!({
        "run": run.run,
        "goal": run.goal.name(),
        "who": run.who,
        "release": run.release,
        "from": run.from,
        "result": result(run.result),
        "exit": run.exit,
        "started": stamp(run.started),
        "ended": run.ended.map(stamp),
        "stages": stages,
    })
}

/// What was told of a run. A line that cannot be read (a power cut) is left out: this is telemetry.
fn events(local: &LocalHost, run: &RunId) -> Vec<Event> {
    let text = local.store().ok().flatten().and_then(|store| store.history(run).ok()).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn show(local: &LocalHost, run: &str, terminal: Terminal) -> Result<u8, Stop> {
    let unknown = || {
        let error = CliError::new(
            "history::unknown",
            exit::REFUSED,
            format!("there is no run `{}`", run.escape_debug()),
        );
        Stop::from(error.help("see what there is: deployfile history"))
    };
    let id = RunId::new(run).map_err(|_| unknown())?;
    if !local.ledger()?.runs.iter().any(|known| known.run == id) {
        return Err(unknown());
    }
    let events = events(local, &id);
    if terminal.is_json() {
        for event in &events {
            terminal.answer(&format!("{}\n", deployfile_report::json_line(event)))?;
        }
        return Ok(exit::DONE);
    }
    if events.is_empty() {
        terminal.answer("the events of this run are not kept any more; the last 100 runs have theirs\n")?;
        return Ok(exit::DONE);
    }
    let mut text = Vec::new();
    let mut human = Human::new(&mut text, terminal.tone, false, terminal.verbosity.max(1));
    // Writing into memory does not fail.
    events.iter().for_each(|event| drop(human.event(event)));
    terminal.answer(&String::from_utf8_lossy(&text))?;
    Ok(exit::DONE)
}
