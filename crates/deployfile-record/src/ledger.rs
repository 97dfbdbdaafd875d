//! The ledger: what a journal's entries fold into. Pure; the same entries always give the same ledger.

use crate::entry::{Entry, Fact, RunResult};
use crate::plan::Goal;
use deployfile_model::units::UnixTime;
use deployfile_model::{BuildId, Digest, ReleaseId, RunId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Runs that are remembered one by one; older ones stay in the releases they made.
const REMEMBERED_RUNS: usize = 500;
/// Builds that are remembered as rolled back from.
const REMEMBERED_BUILDS: usize = 100;

/// What a root's journal says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Every release that was begun and not pruned.
    pub releases: BTreeMap<ReleaseId, ReleaseFacts>,
    /// Releases in the order they were committed, oldest first, one entry each time, at most the last 100. The last is the good one.
    pub committed: Vec<ReleaseId>,
    /// Runs, oldest first.
    pub runs: Vec<RunFacts>,
    /// The run that has no end yet, or is stuck on its way back: `resume` goes on with it.
    pub open: Option<OpenRun>,
    /// The last run, when it ended before its switch: `resume` may go on with it where it failed.
    pub resumable: Option<OpenRun>,
    /// The stuck run that another one was begun over: until something is committed, nobody knows what runs.
    pub left_stuck: Option<RunId>,
    /// Builds that a rollback went away from and that were not committed again since, the latest last, at most 100; an
    /// apply of one needs `--force`.
    pub rolled_back_from: Vec<BuildId>,
}

/// What is known of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseFacts {
    /// Where it stands.
    pub state: ReleaseState,
    /// What its running code says it is.
    pub build_id: Option<BuildId>,
    /// Commit id or tree digest of its source.
    pub revision: Option<String>,
    /// Digest of the specification it was made from.
    pub spec: Digest,
    /// Digest of the stored plan that made it.
    pub plan: Digest,
    /// When its run began.
    pub created: UnixTime,
    /// When another release was committed in its place; `None` for the last one, and for what never was current.
    pub left: Option<UnixTime>,
    /// Digest of its tree listing, once sealed.
    pub tree: Option<Digest>,
    /// Bytes of its files, once sealed.
    pub bytes: Option<u64>,
    /// Exempt from retention.
    pub pinned: bool,
    /// Why it failed or is bad.
    pub reason: Option<String>,
    /// Remarks of hooks, `<plugin>.<key>`.
    pub notes: BTreeMap<String, String>,
}

/// Where a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseState {
    /// Being made.
    Unsealed,
    /// Complete, not committed: in a run before its commit, or private.
    Sealed,
    /// Committed.
    Good,
    /// Its run ended before the switch.
    Failed,
    /// Reverted or rolled back from.
    Bad,
}

/// What is known of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFacts {
    /// Its id.
    pub run: RunId,
    /// What was asked.
    pub goal: Goal,
    /// By whom, from where.
    pub who: String,
    /// The release it made or switched to.
    pub release: Option<ReleaseId>,
    /// What was current.
    pub from: Option<ReleaseId>,
    /// When it began.
    pub started: UnixTime,
    /// When it ended.
    pub ended: Option<UnixTime>,
    /// How it ended.
    pub result: Option<RunResult>,
    /// Its exit code.
    pub exit: Option<u8>,
}

/// A run without an end: the facts that an engine replays to go on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRun {
    /// Its id.
    pub run: RunId,
    /// Digest of its stored plan.
    pub plan: Digest,
    /// Every fact since (and without) `Begin`.
    pub facts: Vec<Fact>,
}

impl OpenRun {
    /// Whether its way back failed, so that a human is needed; else whoever drove it was cut off.
    pub fn is_stuck(&self) -> bool {
        matches!(self.facts.last(), Some(Fact::Finished { result: RunResult::Stuck, .. }))
    }

    /// Whether what is served may have changed: from the intent to switch on.
    pub fn may_have_switched(&self) -> bool {
        self.facts.iter().any(|fact| matches!(fact, Fact::Switching { .. } | Fact::Switched { .. }))
    }
}

impl Ledger {
    /// Folds entries, oldest first.
    pub fn fold<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Ledger {
        let mut ledger = Ledger::default();
        entries.into_iter().for_each(|entry| ledger.take(entry));
        ledger
    }

    /// Takes one more entry in.
    pub fn take(&mut self, entry: &Entry) {
        if let (Some(run), Some(open)) = (&entry.run, &mut self.open)
            && open.run == *run
        {
            open.facts.push(entry.fact.clone());
        }
        match &entry.fact {
            Fact::Checkpoint(ledger) => *self = (**ledger).clone(),
            Fact::Begin { .. } => self.begin(entry),
            Fact::Resumed { .. } => self.reopen(entry),
            Fact::Sealed { release, tree, bytes, .. } => self.with(release, |facts| {
                facts.state = ReleaseState::Sealed;
                facts.tree = Some(*tree);
                facts.bytes = Some(*bytes);
            }),
            Fact::Reverting { failure } => self.revert(&failure.to_string()),
            Fact::Committed { release, .. } => self.commit(release, entry.at),
            Fact::Pruned { release, .. } => {
                self.releases.remove(release);
                self.committed.retain(|id| id != release);
            }
            Fact::Note { release, key, value } => self.with(release, |facts| {
                facts.notes.insert(key.clone(), value.clone());
            }),
            Fact::Pinned { release } => self.with(release, |facts| facts.pinned = true),
            Fact::Unpinned { release } => self.with(release, |facts| facts.pinned = false),
            Fact::Finished { result, exit } => self.finish(entry, *result, *exit),
            _ => {}
        }
    }

    /// The good release before the last committed one: where a rollback goes. From the order of commits, never by
    /// name or time; releases that are bad or gone are passed over.
    pub fn previous(&self) -> Option<&ReleaseId> {
        let last = self.committed.last()?;
        self.committed.iter().rev().find(|id| *id != last && self.is_good(id))
    }

    fn build_of(&self, id: &ReleaseId) -> Option<BuildId> {
        self.releases.get(id)?.build_id.clone()
    }

    fn is_good(&self, id: &ReleaseId) -> bool {
        self.releases.get(id).is_some_and(|facts| facts.state == ReleaseState::Good)
    }

    fn with(&mut self, release: &ReleaseId, change: impl FnOnce(&mut ReleaseFacts)) {
        if let Some(facts) = self.releases.get_mut(release) {
            change(facts);
        }
    }

    fn begin(&mut self, entry: &Entry) {
        let (Fact::Begin { goal, plan, release, from, build_id, revision, spec, who }, Some(run)) =
            (&entry.fact, &entry.run)
        else {
            return;
        };
        if let (Goal::Apply, Some(id)) = (goal, release) {
            self.releases.entry(id.clone()).or_insert_with(|| ReleaseFacts {
                state: ReleaseState::Unsealed,
                build_id: build_id.clone(),
                revision: revision.clone(),
                spec: *spec,
                plan: *plan,
                created: entry.at,
                left: None,
                tree: None,
                bytes: None,
                pinned: false,
                reason: None,
                notes: BTreeMap::new(),
            });
        }
        self.abandon();
        self.open = Some(OpenRun { run: run.clone(), plan: *plan, facts: Vec::new() });
        self.resumable = None;
        self.runs.push(RunFacts {
            run: run.clone(),
            goal: *goal,
            who: who.clone(),
            release: release.clone(),
            from: from.clone(),
            started: entry.at,
            ended: None,
            result: None,
            exit: None,
        });
        let excess = self.runs.len().saturating_sub(REMEMBERED_RUNS);
        self.runs.drain(..excess);
    }

    /// Another run begins although one was open: with that one's release nothing will be done any more.
    fn abandon(&mut self) {
        let open = self.open.take();
        if let Some(stuck) = open.as_ref().filter(|open| open.is_stuck()) {
            self.left_stuck = Some(stuck.run.clone());
        }
        if let (Some(_), Some(run)) = (&open, self.runs.last_mut().filter(|run| run.result.is_none())) {
            run.result = Some(RunResult::Interrupted);
        }
        if open.is_some()
            && let Some((Goal::Apply, Some(id))) = self.runs.last().map(|run| (run.goal, run.release.clone()))
        {
            self.with(&id, |facts| {
                if matches!(facts.state, ReleaseState::Unsealed | ReleaseState::Sealed) {
                    facts.state = ReleaseState::Failed;
                }
            });
        }
    }

    /// A run that ended before its switch goes on: its release is in the making again. One that is stuck tries its way
    /// back again.
    fn reopen(&mut self, entry: &Entry) {
        if let Some(run) = self.runs.last_mut().filter(|run| Some(&run.run) == entry.run.as_ref())
            && self.open.is_some()
        {
            (run.ended, run.result, run.exit) = (None, None, None);
            return;
        }
        let Some(mut open) = self.resumable.take_if(|open| Some(&open.run) == entry.run.as_ref()) else {
            return;
        };
        open.facts.push(entry.fact.clone());
        self.open = Some(open);
        let Some(run) = self.runs.last_mut() else { return };
        (run.ended, run.result, run.exit) = (None, None, None);
        if let Some(id) = run.release.clone() {
            self.with(&id, |facts| {
                let sealed = facts.tree.is_some();
                facts.state = if sealed { ReleaseState::Sealed } else { ReleaseState::Unsealed };
            });
        }
    }

    /// The run's release is bad from the moment its way back begins: a crash during it must not promote it.
    fn revert(&mut self, reason: &str) {
        let Some((Goal::Apply, Some(id))) = self.runs.last().map(|run| (run.goal, run.release.clone()))
        else {
            return;
        };
        self.with(&id, |facts| {
            facts.state = ReleaseState::Bad;
            facts.reason = Some(reason.to_owned());
        });
    }

    fn commit(&mut self, release: &ReleaseId, at: UnixTime) {
        let rolled_back =
            self.runs.last().filter(|run| run.goal == Goal::Rollback).and_then(|run| run.from.clone());
        self.left_stuck = None;
        if let Some(last) = self.committed.last().filter(|last| *last != release).cloned() {
            self.with(&last, |facts| facts.left = Some(at));
        }
        if let Some(build) = self.build_of(release) {
            self.rolled_back_from.retain(|bad| *bad != build);
        }
        if let Some(bad) = rolled_back.filter(|bad| bad != release) {
            self.with(&bad, |facts| {
                facts.state = ReleaseState::Bad;
                facts.reason = Some("rolled back from".to_owned());
            });
            let build = self.build_of(&bad).filter(|build| self.build_of(release).as_ref() != Some(build));
            self.rolled_back_from.extend(build);
            let excess = self.rolled_back_from.len().saturating_sub(REMEMBERED_BUILDS);
            self.rolled_back_from.drain(..excess);
        }
        self.with(release, |facts| {
            facts.left = None;
            facts.state = ReleaseState::Good;
            facts.reason = None;
        });
        self.committed.push(release.clone());
        let excess = self.committed.len().saturating_sub(100);
        self.committed.drain(..excess);
    }

    fn finish(&mut self, entry: &Entry, result: RunResult, exit: u8) {
        let open = self.open.take();
        let Some(run) = self.runs.last_mut().filter(|run| Some(&run.run) == entry.run.as_ref()) else {
            return;
        };
        run.ended = Some(entry.at);
        run.result = Some(result);
        run.exit = Some(exit);
        if result == RunResult::Stuck {
            self.open = open;
            return;
        }
        let ended_before_switch =
            matches!(result, RunResult::Failed | RunResult::Refused | RunResult::Interrupted);
        if let (true, Goal::Apply, Some(id)) = (ended_before_switch, run.goal, run.release.clone()) {
            self.resumable = open;
            self.with(&id, |facts| facts.state = ReleaseState::Failed);
        }
    }
}
