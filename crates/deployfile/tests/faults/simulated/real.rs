//! The real program against the failure matrix: killed at file calls of every stage, with a step that fails in every
//! stage, and asked to stop in every stage.

use super::matrix::{Cell, Resumed, Row, matrix};
use super::{is_long, seed};
use deployfile_testkit::world::Fault;
use deployfile_testkit::{Sandbox, done};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Calls of the apply that are tried when it is not all of them.
const SAMPLE: usize = 40;

/// A root with two releases, and a deployfile whose stages have items of their own.
struct Room(Sandbox);

impl Room {
    /// `items`: by stage, a script.
    fn new(items: &[(&str, String)]) -> Self {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
        let room = Self(sandbox);
        room.file(&[]);
        // Two, so that the run has one to prune: what comes at the end of a run belongs to that stage.
        for page in ["older", "old"] {
            room.0.write("src/page", page);
            room.0.expect(0, &["apply", "--yes"]);
        }
        fs::rename(room.0.root(), room.0.path().join("template")).unwrap();
        room.restore();
        room.file(items);
        room.0.write("src/page", "new");
        room
    }

    fn file(&self, items: &[(&str, String)]) {
        let root = self.0.root();
        let stages: String =
            items.iter().map(|(stage, script)| format!("stage {stage} {{ sh #\"{script}\"#; }}\n")).collect();
        let text = format!(
            "deployfile 1\napp small {{ root \"{}\"; }}\nsource dir \"src\"\nshared {{ dir \"media\"; }}\n{stages}\
             retention {{ keep 1; grace \"0s\"; }}\nenvironment local {{ host localhost {{ connect local; }}; }}\n",
            root.display()
        );
        self.0.write("deployfile.kdl", &text);
    }

    fn restore(&self) {
        let _ = fs::remove_dir_all(self.0.root());
        let (from, to) = (self.0.path().join("template"), self.0.root());
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    }

    fn served(&self) -> &'static str {
        match fs::read_to_string(self.0.root().join("current/page")).as_deref() {
            Ok("old") => "old",
            Ok("new") => "new",
            other => panic!("{other:?} is served"),
        }
    }

    fn apply(&self) -> Command {
        self.0.command(&["--format", "json", "apply", "--yes"])
    }

    /// `resume`, and what it did.
    fn resume(&self) -> Resumed {
        let done = self.0.run(&["resume", "--yes"]);
        match (done.code, self.served()) {
            (0, _) if done.out.contains("nothing to resume") => Resumed::Nothing,
            (0, "new") => Resumed::Finishes,
            (6, "old") => Resumed::GoesBack,
            other => panic!("resume: {other:?}: {}", done.err),
        }
    }
}

/// The stage that events of a run ended in.
fn row(events: &str) -> Row {
    let started = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut stages = started.filter(|event| event["event"] == "stage-started");
    let last = stages.next_back().and_then(|event| event["stage"].as_str().map(str::to_owned));
    let known = deployfile_model::Stage::ALL.iter().map(|stage| stage.name());
    last.map_or("before it begins", |last| known.into_iter().find(|name| *name == last).unwrap())
}

type Cells = BTreeMap<(Fault, Row), Cell>;

#[track_caller]
fn hold(cells: &Cells, fault: Fault, row: Row, exit: Option<i32>, served: &'static str, resumed: Resumed) {
    let cell = cells.get(&(fault, row)).unwrap_or_else(|| panic!("the matrix has no {fault} in {row}"));
    let is_known = exit.is_none_or(|exit| cell.exits.iter().any(|known| i32::from(*known) == exit));
    assert!(
        is_known && cell.served.contains(served) && cell.resume.contains(&resumed),
        "{fault} in {row}: exit {exit:?}, {served} is served, resume {resumed:?}; the matrix says {cell:?}"
    );
}

/// Every stage in which the program makes file calls, killed at calls of it.
fn killed(cells: &Cells) -> (usize, BTreeSet<Row>) {
    let items = ["build", "migrate", "restart", "verify"].map(|stage| (stage, "true".to_owned()));
    let room = Room::new(&items);
    let trace = room.0.path().join("trace");
    let mut command = room.apply();
    command.env("DEPLOYFILE_FAULT", format!("trace:{}", trace.display()));
    assert_eq!(done(command).code, 0);
    let calls = fs::read_to_string(trace).unwrap().lines().count();
    let step = if is_long() { 1 } else { calls.div_ceil(SAMPLE) };
    let (mut kills, mut rows) = (0, BTreeSet::new());
    for n in (1 + seed() % step..=calls).step_by(step) {
        room.restore();
        let mut command = room.apply();
        command.env("DEPLOYFILE_FAULT", format!("kill:{n}"));
        let killed = done(command);
        assert_eq!(killed.code, 256 + 9, "call {n}: {}", killed.err);
        let (row, served) = (row(&killed.out), room.served());
        hold(cells, Fault::Kill, row, None, served, room.resume());
        kills += 1;
        rows.insert(row);
    }
    (kills, rows)
}

/// A script that fails while `fails` is there, in each stage.
fn failing(cells: &Cells, stage: Row) {
    let mark = |room: &Room| room.0.path().join("fails");
    let script = |room: &Room| format!("test ! -e {}", mark(room).display());
    let room = Room::new(&[]);
    room.file(&[(stage, script(&room))]);
    fs::write(mark(&room), "").unwrap();
    let failed = done(room.apply());
    let served = room.served();
    fs::remove_file(mark(&room)).unwrap();
    hold(cells, Fault::Refuse, stage, Some(failed.code), served, room.resume());
}

/// Asked by SIGINT while a script of the stage runs.
fn stopped(cells: &Cells, stage: Row) {
    let room = Room::new(&[]);
    let mark = room.0.path().join("go");
    let script =
        format!("i=0; until test -e {} || test $i -gt 100; do sleep 0.1; i=$((i+1)); done", mark.display());
    room.file(&[(stage, script)]);
    let mut command = room.apply();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let event: Value = serde_json::from_str(&line).unwrap();
        let is_it = event["what"].as_str().is_some_and(|what| what.starts_with("sh i=0"));
        if event["event"] == "step-started" && event["stage"] == stage && is_it {
            assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
            // What comes after commit goes to its end.
            if ["commit", "prune"].contains(&stage) {
                fs::write(&mark, "").unwrap();
            }
        }
    }
    let exit = child.wait().unwrap().code();
    let served = room.served();
    fs::write(&mark, "").unwrap();
    hold(cells, Fault::Stop, stage, exit, served, room.resume());
}

#[test]
fn the_real_program_does_what_the_matrix_says() {
    let cells = matrix();
    let (kills, rows) = killed(&cells);
    assert!(rows.len() >= 11, "the kills fell into {rows:?} only");
    let stages = ["build", "link", "render", "seal", "migrate", "switch", "restart", "verify", "prune"];
    for stage in stages {
        failing(&cells, stage);
        stopped(&cells, stage);
    }
    let covered = format!(
        "{kills} kills in {} stages, {} failures, {} stops of the real program",
        rows.len(),
        stages.len(),
        stages.len()
    );
    deployfile_testkit::coverage("matrix", &covered);
}

/// A matrix that says something else is not what the program does.
#[test]
#[should_panic(expected = "the matrix says")]
fn a_wrong_matrix_is_caught() {
    let mut cells = Cells::new();
    let served = BTreeSet::from(["new"]);
    cells.insert((Fault::Refuse, "build"), Cell { served, exits: BTreeSet::from([1]), ..Cell::default() });
    failing(&cells, "build");
}
