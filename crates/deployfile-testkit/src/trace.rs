//! A tracer: runs a command with all its children, stops every file call that changes something beneath a folder
//! before it is made, and asks what becomes of it.
//!
//! The calls are numbered from 1 in the order in which they were entered. Calls of different threads may be entered in
//! another order in another run, so a number names a boundary of one run and not a line of the program.
//!
//! Only linux on x86_64. Not seen: writes through shared maps, io_uring, 32-bit programs, what others do.

mod call;
mod filter;
mod memory;
mod place;
mod rules;
mod tracee;

use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use call::{Inode, Kind, Mutation};
pub use nix::errno::Errno;

/// What becomes of a call that is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It is made.
    Pass,
    /// It is not made: SIGKILL to the whole tree of processes.
    Kill,
    /// It is not made when the first process makes it: SIGKILL to the process that was started; the others go on.
    KillFirst,
    /// It is not made and fails with this.
    Fail(Errno),
    /// A write takes in this many bytes at most; any other call is made.
    Short(usize),
    /// This signal to the process that was started, then the call is made.
    Signal(Signal),
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// What it returned: a number of bytes, a descriptor, 0, or `-errno`. It is what the program saw, so `-errno` of
    /// [`Act::Fail`] too.
    pub ret: i64,
    /// What `path` (for a link and a rename: `to`) is now; for an open, what was opened. `None` when the call failed.
    pub inode: Option<Inode>,
}

/// Who decides about calls.
pub trait Watch {
    /// Before the call. The thread that makes it is stopped, so what is on disk beneath its path is what it will find,
    /// and [`Mutation::data`] can be read. Other threads and processes may run.
    fn enter(&mut self, call: &Mutation) -> Act;

    /// After it. Not called when the process was killed in between.
    fn done(&mut self, _call: &Mutation, _after: &After) {}
}

impl<F: FnMut(&Mutation) -> Act> Watch for F {
    fn enter(&mut self, call: &Mutation) -> Act {
        self(call)
    }
}

/// What becomes of processes that are left when the first one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// SIGKILL.
    Kill,
    /// They go on, untraced.
    Leave,
}

/// What is traced.
#[derive(Debug, Clone)]
pub struct Trace {
    beneath: Vec<PathBuf>,
    rest: Rest,
    reads: bool,
    in_turn: bool,
    captures: bool,
    limit: Duration,
}

/// How the command ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The exit code of the process that was started; 256 + signal when a signal ended it.
    pub code: i32,
    /// stdout, unless [`Trace::own_output`].
    pub out: String,
    /// stderr, unless [`Trace::own_output`].
    pub err: String,
    /// How many calls were asked about.
    pub calls: usize,
    /// It took longer than the limit and was killed.
    pub hung: bool,
}

impl Trace {
    /// Calls that touch this folder or anything beneath it; it need not be there yet, but its parent.
    pub fn beneath(folder: &Path) -> Self {
        Self {
            beneath: vec![place::real(folder)],
            rest: Rest::Kill,
            reads: false,
            in_turn: false,
            captures: true,
            limit: Duration::from_secs(60),
        }
    }

    /// And those beneath another folder.
    #[must_use]
    pub fn and(mut self, folder: &Path) -> Self {
        self.beneath.push(place::real(folder));
        self
    }

    /// Processes that are left at the end go on, untraced. Otherwise they are killed; then the run is quicker, as only
    /// calls of interest stop it, by a filter that none may outlive and with which no program gains rights (sudo).
    #[must_use]
    pub fn leave_rest(mut self) -> Self {
        self.rest = Rest::Leave;
        self
    }

    /// Opens that change nothing are asked about too, as [`Kind::Open`].
    #[must_use]
    pub fn with_reads(mut self) -> Self {
        self.reads = true;
        self
    }

    /// One call at a time: no other call is let in until one that was let in has ended. A recording is then in the
    /// order in which things happened.
    #[must_use]
    pub fn in_turn(mut self) -> Self {
        self.in_turn = true;
        self
    }

    /// stdin, stdout and stderr are as the command says; otherwise stdout and stderr are collected.
    #[must_use]
    pub fn own_output(mut self) -> Self {
        self.captures = false;
        self
    }

    /// How long the command may take, a minute if not said.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the command to its end. No process of it is left, unless [`Trace::leave_rest`].
    pub fn run(&self, command: Command, watch: &mut (impl Watch + Send)) -> Ended {
        tracee::run(self, command, watch)
    }
}
