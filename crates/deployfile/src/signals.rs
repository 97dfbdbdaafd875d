//! Ctrl-C, TERM and HUP. In a run: once asks to stop at the next safe boundary, twice leaves everything for `resume`.
//! Outside of one: the end at once, with the exit code that says so.

use crate::error::exit;
use deployfile_exec::Stop;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

/// The wish of the run that is under way.
static STOP: OnceLock<Stop> = OnceLock::new();

/// Listens, from now on. No signal that a user or a limit sends ends the program by itself then: a parent sees an exit
/// code of the table. Handlers and not ignored signals, as what is ignored is ignored by every child too.
pub(crate) fn listen() {
    // Without handlers a signal ends the process as it would any other: the journal copes with that too.
    if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        let tell = move || signals.forever().for_each(|_| asked());
        let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(tell);
    }
    // A write over the limit on the size of files then fails, as one to a full disk does.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

fn asked() {
    match STOP.get() {
        Some(stop) => stop.ask(),
        None => std::process::exit(exit::INTERRUPTED.into()),
    }
}

/// The wish to stop, fed by signals from now on.
pub(crate) fn stop() -> Stop {
    STOP.get_or_init(Stop::new).clone()
}
