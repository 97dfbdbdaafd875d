//! Runs that are under way, were interrupted or are long over: what the verbs say of them, and what is kept.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_testkit::{Sandbox, until};
use std::fs;
use std::process::Child;

fn small(more: &str) -> Sandbox {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    sandbox.write("src/hello.txt", "one");
    let root = sandbox.root();
    sandbox.write(
        "deployfile.kdl",
        &format!(
            "deployfile 1\napp small {{ root \"{}\"; }}\nsource dir \"src\"\n{more}\n\
             environment local {{ host localhost {{ connect local; }}; }}\n",
            root.display()
        ),
    );
    sandbox
}

/// A run whose step waits for the file `go` beneath the root.
fn waiting() -> (Sandbox, Child) {
    let sandbox = small(
        "stage build { sh \"echo waits; while ! test -e ../../go; do sleep 0.1; done; echo went on\"; }",
    );
    let child = sandbox.start(&["apply", "--yes"]);
    until("the step waits", || {
        sandbox.root().join("releases").exists()
            && sandbox.json(0, &["status"])["hosts"][0]["running"]["stage"] == "build"
    });
    (sandbox, child)
}

fn go(sandbox: &Sandbox) {
    fs::write(sandbox.root().join("go"), "").unwrap();
}

fn history(sandbox: &Sandbox, run: &str) -> String {
    fs::read_to_string(sandbox.root().join(format!(".deployfile/history/{run}.jsonl"))).unwrap()
}

fn last_run(sandbox: &Sandbox) -> String {
    let runs = sandbox.json(0, &["history"])["runs"].clone();
    runs.as_array().unwrap().last().unwrap()["run"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_that_is_under_way_is_not_called_interrupted() {
    let (sandbox, mut child) = waiting();
    let host = sandbox.json(0, &["status"])["hosts"][0].clone();
    assert!(host["interrupted"].is_null() && host["lock"].is_object(), "{host}");
    let told = sandbox.expect(0, &["status"]).out;
    assert!(told.contains("  running    run apply-") && told.contains(" in stage build, tester@"), "{told}");
    assert!(!told.contains("interrupted") && !told.contains("deployfile resume"), "{told}");

    let planned = sandbox.expect(5, &["plan"]);
    for part in ["error[lock::busy]", "held by tester", "is under way", "wait until it is done"] {
        assert!(planned.err.contains(part), "{part} is not in: {}", planned.err);
    }
    assert!(!planned.err.contains("resume"), "{}", planned.err);
    assert_eq!(sandbox.json(5, &["plan"])["code"], "lock::busy");

    go(&sandbox);
    assert!(child.wait().unwrap().success());
    let host = sandbox.json(0, &["status"])["hosts"][0].clone();
    assert!(host["interrupted"].is_null() && host["running"].is_null(), "{host}");
    sandbox.expect(0, &["plan"]);
}

#[test]
fn an_interrupted_run_goes_on_without_its_deployfile() {
    let (sandbox, mut child) = waiting();
    child.kill().unwrap();
    child.wait().unwrap();
    let host = sandbox.json(0, &["status"])["hosts"][0].clone();
    assert!(host["running"].is_null() && host["interrupted"]["stage"] == "build", "{host}");
    sandbox.expect(4, &["plan"]);
    go(&sandbox);

    for (text, code) in [("nonsense {", "error[resume::deployfile]"), ("", "error[resume::deployfile]")] {
        sandbox.write("deployfile.kdl", text);
        let told = sandbox.expect(3, &["resume", "--yes"]).err;
        assert!(told.contains(code) && told.contains("deployfile resume --root DIR"), "{told}");
    }
    fs::remove_file(sandbox.project().join("deployfile.kdl")).unwrap();
    let told = sandbox.expect(3, &["resume", "--yes"]).err;
    assert!(told.contains("config::missing") && told.contains("deployfile resume --root DIR"), "{told}");

    let root = sandbox.root().display().to_string();
    let wrong = sandbox.expect(2, &["resume", "--yes", "--root", "/nowhere/at/all"]).err;
    assert!(wrong.contains("/nowhere/at/all") && wrong.contains("help: "), "{wrong}");
    sandbox.expect(2, &["resume", "--yes", "local", "--root", &root]);
    sandbox.expect(0, &["resume", "--yes", "--root", &format!("{root}/")]);
    assert_eq!(fs::read_to_string(sandbox.root().join("current/hello.txt")).unwrap(), "one");
    let again = sandbox.expect(0, &["resume", "--yes", "--root", &root]);
    assert!(again.out.contains("nothing to resume"), "{}", again.out);
}

#[test]
fn what_a_power_cut_may_have_taken_is_made_anew() {
    let (sandbox, mut child) = waiting();
    child.kill().unwrap();
    child.wait().unwrap();
    go(&sandbox);
    let first = |folder: &str, prefix: &str| {
        let entries = fs::read_dir(sandbox.root().join(folder)).unwrap().flatten();
        let mut named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        named.next().unwrap().path()
    };
    // As a power cut may leave it: the machine was started again, and a file that the fetch had written is empty.
    fs::write(first(".deployfile/cache", "boot-"), "another start").unwrap();
    fs::write(first("releases", "").join("hello.txt"), "").unwrap();
    let resumed = sandbox.expect(0, &["resume", "--yes"]);
    assert!(resumed.err.contains("warning: the machine was started again since release"), "{}", resumed.err);
    assert_eq!(fs::read_to_string(sandbox.root().join("current/hello.txt")).unwrap(), "one");
    let current = sandbox.current().unwrap();
    sandbox.expect(0, &["release", "verify", &current]);
}

#[test]
fn what_a_resume_does_stands_in_the_history_of_its_run() {
    let (sandbox, mut child) = waiting();
    child.kill().unwrap();
    child.wait().unwrap();
    go(&sandbox);
    sandbox.expect(0, &["resume", "--yes"]);
    let text = history(&sandbox, &last_run(&sandbox));
    assert!(text.contains("\"waits\"") && text.contains("\"went on\""), "{text}");
    assert!(text.lines().last().unwrap().contains("\"event\":\"finished\""), "{text}");
}

#[test]
fn a_flood_of_short_lines_is_cut_on_screen_and_in_the_history() {
    let sandbox = small("stage build { sh \"yes | head -c 20000000; echo the end\"; }");
    let told = sandbox.expect(0, &["apply", "--yes"]);
    let lines = told.err.lines().count();
    assert!(lines < 20_000, "{lines} lines");
    assert_eq!(told.err.matches("not shown").count(), 1);
    assert!(told.err.contains("| the end"));
    let history = history(&sandbox, &last_run(&sandbox));
    assert!(history.len() < 8 << 20, "{} bytes", history.len());
}

#[test]
fn histories_of_runs_that_nobody_knows_are_removed() {
    let sandbox = small("");
    sandbox.expect(0, &["apply", "--yes"]);
    let first = last_run(&sandbox);
    let folder = sandbox.root().join(".deployfile/history");
    fs::write(folder.join("apply-of-long-ago.jsonl"), "{}\n").unwrap();
    sandbox.write("src/hello.txt", "two");
    sandbox.expect(0, &["apply", "--yes"]);
    assert!(!folder.join("apply-of-long-ago.jsonl").exists());
    assert!(!history(&sandbox, &first).is_empty());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    assert!(sandbox.expect(0, &["history", "show", &first]).out.contains("ok  commit"));
    fs::remove_file(folder.join(format!("{first}.jsonl"))).unwrap();
    assert!(sandbox.expect(0, &["history", "show", &first]).out.contains("not kept any more"));
}

#[test]
fn a_service_that_fails_is_shown_with_lines_of_its_own_release() {
    let sandbox = small(
        "service web { command \"sh\" \"-c\" \"echo started with $(cat hello.txt); exec sleep 1000\"; \
         stop timeout=\"1s\"; health exec=\"grep\" \"-q\" \"one\" \"hello.txt\" within=\"2s\" interval=\"100ms\"; }",
    );
    sandbox.expect(0, &["apply", "--yes"]);
    sandbox.write("src/hello.txt", "two");
    let told = sandbox.expect(6, &["apply", "--yes"]).err;
    let error = told.split("error[").nth(1).unwrap().split("help:").next().unwrap();
    assert!(error.contains("started with two") && !error.contains("started with one"), "{told}");
}

#[test]
fn a_source_that_changes_while_it_is_copied_is_applied_anew() {
    let sandbox = small("stage fetch { before { sh \"echo changed > $SOURCE/hello.txt\"; }; }");
    let source = sandbox.project().join("src");
    let file = fs::read_to_string(sandbox.project().join("deployfile.kdl")).unwrap();
    sandbox.write("deployfile.kdl", &file.replace("$SOURCE", source.to_str().unwrap()));
    let told = sandbox.expect(1, &["apply", "--yes"]).err;
    assert!(told.contains("source::changed"), "{told}");
    let last = told.lines().last().unwrap();
    assert!(last.starts_with("next: deployfile apply") && !last.contains("deployfile resume"), "{told}");
}

#[test]
fn a_release_is_shown_in_words() {
    let sandbox = small("");
    sandbox.expect(0, &["apply", "--yes"]);
    let id = sandbox.current().unwrap();
    let told = sandbox.expect(0, &["release", "show", &id]).out;
    for wrong in ["null", "{", "true", "false", "reason"] {
        assert!(!told.contains(wrong), "{wrong} is in:\n{told}");
    }
    assert!(told.starts_with(&format!("release   {id}\nstate     good, current\n")), "{told}");
    assert!(told.contains("\nsize      ") && told.contains(" B\n"), "{told}");
    assert_eq!(sandbox.json(0, &["release", "show", &id])["release"]["current"], true);
}
