//! The user asks to stop, before every step of a run: before the switch the run is left for `resume`, from the switch on
//! it goes back, after its commit it goes to its end.

use super::examples;
use super::story::Case;
use deployfile_model::Stage;
use deployfile_testkit::world::{Before, Fault, Injection, begin, resume};

#[test]
fn asked_to_stop_before_every_step() {
    let example = examples::of("everything").remove(0);
    let case = Case::new(&example, "apply").unwrap();
    let before = Before { disk: &case.before.disk, plan: &case.plan };
    let mut exits = std::collections::BTreeSet::new();
    for (at, passed) in case.passed.iter().enumerate().filter(|(_, passed)| Fault::Stop.fits(passed.place)) {
        let Some(stage) = passed.stage else { continue };
        let mut world = case.before.clone();
        let done = begin(&mut world, &case.plan, example.host(), Some(Injection { fault: Fault::Stop, at }));
        let is_open = world.disk.ledger().open.is_some();
        // What is under way is finished first, so the last step before a border counts as behind it.
        let wanted = match done.exit {
            Some(130) => stage < Stage::Switch && is_open,
            Some(6) => (Stage::Migrate..Stage::Commit).contains(&stage) && !is_open,
            Some(0) => stage >= Stage::Verify && !is_open,
            _ => false,
        };
        assert!(wanted, "asked in {stage}: exit {:?}, open {is_open}\n{}", done.exit, done.text());
        exits.extend(done.exit);
        assert_eq!(before.always(&world), [""; 0]);
        resume(&mut world, example.host(), None);
        assert_eq!(before.at_rest(&world), [""; 0], "asked in {stage}");
    }
    assert_eq!(exits.into_iter().collect::<Vec<_>>(), [0, 6, 130]);
}
