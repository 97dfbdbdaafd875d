//! `schema`: the settings reference, from the table that also validates.

use crate::error::{Stop, exit};
use crate::terminal::Terminal;

pub(crate) fn run(terminal: Terminal) -> Result<u8, Stop> {
    let schema = deployfile_config::schema();
    if terminal.is_json() {
        terminal.document(&schema.to_json())?;
    } else {
        terminal.answer(&schema.to_markdown())?;
    }
    Ok(exit::DONE)
}
