//! A root with a supervisor of its own, and services to run in it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test program uses a part of this")]

use deployfile_model::service::Signal;
use deployfile_model::units::{Bytes, Millis};
use deployfile_model::{BuildId, HostPath, Name, ReleaseId};
use deployfile_record::{FORMAT, Unit};
use deployfile_supervisor::{Client, ServiceState, ServiceStatus};
use rustix::net::sockopt::{Timeout, set_ip_tos, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Pid, Signal as Kill, kill_process};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A root in a directory that goes when this is dropped, with everything that was started in it.
pub struct Rig {
    _temp: tempfile::TempDir,
    pub root: HostPath,
    pub program: PathBuf,
}

impl Rig {
    pub fn new() -> Self {
        Self::beneath("root")
    }

    /// A root whose path beneath a temporary directory is `rel`.
    pub fn beneath(rel: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().canonicalize().unwrap().join(rel);
        std::fs::create_dir_all(&path).unwrap();
        let root = HostPath::new(path.to_str().unwrap()).unwrap();
        Self { _temp: temp, root, program: program() }
    }

    pub fn path(&self, rel: &str) -> PathBuf {
        Path::new(self.root.as_str()).join(rel)
    }

    pub fn client(&self) -> Client {
        Client::connect_or_start(&self.root, &self.program).unwrap()
    }

    /// The pid of the process that holds a lock of the supervisor's directory.
    pub fn holder_of(&self, lock: &str) -> Option<u32> {
        let text = std::fs::read_to_string(self.path(".deployfile/supervisor").join(lock)).ok()?;
        let note: serde_json::Value = serde_json::from_str(&text).ok()?;
        u32::try_from(note["pid"].as_u64()?).ok().filter(|pid| is_alive(*pid))
    }

    pub fn supervisor(&self) -> u32 {
        self.holder_of("lock").unwrap()
    }

    pub fn kill_supervisor(&self) -> u32 {
        let pid = self.supervisor();
        kill(pid);
        pid
    }

    /// A unit that runs a Python program.
    pub fn python(&self, name: &str, release: &str, script: &str) -> Unit {
        self.unit(name, release, &[python(), "-u", "-c", script])
    }

    /// Starts a supervisor that is killed in the place of its `nth` mutating file call, and connects to it if it gets
    /// that far.
    pub fn doomed_supervisor(&self, nth: u32) -> (Child, Option<Client>) {
        let mut supervisor = Command::new(&self.program)
            .args(["supervise", self.root.as_str()])
            .env("DEPLOYFILE_DETACHED", "1")
            .env("DEPLOYFILE_FAULT", format!("kill:{nth}"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut client = None;
        until("a supervisor listens or is dead", || {
            client = Client::connect(&self.root).unwrap_or_default();
            client.is_some() || supervisor.try_wait().unwrap().is_some()
        });
        (supervisor, client)
    }

    pub fn unit(&self, name: &str, release: &str, command: &[&str]) -> Unit {
        let environment = self.path(&format!("{release}.env"));
        let path = std::env::var("PATH").unwrap();
        let text = format!("PATH=\"{path}\"\nRELEASE=\"{release}\"\nTEST_ROOT=\"{}\"\n", self.root);
        // A supervisor that came back may be reading it just now.
        if !environment.exists() {
            std::fs::write(&environment, text).unwrap();
        }
        Unit {
            format: FORMAT,
            name: Name::new(name).unwrap(),
            release: ReleaseId::new(release).unwrap(),
            build_id: Some(BuildId::new(format!("build-{release}")).unwrap()),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            directory: self.root.clone(),
            environment_file: HostPath::new(environment.to_str().unwrap()).unwrap(),
            user: None,
            numprocs: 1,
            listen: Vec::new(),
            stop_signal: Signal::Term,
            stop_timeout: Millis(10_000),
            reload_signal: Signal::Hup,
            drain: None,
            log_bytes: Bytes(1 << 20),
            log_keep: 2,
        }
    }

    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!(".deployfile/log/{name}.log"))).unwrap_or_default()
    }

    /// Processes that have this root in their arguments or environment.
    pub fn processes(&self) -> Vec<u32> {
        let own = std::process::id();
        let has_root = |file: &str| {
            std::fs::read(file)
                .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(self.root.as_str()))
        };
        all_pids()
            .filter(|pid| *pid != own && is_alive(*pid))
            .filter(|pid| {
                has_root(&format!("/proc/{pid}/cmdline")) || has_root(&format!("/proc/{pid}/environ"))
            })
            .collect()
    }

    pub fn wait_until_empty(&self) {
        until("no process of the root is left", || self.processes().is_empty());
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Ok(Some(mut client)) = Client::connect(&self.root) {
            // A failed test may have left things that this does not end; what follows does.
            let _ended = client.shutdown();
        }
        for pid in self.processes() {
            kill(pid);
        }
    }
}

/// The interpreter itself: what `PATH` finds may be a wrapper that takes its time.
fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        String::from_utf8(asked.unwrap().stdout).unwrap().trim().to_owned()
    })
}

/// The verbs of this crate as a program: `examples/supervisor-cli.rs`.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/supervisor-cli");
    assert!(program.is_file(), "build it first: cargo build --examples");
    program
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn status(client: &mut Client, name: &str) -> ServiceStatus {
    let all = client.status().unwrap();
    all.into_iter().find(|status| status.name.as_str() == name).unwrap()
}

pub fn pids(client: &mut Client, name: &str) -> Vec<u32> {
    status(client, name).pids
}

pub fn wait_for_state(client: &mut Client, name: &str, state: ServiceState) -> ServiceStatus {
    until("the service gets to its state", || status(client, name).state == state);
    status(client, name)
}

pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn all_pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Whether the process runs; a zombie does not.
pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|text| text.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z")))
}

pub fn kill(pid: u32) {
    let pid_of = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let (Ok(()) | Err(_)) = kill_process(pid_of, Kill::KILL);
    until("a killed process is gone", || !is_alive(pid));
}

pub fn terminate(pid: u32) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Kill::TERM).unwrap();
    until("a process told to end is gone", || !is_alive(pid));
}

/// An address that nobody listens on.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Asks a [`SERVER`]; it answers with its release, pid and process number.
pub fn ask(address: &str) -> std::io::Result<String> {
    match address.strip_prefix("unix:") {
        Some(path) => ask_on(UnixStream::connect(path)?),
        None => ask_on(TcpStream::connect(address)?),
    }
}

/// Asks as a probe does that means the new processes of a hand-over.
pub fn ask_new(address: &str) -> String {
    if let Some(path) = address.strip_prefix("unix:") {
        return ask_on(
            UnixStream::connect(format!("{path}{}", deployfile_supervisor::PROBED_ENDING)).unwrap(),
        )
        .unwrap();
    }
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    set_ip_tos(&socket, deployfile_supervisor::PROBE_TRAFFIC_CLASS).unwrap();
    connect(&socket, &address.parse::<SocketAddr>().unwrap()).unwrap();
    ask_on(TcpStream::from(socket)).unwrap()
}

fn ask_on(mut stream: impl Read + Write + AsFd) -> std::io::Result<String> {
    let patience = Some(PATIENCE);
    set_socket_timeout(&stream, Timeout::Recv, patience)?;
    stream.write_all(b"?")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.is_empty() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

/// A server that takes its socket from systemd's protocol, serves one connection after the other, and on TERM ends
/// when it has answered what it accepted.
pub const SERVER: &str = r#"
import os, select, signal, socket
assert os.environ["LISTEN_PID"] == str(os.getpid()), "LISTEN_PID"
assert int(os.environ["LISTEN_FDS"]) >= 1
wake_r, wake_w = os.pipe()
os.set_blocking(wake_w, False)
signal.set_wakeup_fd(wake_w)
signal.signal(signal.SIGTERM, lambda *_: None)
s = socket.socket(fileno=3)
s.setblocking(False)
while True:
    ready, _, _ = select.select([s, wake_r], [], [])
    if wake_r in ready:
        break
    try:
        c, _ = s.accept()
    except BlockingIOError:
        continue
    c.setblocking(True)
    c.recv(1)
    c.sendall(f"{os.environ['RELEASE']} {os.getpid()} {os.environ['DEPLOY_PROCESS_NUM']}".encode())
    c.close()
"#;

/// A program that does nothing until it is told to end.
pub const SLEEPER: &str = "import time\nprint('up', flush=True)\ntime.sleep(600)";
