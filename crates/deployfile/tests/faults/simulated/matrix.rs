//! The failure matrix, docs/src/reference/failures.md: each cell is what the simulated host did at every boundary of a
//! stage. `UPDATE_DOCS=1` writes it; otherwise it is compared. `real.rs` holds the real program against it.

use super::examples::{self, Example};
use super::story::Case;
use deployfile_exec::Ended;
use deployfile_model::Stage;
use deployfile_record::{ReleaseState, RunResult};
use deployfile_testkit::world::{Done, Fault, Injection, Passed, Place, World, begin, resume};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// A column group of the page.
pub(super) struct Kind {
    pub(super) fault: Fault,
    title: &'static str,
    text: &'static str,
}

pub(super) const KINDS: [Kind; 5] = [
    Kind {
        fault: Fault::Kill,
        title: "Killed",
        text: "By SIGKILL, by the kernel for want of memory, by a terminal that went away twice.",
    },
    Kind {
        fault: Fault::Refuse,
        title: "A step fails",
        text: "A command ends with an error or takes too long, a file cannot be written, a service does not start, a check \
               does not hold. `resume` is tried once the cause is gone.",
    },
    Kind {
        fault: Fault::DiskFull,
        title: "The disk is full",
        text: "From that moment on nothing can be written, the journal neither. `resume` is tried once there is room.",
    },
    Kind {
        fault: Fault::PowerCut,
        title: "Power cut",
        text: "The machine starts again. What of a release was not sealed is not trusted any more: `resume` makes it anew.",
    },
    Kind {
        fault: Fault::Stop,
        title: "Asked to stop",
        text: "Ctrl-C or SIGTERM, once. Twice is as killed, but tells the truth: exit 130.",
    },
];

/// What may come of a fault in a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// `old`, `new`, `nothing`.
    pub(super) served: BTreeSet<&'static str>,
    /// Exit codes; nothing for a process that was killed.
    pub(super) exits: BTreeSet<u8>,
    /// What `resume` does.
    pub(super) resume: BTreeSet<Resumed>,
}

/// What `resume` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resumed {
    Finishes,
    GoesBack,
    Nothing,
}

impl Resumed {
    fn text(self) -> &'static str {
        match self {
            Resumed::Finishes => "finishes: new",
            Resumed::GoesBack => "goes back: old",
            Resumed::Nothing => "nothing to do",
        }
    }
}

/// A row: where the fault came. `revert` is a run whose new release does not become healthy.
pub(super) type Row = &'static str;

/// The rows, in order.
const ROWS: [Row; 14] = [
    "before it begins",
    "check",
    "fetch",
    "build",
    "link",
    "render",
    "seal",
    "migrate",
    "switch",
    "restart",
    "verify",
    "commit",
    "prune",
    "revert",
];

fn row(passed: &[Passed], at: usize) -> Row {
    passed[at].stage.map_or("before it begins", Stage::name)
}

/// Everything that happens: by fault and row.
pub(super) fn matrix() -> BTreeMap<(Fault, Row), Cell> {
    let example = examples::of("everything").remove(0);
    let mut cells: BTreeMap<(Fault, Row), Cell> = BTreeMap::new();
    for goal in ["apply", "sick"] {
        let case = Case::new(&example, goal).unwrap();
        for (at, passed) in case.passed.iter().enumerate() {
            let row = row(&case.passed, at);
            // The way forward of a sick release is that of any other, up to where it is found to be sick.
            if (goal == "sick") != (row == "revert") {
                continue;
            }
            for kind in KINDS.iter().filter(|kind| tried(kind.fault, passed.place)) {
                let cell = cells.entry((kind.fault, row)).or_default();
                fill(cell, &case, &example, Injection { fault: kind.fault, at });
            }
        }
    }
    cells
}

/// A step that fails is an effect that fails.
fn tried(fault: Fault, place: Place) -> bool {
    let is_effect = matches!(place, Place::BeforeEffect | Place::WithinEffect | Place::AfterEffect);
    fault.fits(place) && (fault != Fault::Refuse || is_effect)
}

fn fill(cell: &mut Cell, case: &Case<'_>, example: &Example, injection: Injection) {
    let mut world = case.before.clone();
    let done = begin(&mut world, &case.plan, example.host(), Some(injection));
    cell.served.insert(served(&world, case));
    cell.exits.extend(done.exit);
    let committed = |world: &World| {
        let ledger = world.disk.ledger();
        let release = case.plan.release.as_ref().unwrap();
        ledger.releases.get(release).is_some_and(|facts| facts.state == ReleaseState::Good)
    };
    let ledger = world.disk.ledger();
    if ledger.open.is_none() && ledger.resumable.is_none() {
        cell.resume.insert(Resumed::Nothing);
        return;
    }
    let again = resume(&mut world, example.host(), None);
    cell.resume.insert(match result(&again) {
        RunResult::Done if committed(&world) => Resumed::Finishes,
        RunResult::Reverted => Resumed::GoesBack,
        other => panic!("resume ends {other:?}: {}", again.text()),
    });
}

fn result(done: &Done) -> RunResult {
    match &done.ended {
        Some(Ended::Over { result, .. }) => *result,
        other => panic!("resume does not end: {other:?}"),
    }
}

fn served(world: &World, case: &Case<'_>) -> &'static str {
    match &world.disk.current {
        None => "nothing",
        now if *now == case.before.disk.current => "old",
        now if *now == case.plan.release => "new",
        Some(other) => panic!("{other} is served"),
    }
}

/// The page.
fn page(cells: &BTreeMap<(Fault, Row), Cell>) -> String {
    let mut page = String::from(INTRODUCTION);
    for kind in &KINDS {
        let _ = write!(page, "\n## {}\n\n{}\n\n", kind.title, kind.text);
        page.push_str("| stage | served | exit code | `deployfile resume` |\n|---|---|---|---|\n");
        for row in ROWS {
            let Some(cell) = cells.get(&(kind.fault, row)) else { continue };
            let exits: Vec<String> = cell.exits.iter().map(u8::to_string).collect();
            let exits = if exits.is_empty() { "–".to_owned() } else { exits.join(" or ") };
            let resume: Vec<&str> = cell.resume.iter().map(|resumed| resumed.text()).collect();
            let served: Vec<&str> = cell.served.iter().rev().copied().collect();
            let _ =
                writeln!(page, "| {row} | {} | {exits} | {} |", served.join(" or "), resume.join("; or "));
        }
    }
    page
}

const INTRODUCTION: &str = "<!-- Made by: UPDATE_DOCS=1 cargo test -p deployfile --test faults simulated::matrix -->

# Failures

What happens when an apply is cut off, stage by stage. These tables are not written by hand: a plan that goes through all stages runs over
a simulated host, through the loop and the journal of the program itself, and is cut off at every boundary of each
stage: before, within and after every step, and before, within and after every record of the journal. The real program is held against
them: it is killed at file calls of every stage, its steps fail, and it is asked to stop.

- **stage** is where it was cut off; `revert` is the way back of a run that failed after its switch.
- **served** is the release that `current` names right afterwards: *old* is the one from before the run. It is a whole, sealed release in
  every case.
- **exit code** is that of the run that was cut off ([Exit codes](exit-codes.md)); – means that it could not give one.
- **`deployfile resume`** is what the next command does, and what is served then. Where there is nothing to do, what is served stays.

Two results in one place (*old or new*) mean that it depends on the moment; `deployfile status` says which it is.
What the words of the stages mean stands in [The life of a release](../explanation/release.md), why it works in
[Crash safety](../explanation/crash-safety.md).
";

#[test]
fn the_page_says_what_the_simulated_host_does() {
    let cells = matrix();
    holds_what_is_promised(&cells);
    let made = page(&cells);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/reference/failures.md");
    if std::env::var("UPDATE_DOCS").as_deref() == Ok("1") {
        std::fs::write(&file, &made).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == made,
        "the failure matrix is not what happens now: run this test with UPDATE_DOCS=1 and read the diff"
    );
}

/// What is promised, whatever the page says.
fn holds_what_is_promised(cells: &BTreeMap<(Fault, Row), Cell>) {
    let stages = Stage::ALL.iter().filter(|stage| **stage != Stage::Failed);
    for stage in stages {
        for kind in &KINDS {
            // A way back is not stopped by asking once.
            let Some(cell) = cells.get(&(kind.fault, stage.name())) else { panic!("{stage} {}", kind.fault) };
            assert!(!cell.served.contains("nothing"), "{stage} {}", kind.fault);
            if *stage < Stage::Switch {
                assert_eq!(cell.served, BTreeSet::from(["old"]), "{stage} {}", kind.fault);
                assert!(cell.exits.iter().all(|exit| [1, 4, 130].contains(exit)) || *stage == Stage::Migrate);
            }
            let may_be_stuck = *stage == Stage::Revert || kind.fault == Fault::DiskFull;
            assert!(may_be_stuck || !cell.exits.contains(&7), "{stage} {}: {cell:?}", kind.fault);
        }
    }
}
