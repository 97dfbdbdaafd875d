//! The three hidden verbs as a program of their own, for the tests of this crate.

use deployfile_model::HostPath;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let verb = args.next().unwrap_or_default();
    let root = args.next().and_then(|root| HostPath::new(root).ok());
    match (verb.as_str(), root) {
        ("supervise", Some(root)) => deployfile_supervisor::supervise(&root),
        ("hold-sockets", Some(root)) => deployfile_supervisor::hold_sockets(&root),
        ("run-service", None) => deployfile_supervisor::run_service(),
        _ => ExitCode::from(2),
    }
}
