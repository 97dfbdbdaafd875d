//! A service unit of systemd, as `doctor` prints it for the builtin manager's start at boot.
//!
//! Words are written so that systemd's `extract_first_word` reads them back (double quotes with `\"` and `\\`), `%` as
//! `%%`, and in arguments `$` as `$$` (systemd.syntax(7), systemd.unit(5) "specifiers", systemd.service(5) "command
//! lines"). Paths of `WorkingDirectory=` and `EnvironmentFile=` know no quotes; the latter is a glob, so its
//! characters are refused. What is written is read back and compared. Not here: asking systemd.

use crate::env::{VALUE_LIMIT, check_name};
use crate::refused::{Refused, one_line};
use std::collections::BTreeMap;

/// A service unit. Everything is written; nothing else is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUnit {
    /// One line for people.
    pub description: String,
    /// Program (an absolute path) and arguments.
    pub exec_start: Vec<String>,
    /// An absolute path.
    pub working_directory: Option<String>,
    /// The user it runs as.
    pub user: Option<String>,
    /// Variables.
    pub environment: BTreeMap<String, String>,
    /// Environment files, absolute paths.
    pub environment_files: Vec<String>,
    /// On stop only the main process is ended, and what it started goes on.
    pub kill_only_main: bool,
}

/// The unit file.
///
/// # Errors
/// What systemd cannot represent, or would read as something else.
pub fn service_unit(unit: &ServiceUnit) -> Result<String, Refused> {
    let mut text = format!("[Unit]\nDescription={}\nAfter=network.target\n\n[Service]\n", description(unit)?);
    let mut line = |key: &str, value: &str| text.push_str(&format!("{key}={value}\n"));
    line("Type", "simple");
    if let Some(user) = &unit.user {
        line("User", check_user(user)?);
    }
    if let Some(path) = &unit.working_directory {
        line("WorkingDirectory", &path_value("working directory", path)?);
    }
    for (name, value) in &unit.environment {
        check_name(name)?;
        one_line(&format!("variable {name}"), value, VALUE_LIMIT)?;
        line("Environment", &quoted(&format!("{name}={value}")));
    }
    for path in &unit.environment_files {
        if path.contains(['*', '?', '[', '\\']) {
            return Err(Refused::new("environment file", "it has a wildcard or a backslash"));
        }
        line("EnvironmentFile", &path_value("environment file", path)?);
    }
    line("ExecStart", &exec(&unit.exec_start)?);
    line("Restart", "on-failure");
    if unit.kill_only_main {
        line("KillMode", "process");
    }
    text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    match read(&text) {
        Some(read) if read == *unit => Ok(text),
        _ => Err(Refused::internal("systemd")),
    }
}

/// One value in a unit, for free templates, where it may come to stand in quotes: so it has none.
pub(crate) fn word(value: &str) -> Result<String, Refused> {
    one_line("value", value, VALUE_LIMIT)?;
    if value.contains(['"', '\'', '\\', '$']) {
        return Err(Refused::new("value", "it has a quote, a backslash or a `$`"));
    }
    Ok(value.replace('%', "%%"))
}

fn description(unit: &ServiceUnit) -> Result<String, Refused> {
    let text = &unit.description;
    one_line("description", text, VALUE_LIMIT)?;
    if text.is_empty() || text.trim() != text || text.ends_with('\\') {
        return Err(Refused::new("description", "it is empty, or ends with white space or a backslash"));
    }
    Ok(text.replace('%', "%%"))
}

fn check_user(user: &str) -> Result<&str, Refused> {
    let ok = user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) && user.len() <= 128;
    if !ok || user.is_empty() {
        return Err(Refused::new(
            "user",
            "it must be letters, digits, `.`, `_` and `-`, at most 128 of them",
        ));
    }
    Ok(user)
}

fn path_value(what: &str, path: &str) -> Result<String, Refused> {
    one_line(what, path, VALUE_LIMIT)?;
    if !path.starts_with('/') || path.ends_with(char::is_whitespace) || path.ends_with('\\') {
        return Err(Refused::new(
            what,
            "it must be an absolute path that does not end with white space or a backslash",
        ));
    }
    Ok(path.replace('%', "%%"))
}

fn exec(words: &[String]) -> Result<String, Refused> {
    let Some((program, arguments)) = words.split_first().filter(|(program, _)| program.starts_with('/'))
    else {
        return Err(Refused::new("command", "its program must be an absolute path"));
    };
    if program.contains('$') {
        return Err(Refused::new("command", "its program has a `$`, which systemd reads in two ways"));
    }
    let mut line = quoted(program);
    for argument in arguments {
        line.push(' ');
        line.push_str(&quoted(&argument.replace('$', "$$")));
    }
    words.iter().try_for_each(|word| one_line("command", word, VALUE_LIMIT))?;
    Ok(line)
}

/// One word.
fn quoted(word: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_$".contains(c);
    let text = word.replace('%', "%%");
    if !text.is_empty() && text.chars().all(bare) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Reads what [`service_unit`] writes; `None` for anything else.
fn read(text: &str) -> Option<ServiceUnit> {
    let mut unit = ServiceUnit {
        description: String::new(),
        exec_start: Vec::new(),
        working_directory: None,
        user: None,
        environment: BTreeMap::new(),
        environment_files: Vec::new(),
        kill_only_main: false,
    };
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('[')) {
        let (key, value) = line.split_once('=')?;
        match (key, value.trim()) {
            ("Description", value) => unit.description = specifiers(value)?,
            ("User", value) => unit.user = Some(value.to_owned()),
            ("WorkingDirectory", value) => unit.working_directory = Some(specifiers(value)?),
            ("EnvironmentFile", value) => unit.environment_files.push(specifiers(value)?),
            ("Environment", value) => {
                let [pair] = words(value)?.try_into().ok()?;
                let (name, value) = pair.split_once('=')?;
                unit.environment.insert(name.to_owned(), value.to_owned());
            }
            ("ExecStart", value) => unit.exec_start = without_variables(words(value)?)?,
            ("KillMode", "process") => unit.kill_only_main = true,
            ("After", "network.target") | ("Type", "simple") | ("Restart", "on-failure") => {}
            ("WantedBy", "multi-user.target") => {}
            _ => return None,
        }
    }
    Some(unit)
}

/// Words as systemd takes them apart, with `%%` read as `%`.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut in_quotes) = (Vec::new(), None::<String>, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' if !in_quotes => words.extend(word.take()),
            '"' => {
                in_quotes = !in_quotes;
                word.get_or_insert_default();
            }
            '\'' if !in_quotes => return None,
            '\\' => word.get_or_insert_default().push(chars.next().filter(|c| matches!(c, '\\' | '"'))?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if in_quotes { None } else { words.iter().map(|word| specifiers(word)).collect() }
}

fn specifiers(text: &str) -> Option<String> {
    doubled(text, '%')
}

fn without_variables(words: Vec<String>) -> Option<Vec<String>> {
    words
        .iter()
        .enumerate()
        .map(|(n, word)| if n == 0 { Some(word.clone()) } else { doubled(word, '$') })
        .collect()
}

/// Every `sign` must stand twice, and is read once.
fn doubled(text: &str, sign: char) -> Option<String> {
    let mut read = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == sign && chars.next() != Some(sign) {
            return None;
        }
        read.push(c);
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nasty::{for_all, nasty};
    use proptest::strategy::Strategy;

    fn unit() -> ServiceUnit {
        ServiceUnit {
            description: "deployfile: services of /srv/shop (100%)".to_owned(),
            exec_start: ["/srv/a b/deployfile", "supervise", "$x 5%", ";", ""].map(str::to_owned).to_vec(),
            working_directory: Some("/srv/a b".to_owned()),
            user: Some("deploy".to_owned()),
            environment: BTreeMap::from([("A".to_owned(), "it's \"x\\\" $y".to_owned())]),
            environment_files: vec!["/srv/a b/%.env".to_owned()],
            kill_only_main: true,
        }
    }

    #[test]
    fn a_unit() {
        assert_eq!(
            service_unit(&unit()).unwrap(),
            r#"[Unit]
Description=deployfile: services of /srv/shop (100%%)
After=network.target

[Service]
Type=simple
User=deploy
WorkingDirectory=/srv/a b
Environment="A=it's \"x\\\" $y"
EnvironmentFile=/srv/a b/%%.env
ExecStart="/srv/a b/deployfile" supervise "$$x 5%%" ";" ""
Restart=on-failure
KillMode=process

[Install]
WantedBy=multi-user.target
"#
        );
    }

    #[test]
    fn refusals() {
        let broken = |change: &dyn Fn(&mut ServiceUnit)| {
            let mut unit = unit();
            change(&mut unit);
            service_unit(&unit).unwrap_err().to_string()
        };
        assert!(broken(&|u| u.description = "a\nExecStart=/bin/evil".to_owned()).starts_with("description"));
        assert!(broken(&|u| u.description = "ends with \\".to_owned()).starts_with("description"));
        assert!(broken(&|u| u.exec_start = vec!["echo".to_owned()]).starts_with("command"));
        assert!(broken(&|u| u.exec_start = vec!["/bin/$x".to_owned()]).starts_with("command"));
        assert!(broken(&|u| u.exec_start[1] = "a\n".to_owned()).starts_with("command"));
        assert!(broken(&|u| u.exec_start.clear()).starts_with("command"));
        assert!(broken(&|u| u.user = Some("%u".to_owned())).starts_with("user"));
        assert!(broken(&|u| u.working_directory = Some("~".to_owned())).starts_with("working directory"));
        assert!(broken(&|u| u.environment_files = vec!["/a*".to_owned()]).starts_with("environment file"));
        assert!(broken(&|u| u.environment_files = vec!["-/a".to_owned()]).starts_with("environment file"));
        assert!(
            broken(&|u| u.environment = BTreeMap::from([("A".to_owned(), "\0".to_owned())])).contains("A")
        );
    }

    fn nasty_unit() -> impl Strategy<Value = ServiceUnit> {
        (nasty(), nasty(), nasty(), nasty()).prop_map(|(description, word, value, path)| ServiceUnit {
            description,
            exec_start: vec![format!("/{path}"), word],
            working_directory: Some(format!("/{path}")),
            environment: BTreeMap::from([("A".to_owned(), value)]),
            environment_files: vec![format!("/{path}")],
            ..unit()
        })
    }

    fn holds(unit: &ServiceUnit, change: impl Fn(String) -> String) -> Result<(), String> {
        match service_unit(unit) {
            Err(refused) if refused == Refused::internal("systemd") => Err(format!("not refused: {unit:?}")),
            Err(_) => Ok(()),
            Ok(text) => match read(&change(text)) {
                Some(read) if read == *unit => Ok(()),
                other => Err(format!("{unit:?} reads as {other:?}")),
            },
        }
    }

    #[test]
    fn every_unit_is_refused_or_reads_back() {
        for_all(nasty_unit(), |unit| holds(&unit, |text| text)).unwrap();
    }

    #[test]
    fn the_property_catches_broken_quoting() {
        let mistakes: [fn(String) -> String; 4] = [
            |text| text.replace("%%", "%"),
            |text| text.replace("$$", "$"),
            |text| text.replace("\\\\", "\\"),
            |text| text.replace("\\\"", "\""),
        ];
        for mistake in mistakes {
            assert!(for_all(nasty_unit(), |unit| holds(&unit, mistake)).is_err());
        }
    }
}
