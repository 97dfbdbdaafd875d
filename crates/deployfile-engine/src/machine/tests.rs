use super::*;
use deployfile_model::grant::Limits;
use deployfile_model::{Digest, HostPath, Name, Phase, ReleaseId, Stage};
use deployfile_record::hook::HookCall;
use deployfile_record::plan::{Bound, Why};

fn step(n: u32, stage: Stage, effect: Effect) -> Step {
    Step { n, stage, phase: Phase::Main, what: String::new(), why: Why::Always, effect, skipped: None }
}

fn hook(on_error: OnError) -> Effect {
    Effect::CallHook(HookCall {
        plugin: Name::new("guard").unwrap(),
        component: Digest::of(b""),
        grants: vec![],
        config: "{}".into(),
        limits: Limits::default(),
        on_error,
        once: false,
        stage: Stage::Build,
        phase: Phase::After,
        lookups: Default::default(),
    })
}

fn plan() -> HostPlan {
    let release = Some(ReleaseId::new("r2").unwrap());
    let old = Some(ReleaseId::new("r1").unwrap());
    HostPlan {
        host: Name::new("localhost").unwrap(),
        roles: vec![],
        root: HostPath::new("/srv/x").unwrap(),
        current: Name::new("current").unwrap(),
        user: None,
        bound: Bound { current: old.clone(), last_run: None },
        steps: vec![
            step(1, Stage::Fetch, Effect::EnsureReleaseDir),
            step(2, Stage::Build, hook(OnError::Warn)),
            step(3, Stage::Switch, Effect::EnsureCurrent { release }),
            step(4, Stage::Verify, Effect::ProbeNginx { files: vec![] }),
            step(5, Stage::Commit, Effect::EnsureCommitted),
            step(6, Stage::Prune, Effect::EnsurePruned { release: ReleaseId::new("r0").unwrap() }),
        ],
        unwind: vec![step(1, Stage::Revert, Effect::EnsureCurrent { release: old })],
        failed: vec![step(1, Stage::Failed, hook(OnError::Fail))],
        diffs: vec![],
    }
}

fn key(list: StepList, n: u32) -> StepKey {
    StepKey { list, n }
}
fn done(n: u32) -> Vec<Fact> {
    let step = key(StepList::Forward, n);
    vec![Fact::Started { step }, Fact::Done { step }]
}
fn failed(list: StepList, n: u32, kind: FailureKind) -> Fact {
    Fact::Failed { step: key(list, n), failure: Failure { kind, ..Failure::new("x::y", "no") } }
}
fn forward_to(n: u32) -> Vec<Fact> {
    (1..=n).flat_map(done).collect()
}

#[test]
fn forward_to_the_end() {
    let plan = plan();
    let machine = Machine::replay(&plan, &forward_to(6));
    assert_eq!(machine.next(), Directive::Finish(RunResult::Done));
    assert!(machine.committed());
}

#[test]
fn a_failure_before_the_switch_calls_failed_hooks_and_ends() {
    let plan = plan();
    let mut machine = Machine::replay(&plan, &[failed(StepList::Forward, 1, FailureKind::Refused)]);
    assert_eq!(machine.next(), Directive::Perform(key(StepList::Failed, 1)));
    machine.take(&failed(StepList::Failed, 1, FailureKind::Failed));
    assert_eq!(machine.next(), Directive::Finish(RunResult::Refused));
}

#[test]
fn a_failed_run_resumes_at_the_step_that_failed() {
    let plan = plan();
    let mut facts = done(1);
    facts.push(failed(StepList::Forward, 3, FailureKind::Failed));
    facts.push(Fact::Done { step: key(StepList::Failed, 1) });
    facts.push(Fact::Finished { result: RunResult::Failed, exit: 1 });
    facts.push(Fact::Resumed { who: "me".into() });
    assert_eq!(Machine::replay(&plan, &facts).next(), Directive::Perform(key(StepList::Forward, 3)));
}

#[test]
fn what_a_restart_of_the_machine_took_is_made_anew_but_only_before_the_switch() {
    let plan = plan();
    let restarted = Fact::Restarted { release: deployfile_model::ReleaseId::new("r2").unwrap() };
    let mut facts = forward_to(2);
    assert!(Machine::replay(&plan, &facts).can_begin_anew());
    facts.push(restarted.clone());
    assert_eq!(Machine::replay(&plan, &facts).next(), Directive::Perform(key(StepList::Forward, 1)));
    facts.extend(forward_to(2));
    facts.push(Fact::Switching { step: key(StepList::Forward, 3), from: None, to: None });
    facts.push(restarted);
    let machine = Machine::replay(&plan, &facts);
    assert!(!machine.can_begin_anew());
    assert_eq!(machine.next(), Directive::Perform(key(StepList::Forward, 3)));
}

#[test]
fn from_the_intent_to_switch_on_a_failure_goes_back() {
    let plan = plan();
    let mut facts = forward_to(2);
    let switch = key(StepList::Forward, 3);
    facts.push(Fact::Switching { step: switch, from: None, to: None });
    let mut machine = Machine::replay(&plan, &facts);
    assert!(machine.switch_began());
    assert_eq!(machine.next(), Directive::Perform(switch), "a crash here performs the switch again");
    machine.take(&Fact::Switched { step: switch, to: None });
    machine.take(&failed(StepList::Forward, 4, FailureKind::Failed));
    let Directive::BeginUnwind(cause) = machine.next() else { panic!() };
    machine.take(&Fact::Reverting { failure: cause });
    assert_eq!(machine.next(), Directive::Perform(key(StepList::Unwind, 1)));
    machine.take(&Fact::Switched { step: key(StepList::Unwind, 1), to: None });
    assert_eq!(machine.next(), Directive::Perform(key(StepList::Failed, 1)));
    machine.take(&Fact::Done { step: key(StepList::Failed, 1) });
    assert_eq!(machine.next(), Directive::Finish(RunResult::Reverted));
}

#[test]
fn a_failure_of_the_way_back_is_stuck() {
    let plan = plan();
    let mut machine = Machine::replay(&plan, &forward_to(3));
    machine.take(&Fact::Reverting { failure: Failure::new("x::y", "no") });
    machine.take(&failed(StepList::Unwind, 1, FailureKind::Failed));
    assert_eq!(machine.next(), Directive::Finish(RunResult::Stuck));
    machine.take(&Fact::Finished { result: RunResult::Stuck, exit: 7 });
    assert_eq!(machine.next(), Directive::Finish(RunResult::Stuck));
    machine.take(&Fact::Resumed { who: "me".into() });
    assert_eq!(
        machine.next(),
        Directive::Perform(key(StepList::Unwind, 1)),
        "resume tries the way back again"
    );
}

#[test]
fn after_commit_a_failure_is_a_warning() {
    let plan = plan();
    let mut machine = Machine::replay(&plan, &forward_to(5));
    machine.take(&failed(StepList::Forward, 6, FailureKind::Failed));
    assert_eq!(machine.next(), Directive::Finish(RunResult::Done));
}

#[test]
fn a_release_that_cannot_be_removed_is_a_warning_in_a_clean_too() {
    let mut plan = plan();
    plan.steps.retain(|step| step.stage == Stage::Prune);
    let machine = Machine::replay(&plan, &[failed(StepList::Forward, 6, FailureKind::Failed)]);
    assert_eq!(machine.next(), Directive::Finish(RunResult::Done));
}

#[test]
fn on_error_warn_covers_errors_but_not_a_veto() {
    let plan = plan();
    let mut machine = Machine::replay(&plan, &done(1));
    machine.take(&failed(StepList::Forward, 2, FailureKind::Failed));
    assert_eq!(machine.next(), Directive::Perform(key(StepList::Forward, 3)));
    let mut machine = Machine::replay(&plan, &done(1));
    machine.take(&failed(StepList::Forward, 2, FailureKind::Veto));
    assert_eq!(machine.next(), Directive::Perform(key(StepList::Failed, 1)));
}

#[test]
fn replay_from_any_prefix_asks_for_what_is_not_done() {
    let plan = plan();
    let facts = forward_to(6);
    for cut in 0..facts.len() {
        let machine = Machine::replay(&plan, &facts[..cut]);
        let expected = key(StepList::Forward, u32::try_from(cut / 2).unwrap() + 1);
        assert_eq!(machine.next(), Directive::Perform(expected), "after {cut} facts");
    }
}
