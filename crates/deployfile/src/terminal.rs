//! The two streams of the program. stdout carries the answer, stderr the conversation; a closed or full stream is
//! never a panic (`println!` would be).

use crate::args::{Color, Format, Global};
use crate::error::{Stop, exit};
use deployfile_report::Tone;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

/// How this invocation talks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    pub(crate) format: Format,
    /// Of stdout.
    pub(crate) tone: Tone,
    /// Of stderr.
    pub(crate) talk_tone: Tone,
    /// stderr is a terminal: live progress.
    pub(crate) live: bool,
    /// A person can be asked.
    pub(crate) can_ask: bool,
    /// -1 quiet, 0, 1, 2.
    pub(crate) verbosity: i8,
    /// Every question is answered with yes.
    pub(crate) yes: bool,
}

impl Terminal {
    pub(crate) fn new(global: &Global) -> Self {
        let wanted = |is_terminal: bool| match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        let (out, err, input) =
            (io::stdout().is_terminal(), io::stderr().is_terminal(), io::stdin().is_terminal());
        let verbosity = if global.quiet { -1 } else { i8::try_from(global.verbose.min(2)).unwrap_or(2) };
        Self {
            format: global.format,
            tone: Tone { color: wanted(out) },
            talk_tone: Tone { color: wanted(err) },
            live: err,
            can_ask: err && input,
            verbosity,
            yes: global.yes,
        }
    }

    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// The answer, as text.
    pub(crate) fn answer(self, text: &str) -> Result<(), Stop> {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.or_else(heard_by_nobody)
    }

    /// The answer, as one JSON document.
    pub(crate) fn document(self, value: &Value) -> Result<(), Stop> {
        self.answer(&format!("{value}\n"))
    }

    /// A line of the conversation. Nobody may be listening; that changes nothing.
    pub(crate) fn say(self, text: &str) {
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// Asks for a yes. Without a terminal only `--yes` is one.
    pub(crate) fn agrees(self, question: &str) -> bool {
        if self.yes {
            return true;
        }
        if !self.can_ask {
            return false;
        }
        self.say(&format!("{question} [y/N] "));
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line).is_ok();
        read && matches!(line.trim(), "y" | "Y" | "yes")
    }

    /// Tells why a verb ended, and gives the exit code.
    pub(crate) fn tell(self, stop: &Stop) -> u8 {
        match stop {
            Stop::Said(code) => *code,
            Stop::Error(error) => self.tell_errors(std::slice::from_ref(error)),
            Stop::Errors(errors) => self.tell_errors(errors),
            Stop::Invalid(diagnostics) => {
                if self.is_json() {
                    let mut documents =
                        diagnostics.iter().map(|diagnostic| self.document(&diagnostic.to_json()));
                    if documents.any(|told| told.is_err()) {
                        self.say(&diagnostics.render(self.talk_tone.color));
                    }
                } else {
                    self.say(&diagnostics.render(self.talk_tone.color));
                }
                exit::INVALID
            }
        }
    }

    fn tell_errors(self, errors: &[crate::error::CliError]) -> u8 {
        for error in errors {
            // What nobody can write to stdout is told to people.
            if !self.is_json() || self.document(&error.json()).is_err() {
                self.say(&error.text(self.talk_tone));
            }
        }
        // A file that is invalid is told before what a host is not ready for.
        let codes = || errors.iter().map(|error| error.exit);
        codes().find(|code| *code == exit::INVALID).or_else(|| codes().next()).unwrap_or(exit::BUG)
    }
}

/// A reader that went away (`| head`) is no error; a full disk is.
fn heard_by_nobody(error: io::Error) -> Result<(), Stop> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    let cli = crate::error::CliError::new("cli::stdout", exit::FAILED, "write the answer to stdout");
    Err(cli.because(error.to_string()).into())
}
