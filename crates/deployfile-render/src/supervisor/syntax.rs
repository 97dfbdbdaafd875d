//! Reading a program section back, step by step as supervisor 4.2.5 does it: configuration parser, expansion of `%`,
//! then `shlex` for the command and for the environment.

use super::Program;
use deployfile_model::service::Signal;
use std::collections::BTreeMap;

/// The program of a text that holds one section. What supervisor would expand is left as it is in the log file.
pub(super) fn read_program(text: &str) -> Result<Program, String> {
    let (section, mut settings) = sections(text)?;
    let name = section.strip_prefix("program:").ok_or("not a program")?.to_owned();
    let mut take = |key: &str| settings.remove(key);
    let mut need = |key: &str| take(key).ok_or_else(|| format!("no {key}"));
    let numprocs = need("numprocs")?.parse().map_err(|_| "numprocs")?;
    let command = split(&expand(&need("command")?)?)?;
    let directory = expand(&need("directory")?)?;
    let signal = need("stopsignal")?;
    let stop_wait_secs = need("stopwaitsecs")?.parse().map_err(|_| "stopwaitsecs")?;
    for (key, value) in
        [("autostart", "true"), ("autorestart", "true"), ("killasgroup", "true"), ("redirect_stderr", "true")]
    {
        if need(key)? != value {
            return Err(format!("{key} is not {value}"));
        }
    }
    let environment = match take("environment") {
        Some(value) => pairs(&expand(&value)?)?,
        None => BTreeMap::new(),
    };
    let process_name = (numprocs > 1).then(|| "%(program_name)s_%(process_num)02d".to_owned());
    if take("process_name") != process_name {
        return Err("process_name".to_owned());
    }
    let (user, stdout_logfile) = (take("user"), take("stdout_logfile"));
    let stop_signal = Signal::ALL.into_iter().find(|(name, _)| *name == signal).ok_or("stopsignal")?.1;
    if let Some(key) = settings.keys().next() {
        return Err(format!("unknown setting {key}"));
    }
    Ok(Program {
        name,
        command,
        directory,
        user,
        numprocs,
        environment,
        stop_signal,
        stop_wait_secs,
        stdout_logfile,
    })
}

/// The one section with its settings; inline comments are cut off and white space is stripped.
fn sections(text: &str) -> Result<(String, BTreeMap<String, String>), String> {
    let (mut section, mut settings) = (None, BTreeMap::new());
    for line in text.split(['\n', '\r']) {
        let line = without_comment(line).trim();
        if let Some(header) = line.strip_prefix('[') {
            let name = header.split_once(']').ok_or("a section is never closed")?.0;
            if section.replace(name.to_owned()).is_some() {
                return Err("more than one section".to_owned());
            }
        } else if let Some((key, value)) = line.split_once(['=', ':']) {
            let value = value.trim().replace("%(here)s", "/here");
            if settings.insert(key.trim().to_lowercase(), value).is_some() {
                return Err(format!("{key} stands twice"));
            }
        } else if !line.is_empty() {
            return Err("a line is not a setting".to_owned());
        }
    }
    Ok((section.ok_or("no section")?, settings))
}

fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (index, c) in line.char_indices() {
        if matches!(c, ';' | '#') && before.is_whitespace() {
            return &line[..index];
        }
        before = c;
    }
    line
}

/// `%%` is `%`; everything else after a `%` is an expansion, which no value of ours wants.
fn expand(value: &str) -> Result<String, String> {
    let mut expanded = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c == '%' && chars.next() != Some('%') {
            return Err("an expansion".to_owned());
        }
        expanded.push(c);
    }
    Ok(expanded)
}

/// `shlex.split(command)`.
fn split(command: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let text = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or("no closing quote")? {
                        '\'' => break,
                        c => text.push(c),
                    }
                }
            }
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next().ok_or("a backslash stands last")?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    loop {
        match chars.next().ok_or("no closing quote")? {
            '"' => return Ok(()),
            '\\' => match chars.next().ok_or("no closing quote")? {
                c @ ('"' | '\\') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

/// `dict_of_key_value_pairs`: quotes without escapes, and every quote at either end of a value is stripped.
fn pairs(environment: &str) -> Result<BTreeMap<String, String>, String> {
    let mut read = BTreeMap::new();
    let mut rest = environment;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or("no value")?;
        let quote =
            after.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or("a value without quotes")?;
        let (value, after) = after[1..].split_once(quote).ok_or("no closing quote")?;
        read.insert(name.to_owned(), value.trim_matches(['\'', '"']).to_owned());
        rest = match after.strip_prefix(',') {
            Some(next) => next,
            None if after.is_empty() => after,
            None => return Err("no comma between two values".to_owned()),
        };
    }
    Ok(read)
}
