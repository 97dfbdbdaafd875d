//! Runs one program of a plan: no shell, no stdin, a complete environment, a time limit, bounded output.
//!
//! Every program runs under a **guard**: this binary again, with the hidden verb `guard` ([`guard_main`]). The guard
//! adopts whatever the program forks, and kills all of it when the program ends, when it is told to, or when the
//! executor dies (its end of the control socket closes). So nothing of a step outlives the step.
//!
//! What is deliberately not here: services (they must outlive us: `deployfile-supervisor`), filling in secrets, and
//! deciding whether an exit status is a failure of the step ([`Finished::check`] is there for who wants the usual answer).

mod error;
mod guard;
mod identity;
mod launch;
mod lookup;
mod output;
mod user;
mod watch;
mod wire;

pub use error::{ProcessError, failure};
pub use guard::guard_main;
pub use identity::{boot_id, end_leftover, start_ticks};
pub(crate) use lookup::in_path;
pub use lookup::which;
pub(crate) use output::escape;

use crate::secret::Redactor;
use deployfile_exec::{Stop, Tell};
use deployfile_model::Name;
use deployfile_record::Failure;
use deployfile_record::effect::Call;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Runs a program to its end. What it prints is told line by line; the guard's group is told by [`Tell::spawned`] before
/// the program may do anything.
///
/// An exit status other than 0 is not an error here, see [`Finished::check`]. After `spec.timeout`, or when `stop`
/// asks, the program's group gets TERM, 5 seconds, then everything that is left gets KILL.
pub fn run(spec: &ProcessSpec, stop: &Stop, tell: &mut dyn Tell) -> Result<Finished, ProcessError> {
    let program = lookup::find(&spec.argv, &spec.directory, &spec.env)?;
    let user = spec.user.as_ref().map(user::resolve).transpose()?.flatten();
    watch::run(spec, &program, user, stop, tell)
}

/// Whether this process runs as that user already. A user that does not exist is an error.
pub fn runs_as(user: &Name) -> Result<bool, ProcessError> {
    user::is_ours(user)
}

/// What to run, with everything filled in. Not `Debug`: its environment may hold secrets.
#[derive(Clone)]
pub struct ProcessSpec {
    /// Program and arguments. A program with a `/` is taken relative to `directory`, another is looked up in the
    /// `PATH` of `env`.
    pub argv: Vec<String>,
    /// Working directory, absolute.
    pub directory: PathBuf,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// The user to run as. When deployfile does not run as root it must be the user that it runs as.
    pub user: Option<Name>,
    /// Wall-clock limit.
    pub timeout: Duration,
    /// Limits of what is kept of its output.
    pub limits: Limits,
    /// How the guard is started.
    pub guard: Guard,
    /// Replaces secrets in what it prints.
    pub redactor: Redactor,
}

/// Limits of captured output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a line; the rest of it is cut off and marked.
    pub line: usize,
    /// Bytes that are told in all: half of them as they come, half from the end of the output.
    pub kept: usize,
    /// Lines of [`Finished::tail`].
    pub tail_lines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line: 4 << 10, kept: 1 << 20, tail_lines: 20 }
    }
}

/// How the guard is started: a program that hands the arguments after these to [`guard_main`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The program.
    pub program: PathBuf,
    /// Arguments that make it a guard.
    pub args: Vec<String>,
}

impl Guard {
    /// This very binary, also when its file was replaced meanwhile, with the verb `guard`.
    pub fn this_program() -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), args: vec!["guard".to_owned()] }
    }
}

/// How a program ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Exit status or signal.
    pub end: End,
    /// The last lines that it printed, of both streams.
    pub tail: Vec<String>,
    /// Not all of its output was told.
    pub truncated: bool,
}

/// Exit status or signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It exited with this status.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Exited(status) => write!(f, "exited with status {status}"),
            End::Signaled(signal) => write!(f, "was ended by signal {signal}"),
        }
    }
}

impl Finished {
    /// Exit status 0, or the failure `process::failed` with the last lines printed. `what` names the program.
    pub fn check(self, what: &str) -> Result<Self, Failure> {
        match self.end {
            End::Exited(0) => Ok(self),
            end => Err(Failure::new("process::failed", format!("`{what}` {end}")).output(self.tail)),
        }
    }
}

/// The argument list of a command of the file: a script goes to `/bin/sh -eu` as it was written.
pub fn argv(call: &Call) -> Vec<String> {
    match call {
        Call::Argv(argv) => argv.clone(),
        Call::Script(script) => ["/bin/sh", "-eu", "-c", script].map(str::to_owned).to_vec(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use deployfile_record::event::Stream;

    /// Keeps what it is told.
    #[derive(Default)]
    pub(crate) struct Heard {
        pub(crate) output: Vec<(Stream, String)>,
        pub(crate) probes: Vec<(u32, bool, String)>,
    }

    impl Heard {
        pub(crate) fn lines(&self) -> Vec<String> {
            self.output.iter().map(|(_, line)| line.clone()).collect()
        }
    }

    impl Tell for Heard {
        fn output(&mut self, stream: Stream, line: &str) {
            self.output.push((stream, line.to_owned()));
        }
        fn probe(&mut self, _: &Name, attempt: u32, ok: bool, answer: &str) {
            self.probes.push((attempt, ok, answer.to_owned()));
        }
        fn hook(&mut self, _: &Name, _: &str, _: &str) {}
        fn warning(&mut self, _: &str, _: Option<&str>) {}
        fn spawned(&mut self, _: u32, _: u64, _: &str) -> Result<(), Failure> {
            Ok(())
        }
    }

    #[test]
    fn scripts_go_to_a_shell_and_nothing_else_does() {
        let argv_of = |call| super::argv(&call);
        assert_eq!(argv_of(Call::Argv(vec!["a; b".into()])), ["a; b"]);
        assert_eq!(argv_of(Call::Script("a; b".into())), ["/bin/sh", "-eu", "-c", "a; b"]);
    }

    #[test]
    fn a_failure_carries_the_last_lines() {
        let finished = |end| Finished { end, tail: vec!["last".into()], truncated: false };
        assert!(finished(End::Exited(0)).check("make").is_ok());
        let failure = finished(End::Exited(2)).check("make").unwrap_err();
        assert_eq!(failure.message, "`make` exited with status 2");
        assert_eq!(failure.output, ["last"]);
        let failure = finished(End::Signaled(9)).check("make").unwrap_err();
        assert_eq!(failure.message, "`make` was ended by signal 9");
    }
}
