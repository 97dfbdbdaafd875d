//! Every call that changes something fails, or takes less than it was given; opens for reading fail too. The exit code
//! is one of the documented, what is said to have changed is what changed, nothing is lost, and it ends well afterwards.

use crate::invariants::served;
use crate::sample::{Only, replay, tried};
use crate::verbs::row;
use crate::world::{World, told};
use deployfile_testkit::Done;
use deployfile_testkit::trace::{Act, Errno, Kind, Mutation, Trace};
use serde_json::Value;

/// What is injected at calls that change something.
const FAULTS: &[(&str, Act)] = &[
    ("EIO", Act::Fail(Errno::EIO)),
    ("ENOSPC", Act::Fail(Errno::ENOSPC)),
    ("EDQUOT", Act::Fail(Errno::EDQUOT)),
    ("EROFS", Act::Fail(Errno::EROFS)),
    ("EMFILE", Act::Fail(Errno::EMFILE)),
    ("EXDEV", Act::Fail(Errno::EXDEV)),
    ("ELOOP", Act::Fail(Errno::ELOOP)),
    ("EINTR", Act::Fail(Errno::EINTR)),
    ("SHORT", Act::Short(1)),
];
/// The exit codes of cli.md that a fault beneath the root may lead to.
const EXITS: [i32; 6] = [0, 1, 4, 6, 7, 130];
/// And one in the project: a deployfile that cannot be read.
const UNREADABLE: i32 = 3;

/// A lane of one row: how many boundaries of it are tried with each fault when it is not all of them.
struct Lane {
    row: &'static str,
    sample: usize,
}

/// One injection: the command with one call refused.
struct Case<'a> {
    world: &'a World,
    n: usize,
    fault: &'static str,
    act: Act,
    reads: bool,
}

impl Case<'_> {
    fn trace(&self) -> Trace {
        let trace = self.world.trace();
        if self.reads { trace.with_reads() } else { trace }
    }

    /// What was refused, and how the command ended; `None` when the run had fewer calls.
    fn run(&self) -> Option<(String, Done)> {
        let args = [&["--format", "json"], self.world.args().as_slice()].concat();
        let mut cut = None;
        let ended = self.trace().run(self.world.command(&args), &mut |call: &Mutation| {
            if call.number != self.n || cut.is_some() {
                return Act::Pass;
            }
            cut = Some((call.line(), call.kind));
            if is_given(self.fault, self.reads, call.kind) { self.act } else { Act::Pass }
        });
        let done = Done { code: ended.code, out: ended.out, err: ended.err };
        assert!(!ended.hung, "it hung: {cut:?} {}", told(&done));
        let (line, kind) = cut?;
        is_given(self.fault, self.reads, kind).then_some((line, done))
    }

    fn holds(&self) -> Result<bool, String> {
        self.world.restore();
        let before = served(&self.world.sandbox);
        let Some((cut, done)) = self.run() else { return Ok(false) };
        // What is done is checked at the end.
        let check = || if done.code == 0 { Ok(()) } else { self.world.check().map(drop) };
        self.said_the_truth(&cut, &done, before.as_deref())
            .and_then(|()| check())
            .and_then(|()| self.world.ends_well())
            .map_err(|why| format!("{} at {cut}: {why}\n{}", self.fault, end_of(&done)))?;
        Ok(true)
    }

    /// The exit code is documented, and what the last document says of changes is so.
    fn said_the_truth(&self, cut: &str, done: &Done, before: Option<&str>) -> Result<(), String> {
        let is_unreadable = done.code == UNREADABLE && cut.contains("/project/");
        if done.err.contains("panicked") || !(EXITS.contains(&done.code) || is_unreadable) {
            return Err("not a documented end".to_owned());
        }
        let changed = changed(&done.out).or_else(|| changed(&done.err));
        if !self.world.is_run || self.world.may_serve.len() < 2 {
            return Ok(());
        }
        let (old, new) = (self.world.may_serve[0], self.world.may_serve[1]);
        let now = served(&self.world.sandbox);
        let is = |text: Option<&str>| now.as_deref() == text;
        let is_true = match (changed.as_deref(), done.code) {
            (Some("none" | "staged"), _) => is(before),
            (Some("reverted"), _) => is(old),
            (Some("switched"), _) => is(new),
            (Some("partial" | "unknown"), code) => code != 0,
            (Some(other), _) => return Err(format!("changed: {other:?}")),
            (None, _) => return Err("it does not say what changed".to_owned()),
        };
        let is_true = is_true
            && match done.code {
                1 => is(before),
                6 => is(old),
                0 => (self.world.is_done)(self.world).is_ok(),
                _ => true,
            };
        if is_true { Ok(()) } else { Err(format!("it says {changed:?}, and {now:?} is served")) }
    }
}

/// Exit code, stderr and the last line of stdout.
fn end_of(done: &Done) -> String {
    format!("exit {}\n{}{}", done.code, done.err, done.out.lines().last().unwrap_or_default())
}

/// `changed` of the last document that has it.
fn changed(out: &str) -> Option<String> {
    let documents = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    documents.filter_map(|document| Some(document["changed"].as_str()?.to_owned())).next_back()
}

/// Which calls can fail in this way, by the manual pages; a short write is one of at least two bytes.
fn is_given(fault: &str, reads: bool, kind: Kind) -> bool {
    match fault {
        // The others have their own lane.
        _ if reads => kind == Kind::Open,
        "SHORT" => kind == Kind::Write,
        "EMFILE" | "ELOOP" => matches!(kind, Kind::Open | Kind::Create | Kind::Truncate),
        "EXDEV" => matches!(kind, Kind::Rename | Kind::Link | Kind::Clone | Kind::Copy),
        "EINTR" => matches!(kind, Kind::Open | Kind::Create | Kind::Truncate | Kind::Write | Kind::Sync),
        _ => true,
    }
}

/// What is injected.
fn faults(reads: bool) -> impl Iterator<Item = &'static (&'static str, Act)> {
    FAULTS.iter().filter(move |(fault, _)| !reads || ["EIO", "EMFILE"].contains(fault))
}

/// The kinds of all calls of a command that nobody disturbs.
fn kinds(case: &Case<'_>) -> Vec<Kind> {
    case.world.restore();
    let mut kinds = Vec::new();
    let ended = case.trace().run(case.world.sandbox.command(&case.world.args()), &mut |call: &Mutation| {
        kinds.push(call.kind);
        Act::Pass
    });
    assert_eq!(ended.code, case.world.exit, "{}{}", ended.out, ended.err);
    kinds
}

fn refuse_everywhere(lane: &Lane, reads: bool) {
    let name = lane.row;
    let test = if reads { format!("refuse::opens_of_{name}") } else { format!("refuse::{name}") };
    let world = (row(name).world)();
    let only = Only::read();
    let kinds = kinds(&Case { world: &world, n: 0, fault: "", act: Act::Pass, reads });
    let (mut injected, mut bad) = (0, Vec::new());
    for (fault, act) in faults(reads) {
        let can: Vec<usize> = (1..=kinds.len()).filter(|n| is_given(fault, reads, kinds[n - 1])).collect();
        for n in tried(can.len(), lane.sample).map(|at| can[at - 1]) {
            if !only.takes(&[&name, &n, fault]) {
                continue;
            }
            let case = Case { world: &world, n, fault, act: *act, reads };
            match case.holds() {
                Ok(was_given) => injected += usize::from(was_given),
                Err(why) => {
                    injected += 1;
                    bad.push(format!("{name}: {why}\n  replay: {}", replay(&test, &[&name, &n, fault])));
                }
            }
        }
    }
    let all = kinds.len();
    let line = format!("{injected} injections at {all} calls, {} violations", bad.len());
    deployfile_testkit::coverage(&test.replace("::", "-"), &line);
    assert!(bad.is_empty(), "{}", bad[..bad.len().min(8)].join("\n\n"));
}

macro_rules! lanes {
    ($reads:literal, $($test:ident $name:ident $sample:literal),* $(,)?) => {
        $(#[test] fn $test() { refuse_everywhere(&Lane { row: stringify!($name), sample: $sample }, $reads); })*
    };
}

lanes!(
    false,
    apply_first apply_first 14,
    apply_second apply_second 26,
    apply_sick apply_sick 12,
    resume_before resume_before 12,
    resume_after resume_after 14,
    rollback rollback 30,
    clean clean 26,
    release_pin release_pin 99,
    release_unpin release_unpin 99,
    release_rm release_rm 99,
    init init 99,
    fmt fmt 99,
    plan_out plan_out 99,
    plugin_lock plugin_lock 99,
);

lanes!(
    true,
    opens_of_apply_second apply_second 50,
    opens_of_rollback rollback 30,
    opens_of_clean clean 30,
    opens_of_release_pin release_pin 99,
);

/// The lane itself: a command that does not look at what its calls return, and says that all is well, is caught.
#[test]
fn a_command_that_does_not_tell_the_truth_is_caught() {
    let mut world = (row("rollback").world)();
    world.stand_in = Some("ln -sfn releases/$OLD ../root/current; echo '{\"changed\":\"switched\"}'");
    let act = Act::Fail(Errno::EROFS);
    let holds = |n| Case { world: &world, n, fault: "EROFS", act, reads: false }.holds();
    // `ln` tries the name itself, then makes a link of another name, and renames it.
    assert!((1..=3).all(|n| holds(n).is_err()), "a lie was believed");
    assert_eq!(holds(4), Ok(false), "there is a fourth call");
}
