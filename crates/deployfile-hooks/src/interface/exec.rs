//! `exec`: programs of the release.

use crate::bindings::deployfile::hook::exec::{Host, HostCommand, HostOutput};
use crate::bindings::deployfile::hook::types::{Error, ErrorKind};
use crate::broker::path::Area;
use crate::guest::{Guest, error};
use crate::process::{self, Captured, ProcessError, Spec};
use deployfile_disk::Dir;
use deployfile_model::RelPath;
use std::time::{Duration, Instant};
use wasmtime::component::Resource;

/// Arguments and variables of one program.
const PARTS_MAX: usize = 1_000;
/// Bytes of its input.
const STDIN_MAX: usize = 8 << 20;
/// Variables that would let the caller choose the code that runs, which is the grant's to say.
const STEERING: [&str; 6] = ["PATH", "ENV", "BASH_ENV", "IFS", "GCONV_PATH", "SHELLOPTS"];

/// A program that is being prepared.
#[derive(Default)]
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Command {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    secret_env: Vec<(String, String)>,
    stdin: Vec<u8>,
    timeout_ms: Option<u64>,
    is_too_large: bool,
}

impl Host for Guest {}

impl HostCommand for Guest {
    fn new(&mut self, program: String) -> wasmtime::Result<Resource<Command>> {
        Ok(self.table.push(Command { program, ..Command::default() })?)
    }
    fn arg(&mut self, this: Resource<Command>, value: String) -> wasmtime::Result<()> {
        self.add(&this, |command| command.args.push(value))
    }
    fn env(&mut self, this: Resource<Command>, name: String, value: String) -> wasmtime::Result<()> {
        self.add(&this, |command| command.env.push((name, value)))
    }
    fn env_secret(&mut self, this: Resource<Command>, name: String, secret: String) -> wasmtime::Result<()> {
        self.add(&this, |command| command.secret_env.push((name, secret)))
    }
    fn stdin(&mut self, this: Resource<Command>, bytes: Vec<u8>) -> wasmtime::Result<()> {
        let command = self.table.get_mut(&this)?;
        if command.stdin.len() + bytes.len() > STDIN_MAX {
            command.is_too_large = true;
        } else {
            command.stdin.extend(bytes);
        }
        Ok(())
    }
    fn timeout_ms(&mut self, this: Resource<Command>, value: u64) -> wasmtime::Result<()> {
        self.table.get_mut(&this)?.timeout_ms = Some(value);
        Ok(())
    }

    async fn run(&mut self, this: Resource<Command>) -> wasmtime::Result<Result<Resource<Captured>, Error>> {
        let command = std::mem::take(self.table.get_mut(&this)?);
        let spec = match self.prepare(command) {
            Ok(spec) => spec,
            Err(refused) => return Ok(Err(refused)),
        };
        let program = spec.program.clone();
        match process::run(spec, self.lines.clone()).await {
            Ok(mut captured) => {
                // A program may print the secret that it was given; the plugin must not read it that way.
                captured.stdout = self.voice.redactor().bytes(&captured.stdout);
                captured.stderr = self.voice.redactor().bytes(&captured.stderr);
                Ok(Ok(self.table.push(captured)?))
            }
            Err(failed) => Ok(Err(told(&program, failed))),
        }
    }

    fn drop(&mut self, this: Resource<Command>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl HostOutput for Guest {
    fn status(&mut self, this: Resource<Captured>) -> wasmtime::Result<i32> {
        Ok(self.table.get(&this)?.status)
    }
    fn stdout(&mut self, this: Resource<Captured>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&this)?.stdout.clone())
    }
    fn stderr(&mut self, this: Resource<Captured>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&this)?.stderr.clone())
    }
    fn truncated(&mut self, this: Resource<Captured>) -> wasmtime::Result<bool> {
        Ok(self.table.get(&this)?.truncated)
    }
    fn drop(&mut self, this: Resource<Captured>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl Guest {
    fn add(&mut self, this: &Resource<Command>, add: impl FnOnce(&mut Command)) -> wasmtime::Result<()> {
        let command = self.table.get_mut(this)?;
        if command.args.len() + command.env.len() + command.secret_env.len() >= PARTS_MAX {
            command.is_too_large = true;
        } else {
            add(command);
        }
        Ok(())
    }

    /// The release until it is sealed, what outlives it, and the plugin's own folder; those that exist.
    fn writable(&self) -> Vec<String> {
        let release = (!self.broker.is_sealed()).then_some(Area::Release);
        let areas = release.into_iter().chain([Area::Shared, Area::State]);
        areas.filter_map(|area| Some(self.areas.dir(area).ok()?.path_for_display().to_owned())).collect()
    }

    /// Judges, resolves and fills in.
    fn prepare(&self, command: Command) -> Result<Spec, Error> {
        let (path, granted) = self.broker.exec(&command.program).map_err(|denied| self.denied(denied))?;
        if command.is_too_large {
            let message =
                format!("exec takes at most {PARTS_MAX} arguments and variables, and 8 MiB of input");
            return Err(error(ErrorKind::TooLarge, message));
        }
        let mut env = command.env;
        for (name, secret) in command.secret_env {
            let value = self.broker.secret(&secret, false).map_err(|denied| self.denied(denied))?;
            let value = value.map_err(|message| error(ErrorKind::Unavailable, message))?;
            env.push((name, value.reveal().to_owned()));
        }
        check_env(&env)?;
        if command.args.iter().any(|arg| arg.contains('\0')) {
            return Err(error(ErrorKind::Config, "an argument holds a NUL byte"));
        }
        let Some(helper) = self.helper.clone() else {
            return Err(error(
                ErrorKind::Unavailable,
                "exec is not available: this host has no helper to start programs",
            ));
        };
        let release = self.areas.dir(Area::Release)?;
        check_program(&release, &path)?;
        let asked = command.timeout_ms.map(Duration::from_millis);
        let longest = granted.map(|granted| granted.duration()).into_iter().chain(asked).min();
        let deadline = longest.map_or(self.facts.deadline, |l| self.facts.deadline.min(Instant::now() + l));
        Ok(Spec {
            helper,
            program: path,
            directory: release.path_for_display().to_owned(),
            args: command.args,
            writable: self.writable(),
            env,
            stdin: command.stdin,
            user: self.user,
            deadline,
            redactor: self.voice.clone(),
        })
    }
}

fn check_env(env: &[(String, String)]) -> Result<(), Error> {
    for (name, value) in env {
        let bad = name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
        if bad || name.starts_with("LD_") || STEERING.contains(&name.as_str()) {
            let name = name.escape_debug();
            return Err(error(ErrorKind::Denied, format!("environment variable `{name}` may not be set")));
        }
    }
    Ok(())
}

/// Opens it beneath the release without following a link, and looks at what was opened.
fn check_program(release: &Dir, path: &RelPath) -> Result<(), Error> {
    let file = release.open_read(path).map_err(crate::area::AreaError::from)?;
    let meta =
        file.metadata().map_err(|e| error(ErrorKind::Failed, format!("cannot look at `{path}`: {e}")))?;
    if std::os::unix::fs::MetadataExt::mode(&meta) & 0o111 == 0 {
        return Err(error(ErrorKind::Failed, format!("cannot exec `{path}`: it is not executable")));
    }
    Ok(())
}

fn told(program: &RelPath, failed: ProcessError) -> Error {
    let kind = match failed {
        ProcessError::Timeout => ErrorKind::Timeout,
        ProcessError::Start(_) | ProcessError::Stopped => ErrorKind::Failed,
    };
    error(kind, format!("exec `{program}`: {failed}"))
}
