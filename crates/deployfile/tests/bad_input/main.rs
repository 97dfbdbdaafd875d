//! Bad input of every kind: the documented exit code, a message that says what to do, nothing that is served changes,
//! and the next good apply works.
//!
//! Mistakes of the language itself (one rule, one message) are `deployfile-config`'s tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

mod blow_ups;
mod command_line;
mod files;
mod plugins;
mod roots;
mod space;
mod steps;
mod writable;

use deployfile_testkit::Sandbox;
use serde_json::Value;
use std::fs;

/// An app that serves a good release, into which something bad is put.
struct World {
    sandbox: Sandbox,
    release: String,
}

/// What a bad input must end with.
struct Outcome<'a> {
    exit: i32,
    code: &'a str,
    /// Parts of what a person is told: what is wrong, and what to do.
    says: &'a [&'a str],
}

impl World {
    /// A small app that is served.
    fn new() -> Self {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
        sandbox.write("src/hello.txt", "good");
        let mut world = Self { sandbox, release: String::new() };
        world.file("");
        world.sandbox.expect(0, &["apply", "--yes"]);
        world.release = world.sandbox.current().unwrap();
        world
    }

    /// Writes the deployfile with more settings.
    fn file(&self, more: &str) {
        self.file_with_app(&format!("root \"{}\"", self.sandbox.root().display()), more);
    }

    /// Writes the deployfile with other settings of the app.
    fn file_with_app(&self, app: &str, more: &str) {
        let text = format!(
            "deployfile 1\napp small {{ {app}; }}\nsource dir \"src\"\n{more}\n\
             environment local {{ host localhost {{ connect local; }}; }}\n"
        );
        self.sandbox.write("deployfile.kdl", &text);
    }

    /// What is served, byte for byte.
    fn served(&self) -> (Option<String>, String) {
        let text = fs::read_to_string(self.sandbox.root().join("current/hello.txt")).unwrap();
        (self.sandbox.current(), text)
    }

    /// Applies, for people and for programs: both are told the same, and what is served stays.
    #[track_caller]
    fn stops(&self, outcome: &Outcome<'_>) -> Value {
        self.stops_at(&["apply", "--yes"], outcome)
    }

    /// As [`World::stops`], with another command.
    #[track_caller]
    fn stops_at(&self, args: &[&str], outcome: &Outcome<'_>) -> Value {
        let before = self.served();
        let person = self.sandbox.expect(outcome.exit, args);
        let heading = format!("error[{}]: ", outcome.code);
        assert!(person.err.contains(&heading), "{heading} is not in:\n{}", person.err);
        for part in outcome.says {
            assert!(person.err.contains(part), "{part:?} is not in:\n{}", person.err);
        }
        let mut all = vec!["--format", "json"];
        all.extend(args);
        let program = self.sandbox.expect(outcome.exit, &all);
        let error = error_object(&program.out, outcome);
        assert_eq!(self.served(), before, "what is served changed");
        assert!(self.sandbox.processes().is_empty(), "something runs on");
        error
    }

    /// The next good apply works. An interrupted run is not one of the outcomes, so nothing has to be resumed.
    #[track_caller]
    fn recovers(&self) {
        self.file("");
        self.sandbox.write("src/hello.txt", "better");
        self.sandbox.expect(0, &["apply", "--yes"]);
        assert_eq!(self.served().1, "better");
        assert_ne!(self.sandbox.current(), Some(self.release.clone()));
    }
}

/// The error among the lines of JSON; it has every field of cli.md.
#[track_caller]
fn error_object(out: &str, outcome: &Outcome<'_>) -> Value {
    let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let errors: Vec<Value> = lines.filter(|line| line["event"] == "error").collect();
    let found = errors.iter().find(|error| error["code"] == outcome.code);
    let error = found.unwrap_or_else(|| panic!("no error {} in:\n{out}", outcome.code)).clone();
    assert_eq!(error["format"], 1);
    assert_eq!(error["exit"], outcome.exit, "{error}");
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
    assert!(error["causes"].is_array(), "{error}");
    assert!(["none", "staged", "reverted"].contains(&error["changed"].as_str().unwrap()), "{error}");
    assert!(["no", "same", "after"].contains(&error["retry"].as_str().unwrap_or_default()), "{error}");
    for key in ["stage", "host", "at", "help"] {
        assert!(error.get(key).is_some(), "no field {key}: {error}");
    }
    error
}
