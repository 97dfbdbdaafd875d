//! What entries fold into.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_model::units::UnixTime;
use deployfile_model::{BuildId, Digest, ReleaseId, RunId};
use deployfile_record::entry::StepList;
use deployfile_record::{Entry, Fact, Failure, Goal, Ledger, ReleaseState, RunResult, StepKey};

fn id(text: &str) -> ReleaseId {
    ReleaseId::new(text).unwrap()
}

/// A journal under construction.
#[derive(Default)]
struct Journal(Vec<Entry>);

impl Journal {
    fn add(&mut self, run: &str, fact: Fact) -> &mut Self {
        let at = UnixTime(self.0.len() as i64);
        self.0.push(Entry { at, run: Some(RunId::new(run).unwrap()), fact });
        self
    }
    fn begin(&mut self, run: &str, goal: Goal, release: &str, from: Option<&str>) -> &mut Self {
        self.add(
            run,
            Fact::Begin {
                goal,
                plan: Digest::of(run.as_bytes()),
                release: Some(id(release)),
                from: from.map(id),
                build_id: Some(BuildId::new(format!("build-{release}")).unwrap()),
                revision: None,
                spec: Digest::of(b""),
                who: "me".into(),
            },
        )
    }
    fn finish(&mut self, run: &str, result: RunResult) -> &mut Self {
        self.add(run, Fact::Finished { result, exit: 0 })
    }
    fn applied(&mut self, run: &str, release: &str, from: Option<&str>) -> &mut Self {
        let step = StepKey { list: StepList::Forward, n: 1 };
        self.begin(run, Goal::Apply, release, from)
            .add(run, Fact::Sealed { step, release: id(release), tree: Digest::of(b"t"), bytes: 7 })
            .add(run, Fact::Committed { step, release: id(release) })
            .finish(run, RunResult::Done)
    }
    fn ledger(&self) -> Ledger {
        Ledger::fold(&self.0)
    }
}

fn state(ledger: &Ledger, release: &str) -> ReleaseState {
    ledger.releases[&id(release)].state
}

#[test]
fn previous_follows_the_order_of_commits_not_of_names() {
    let mut journal = Journal::default();
    journal.applied("1", "z", None).applied("2", "a", Some("z"));
    assert_eq!(journal.ledger().previous(), Some(&id("z")));
}

#[test]
fn a_rollback_makes_what_it_left_bad_and_remembers_its_build() {
    let mut journal = Journal::default();
    journal.applied("1", "r1", None).applied("2", "r2", Some("r1")).applied("3", "r3", Some("r2"));
    let step = StepKey { list: StepList::Forward, n: 1 };
    journal
        .begin("4", Goal::Rollback, "r2", Some("r3"))
        .add("4", Fact::Committed { step, release: id("r2") })
        .finish("4", RunResult::Done);
    let ledger = journal.ledger();
    assert_eq!(state(&ledger, "r3"), ReleaseState::Bad);
    let builds = |ledger: &Ledger| -> Vec<String> {
        ledger.rolled_back_from.iter().map(ToString::to_string).collect()
    };
    assert_eq!(builds(&ledger), ["build-r3"]);
    assert_eq!(ledger.previous(), Some(&id("r1")), "never back to a bad release");
    let later = journal.applied("5", "r4", Some("r2")).ledger();
    assert_eq!(builds(&later), ["build-r3"], "another build says nothing of this one");
    let again = journal
        .begin("6", Goal::Apply, "r3", Some("r4"))
        .add("6", Fact::Committed { step, release: id("r3") });
    assert_eq!(builds(&again.ledger()), Vec::<String>::new(), "committed knowingly, it is like any other");
}

#[test]
fn a_reverted_run_makes_its_release_bad_from_the_moment_it_goes_back() {
    let mut journal = Journal::default();
    journal.applied("1", "r1", None).begin("2", Goal::Apply, "r2", Some("r1"));
    journal.add("2", Fact::Reverting { failure: Failure::new("verify::health", "sick") });
    assert_eq!(state(&journal.ledger(), "r2"), ReleaseState::Bad);
    assert!(journal.ledger().open.is_some());
    let ledger = journal.finish("2", RunResult::Reverted).ledger();
    assert_eq!((ledger.open, ledger.resumable), (None, None));
}

#[test]
fn a_stuck_run_stays_open_until_it_is_resumed_or_left_behind() {
    let mut journal = Journal::default();
    journal.applied("1", "r1", None).begin("2", Goal::Apply, "r2", Some("r1"));
    journal.add("2", Fact::Reverting { failure: Failure::new("verify::health", "sick") });
    let stuck = journal.finish("2", RunResult::Stuck).ledger();
    assert!(stuck.open.as_ref().is_some_and(deployfile_record::ledger::OpenRun::is_stuck));
    assert_eq!(stuck.runs.last().and_then(|run| run.result), Some(RunResult::Stuck));
    let resumed = journal.add("2", Fact::Resumed { who: "me".into() }).ledger();
    assert!(resumed.open.as_ref().is_some_and(|open| !open.is_stuck()));
    assert_eq!(resumed.runs.last().and_then(|run| run.result), None);
    assert_eq!(journal.finish("2", RunResult::Reverted).ledger().open, None);
}

#[test]
fn a_release_is_left_when_another_is_committed_and_not_when_it_comes_back() {
    let mut journal = Journal::default();
    journal.applied("1", "r1", None).applied("2", "r2", Some("r1"));
    assert!(journal.ledger().releases[&id("r1")].left.is_some());
    assert!(journal.ledger().releases[&id("r2")].left.is_none());
    let step = StepKey { list: StepList::Forward, n: 1 };
    journal
        .begin("3", Goal::Rollback, "r1", Some("r2"))
        .add("3", Fact::Committed { step, release: id("r1") });
    assert!(journal.ledger().releases[&id("r1")].left.is_none());
    assert!(journal.ledger().releases[&id("r2")].left.is_some());
}

#[test]
fn a_run_that_failed_before_its_switch_is_resumable_until_another_begins() {
    let mut journal = Journal::default();
    journal.begin("1", Goal::Apply, "r1", None).finish("1", RunResult::Failed);
    assert_eq!(state(&journal.ledger(), "r1"), ReleaseState::Failed);
    assert!(journal.ledger().resumable.is_some());
    journal.add("1", Fact::Resumed { who: "me".into() });
    let reopened = journal.ledger();
    assert!(reopened.open.is_some() && reopened.resumable.is_none());
    assert_eq!(state(&reopened, "r1"), ReleaseState::Unsealed);
    journal.finish("1", RunResult::Failed).begin("2", Goal::Apply, "r2", None);
    assert_eq!(journal.ledger().resumable, None);
}

#[test]
fn a_checkpoint_says_everything_before_it() {
    let mut journal = Journal::default();
    journal.applied("1", "r1", None).begin("2", Goal::Apply, "r2", Some("r1"));
    let whole = journal.ledger();
    let checkpoint = Entry { at: UnixTime(9), run: None, fact: Fact::Checkpoint(Box::new(whole.clone())) };
    assert_eq!(Ledger::fold([&checkpoint]), whole);
    let step = StepKey { list: StepList::Forward, n: 1 };
    let next = Entry { at: UnixTime(10), run: Some(RunId::new("2").unwrap()), fact: Fact::Started { step } };
    journal.0.push(next.clone());
    assert_eq!(Ledger::fold([&checkpoint, &next]), journal.ledger());
}

/// One line of each kind as format 1 writes it. Changing one breaks journals that exist: add, never change.
#[test]
fn entries_are_written_as_promised() {
    let step = StepKey { list: StepList::Forward, n: 3 };
    let cases = [
        (Fact::Started { step }, r#"{"fact":"started","step":{"list":"forward","n":3}}"#),
        (
            Fact::Switching { step, from: Some(id("a")), to: Some(id("b")) },
            r#"{"fact":"switching","step":{"list":"forward","n":3},"from":"a","to":"b"}"#,
        ),
        (
            Fact::Committed { step, release: id("b") },
            r#"{"fact":"committed","step":{"list":"forward","n":3},"release":"b"}"#,
        ),
        (
            Fact::Finished { result: RunResult::Reverted, exit: 6 },
            r#"{"fact":"finished","result":"reverted","exit":6}"#,
        ),
    ];
    for (fact, golden) in cases {
        assert_eq!(serde_json::to_string(&fact).unwrap(), golden);
        assert_eq!(serde_json::from_str::<Fact>(golden).unwrap(), fact);
    }
    assert!(serde_json::from_str::<Fact>(r#"{"fact":"unheard-of"}"#).is_err(), "unknown facts are refused");
}
