//! Tells the host what a panic said, before it ends the component.

use crate::log::{Level, log};
use std::panic::PanicHookInfo;

/// The field by which the host knows a panic's message from any other line of the log.
const PANIC_FIELD: &str = "deployfile.panic";

/// Reports panics from now on.
pub(crate) fn panics() {
    std::panic::set_hook(Box::new(report));
}

fn report(info: &PanicHookInfo<'_>) {
    let message =
        info.payload_as_str().map_or_else(|| "panicked".to_owned(), |text| format!("panicked: {text}"));
    let place = info.location().map(|at| format!("{}:{}:{}", at.file(), at.line(), at.column()));
    log(Level::Error, &message, &[(PANIC_FIELD.to_owned(), place.unwrap_or_default())]);
}
