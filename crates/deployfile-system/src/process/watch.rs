//! The executor's side of a guarded program: hears the guard, reads the output, keeps the time.

use super::identity::{boot_id, end_leftover};
use super::output::Output;
use super::user::Ids;
use super::wire::{GO, KILL, Launch, TERM, Word, Words, send_launch};
use super::{End, Finished, ProcessError, ProcessSpec};
use deployfile_exec::{Stop, Tell};
use deployfile_record::event::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long the guard may take to start, and to answer a KILL.
const GUARD_ANSWERS: Duration = Duration::from_secs(15);
/// How long output is read after the end; only a process that could not be killed still holds it open then.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How often `stop` is looked at, in milliseconds.
const TICK_MS: u64 = 50;

pub(super) fn run(
    spec: &ProcessSpec,
    program: &Path,
    user: Option<Ids>,
    stop: &Stop,
    tell: &mut dyn Tell,
) -> Result<Finished, ProcessError> {
    let shown = spec.argv.first().cloned().unwrap_or_default();
    let mut watch = Watch::start(spec, program, user)
        .map_err(|source| ProcessError::Start { what: format!("start the guard of `{shown}`"), source })?;
    let mut output = Output::new(spec.limits, &spec.redactor);
    let verdict = watch.until_end(stop, &mut output, tell);
    watch.close(&mut output, tell);
    let (tail, truncated) = output.finish(tell);
    match verdict {
        Verdict::Ended(end) => Ok(Finished { end, tail, truncated }),
        Verdict::Failed(what, source) => Err(ProcessError::Start { what, source }),
        Verdict::Cut(Cut::Time) => Err(ProcessError::TimedOut { program: shown, after: spec.timeout, tail }),
        Verdict::Cut(Cut::Stop) => Err(ProcessError::Interrupted { program: shown, tail }),
        Verdict::Cut(Cut::Unrecorded(failure)) => Err(ProcessError::Unrecorded(*failure)),
        Verdict::GuardLost if stop.asked() => Err(ProcessError::Interrupted { program: shown, tail }),
        Verdict::GuardLost => Err(ProcessError::GuardLost { program: shown }),
    }
}

enum Verdict {
    Ended(End),
    Failed(String, io::Error),
    Cut(Cut),
    GuardLost,
}

/// Why a program does not run to its own end.
enum Cut {
    Time,
    Stop,
    Unrecorded(Box<deployfile_record::Failure>),
}

struct Watch {
    guard: Child,
    control: UnixStream,
    words: Words,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// The program's process: pid, start time, boot.
    program: Option<(u32, u64, String)>,
    started: Instant,
    deadline: Instant,
    cut: Option<Cut>,
    killed: bool,
}

impl Watch {
    fn start(spec: &ProcessSpec, program: &Path, user: Option<Ids>) -> io::Result<Self> {
        let (control, theirs) = UnixStream::pair()?;
        let mut guard = Command::new(&spec.guard.program)
            .args(&spec.guard.args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (stdout, stderr) = (guard.stdout.take(), guard.stderr.take());
        let started = Instant::now();
        let watch = Self {
            guard,
            control,
            words: Words::default(),
            stdout,
            stderr,
            program: None,
            started,
            deadline: started + spec.timeout,
            cut: None,
            killed: false,
        };
        let mut launcher_args = spec.guard.args.clone();
        launcher_args.push("launch".to_owned());
        watch.control.set_write_timeout(Some(GUARD_ANSWERS))?;
        send_launch(
            &watch.control,
            &Launch {
                launcher: (spec.guard.program.clone(), launcher_args),
                program: program.to_owned(),
                argv: spec.argv.clone(),
                directory: spec.directory.clone(),
                env: spec.env.clone(),
                user,
            },
        )?;
        Ok(watch)
    }

    fn until_end(&mut self, stop: &Stop, output: &mut Output<'_>, tell: &mut dyn Tell) -> Verdict {
        loop {
            let told = self.wait_for_something();
            self.read_output(output, tell);
            if told {
                match self.hear(tell) {
                    Ok(None) => {}
                    Ok(Some(verdict)) => return self.settle(verdict),
                    Err(_) => return Verdict::GuardLost,
                }
            }
            if let Some(verdict) = self.keep_time(stop) {
                return verdict;
            }
        }
    }

    /// A program that was cut short did not end by itself, whatever its status.
    fn settle(&mut self, verdict: Verdict) -> Verdict {
        match (verdict, self.cut.take()) {
            (Verdict::Ended(_), Some(cut)) => Verdict::Cut(cut),
            (verdict, _) => verdict,
        }
    }

    /// Waits up to a tick for output or the guard; whether the guard has something to say.
    fn wait_for_something(&self) -> bool {
        let mut fds = vec![PollFd::new(&self.control, PollFlags::IN)];
        fds.extend(self.stdout.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        fds.extend(self.stderr.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        let tick = Timespec { tv_sec: 0, tv_nsec: (TICK_MS * 1_000_000) as i64 };
        poll(&mut fds, Some(&tick)).is_ok_and(|n| n > 0) && !fds[0].revents().is_empty()
    }

    fn read_output(&mut self, output: &mut Output<'_>, tell: &mut dyn Tell) -> bool {
        let out = read_ready(&mut self.stdout, Stream::Stdout, output, tell);
        let err = read_ready(&mut self.stderr, Stream::Stderr, output, tell);
        out || err
    }

    fn hear(&mut self, tell: &mut dyn Tell) -> io::Result<Option<Verdict>> {
        if !self.words.fill(&self.control)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while let Some(word) = self.words.next()? {
            match word {
                Word::Spawned { pid, start_ticks } => self.let_go(pid, start_ticks, tell)?,
                Word::Failed { what, errno } => {
                    return Ok(Some(Verdict::Failed(what, io::Error::from_raw_os_error(errno))));
                }
                Word::Exited { status, left } => return Ok(Some(ended(End::Exited(status), left, tell))),
                Word::Signaled { signal, left } => return Ok(Some(ended(End::Signaled(signal), left, tell))),
            }
        }
        Ok(None)
    }

    /// The program's process is there: journals it, then lets it run.
    fn let_go(&mut self, pid: u32, start_ticks: u64, tell: &mut dyn Tell) -> io::Result<()> {
        let boot = boot_id()?;
        let recorded = tell.spawned(pid, start_ticks, &boot);
        self.program = Some((pid, start_ticks, boot));
        match recorded {
            Ok(()) => self.control.write_all(&[GO]),
            Err(failure) => {
                self.cut = Some(Cut::Unrecorded(Box::new(failure)));
                self.kill();
                Ok(())
            }
        }
    }

    fn keep_time(&mut self, stop: &Stop) -> Option<Verdict> {
        let late = Instant::now() >= self.deadline;
        if stop.asked_twice() && !self.killed {
            self.cut.get_or_insert(Cut::Stop);
            self.kill();
        } else if self.cut.is_none() && (late || stop.asked()) {
            self.cut = Some(if late { Cut::Time } else { Cut::Stop });
            // A guard that is gone is heard of by its closed socket.
            let _ = self.control.write_all(&[TERM]);
            self.deadline = Instant::now() + GRACE;
        } else if late && !self.killed {
            self.kill();
        } else if late {
            return Some(self.cut.take().map_or(Verdict::GuardLost, Verdict::Cut));
        } else if self.program.is_none() && self.started.elapsed() > GUARD_ANSWERS {
            return Some(Verdict::GuardLost);
        }
        None
    }

    fn kill(&mut self) {
        // A guard that is gone is heard of by its closed socket.
        let _ = self.control.write_all(&[KILL]);
        self.killed = true;
        self.deadline = Instant::now() + GUARD_ANSWERS;
    }

    /// Reads what is left of the output and sees the guard off, and the program if the guard did not.
    fn close(&mut self, output: &mut Output<'_>, tell: &mut dyn Tell) {
        let patience = Instant::now() + LAST_WORDS;
        while (self.stdout.is_some() || self.stderr.is_some()) && Instant::now() < patience {
            if !self.read_output(output, tell) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let gone = Instant::now() + LAST_WORDS;
        while matches!(self.guard.try_wait(), Ok(None)) {
            if Instant::now() > gone {
                // It may have ended in between.
                let _ = self.guard.kill();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if let Some((pid, start_ticks, boot)) = &self.program
            && let Err(error) = end_leftover(*pid, *start_ticks, boot)
        {
            tell.warning(&format!("cannot end process {pid} of the step: {error}"), None);
        }
    }
}

fn ended(end: End, left: u32, tell: &mut dyn Tell) -> Verdict {
    if left > 0 {
        let help = Some("they belong to another user, or hang in the kernel; end them by hand");
        tell.warning(&format!("{left} processes that the program left behind could not be ended"), help);
    }
    Verdict::Ended(end)
}

/// Reads once from a stream that has something; closes it at its end. Whether anything was read.
fn read_ready<R: Read + std::os::fd::AsFd>(
    from: &mut Option<R>,
    stream: Stream,
    output: &mut Output<'_>,
    tell: &mut dyn Tell,
) -> bool {
    let Some(pipe) = from else { return false };
    let mut ready = [PollFd::new(pipe, PollFlags::IN)];
    match poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) | Err(Errno::INTR) => return false,
        Ok(_) => {}
        Err(_) => {
            *from = None;
            return false;
        }
    }
    let mut chunk = [0; 64 << 10];
    match pipe.read(&mut chunk) {
        Ok(n) if n > 0 => {
            output.take(stream, &chunk[..n], tell);
            true
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
        _ => {
            *from = None;
            false
        }
    }
}
