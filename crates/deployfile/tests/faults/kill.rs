//! SIGKILL at entry of every call that changes something, of every verb that writes and of all its children, and again
//! in the middle of what mends it. Whatever is left is whole, and ends as it should.

use crate::sample::{Only, replay, tried};
use crate::verbs::{ROWS, row};
use crate::world::World;
use deployfile_testkit::trace::{Act, Mutation};

/// Killed by SIGKILL, as the tracer tells it.
const KILLED: i32 = 256 + 9;
/// Boundaries of one row that are tried when it is not all of them.
const SAMPLE: usize = 24;
/// Calls of what mends, among which the second kill falls.
const MENDING: usize = 30;
/// What mends: each is tried at a third of the boundaries.
const MENDS: [&str; 3] = ["resume", "rollback", "again"];

/// What one boundary came to.
#[derive(Default)]
struct Count {
    kills: usize,
    again: usize,
}

/// Counts the calls of a command that nobody disturbs, and holds it to its end.
fn calls(world: &World) -> usize {
    world.restore();
    let ended = world.traced(&world.args(), &mut |_: &Mutation| Act::Pass);
    assert_eq!(ended.code, world.exit, "{:?}: {}{}", world.args, ended.out, ended.err);
    world.ends_well().unwrap();
    assert!(ended.calls > 0, "{:?} changes nothing, or the tracer is blind", world.args);
    ended.calls
}

/// Runs a command and kills it at a call: the whole tree, or the first process alone. Tells what was cut.
fn killed(world: &World, args: &[&str], n: usize, how: Act) -> Option<String> {
    let mut cut = None;
    let trace = if how == Act::KillFirst { world.trace().leave_rest() } else { world.trace() };
    let ended = trace.run(world.command(args), &mut |call: &Mutation| {
        if call.number != n {
            return Act::Pass;
        }
        cut = Some(call.line());
        how
    });
    // A run may make fewer calls than the one that was counted, and be done before.
    assert_eq!(cut.is_some(), ended.code == KILLED, "{args:?}: exit {}: {}", ended.code, ended.err);
    assert!(!ended.hung, "{args:?} hung");
    cut
}

/// The command that mends.
fn mend<'a>(world: &'a World, name: &str) -> Vec<&'a str> {
    match name {
        "resume" if world.is_run => vec!["resume", "--yes"],
        "rollback" if world.may_roll_back() => vec!["rollback", "--yes"],
        _ => world.args(),
    }
}

fn at_boundary(world: &World, n: usize, name: &str, m: usize, count: &mut Count) -> Result<(), String> {
    world.restore();
    // The first process alone, so that its children see their end come, at every fourth.
    let how = if n % 4 == 3 { Act::KillFirst } else { Act::Kill };
    let Some(cut) = killed(world, &world.args(), n, how) else { return Ok(()) };
    count.kills += 1;
    let whole = |what: &str, done: Result<(), String>| done.map_err(|why| format!("{what} ({cut}): {why}"));
    whole("killed", world.check().map(drop))?;
    if let Some(cut) = killed(world, &mend(world, name), m, Act::Kill) {
        count.again += 1;
        whole(&format!("{name} killed too ({cut})"), world.check().map(drop))?;
    }
    whole(
        "at the end",
        if name == "rollback" && world.may_roll_back() { ends_somewhere(world) } else { world.ends_well() },
    )?;
    world.nothing_runs();
    Ok(())
}

/// After a rollback it is not said which of the two is served.
fn ends_somewhere(world: &World) -> Result<(), String> {
    let resumed = world.sandbox.run(&["resume", "--yes"]);
    if ![0, world.exit].contains(&resumed.code) {
        return Err(format!("resume: {}", crate::world::told(&resumed)));
    }
    let status = world.check()?;
    if status["interrupted"].is_null() {
        Ok(())
    } else {
        Err(format!("interrupted: {}", status["interrupted"]))
    }
}

fn kill_everywhere(name: &str) {
    let world = (row(name).world)();
    let only = Only::read();
    let all = calls(&world);
    let mut count = Count::default();
    let mut bad = Vec::new();
    for (at, n) in tried(all, SAMPLE).enumerate() {
        let mend = MENDS[at % MENDS.len()];
        // The second kill falls elsewhere for every first one; what mends makes fewer calls.
        let m = 1 + n * 7 % all.min(MENDING);
        for mend in MENDS.iter().filter(|&&name| name == mend || only.is_replay()) {
            if !only.takes(&[&name, &n, mend]) {
                continue;
            }
            if let Err(why) = at_boundary(&world, n, mend, m, &mut count) {
                let replay = replay(&format!("kill::{name}"), &[&name, &n, mend, &m]);
                bad.push(format!("{name} killed at call {n} of {all}: {why}\n  replay: {replay}"));
            }
        }
    }
    let Count { kills, again } = count;
    let line =
        format!("{kills} kills at {all} boundaries, {again} more while mending, {} violations", bad.len());
    deployfile_testkit::coverage(&format!("kill-{name}"), &line);
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

macro_rules! each_row {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { kill_everywhere(stringify!($name)); })*

        #[test]
        fn every_row_has_its_test() {
            let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
            assert_eq!([$(stringify!($name)),*].as_slice(), names);
        }
    };
}

each_row!(
    apply_first,
    apply_second,
    apply_sick,
    apply_service,
    resume_before,
    resume_after,
    rollback,
    clean,
    service_start,
    service_stop,
    service_restart,
    service_reload,
    release_pin,
    release_unpin,
    release_rm,
    init,
    fmt,
    plan_out,
    plugin_lock,
);

/// What is made once in a root's life is made by the first calls of all.
#[test]
fn a_root_that_is_half_made() {
    let world = (row("apply_first").world)();
    let mut count = Count::default();
    for n in 1..=16 {
        at_boundary(&world, n, "again", n + 3, &mut count).unwrap();
    }
    deployfile_testkit::coverage(
        "kill-first_calls",
        &format!("{} kills, 0 violations", count.kills + count.again),
    );
}

/// The lane itself: a switch that is not one call is caught, at the call in its middle.
#[test]
fn a_switch_in_two_calls_is_caught() {
    let mut world = (row("rollback").world)();
    world.stand_in = Some("rm ../root/current; ln -s releases/$OLD ../root/current");
    let mut count = Count::default();
    let mut at = |n| at_boundary(&world, n, "again", 99, &mut count);
    assert_eq!(at(1), Ok(()), "nothing was touched");
    assert!(at(2).is_err_and(|why| why.contains("is served") || why.contains("status")), "nothing is served");
}
