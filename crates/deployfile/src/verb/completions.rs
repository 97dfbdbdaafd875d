//! `completions`: the script by which a shell asks this program what may come next.

use crate::completing;
use crate::error::{CliError, Stop, exit};
use crate::terminal::Terminal;
use clap_complete::Shell;

pub(crate) fn run(shell: Shell, terminal: Terminal) -> Result<u8, Stop> {
    let script = completing::script(&shell.to_string())
        .map_err(|error| CliError::from_error("bug::completions", exit::BUG, &error))?;
    terminal.answer(&String::from_utf8_lossy(&script))?;
    Ok(exit::DONE)
}
