//! A sandbox as it is before the command that is tried, to be had again for every try.

use crate::invariants::{self, KEPT, served};
use deployfile_testkit::trace::{Ended, Trace, Watch};
use deployfile_testkit::{Done, Sandbox, until};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What a command has to have brought about; otherwise why it has not.
pub(crate) type IsDone = fn(&World) -> Result<(), String>;

/// The world before a command, the command, and the world after it.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    /// The command that is tried.
    pub(crate) args: Vec<String>,
    /// How it exits when nothing is in its way.
    pub(crate) exit: i32,
    /// What may be served from its begin to its end: the old, then the new when it brings one.
    pub(crate) may_serve: Vec<Option<&'static str>>,
    /// Whether it has done what it is for.
    pub(crate) is_done: IsDone,
    /// It is a run: `resume` ends what of it was interrupted.
    pub(crate) is_run: bool,
    /// A service of the builtin manager runs before it.
    pub(crate) has_service: bool,
    /// The builtin manager may run after it.
    pub(crate) leaves_manager: bool,
    /// A line of shell that runs in the place of the command: what a lane has to catch. `OLD` is the other release.
    pub(crate) stand_in: Option<&'static str>,
}

/// Folders of a sandbox that a command may change.
const FOLDERS: [&str; 2] = ["project", "root"];

impl World {
    /// An app with a source, shared data, a step and a template; `more` goes into the deployfile.
    pub(crate) fn new(more: &str) -> Self {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
        sandbox.write("src/bin/tool", "#!/bin/sh\n");
        sandbox.write("a.j2", "release = {{ release_id }}\n");
        let world = Self {
            sandbox,
            args: Vec::new(),
            exit: 0,
            may_serve: Vec::new(),
            is_done: |_| Ok(()),
            is_run: false,
            has_service: false,
            leaves_manager: false,
            stand_in: None,
        };
        world.file(9, more);
        world
    }

    /// Writes the deployfile.
    pub(crate) fn file(&self, keep: u32, more: &str) {
        let text = format!(
            "deployfile 1\napp small {{ root \"{}\"; }}\nsource dir \"src\"\nshared {{ dir \"media\"; }}\n\
             stage build {{ sh \"echo built > built.txt\"; template \"a.j2\" to=\"conf/a.ini\" kind=ini; }}\n\
             retention {{ keep {keep}; grace \"0s\"; }}\n{more}\n\
             environment local {{ host localhost {{ connect local; }}; }}\n",
            self.sandbox.root().display()
        );
        self.sandbox.write("deployfile.kdl", &text);
    }

    /// A release with this text is applied.
    pub(crate) fn applied(self, text: &str) -> Self {
        self.sandbox.write("src/hello.txt", text);
        self.sandbox.expect(0, &["apply", "--yes"]);
        fs::write(self.sandbox.root().join("shared/media/kept.txt"), KEPT).unwrap();
        self
    }

    /// The next release would have this text.
    pub(crate) fn with_source(self, text: &str) -> Self {
        self.sandbox.write("src/hello.txt", text);
        self
    }

    /// The command that is tried, and when it has done what it is for.
    pub(crate) fn tries(mut self, args: &[&str], is_done: IsDone) -> Self {
        self.args = args.iter().map(|&arg| arg.to_owned()).collect();
        self.is_done = is_done;
        self
    }

    /// The builtin manager runs a service: before the command, and afterwards.
    pub(crate) fn with_manager(mut self, before: bool) -> Self {
        (self.has_service, self.leaves_manager) = (before, true);
        self
    }

    /// It is a run, and this may be served meanwhile.
    pub(crate) fn a_run(mut self, may_serve: &[Option<&'static str>]) -> Self {
        self.is_run = true;
        self.serves(may_serve)
    }

    /// What may be served meanwhile.
    pub(crate) fn serves(mut self, may_serve: &[Option<&'static str>]) -> Self {
        self.may_serve = may_serve.to_vec();
        self
    }

    /// What is there now is what every try begins with. Nothing stored names the root's path or inodes, so a copy is
    /// as good as the root.
    pub(crate) fn saved(self) -> Self {
        self.sandbox.end_processes();
        fs::create_dir(self.sandbox.path().join("template")).unwrap();
        let folders = FOLDERS.map(|folder| self.sandbox.path().join(folder));
        for folder in folders.iter().filter(|folder| folder.exists()) {
            fs::create_dir(self.sandbox.path().join("template").join(folder.file_name().unwrap())).unwrap();
            copy(folder, &self.sandbox.path().join("template").join(folder.file_name().unwrap()));
        }
        self
    }

    /// The world before the command, again.
    pub(crate) fn restore(&self) {
        if self.leaves_manager {
            self.sandbox.end_processes();
        }
        FOLDERS.iter().for_each(|folder| drop(fs::remove_dir_all(self.sandbox.path().join(folder))));
        copy(&self.sandbox.path().join("template"), &self.sandbox.path());
        if self.has_service {
            self.sandbox.expect(0, &["service", "start"]);
        }
    }

    /// The arguments of the command.
    pub(crate) fn args(&self) -> Vec<&str> {
        self.args.iter().map(String::as_str).collect()
    }

    /// A rollback leads to what may be served.
    pub(crate) fn may_roll_back(&self) -> bool {
        self.is_run && self.may_serve.len() > 1
    }

    /// A command, not yet started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let Some(line) = self.stand_in.filter(|_| args.ends_with(&self.args())) else {
            return self.sandbox.command(args);
        };
        let current = self.sandbox.current();
        let releases = fs::read_dir(self.sandbox.root().join("releases")).unwrap();
        let names = releases.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let old = names.filter(|name| Some(name) != current.as_ref()).min().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("OLD", old).current_dir(self.sandbox.project());
        command
    }

    /// The tracer of what changes something here. It is quicker where nothing outlives it.
    pub(crate) fn trace(&self) -> Trace {
        let trace = Trace::beneath(&self.sandbox.path());
        if self.leaves_manager { trace.leave_rest() } else { trace }
    }

    /// A command under the tracer.
    pub(crate) fn traced(&self, args: &[&str], watch: &mut (impl Watch + Send)) -> Ended {
        self.trace().run(self.command(args), watch)
    }

    /// What must hold whenever no command runs.
    pub(crate) fn check(&self) -> Result<Value, String> {
        if self.may_serve.is_empty() {
            return Ok(Value::Null);
        }
        let status = invariants::check(&self.sandbox, &self.may_serve)?;
        Ok(status)
    }

    /// From whatever is there, to the end that the command is for: `resume` when it is a run, then the command when it
    /// has not been done.
    pub(crate) fn ends_well(&self) -> Result<(), String> {
        let mut is_checked = false;
        if self.is_run {
            let resumed = self.sandbox.run(&["resume", "--yes"]);
            if ![0, self.exit].contains(&resumed.code) {
                return Err(format!("resume: {}", told(&resumed)));
            }
            let status = self.check()?;
            if status["interrupted"] != Value::Null {
                return Err(format!("resume ended well, and there is {}", status["interrupted"]));
            }
            is_checked = true;
        }
        if (self.is_done)(self).is_err() {
            let again = self.sandbox.run(&self.args());
            if again.code != self.exit {
                return Err(format!("{:?} again: {}", self.args, told(&again)));
            }
            is_checked = false;
        }
        if !is_checked {
            self.check()?;
        }
        (self.is_done)(self)?;
        let mut left = invariants::leftovers(&self.sandbox);
        if !left.is_empty() && self.is_run {
            // Of a run that was over; the next one sweeps it.
            self.sandbox.run(&["clean", "--yes"]);
            left = invariants::leftovers(&self.sandbox);
        }
        if left.is_empty() { Ok(()) } else { Err(format!("left over: {left:?}")) }
    }

    /// Nothing that a killed command started goes on, but the builtin manager and its service.
    pub(crate) fn nothing_runs(&self) {
        if !self.leaves_manager {
            until("what a killed command started has ended", || self.sandbox.processes().is_empty());
        }
    }

    /// This text is served.
    pub(crate) fn is_served(&self, text: &str) -> Result<(), String> {
        match served(&self.sandbox) {
            Some(served) if served == text => Ok(()),
            other => Err(format!("{other:?} is served")),
        }
    }
}

/// How a command ended, for people.
pub(crate) fn told(done: &Done) -> String {
    format!("exit {}\n{}{}", done.code, done.out, done.err)
}

/// Copies what is in a folder.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap().success());
}
