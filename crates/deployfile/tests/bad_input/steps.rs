//! Steps of the file and services that misbehave.

use crate::{Outcome, World};
use deployfile_testkit::free_port;
use std::net::TcpListener;

#[test]
fn a_step_that_fails() {
    let world = World::new();
    for (step, code, says) in [
        ("run \"false\"", "process::failed", "exited with status 1"),
        ("sh \"echo some last words; exit 3\"", "process::failed", "some last words"),
        ("sh \"kill -KILL $$\"", "process::failed", "signal 9"),
        ("run no-such-program", "process::not-found", "install it"),
        ("run \"./not-in-the-release\"", "process::not-found", "not-in-the-release"),
    ] {
        world.file(&format!("stage build {{ {step}; }}"));
        let outcome = Outcome { exit: 1, code, says: &[says, "(stage build)", "next: "] };
        let error = world.stops(&outcome);
        assert_eq!((&error["stage"], &error["changed"]), (&"build".into(), &"staged".into()));
    }
    world.recovers();
}

#[test]
fn a_step_that_hangs_is_cut_short_with_all_that_it_started() {
    let world = World::new();
    for step in ["run sleep \"600\"", "sh \"trap : TERM; sleep 600 & sleep 600; sleep 600\""] {
        world.file(&format!("stage build {{ {step} timeout=\"1s\"; }}"));
        let says = ["did not end within 1 s", "longer `timeout`"];
        world.stops(&Outcome { exit: 1, code: "process::timeout", says: &says });
    }
    world.recovers();
}

#[test]
fn a_step_that_leaves_children_behind_takes_them_along() {
    let world = World::new();
    // In the step's own group, and in a session of their own.
    world.file("stage build { sh \"sleep 600 & setsid sleep 600 & sleep 0.2; exit 1\"; }");
    world.stops(&Outcome { exit: 1, code: "process::failed", says: &["exited with status 1"] });
    world.file("stage build { sh \"sleep 600 & setsid sleep 600 & sleep 0.2\"; }");
    world.sandbox.expect(0, &["apply", "--yes"]);
    assert!(world.sandbox.processes().is_empty(), "a child of a step runs on");
    world.recovers();
}

#[test]
fn a_step_that_prints_100_megabytes_is_shown_and_kept_within_bounds() {
    let world = World::new();
    world.file("stage build { sh \"yes 0123456789 | head -c 100000000; exit 1\"; }");
    let done = world.sandbox.expect(1, &["apply", "--yes"]);
    let shown = done.out.len() + done.err.len();
    assert!(shown < 24 << 20, "{shown} bytes were shown");
    assert!(done.err.contains("error[process::failed]"));
    let history = world.sandbox.root().join(".deployfile/history");
    let kept: u64 = std::fs::read_dir(history).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(kept < 66 << 20, "{kept} bytes were kept");
    world.file("stage build { sh \"head -c 100000000 /dev/zero\"; }");
    let done = world.sandbox.expect(0, &["-v", "apply", "--yes"]);
    assert!(done.out.len() + done.err.len() < 24 << 20, "one line without an end is cut");
    world.recovers();
}

#[test]
fn a_health_url_that_never_answers_is_reverted() {
    let world = World::new();
    // One port that nobody listens on, and one where connections are taken and never answered.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for port in [free_port(), silent.local_addr().unwrap().port()] {
        world.file(&format!(
            "service web {{ manager external; on-deploy none; \
             health http=\"http://127.0.0.1:{port}/healthz\" within=\"1s\" interval=\"100ms\"; }}"
        ));
        let before = world.served();
        let url = format!("http://127.0.0.1:{port}/healthz");
        let done = world.sandbox.expect(6, &["apply", "--yes"]);
        assert!(done.err.contains("error[verify::") && done.err.contains(&url), "{}", done.err);
        let document = world.sandbox.json(6, &["apply", "--yes"]);
        assert_eq!((&document["result"], &document["changed"]), (&"reverted".into(), &"reverted".into()));
        assert_eq!(document["served"]["release"], world.release.as_str());
        assert_eq!(world.served(), before);
    }
    world.recovers();
}
