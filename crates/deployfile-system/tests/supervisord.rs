//! The client against a real supervisord.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic, and says loudly what it skips"
)]

use deployfile_exec::Stop;
use deployfile_model::service::Signal;
use deployfile_model::{HostPath, Name, OnDeploy};
use deployfile_system::supervisord::{
    self, GroupState, Reread, Supervisord, SupervisordError, Taken, Treatment, failure,
};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SUPERVISORD: &str = "/usr/bin/supervisord";
const PATIENCE: Duration = Duration::from_secs(60);

/// A supervisord of the test's own, ended with it.
struct Daemon {
    dir: tempfile::TempDir,
    process: Child,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.process.wait();
    }
}

impl Daemon {
    /// `None` (said loudly) where supervisord is not installed.
    fn start() -> Option<Self> {
        if !Path::new(SUPERVISORD).exists() {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{SUPERVISORD} is missing");
            eprintln!("SKIPPED: {SUPERVISORD} is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("release-1/conf")).unwrap();
        std::os::unix::fs::symlink("release-1", dir.path().join("current")).unwrap();
        let config = format!(
            "[unix_http_server]\nfile={0}/sock\n[supervisord]\nnodaemon=true\nlogfile={0}/log\npidfile={0}/pid\nchildlogdir={0}\n\
             [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
             [include]\nfiles={0}/current/conf/*.conf {0}/other.conf\n",
            dir.path().display()
        );
        std::fs::write(dir.path().join("supervisord.conf"), config).unwrap();
        let process = Command::new(SUPERVISORD)
            .arg("-c")
            .arg(dir.path().join("supervisord.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { dir, process };
        wait_until("supervisord", || Supervisord::connect(&daemon.socket()).is_ok());
        Some(daemon)
    }

    fn socket(&self) -> HostPath {
        HostPath::new(self.dir.path().join("sock").to_str().unwrap()).unwrap()
    }

    fn client(&self) -> Supervisord {
        Supervisord::connect(&self.socket()).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the configuration of one program. Of a key that stands twice the last one counts.
    fn program(&self, file: &str, name: &str, script: &str, more: &str) {
        let text = format!(
            "[program:{name}]\ncommand=/bin/sh -c '{script}'\nprocess_name=%(program_name)s_%(process_num)02d\n\
             startsecs=0\nstartretries=1\nstopasgroup=true\nkillasgroup=true\nstopwaitsecs=5\n{more}\n"
        );
        std::fs::write(self.path(file), text).unwrap();
    }

    fn pids(&self, group: &str) -> Vec<u32> {
        self.client().status(&[name(group)]).unwrap().remove(0).pids
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn how(on_deploy: OnDeploy) -> Treatment {
    Treatment { on_deploy, reload_signal: Signal::Usr1, within: PATIENCE }
}

fn ensure(client: &Supervisord, group: &str, on_deploy: OnDeploy) -> Result<Taken, SupervisordError> {
    client.ensure_group(&name(group), &how(on_deploy), &Stop::new())
}

const SLEEP: &str = "exec sleep 600";

#[test]
fn a_group_is_added_kept_restarted_replaced_and_forgotten() {
    let Some(daemon) = Daemon::start() else { return };
    let client = daemon.client();
    daemon.program("other.conf", "other", SLEEP, "");
    daemon.program("current/conf/web.conf", "web", SLEEP, "numprocs=2");
    assert_eq!(ensure(&client, "other", OnDeploy::Restart).unwrap(), Taken::Added);
    let others = daemon.pids("other");

    assert_eq!(ensure(&client, "web", OnDeploy::Restart).unwrap(), Taken::Added);
    let first = daemon.pids("web");
    assert_eq!(first.len(), 2);
    // The text is the same: supervisord sees no change, so restarting is ours to do.
    assert_eq!(client.reread().unwrap(), Reread::default());
    assert_eq!(ensure(&client, "web", OnDeploy::Restart).unwrap(), Taken::Restarted);
    let second = daemon.pids("web");
    assert!(second.len() == 2 && first.iter().all(|pid| !second.contains(pid)));
    assert_eq!(ensure(&client, "web", OnDeploy::None).unwrap(), Taken::Untouched);
    assert_eq!(daemon.pids("web"), second);

    daemon.program("current/conf/web.conf", "web", "sleep 601", "numprocs=1");
    assert_eq!(ensure(&client, "web", OnDeploy::None).unwrap(), Taken::Untouched);
    assert_eq!(ensure(&client, "web", OnDeploy::Reload).unwrap(), Taken::Replaced);
    assert_eq!(daemon.pids("web").len(), 1);

    client.forget_group(&name("web"), PATIENCE, &Stop::new()).unwrap();
    client.forget_group(&name("web"), PATIENCE, &Stop::new()).unwrap();
    assert!(daemon.pids("web").is_empty());
    assert_eq!(daemon.pids("other"), others, "another's group must not be touched");
}

#[test]
fn reload_sends_the_signal_and_keeps_the_process() {
    let Some(daemon) = Daemon::start() else { return };
    let client = daemon.client();
    let script = format!(
        "trap \"touch {0}/reloaded\" USR1; touch {0}/ready; while :; do sleep 0.05; done",
        daemon.dir.path().display()
    );
    daemon.program("current/conf/web.conf", "web", &script, "");
    ensure(&client, "web", OnDeploy::Reload).unwrap();
    wait_until("the trap", || daemon.path("ready").exists());
    let before = daemon.pids("web");
    assert_eq!(ensure(&client, "web", OnDeploy::Reload).unwrap(), Taken::Reloaded);
    wait_until("the signal", || daemon.path("reloaded").exists());
    assert_eq!(daemon.pids("web"), before);
}

#[test]
fn stop_start_restart_and_status() {
    let Some(daemon) = Daemon::start() else { return };
    let client = daemon.client();
    daemon.program("current/conf/web.conf", "web", SLEEP, "autostart=false");
    ensure(&client, "web", OnDeploy::Restart).unwrap();
    let status = |client: &Supervisord| client.status(&[name("web"), name("none")]).unwrap();
    let seen = status(&client);
    assert_eq!((seen[0].state, seen[0].pids.len()), (GroupState::Running, 1));
    assert!(seen[0].since.is_some());
    assert_eq!((seen[1].state, seen[1].processes.len()), (GroupState::Stopped, 0));
    client.stop(&name("web"), PATIENCE, &Stop::new()).unwrap();
    client.stop(&name("web"), PATIENCE, &Stop::new()).unwrap();
    let seen = status(&client);
    assert_eq!((seen[0].state, seen[0].pids.len()), (GroupState::Stopped, 0));
    client.start(&name("web"), PATIENCE, &Stop::new()).unwrap();
    let first = daemon.pids("web");
    client.restart(&name("web"), PATIENCE, &Stop::new()).unwrap();
    assert_ne!(daemon.pids("web"), first);
    let missing = client.start(&name("none"), PATIENCE, &Stop::new()).unwrap_err();
    assert!(missing.to_string().contains("fault 10"), "{missing}");
}

#[test]
fn a_program_that_does_not_come_up_shows_its_last_lines() {
    let Some(daemon) = Daemon::start() else { return };
    let client = daemon.client();
    daemon.program("current/conf/web.conf", "web", "echo \"no <database>\" >&2; exit 3", "startsecs=1");
    let failed = failure(&ensure(&client, "web", OnDeploy::Restart).unwrap_err());
    assert_eq!(failed.code, "supervisor::not-running");
    assert!(failed.message.starts_with("group `web` does not run: web_00 is "), "{failed}");
    assert_eq!(failed.output.last().unwrap(), "no <database>");
    assert_eq!(client.status(&[name("web")]).unwrap()[0].state, GroupState::Failed);
}

#[test]
fn a_broken_file_is_named_and_nothing_stops() {
    let Some(daemon) = Daemon::start() else { return };
    let client = daemon.client();
    daemon.program("current/conf/web.conf", "web", SLEEP, "");
    ensure(&client, "web", OnDeploy::Restart).unwrap();
    let before = daemon.pids("web");
    std::fs::write(daemon.path("current/conf/bad.conf"), "[program:bad]\ncommand=x\nnumprocs=many\n")
        .unwrap();
    let failed = failure(&ensure(&client, "web", OnDeploy::Restart).unwrap_err());
    assert_eq!(failed.code, "supervisor::cannot-reread");
    assert!(failed.message.contains("many"), "{failed}");
    assert_eq!(daemon.pids("web"), before);
}

#[test]
fn a_dangling_include_takes_nothing_down() {
    let Some(daemon) = Daemon::start() else { return };
    let client = daemon.client();
    daemon.program("current/conf/web.conf", "web", SLEEP, "");
    ensure(&client, "web", OnDeploy::Restart).unwrap();
    let before = daemon.pids("web");
    std::fs::remove_file(daemon.path("current")).unwrap();
    let reread = client.reread().unwrap();
    assert_eq!(reread.lost(&[name("mine")].into()).collect::<Vec<_>>(), ["web"]);
    assert_eq!(reread.lost(&[name("web")].into()).count(), 0);
    let failed = failure(&ensure(&client, "web", OnDeploy::Restart).unwrap_err());
    assert_eq!(failed.code, "supervisor::not-configured");
    assert_eq!(daemon.pids("web"), before);
    let failed = failure(&ensure(&client, "never-there", OnDeploy::Restart).unwrap_err());
    assert_eq!(failed.code, "supervisor::not-configured");
}

#[test]
fn a_service_is_ensured_and_forgotten_in_one_call() {
    let Some(daemon) = Daemon::start() else { return };
    daemon.program("current/conf/web.conf", "web", SLEEP, "");
    let (socket, web, stop) = (daemon.socket(), name("web"), Stop::new());
    let ensure = || supervisord::ensure(&socket, &web, OnDeploy::Restart, Signal::Hup, &stop);
    assert_eq!(ensure().unwrap(), Taken::Added);
    assert_eq!(ensure().unwrap(), Taken::Restarted);
    supervisord::forget(&socket, &web, &stop).unwrap();
    assert!(daemon.pids("web").is_empty());
    let refused = supervisord::ensure(&socket, &web, OnDeploy::Handover, Signal::Hup, &stop).unwrap_err();
    assert_eq!(refused.code, "supervisor::handover");
}

#[test]
fn handing_over_is_refused_before_anything_is_touched() {
    let Some(daemon) = Daemon::start() else { return };
    let error = ensure(&daemon.client(), "web", OnDeploy::Handover).unwrap_err();
    assert!(matches!(error, SupervisordError::Handover(_)), "{error}");
}

#[test]
fn waiting_ends_when_asked() {
    let Some(daemon) = Daemon::start() else { return };
    let client = daemon.client();
    daemon.program("current/conf/web.conf", "web", SLEEP, "startsecs=600");
    let stop = Stop::new();
    stop.ask();
    let error = client.ensure_group(&name("web"), &how(OnDeploy::Restart), &stop).unwrap_err();
    assert!(matches!(error, SupervisordError::Interrupted), "{error}");
}

/// Answers every request at a socket with these bytes.
fn impostor(dir: &Path, answer: Vec<u8>) -> HostPath {
    let socket = dir.join("sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // All of it: a socket that is closed with something unread takes its answer along.
            let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
            while !request.ends_with(b"</methodCall>") {
                let n = stream.read(&mut chunk).unwrap();
                request.extend_from_slice(&chunk[..n]);
                if n == 0 {
                    break;
                }
            }
            let _ = stream.write_all(&answer);
        }
    });
    HostPath::new(socket.to_str().unwrap()).unwrap()
}

#[test]
fn what_is_not_supervisord_is_said_so() {
    let message = |answer: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        match Supervisord::connect(&impostor(dir.path(), answer.to_vec())) {
            Ok(_) => panic!("{answer:?} was taken for supervisord"),
            Err(error) => failure(&error).to_string(),
        }
    };
    assert!(message(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n").contains("wants a user and a password"));
    assert!(message(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").contains("status 404"));
    assert!(message(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope").contains("not an XML-RPC answer"));
    assert!(message(b"\x00\xff\r\n\r\n").contains("cannot reach supervisord"));
    assert!(message(b"").contains("cannot reach supervisord"));
    let mut huge = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    huge.resize(5 << 20, b' ');
    assert!(message(&huge).contains("longer than 4194304 bytes"));
    let Err(error) = Supervisord::connect(&HostPath::new("/no/such.sock").unwrap()) else { panic!() };
    let failed = failure(&error);
    assert_eq!(failed.code, "supervisor::unreachable");
    assert!(failed.to_string().contains("No such file"), "{failed}");
}
