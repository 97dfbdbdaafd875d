//! The gate that every mutating file call passes, so that a test can make any one of them fail, fall short, or be the
//! last thing that the process ever tried.
//!
//! In one process: [`install`] a hook; it sees the calls of this thread and of the pools that this thread starts, so
//! tests beside it are left alone. Across processes, in builds with debug assertions only, the environment variable
//! `DEPLOYFILE_FAULT` holds one or more of these, separated by commas:
//!
//! - `kill:N`: SIGKILL this process instead of its N-th mutating call (counted from 1),
//! - `fail:N:EIO`: fail the N-th mutating call (EIO, ENOSPC, EROFS, EDQUOT, EACCES),
//! - `trace:FILE`: append one line `operation path` for each call.
//!
//! A value that cannot be read fails every mutating call with EINVAL: a fault that was asked for and does not happen
//! would let a test pass. Without a hook the gate costs one atomic load, in release builds nothing else.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use rustix::io::Errno;

#[cfg(debug_assertions)]
mod env;

/// The mutating calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are those of the system calls")]
pub enum Op {
    MakeDir,
    Create,
    Write,
    Truncate,
    Sync,
    SyncData,
    SyncFileSystem,
    Rename,
    Symlink,
    Link,
    Clone,
    Unlink,
    RemoveDir,
    SetMode,
    SetTimes,
}

impl Op {
    /// The word of a trace line.
    pub fn name(self) -> &'static str {
        match self {
            Op::MakeDir => "mkdir",
            Op::Create => "create",
            Op::Write => "write",
            Op::Truncate => "truncate",
            Op::Sync => "fsync",
            Op::SyncData => "fdatasync",
            Op::SyncFileSystem => "syncfs",
            Op::Rename => "rename",
            Op::Symlink => "symlink",
            Op::Link => "link",
            Op::Clone => "clone",
            Op::Unlink => "unlink",
            Op::RemoveDir => "rmdir",
            Op::SetMode => "chmod",
            Op::SetTimes => "utimens",
        }
    }
}

/// A call that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Which.
    pub op: Op,
    /// On what: the handle's path and the path beneath it. A rename names its new place.
    pub path: &'a str,
    /// Bytes of a write.
    pub len: usize,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Pass,
    /// It is not made and fails with this.
    Fail(Errno),
    /// A write takes in this many bytes only; any other call is made.
    Short(usize),
    /// The process is as good as dead: the call unwinds with [`Crashed`], and no later call of this installation is
    /// made, whatever runs while unwinding.
    Crash,
}

/// What a simulated crash unwinds with. See [`catch_crash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crashed;

/// Whether any hook is installed anywhere in this process.
static ARMED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static HOOK: RefCell<Option<Arc<Injector>>> = const { RefCell::new(None) };
}

type Hook = Box<dyn FnMut(&Call<'_>) -> Action + Send>;

struct Injector {
    is_dead: AtomicBool,
    hook: Mutex<Hook>,
}

/// Lets `hook` decide about every mutating call of this thread until the guard is dropped.
///
/// The hook must not make mutating calls through this crate itself.
#[must_use = "the hook is gone when the guard is dropped"]
pub fn install(hook: impl FnMut(&Call<'_>) -> Action + Send + 'static) -> Installed {
    let injector = Injector { is_dead: AtomicBool::new(false), hook: Mutex::new(Box::new(hook)) };
    Handle(Some(Arc::new(injector))).enter()
}

/// Keeps a hook installed on the thread that made it.
pub struct Installed {
    before: Option<Arc<Injector>>,
    /// Hooks belong to their thread.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Drop for Installed {
    fn drop(&mut self) {
        HOOK.with(|hook| *hook.borrow_mut() = self.before.take());
        ARMED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The hook of a thread, to be carried into threads that it starts.
#[derive(Clone)]
pub struct Handle(Option<Arc<Injector>>);

/// The hook of this thread, if any. Pools of this crate carry it by themselves; other threads call [`Handle::enter`].
pub fn handle() -> Handle {
    if ARMED.load(Ordering::Relaxed) == 0 {
        return Handle(None);
    }
    Handle(HOOK.with(|hook| hook.borrow().clone()))
}

impl Handle {
    /// Makes this the hook of the running thread until the guard is dropped.
    pub fn enter(self) -> Installed {
        ARMED.fetch_add(1, Ordering::Relaxed);
        let before = HOOK.with(|hook| hook.replace(self.0));
        Installed { before, _not_send: std::marker::PhantomData }
    }
}

/// Runs `work`; `Err` when a simulated crash ended it. Any other panic goes on.
pub fn catch_crash<T>(work: impl FnOnce() -> T) -> Result<T, Crashed> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload: Box<dyn Any + Send>| {
        payload.downcast_ref::<Crashed>().copied().unwrap_or_else(|| resume_unwind(payload))
    })
}

/// Asks whether a call may be made. For a write, the number of bytes that it may take in.
pub(crate) fn gate(op: Op, path: &dyn fmt::Display, len: usize) -> Result<usize, Errno> {
    #[cfg(debug_assertions)]
    env::gate(op, path)?;
    if ARMED.load(Ordering::Relaxed) == 0 {
        return Ok(len);
    }
    ask_hook(op, path, len)
}

#[cold]
fn ask_hook(op: Op, path: &dyn fmt::Display, len: usize) -> Result<usize, Errno> {
    let Some(injector) = HOOK.with(|hook| hook.borrow().clone()) else { return Ok(len) };
    if injector.is_dead.load(Ordering::SeqCst) {
        return after_death();
    }
    let path = path.to_string();
    let action = {
        let mut hook = injector.hook.lock().unwrap_or_else(PoisonError::into_inner);
        hook(&Call { op, path: &path, len })
    };
    match action {
        Action::Pass => Ok(len),
        Action::Fail(errno) => Err(errno),
        Action::Short(most) => Ok(most.min(len)),
        Action::Crash => {
            injector.is_dead.store(true, Ordering::SeqCst);
            after_death()
        }
    }
}

/// Other threads of the pool unwind too; destructors that run meanwhile are refused instead, as a second panic
/// would abort the test.
fn after_death() -> Result<usize, Errno> {
    if std::thread::panicking() { Err(Errno::IO) } else { resume_unwind(Box::new(Crashed)) }
}
