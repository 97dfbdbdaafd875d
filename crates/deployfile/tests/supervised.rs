//! `examples/supervised` under a real supervisord: applied twice, broken once, rolled back. supervisord is never
//! restarted, and what else it runs is left alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should stop, loudly")]

use deployfile_testkit::{Background, Sandbox, free_port, get, needs, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The example under a supervisord of its own.
struct Supervised {
    sandbox: Sandbox,
    port: u16,
    supervisord: Background,
}

fn supervised(test: &str) -> Option<Supervised> {
    if !(needs("supervisord", test) && needs("python3", test)) {
        return None;
    }
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    sandbox.copy(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/supervised"));
    let (port, socket) = (free_port(), sandbox.path().join("sv.sock"));
    sandbox.replace(
        "deployfile.kdl",
        "/var/tmp/deployfile-supervised",
        &sandbox.root().display().to_string(),
    );
    sandbox.replace("deployfile.kdl", "/run/supervisor.sock", &socket.display().to_string());
    sandbox.replace("deployfile.kdl", "port 8082", &format!("port {port}"));
    let supervisord = start_supervisord(&sandbox);
    until("supervisord listens", || socket.exists());
    Some(Supervised { sandbox, port, supervisord })
}

/// A supervisord that runs a program of somebody else and includes what is current.
fn start_supervisord(sandbox: &Sandbox) -> Background {
    let dir = sandbox.path();
    let config = format!(
        "[unix_http_server]\nfile={0}/sv.sock\n\
         [supervisord]\nnodaemon=true\nlogfile={0}/sv.log\npidfile={0}/sv.pid\nchildlogdir={0}\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [program:neighbour]\ncommand=sleep 3600\n\
         [include]\nfiles={1}/current/services/supervisor/*.conf\n",
        dir.display(),
        sandbox.root().display()
    );
    fs::write(dir.join("sv.conf"), config).unwrap();
    let mut command = Command::new("supervisord");
    command.arg("-c").arg(dir.join("sv.conf")).current_dir(&dir).stdout(Stdio::null()).stderr(Stdio::null());
    Background::start(&mut command)
}

impl Supervised {
    fn version(&self) -> String {
        get(self.port, "/version").unwrap().body
    }

    /// Services by name: state and pids.
    fn services(&self) -> BTreeMap<String, (String, Vec<u64>)> {
        states(&self.sandbox.json(0, &["service", "list"]))
    }

    /// The pid of the program that is not ours.
    fn neighbour(&self) -> String {
        let pid = self.supervisord.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let is_sleep = |pid: &&str| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with("sleep"))
        };
        children.split_whitespace().find(is_sleep).unwrap_or_default().to_owned()
    }

    fn change(&self, text: &str) {
        self.sandbox.write("app/change.txt", text);
    }
}

fn states(document: &Value) -> BTreeMap<String, (String, Vec<u64>)> {
    let state = |service: &Value| {
        let pids = service["pids"].as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap()).collect();
        let text = |key: &str| service[key].as_str().unwrap().to_owned();
        assert_eq!(text("manager"), "supervisor");
        (text("name"), (text("state"), pids))
    };
    document["services"].as_array().unwrap().iter().map(state).collect()
}

#[test]
fn applied_twice_broken_once_and_rolled_back_under_one_supervisord() {
    let Some(mut site) = supervised("supervised") else { return };
    until("the neighbour runs", || !site.neighbour().is_empty());
    let neighbour = site.neighbour();
    let sandbox = &site.sandbox;
    let done = sandbox.json(0, &["apply", "--yes"]);
    assert_eq!(done["served"]["verified"], true, "{done}");
    let (old, old_release, first) = (site.version(), sandbox.current().unwrap(), site.services());
    assert_eq!(first["web"].0, "running");
    assert_eq!((first["worker"].0.as_str(), first["worker"].1.len()), ("running", 2));

    site.change("second");
    sandbox.expect(0, &["apply", "--yes"]);
    let (new, new_release, second) = (site.version(), sandbox.current().unwrap(), site.services());
    assert_ne!(old, new);
    assert!(first["worker"].1.iter().all(|pid| !second["worker"].1.contains(pid)), "old workers run on");

    sandbox.replace("app/web.py", "\"/healthz\": \"ok\"", "\"/healthz\": \"sick\"");
    sandbox.replace("deployfile.kdl", "within=\"10s\"", "within=\"3s\"");
    let broken = sandbox.json(6, &["apply", "--yes"]);
    assert_eq!((&broken["result"], &broken["changed"]), (&"reverted".into(), &"reverted".into()), "{broken}");
    assert_eq!((site.version(), sandbox.current()), (new, Some(new_release)));
    let reverted = site.services();
    assert_eq!((reverted["web"].0.as_str(), reverted["worker"].0.as_str()), ("running", "running"));

    sandbox.expect(0, &["rollback", "--yes"]);
    assert_eq!((site.version(), sandbox.current()), (old, Some(old_release)));
    assert_eq!(site.neighbour(), neighbour, "a group of somebody else was touched");
    assert!(site.supervisord.runs(), "supervisord ended");
    let pid = fs::read_to_string(site.sandbox.path().join("sv.pid")).unwrap();
    assert_eq!(pid.trim(), site.supervisord.pid().to_string());
}

#[test]
fn a_program_that_ends_at_once_is_reverted_with_its_last_words() {
    let Some(site) = supervised("supervised that dies") else { return };
    let sandbox = &site.sandbox;
    sandbox.expect(0, &["apply", "--yes"]);
    let (served, release) = (site.version(), sandbox.current());
    sandbox.replace("app/worker.py", "import os\n", "import os, sys\nsys.exit('the queue is on fire')\n");
    let broken = sandbox.expect(6, &["apply", "--yes"]);
    assert!(broken.err.contains("the queue is on fire"), "{}", broken.err);
    assert_eq!((site.version(), sandbox.current()), (served, release));
    assert_eq!(site.services()["worker"].0, "running");
}

#[test]
fn a_first_deploy_that_fails_leaves_nothing_of_itself_in_supervisord() {
    let Some(site) = supervised("supervised first deploy") else { return };
    let sandbox = &site.sandbox;
    sandbox.replace("app/web.py", "\"/healthz\": \"ok\"", "\"/healthz\": \"sick\"");
    sandbox.replace("deployfile.kdl", "within=\"10s\"", "within=\"3s\"");
    let broken = sandbox.json(6, &["apply", "--yes"]);
    assert_eq!(broken["served"]["release"], Value::Null, "{broken}");
    assert_eq!(sandbox.current(), None);
    assert!(get(site.port, "/version").is_err(), "the failed release still answers");
    sandbox.replace("app/web.py", "\"/healthz\": \"sick\"", "\"/healthz\": \"ok\"");
    sandbox.expect(0, &["apply", "--yes"]);
    assert_eq!(site.services()["web"].0, "running");
}

#[test]
fn services_are_stopped_started_restarted_and_their_output_shown() {
    let Some(site) = supervised("supervised services") else { return };
    let sandbox = &site.sandbox;
    sandbox.expect(0, &["apply", "--yes"]);
    let before = site.services();

    fs::write(sandbox.root().join("shared/queue/job-1"), "").unwrap();
    until("a worker says so", || {
        sandbox.expect(0, &["service", "logs", "worker"]).out.contains("done job-1")
    });

    let stopped = states(&sandbox.json(0, &["service", "stop", "worker"]));
    assert_eq!(stopped["worker"], ("stopped".to_owned(), Vec::new()));
    assert_eq!(site.services()["web"], before["web"], "only what was named is stopped");
    let status = sandbox.json(0, &["status"]);
    let states_there: Vec<&Value> =
        status["hosts"][0]["services"].as_array().unwrap().iter().map(|s| &s["state"]).collect();
    assert_eq!(states_there, ["running", "stopped"]);

    let started = states(&sandbox.json(0, &["service", "start", "local", "worker"]));
    assert_eq!(started["worker"].1.len(), 2);
    sandbox.expect(0, &["service", "restart", "web"]);
    let after = site.services();
    assert_ne!(after["web"].1, before["web"].1);
    assert_eq!(after["worker"], started["worker"]);
    sandbox.expect(2, &["service", "stop", "neighbour"]);
}

#[test]
fn a_supervisord_that_is_not_there_is_named_before_anything_is_switched() {
    let Some(site) = supervised("supervised without supervisord") else { return };
    let Supervised { sandbox, port, supervisord } = site;
    sandbox.expect(0, &["apply", "--yes"]);
    let release = sandbox.current();
    drop(supervisord);
    sandbox.write("app/change.txt", "second");
    let refused = sandbox.expect(4, &["apply", "--yes"]);
    assert!(refused.err.contains("sv.sock") && refused.err.contains("stage check"), "{}", refused.err);
    assert_eq!(sandbox.current(), release);
    let _again = start_supervisord(&sandbox);
    until("supervisord listens", || get(port, "/version").is_ok());
    sandbox.expect(0, &["apply", "--yes"]);
}
