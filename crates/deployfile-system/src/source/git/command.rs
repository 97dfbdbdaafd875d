//! Running git: its environment and limits, and what its failures mean.

use super::super::error::{SourceError, Trouble};
use super::super::url::GitUrl;
use deployfile_exec::port::Stop;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Bytes of an answer of git, for example the listing of a tree.
const MAX_ANSWER: u64 = 1 << 30;
/// Bytes of messages that are kept, the last ones.
const MAX_MESSAGES: usize = 64 * 1024;
/// Lines of messages that are shown.
pub(super) const MAX_LINES: usize = 20;
/// How often a waiting call looks whether someone asked to stop, in milliseconds.
const LOOK_MS: i64 = 100;

/// Settings that hold for every call. No hook and no helper of the repository runs, nothing stays in the background.
const SETTINGS: [&str; 10] = [
    "protocol.ext.allow=never",
    // What is read from this machine was decided with the URL.
    "protocol.file.allow=always",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
];

/// Variables of git that choose identity, transport and trust; every other `GIT_…` could lead it to another repository
/// (a deploy may be started by a git hook, which sets GIT_DIR).
const KEPT: [&str; 12] = [
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_ASKPASS",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_SSL_NO_VERIFY",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];

/// A call of git that answers on its standard output.
pub(crate) struct Git<'a> {
    /// What is tried, as `cannot …` continues; the URL follows.
    pub(crate) verb: &'static str,
    /// The repository that the call is about.
    pub(crate) url: &'a GitUrl,
    /// Its working directory.
    pub(crate) within: Option<&'a Path>,
    /// When it is ended.
    pub(crate) limit: Duration,
    /// Who may ask to stop.
    pub(crate) stop: &'a Stop,
}

/// What git answered.
pub(crate) struct Answer {
    /// It ended with status 0.
    pub(crate) is_success: bool,
    /// Its standard output.
    pub(crate) stdout: Vec<u8>,
    /// The last lines of its standard error, without passwords.
    pub(crate) messages: Vec<String>,
}

impl Git<'_> {
    /// Runs git; any other end than status 0 is an error.
    pub(crate) fn run(&self, args: &[&str]) -> Result<Vec<u8>, SourceError> {
        let answer = self.ask(args)?;
        if answer.is_success { Ok(answer.stdout) } else { Err(self.failed(answer.messages)) }
    }

    /// Runs git; how it ended is in the answer.
    pub(crate) fn ask(&self, args: &[&str]) -> Result<Answer, SourceError> {
        let mut command = command(self.within, self.url.is_ssh());
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut command)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| stdout.map_or(Ok(Vec::new()), read_answer));
            let messages = scope.spawn(|| stderr.map_or(Ok(Vec::new()), read_messages));
            let ended = self.wait(&mut child);
            let (answer, messages) = (answer.join(), messages.join());
            let status = ended?;
            let failed = |source| SourceError::Io { verb: "read from", what: "git".to_owned(), source };
            let lost = || failed(io::Error::other("a reader panicked"));
            let stdout = answer.map_err(|_| lost())?.map_err(failed)?;
            if stdout.len() as u64 > MAX_ANSWER {
                return Err(SourceError::TooLarge { what: format!("{MAX_ANSWER} bytes of names") });
            }
            let messages = self.lines(&messages.map_err(|_| lost())?.map_err(failed)?);
            Ok(Answer { is_success: status.success(), stdout, messages })
        })
    }

    /// The error for these messages.
    pub(crate) fn failed(&self, output: Vec<String>) -> SourceError {
        let trouble = trouble_of(&output.join("\n"));
        SourceError::Git { verb: self.verb, url: self.url.shown(), trouble, output }
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus, SourceError> {
        let failed = |source| SourceError::Io { verb: "wait for", what: "git".to_owned(), source };
        let deadline = Instant::now() + self.limit;
        let pid = pid_of(child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| failed(e.into()))?;
        loop {
            let slice = Timespec { tv_sec: 0, tv_nsec: LOOK_MS * 1_000_000 };
            let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
            let is_over = match poll(&mut fds, Some(&slice)) {
                Ok(ready) => ready > 0,
                Err(rustix::io::Errno::INTR) => false,
                Err(errno) => return Err(failed(errno.into())),
            };
            let error = if is_over {
                return child.wait().map_err(failed);
            } else if self.stop.asked() {
                SourceError::Interrupted
            } else if Instant::now() >= deadline {
                let trouble = Trouble::Timeout(self.limit.as_secs());
                SourceError::Git { verb: self.verb, url: self.url.shown(), trouble, output: Vec::new() }
            } else {
                continue;
            };
            end_group(pid);
            child.wait().map_err(failed)?;
            return Err(error);
        }
    }

    pub(super) fn lines(&self, messages: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(messages);
        let text = text.replace(self.url.as_str(), &self.url.shown());
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let skipped = lines.len().saturating_sub(MAX_LINES);
        lines[skipped..].iter().map(|line| (*line).to_owned()).collect()
    }
}

/// git with its environment and settings, in a process group of its own.
pub(crate) fn command(within: Option<&Path>, is_ssh: bool) -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        let is_git = name.to_str().is_some_and(|name| name.starts_with("GIT_") && !KEPT.contains(&name));
        if is_git {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").process_group(0);
    // Who asks what is in a partial clone does not want it fetched (git 2.45).
    command.env("GIT_NO_LAZY_FETCH", "1");
    if is_ssh && ["GIT_SSH", "GIT_SSH_COMMAND"].iter().all(|name| std::env::var_os(name).is_none()) {
        // As core.sshCommand would, but never asking; see `ssh_command`.
        command.env("GIT_SSH_COMMAND", ssh_command());
    }
    if let Some(within) = within {
        command.current_dir(within);
    }
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command
}

/// `ssh` that fails instead of asking. A `core.sshCommand` of the user's configuration stays as it is, as it need not be
/// OpenSSH.
fn ssh_command() -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt as _;
    let configured = Command::new("git").args(["config", "--get", "core.sshCommand"]).output();
    match configured {
        Ok(output) if output.status.success() && !output.stdout.trim_ascii().is_empty() => {
            std::ffi::OsString::from_vec(output.stdout.trim_ascii().to_vec())
        }
        _ => "ssh -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=15".into(),
    }
}

/// Starts git.
pub(crate) fn spawn(command: &mut Command) -> Result<Child, SourceError> {
    command.spawn().map_err(|source| match source.kind() {
        // A working directory that is gone answers the same; it is opened before.
        io::ErrorKind::NotFound => SourceError::GitMissing,
        _ => SourceError::Io { verb: "start", what: "git".to_owned(), source },
    })
}

pub(crate) fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Ends git and what it started. It may be gone already, which is as good.
pub(crate) fn end_group(pid: Pid) {
    let _gone = kill_process_group(pid, Signal::KILL);
}

fn read_answer(from: impl Read) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    from.take(MAX_ANSWER + 1).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Reads to the end and keeps the last part.
pub(crate) fn read_messages(mut from: impl Read) -> io::Result<Vec<u8>> {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(kept),
            Ok(len) => kept.extend_from_slice(&buffer[..len]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if kept.len() > 2 * MAX_MESSAGES {
            kept.drain(..kept.len() - MAX_MESSAGES);
        }
    }
}

/// What git's messages tell (git 2.30 to 2.51 and OpenSSH 9, `LC_ALL=C`).
fn trouble_of(messages: &str) -> Trouble {
    let says = |texts: &[&str]| texts.iter().any(|text| messages.contains(text));
    if says(&["dubious ownership", "unsafe repository"]) {
        Trouble::Ownership
    } else if says(&[
        "Authentication failed",
        "could not read Username",
        "could not read Password",
        "Permission denied",
        "Host key verification failed",
        "terminal prompts disabled",
        "returned error: 403",
        "returned error: 401",
    ]) {
        Trouble::Auth
    } else if says(&[
        "Could not resolve host",
        "Connection refused",
        "Connection timed out",
        "Connection reset",
        "Network is unreachable",
        "No route to host",
        "Failed to connect",
        "Connection closed",
        "Operation too slow",
    ]) {
        Trouble::Unreachable
    } else if says(&[
        "does not appear to be a git repository",
        "not found",
        "does not exist",
        "not a git repository",
    ]) {
        Trouble::NotFound
    } else {
        Trouble::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_told_from_gits_words() {
        let cases = [
            ("fatal: '/x' does not appear to be a git repository", Trouble::NotFound),
            ("remote: Repository not found.\nfatal: repository 'https://h/x/' not found", Trouble::NotFound),
            ("fatal: could not read Username for 'https://h': terminal prompts disabled", Trouble::Auth),
            (
                "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                Trouble::Auth,
            ),
            ("fatal: unable to access 'https://h/': Could not resolve host: h", Trouble::Unreachable),
            ("fatal: detected dubious ownership in repository at '/x'", Trouble::Ownership),
            ("fatal: bad object", Trouble::Other),
        ];
        for (messages, trouble) in cases {
            assert_eq!(trouble_of(messages), trouble, "{messages}");
        }
    }
}
