//! The deployfile of this invocation: found, read, checked, and one environment of it.

use crate::args::Global;
use crate::error::{CliError, Stop, exit};
use crate::terminal::Terminal;
use crate::trust;
use deployfile_config::{Diagnostic, Diagnostics, FileError, Files, MAX_FILE, Project, load};
use deployfile_model::{Name, Spec};
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The name that is looked for here and in the parents.
pub(crate) const FILE_NAME: &str = "deployfile.kdl";

/// A deployfile that could be read.
pub(crate) struct Opened {
    /// The folder that its relative paths start from.
    pub(crate) folder: PathBuf,
    /// What it says.
    pub(crate) project: Project,
}

/// Files beneath the deployfile's folder.
pub(crate) struct Disk<'a>(pub(crate) &'a Path);

impl Files for Disk<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        read(&self.0.join(path))
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, FileError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.0.join(dir)).map_err(|e| file_error(&e))? {
            let entry = entry.map_err(|e| file_error(&e))?;
            names.extend(entry.file_name().into_string().ok());
        }
        Ok(names)
    }
    fn leads_out(&self, path: &str) -> bool {
        let folder = fs::canonicalize(self.0);
        let real = fs::canonicalize(self.0.join(path));
        folder.is_ok_and(|folder| real.is_ok_and(|real| !real.starts_with(folder)))
    }
}

/// The content of a file, at most [`MAX_FILE`] bytes and one.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    if !fs::metadata(path).map_err(|e| file_error(&e))?.is_file() {
        return Err(FileError::NotAFile);
    }
    let file = fs::File::open(path).map_err(|e| file_error(&e))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(|e| file_error(&e))?;
    Ok(bytes)
}

fn file_error(error: &std::io::Error) -> FileError {
    match error.kind() {
        ErrorKind::NotFound => FileError::NotFound,
        ErrorKind::PermissionDenied => FileError::Denied,
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => FileError::NotAFile,
        _ => FileError::Other(error.to_string()),
    }
}

/// Finds and reads the deployfile, to act on it. Its warnings are told.
pub(crate) fn open(global: &Global, terminal: Terminal) -> Result<Opened, Stop> {
    let opened = open_to_look(global, terminal)?;
    match trust::refusal(&opened) {
        Some(error) => Err(error.into()),
        None => Ok(opened),
    }
}

/// As [`open`], for what acts on nothing: whoever may write the deployfile may be told what it says.
pub(crate) fn open_to_look(global: &Global, terminal: Terminal) -> Result<Opened, Stop> {
    let (folder, name) = locate(global)?;
    if let Some(file) = &global.file {
        expect_readable(file)?;
    }
    let loaded = load(&Disk(&folder), &name);
    match loaded.project {
        Some(project) if !loaded.diagnostics.has_errors() => {
            if !loaded.diagnostics.is_empty() && !terminal.is_json() {
                terminal.say(&loaded.diagnostics.render(terminal.talk_tone.color));
            }
            Ok(Opened { folder, project })
        }
        _ => Err(Stop::Invalid(loaded.diagnostics)),
    }
}

/// The loader knows a name in a folder; of a file that cannot be read, the user is told the path as it was given.
fn expect_readable(file: &Path) -> Result<(), Stop> {
    let Err(error) = read(file) else { return Ok(()) };
    let shown = file.display().to_string();
    let message = format!("cannot read `{shown}`: {error}");
    let mut mistake = Diagnostic::error_in_file("config::unreadable", &shown, message);
    let inside = file.join(FILE_NAME);
    mistake.help = Some(match error {
        _ if inside.is_file() => format!("-f takes the file itself: -f {}", inside.display()),
        FileError::NotAFile => "-f takes a file; write a first one with `deployfile init`".to_owned(),
        FileError::NotFound => "correct the path, or write a first one with `deployfile init`".to_owned(),
        _ => "make it readable, or name another file".to_owned(),
    });
    Err(Stop::Invalid(vec![mistake].into()))
}

/// Finds the deployfile: its folder, and its name in there.
pub(crate) fn locate(global: &Global) -> Result<(PathBuf, String), Stop> {
    let file = find(global)?;
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok((folder, name))
}

fn find(global: &Global) -> Result<PathBuf, Stop> {
    if let Some(file) = &global.file {
        return Ok(file.clone());
    }
    let here = std::env::current_dir().map_err(|e| {
        CliError::from_error("cli::folder", exit::FAILED, &e).help("go to a folder that exists")
    })?;
    let found = here.ancestors().map(|folder| folder.join(FILE_NAME)).find(|file| file.is_file());
    found.ok_or_else(|| {
        let message = format!("there is no {FILE_NAME} here or in a parent folder");
        CliError::new("config::missing", exit::INVALID, message)
            .help("write one with `deployfile init`, or name it with -f FILE")
            .into()
    })
}

impl Opened {
    /// The environment that is meant: named by the verb, by `-e`, or the only one.
    pub(crate) fn environment(&self, word: Option<&str>, global: &Global) -> Result<Name, Stop> {
        let all = self.project.environments();
        let names = || all.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
        let Some(wanted) = word.or(global.environment.as_deref()) else {
            return match all.as_slice() {
                [only] => Ok(only.clone()),
                [] => Err(no_environments().into()),
                _ => Err(CliError::new("cli::environment", exit::USAGE, "which environment is meant?")
                    .help(format!("name one of: {}", names()))
                    .into()),
            };
        };
        if let (Some(word), Some(option)) = (word, global.environment.as_deref())
            && word != option
        {
            let message = format!("two environments are named: `{word}` and -e `{option}`");
            return Err(CliError::new("cli::environment", exit::USAGE, message).help("name one").into());
        }
        all.iter().find(|name| name.as_str() == wanted).cloned().ok_or_else(|| {
            let message = format!("there is no environment `{wanted}`");
            CliError::new("cli::environment", exit::USAGE, message)
                .help(format!("the file declares: {}", names()))
                .into()
        })
    }

    /// Whether a word names an environment.
    pub(crate) fn is_environment(&self, word: &str) -> bool {
        self.project.environments().iter().any(|name| name.as_str() == word)
    }

    /// The resolved specification of an environment. Its warnings are told, but not what is not built: `check` tells it, a plan
    /// shows it, and `apply` refuses it.
    pub(crate) fn spec(
        &self,
        environment: &Name,
        overrides: &BTreeMap<String, String>,
        terminal: Terminal,
    ) -> Result<Spec, Stop> {
        let (spec, warnings) = self.project.spec(environment, overrides).map_err(Stop::Invalid)?;
        let told = warnings.into_iter().filter(|warning| warning.code != "config::not-built");
        let warnings = Diagnostics::from(told.collect::<Vec<_>>());
        if !warnings.is_empty() && !terminal.is_json() {
            terminal.say(&warnings.render(terminal.talk_tone.color));
        }
        Ok(spec)
    }
}

fn no_environments() -> CliError {
    CliError::new("config::no-environment", exit::INVALID, "the deployfile declares no environment")
        .help("add one: environment local { host localhost { connect local; }; }")
}
