//! Services as a supervisor runs them: start, stop, back-off, reload, logs, environment.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use deployfile_model::units::{Bytes, Millis};
use deployfile_model::{HostPath, Name, OnDeploy};
use deployfile_record::Unit;
use deployfile_record::unit::UnitDrain;
use deployfile_supervisor::{Client, ClientError, Refusal, ServiceState};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use support::*;

#[test]
fn a_service_runs_until_it_is_forgotten_and_then_nothing_is_left() {
    let rig = Rig::new();
    assert!(Client::connect(&rig.root).unwrap().is_none());
    let mut client = rig.client();
    let mut unit = rig.python("web", "r1", SLEEPER);
    unit.numprocs = 2;
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    let status = status(&mut client, "web");
    assert_eq!((status.state, status.pids.len(), status.restarts), (ServiceState::Running, 2, 0));
    assert_eq!(status.release, unit.release);
    assert_eq!(status.build_id, unit.build_id);
    assert!(status.pids.iter().all(|pid| is_alive(*pid)) && status.since_unix.is_some());
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    assert_eq!(pids(&mut client, "web"), status.pids, "what is true already is left alone");
    let supervisor = rig.supervisor();
    client.forget(&unit.name).unwrap();
    client.forget(&unit.name).unwrap();
    assert!(status.pids.iter().all(|pid| !is_alive(*pid)));
    assert!(client.status().unwrap().is_empty());
    drop(client);
    until("the supervisor ends by itself", || !is_alive(supervisor));
    rig.wait_until_empty();
    assert!(Client::connect(&rig.root).unwrap().is_none());
}

#[test]
fn stop_and_start_by_hand() {
    let rig = Rig::new();
    let mut client = rig.client();
    let mut unit = rig.python("web", "r1", SERVER);
    let address = free_address();
    unit.listen = vec![address.clone()];
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    let first = pids(&mut client, "web");
    client.stop(&unit.name).unwrap();
    assert_eq!(wait_for_state(&mut client, "web", ServiceState::Stopped).pids, Vec::<u32>::new());
    until("the socket of a stopped service is closed", || ask(&address).is_err());
    client.start(&unit.name).unwrap();
    assert!(ask(&address).unwrap().starts_with("r1 "));
    let second = pids(&mut client, "web");
    assert_ne!(first, second);
    client.restart(&unit.name).unwrap();
    assert_ne!(pids(&mut client, "web"), second);
    for error in [client.stop(&name("other")), client.start(&name("other")), client.restart(&name("other"))] {
        assert!(matches!(error, Err(ClientError::Refused(Refusal::Unknown { .. }))));
    }
}

#[test]
fn what_ignores_its_stop_signal_is_killed_with_all_it_started() {
    let rig = Rig::new();
    let mut client = rig.client();
    let script = "import signal, subprocess, time\n\
                  signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                  child = subprocess.Popen(['sleep', '600'])\n\
                  print('child', child.pid, flush=True)\ntime.sleep(600)";
    let mut unit = rig.python("stubborn", "r1", script);
    unit.stop_timeout = Millis(300);
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    let parent = pids(&mut client, "stubborn")[0];
    until("it has a child", || rig.log("stubborn").contains("child "));
    let child: u32 = rig.log("stubborn").trim().rsplit_once(' ').unwrap().1.parse().unwrap();
    client.stop(&unit.name).unwrap();
    assert!(!is_alive(parent));
    until("the grandchild is gone", || !is_alive(child));
    assert_eq!(status(&mut client, "stubborn").last_exit.unwrap(), "was ended by signal 9");
}

#[test]
fn what_ends_leaves_no_children_behind() {
    let rig = Rig::new();
    let mut client = rig.client();
    let script = "import subprocess, time\n\
                  print('child', subprocess.Popen(['sleep', '600']).pid, flush=True)\ntime.sleep(600)";
    let unit = rig.python("web", "r1", script);
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    until("it has a child", || rig.log("web").contains("child "));
    let child: u32 = rig.log("web").trim().rsplit_once(' ').unwrap().1.parse().unwrap();
    kill(pids(&mut client, "web")[0]);
    until("the orphan is gone", || !is_alive(child));
}

#[test]
fn what_ends_by_itself_is_started_again_with_pauses_that_grow() {
    let rig = Rig::new();
    let mut client = rig.client();
    let unit = rig.python("web", "r1", SLEEPER);
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    let first = pids(&mut client, "web")[0];
    kill(first);
    until("it runs again", || {
        let status = status(&mut client, "web");
        status.restarts == 1 && status.state == ServiceState::Running
    });
    let status_now = status(&mut client, "web");
    assert_ne!(status_now.pids, [first]);
    assert_eq!(status_now.last_exit.unwrap(), "was ended by signal 9");

    let crashing =
        rig.python("crash", "r1", "import sys, time\nprint(time.monotonic(), flush=True)\nsys.exit(3)");
    let error = client.ensure(&crashing, OnDeploy::Restart).unwrap_err();
    assert_eq!(error.to_string(), "cannot start service `crash`: process ended with exit status 3");
    let starts = || -> Vec<f64> { rig.log("crash").lines().filter_map(|line| line.parse().ok()).collect() };
    until("it was tried five times", || starts().len() >= 5);
    let pauses: Vec<f64> = starts().windows(2).map(|pair| pair[1] - pair[0]).collect();
    // A pause is a lower bound, whatever else the machine is doing: 0.1, 0.2, 0.4, 0.8 s.
    for (pause, at_least) in pauses.iter().zip([0.1, 0.2, 0.4, 0.8]) {
        assert!(*pause >= at_least, "{pauses:?}");
    }
    wait_for_state(&mut client, "crash", ServiceState::Backoff);
}

#[test]
fn what_cannot_be_run_is_refused_with_its_reason() {
    let rig = Rig::new();
    let mut client = rig.client();
    let good = rig.python("web", "r1", SLEEPER);
    let path = |text: &str| HostPath::new(text).unwrap();
    let command = |word: &str| Unit { command: vec![word.to_owned()], ..good.clone() };
    let cases = [
        ("cannot find program `no-such-program`: it is not in PATH", command("no-such-program")),
        ("there is no executable file `/etc/passwd`", command("/etc/passwd")),
        (
            "cannot enter directory `/no/such/place`",
            Unit { directory: path("/no/such/place"), ..good.clone() },
        ),
        (
            "cannot read environment file `/no/such.env`",
            Unit { environment_file: path("/no/such.env"), ..good.clone() },
        ),
        (
            "there is no such user",
            Unit { user: Some(Name::new("no-such-user-here").unwrap()), ..good.clone() },
        ),
    ];
    for (why, unit) in cases {
        let error = client.ensure(&unit, OnDeploy::Restart).unwrap_err().to_string();
        assert!(error.starts_with("cannot start service `web`: ") && error.contains(why), "{error}");
        assert_eq!(status(&mut client, "web").state, ServiceState::Failed);
        assert!(rig.log("web").contains(why));
    }
    client.ensure(&good, OnDeploy::Restart).unwrap();
    assert_eq!(status(&mut client, "web").state, ServiceState::Running);

    let mut none = good.clone();
    none.numprocs = 0;
    let error = client.ensure(&none, OnDeploy::Restart).unwrap_err().to_string();
    assert_eq!(error, "cannot run service `web`: it wants 0 processes; 1 to 64 are possible");
    assert_eq!(status(&mut client, "web").state, ServiceState::Running, "a refusal changes nothing");
}

#[test]
fn the_environment_is_the_units_and_nothing_else() {
    let rig = Rig::new();
    let mut client = rig.client();
    let script = "import json, os\nprint(json.dumps(dict(os.environ)), os.getcwd(), sorted(os.listdir('/proc/self/fd')), \
                  os.getpgid(0) == os.getpid(), flush=True)\nimport time\ntime.sleep(600)";
    let mut unit = rig.python("web", "r1", script);
    std::fs::write(unit.environment_file.as_str(), "PATH=\"/usr/bin:/bin\"\nQ=\"a \\\"b\\\" \\$c\"\n")
        .unwrap();
    unit.listen = vec![free_address(), free_address()];
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    until("it wrote its environment", || rig.log("web").contains('\n'));
    let log = rig.log("web");
    let (json, rest) = log.split_once("} ").unwrap();
    let mut seen: std::collections::BTreeMap<String, String> =
        serde_json::from_str(&format!("{json}}}")).unwrap();
    assert_eq!(seen.remove("LISTEN_PID").unwrap(), pids(&mut client, "web")[0].to_string());
    // Python sets it by itself where the environment names no locale (PEP 538).
    seen.remove("LC_CTYPE");
    let expected = [
        ("DEPLOY_PROCESS_NUM", "0"),
        ("LISTEN_FDNAMES", "web:web"),
        ("LISTEN_FDS", "2"),
        ("PATH", "/usr/bin:/bin"),
        ("Q", "a \"b\" $c"),
    ];
    assert_eq!(seen, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    // 5 is the directory that it reads.
    assert_eq!(rest.trim(), format!("{} ['0', '1', '2', '3', '4', '5'] True", rig.root));
}

#[test]
fn root_gives_its_rights_up_for_the_units_user() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI runs this as root");
        eprintln!("SKIPPED: only root can become another user");
        return;
    }
    let rig = Rig::new();
    let mut client = rig.client();
    let directory = HostPath::new("/").unwrap();
    let command = rig.unit("web", "r1", &["sh", "-c", "id -u; id -g; id -G; sleep 600"]);
    let unit = Unit { user: Some(Name::new("nobody").unwrap()), directory, ..command };
    std::fs::set_permissions(unit.environment_file.as_str(), Permissions::from_mode(0o600)).unwrap();
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    until("it said who it is", || rig.log("web").lines().count() == 3);
    let id = |what| Command::new("id").args([what, "nobody"]).output().unwrap().stdout;
    let expected = [id("-u"), id("-g"), id("-G")].concat();
    assert_eq!(rig.log("web"), String::from_utf8(expected).unwrap());
}

#[test]
fn logs_are_rotated_under_a_writer() {
    let rig = Rig::new();
    let mut client = rig.client();
    let script = "import time\nn = 0\nwhile True:\n    print(f'line {n} ' + 'x' * 80, flush=True)\n    n += 1\n    time.sleep(0.005)";
    let mut unit = rig.python("web", "r1", script);
    (unit.log_bytes, unit.log_keep) = (Bytes(4096), 2);
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    let rotated = |n: u32| rig.path(&format!(".deployfile/log/web.log.{n}"));
    until("it was rotated twice", || rotated(2).exists());
    let before = client.log_tail(&unit.name, 1).unwrap();
    until("it writes on", || client.log_tail(&unit.name, 1).unwrap() != before);
    assert!(!rotated(3).exists());
    let tail = client.log_tail(&unit.name, 3).unwrap();
    assert!(tail.len() <= 3 && tail.iter().all(|line| line.contains("line ") || line.is_empty()), "{tail:?}");
    assert_eq!(client.log_path(&unit.name).as_str(), rig.path(".deployfile/log/web.log").to_str().unwrap());
}

#[test]
fn reload_signals_and_none_leaves_alone() {
    let rig = Rig::new();
    let mut client = rig.client();
    let script = "import os, signal, time\n\
                  signal.signal(signal.SIGHUP, lambda *_: print('reloaded', flush=True))\n\
                  print('start', os.environ['RELEASE'], flush=True)\n\
                  while True: time.sleep(1)";
    let old = rig.python("web", "r1", script);
    let new = rig.python("web", "r2", script);
    client.ensure(&old, OnDeploy::Reload).unwrap();
    let pid = pids(&mut client, "web");
    until("it handles the signal", || rig.log("web").contains("start r1"));
    client.ensure(&old, OnDeploy::Reload).unwrap();
    client.ensure(&new, OnDeploy::None).unwrap();
    let status_now = status(&mut client, "web");
    assert_eq!(
        (&status_now.pids, &status_now.release),
        (&pid, &old.release),
        "`none` changes nothing that runs"
    );
    assert!(!rig.log("web").contains("reloaded"));
    client.ensure(&new, OnDeploy::Reload).unwrap();
    until("it reloaded", || rig.log("web").contains("reloaded"));
    let status_now = status(&mut client, "web");
    assert_eq!((&status_now.pids, &status_now.release), (&pid, &new.release));
    client.reload(&new.name).unwrap();
    until("it reloaded again", || rig.log("web").matches("reloaded").count() == 2);
    kill(pid[0]);
    until("the next start is of the new definition", || rig.log("web").contains("start r2"));
}

#[test]
fn numprocs_changes_with_a_reload() {
    let rig = Rig::new();
    let mut client = rig.client();
    let script = "import signal, time\nsignal.signal(signal.SIGHUP, lambda *_: None)\n\
                  print('ready', flush=True)\nwhile True: time.sleep(1)";
    let mut unit = rig.python("web", "r1", script);
    unit.numprocs = 3;
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    let three = pids(&mut client, "web");
    until("all handle the signal", || rig.log("web").matches("ready").count() == 3);
    unit.numprocs = 1;
    client.ensure(&unit, OnDeploy::Reload).unwrap();
    assert_eq!(pids(&mut client, "web"), three[..1]);
    unit.numprocs = 2;
    client.ensure(&unit, OnDeploy::Reload).unwrap();
    assert_eq!(pids(&mut client, "web").len(), 2);
}

#[test]
fn a_drain_file_goes_before_the_stop_and_comes_back() {
    let rig = Rig::new();
    let mut client = rig.client();
    let alive = rig.path("alive");
    std::fs::write(&alive, "in traffic\n").unwrap();
    let script = format!(
        "import os, signal, sys, time\n\
         def end(*_):\n    print('file there at stop:', os.path.exists('{}'), flush=True)\n    sys.exit(0)\n\
         signal.signal(signal.SIGTERM, end)\nwhile True: time.sleep(1)",
        alive.display()
    );
    let mut unit = rig.python("web", "r1", &script);
    let file = HostPath::new(alive.to_str().unwrap()).unwrap();
    unit.drain = Some(UnitDrain { file: Some(file), wait: Millis(200) });
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    client.stop(&unit.name).unwrap();
    assert!(rig.log("web").contains("file there at stop: False"));
    assert!(!alive.exists());
    client.start(&unit.name).unwrap();
    assert_eq!(std::fs::read_to_string(&alive).unwrap(), "in traffic\n");
    // In a hand-over the new processes serve behind the same file.
    let mut new = unit.clone();
    new.release = deployfile_model::ReleaseId::new("r2").unwrap();
    client.begin_handover(&new).unwrap();
    client.finish_handover(&new.name).unwrap();
    assert!(rig.log("web").contains("file there at stop: True"));
}
