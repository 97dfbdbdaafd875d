//! Commands of git that write into a mirror and may take long: under the guard, so that none outlives its step.

use super::super::error::{SourceError, Trouble};
use super::command::{Answer, Git, MAX_LINES, command};
use crate::process::{self, End, Guard, Limits, ProcessError, ProcessSpec};
use crate::secret::Redactor;
use deployfile_exec::{Stop, Tell};
use deployfile_model::Name;
use deployfile_record::Failure;
use deployfile_record::event::Stream;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Longer than any URL, so that no line with a password is cut in the middle of it.
const MAX_LINE: usize = 16 << 10;

/// The step that a source is fetched in.
pub struct Fetcher<'a> {
    /// Keeps what writes into a mirror from outliving this process.
    pub guard: Guard,
    /// Who may ask to stop.
    pub stop: &'a Stop,
    /// Hears of processes before they do anything, so that `resume` can end them.
    pub tell: &'a mut dyn Tell,
}

impl Git<'_> {
    /// Runs git under the guard; its words go into the answer only. How it ended is in the answer.
    pub(super) fn write(&self, fetcher: &mut Fetcher<'_>, args: &[&str]) -> Result<Answer, SourceError> {
        let spec = self.spec(fetcher.guard.clone(), args);
        match process::run(&spec, self.stop, &mut Silent(fetcher.tell)) {
            Ok(finished) => {
                let messages = self.lines(finished.tail.join("\n").as_bytes());
                Ok(Answer { is_success: finished.end == End::Exited(0), stdout: Vec::new(), messages })
            }
            Err(ProcessError::NotFound { .. }) => Err(SourceError::GitMissing),
            Err(ProcessError::Interrupted { .. }) => Err(SourceError::Interrupted),
            Err(ProcessError::TimedOut { tail, .. }) => Err(SourceError::Git {
                verb: self.verb,
                url: self.url.shown(),
                trouble: Trouble::Timeout(self.limit.as_secs()),
                output: self.lines(tail.join("\n").as_bytes()),
            }),
            Err(error) => {
                let source = io::Error::other(error);
                Err(SourceError::Io { verb: "run", what: "git".to_owned(), source })
            }
        }
    }

    fn spec(&self, guard: Guard, args: &[&str]) -> ProcessSpec {
        let mut git = command(None, self.url.is_ssh());
        git.args(args);
        let text = |part: &std::ffi::OsStr| part.to_str().map(str::to_owned);
        let mut env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        for (name, value) in git.get_envs() {
            match (text(name), value.and_then(text)) {
                (Some(name), Some(value)) => drop(env.insert(name, value)),
                (Some(name), None) => drop(env.remove(&name)),
                (None, _) => {}
            }
        }
        ProcessSpec {
            argv: std::iter::once("git".to_owned()).chain(git.get_args().filter_map(text)).collect(),
            directory: self.within.map_or_else(|| PathBuf::from("/"), for_others),
            env,
            user: None,
            timeout: self.limit,
            limits: Limits { line: MAX_LINE, tail_lines: MAX_LINES, ..Limits::default() },
            guard,
            redactor: Redactor::default(),
        }
    }
}

/// `/proc/self/…` of this process, for a process that is no child of it.
fn for_others(path: &Path) -> PathBuf {
    match path.strip_prefix("/proc/self") {
        Ok(rest) => Path::new("/proc").join(std::process::id().to_string()).join(rest),
        Err(_) => path.to_owned(),
    }
}

/// Passes on all but git's words, which may name a password before they are cleaned.
struct Silent<'a>(&'a mut dyn Tell);

impl Tell for Silent<'_> {
    fn output(&mut self, _: Stream, _: &str) {}
    fn probe(&mut self, service: &Name, attempt: u32, ok: bool, answer: &str) {
        self.0.probe(service, attempt, ok, answer);
    }
    fn hook(&mut self, plugin: &Name, level: &str, message: &str) {
        self.0.hook(plugin, level, message);
    }
    fn warning(&mut self, message: &str, help: Option<&str>) {
        self.0.warning(message, help);
    }
    fn spawned(&mut self, pid: u32, start_ticks: u64, boot: &str) -> Result<(), Failure> {
        self.0.spawned(pid, start_ticks, boot)
    }
}
