//! `fmt`: canonical layout of the deployfile and what it imports, of the files that are named, or of stdin. Writes only
//! what changes; with `--check` nothing.

mod replace;

use crate::args::{FmtArgs, Global};
use crate::error::{CliError, Stop, exit};
use crate::project::{self, Disk};
use crate::terminal::Terminal;
use deployfile_config::{Diagnostic, Diagnostics, FormatError, Formatted, MAX_FILE, format, load};
use serde_json::{Value, json};
use similar::TextDiff;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The argument that means stdin and stdout, and what stdin is called in messages.
const STDIN: (&str, &str) = ("-", "<stdin>");
/// Lines of context around a change.
const CONTEXT: usize = 3;
/// How long the shortest diff of one file is looked for; then any diff will do.
const DIFF_DEADLINE: Duration = Duration::from_millis(500);
/// What keeps an imported file from being read at all; other mistakes are for `check` to tell.
const UNREACHED: [&str; 4] = ["config::unreadable", "config::import", "config::encoding", TOO_LARGE];
const TOO_LARGE: &str = "config::too-large";

pub(crate) fn run(args: &FmtArgs, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let is_stdin = |file: &PathBuf| file.as_os_str() == STDIN.0;
    match args.files.as_slice() {
        [only] if is_stdin(only) => filter(args.check, terminal),
        files if files.iter().any(is_stdin) => {
            let message = "`-` stands for stdin and cannot stand beside files";
            Err(CliError::new("cli::fmt", exit::USAGE, message).help("name either `-` or files").into())
        }
        [] => {
            let mut told = Told::default();
            let files = of_project(global, &mut told)?;
            each(files, args.check, told, terminal)
        }
        files => {
            let files =
                files.iter().map(|path| File { name: path.display().to_string(), path: path.clone() });
            each(files.collect(), args.check, Told::default(), terminal)
        }
    }
}

/// A file to lay out.
struct File {
    path: PathBuf,
    /// As messages call it.
    name: String,
}

/// The main file and what it imports.
fn of_project(global: &Global, told: &mut Told) -> Result<Vec<File>, Stop> {
    let (folder, main) = project::locate(global)?;
    let loaded = load(&Disk(&folder), &main);
    // What is too much as a whole is not begun in part.
    if loaded.diagnostics.iter().any(|found| found.code == TOO_LARGE) {
        let found = loaded.diagnostics.into_iter().filter(|found| found.code == TOO_LARGE);
        return Err(Stop::Invalid(found.collect::<Vec<_>>().into()));
    }
    let unreached = loaded.diagnostics.into_iter().filter(|found| UNREACHED.contains(&found.code));
    told.stop(Stop::Invalid(unreached.collect::<Vec<_>>().into()));
    let real = fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
    let mut files = Vec::new();
    for name in loaded.files {
        let path = folder.join(&name);
        // The main file was meant, wherever a link leads; what it imports must be the project's own.
        let is_inside = fs::canonicalize(&path).is_ok_and(|path| path.starts_with(&real));
        if name == main || is_inside {
            files.push(File { path, name });
        } else {
            told.left_alone.push(name);
        }
    }
    Ok(files)
}

/// Lays out files, and goes on with the next one when one cannot be.
fn each(files: Vec<File>, check: bool, mut told: Told, terminal: Terminal) -> Result<u8, Stop> {
    for file in files {
        match one(&file, check) {
            Ok(formatted) => told.entries.push(Entry::of(file.name, &formatted, check || terminal.is_json())),
            Err(stop) => told.stop(stop),
        }
    }
    told.answer(check, terminal)
}

fn one(file: &File, check: bool) -> Result<Formatted, Stop> {
    let bytes = project::read(&file.path).map_err(|error| {
        let message = format!("cannot read `{}`: {error}", file.name);
        let mut unreadable = Diagnostic::error_in_file("config::unreadable", &file.name, message);
        unreadable.help =
            Some("correct the path; without one, fmt takes the deployfile and its imports".to_owned());
        Stop::Invalid(vec![unreadable].into())
    })?;
    let formatted = format(&file.name, bytes).map_err(|error| stop(&file.name, error))?;
    if formatted.changes() && !check {
        replace::file(&file.path, &formatted).map_err(|error| {
            CliError::new("fmt::write", exit::FAILED, format!("write {}", file.name))
                .because(error.to_string())
                .help("see to the rights and the space of its folder, or run as its owner; no half of a file was written")
        })?;
    }
    Ok(formatted)
}

fn stop(name: &str, error: FormatError) -> Stop {
    match error {
        FormatError::Invalid(diagnostics) => Stop::Invalid(diagnostics),
        FormatError::Bug(_) => {
            let message = format!("{name} was not written: {error}");
            CliError::new("bug::fmt", exit::BUG, message)
                .help("this is a bug in deployfile: report it with the file; the file is as it was")
                .into()
        }
    }
}

/// `fmt -`: stdin to stdout.
fn filter(check: bool, terminal: Terminal) -> Result<u8, Stop> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(|error| {
        CliError::new("cli::stdin", exit::FAILED, "read stdin").because(error.to_string())
    })?;
    let formatted = format(STDIN.1, bytes).map_err(|error| stop(STDIN.1, error))?;
    if !check && !terminal.is_json() {
        terminal.answer(&formatted.after)?;
        return Ok(exit::DONE);
    }
    let mut entry = Entry::of(STDIN.1.to_owned(), &formatted, true);
    entry.text = (!check).then_some(formatted.after);
    Told { entries: vec![entry], ..Told::default() }.answer(check, terminal)
}

/// What became of one file that could be laid out.
struct Entry {
    file: String,
    /// The layout was not canonical.
    changed: bool,
    /// What changed, if that is asked.
    diff: Option<String>,
    /// The new text, when that is the answer.
    text: Option<String>,
}

impl Entry {
    fn of(file: String, formatted: &Formatted, with_diff: bool) -> Self {
        let changed = formatted.changes();
        let diff = (changed && with_diff).then(|| diff(&file, formatted));
        Self { file, changed, diff, text: None }
    }

    fn json(&self) -> Value {
        let mut entry = json!({ "file": self.file, "changed": self.changed, "diff": self.diff });
        if let Some(text) = &self.text {
            entry["text"] = json!(text);
        }
        entry
    }
}

fn diff(name: &str, formatted: &Formatted) -> String {
    TextDiff::configure()
        .timeout(DIFF_DEADLINE)
        .diff_lines(formatted.before.as_str(), formatted.after.as_str())
        .unified_diff()
        .context_radius(CONTEXT)
        .header(name, &format!("{name} (formatted)"))
        .to_string()
}

/// Everything there is to say.
#[derive(Default)]
struct Told {
    entries: Vec<Entry>,
    /// Imported files that are links to somewhere else.
    left_alone: Vec<String>,
    invalid: Diagnostics,
    errors: Vec<CliError>,
}

impl Told {
    /// Takes in why one file was not laid out.
    fn stop(&mut self, stop: Stop) {
        match stop {
            Stop::Invalid(found) => self.invalid = std::mem::take(&mut self.invalid).and(found),
            Stop::Error(error) => self.errors.push(*error),
            Stop::Errors(errors) => self.errors.extend(errors),
            Stop::Said(_) => {}
        }
    }

    /// Says it, and gives the exit code: a bug first, then a file that is invalid or cannot be written, then a
    /// difference.
    fn answer(self, check: bool, terminal: Terminal) -> Result<u8, Stop> {
        let changed = self.entries.iter().filter(|entry| entry.changed).count();
        let differs = check && changed > 0;
        let bug = self.errors.iter().map(|error| error.exit).find(|code| *code == exit::BUG);
        let invalid = self.invalid.has_errors().then_some(exit::INVALID);
        let failed = (differs || !self.errors.is_empty()).then_some(exit::FAILED);
        let code = bug.or(invalid).or(failed).unwrap_or(exit::DONE);
        if terminal.is_json() {
            terminal.document(&self.document(code))?;
        } else {
            self.say(check, changed, terminal)?;
        }
        Ok(code)
    }

    fn document(&self, code: u8) -> Value {
        let invalid = self.invalid.errors().map(Diagnostic::to_json);
        json!({
            "format": deployfile_record::FORMAT,
            "ok": code == exit::DONE,
            "files": self.entries.iter().map(Entry::json).collect::<Vec<_>>(),
            "left_alone": self.left_alone,
            "errors": invalid.chain(self.errors.iter().map(CliError::json)).collect::<Vec<_>>(),
        })
    }

    fn say(&self, check: bool, changed: usize, terminal: Terminal) -> Result<(), Stop> {
        for entry in self.entries.iter().filter(|entry| entry.changed) {
            match &entry.diff {
                Some(diff) => terminal.answer(diff)?,
                None => terminal.answer(&format!("formatted {}\n", entry.file))?,
            }
        }
        if !self.invalid.is_empty() {
            terminal.say(&self.invalid.render(terminal.talk_tone.color));
        }
        self.errors.iter().for_each(|error| terminal.say(&error.text(terminal.talk_tone)));
        if terminal.verbosity < 0 {
            return Ok(());
        }
        for name in &self.left_alone {
            terminal.say(&format!("left alone: {name} is a link out of the project; name it to format it\n"));
        }
        let of = match self.entries.len() {
            1 => "1 file".to_owned(),
            count => format!("{count} files"),
        };
        if check && changed > 0 {
            let is = if changed == 1 { "is" } else { "are" };
            terminal
                .say(&format!("{changed} of {of} {is} not formatted; deployfile fmt writes the layout\n"));
        } else if changed == 0 && !self.entries.is_empty() {
            terminal.say(&format!("nothing to change in {of}\n"));
        }
        Ok(())
    }
}

/// The folder of a path; `.` for a bare name.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
