//! Wrong use of the command line, streams that take nothing, and two runs at once.

use crate::{Outcome, World};
use deployfile_testkit::sandbox::done;
use std::fs::OpenOptions;
use std::process::Command;

#[test]
fn what_the_command_line_does_not_know() {
    let world = World::new();
    world.sandbox.write("src/hello.txt", "new");
    for (args, code, says) in [
        (vec!["frobnicate"], "cli::usage", "frobnicate"),
        (vec!["apply", "--frobnicate"], "cli::usage", "--frobnicate"),
        (vec!["apply", "--yes", "--set", "x"], "cli::set", "--set vars."),
        (vec!["apply", "--yes", "--set", "app.root=/x"], "cli::set", "app.root=/x"),
        (vec!["apply", "--yes", "nowhere"], "cli::environment", "local"),
        (vec!["-e", "nowhere", "apply", "--yes"], "cli::environment", "local"),
        (vec!["apply", "--yes", "--wait", "soon"], "cli::duration", "30s"),
        (vec!["apply", "--yes", "--rev=-x"], "cli::rev", "`-x`"),
        (vec!["apply"], "cli::not-agreed", "--yes"),
        (vec!["service", "stop", "nobody"], "cli::service", "nobody"),
    ] {
        world.stops_at(&args, &Outcome { exit: 2, code, says: &[says] });
    }
    let outcome = Outcome { exit: 3, code: "config::undeclared", says: &["nobody", "vars {"] };
    world.stops_at(&["apply", "--yes", "--set", "vars.nobody=1"], &outcome);
    world.recovers();
}

/// The program with its streams as a shell's redirections say.
fn redirected(world: &World, redirections: &str, args: &[&str]) -> i32 {
    let program = world.sandbox.command(args);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$0\" \"$@\" {redirections}")]).arg(program.get_program());
    command.args(program.get_args()).env_clear().current_dir(world.sandbox.project());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    done(command).code
}

#[test]
fn streams_that_are_closed_or_full_never_stop_a_run() {
    let world = World::new();
    for (n, redirections) in
        [">&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"]
            .into_iter()
            .enumerate()
    {
        for format in ["human", "json"] {
            world.sandbox.write("src/hello.txt", &format!("{n} {format}"));
            let code = redirected(&world, redirections, &["--format", format, "apply", "--yes"]);
            assert_eq!(code, 0, "{redirections} {format}");
            assert_eq!(world.served().1, format!("{n} {format}"));
        }
    }
    world.recovers();
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure_but_no_crash() {
    let world = World::new();
    assert!(OpenOptions::new().write(true).open("/dev/full").is_ok(), "Linux has /dev/full");
    for args in [
        &["status"][..],
        &["--format", "json", "status"],
        &["plan"],
        &["releases"],
        &["history"],
        &["check"],
        &["schema"],
        &["completions", "bash"],
        &["service", "list"],
    ] {
        assert_eq!(redirected(&world, ">/dev/full", args), 1, "{args:?}");
        assert_eq!(redirected(&world, ">&-", args), 0, "{args:?}: what is closed was not wanted");
    }
    for (args, code) in
        [(&["--version"][..], 1), (&["--help"], 1), (&["plan", "--help"], 1), (&["frobnicate"], 2)]
    {
        assert_eq!(redirected(&world, ">/dev/full 2>&1", args), code, "{args:?}");
    }
    assert_eq!(redirected(&world, ">&-", &["--version"]), 0);
    for args in [&["--format", "json", "plan"][..], &["--format", "json", "check"], &["--version"]] {
        redirected(&world, ">/dev/full 2>said", args);
        let said = std::fs::read_to_string(world.sandbox.project().join("said")).unwrap();
        assert!(said.contains("error[cli::stdout]") && said.contains("No space left"), "{args:?}: {said}");
    }
    world.sandbox.write("deployfile.kdl", "nonsense {");
    redirected(&world, ">/dev/full 2>said", &["--format", "json", "plan"]);
    let said = std::fs::read_to_string(world.sandbox.project().join("said")).unwrap();
    assert!(said.contains("error[config::"), "{said}");
    world.recovers();
}

#[test]
fn two_applies_at_once() {
    let world = World::new();
    world.file("stage build { sh \"test -e ../../go || sleep 600\"; }");
    let mut first = world.sandbox.start(&["apply", "--yes"]);
    deployfile_testkit::until("the first one holds the lock", || {
        world.sandbox.json(0, &["lock", "status"])["hosts"][0]["lock"].is_object()
    });
    let (before, busy) = (world.served(), world.sandbox.expect(5, &["apply", "--yes"]));
    for part in ["error[lock::busy]", "tester", "--wait"] {
        assert!(busy.err.contains(part), "{}", busy.err);
    }
    let error = world.sandbox.json(5, &["apply", "--yes"]);
    assert_eq!((&error["code"], &error["retry"]), (&"lock::busy".into(), &"same".into()));
    assert_eq!(world.served(), before);
    Command::new("kill").args(["-INT", &first.id().to_string()]).status().unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(130));
    std::fs::write(world.sandbox.root().join("go"), "").unwrap();
    world.sandbox.expect(0, &["resume", "--yes"]);
    world.recovers();
}
