//! Runs a program of the release for a hook: own process group, clean environment, bounded output, killed with the
//! deadline, with the call, or with us.
//!
//! It is started through the helper ([`crate::helper`]), which waits until the journal names it, gives up every way
//! to gain privileges or to write elsewhere (Landlock, where the kernel has it), and then becomes the program. A program that leaves its process group is not followed.

mod capture;

use crate::Ids;
use crate::voice::{Said, Voice};
use capture::Capture;
use deployfile_model::RelPath;
use deployfile_record::event::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::ffi::OsString;
use std::fmt;
use std::io::{Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What programs find others by.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long output of a program that ended is waited for, when something that left its group still holds the pipe.
const LINGER: Duration = Duration::from_millis(500);

/// What to run. Not `Debug`: its environment may hold secrets.
pub(crate) struct Spec {
    pub(crate) helper: Arc<[OsString]>,
    pub(crate) program: RelPath,
    /// The release; the program is beneath it and runs in it.
    pub(crate) directory: String,
    pub(crate) args: Vec<String>,
    /// Where it may write, besides temporary files.
    pub(crate) writable: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) stdin: Vec<u8>,
    pub(crate) user: Option<Ids>,
    pub(crate) deadline: Instant,
    /// Takes secrets out of what is told.
    pub(crate) redactor: Voice,
}

/// How it ended, with head and tail of its output.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Captured {
    /// The exit status, or 128 and the signal.
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Not all of the output is there.
    pub(crate) truncated: bool,
}

/// Why there is no end of it to tell.
#[derive(Debug)]
pub(crate) enum ProcessError {
    Start(std::io::Error),
    Timeout,
    /// The run stops, or its journal cannot be written.
    Stopped,
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProcessError::Start(error) => write!(f, "cannot start it: {error}"),
            ProcessError::Timeout => f.write_str("it did not end in time and was killed"),
            ProcessError::Stopped => f.write_str("it was stopped"),
        }
    }
}

/// Runs it to its end. When the answer is no longer awaited, its group is killed.
pub(crate) async fn run(spec: Spec, lines: mpsc::Sender<Said>) -> Result<Captured, ProcessError> {
    let group = Arc::new(Group::default());
    let _guard = KilledOnDrop(Arc::clone(&group));
    let running = tokio::task::spawn_blocking(move || attend(spec, &lines, &group));
    running.await.unwrap_or(Err(ProcessError::Stopped))
}

/// The process group while it may be killed: from its start until its leader is waited for.
#[derive(Default)]
struct Group(Mutex<GroupState>);

#[derive(Default, Clone, Copy)]
enum GroupState {
    #[default]
    NotYet,
    Runs(Pid),
    Over,
}

struct KilledOnDrop(Arc<Group>);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Group {
    /// `false`: it is not wanted any more.
    fn began(&self, pid: Pid) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, GroupState::Over) {
            return false;
        }
        *state = GroupState::Runs(pid);
        true
    }
    /// Kills what is left of it; its leader is not waited for yet, so the number is still its own.
    fn end(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let GroupState::Runs(pid) = *state {
            // It may be gone already, which is what is wanted.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        *state = GroupState::Over;
    }
}

fn attend(spec: Spec, lines: &mpsc::Sender<Said>, group: &Group) -> Result<Captured, ProcessError> {
    let mut child = command(&spec).spawn().map_err(ProcessError::Start)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let attended = match pid {
        Some(pid) if group.began(pid) => watch(&mut child, pid, spec, lines, group),
        _ => {
            // The signal is for this child alone: it is not waited for yet.
            let _ = child.kill();
            Err(ProcessError::Stopped)
        }
    };
    group.end();
    match (attended, child.wait()) {
        (Ok(output), Ok(status)) => {
            let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            let (stdout, stderr) = (output.0.finish(), output.1.finish());
            let truncated = stdout.1 || stderr.1;
            Ok(Captured { status, stdout: stdout.0, stderr: stderr.0, truncated })
        }
        (Err(error), _) => Err(error),
        (Ok(_), Err(error)) => Err(ProcessError::Start(error)),
    }
}

fn command(spec: &Spec) -> Command {
    let mut words = spec.helper.iter();
    let mut command = Command::new(words.next().map_or_else(OsString::new, Clone::clone));
    command
        .args(words)
        .arg(crate::helper::LAUNCH)
        .args(&spec.writable)
        .arg(crate::helper::END_OF_PATHS)
        .arg(format!("{}/{}", spec.directory, spec.program))
        .args(&spec.args)
        .env_clear()
        .env("PATH", PATH)
        .env("LANG", "C.UTF-8")
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&spec.directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(ids) = spec.user {
        command.uid(ids.uid).gid(ids.gid);
    }
    command
}

type Output = (Capture, Capture);

fn watch(
    child: &mut Child,
    pid: Pid,
    spec: Spec,
    lines: &mpsc::Sender<Said>,
    group: &Group,
) -> Result<Output, ProcessError> {
    let ended = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| ProcessError::Start(e.into()))?;
    if !announce(pid, lines) {
        return Err(ProcessError::Stopped);
    }
    let stdout = child.stdout.take().map(|pipe| reader(pipe, Stream::Stdout, &spec.redactor, lines));
    let stderr = child.stderr.take().map(|pipe| reader(pipe, Stream::Stderr, &spec.redactor, lines));
    if let Some(mut pipe) = child.stdin.take() {
        std::thread::spawn(move || {
            // The first byte lets the helper go on. A program need not read its input.
            let _ = pipe.write_all(b"\n").and_then(|()| pipe.write_all(&spec.stdin));
        });
    }
    let in_time = await_end(&ended, spec.deadline).map_err(|e| ProcessError::Start(e.into()))?;
    // Whatever it left in its group ends with it.
    group.end();
    let output = (collected(stdout), collected(stderr));
    if in_time { Ok(output) } else { Err(ProcessError::Timeout) }
}

/// Has the journal name it, and waits for that.
fn announce(pid: Pid, lines: &mpsc::Sender<Said>) -> bool {
    let (answer, answered) = std::sync::mpsc::channel();
    let (Some(start_ticks), Some(boot)) = (start_ticks(pid), boot_id()) else { return false };
    let pid = pid.as_raw_nonzero().get().unsigned_abs();
    lines.blocking_send(Said::Spawned { pid, start_ticks, boot, answer }).is_ok()
        && answered.recv() == Ok(true)
}

/// `false`: it did not end before the deadline.
fn await_end(ended: &std::os::fd::OwnedFd, deadline: Instant) -> Result<bool, rustix::io::Errno> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| rustix::io::Errno::INVAL)?;
        match poll(&mut [PollFd::new(ended, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

struct Reading {
    thread: JoinHandle<()>,
    capture: Arc<Mutex<Capture>>,
}

fn reader(
    mut pipe: impl Read + Send + 'static,
    stream: Stream,
    redactor: &Voice,
    lines: &mpsc::Sender<Said>,
) -> Reading {
    let capture = Arc::new(Mutex::new(Capture::default()));
    let (theirs, redactor, lines) = (Arc::clone(&capture), redactor.clone(), lines.clone());
    let thread = std::thread::spawn(move || {
        let mut teller = capture::Lines::default();
        let mut chunk = [0; 16 << 10];
        while let Ok(read @ 1..) = pipe.read(&mut chunk) {
            theirs.lock().unwrap_or_else(PoisonError::into_inner).push(&chunk[..read]);
            for line in teller.push(&chunk[..read]) {
                // Nobody listens any more: the output is still read, so that the program does not block.
                let _ = lines.blocking_send(Said::Output { stream, line: redactor.redactor().line(&line) });
            }
        }
        if let Some(line) = teller.rest() {
            let _ = lines.blocking_send(Said::Output { stream, line: redactor.redactor().line(&line) });
        }
    });
    Reading { thread, capture }
}

fn collected(reading: Option<Reading>) -> Capture {
    let Some(reading) = reading else { return Capture::default() };
    let until = Instant::now() + LINGER;
    while !reading.thread.is_finished() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::mem::take(&mut *reading.capture.lock().unwrap_or_else(PoisonError::into_inner))
}

/// When it began, in clock ticks since boot: field 22 of `/proc/<pid>/stat` (proc_pid_stat(5)).
fn start_ticks(pid: Pid) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The second field is the name, in parentheses, and may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn boot_id() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}
