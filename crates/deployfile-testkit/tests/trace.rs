//! The tracer sees every call that changes something, stops it before it is made, and can be wrong about none.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_testkit::trace::{Act, After, Ended, Errno, Kind, Mutation, Trace, Watch};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Six calls in two processes and their children: mkdir, create, write, rename, symlink, unlink.
const SCRIPT: &str = "mkdir d; (printf one > d/a); mv d/a d/b; ln -s b d/c; sh -c 'rm d/c'; echo told";

fn sh(folder: &Path, script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(folder);
    command
}

fn traced(folder: &Path, script: &str, mut act: impl FnMut(&Mutation) -> Act + Send) -> Ended {
    Trace::beneath(folder).run(sh(folder, script), &mut act)
}

/// All that a run tells.
#[derive(Default)]
struct Recording(Vec<(Mutation, Vec<u8>, Option<After>)>);

impl Watch for Recording {
    fn enter(&mut self, call: &Mutation) -> Act {
        self.0.push((call.clone(), call.data(), None));
        Act::Pass
    }
    fn done(&mut self, call: &Mutation, after: &After) {
        self.0[call.number - 1].2 = Some(*after);
    }
}

fn python(folder: &Path, program: &str) -> Recording {
    let mut recording = Recording::default();
    let mut command = Command::new("python3");
    command.args(["-c", &format!("import os\n{program}")]).current_dir(folder);
    let ended = Trace::beneath(folder).in_turn().run(command, &mut recording);
    assert_eq!(ended.code, 0, "{}", ended.err);
    recording
}

#[test]
fn every_call_of_every_process_is_seen_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    let ended = traced(dir.path(), SCRIPT, |call| {
        assert_eq!(call.number, seen.len() + 1);
        let name = |path: &Path| path.strip_prefix(dir.path()).unwrap().display().to_string();
        seen.push((call.kind, name(&call.path), call.to.as_deref().map(name)));
        Act::Pass
    });
    assert_eq!((ended.code, ended.out.as_str(), ended.calls), (0, "told\n", 6), "{seen:?} {}", ended.err);
    let expected = [
        (Kind::MakeDir, "d", None),
        (Kind::Create, "d/a", None),
        (Kind::Write, "d/a", None),
        (Kind::Rename, "d/a", Some("d/b")),
        (Kind::Symlink, "d/c", None),
        (Kind::Unlink, "d/c", None),
    ];
    let expected = expected
        .map(|(kind, path, to): (Kind, &str, Option<&str>)| (kind, path.to_owned(), to.map(str::to_owned)));
    assert_eq!(seen, expected);
}

#[test]
fn a_kill_falls_before_the_call_and_takes_every_process() {
    for n in 1..=6 {
        let dir = tempfile::tempdir().unwrap();
        let mut cut = None;
        let ended = traced(dir.path(), SCRIPT, |call| {
            let is_it = call.number == n;
            cut = is_it.then(|| call.clone());
            if is_it { Act::Kill } else { Act::Pass }
        });
        assert_eq!((ended.code, ended.calls, ended.out.as_str()), (256 + 9, n, ""));
        assert!(cut.is_some());
        let there = |name: &str| dir.path().join(name).symlink_metadata().is_ok();
        assert_eq!(there("d"), n > 1, "{n}");
        assert_eq!(there("d/a"), n == 3 || n == 4, "{n}");
        assert_eq!(there("d/b"), n > 4, "{n}");
        assert_eq!(there("d/c"), n == 6, "{n}");
        if n == 3 || n == 4 {
            assert_eq!(fs::read(dir.path().join("d/a")).unwrap().len(), if n == 3 { 0 } else { 3 });
        }
    }
}

#[test]
fn a_call_that_fails_is_not_made() {
    for n in 1..=6 {
        let dir = tempfile::tempdir().unwrap();
        let mut kind = None;
        let ended = traced(dir.path(), &format!("set -e; {SCRIPT}"), |call| {
            if call.number != n {
                return Act::Pass;
            }
            kind = Some(call.kind);
            Act::Fail(Errno::EROFS)
        });
        assert_ne!(ended.code, 0, "{n}: {}", ended.out);
        // `printf` of a shell need not say why; it does say that.
        let says = ["Read-only file system", "cannot create", "rror"];
        assert!(says.iter().any(|word| ended.err.contains(word)), "{n}: {}", ended.err);
        assert_eq!(dir.path().join("d").exists(), n > 1);
    }
}

#[test]
fn a_short_write_is_told_as_short_and_a_signal_goes_to_the_first_process() {
    let dir = tempfile::tempdir().unwrap();
    let python =
        "import os,sys\nfd=os.open('f',os.O_CREAT|os.O_WRONLY)\nsys.exit(os.write(fd,b'0123456789'))";
    let mut command = Command::new("python3");
    command.args(["-c", python]).current_dir(dir.path());
    let mut short = |call: &Mutation| if call.kind == Kind::Write { Act::Short(4) } else { Act::Pass };
    let ended = Trace::beneath(dir.path()).run(command, &mut short);
    assert_eq!((ended.code, fs::read_to_string(dir.path().join("f")).unwrap().as_str()), (4, "0123"));

    let trap = "trap 'echo asked; exit 3' TERM; sh -c 'touch asks'; echo not asked";
    let ended = traced(dir.path(), trap, |_| Act::Signal(nix::sys::signal::Signal::SIGTERM));
    assert_eq!((ended.code, ended.out.as_str()), (3, "asked\n"));
}

#[test]
fn data_offsets_inodes_and_results_are_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let recording = python(
        dir.path(),
        "fd = os.open('f', os.O_CREAT | os.O_RDWR)\n\
         os.write(fd, b'hello'); os.pwrite(fd, b'J', 0); os.writev(fd, [b', ', b'you'])\n\
         os.fsync(fd); os.fdatasync(fd); os.ftruncate(fd, 3); os.fchmod(fd, 0o600)\n\
         os.truncate('f', 2); os.utime('f'); os.utime(fd); os.chmod('/proc/self/fd/%d' % fd, 0o640)\n\
         a = os.open('f', os.O_WRONLY | os.O_APPEND); os.write(a, b'tail')\n\
         d = os.open('.', os.O_RDONLY); os.mkdir('sub', dir_fd=d); os.fsync(d)\n\
         os.rename('f', 'sub/g', src_dir_fd=d, dst_dir_fd=d); os.link('sub/g', 'h'); os.rmdir\n\
         open('sub/../h', 'w').close()\n\
         os.posix_fallocate(fd, 0, 100); os.copy_file_range(fd, a, 3)if 0 else 0\n",
    );
    let lines: Vec<_> =
        recording.0.iter().map(|(call, data, after)| (call.name, call, data, after.unwrap())).collect();
    let names: Vec<_> = lines.iter().map(|line| line.0).collect();
    assert_eq!(
        names,
        [
            "openat",
            "write",
            "pwrite64",
            "writev",
            "fsync",
            "fdatasync",
            "ftruncate",
            "fchmod",
            "truncate",
            "utimensat",
            "utimensat",
            "chmod",
            "write",
            "mkdirat",
            "fsync",
            "renameat",
            "link",
            "openat",
            "fallocate"
        ]
    );
    let file = lines[0].3.inode.unwrap();
    assert!(lines[..13].iter().all(|line| line.3.inode == Some(file)), "one file");
    assert_eq!((lines[1].2.as_slice(), lines[1].1.offset, lines[1].3.ret), (b"hello".as_slice(), Some(0), 5));
    assert_eq!((lines[2].2.as_slice(), lines[2].1.offset), (b"J".as_slice(), Some(0)));
    assert_eq!((lines[3].2.as_slice(), lines[3].1.offset), (b", you".as_slice(), Some(5)));
    assert_eq!((lines[6].1.len, lines[12].1.offset), (Some(3), Some(2)));
    assert_eq!(lines[16].3.inode, Some(file), "a link is the same file");
    assert_eq!((lines[17].1.kind, lines[17].1.path.file_name()), (Kind::Truncate, Some("h".as_ref())));
}

#[test]
fn what_changes_nothing_or_lies_elsewhere_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("in");
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("old"), "old").unwrap();
    let script = "cat in/old > /dev/null; test -e in/none; echo x > out; mkdir in2; : >> in/old; ls in; mkfifo p; (echo a > p &); cat p";
    let count = |trace: Trace| trace.run(sh(dir.path(), script), &mut |_: &Mutation| Act::Pass);
    let ended = count(Trace::beneath(&inside));
    assert_eq!((ended.code, ended.calls, ended.out.as_str()), (0, 0, "old\na\n"), "{}", ended.err);
    fs::remove_file(dir.path().join("p")).unwrap();
    fs::remove_dir(dir.path().join("in2")).unwrap();
    // `cat`, `ls` and the append open something.
    assert_eq!(count(Trace::beneath(&inside).with_reads()).calls, 3);
}

#[test]
fn threads_are_followed_and_a_detached_process_lives_or_dies_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let python = "import os,threading,subprocess\n\
                  work=lambda n: open('f%d'%n,'w').close()\n\
                  ts=[threading.Thread(target=work,args=(n,)) for n in range(8)]\n\
                  [t.start() for t in ts]; [t.join() for t in ts]\n\
                  p=subprocess.Popen(['sleep','1000'],stdin=-3,stdout=-3,stderr=-3,start_new_session=True)\n\
                  print(p.pid,flush=True); os._exit(7)";
    let run = |trace: Trace| {
        let mut command = Command::new("python3");
        command.args(["-c", python]).current_dir(dir.path());
        let ended = trace.run(command, &mut |_: &Mutation| Act::Pass);
        assert_eq!((ended.code, ended.calls), (7, 8), "{}", ended.err);
        (0..8).for_each(|n| fs::remove_file(dir.path().join(format!("f{n}"))).unwrap());
        let pid: i32 = ended.out.trim().parse().unwrap();
        fs::read_to_string(format!("/proc/{pid}/stat")).ok().filter(|stat| !stat.contains(") Z")).map(|_| pid)
    };
    assert_eq!(run(Trace::beneath(dir.path())), None);
    let left = run(Trace::beneath(dir.path()).leave_rest()).unwrap();
    let status = || fs::read_to_string(format!("/proc/{left}/status")).unwrap();
    assert!(status().contains("TracerPid:\t0"), "{}", status());
    deployfile_testkit::until("it goes on", || status().contains("S (sleeping)"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(left), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[test]
fn a_command_that_hangs_is_ended_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let trace = Trace::beneath(dir.path()).within(std::time::Duration::from_millis(300));
    let ended = trace.run(sh(dir.path(), "sleep 1000"), &mut |_: &Mutation| Act::Pass);
    assert!(ended.hung && ended.code == 256 + 9);
}
