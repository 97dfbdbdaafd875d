//! The life of releases on a small source directory without services: plans, resume, retention, locks, damage.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_testkit::Sandbox;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Child;

fn small(extra: &str) -> Sandbox {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    sandbox.write("src/hello.txt", "one");
    sandbox.write("src/bin/tool", "#!/bin/sh\necho tool\n");
    let root = sandbox.root();
    sandbox.write(
        "deployfile.kdl",
        &format!(
            "deployfile 1\napp small {{ root \"{}\"; }}\nsource dir \"src\"\n{extra}\n\
             environment local {{ host localhost {{ connect local; }}; }}\n",
            root.display()
        ),
    );
    sandbox
}

fn hello(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.root().join("current/hello.txt")).unwrap()
}

/// Waits until the step of the run sleeps.
fn wait_for_sleep(sandbox: &Sandbox, run: &mut Child) {
    let sleeps = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains("sleep"))
    };
    while !sandbox.processes().iter().any(sleeps) {
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(run.try_wait().unwrap().is_none(), "apply ended too early");
    }
}

#[test]
fn plan_touches_nothing_and_has_one_digest() {
    let sandbox = small("");
    let first = sandbox.json(0, &["plan"]);
    assert!(!sandbox.root().exists());
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = sandbox.json(0, &["plan"]);
    assert_ne!(first["release"], second["release"], "a second lies between them");
    assert_eq!(first["digest"], second["digest"]);
    assert_eq!(first["changes"], true);
    sandbox.expect(10, &["plan", "--exit-code"]);
    sandbox.expect(0, &["apply", "--yes"]);
    sandbox.expect(0, &["plan", "--exit-code"]);
}

#[test]
fn every_template_of_init_is_valid_and_nothing_is_overwritten() {
    for template in ["quickstart", "php", "python", "node", "static"] {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
        sandbox.expect(0, &["init", "--template", template]);
        sandbox.expect(0, &["check"]);
        sandbox.write("deployfile.kdl", "mine");
        let done = sandbox.expect(4, &["init", "--template", template]);
        assert!(done.err.contains("init::exists"), "{}", done.err);
        assert_eq!(fs::read_to_string(sandbox.project().join("deployfile.kdl")).unwrap(), "mine");
    }
}

#[test]
fn more_processes_than_can_run_are_refused_before_anything_is_touched() {
    let services = |count: usize, each: usize| -> String {
        (0..count)
            .map(|n| format!("service s{n} {{ command \"sleep\" \"9\"; numprocs {each}; }}\n"))
            .collect()
    };
    for (text, says) in [(services(1, 65), "from 1 to 64"), (services(5, 60), "300 processes")] {
        let sandbox = small(&text);
        for verb in [&["check"][..], &["plan"], &["apply", "--yes"]] {
            let told = sandbox.expect(3, verb).err;
            assert!(told.contains(says) && told.contains("deployfile.kdl:"), "{verb:?}: {told}");
        }
        assert!(!sandbox.root().exists());
    }
}

#[test]
fn without_a_terminal_only_yes_is_agreement() {
    let sandbox = small("");
    let done = sandbox.expect(2, &["apply"]);
    assert!(done.err.contains("--yes"), "{}", done.err);
    assert!(!sandbox.root().exists());
}

#[test]
fn a_saved_plan_is_what_runs_and_is_refused_when_the_host_moved() {
    let sandbox = small("");
    sandbox.expect(0, &["plan", "--out", "saved.plan"]);
    sandbox.expect(0, &["apply", "--plan", "saved.plan"]);
    assert_eq!(hello(&sandbox), "one");
    let done = sandbox.expect(4, &["apply", "--plan", "saved.plan"]);
    assert!(done.err.contains("plan::stale"), "{}", done.err);
    sandbox.write("broken.plan", "{");
    sandbox.expect(4, &["apply", "--plan", "broken.plan"]);
}

#[test]
fn writing_in_one_release_never_changes_another() {
    let sandbox = small("");
    sandbox.expect(0, &["apply", "--yes"]);
    let old = sandbox.current().unwrap();
    sandbox.write("src/new.txt", "new");
    sandbox.expect(0, &["apply", "--yes"]);
    let new = sandbox.root().join("releases").join(sandbox.current().unwrap());
    for name in ["hello.txt", "bin/tool", "new.txt"] {
        let mut text = fs::read_to_string(new.join(name)).unwrap();
        text.push_str("appended");
        fs::write(new.join(name), text).unwrap();
    }
    sandbox.expect(0, &["release", "verify", &old]);
    let done = sandbox.expect(1, &["release", "verify", sandbox.current().unwrap().as_str()]);
    assert!(done.out.contains("hello.txt"), "{}", done.out);
    // Drift of current stands against the next apply, unless it is said to go over it.
    sandbox.write("src/hello.txt", "two");
    let done = sandbox.expect(4, &["apply", "--yes"]);
    assert!(done.err.contains("plan::drift"), "{}", done.err);
    sandbox.expect(0, &["apply", "--yes", "--force"]);
    assert_eq!(hello(&sandbox), "two");
}

#[test]
fn a_failing_step_changes_nothing_and_resume_goes_on_there() {
    let sandbox = small("stage build { sh \"test -e ../../allowed\"; sh \"echo built > built.txt\"; }");
    let done = sandbox.json(1, &["apply", "--yes"]);
    assert_eq!(done["result"], "failed");
    assert_eq!(done["changed"], "staged");
    assert_eq!(sandbox.current(), None);
    fs::write(sandbox.root().join("allowed"), "").unwrap();
    sandbox.expect(0, &["resume", "--yes"]);
    assert_eq!(fs::read_to_string(sandbox.root().join("current/built.txt")).unwrap(), "built\n");
    let done = sandbox.expect(0, &["resume", "--yes"]);
    assert!(done.out.contains("nothing to resume"));
}

#[test]
fn killed_in_the_middle_it_is_refused_until_resumed() {
    let sandbox = small("stage build { sh \"test -e ../../go || sleep 600\"; }");
    let mut child = sandbox.start(&["apply", "--yes"]);
    wait_for_sleep(&sandbox, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    let status = sandbox.json(0, &["status"]);
    assert_eq!(status["hosts"][0]["interrupted"]["stage"], "build");
    let done = sandbox.expect(4, &["apply", "--yes"]);
    assert!(done.err.contains("deployfile resume"), "{}", done.err);
    fs::write(sandbox.root().join("go"), "").unwrap();
    sandbox.expect(0, &["resume", "--yes"]);
    assert_eq!(hello(&sandbox), "one");
    assert!(sandbox.processes().is_empty(), "a step of the killed run is left");
}

#[test]
fn rollback_goes_back_and_the_bad_build_needs_force() {
    let sandbox = small("");
    sandbox.expect(4, &["rollback", "--yes"]);
    sandbox.expect(0, &["apply", "--yes"]);
    sandbox.expect(4, &["rollback", "--yes"]);
    sandbox.write("src/hello.txt", "two");
    sandbox.expect(0, &["apply", "--yes"]);
    sandbox.expect(0, &["rollback", "--yes"]);
    assert_eq!(hello(&sandbox), "one");
    let done = sandbox.expect(4, &["apply", "--yes"]);
    assert!(done.err.contains("plan::rolled-back-build"), "{}", done.err);
    sandbox.expect(0, &["apply", "--yes", "--force"]);
    assert_eq!(hello(&sandbox), "two");
}

#[test]
fn retention_keeps_what_it_says() {
    let sandbox = small("retention { keep 2; grace \"0s\"; }");
    for text in ["1", "2", "3", "4"] {
        sandbox.write("src/hello.txt", text);
        sandbox.expect(0, &["apply", "--yes"]);
    }
    let releases = sandbox.json(0, &["releases"]);
    let list = releases["hosts"][0]["releases"].as_array().unwrap();
    assert_eq!(list.len(), 2, "{list:?}");
    assert_eq!(fs::read_dir(sandbox.root().join("releases")).unwrap().count(), 2);
    assert!(sandbox.expect(0, &["clean", "--yes"]).out.contains("nothing to clean"));
}

#[test]
fn a_pin_keeps_a_release_and_current_cannot_be_removed() {
    let sandbox = small("retention { keep 1; grace \"0s\"; }");
    sandbox.expect(0, &["apply", "--yes"]);
    let pinned = sandbox.current().unwrap();
    sandbox.expect(0, &["release", "pin", &pinned]);
    for text in ["2", "3", "4"] {
        sandbox.write("src/hello.txt", text);
        sandbox.expect(0, &["apply", "--yes"]);
    }
    assert!(sandbox.root().join("releases").join(&pinned).exists());
    sandbox.expect(4, &["release", "rm", &pinned, "--yes"]);
    sandbox.expect(4, &["release", "rm", &sandbox.current().unwrap(), "--yes"]);
    sandbox.expect(0, &["release", "unpin", &pinned]);
    sandbox.expect(0, &["release", "rm", &pinned, "--yes"]);
    assert!(!sandbox.root().join("releases").join(&pinned).exists());
    sandbox.expect(4, &["release", "show", "never-was"]);
    sandbox.expect(2, &["release", "show", "../x"]);
}

#[test]
fn two_applies_at_once_one_waits_or_is_told_who_holds_the_lock() {
    let sandbox = small("stage build { sh \"sleep 2\"; }");
    let mut first = sandbox.start(&["apply", "--yes"]);
    while !sandbox.json(0, &["lock", "status"])["hosts"][0]["lock"].is_object() {
        assert!(first.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let busy = sandbox.json(5, &["apply", "--yes"]);
    assert_eq!(busy["code"], "lock::busy");
    let waited = sandbox.json(0, &["apply", "--yes", "--wait", "60s"]);
    assert_eq!(waited["changed"], "none", "the first one made it true");
    assert!(first.wait().unwrap().success());
}

#[test]
fn ctrl_c_before_the_switch_leaves_the_run_for_resume() {
    let sandbox = small("stage build { sh \"test -e ../../go || sleep 600\"; }");
    let mut child = sandbox.start(&["apply", "--yes"]);
    wait_for_sleep(&sandbox, &mut child);
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(sandbox.processes().is_empty(), "the step was cut short with all that it started");
    fs::write(sandbox.root().join("go"), "").unwrap();
    sandbox.expect(0, &["resume", "--yes"]);
}

#[test]
fn shared_data_and_links_outlive_releases() {
    let sandbox =
        small("shared { dir \"media\" mode=\"0750\"; }\nlink \"settings\" to=\"{{ shared }}/media\"");
    let link = sandbox.path().join("www");
    let file = fs::read_to_string(sandbox.project().join("deployfile.kdl")).unwrap();
    sandbox.write("deployfile.kdl", &format!("{file}link \"{}\" to=\"{{{{ current }}}}\"\n", link.display()));
    sandbox.expect(0, &["apply", "--yes"]);
    let media = sandbox.root().join("shared/media");
    assert_eq!(fs::metadata(&media).unwrap().permissions().mode() & 0o777, 0o750);
    fs::write(sandbox.root().join("current/media/upload"), "kept").unwrap();
    sandbox.write("src/hello.txt", "two");
    sandbox.expect(0, &["apply", "--yes"]);
    assert_eq!(fs::read_to_string(sandbox.root().join("current/settings/upload")).unwrap(), "kept");
    assert_eq!(fs::read_to_string(link.join("hello.txt")).unwrap(), "two");
}
