//! Looking at every name of a tree.

use super::pool::on_threads;
use crate::call::At;
use crate::dir::{DIRECTORY, Dir, read_entries};
use crate::error::DiskError;
use crate::stat::{Kind, Stat};
use crate::temp;
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Names that one tree may have.
pub const MAX_ENTRIES: usize = 4_000_000;
/// Directories that may be nested.
pub const MAX_DEPTH: usize = 512;

/// One name of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path beneath the directory that was scanned.
    pub path: String,
    /// What it is.
    pub stat: Stat,
    /// Where a symlink leads; `None` for everything else.
    pub target: Option<String>,
}

impl Entry {
    /// A file that a `replace` was writing when a crash cut it short. Nothing refers to it.
    pub fn is_incoming(&self) -> bool {
        self.stat.kind == Kind::File && self.path.rsplit('/').next().is_some_and(temp::is_incoming)
    }
}

/// Everything beneath `dir` but itself, sorted by the bytes of its path, so a directory stands before what is in it.
/// No symlink is followed. A name or target that is not UTF-8 is an error that names it.
pub fn scan(dir: &Dir, threads: usize) -> Result<Vec<Entry>, DiskError> {
    scan_some(dir, threads, &|_, _| true)
}

/// As [`scan`], of those names only that `takes` says yes to, by path and kind. What is in a directory that it says no
/// to is not looked at.
pub fn scan_some(
    dir: &Dir,
    threads: usize,
    takes: &(dyn Fn(&str, Kind) -> bool + Sync),
) -> Result<Vec<Entry>, DiskError> {
    let scan = Scan {
        dir,
        takes,
        state: Mutex::new(State { waiting: vec![Task::top()], ..State::default() }),
        changed: Condvar::new(),
    };
    let mut entries = on_threads(threads.clamp(1, 64), || scan.work());
    if let Some(error) = scan.lock().failed.take() {
        return Err(error);
    }
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// A directory to be listed, opened from its parent when its turn comes: an open handle for each waiting one would
/// not do.
struct Task {
    parent: Option<Arc<OwnedFd>>,
    path: String,
    depth: usize,
}

impl Task {
    fn top() -> Self {
        Self { parent: None, path: String::new(), depth: 0 }
    }
}

#[derive(Default)]
struct State {
    waiting: Vec<Task>,
    busy: usize,
    entries: usize,
    failed: Option<DiskError>,
}

struct Scan<'a> {
    dir: &'a Dir,
    takes: &'a (dyn Fn(&str, Kind) -> bool + Sync),
    state: Mutex<State>,
    changed: Condvar,
}

impl Scan<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        while let Some(task) = self.next() {
            let before = entries.len();
            let listed = self.list(&task, &mut entries);
            self.done(listed, entries.len() - before);
        }
        entries
    }

    /// The next directory, newest first, which keeps few parents open; `None` when all are listed.
    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() {
                return None;
            }
            if let Some(task) = state.waiting.pop() {
                state.busy += 1;
                return Some(task);
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, listed: Result<Vec<Task>, DiskError>, entries: usize) {
        let mut state = self.lock();
        state.busy -= 1;
        state.entries += entries;
        match listed {
            Ok(tasks) => state.waiting.extend(tasks),
            Err(error) => {
                state.failed.get_or_insert(error);
            }
        }
        if state.entries > MAX_ENTRIES {
            let error = DiskError::call("take in all of", &self.dir.path, Errno::TOOBIG);
            state.failed.get_or_insert(error);
        }
        drop(state);
        self.changed.notify_all();
    }

    fn list(&self, task: &Task, entries: &mut Vec<Entry>) -> Result<Vec<Task>, DiskError> {
        let shown = format_args!("{}/{}", self.dir.path, task.path);
        if task.depth > MAX_DEPTH {
            return Err(DiskError::TooDeep { path: shown.to_string(), limit: MAX_DEPTH });
        }
        let fd = self.open(task).map_err(|errno| DiskError::open("open directory", &shown, errno))?;
        let mut names: Vec<(OsString, Kind)> = Vec::new();
        read_entries(fd.as_fd(), |name, kind| names.push((name.to_owned(), kind)))
            .map_err(|errno| DiskError::call("list", &shown, errno))?;
        let fd = Arc::new(fd);
        let mut tasks = Vec::new();
        for (name, kind) in &names {
            let Some(entry) = self.look(task, &fd, name, *kind)? else { continue };
            if entry.stat.kind == Kind::Dir {
                tasks.push(Task {
                    parent: Some(fd.clone()),
                    path: entry.path.clone(),
                    depth: task.depth + 1,
                });
            }
            entries.push(entry);
        }
        Ok(tasks)
    }

    fn open(&self, task: &Task) -> Result<OwnedFd, Errno> {
        let name = task.path.rsplit('/').next().unwrap_or_default();
        match &task.parent {
            Some(parent) => fs::openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()),
            None => fs::openat(&self.dir.fd, ".", DIRECTORY, Mode::empty()),
        }
    }

    fn look(&self, task: &Task, fd: &OwnedFd, name: &OsStr, kind: Kind) -> Result<Option<Entry>, DiskError> {
        let at = At { dir: fd.as_fd(), base: &self.dir.path, within: &task.path, name };
        let not_text = || DiskError::NotText { path: at.to_string() };
        let text = name.to_str().ok_or_else(not_text)?;
        let path = if task.path.is_empty() { text.to_owned() } else { format!("{}/{text}", task.path) };
        if !(self.takes)(&path, kind) {
            return Ok(None);
        }
        let raw = fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| DiskError::call("look at", &at, errno))?;
        let stat = Stat::of(&raw);
        let target = match stat.kind {
            Kind::Symlink => {
                let target = fs::readlinkat(fd, name, Vec::new())
                    .map_err(|errno| DiskError::call("read link", &at, errno))?;
                Some(target.into_string().map_err(|_| not_text())?)
            }
            _ => None,
        };
        Ok(Some(Entry { path, stat, target }))
    }
}
