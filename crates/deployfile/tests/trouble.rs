//! What a person meets when more than one thing goes wrong: a way back that fails, services that are down or are touched
//! in the middle of a run, runs that are left behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_testkit::{Sandbox, free_port, get, needs, until};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// A server that says its version and health, both from files of its release; `fork` makes it leave a child behind.
const SERVER: &str = r#"
import http.server, os, socket, subprocess, sys
here = os.path.dirname(os.path.realpath(__file__))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open(here + "/" + self.path.strip("/")).read().encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
print("starting", open(here + "/version").read(), flush=True)
if os.path.exists(here + "/fork"):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", here])
server = http.server.HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
server.serve_forever()
"#;

/// A root with one service; `on_deploy` and what else the service says.
fn with_service(on_deploy: &str, service: &str, extra: &str) -> (Sandbox, u16) {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    let port = free_port();
    sandbox.write("app/server.py", SERVER);
    release(&sandbox, "one", "ok");
    let root = sandbox.root();
    sandbox.write(
        "deployfile.kdl",
        &format!(
            r#"deployfile 1
app small {{ root "{root}"; }}
source dir "app"
{extra}
role web {{
  service web {{
    command python3 "{{{{ release }}}}/server.py"
    listen "127.0.0.1:{port}"
    on-deploy {on_deploy}
    stop timeout="1s"
    health http="http://127.0.0.1:{port}/health" contains="ok" within="2s" interval="50ms"
    {service}
  }}
}}
environment local {{ host localhost {{ roles web; connect local; }}; }}
"#,
            root = root.display()
        ),
    );
    (sandbox, port)
}

fn release(sandbox: &Sandbox, version: &str, health: &str) {
    sandbox.write("app/version", version);
    sandbox.write("app/health", health);
}

fn version(port: u16) -> String {
    get(port, "/version").unwrap().body
}

#[test]
fn every_sick_release_goes_back_by_hand_over_and_by_restart() {
    if !needs("python3", "sick releases") {
        return;
    }
    for on_deploy in ["handover", "restart"] {
        let (sandbox, port) = with_service(on_deploy, "", "");
        sandbox.expect(0, &["apply", "--yes"]);
        for round in 0..4 {
            release(&sandbox, &format!("sick {round}"), "sick");
            let ended = sandbox.json(6, &["apply", "--yes"]);
            assert_eq!(ended["changed"], "reverted", "{on_deploy}, round {round}");
            assert_eq!(version(port), "one", "{on_deploy}, round {round}");
        }
        release(&sandbox, "two", "ok");
        sandbox.expect(0, &["apply", "--yes"]);
        assert_eq!(version(port), "two");
        sandbox.expect(0, &["rollback", "--yes"]);
        assert_eq!(version(port), "one");
    }
}

/// The way back cannot succeed while a file outside of the releases is missing; then somebody puts it there.
#[test]
fn a_run_that_is_stuck_stays_until_it_is_resumed_or_left_behind() {
    if !needs("python3", "stuck run") {
        return;
    }
    let stuck = || {
        let gate = "stage revert { run test -e \"{{ root }}/shared/gate\"; }";
        let (sandbox, port) = with_service("restart", "", gate);
        sandbox.expect(0, &["apply", "--yes"]);
        release(&sandbox, "sick", "sick");
        let ended = sandbox.json(7, &["apply", "--yes"]);
        assert_eq!(ended["result"], "stuck");
        let status = sandbox.expect(0, &["status"]);
        assert!(status.out.contains("stuck") && status.out.contains("deployfile resume"), "{}", status.out);
        // The old source: current is its release again, and yet nobody knows what runs.
        release(&sandbox, "one", "ok");
        let refused = sandbox.expect(4, &["apply", "--yes"]);
        assert!(refused.err.contains("plan::stuck-run"), "{}", refused.err);
        sandbox.expect(4, &["rollback", "--yes"]);
        (sandbox, port)
    };
    let (sandbox, port) = stuck();
    sandbox.expect(7, &["resume", "--yes"]);
    fs::write(sandbox.root().join("shared/gate"), "").unwrap();
    let ended = sandbox.json(6, &["resume", "--yes"]);
    assert_eq!(ended["result"], "reverted");
    assert_eq!(version(port), "one");
    sandbox.expect(0, &["resume", "--yes"]);
    let again = sandbox.json(0, &["apply", "--yes"]);
    assert_eq!(again["changed"], "none");

    // Left behind for a run that fails before its switch: still nobody knows what runs.
    let (sandbox, port) = stuck();
    sandbox.replace("deployfile.kdl", "stage revert", "stage build { run \"false\"; }\nstage revert");
    sandbox.expect(1, &["apply", "--yes", "--force"]);
    sandbox.replace("deployfile.kdl", "stage build { run \"false\"; }\n", "");
    let status = sandbox.expect(0, &["status"]);
    assert!(status.out.contains("left stuck"), "{}", status.out);
    sandbox.expect(10, &["plan", "--exit-code"]);
    sandbox.expect(0, &["apply", "--yes"]);
    assert_eq!(version(port), "one");
    assert!(!sandbox.expect(0, &["status"]).out.contains("left stuck"));

    let (sandbox, port) = stuck();
    release(&sandbox, "two", "ok");
    sandbox.expect(0, &["apply", "--yes", "--force"]);
    assert_eq!(version(port), "two");
    let resumed = sandbox.expect(0, &["resume", "--yes"]);
    assert!(resumed.out.contains("nothing to resume"), "{}", resumed.out);
}

#[test]
fn services_are_left_alone_while_a_run_is_at_work() {
    if !needs("python3", "services in a run") {
        return;
    }
    let (sandbox, port) = with_service("restart", "", "stage build { run sleep \"3\"; }");
    sandbox.expect(0, &["apply", "--yes"]);
    release(&sandbox, "two", "ok");
    let run = sandbox.start(&["apply", "--yes"]);
    until("the run is at work", || {
        let line = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        sandbox.processes().iter().any(|pid| line(pid).starts_with(b"sleep"))
    });
    sandbox.expect(5, &["service", "restart", "web"]);
    sandbox.expect(5, &["service", "stop", "web"]);
    sandbox.expect(0, &["service", "list"]);
    let done = run.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(version(port), "two");
}

#[test]
fn what_is_down_is_started_by_the_next_apply() {
    if !needs("python3", "a service that is down") {
        return;
    }
    let (sandbox, port) = with_service("restart", "", "");
    sandbox.expect(0, &["apply", "--yes"]);
    sandbox.expect(0, &["service", "stop"]);
    assert!(get(port, "/version").is_err());
    let plan = sandbox.expect(0, &["plan"]);
    assert!(plan.out.contains("does not run now: web"), "{}", plan.out);
    let applied = sandbox.json(0, &["apply", "--yes"]);
    assert_eq!(applied["changed"], "switched");
    assert_eq!(version(port), "one");
    let again = sandbox.json(0, &["apply", "--yes"]);
    assert_eq!(again["changed"], "none");
}

/// Supervisor and leader are killed, the leader's child is not: it must not run on beside what is started anew.
#[test]
fn children_of_a_leader_that_died_without_a_supervisor_are_ended() {
    if !needs("python3", "children without a leader") {
        return;
    }
    let (sandbox, port) = with_service("restart", "", "");
    sandbox.write("app/fork", "");
    sandbox.expect(0, &["apply", "--yes"]);
    let by = |word: &str| -> Vec<u32> {
        let has = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(word)
        };
        sandbox.processes().into_iter().filter(has).collect()
    };
    until("the child is there", || by("time.sleep").len() == 1);
    let child = by("time.sleep");
    let kill = |pids: Vec<u32>| {
        assert!(!pids.is_empty());
        for pid in pids {
            std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
        }
    };
    kill(by("supervise "));
    kill(by("server.py"));
    sleep(Duration::from_millis(50));
    sandbox.expect(0, &["service", "list"]);
    until("another leader serves", || get(port, "/version").is_ok());
    until("the old child is gone", || !by("time.sleep").contains(&child[0]));
}

#[test]
fn a_link_that_cannot_be_made_is_refused_before_anything_happens() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    sandbox.write("app/page", "one");
    let file = |links: &str| {
        format!(
            "deployfile 1\napp small {{ root \"{}\"; }}\nsource dir \"app\"\n{links}\n\
             environment local {{ host localhost {{ connect local; }}; }}\n",
            sandbox.root().display()
        )
    };
    sandbox.write("deployfile.kdl", &file(""));
    sandbox.expect(0, &["apply", "--yes"]);
    let current = sandbox.current();
    let (missing, taken) = (sandbox.path().join("no/such/www"), sandbox.path().join("taken"));
    fs::create_dir(&taken).unwrap();
    for at in [missing, taken] {
        sandbox
            .write("deployfile.kdl", &file(&format!("link \"{}\" to=\"{{{{ current }}}}\"", at.display())));
        let refused = sandbox.expect(4, &["apply", "--yes"]);
        assert!(refused.err.contains("check::host-link") && refused.err.contains("help:"), "{}", refused.err);
        assert_eq!(sandbox.current(), current);
    }
    sandbox.write("deployfile.kdl", &file(""));
    let again = sandbox.json(0, &["apply", "--yes"]);
    assert_eq!(again["changed"], "none");
}

#[test]
fn a_stored_plan_does_not_run_over_an_open_run() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    sandbox.write("app/page", "one");
    sandbox.write(
        "deployfile.kdl",
        &format!(
            "deployfile 1\napp small {{ root \"{}\"; }}\nsource dir \"app\"\nstage build {{ run sh \"-c\" \"test -e              {}/go || exit 1; sleep 30\"; }}\n\
             environment local {{ host localhost {{ connect local; }}; }}\n",
            sandbox.root().display(),
            sandbox.path().display()
        ),
    );
    sandbox.expect(1, &["apply", "--yes"]);
    sandbox.expect(0, &["plan", "--out", "stored.plan"]);
    fs::write(sandbox.path().join("go"), "").unwrap();
    let mut resumed = sandbox.start(&["resume", "--yes"]);
    until("the step sleeps", || {
        sandbox.processes().iter().any(|pid| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).starts_with("sleep"))
        })
    });
    resumed.kill().unwrap();
    resumed.wait().unwrap();
    let refused = sandbox.expect(4, &["apply", "--yes", "--plan", "stored.plan"]);
    assert!(refused.err.contains("plan::interrupted-run"), "{}", refused.err);
}

#[test]
fn every_build_that_was_rolled_back_from_is_remembered() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    sandbox.write(
        "deployfile.kdl",
        &format!(
            "deployfile 1\napp small {{ root \"{}\"; }}\nsource dir \"app\"\n\
             environment local {{ host localhost {{ connect local; }}; }}\n",
            sandbox.root().display()
        ),
    );
    for page in ["A", "B", "C"] {
        sandbox.write("app/page", page);
        sandbox.expect(0, &["apply", "--yes"]);
    }
    sandbox.expect(0, &["rollback", "--yes"]);
    sandbox.expect(0, &["rollback", "--yes"]);
    for page in ["C", "B"] {
        sandbox.write("app/page", page);
        let refused = sandbox.expect(4, &["apply", "--yes"]);
        assert!(refused.err.contains("plan::rolled-back-build"), "{}", refused.err);
    }
    sandbox.expect(0, &["apply", "--yes", "--force"]);
    sandbox.write("app/page", "D");
    sandbox.expect(0, &["apply", "--yes"]);
    sandbox.write("app/page", "C");
    sandbox.expect(4, &["apply", "--yes"]);
}

#[test]
fn a_rollback_runs_the_items_of_the_release_that_it_goes_to() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    let log = sandbox.path().join("log");
    let file = |says: &str| {
        let stage = format!("stage restart {{ after {{ sh \"echo {says} >> {}\"; }}; }}", log.display());
        format!(
            "deployfile 1\napp small {{ root \"{}\"; }}\nsource dir \"app\"\n{stage}\n\
             environment local {{ host localhost {{ connect local; }}; }}\n",
            sandbox.root().display(),
        )
    };
    for page in ["one", "two"] {
        sandbox.write("app/page", page);
        sandbox.write("deployfile.kdl", &file(page));
        sandbox.expect(0, &["apply", "--yes"]);
    }
    let bad = sandbox.current().unwrap();
    sandbox.write("deployfile.kdl", &file("three"));
    sandbox.expect(0, &["rollback", "--yes"]);
    assert_eq!(fs::read_to_string(&log).unwrap(), "one\ntwo\none\n");
    // A release that was left because it was bad: only knowingly.
    let refused = sandbox.expect(4, &["rollback", "--yes", "--to", &bad]);
    assert!(refused.err.contains("--force"), "{}", refused.err);
    sandbox.expect(0, &["rollback", "--yes", "--to", &bad, "--force"]);
    assert_eq!(sandbox.current().unwrap(), bad);
}

/// The step that hangs is why the run was cut off: going on with it would hang again.
#[test]
fn a_run_that_was_interrupted_before_its_switch_can_be_left_behind() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    sandbox.write("app/page", "one");
    let file = |stage: &str| {
        format!(
            "deployfile 1\napp small {{ root \"{}\"; }}\nsource dir \"app\"\n{stage}\n\
             environment local {{ host localhost {{ connect local; }}; }}\n",
            sandbox.root().display(),
        )
    };
    sandbox.write("deployfile.kdl", &file("stage build { run sleep \"600\"; }"));
    let mut cut_off = sandbox.start(&["apply", "--yes"]);
    let sleeping = || {
        let line = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        sandbox.processes().iter().any(|pid| line(pid).starts_with(b"sleep"))
    };
    until("the step hangs", sleeping);
    cut_off.kill().unwrap();
    cut_off.wait().unwrap();
    sandbox.write("deployfile.kdl", &file(""));
    let refused = sandbox.expect(4, &["apply", "--yes"]);
    assert!(refused.err.contains("deployfile resume") && refused.err.contains("--force"), "{}", refused.err);
    sandbox.expect(0, &["apply", "--yes", "--force"]);
    assert!(!sleeping(), "nothing of it is left");
    let history = sandbox.json(0, &["history"]);
    let results: Vec<&str> =
        history["runs"].as_array().unwrap().iter().map(|run| run["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["interrupted", "done"]);
    let resumed = sandbox.expect(0, &["resume", "--yes"]);
    assert!(resumed.out.contains("nothing to resume"), "{}", resumed.out);
}
