//! A service → a `[program:…]` section of supervisor.
//!
//! supervisor puts a program that stands in no `[group:…]` into a group of its own with the program's name; that is
//! the one group per service (changing one program of a shared group restarts every member). What is written is read
//! back as supervisor's parser would, and compared. supervisor has no switch to test a configuration, so whatever it
//! would silently read as something else is refused here:
//!
//! - a newline adds lines and sections;
//! - `;` or `#` after white space begins a comment, even inside quotes;
//! - `%` is written `%%`; but `%(here)s` is replaced before that is looked at, and a log file's `%` is expanded twice;
//! - an environment value cannot hold both kinds of quotes, nor begin or end with one (they are stripped).
//!
//! Sources: supervisor 4.2.5, `options.py` (`UnhosedConfigParser`, `_processes_from_section`) and `datatypes.py`.

mod syntax;

use crate::env::{VALUE_LIMIT, check_name};
use crate::refused::{Refused, one_line};
use deployfile_model::service::Signal;
use std::collections::BTreeMap;

/// A service with all look-ups filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name; supervisor's group is named the same.
    pub name: String,
    /// Program and arguments; never empty.
    pub command: Vec<String>,
    /// Working directory, an absolute path.
    pub directory: String,
    /// The user it runs as.
    pub user: Option<String>,
    /// Processes, 1 to [`MOST_PROCESSES`].
    pub numprocs: u32,
    /// Its environment, over supervisord's own.
    pub environment: BTreeMap<String, String>,
    /// How it is stopped.
    pub stop_signal: Signal,
    /// Seconds until the process group is killed.
    pub stop_wait_secs: u64,
    /// Where its output goes: an absolute path in a directory that is there, else supervisor refuses the file. With
    /// several processes each gets its own (`web.log` → `web_00.log`), because each is rotated by itself. `None`:
    /// where supervisor likes.
    pub stdout_logfile: Option<String>,
}

/// More processes than these are taken for a mistake.
pub const MOST_PROCESSES: u32 = 1_000;

/// The section.
///
/// # Errors
/// What supervisor cannot represent, or would read as something else.
pub fn program_conf(program: &Program) -> Result<String, Refused> {
    check(program)?;
    let mut text = format!("[program:{}]\n", program.name);
    for (key, value) in settings(program)? {
        text.push_str(&format!("{key}={value}\n"));
    }
    match syntax::read_program(&text) {
        Ok(read) if read == as_read(program) => Ok(text),
        _ => Err(Refused::internal("supervisor")),
    }
}

/// One value in a supervisor configuration, for free templates, where it may come to stand in quotes: so it has none.
pub(crate) fn word(value: &str) -> Result<String, Refused> {
    value_ok("value", value)?;
    if value.contains(['"', '\'', '\\']) || value.starts_with([';', '#']) {
        return Err(Refused::new("value", "it has a quote or a backslash, or begins with `;` or `#`"));
    }
    Ok(value.replace('%', "%%"))
}

fn check(program: &Program) -> Result<(), Refused> {
    for (what, name) in [("name", Some(&program.name)), ("user", program.user.as_ref())] {
        let ok = |name: &str| {
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) && name.len() <= 128
        };
        if name.is_some_and(|name| name.is_empty() || !ok(name)) {
            return Err(Refused::new(
                what,
                "it must be letters, digits, `.`, `_` and `-`, at most 128 of them",
            ));
        }
    }
    if !(1..=MOST_PROCESSES).contains(&program.numprocs) {
        return Err(Refused::new("numprocs", format!("it must be 1 to {MOST_PROCESSES}")));
    }
    if program.command.first().is_none_or(String::is_empty) {
        return Err(Refused::new("command", "it names no program"));
    }
    check_path("directory", &program.directory)?;
    if let Some(path) = &program.stdout_logfile {
        check_path("log file", path)?;
        if path.contains('%') {
            return Err(Refused::new("log file", "it has a `%`, which supervisor expands twice"));
        }
    }
    Ok(())
}

fn check_path(what: &str, path: &str) -> Result<(), Refused> {
    value_ok(what, path)?;
    if !path.starts_with('/') || path.ends_with(char::is_whitespace) {
        return Err(Refused::new(what, "it must be an absolute path that does not end with white space"));
    }
    Ok(())
}

fn settings(program: &Program) -> Result<Vec<(&'static str, String)>, Refused> {
    let mut settings = vec![("command", command(&program.command)?)];
    if program.numprocs > 1 {
        settings.push(("process_name", "%(program_name)s_%(process_num)02d".to_owned()));
    }
    settings.push(("numprocs", program.numprocs.to_string()));
    settings.push(("directory", program.directory.replace('%', "%%")));
    settings.extend(program.user.iter().map(|user| ("user", user.clone())));
    settings.push(("autostart", "true".to_owned()));
    settings.push(("autorestart", "true".to_owned()));
    settings.push(("stopsignal", program.stop_signal.name().to_owned()));
    settings.push(("stopwaitsecs", program.stop_wait_secs.to_string()));
    settings.push(("killasgroup", "true".to_owned()));
    settings.push(("redirect_stderr", "true".to_owned()));
    settings.extend(log_file(program).map(|path| ("stdout_logfile", path)));
    if !program.environment.is_empty() {
        settings.push(("environment", environment(&program.environment)?));
    }
    Ok(settings)
}

fn log_file(program: &Program) -> Option<String> {
    let path = program.stdout_logfile.as_ref()?;
    if program.numprocs == 1 {
        return Some(path.clone());
    }
    let stem = path.strip_suffix(".log").unwrap_or(path);
    Some(format!("{stem}_%(process_num)02d{}", &path[stem.len()..]))
}

/// What [`syntax::read_program`] must make of it.
fn as_read(program: &Program) -> Program {
    Program { stdout_logfile: log_file(program), ..program.clone() }
}

/// Words as Python's `shlex.split` takes them apart.
fn command(words: &[String]) -> Result<String, Refused> {
    let quote = |word: &String| {
        let bare = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
        if !word.is_empty() && word.chars().all(bare) {
            return word.clone();
        }
        format!("'{}'", word.replace('\'', r#"'"'"'"#))
    };
    let line = words.iter().map(quote).collect::<Vec<_>>().join(" ");
    value_ok("command", &line)?;
    Ok(line.replace('%', "%%"))
}

/// `A='x',B="it's"`: supervisor's reader knows no escapes, only two kinds of quotes.
fn environment(variables: &BTreeMap<String, String>) -> Result<String, Refused> {
    let mut pairs = Vec::new();
    for (name, value) in variables {
        check_name(name)?;
        let what = format!("variable {name}");
        value_ok(&what, value)?;
        if value.starts_with(['"', '\'']) || value.ends_with(['"', '\'']) {
            return Err(Refused::new(what, "it begins or ends with a quote, which supervisor would strip"));
        }
        let quote = match (value.contains('\''), value.contains('"')) {
            (true, true) => {
                return Err(Refused::new(
                    what,
                    "it has both kinds of quotes, which supervisor cannot represent",
                ));
            }
            (true, false) => '"',
            (false, _) => '\'',
        };
        pairs.push(format!("{name}={quote}{value}{quote}"));
    }
    Ok(pairs.join(",").replace('%', "%%"))
}

/// Refuses what no quoting can save.
fn value_ok(what: &str, value: &str) -> Result<(), Refused> {
    one_line(what, value, VALUE_LIMIT)?;
    if value.contains("%(here)s") {
        return Err(Refused::new(what, "it has `%(here)s`, which supervisor replaces everywhere"));
    }
    let mut before = None;
    for c in value.chars() {
        if matches!(c, ';' | '#') && before.is_some_and(char::is_whitespace) {
            let why =
                "it has a `;` or `#` after white space, where supervisor begins a comment, even in quotes";
            return Err(Refused::new(what, why));
        }
        before = Some(c);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
