//! One file a verb.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod clean;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod fmt;
pub(crate) mod hidden;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod lock;
pub(crate) mod lsp;
pub(crate) mod plan;
pub(crate) mod plugin;
pub(crate) mod release;
pub(crate) mod releases;
pub(crate) mod resume;
pub(crate) mod rollback;
pub(crate) mod schema;
pub(crate) mod service;
pub(crate) mod status;

use crate::error::{CliError, exit};
use std::io::Write;

/// Tells what clap has to say: an error (exit 2), or the help and version that were asked for (exit 0).
pub(crate) fn usage(error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        let is_lost = |e: &std::io::Error| e.kind() != std::io::ErrorKind::BrokenPipe;
        let printed = error.print().and_then(|()| std::io::stdout().flush());
        return match printed {
            Err(e) if is_lost(&e) => {
                let _ = writeln!(
                    std::io::stderr(),
                    "error[cli::stdout]: write the answer to stdout\n  because: {e}"
                );
                exit::FAILED
            }
            _ => exit::DONE,
        };
    }
    let text = error.render().to_string();
    let text = text.trim_start_matches("error: ").trim_end();
    // What was said is read by nobody who could know the format, so the words themselves are looked at.
    let words: Vec<_> = std::env::args_os().collect();
    let is_json = words.windows(2).any(|w| w[0] == "--format" && w[1] == "json")
        || words.iter().any(|word| word == "--format=json");
    let _ = if is_json {
        let (message, help) = text.split_once("\n\n").unwrap_or((text, ""));
        let document = CliError::new("cli::usage", exit::USAGE, message).help(help).json();
        writeln!(std::io::stdout(), "{document}")
    } else {
        writeln!(std::io::stderr(), "error[cli::usage]: {text}")
    };
    exit::USAGE
}
