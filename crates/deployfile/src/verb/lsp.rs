//! `lsp`: a language server on stdin and stdout, for editors.

use crate::args::Global;
use crate::error::{CliError, Stop, exit};
use crate::lsp;
use std::path;

pub(crate) fn run(global: &Global) -> Result<u8, Stop> {
    let absolute =
        |file| path::absolute(file).map_err(|e| CliError::from_error("cli::folder", exit::FAILED, &e));
    let main = global.file.as_ref().map(absolute).transpose()?;
    let served = lsp::serve(main).map_err(|e| {
        CliError::from_error("lsp::start", exit::FAILED, &e)
            .help("the machine has no thread to spare: try again")
    })?;
    Ok(if served { exit::DONE } else { exit::FAILED })
}
