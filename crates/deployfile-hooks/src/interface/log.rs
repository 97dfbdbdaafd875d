//! `log`: lines for the operator.

use crate::bindings::deployfile::hook::log::{Host, Level};
use crate::guest::Guest;
use wasmtime::Result;

/// The field by which the SDK's panic hook says that a line is a panic's message.
const PANIC_FIELD: &str = "deployfile.panic";

impl Host for Guest {
    fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> Result<()> {
        if let Some((_, place)) = fields.iter().find(|(key, _)| key == PANIC_FIELD) {
            self.voice.panicked(&format!("{message} at {place}"));
            return Ok(());
        }
        self.voice.log(level_name(level), &with_fields(&message, &fields));
        Ok(())
    }

    fn progress(&mut self, label: String, done: u64, total: Option<u64>) -> Result<()> {
        self.voice.progress(&match total {
            Some(total) => format!("{label} {done}/{total}"),
            None => format!("{label} {done}"),
        });
        Ok(())
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

/// `message key=value …`, as one line.
pub(super) fn with_fields(message: &str, fields: &[(String, String)]) -> String {
    let mut line = message.to_owned();
    for (key, value) in fields {
        line.push_str(&format!(" {key}={value}"));
    }
    line
}
