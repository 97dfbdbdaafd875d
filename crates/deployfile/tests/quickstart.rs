//! `examples/quickstart` as a new user runs it: twice, broken once, rolled back; nothing is refused or mixed meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_testkit::{Sandbox, free_port, get, needs};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The example with a root and a port of its own.
fn quickstart() -> (Sandbox, u16) {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    let port = free_port();
    sandbox.copy(&repository().join("examples/quickstart"));
    let guard = fs::read(repository().join("plugins/release-guard/release-guard.wasm")).unwrap();
    let shipped = fs::read(sandbox.project().join("plugins/release-guard.wasm")).unwrap();
    assert!(shipped == guard, "copy plugins/release-guard/release-guard.wasm to the example and lock it");
    let root = sandbox.root();
    sandbox.replace("deployfile.kdl", "/var/tmp/deployfile-quickstart", root.to_str().unwrap());
    sandbox.replace("deployfile.kdl", "port 8080", &format!("port {port}"));
    (sandbox, port)
}

fn version(port: u16) -> String {
    get(port, "/version").unwrap().body
}

/// Asks the service one time after the other while `act` is at work; gives the versions that answered, in their order
/// and each once for as long as it did, and what failed.
fn under_load(port: u16, act: impl FnOnce()) -> (Vec<String>, Vec<String>) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let (mut versions, mut failed) = (Vec::new(), Vec::new());
            for _ in 0..100_000 {
                match get(port, "/version") {
                    Ok(answer) if answer.status == 200 => versions.push(answer.body),
                    other => failed.push(format!("{other:?}")),
                }
                versions.dedup();
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
            }
            (versions, failed)
        });
        act();
        is_over.store(true, Ordering::SeqCst);
        client.join().unwrap()
    })
}

#[test]
fn applied_twice_broken_once_and_rolled_back() {
    if !needs("python3", "quickstart") {
        return;
    }
    let (sandbox, port) = quickstart();
    sandbox.expect(0, &["check"]);
    let first = sandbox.json(0, &["apply", "--yes"]);
    assert_eq!(first["result"], "done");
    assert_eq!(first["served"]["verified"], true);
    let old = version(port);
    let first_release = sandbox.current().unwrap();
    assert!(get(port, "/").unwrap().body.contains("Visits so far: 1"));

    let again = sandbox.json(0, &["apply", "--yes"]);
    assert_eq!(again["changed"], "none", "an already-true file does nothing");
    assert_eq!(sandbox.current().unwrap(), first_release);

    sandbox.replace("app/page.html", "Hello", "Good day");
    let (versions, failed) = under_load(port, || drop(sandbox.expect(0, &["apply", "--yes"])));
    assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), failed.first());
    let new = version(port);
    assert_eq!(versions, [old.clone(), new.clone()], "old, then new, and never old again");
    let second_release = sandbox.current().unwrap();
    let page = get(port, "/").unwrap().body;
    assert!(
        page.contains("Good day") && page.contains("Visits so far: 2"),
        "shared data outlives releases: {page}"
    );

    sandbox.replace("app/server.py", "self.answer(\"ok\"", "self.answer(\"sick\"");
    let (versions, failed) = under_load(port, || {
        let broken = sandbox.json(6, &["apply", "--yes"]);
        assert_eq!(broken["changed"], "reverted");
    });
    assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), failed.first());
    assert_eq!(versions, std::slice::from_ref(&new), "what is sick never answers anybody but the probes");
    assert_eq!(sandbox.current().unwrap(), second_release);
    assert_eq!(version(port), new);

    let rollback = sandbox.json(0, &["rollback", "--yes"]);
    assert_eq!(rollback["served"]["release"], first_release.as_str());
    assert_eq!(sandbox.current().unwrap(), first_release);
    assert_eq!(version(port), old);

    let status = sandbox.json(0, &["status"]);
    let host = &status["hosts"][0];
    assert_eq!(host["current"], first_release.as_str());
    assert_eq!(host["services"][0]["state"], "running");
    assert_eq!(host["build_id"], host["served_build_id"]);
    assert_eq!(host["drift"].as_array().unwrap().len(), 0);
    let history = sandbox.json(0, &["history"]);
    let results: Vec<&str> =
        history["runs"].as_array().unwrap().iter().map(|run| run["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["done", "done", "reverted", "done"]);
}

#[test]
fn the_guard_annotates_the_release_and_can_veto_it() {
    if !needs("python3", "quickstart veto") {
        return;
    }
    let (sandbox, _) = quickstart();
    sandbox.expect(0, &["apply", "--yes"]);
    let id = sandbox.current().unwrap();
    let shown = sandbox.json(0, &["release", "show", &id]);
    let notes = shown["release"]["notes"].as_object().unwrap();
    assert!(notes.keys().any(|key| key.starts_with("guard.")), "{notes:?}");

    sandbox.write("app/secret.pem", "do not ship");
    let vetoed = sandbox.json(4, &["apply", "--yes"]);
    assert_eq!(vetoed["result"], "refused");
    assert_eq!(sandbox.current().unwrap(), id);
}

#[test]
fn services_can_be_listed_stopped_and_started() {
    if !needs("python3", "quickstart services") {
        return;
    }
    let (sandbox, port) = quickstart();
    sandbox.expect(0, &["apply", "--yes"]);
    let list = sandbox.json(0, &["service", "stop"]);
    assert_eq!(list["services"][0]["state"], "stopped");
    let list = sandbox.json(0, &["service", "start", "web"]);
    assert_ne!(list["services"][0]["state"], "stopped");
    sandbox.expect(0, &["service", "restart", "local", "web"]);
    assert_eq!(get(port, "/healthz").unwrap().body, "ok");
    sandbox.expect(2, &["service", "stop", "nobody"]);
}
