//! Real kills and real failures: the program is killed at its N-th mutating file call, or that call fails, for an
//! apply, a rollback and a clean. Afterwards `status` works, one whole release is served, and `resume` or `apply` end
//! well with no other command needed.
//!
//! `DEPLOYFILE_LONG=1` tries every N. Otherwise a sample, `DEPLOYFILE_SEED` moves it.

use crate::invariants::{self, KEPT};
use crate::sample::tried;
use deployfile_testkit::Sandbox;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

/// Killed by SIGKILL, as the sandbox tells it.
const KILLED: i32 = 256 + 9;
/// Calls of one command that are tried when it is not all of them.
const SAMPLE: usize = 16;

/// A root as it was before the command that is tried, and the command.
struct World {
    sandbox: Sandbox,
    args: &'static [&'static str],
    /// What may be served afterwards: the text of `hello.txt` before, and when the command is done.
    before: &'static str,
    after: &'static str,
    /// How many releases are left when the command is done, where that is sure.
    left: Option<usize>,
}

impl World {
    fn new(args: &'static [&'static str], before: &'static str, after: &'static str) -> Self {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
        let world = Self { sandbox, args, before, after, left: None };
        world.file(9);
        world.sandbox.write("src/bin/tool", "#!/bin/sh\n");
        world.sandbox.write("a.j2", "release = {{ release_id }}\n");
        world
    }

    fn file(&self, keep: u32) {
        let text = format!(
            "deployfile 1\napp small {{ root \"{}\"; }}\nsource dir \"src\"\nshared {{ dir \"media\"; }}\n\
             stage build {{ sh \"echo built > built.txt\"; template \"a.j2\" to=\"conf/a.ini\" kind=ini; }}\nretention {{ keep {keep}; grace \"0s\"; }}\n\
             environment local {{ host localhost {{ connect local; }}; }}\n",
            self.sandbox.root().display()
        );
        self.sandbox.write("deployfile.kdl", &text);
    }

    fn applied(&self, text: &str) {
        self.sandbox.write("src/hello.txt", text);
        self.sandbox.expect(0, &["apply", "--yes"]);
        fs::write(self.sandbox.root().join("shared/media/kept.txt"), KEPT).unwrap();
    }

    fn template(&self) -> PathBuf {
        self.sandbox.path().join("template")
    }

    /// What is there now is what every try begins with. Nothing stored names the root's path or inodes, so a copy is
    /// as good as the root.
    fn save(&self) {
        copy(&self.sandbox.root(), &self.template());
    }

    fn restore(&self) {
        fs::remove_dir_all(self.sandbox.root()).unwrap();
        copy(&self.template(), &self.sandbox.root());
    }

    /// Runs the program with a fault; gives its exit code.
    fn faulty(&self, args: &[&str], fault: &str) -> i32 {
        let mut command = self.sandbox.command(args);
        command.env("DEPLOYFILE_FAULT", fault);
        deployfile_testkit::sandbox::done(command).code
    }

    /// How many mutating file calls the command makes.
    fn calls(&self) -> usize {
        let trace = self.sandbox.path().join("trace");
        self.restore();
        assert_eq!(self.faulty(self.args, &format!("trace:{}", trace.display())), 0);
        let calls = fs::read_to_string(trace).unwrap().lines().count();
        assert!(calls > 20, "the fault gate is not in this build, or not in the way");
        calls
    }

    fn text(&self) -> String {
        fs::read_to_string(self.sandbox.root().join("current/hello.txt")).unwrap_or_default()
    }

    /// What must hold whenever no command runs.
    fn check(&self) -> Result<Value, String> {
        invariants::check(&self.sandbox, &[Some(self.before), Some(self.after)])
    }

    #[track_caller]
    fn must_hold(&self, when: &str) -> Value {
        self.check().unwrap_or_else(|why| panic!("{when}: {why}"))
    }

    /// From whatever is there: `resume` ends well, and the command too when it was never begun.
    #[track_caller]
    fn ends_well(&self, when: &str) {
        let resumed = self.sandbox.run(&["resume", "--yes"]);
        assert_eq!(resumed.code, 0, "{when}: resume: {}", resumed.err);
        let status = self.must_hold(when);
        assert_eq!(status["interrupted"], Value::Null, "{when}");
        if self.text() == self.before {
            let again = self.sandbox.run(self.args);
            assert_eq!(again.code, 0, "{when}: again: {}", again.err);
        }
        self.must_hold(when);
        assert_eq!(self.text(), self.after, "{when}");
        let releases = fs::read_dir(self.sandbox.root().join("releases")).unwrap().count();
        assert!(self.left.is_none_or(|left| left == releases), "{when}: {releases} releases are left");
        let left = invariants::leftovers(&self.sandbox);
        assert!(left.is_empty(), "{when}: left over: {left:?}");
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn second_apply() -> World {
    let world = World::new(&["apply", "--yes"], "one", "two");
    world.applied("one");
    world.sandbox.write("src/hello.txt", "two");
    world.save();
    world
}

fn a_rollback() -> World {
    let world = World::new(&["rollback", "--yes"], "two", "one");
    world.applied("one");
    world.applied("two");
    world.save();
    world
}

fn a_clean() -> World {
    let mut world = World::new(&["clean", "--yes"], "four", "four");
    ["one", "two", "three", "four"].iter().for_each(|text| world.applied(text));
    world.file(1);
    // The current one, and the one before it.
    world.left = Some(2);
    world.save();
    world
}

/// Kills the command at each of its calls, then `resume` at one of its own.
fn kill_everywhere(world: &World) {
    let calls = world.calls();
    for n in tried(calls, SAMPLE) {
        world.restore();
        let when = format!("{:?} killed at call {n} of {calls}", world.args);
        assert_eq!(world.faulty(world.args, &format!("kill:{n}")), KILLED, "{when}");
        world.must_hold(&when);
        // The second kill falls elsewhere for every first one.
        let m = 1 + n * 7 % calls;
        let when = format!("{when}, resume killed at call {m}");
        let code = world.faulty(&["resume", "--yes"], &format!("kill:{m}"));
        assert!([0, KILLED].contains(&code), "{when}: {code}");
        world.must_hold(&when);
        world.ends_well(&when);
    }
}

/// Lets each call fail. Nothing else than a documented exit may come of it, and it must not be a lie.
fn fail_everywhere(world: &World, errno: &str) {
    let calls = world.calls();
    for n in tried(calls, SAMPLE) {
        world.restore();
        let when = format!("{:?} with {errno} at call {n} of {calls}", world.args);
        let code = world.faulty(world.args, &format!("fail:{n}:{errno}"));
        assert!([0, 1, 4, 6, 7].contains(&code), "{when}: exit {code}");
        world.must_hold(&when);
        match code {
            0 => assert_eq!(world.text(), world.after, "{when}: it said that it was done"),
            1 | 6 => assert_eq!(world.text(), world.before, "{when}: it said that nothing changed"),
            _ => {}
        }
        world.ends_well(&when);
    }
}

#[test]
fn an_apply_killed_anywhere_is_finished_or_undone() {
    kill_everywhere(&second_apply());
}

#[test]
fn a_rollback_killed_anywhere_is_finished_or_undone() {
    kill_everywhere(&a_rollback());
}

#[test]
fn a_clean_killed_anywhere_is_finished() {
    kill_everywhere(&a_clean());
}

#[test]
fn an_apply_whose_file_calls_fail_says_the_truth() {
    let world = second_apply();
    ["EIO", "ENOSPC"].iter().for_each(|errno| fail_everywhere(&world, errno));
}

/// Whatever call the sample tries: a file that a kill left half written is gone before the release is sealed.
#[test]
fn what_a_killed_write_left_is_not_sealed() {
    let world = second_apply();
    let text = fs::read_to_string(world.sandbox.project().join("deployfile.kdl")).unwrap();
    let stops = format!("{text}stage render {{ sh \"test -e ../../go\"; }}\n");
    world.sandbox.write("deployfile.kdl", &stops);
    world.sandbox.expect(1, &["apply", "--yes"]);
    let folders =
        fs::read_dir(world.sandbox.root().join("releases")).unwrap().map(|entry| entry.unwrap().path());
    for folder in folders.filter(|path| !path.ends_with(world.sandbox.current().unwrap())) {
        fs::write(folder.join("conf/.deployfile-new-0123456789abcdef"), "half a fi").unwrap();
        fs::write(folder.join(".release/.deployfile-new-0123456789abcdef"), "half a fi").unwrap();
    }
    assert_eq!(invariants::leftovers(&world.sandbox).len(), 2);
    fs::write(world.sandbox.root().join("go"), "").unwrap();
    world.ends_well("a step failed");
}

/// The checker itself: worlds that are broken by hand must not pass.
#[test]
fn a_broken_world_does_not_pass() {
    let world = second_apply();
    world.must_hold("nothing is broken");
    let root = world.sandbox.root();
    let release = root.join("releases").join(world.sandbox.current().unwrap());
    let breakages: [(&str, &dyn Fn()); 5] = [
        ("an unsealed directory is current", &|| {
            copy(&release, &root.join("releases/by-hand"));
            fs::remove_dir_all(root.join("releases/by-hand/.release")).unwrap();
            fs::remove_file(root.join("current")).unwrap();
            symlink("releases/by-hand", root.join("current")).unwrap();
        }),
        ("a directory that no journal knows", &|| fs::create_dir(root.join("releases/by-hand")).unwrap()),
        ("a file of current changed", &|| fs::write(root.join("current/built.txt"), "broken\n").unwrap()),
        ("current dangles", &|| fs::remove_dir_all(&release).unwrap()),
        ("current is gone", &|| fs::remove_file(root.join("current")).unwrap()),
    ];
    for (what, breaks) in breakages {
        world.restore();
        breaks();
        assert!(world.check().is_err(), "{what}, and the check passes");
    }
}
