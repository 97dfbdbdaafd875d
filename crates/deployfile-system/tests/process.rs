//! Programs under the guard: how they end, what is left of them, what is told of them.
//!
//! The guard is the example binary `guard`, which `cargo test` builds.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic, and says loudly what it skips"
)]

use deployfile_exec::{Stop, Tell};
use deployfile_model::Name;
use deployfile_record::event::Stream;
use deployfile_record::{Failure, FailureKind};
use deployfile_system::process::{self, End, Guard, Limits, ProcessError, ProcessSpec};
use deployfile_system::secret::Redactor;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes, for what must not hang.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Heard {
    output: Vec<(Stream, String)>,
    warnings: Vec<String>,
    spawned: Vec<(u32, u64, String)>,
    refuse: Option<Failure>,
    stop_at_output: Option<Stop>,
}

impl Heard {
    fn lines(&self) -> Vec<&str> {
        self.output.iter().map(|(_, line)| line.as_str()).collect()
    }
}

impl Tell for Heard {
    fn output(&mut self, stream: Stream, line: &str) {
        self.output.push((stream, line.to_owned()));
        if let Some(stop) = &self.stop_at_output {
            stop.ask();
        }
    }
    fn probe(&mut self, _: &Name, _: u32, _: bool, _: &str) {}
    fn hook(&mut self, _: &Name, _: &str, _: &str) {}
    fn warning(&mut self, message: &str, _: Option<&str>) {
        self.warnings.push(message.to_owned());
    }
    fn spawned(&mut self, pid: u32, start_ticks: u64, boot: &str) -> Result<(), Failure> {
        self.spawned.push((pid, start_ticks, boot.to_owned()));
        self.refuse.clone().map_or(Ok(()), Err)
    }
}

fn guard_binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples/guard");
    assert!(path.is_file(), "{} is not there: run `cargo test` or `cargo build --examples`", path.display());
    path
}

fn spec(directory: &Path, script: &str) -> ProcessSpec {
    ProcessSpec {
        argv: ["sh", "-eu", "-c", script].map(str::to_owned).to_vec(),
        directory: directory.to_owned(),
        env: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
        user: None,
        timeout: PATIENCE,
        limits: Limits::default(),
        guard: Guard { program: guard_binary(), args: vec!["guard".to_owned()] },
        redactor: Redactor::default(),
    }
}

fn run_spec(spec: &ProcessSpec) -> (Result<process::Finished, ProcessError>, Heard) {
    let mut heard = Heard::default();
    let result = process::run(spec, &Stop::new(), &mut heard);
    (result, heard)
}

fn run(script: &str) -> (Result<process::Finished, ProcessError>, Heard) {
    run_spec(&spec(Path::new("/"), script))
}

/// Whether the process that wrote its pid into this file is still there (a zombie is not).
fn lives(pid_file: &Path) -> bool {
    let pid: u32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn both_streams_the_directory_and_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path(), "pwd; env | grep -v ^PWD= | sort; echo oops >&2; cat; exit 3");
    spec.env.insert("WORD".into(), "a b".into());
    let (result, heard) = run_spec(&spec);
    let finished = result.unwrap();
    assert_eq!(finished.end, End::Exited(3));
    let here = dir.path().canonicalize().unwrap();
    let stdout: Vec<_> =
        heard.output.iter().filter(|(s, _)| *s == Stream::Stdout).map(|(_, l)| l.as_str()).collect();
    let without_underscore: Vec<_> = stdout.iter().filter(|l| !l.starts_with("_=")).copied().collect();
    assert_eq!(without_underscore, [here.to_str().unwrap(), "PATH=/usr/bin:/bin", "WORD=a b"]);
    assert!(heard.output.contains(&(Stream::Stderr, "oops".to_owned())));
    assert_eq!(finished.check("x").unwrap_err().output.len(), heard.output.len());
}

#[test]
fn the_process_is_told_before_it_runs() {
    let (result, heard) = run("echo $$; cut -d' ' -f22 /proc/$$/stat; cat /proc/sys/kernel/random/boot_id");
    result.unwrap();
    let [(pid, ticks, boot)] = &heard.spawned[..] else { panic!("told {} times", heard.spawned.len()) };
    assert_eq!(heard.lines(), [pid.to_string(), ticks.to_string(), boot.clone()]);
}

#[test]
fn a_process_that_cannot_be_journaled_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut heard = Heard { refuse: Some(Failure::new("journal::write", "no space")), ..Heard::default() };
    let result = process::run(&spec(dir.path(), "touch done"), &Stop::new(), &mut heard);
    assert_eq!(process::failure(&result.unwrap_err()).code, "journal::write");
    assert!(!dir.path().join("done").exists());
}

#[test]
fn signals_are_told_apart_from_statuses() {
    assert_eq!(run("kill -SEGV $$").0.unwrap().end, End::Signaled(11));
    assert_eq!(run("exit 139").0.unwrap().end, End::Exited(139));
}

#[test]
fn what_cannot_be_started_is_named() {
    let mut missing = spec(Path::new("/"), "");
    missing.argv = vec!["no-such-program".into()];
    let message = run_spec(&missing).0.unwrap_err().to_string();
    assert_eq!(message, "cannot find program `no-such-program`: it is not in PATH (/usr/bin:/bin)");

    let nowhere = spec(Path::new("/no/such/dir"), "true");
    let error = run_spec(&nowhere).0.unwrap_err();
    assert_eq!(error.to_string(), "cannot enter directory /no/such/dir");

    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut bad = spec(dir.path(), "");
    bad.argv = vec!["./script".into()];
    let failure = process::failure(&run_spec(&bad).0.unwrap_err());
    assert!(failure.message.starts_with("cannot start /"), "{}", failure.message);
    assert_eq!(failure.causes, ["No such file or directory (os error 2)"]);

    let mut no_guard = spec(Path::new("/"), "true");
    no_guard.guard.program = "/no/such/guard".into();
    assert!(matches!(run_spec(&no_guard).0, Err(ProcessError::Start { .. })));
    no_guard.guard.program = "/bin/true".into();
    assert!(run_spec(&no_guard).0.is_err());
}

#[test]
fn a_program_that_hangs_is_ended_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path(), "sleep 600 & echo $! > pid; echo waiting; wait");
    spec.timeout = Duration::from_millis(300);
    let failure = process::failure(&run_spec(&spec).0.unwrap_err());
    assert_eq!((failure.code.as_str(), failure.output), ("process::timeout", vec!["waiting".to_owned()]));
    assert!(!lives(&dir.path().join("pid")));
}

#[test]
fn a_program_that_ignores_term_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path(), "trap 'echo no' TERM; echo $$ > pid; while :; do sleep 0.1 || :; done");
    spec.timeout = Duration::from_millis(300);
    let (result, heard) = run_spec(&spec);
    assert!(matches!(result, Err(ProcessError::TimedOut { .. })));
    assert!(heard.lines().contains(&"no"), "TERM comes before KILL");
    assert!(!lives(&dir.path().join("pid")));
}

#[test]
fn asking_to_stop_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let stop = Stop::new();
    let mut heard = Heard { stop_at_output: Some(stop.clone()), ..Heard::default() };
    let spec = spec(dir.path(), "echo $$ > pid; echo ready; sleep 600");
    let failure = process::failure(&process::run(&spec, &stop, &mut heard).unwrap_err());
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Interrupted, "process::interrupted"));
    assert!(!lives(&dir.path().join("pid")));
}

#[test]
fn asking_twice_waits_for_nobody() {
    let stop = Stop::new();
    stop.ask();
    stop.ask();
    let result = process::run(&spec(Path::new("/"), "trap '' TERM; sleep 600"), &stop, &mut Heard::default());
    assert!(matches!(result, Err(ProcessError::Interrupted { .. })));
}

#[test]
fn children_left_behind_are_ended_and_do_not_hold_the_run() {
    let dir = tempfile::tempdir().unwrap();
    // One in the program's group, one in a session of its own, one orphaned twice: each holds the output open.
    let script = "
        sleep 600 & echo $! > plain
        setsid sh -c 'echo $$ > session; exec sleep 600' &
        (sh -c 'setsid sh -c \"echo \\$\\$ > orphan; exec sleep 600\" &' &)
        while [ ! -s session ] || [ ! -s orphan ]; do sleep 0.01; done
        echo done";
    let (result, heard) = run_spec(&spec(dir.path(), script));
    assert_eq!(result.unwrap().end, End::Exited(0));
    assert_eq!(heard.lines(), ["done"]);
    assert!(heard.warnings.is_empty(), "{:?}", heard.warnings);
    for pid in ["plain", "session", "orphan"] {
        assert!(!lives(&dir.path().join(pid)), "{pid} lives");
    }
}

/// Whether any living process has this text among its arguments.
fn anybody_runs_with(text: &str) -> bool {
    let pids =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let mut commands = pids.filter_map(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).ok());
    commands.any(|command| String::from_utf8_lossy(&command).contains(text))
}

#[test]
fn children_that_fork_faster_than_they_are_killed_are_ended() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().to_str().unwrap();
    let spawner = "while :; do setsid sh -c \"sleep 600\" $0 & sleep 0.01; done";
    let script =
        format!("for i in 1 2 3 4 5; do setsid sh -c '{spawner}' {token} & done; sleep 0.3; echo done");
    let (result, heard) = run_spec(&spec(dir.path(), &script));
    assert_eq!(result.unwrap().end, End::Exited(0));
    assert!(heard.warnings.is_empty(), "{:?}", heard.warnings);
    assert!(!anybody_runs_with(token));
}

#[test]
fn a_killed_executor_takes_everything_along() {
    let dir = tempfile::tempdir().unwrap();
    let script = "
        echo $$ > program
        sleep 600 & echo $! > plain
        setsid sh -c 'echo $$ > session; exec sleep 600' &
        wait";
    let mut executor = Command::new(guard_binary())
        .args(["run", dir.path().to_str().unwrap(), "/bin/sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = |name: &str| dir.path().join(name);
    let written = |name| std::fs::read_to_string(pid(name)).is_ok_and(|text| text.ends_with('\n'));
    wait_until("the program's start", || ["program", "plain", "session"].into_iter().all(written));
    assert!(lives(&pid("program")) && lives(&pid("plain")) && lives(&pid("session")));
    executor.kill().unwrap();
    executor.wait().unwrap();
    for name in ["program", "plain", "session"] {
        wait_until(name, || !lives(&pid(name)));
    }
}

/// What a plain child of the executor does in the same place: it lives on. Shows that the test above can fail.
#[test]
fn without_a_guard_children_outlive_their_executor() {
    let dir = tempfile::tempdir().unwrap();
    let mut executor = Command::new("sh")
        .args(["-c", "sleep 600 & echo $! > plain; wait"])
        .current_dir(dir.path())
        .spawn()
        .unwrap();
    let plain = dir.path().join("plain");
    wait_until("the start", || std::fs::read_to_string(&plain).is_ok_and(|text| text.ends_with('\n')));
    executor.kill().unwrap();
    executor.wait().unwrap();
    assert!(lives(&plain));
    let pid: u32 = std::fs::read_to_string(&plain).unwrap().trim().parse().unwrap();
    let ticks = process::start_ticks(pid).unwrap();
    process::end_leftover(pid, ticks, &process::boot_id().unwrap()).unwrap();
    assert!(!lives(&plain));
}

#[test]
fn a_killed_guard_is_noticed_and_the_program_ended() {
    let dir = tempfile::tempdir().unwrap();
    let script = "echo $$ > pid; sleep 0.2; kill -9 $PPID; sleep 600";
    let (result, _) = run_spec(&spec(dir.path(), script));
    assert!(matches!(result, Err(ProcessError::GuardLost { .. })), "{result:?}");
    wait_until("the program's end", || !lives(&dir.path().join("pid")));
}

/// Somebody kills everything with our name: the program has nobody left but the kernel.
#[test]
fn a_program_whose_guard_and_executor_are_gone_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut executor = Command::new(guard_binary())
        .args(["run", dir.path().to_str().unwrap(), "/bin/sh", "-c"])
        .arg("echo $PPID > guard; echo $$ > program; exec sleep 600")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let pid = |name: &str| dir.path().join(name);
    wait_until("the start", || {
        std::fs::read_to_string(pid("program")).is_ok_and(|text| text.ends_with('\n'))
    });
    let signal = |signal: &str, pid: &str| {
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    };
    // Stopped, the executor cannot notice and end the program itself.
    signal("-STOP", &executor.id().to_string());
    signal("-KILL", &std::fs::read_to_string(pid("guard")).unwrap());
    wait_until("the program's end", || !lives(&pid("program")));
    executor.kill().unwrap();
    executor.wait().unwrap();
}

#[test]
fn a_flood_is_bounded() {
    let (result, heard) = run("yes 'a line of a flood of output' | head -c 100000000; echo; echo the end");
    let finished = result.unwrap();
    assert!(finished.truncated);
    assert_eq!(finished.tail.len(), 20);
    assert_eq!(finished.tail.last().unwrap(), "the end");
    let told: usize = heard.lines().iter().map(|line| line.len() + 1).sum();
    assert!(told <= 1200 << 10, "{told} bytes told");
    assert!(heard.lines().iter().any(|line| line.contains("not shown")));
}

#[test]
fn binary_output_and_lines_without_end() {
    let (result, heard) = run("head -c 5000000 /dev/zero; printf '\\n\\033[2Jx\\377'");
    assert!(result.unwrap().truncated);
    assert_eq!(heard.lines().last().unwrap(), &"\\x1b[2Jx\\xff");
    assert!(heard.lines().iter().all(|line| line.len() < 20 << 10));
    assert!(heard.lines().iter().all(|line| line.chars().all(|c| !c.is_control())));
}

#[test]
fn programs_run_as_another_user_with_its_groups_only() {
    if !rustix::process::geteuid().is_root() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "needs root");
        eprintln!("SKIPPED: changing users needs root");
        return;
    }
    let mut spec = spec(Path::new("/"), "id -u; id -g; id -G; cat /proc/self/status | grep CapEff");
    spec.user = Some(Name::new("nobody").unwrap());
    let (result, heard) = run_spec(&spec);
    assert_eq!(result.unwrap().end, End::Exited(0));
    assert_eq!(heard.lines(), ["65534", "65534", "65534", "CapEff:\t0000000000000000"]);
    spec.user = Some(Name::new("no-such-user-here").unwrap());
    assert!(matches!(run_spec(&spec).0, Err(ProcessError::User { .. })));
}

#[test]
fn secrets_are_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "hunter2-hunter2\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let path = deployfile_model::HostPath::new(file.to_str().unwrap()).unwrap();
    let provider = deployfile_model::SecretProvider::File(path);
    let secret = deployfile_system::secret::read(&Name::new("key").unwrap(), &provider).unwrap();
    let mut spec = spec(dir.path(), "echo \"key=$KEY\"; printf %s \"$KEY\" | base64; exit 1");
    spec.env.insert("KEY".into(), secret.reveal().to_owned());
    spec.redactor = Redactor::new([&secret]);
    let (result, heard) = run_spec(&spec);
    assert_eq!(heard.lines(), ["key=[secret]", "[secret]"]);
    assert_eq!(result.unwrap().tail, ["key=[secret]", "[secret]"]);
}
