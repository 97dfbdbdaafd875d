//! `check`: offline; parse, merge, validate, compile templates, plugin pins. Touches nothing.

use crate::args::{EnvArg, Global};
use crate::error::{Stop, exit};
use crate::project;
use crate::terminal::Terminal;
use deployfile_config::Diagnostics;
use deployfile_model::Name;
use std::collections::BTreeMap;

pub(crate) fn run(args: &EnvArg, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let opened = match project::open(global, terminal) {
        Err(Stop::Invalid(diagnostics)) => return answer(&diagnostics, &[], terminal),
        other => other?,
    };
    let named = args.env.is_some() || global.environment.is_some();
    let environments: Vec<Name> = if named {
        vec![opened.environment(args.env.as_deref(), global)?]
    } else {
        opened.project.environments()
    };
    let mut found = opened.project.check_all();
    if named {
        found = match opened.project.spec(&environments[0], &BTreeMap::new()) {
            Ok((_, warnings)) => warnings,
            Err(errors) => errors,
        };
    }
    answer(&found, &environments, terminal)
}

fn answer(found: &Diagnostics, environments: &[Name], terminal: Terminal) -> Result<u8, Stop> {
    if terminal.is_json() {
        terminal.document(&found.to_json())?;
    } else {
        if !found.is_empty() {
            terminal.say(&found.render(terminal.talk_tone.color));
        }
        if !found.has_errors() {
            let names: Vec<&str> = environments.iter().map(Name::as_str).collect();
            let of = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
            terminal.answer(&format!("the deployfile is valid{of}\n"))?;
        }
    }
    Ok(if found.has_errors() { exit::INVALID } else { exit::DONE })
}
