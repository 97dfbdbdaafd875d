//! The loop that follows a tree of processes from stop to stop.

use super::call::{Kind, Mutation};
use super::filter;
use super::rules::{Entry, Touch};
use super::{Act, After, Ended, Rest, Trace, Watch, place};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// A process ended by a signal is told so.
const SIGNALLED: i32 = 256;

/// Runs a command on a thread of its own: a tracer is a thread, and so nothing else of this process is waited for.
pub(super) fn run(trace: &Trace, mut command: Command, watch: &mut (impl Watch + Send)) -> Ended {
    if trace.captures {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    thread::scope(|scope| scope.spawn(|| follow(trace, command, watch)).join()).unwrap_or_else(|why| {
        std::panic::resume_unwind(why);
    })
}

#[allow(clippy::zombie_processes, reason = "the loop waits for it")]
fn follow(trace: &Trace, command: Command, watch: &mut impl Watch) -> Ended {
    let mut child = start(command, trace.rest == Rest::Kill);
    let first = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let out = reader(child.stdout.take());
    let err = reader(child.stderr.take());
    let (is_done, wait) = mpsc::channel::<()>();
    let limit = trace.limit;
    // A command that hangs is killed by its number, which is its own until it is waited for.
    let watchdog = thread::spawn(move || {
        let hung = wait.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
        hung && kill(first, Signal::SIGKILL).is_ok()
    });
    let mut tree =
        Tree { trace, watch, first, threads: BTreeMap::new(), calls: 0, code: None, phase: Phase::Run };
    tree.follow();
    drop(is_done);
    Ended {
        code: tree.code.unwrap(),
        calls: tree.calls,
        out: out.join().unwrap(),
        err: err.join().unwrap(),
        hung: watchdog.join().unwrap(),
    }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).unwrap();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Starts it, stopped before its first instruction, and takes it over.
#[allow(unsafe_code, reason = "what runs between fork and exec is unsafe; it is three system calls")]
fn start(mut command: Command, is_filtered: bool) -> Child {
    let mut program = filter::program();
    let before_exec = move || {
        ptrace::traceme()?;
        if is_filtered { filter::set(&mut program) } else { Ok(()) }
    };
    unsafe { command.pre_exec(before_exec) };
    let child = command.spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let stopped = waitpid(pid, None).unwrap();
    assert!(matches!(stopped, WaitStatus::Stopped(_, Signal::SIGTRAP)), "{stopped:?}");
    // Who said TRACEME cannot be interrupted later; who is seized can. It stays stopped in between.
    ptrace::detach(pid, Signal::SIGSTOP).unwrap();
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACESECCOMP
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    child
}

/// What is done with threads that stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Run,
    /// All are killed.
    Kill,
    /// All are let go.
    Leave,
}

#[derive(Default)]
struct Thread {
    is_inside: bool,
    pending: Option<Pending>,
}

/// A call that was asked about and has not ended.
struct Pending {
    call: Mutation,
    /// The registers as the program set them.
    registers: libc::user_regs_struct,
    forced: Option<Errno>,
    is_changed: bool,
}

struct Tree<'a, W> {
    trace: &'a Trace,
    watch: &'a mut W,
    first: Pid,
    threads: BTreeMap<i32, Thread>,
    calls: usize,
    code: Option<i32>,
    phase: Phase,
}

impl<W: Watch> Tree<'_, W> {
    fn follow(&mut self) {
        // Only children of this thread.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let mut only = None;
        loop {
            match waitpid(only, Some(flags)) {
                Err(Errno::ECHILD) if only.is_some() => only = None,
                Err(Errno::ECHILD) => return,
                Err(Errno::EINTR) => {}
                Err(e) => panic!("wait for a traced process: {e}"),
                Ok(status) => only = self.handle(status).filter(|_| self.trace.in_turn),
            }
        }
    }

    /// Gives the thread that must be waited for first, when calls are let in one at a time.
    fn handle(&mut self, status: WaitStatus) -> Option<Pid> {
        let pid = status.pid()?;
        match status {
            WaitStatus::Exited(_, code) => self.gone(pid, code),
            WaitStatus::Signaled(_, signal, _) => self.gone(pid, SIGNALLED + signal as i32),
            _ if self.phase == Phase::Kill => drop(kill(pid, Signal::SIGKILL)),
            WaitStatus::Stopped(_, signal) => self.go_on(pid, Some(signal)),
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_SECCOMP) => return self.call(pid),
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => {
                // Whichever thread called, the one that goes on is still in its call.
                let is_inside = self.trace.rest != Rest::Kill;
                self.threads.insert(pid.as_raw(), Thread { is_inside, pending: None });
                self.go_on(pid, None);
            }
            WaitStatus::PtraceSyscall(_) => return self.call(pid),
            _ => self.go_on(pid, None),
        }
        None
    }

    fn go_on(&mut self, pid: Pid, signal: Option<Signal>) {
        let thread = self.threads.entry(pid.as_raw()).or_default();
        // ESRCH: killed meanwhile; that is told by the next wait.
        let _ = match self.phase {
            Phase::Leave => ptrace::detach(pid, signal),
            // The filter stops it at its next call; of this one, the end is not asked for.
            _ if self.trace.rest == Rest::Kill && thread.pending.is_none() => {
                thread.is_inside = false;
                ptrace::cont(pid, signal)
            }
            _ => ptrace::syscall(pid, signal),
        };
        if self.phase == Phase::Leave {
            self.threads.remove(&pid.as_raw());
        }
    }

    fn gone(&mut self, pid: Pid, code: i32) {
        self.threads.remove(&pid.as_raw());
        if pid != self.first {
            return;
        }
        self.code = Some(code);
        match self.trace.rest {
            _ if self.phase != Phase::Run => {}
            Rest::Kill => self.kill_all(),
            Rest::Leave => {
                self.phase = Phase::Leave;
                for thread in self.threads.keys() {
                    let _ = ptrace::interrupt(Pid::from_raw(*thread));
                }
            }
        }
    }

    fn kill_all(&mut self) {
        self.phase = Phase::Kill;
        for thread in self.threads.keys() {
            let _ = kill(Pid::from_raw(*thread), Signal::SIGKILL);
        }
    }

    fn call(&mut self, pid: Pid) -> Option<Pid> {
        let thread = self.threads.entry(pid.as_raw()).or_default();
        thread.is_inside = !thread.is_inside;
        let waits = if !thread.is_inside {
            if let Some(pending) = thread.pending.take() {
                self.ended(pid, &pending);
            }
            false
        } else if self.phase == Phase::Run {
            self.entered(pid)
        } else {
            false
        };
        if self.phase == Phase::Kill {
            return None;
        }
        self.go_on(pid, None);
        waits.then_some(pid)
    }

    /// Asks about a call; whether it is one that changes something and is let in.
    fn entered(&mut self, pid: Pid) -> bool {
        let Ok(mut registers) = ptrace::getregs(pid) else { return false };
        let args = [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9];
        #[allow(clippy::cast_possible_wrap, reason = "the kernel's register is the number's bits")]
        let entry = Entry { thread: pid.as_raw(), number: registers.orig_rax as i64, args };
        let Some(touch) = entry.touches().filter(|touch| self.is_ours(touch)) else { return false };
        self.calls += 1;
        let call = self.mutation(touch, entry);
        let before = registers;
        let mut forced = None;
        match self.watch.enter(&call) {
            Act::Pass => {}
            Act::Kill => {
                let _ = kill(pid, Signal::SIGKILL);
                self.kill_all();
            }
            Act::KillFirst => drop(kill(self.first, Signal::SIGKILL)),
            Act::Signal(signal) => drop(kill(self.first, signal)),
            Act::Fail(errno) => {
                // No call has this number.
                registers.orig_rax = u64::MAX;
                forced = Some(errno);
            }
            Act::Short(most) => shorten(&call, &mut registers, most as u64),
        }
        let is_changed = registers != before;
        if is_changed {
            let _ = ptrace::setregs(pid, registers);
        }
        let pending = Pending { call, registers: before, forced, is_changed };
        self.threads.entry(pid.as_raw()).or_default().pending = Some(pending);
        true
    }

    fn is_ours(&self, touch: &Touch) -> bool {
        let is_beneath = |path: &Path| self.trace.beneath.iter().any(|folder| path.starts_with(folder));
        (self.trace.reads || touch.kind != Kind::Open)
            && (is_beneath(&touch.place.path) || touch.to.as_deref().is_some_and(is_beneath))
    }

    fn mutation(&self, touch: Touch, entry: Entry) -> Mutation {
        Mutation {
            number: self.calls,
            thread: entry.thread,
            process: process_of(entry.thread),
            first: self.first.as_raw(),
            kind: touch.kind,
            name: touch.name,
            path: touch.place.path,
            to: touch.to,
            target: touch.target,
            fd: touch.place.fd,
            inode: touch.place.inode,
            len: touch.len,
            offset: touch.offset,
            args: entry.args,
            buffers: touch.buffers,
        }
    }

    fn ended(&mut self, pid: Pid, pending: &Pending) {
        let Ok(mut registers) = ptrace::getregs(pid) else { return };
        if pending.is_changed {
            // Nothing but the result may differ from what a call leaves.
            registers.rdx = pending.registers.rdx;
            if let Some(errno) = pending.forced {
                registers.rax = (-i64::from(errno as i32)).cast_unsigned();
            }
            let _ = ptrace::setregs(pid, registers);
        }
        let ret = registers.rax.cast_signed();
        let call = &pending.call;
        let inode = match (call.fd, call.kind) {
            _ if ret < 0 => None,
            (Some(_), _) => call.inode,
            (None, Kind::Open | Kind::Create | Kind::Truncate) if call.name.starts_with("open") => {
                i32::try_from(ret).ok().and_then(|fd| place::open_file(pid.as_raw(), fd)?.inode)
            }
            _ => place::inode_at(call.to.as_ref().unwrap_or(&call.path)),
        };
        self.watch.done(call, &After { ret, inode });
    }
}

/// Fewer bytes; of a `writev`, the first buffer alone.
fn shorten(call: &Mutation, registers: &mut libc::user_regs_struct, most: u64) {
    match call.name {
        "write" | "pwrite64" => registers.rdx = registers.rdx.min(most),
        "writev" | "pwritev" | "pwritev2" => registers.rdx = registers.rdx.min(1),
        _ => {}
    }
}

fn process_of(thread: i32) -> i32 {
    let text = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Tgid:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(thread)
}
