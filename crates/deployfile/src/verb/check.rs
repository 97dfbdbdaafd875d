//! `check`: offline; parse, merge, validate, compile templates, plugin pins and grants. Touches nothing.

use crate::args::{EnvArg, Global};
use crate::error::{CliError, Stop, exit};
use crate::project::{self, Opened};
use crate::terminal::Terminal;
use crate::{limits, observing, trust};
use deployfile_config::Diagnostics;
use deployfile_model::{Name, Spec};
use deployfile_plan::plugin_refusals;
use serde_json::Value;

pub(crate) fn run(args: &EnvArg, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let opened = match project::open_to_look(global, terminal) {
        Err(Stop::Invalid(diagnostics)) => return answer(&diagnostics, &[], &[], terminal),
        other => other?,
    };
    let environments: Vec<Name> = match args.env.is_some() || global.environment.is_some() {
        true => vec![opened.environment(args.env.as_deref(), global)?],
        false => opened.project.environments(),
    };
    let (specs, found) = opened.project.specs(&environments);
    let others = trust::warning(&opened).into_iter().collect::<Vec<_>>();
    let found = found.and(others.into());
    let refused = if found.has_errors() { Vec::new() } else { refusals(&opened, &specs) };
    answer(&found, &refused, &environments, terminal)
}

/// What is right in the language and still cannot be planned from. The same in several environments is said once.
fn refusals(opened: &Opened, specs: &[Spec]) -> Vec<CliError> {
    let mut out: Vec<CliError> = Vec::new();
    for spec in specs {
        for error in of_environment(opened, spec) {
            let is_same = |said: &CliError| said.message == error.message && said.place == error.place;
            if !out.iter().any(is_same) {
                out.push(error);
            }
        }
    }
    out
}

fn of_environment(opened: &Opened, spec: &Spec) -> Vec<CliError> {
    let mut out = limits::refusals(spec);
    match observing::plugins(opened, spec) {
        Ok(observed) => out.extend(plugin_refusals(spec, &observed).into_iter().map(CliError::from)),
        Err(Stop::Error(error)) => out.push(*error),
        Err(_) => {}
    }
    out
}

fn answer(
    found: &Diagnostics,
    refused: &[CliError],
    environments: &[Name],
    terminal: Terminal,
) -> Result<u8, Stop> {
    if terminal.is_json() {
        terminal.document(&document(found, refused, environments))?;
    } else {
        if !found.is_empty() {
            terminal.say(&found.render(terminal.talk_tone.color));
        }
        refused.iter().for_each(|error| terminal.say(&error.text(terminal.talk_tone)));
        if !found.has_errors() && refused.is_empty() {
            let names: Vec<&str> = environments.iter().map(Name::as_str).collect();
            let of = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
            terminal.answer(&format!("the deployfile is valid{of}\n"))?;
        }
    }
    let is_invalid = found.has_errors() || refused.iter().any(|error| error.exit == exit::INVALID);
    Ok(match refused.first() {
        _ if is_invalid => exit::INVALID,
        Some(error) => error.exit,
        None => exit::DONE,
    })
}

/// cli.md's document of `check`.
fn document(found: &Diagnostics, refused: &[CliError], environments: &[Name]) -> Value {
    let mut document = found.to_json();
    document["environments"] = environments.iter().map(Name::as_str).collect();
    if let (Some(errors), false) = (document["errors"].as_array_mut(), refused.is_empty()) {
        errors.extend(refused.iter().map(CliError::json));
        document["ok"] = false.into();
    }
    document
}
