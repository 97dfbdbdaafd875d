//! The command line: reads it, calls a verb, tells how it ended, exits with the documented code.
//!
//! What is here: arguments, error kinds, hints, exit codes; a thin file a verb in `verb/`. What is deliberately not
//! here: anything that a program other than this one could want. That is in the crates beneath.

mod args;
mod completing;
mod error;
mod host;
mod limits;
mod lsp;
mod observing;
mod preview;
mod project;
mod running;
mod secrets;
mod signals;
mod terminal;
mod trust;
mod verb;

use args::{Cli, Format, Verb};
use clap::Parser;
use error::{CliError, Stop, exit};
use std::process::ExitCode;
use terminal::Terminal;

fn main() -> ExitCode {
    if let Some(code) = verb::hidden::dispatch() {
        return code;
    }
    completing::answer_a_shell();
    tell_panics();
    signals::listen();
    let result = std::panic::catch_unwind(|| {
        let cli = Cli::try_parse().map_err(|e| Stop::Said(verb::usage(&e)));
        match cli {
            Ok(cli) => {
                let terminal = Terminal::new(&cli.global);
                verb(&cli, terminal).unwrap_or_else(|stop| terminal.tell(&stop))
            }
            Err(Stop::Said(code)) => code,
            Err(_) => exit::BUG,
        }
    });
    ExitCode::from(result.unwrap_or(exit::BUG))
}

fn verb(cli: &Cli, terminal: Terminal) -> Result<u8, Stop> {
    let global = &cli.global;
    if global.format == Format::Md && !matches!(cli.verb, Verb::Schema) {
        let error = CliError::new("cli::usage", exit::USAGE, "`--format md` is for `schema`");
        return Err(error.help("others take `human` or `json`").into());
    }
    match &cli.verb {
        Verb::Init(args) => verb::init::run(args, terminal),
        Verb::Check(args) => verb::check::run(args, global, terminal),
        Verb::Explain(args) => verb::explain::run(args, global, terminal),
        Verb::Fmt(args) => verb::fmt::run(args, global, terminal),
        Verb::Plan(args) => verb::plan::run(args, global, terminal),
        Verb::Apply(args) => verb::apply::run(args, global, terminal),
        Verb::Resume(args) => verb::resume::run(args, global, terminal),
        Verb::Rollback(args) => verb::rollback::run(args, global, terminal),
        Verb::Status(args) => verb::status::run(args, global, terminal),
        Verb::Releases(args) => verb::releases::run(args, global, terminal),
        Verb::Release(what) => verb::release::run(what, global, terminal),
        Verb::History(args) => verb::history::run(args, global, terminal),
        Verb::Clean(args) => verb::clean::run(args, global, terminal),
        Verb::Service(what) => verb::service::run(what, global, terminal),
        Verb::Lock(what) => verb::lock::run(what, global, terminal),
        Verb::Plugin(what) => verb::plugin::run(what, global, terminal),
        Verb::Doctor(args) => verb::doctor::run(args, global, terminal),
        Verb::Schema => verb::schema::run(terminal),
        Verb::Lsp { .. } => verb::lsp::run(global),
        Verb::Completions { shell } => verb::completions::run(*shell, terminal),
    }
}

/// A panic is a bug of ours: told as one, never as a backtrace over what the user was reading.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
        let what = panic.payload_as_str().unwrap_or("a panic");
        let text = format!(
            "error[bug::panic]: {what}{at}\n  help: this is a bug in deployfile; deployfile status says what is served, \
             deployfile resume goes on\n"
        );
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
    }));
}
