//! Verbs that deployfile calls itself with. They are dispatched before the command line is read: a process of a service
//! is started through one of them, and should not wait for clap.

use crate::error::exit;
use deployfile_model::HostPath;
use std::env;
use std::process::ExitCode;

/// The verb of the helper that hooks compile in and run programs through.
pub(crate) const HOOK_HELPER: &str = "hook-helper";

/// Runs a hidden verb, if this process was started as one; gives its exit code.
pub(crate) fn dispatch() -> Option<ExitCode> {
    let mut args = env::args_os().skip(1);
    let verb = args.next()?.into_string().ok()?;
    let rest = || -> Vec<String> { args.map(|arg| arg.to_string_lossy().into_owned()).collect() };
    let code = match verb.as_str() {
        "guard" => ExitCode::from(u8::try_from(deployfile_system::process::guard_main(&rest())).unwrap_or(1)),
        "supervise" => of_root(rest(), deployfile_supervisor::supervise),
        "hold-sockets" => of_root(rest(), deployfile_supervisor::hold_sockets),
        "run-service" => deployfile_supervisor::run_service(),
        HOOK_HELPER => deployfile_hooks::helper_main(env::args_os().skip(2).collect()),
        _ => return None,
    };
    Some(code)
}

/// A verb whose only argument is a root.
fn of_root(args: Vec<String>, run: fn(&HostPath) -> ExitCode) -> ExitCode {
    match args.as_slice() {
        [root] => HostPath::new(root.as_str()).map_or(ExitCode::from(exit::USAGE), |root| run(&root)),
        _ => ExitCode::from(exit::USAGE),
    }
}
