//! One run that is cut off, what is done about it, and what must hold of the host afterwards.

use super::examples::Example;
use deployfile_model::{Digest, ReleaseId};
use deployfile_record::entry::StepList;
use deployfile_record::{Goal, Plan, ReleaseState};
use deployfile_testkit::world::{
    Before, Disk, Done, Fault, Injection, Passed, Secrets, World, begin, resume,
};
use std::fmt;
use std::rc::Rc;

/// What a person does after a run was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    Resume,
    Rollback,
    ResumeThenRollback,
}

impl Recovery {
    pub(super) const ALL: [Recovery; 3] =
        [Recovery::Resume, Recovery::Rollback, Recovery::ResumeThenRollback];
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Recovery::Resume => "resume",
            Recovery::Rollback => "rollback",
            Recovery::ResumeThenRollback => "both",
        })
    }
}

/// A host at rest, and a run on it.
pub(super) struct Case<'a> {
    pub(super) example: &'a Example,
    /// `apply`, `sick` (an apply of what never becomes healthy), `first`, `rollback` or `clean`.
    pub(super) goal: &'static str,
    pub(super) before: World,
    pub(super) plan: Rc<Plan>,
    /// What the undisturbed run passes.
    pub(super) passed: Vec<Passed>,
    /// The disk at each of these boundaries.
    pub(super) snapshots: Vec<Disk>,
    /// What the undisturbed run makes.
    tree: Option<Digest>,
}

pub(super) const GOALS: [&str; 5] = ["apply", "sick", "first", "rollback", "clean"];

/// When what is done about a cut run is done.
const LATER: i64 = 50;

impl<'a> Case<'a> {
    /// The case of this goal; `None` where there is nothing to do, or nothing that could be sick.
    pub(super) fn new(example: &'a Example, goal: &'static str) -> Option<Self> {
        let mut before = example.empty();
        let applied: &[char] = if goal == "first" { &[] } else { &['a', 'b'] };
        for (n, revision) in applied.iter().enumerate() {
            let plan = example.apply(&before, *revision, n as i64).unwrap_or_else(|why| panic!("{why:?}"));
            let done = begin(&mut before, &plan, example.host(), None);
            assert_eq!(done.exit, Some(0), "{}: {}", example.name, done.text());
        }
        before.checkpoint();
        let plan = match goal {
            "rollback" => example.rollback(&before, 10),
            "clean" => {
                let third = example.apply(&before, 'c', 9).unwrap();
                // A run that ends before it prunes leaves work for a clean.
                let mut kept = (*third).clone();
                kept.hosts[0].steps.retain(|step| step.stage != deployfile_model::Stage::Prune);
                begin(&mut before, &Rc::new(kept), example.host(), None);
                before.checkpoint();
                example.clean(&before, 10)
            }
            _ => example.apply(&before, 'c', 10),
        };
        let plan = plan.unwrap_or_else(|why| panic!("{} {goal}: {why:?}", example.name));
        if goal == "sick" {
            before.sick.insert(plan.release.clone().unwrap());
        }
        let mut world = before.clone();
        world.snapshots = Some(Vec::new());
        let done = begin(&mut world, &plan, example.host(), None);
        if goal == "sick" && done.exit == Some(0) {
            return None;
        }
        assert_eq!(done.exit, Some(if goal == "sick" { 6 } else { 0 }), "{}: {}", example.name, done.text());
        let tree = plan.release.as_ref().and_then(|id| world.tree_of(id));
        let (passed, snapshots) = (done.passed, world.snapshots.unwrap());
        Some(Case { example, goal, before, plan, passed, snapshots, tree })
    }

    /// The run with a fault, and what is done about it. Gives what does not hold.
    pub(super) fn tell(
        &self,
        injection: Injection,
        recovery: Recovery,
        second: Option<usize>,
    ) -> Vec<String> {
        let mut world = self.before.clone();
        let mut found = Vec::new();
        let known = self.snapshots.get(injection.at);
        let known = known.filter(|_| injection.fault == Fault::Kill && self.before.broken.is_none());
        if let Some(disk) = known {
            // What was there when it was killed is known from the run that nobody disturbed.
            world.disk = disk.clone();
        } else {
            let done = begin(&mut world, &self.plan, self.example.host(), Some(injection));
            found.extend(self.judge(&world, &done, Some(injection)));
            found.extend(self.exit_is_true(&world, &done));
        }
        found.extend(self.before().always(&world));
        self.recover(&mut world, recovery, second, &mut found);
        found
    }

    fn before(&self) -> Before<'_> {
        Before { disk: &self.before.disk, plan: &self.plan }
    }

    /// What is wrong with a process and what it left.
    fn judge(&self, world: &World, done: &Done, injection: Option<Injection>) -> Vec<String> {
        let on_way_back = |passed: &Passed| passed.step.is_some_and(|step| step.list == StepList::Unwind);
        let refused = injection.is_some_and(|injection| {
            injection.fault == Fault::Refuse && done.passed.get(injection.at).is_some_and(on_way_back)
        });
        let mut found = done.wrong(refused);
        found.extend(Secrets(world).leaks(done));
        found
    }

    /// The exit code says what is served.
    fn exit_is_true(&self, world: &World, done: &Done) -> Option<String> {
        let is_old = world.disk.current == self.before.disk.current;
        let is_new = world.disk.current == self.plan.release || self.plan.goal == Goal::Clean;
        let is_true = match done.exit {
            Some(0) => is_new,
            Some(1 | 4 | 6) => is_old,
            Some(7) | None => true,
            Some(_) => false,
        };
        (!is_true).then(|| format!("it exits with {:?}, and current is {:?}", done.exit, world.disk.current))
    }

    fn recover(&self, world: &mut World, how: Recovery, second: Option<usize>, found: &mut Vec<String>) {
        if how == Recovery::Rollback {
            self.roll_back(world, found);
        }
        self.resume(world, second, found);
        if !self.was_begun(world) && world.disk.ledger().runs == self.before.disk.ledger().runs {
            // Killed before anything was promised: the same again.
            let done = begin(world, &self.plan, self.example.host(), None);
            found.extend(self.judge(world, &done, None));
        }
        if how == Recovery::Rollback && self.rolled_back_instead(world) {
            return;
        }
        self.is_over(world, found);
        if how == Recovery::ResumeThenRollback {
            self.roll_back(world, found);
        }
    }

    /// `resume` until nothing is left to resume, the first one killed at boundary `second`.
    fn resume(&self, world: &mut World, second: Option<usize>, found: &mut Vec<String>) {
        let mut injection = second.map(|at| Injection { fault: Fault::Kill, at });
        for _ in 0..4 {
            let ledger = world.disk.ledger();
            if ledger.open.is_none() && ledger.resumable.is_none() {
                // Also nothing that was torn is left in the way.
                resume(world, self.example.host(), None);
                return;
            }
            let done = resume(world, self.example.host(), injection.take());
            found.extend(self.judge(world, &done, None));
            found.extend(self.before().always(world));
        }
        found.push("resume does not come to an end".to_owned());
    }

    /// A rollback goes to the release before, or is refused by name and leaves everything as it is.
    fn roll_back(&self, world: &mut World, found: &mut Vec<String>) {
        const REFUSED: [&str; 4] =
            ["plan::interrupted-run", "plan::stuck-run", "plan::no-previous", "plan::no-current"];
        let before = world.disk.clone();
        match self.example.rollback(world, LATER) {
            Err(refusals) => {
                found.extend(
                    refusals
                        .iter()
                        .filter(|r| !REFUSED.contains(&r.code))
                        .map(|r| format!("{}: {r}", r.code)),
                );
            }
            Ok(plan) => {
                let done = begin(world, &plan, self.example.host(), None);
                found.extend(self.judge(world, &done, None));
                found.extend(Before { disk: &before, plan: &plan }.at_rest(world));
                if world.disk.current != plan.release {
                    found.push(format!("the rollback ended on {:?}: {}", world.disk.current, done.text()));
                }
            }
        }
    }

    fn was_begun(&self, world: &World) -> bool {
        let known = self.before.disk.ledger().runs.len();
        world.disk.ledger().runs.len() > known
    }

    /// The run ended before its switch, and a rollback came instead of its resumption.
    fn rolled_back_instead(&self, world: &World) -> bool {
        let last = world.disk.ledger().runs.last().map(|run| run.goal);
        last == Some(Goal::Rollback) && self.plan.goal != Goal::Rollback
    }

    fn is_over(&self, world: &World, found: &mut Vec<String>) {
        found.extend(self.before().at_rest(world));
        let Some(release) = self.plan.release.as_ref().filter(|_| self.plan.goal == Goal::Apply) else {
            return;
        };
        if self.is_good(world, release) {
            if world.tree_of(release) != self.tree {
                found.push("the release is not the one that an undisturbed run makes".to_owned());
            }
            match self.example.apply(world, 'c', LATER) {
                Ok(again) if !again.changes() => {}
                again => found.push(format!("after it was applied there is something to do: {again:?}")),
            }
        }
    }

    pub(super) fn is_good(&self, world: &World, release: &ReleaseId) -> bool {
        let ledger = world.disk.ledger();
        ledger.releases.get(release).is_some_and(|facts| facts.state == ReleaseState::Good)
    }
}
