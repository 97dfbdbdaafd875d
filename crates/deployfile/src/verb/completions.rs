//! `completions`: for a shell, from the command line's own definition.

use crate::args::Cli;
use crate::error::{Stop, exit};
use crate::terminal::Terminal;
use clap::CommandFactory;
use clap_complete::{Shell, generate};

pub(crate) fn run(shell: Shell, terminal: Terminal) -> Result<u8, Stop> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "deployfile", &mut script);
    terminal.answer(&String::from_utf8_lossy(&script))?;
    Ok(exit::DONE)
}
