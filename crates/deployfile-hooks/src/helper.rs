//! The hidden verb that this crate needs of the program it is part of: a process of its own for what must not happen
//! in ours.
//!
//! `launch PATHS… -- PROGRAM ARGS…` becomes a program of the release that may write beneath these paths, when its
//! first byte of input has come. `compile` reads a
//! component from its input and writes native code to its output, within limits of memory and processor time, because
//! a compilation cannot be interrupted.

use landlock::{ABI, AccessFs, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _};
use rustix::process::{Resource, Rlimit, Signal};
use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// Becomes a program.
pub(crate) const LAUNCH: &str = "launch";
/// Stands between the places where the program may write, and the program.
pub(crate) const END_OF_PATHS: &str = "--";
/// Compiles.
pub(crate) const COMPILE: &str = "compile";

/// Address space of a compilation: CPython's 18 MB component takes about 1 GiB.
const COMPILE_MEMORY: u64 = 8 << 30;
/// Processor seconds of a compilation, of all its threads.
const COMPILE_CPU: u64 = 120;
/// Where any program may write.
const TEMPORARY: [&str; 3] = ["/tmp", "/var/tmp", "/dev"];
/// The exit status of a launch that failed, as shells have it.
const CANNOT_RUN: u8 = 126;

/// Does what `arguments` (those after the verb) say, to its end. The answer is the process's exit code.
pub fn helper_main(arguments: Vec<OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let (verb, rest) = (arguments.next(), arguments.collect::<Vec<_>>());
    let done = match verb.as_deref().and_then(|verb| verb.to_str()) {
        Some(LAUNCH) => launch(rest),
        Some(COMPILE) => compile(),
        _ => Err("this verb is for deployfile itself".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // There is nobody else to tell.
            let _ = writeln!(std::io::stderr(), "{message}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

fn launch(arguments: Vec<OsString>) -> Result<(), String> {
    let told = |what: &str, error: &dyn std::fmt::Display| format!("cannot {what}: {error}");
    let mut parts = arguments.splitn(2, |argument| argument == END_OF_PATHS);
    let (writable, argv) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let [program, args @ ..] = argv else { return Err("nothing to launch".to_owned()) };
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| told("follow the end of deployfile", &error))?;
    rustix::thread::set_no_new_privs(true).map_err(|error| told("give up privileges", &error))?;
    confine(writable).map_err(|error| told("confine it", &error))?;
    // One byte and no more: the rest is the program's input.
    let mut go = [0; 1];
    match rustix::io::retry_on_intr(|| rustix::io::read(rustix::stdio::stdin(), &mut go)) {
        Ok(1) => {}
        Ok(_) => return Err("deployfile ended first".to_owned()),
        Err(error) => return Err(told("read", &error)),
    }
    let error = Command::new(program).args(args).exec();
    Err(format!("cannot run {}: {error}", program.to_string_lossy().escape_debug()))
}

/// From here on files change only beneath these places, and where programs put what is theirs for the moment. Reading
/// stays as it is: an interpreter needs its libraries. A kernel without Landlock leaves all as it is.
fn confine(writable: &[OsString]) -> Result<(), landlock::RulesetError> {
    let writes = AccessFs::from_write(ABI::V3);
    let places = writable.iter().map(OsString::as_os_str).chain(TEMPORARY.map(OsStr::new));
    Ruleset::default()
        .handle_access(writes)?
        .create()?
        .add_rules(landlock::path_beneath_rules(places, writes))?
        .restrict_self()?;
    Ok(())
}

fn compile() -> Result<(), String> {
    for (resource, most) in
        [(Resource::As, COMPILE_MEMORY), (Resource::Cpu, COMPILE_CPU), (Resource::Core, 0)]
    {
        let limit = rustix::process::getrlimit(resource);
        let most = limit.maximum.map_or(most, |maximum| maximum.min(most));
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
            .map_err(|error| format!("cannot limit the compilation: {error}"))?;
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(crate::component::SIZE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read the component: {error}"))?;
    let engine = crate::engine::engine().map_err(|error| format!("cannot make the engine: {error:#}"))?;
    let code = engine.precompile_component(&bytes).map_err(|error| format!("cannot compile: {error:#}"))?;
    std::io::stdout().write_all(&code).map_err(|error| format!("cannot write: {error}"))
}
