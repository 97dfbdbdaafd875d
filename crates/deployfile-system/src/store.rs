//! `<root>/.deployfile/`: journal, lock, plans and components by digest, history of runs.

use deployfile_disk::{Dir, DiskError, Lock, LockError, LockNote};
use deployfile_exec::Journal as JournalPort;
use deployfile_journal::{Journal, JournalError};
use deployfile_model::spec::App;
use deployfile_model::units::UnixTime;
use deployfile_model::{Digest, RelPath, RunId};
use deployfile_record::plan::PlanError;
use deployfile_record::{Entry, Fact, Failure, Ledger, Plan};
use std::collections::BTreeSet;
use std::fmt;

/// The largest plan that is read, in bytes.
const PLAN_BYTES: u64 = 256 << 20;
/// The largest component that is read, in bytes (hooks.md).
const COMPONENT_BYTES: u64 = 32 << 20;
/// The largest history of a run that is read, in bytes.
const HISTORY_BYTES: u64 = 64 << 20;
/// The end of a history's name.
const HISTORY_ENDING: &str = ".jsonl";
/// Runs whose events are kept.
const KEPT_HISTORIES: usize = 100;

/// A file that holds room for a plan, a few entries of the journal and a history.
const RESERVE: &str = "reserve";
const RESERVE_BYTES: usize = 512 << 10;
/// No reserve is kept on a file system with less than this free.
const RESERVE_FROM: u64 = 1 << 20;

/// The handle of a root's `.deployfile`.
pub struct Store {
    dir: Dir,
}

/// Why the store cannot be used.
#[derive(Debug)]
pub enum StoreError {
    /// A file call failed.
    Disk(DiskError),
    /// The journal cannot be read or written.
    Journal(JournalError),
    /// A stored plan cannot be read.
    Plan(Digest, PlanError),
    /// A stored plan is not there.
    NoPlan {
        /// Its file.
        path: String,
    },
    /// What is stored under a digest has another one.
    Digest {
        /// What it is.
        what: &'static str,
        /// The digest that names it.
        wanted: Digest,
        /// The digest that it has.
        found: Digest,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Disk(e) => e.fmt(f),
            StoreError::Journal(e) => e.fmt(f),
            StoreError::Plan(digest, _) => write!(f, "read the stored plan {}", digest.short()),
            StoreError::NoPlan { path } => write!(f, "cannot read the stored plan `{path}`: it is not there"),
            StoreError::Digest { what, wanted, found } => {
                write!(f, "the stored {what} {} was changed: its digest is {}", wanted.short(), found.short())
            }
        }
    }
}
impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Disk(e) => e.source(),
            StoreError::Journal(e) => e.source(),
            StoreError::Plan(_, e) => Some(e),
            StoreError::Digest { .. } | StoreError::NoPlan { .. } => None,
        }
    }
}
impl From<DiskError> for StoreError {
    fn from(e: DiskError) -> Self {
        StoreError::Disk(e)
    }
}
impl From<JournalError> for StoreError {
    fn from(e: JournalError) -> Self {
        StoreError::Journal(e)
    }
}
impl StoreError {
    /// The failure that a run ends with.
    pub fn failure(&self) -> Failure {
        let code = match self {
            StoreError::Disk(error) => return crate::disk_failure(error),
            StoreError::Journal(_) => "journal::failed",
            StoreError::Plan(..) | StoreError::Digest { .. } | StoreError::NoPlan { .. } => "store::damaged",
        };
        let failure = Failure::from_error(code, self);
        match self {
            StoreError::Journal(JournalError::Damaged { segment, offset, .. }) => failure.help(mended(segment, *offset)),
            StoreError::Plan(..) | StoreError::NoPlan { .. } | StoreError::Digest { what: "plan", .. } => {
                failure.help("put the file back from a backup, then: deployfile resume; a run that did not switch yet can be left behind: deployfile apply --force")
            }
            _ => failure,
        }
    }
}

/// What mends a journal without a backup. What is cut off is forgotten, so it is a person's to decide.
fn mended(segment: &str, offset: u64) -> String {
    format!(
        "restore the file from a backup; or keep a copy and cut off what cannot be read, which forgets all that was done \
         since: cp -p {segment} {segment}.damaged && truncate --size={offset} {segment}"
    )
}

fn rel(text: &str) -> RelPath {
    RelPath::new(text).unwrap_or_else(|_| unreachable!("`{text}` is a relative path"))
}

/// The folder may be there: a power cut may keep it and lose the journal's, which was made before it.
fn has_no_releases(root: &Dir) -> Result<bool, StoreError> {
    match root.stat(&rel(App::RELEASES))? {
        None => Ok(true),
        Some(_) => Ok(root.open_dir(&rel(App::RELEASES))?.entries()?.is_empty()),
    }
}

impl Store {
    /// Opens the store of a root; `None` when nothing was ever run there.
    pub fn open(root: &Dir) -> Result<Option<Store>, StoreError> {
        if root.stat(&rel(App::STATE))?.is_none() {
            return Ok(None);
        }
        let dir = root.open_dir(&rel(App::STATE))?;
        // The very first run was cut before it had a journal. Where there are releases, a journal is missed.
        let was_cut = dir.stat(&rel("journal"))?.is_none() && has_no_releases(root)?;
        Ok((!was_cut).then_some(Store { dir }))
    }

    /// Opens the store of a root, and makes what is missing of it, durably.
    pub fn create(root: &Dir) -> Result<Store, StoreError> {
        root.create_dir(&rel(App::STATE), 0o700)?;
        let dir = root.open_dir(&rel(App::STATE))?;
        for name in ["journal", "plans", "plugins", "history", "cache", "log"] {
            dir.create_dir(&rel(name), 0o700)?;
        }
        root.create_dir(&rel(App::RELEASES), 0o755)?;
        root.create_dir(&rel(App::SHARED), 0o755)?;
        // Also when all of it is there: whoever made it may have been killed before its sync.
        dir.sync()?;
        root.sync()?;
        Ok(Store { dir })
    }

    /// The handle of `.deployfile`.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Takes the lock of the root, or tells who holds it.
    pub fn lock(&self, note: &LockNote) -> Result<Lock, LockError> {
        Lock::try_acquire(&self.dir, &rel("lock"), note)
    }

    /// Who holds the lock.
    pub fn lock_holder(&self) -> Result<Option<deployfile_disk::lock::Holder>, LockError> {
        Lock::holder(&self.dir, &rel("lock"))
    }

    /// Opens the journal for writing: a torn last record is cut off. Only under the lock.
    pub fn journal(&self) -> Result<RootJournal, StoreError> {
        let (journal, records) = Journal::open(&self.dir.open_dir(&rel("journal"))?)?;
        let ledger = Ledger::fold(records.iter().map(|record| &record.payload));
        Ok(RootJournal { journal, ledger })
    }

    /// What the journal says, read without changing anything.
    pub fn ledger(&self) -> Result<Ledger, StoreError> {
        let read = Journal::<Entry>::read(&self.dir.open_dir(&rel("journal"))?)?;
        Ok(Ledger::fold(read.records.iter().map(|record| &record.payload)))
    }

    /// Stores a plan by the digest of its bytes, durably.
    pub fn put_plan(&self, plan: &Plan) -> Result<Digest, StoreError> {
        let bytes = plan.to_bytes();
        let digest = Digest::of(&bytes);
        let path = rel(&format!("plans/{}.json", digest.hex()));
        self.put(&path, &bytes)?;
        Ok(digest)
    }

    /// Content under its digest never changes; what is there already is synced by whoever relies on it.
    fn put(&self, path: &RelPath, bytes: &[u8]) -> Result<(), StoreError> {
        match self.dir.stat(path)? {
            Some(found) if found.size == bytes.len() as u64 => {
                self.dir.sync_at(path)?;
                self.dir.sync_at(&path.parent().unwrap_or_else(|| path.clone()))?;
            }
            _ => self.dir.replace(path, bytes, 0o600)?,
        }
        Ok(())
    }

    /// A stored plan; its digest is checked.
    pub fn plan(&self, digest: &Digest) -> Result<Plan, StoreError> {
        let path = format!("plans/{}.json", digest.hex());
        let bytes = self.dir.read(&rel(&path), PLAN_BYTES).map_err(|error| match error {
            error if error.is_not_found() => {
                StoreError::NoPlan { path: format!("{}/{path}", self.dir.path_for_display()) }
            }
            error => error.into(),
        })?;
        check("plan", digest, &bytes)?;
        Plan::from_bytes(&bytes).map_err(|e| StoreError::Plan(*digest, e))
    }

    /// Stores a component by the digest of its bytes, durably.
    pub fn put_component(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let path = rel(&format!("plugins/{}.wasm", digest.hex()));
        self.put(&path, bytes)?;
        Ok(digest)
    }

    /// A stored component; its digest is checked.
    pub fn component(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let bytes = self.dir.read(&rel(&format!("plugins/{}.wasm", digest.hex())), COMPONENT_BYTES)?;
        check("component", digest, &bytes)?;
        Ok(bytes)
    }

    /// Appends lines to a run's history; that of a run which goes on is continued. Telemetry: not synced, and an error
    /// of it stops nothing.
    pub fn history_writer(&self, run: &RunId) -> Result<deployfile_disk::AppendFile, StoreError> {
        let path = rel(&format!("history/{run}{HISTORY_ENDING}"));
        match self.dir.create_append(&path, 0o600) {
            Err(error) if error.is_exists() => Ok(self.dir.open_append(&path)?),
            created => Ok(created?),
        }
    }

    /// A run's history as it was told, one event a line.
    pub fn history(&self, run: &RunId) -> Result<String, StoreError> {
        let bytes = self.dir.read(&rel(&format!("history/{run}{HISTORY_ENDING}")), HISTORY_BYTES)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Keeps some room for when there is none left: a file that [`Store::use_reserve`] gives up. Nothing is done where
    /// little is free anyway.
    pub fn keep_reserve(&self) -> Result<(), StoreError> {
        let is_kept = self.dir.stat(&rel(RESERVE))?.is_some();
        if !is_kept && self.dir.space()?.bytes >= RESERVE_FROM {
            self.dir.replace(&rel(RESERVE), &vec![0; RESERVE_BYTES], 0o600)?;
        }
        Ok(())
    }

    /// Gives the reserve up if the file system is full, so that what frees space or goes back can be journaled.
    pub fn use_reserve(&self) -> Result<(), StoreError> {
        if self.dir.space()?.bytes < RESERVE_BYTES as u64 {
            self.dir.remove_file(&rel(RESERVE))?;
        }
        Ok(())
    }

    /// Removes what a process that was killed left half-made or half-removed. Only under the lock. A failure is the
    /// caller's to pass over: it is tried again by the next run.
    pub fn tidy(&self, root: &Dir) -> Result<(), StoreError> {
        root.sweep_incoming()?;
        root.sweep_trash()?;
        self.dir.sweep_incoming()?;
        for name in ["plans", "plugins", "cache"] {
            self.dir.open_dir(&rel(name))?.sweep_incoming()?;
        }
        Ok(())
    }

    /// Removes the histories of all runs but the last [`KEPT_HISTORIES`] of the journal. A failure is the caller's to
    /// pass over: what is left is swept next time.
    pub fn sweep_histories(&self, ledger: &Ledger) -> Result<(), StoreError> {
        let kept: BTreeSet<&str> =
            ledger.runs.iter().rev().take(KEPT_HISTORIES).map(|run| run.run.as_str()).collect();
        for entry in self.dir.list(&rel("history"))? {
            let Some(name) = entry.text() else { continue };
            if name.strip_suffix(HISTORY_ENDING).is_some_and(|run| !kept.contains(run)) {
                self.dir.remove_file(&rel(&format!("history/{name}")))?;
            }
        }
        Ok(())
    }

    /// Removes stored plans and components that no open run and no release names any more. A failure is the caller's
    /// warning: what is left is swept next time.
    pub fn sweep(&self, ledger: &Ledger, components: &[Digest]) -> Result<(), StoreError> {
        let mut plans: Vec<Digest> = ledger.releases.values().map(|facts| facts.plan).collect();
        plans.extend(ledger.open.iter().chain(&ledger.resumable).map(|open| open.plan));
        self.sweep_folder("plans", ".json", &plans)?;
        self.sweep_folder("plugins", ".wasm", components)
    }

    fn sweep_folder(&self, folder: &str, ending: &str, wanted: &[Digest]) -> Result<(), StoreError> {
        let wanted: BTreeSet<String> = wanted.iter().map(Digest::hex).collect();
        for entry in self.dir.list(&rel(folder))? {
            let Some(name) = entry.text() else { continue };
            if name.strip_suffix(ending).is_some_and(|hex| !wanted.contains(hex)) {
                self.dir.remove_file(&rel(&format!("{folder}/{name}")))?;
            }
        }
        Ok(())
    }
}

fn check(what: &'static str, wanted: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
    let found = Digest::of(bytes);
    if found == *wanted { Ok(()) } else { Err(StoreError::Digest { what, wanted: *wanted, found }) }
}

/// The journal of a root with what it folds into, so that a full segment can be closed with a checkpoint.
pub struct RootJournal {
    journal: Journal<Entry>,
    ledger: Ledger,
}

impl RootJournal {
    /// What the journal says.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

impl JournalPort for RootJournal {
    fn append(&mut self, entry: &Entry) -> Result<(), Failure> {
        let failed = |e: JournalError| {
            Failure::from_error("journal::failed", &e)
                .help("free space or mend the file system, then: deployfile resume")
        };
        if self.journal.is_full() {
            let checkpoint = checkpoint(entry.at, &self.ledger);
            self.journal.checkpoint(&checkpoint).map_err(failed)?;
        }
        self.journal.append(entry).map_err(failed)?;
        self.ledger.take(entry);
        Ok(())
    }
}

fn checkpoint(at: UnixTime, ledger: &Ledger) -> Entry {
    Entry { at, run: None, fact: Fact::Checkpoint(Box::new(ledger.clone())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deployfile_model::HostPath;
    use deployfile_record::Goal;
    use deployfile_record::ledger::RunFacts;

    #[test]
    fn histories_of_the_last_runs_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = HostPath::new(folder.path().canonicalize().unwrap().to_str().unwrap()).unwrap();
        let store = Store::create(&Dir::open_root(&path).unwrap()).unwrap();
        let mut ledger = Ledger::default();
        for n in 0..KEPT_HISTORIES + 20 {
            let run = RunId::new(format!("run-{n}")).unwrap();
            store.history_writer(&run).unwrap().append(b"{}\n").unwrap();
            ledger.runs.push(RunFacts {
                run,
                goal: Goal::Apply,
                who: "tester".to_owned(),
                release: None,
                from: None,
                started: UnixTime(0),
                ended: None,
                result: None,
                exit: None,
            });
        }
        store.sweep_histories(&ledger).unwrap();
        let known = |n: usize| store.history(&RunId::new(format!("run-{n}")).unwrap()).is_ok();
        assert_eq!((known(0), known(19), known(20)), (false, false, true));
        assert!(known(KEPT_HISTORIES + 19));
        // A run that goes on writes on.
        let last = RunId::new("run-119").unwrap();
        store.history_writer(&last).unwrap().append(b"more\n").unwrap();
        assert_eq!(store.history(&last).unwrap(), "{}\nmore\n");
    }
}
