//! Ctrl-C, TERM and HUP: once asks to stop at the next safe boundary, twice leaves everything for `resume`.

use deployfile_exec::Stop;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The wish to stop, fed by signals from now on.
pub(crate) fn stop() -> Stop {
    let stop = Stop::new();
    let asked = stop.clone();
    // Without handlers a signal ends the process as it would any other: the journal copes with that too.
    if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        std::thread::spawn(move || signals.forever().for_each(|_| asked.ask()));
    }
    stop
}
