//! The checks themselves: products that are broken on purpose must not pass.

use super::examples::{self, Example};
use super::singles;
use super::story::{Case, Recovery};
use deployfile_record::{Effect, Plan, Step};
use deployfile_testkit::world::{Broken, Fault};
use std::rc::Rc;

/// Whether any story of this case ends in a violation, and which one it is.
fn first_violation(case: &Case<'_>) -> Option<String> {
    let stories = singles(case);
    let wanted = stories.iter().filter(|story| story.recovery != Recovery::ResumeThenRollback);
    wanted
        .map(|story| case.tell(story.injection, story.recovery, None))
        .find_map(|found| found.first().cloned())
}

fn everything() -> Example {
    examples::of("everything").remove(0)
}

/// The case with a product that is broken like this. A fault is injected at the boundaries of the whole product.
fn with(example: &Example, goal: &'static str, broken: Broken) -> Option<String> {
    let mut case = Case::new(example, goal).unwrap();
    case.before.broken = Some(broken);
    first_violation(&case)
}

#[test]
fn each_broken_product_is_caught() {
    let example = everything();
    for (goal, broken, wanted) in [
        ("apply", Broken::JournalAtTheEnd, "is unknown to the journal"),
        ("apply", Broken::FilesGrow, "is not"),
        ("clean", Broken::PrunedInPlace, "is sealed and not as it was sealed"),
        ("apply", Broken::SecretInFailure, "the value of secret key"),
        ("apply", Broken::CurrentUnlinked, "current is None"),
    ] {
        let found = with(&example, goal, broken).unwrap_or_else(|| panic!("{broken:?} passes"));
        assert!(found.contains(wanted), "{broken:?}: {found}");
    }
}

/// [switch, restart] undone in reverse order starts the old build's services while the new build is current.
#[test]
fn a_mirrored_way_back_is_caught() {
    let example = everything();
    let mut case = Case::new(&example, "sick").unwrap();
    let mut plan: Plan = (*case.plan).clone();
    mirror(&mut plan.hosts[0].unwind);
    case.plan = Rc::new(plan);
    // The run that nobody disturbed was another plan's.
    case.snapshots.clear();
    let found = first_violation(&case).expect("a mirrored way back passes");
    assert!(found.contains("while current is"), "{found}");
}

fn mirror(steps: &mut [Step]) {
    let readings = steps.iter().position(|step| !step.effect.changes()).unwrap_or(steps.len());
    steps[..readings].reverse();
    steps.iter_mut().zip(1..).for_each(|(step, n)| step.n = n);
}

#[test]
fn a_way_back_that_forgets_services_is_caught() {
    let example = everything();
    let mut case = Case::new(&example, "sick").unwrap();
    let mut plan: Plan = (*case.plan).clone();
    plan.hosts[0].unwind.retain(|step| !matches!(step.effect, Effect::EnsureService(_)));
    case.plan = Rc::new(plan);
    case.snapshots.clear();
    assert!(first_violation(&case).is_some());
}

/// What is not broken passes the same stories.
#[test]
fn the_product_passes() {
    let example = everything();
    for goal in ["sick", "clean"] {
        let case = Case::new(&example, goal).unwrap();
        assert_eq!(first_violation(&case), None, "{goal}");
        assert!(case.passed.len() > 5 && Fault::ALL.len() == 4);
    }
}
