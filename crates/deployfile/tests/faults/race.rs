//! Two at once: exactly one has the root. The other is told who, with exit 5, and changes nothing; a holder that dies
//! frees the root with its last breath, and nothing that it started keeps it.
//!
//! `DEPLOYFILE_LONG=1`: ten thousand races of whole programs. Otherwise a few hundred, and ten thousand of the lock.

use crate::sample::is_long;
use deployfile_disk::{Dir, Lock, LockError, LockNote};
use deployfile_model::units::UnixTime;
use deployfile_model::{HostPath, RelPath};
use deployfile_testkit::{Sandbox, coverage, until};
use std::fs;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Child;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

/// Races of whole programs of each kind.
fn rounds(short: usize) -> usize {
    if is_long() { 10_000 / 3 + 1 } else { short }
}

/// A root with two releases. Whoever switches it says so in `inside`, and waits until `go` is there.
fn held_in_switch() -> Sandbox {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    let folder = sandbox.path();
    fs::write(folder.join("go"), "").unwrap();
    sandbox.write(
        "deployfile.kdl",
        &format!(
            "deployfile 1\napp small {{ root {:?}; }}\nsource dir \"src\"\n\
             stage switch {{ before {{ sh \"echo $$ >> {inside}; while ! test -e {go}; do sleep 0.01; done\"; }}; }}\n\
             retention {{ keep 2; grace \"0s\"; }}\n\
             environment local {{ host localhost {{ connect local; }}; }}\n",
            sandbox.root(),
            inside = folder.join("inside").display(),
            go = folder.join("go").display(),
        ),
    );
    for text in ["one", "two", "three"] {
        sandbox.write("src/hello.txt", text);
        sandbox.expect(0, &["apply", "--yes"]);
    }
    sandbox
}

/// How a contender ended.
struct Ended {
    code: i32,
    err: String,
}

fn end(mut child: Child) -> Ended {
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    let status = child.wait().unwrap();
    Ended { code: status.code().unwrap_or_else(|| 256 + status.signal().unwrap_or(0)), err }
}

/// Starts both, and lets whoever is inside go on only when the other has ended.
fn one_wins(sandbox: &Sandbox, pair: [&[&str]; 2], when: &str) -> usize {
    let folder = sandbox.path();
    let _ = fs::remove_file(folder.join("go"));
    let _ = fs::remove_file(folder.join("inside"));
    let mut both = pair.map(|args| Some(sandbox.start(args)));
    let mut loser = None;
    until("one of them ends", || {
        loser = both
            .iter_mut()
            .position(|child| child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some()));
        loser.is_some()
    });
    let loser = loser.unwrap();
    let lost = end(both[loser].take().unwrap());
    assert_eq!(lost.code, 5, "{when}: the first to end lost: {}", lost.err);
    assert!(lost.err.contains("error[lock::busy]") && lost.err.contains("held by"), "{when}: {}", lost.err);
    fs::write(folder.join("go"), "").unwrap();
    let won = end(both[1 - loser].take().unwrap());
    assert_eq!(won.code, 0, "{when}: {}", won.err);
    let inside = fs::read_to_string(folder.join("inside")).unwrap();
    assert_eq!(inside.lines().count(), 1, "{when}: two were inside");
    1 - loser
}

#[test]
fn two_applies() {
    let sandbox = held_in_switch();
    let rounds = rounds(120);
    let apply: &[&str] = &["apply", "--yes"];
    for round in 0..rounds {
        sandbox.write("src/hello.txt", &format!("round {round}"));
        one_wins(&sandbox, [apply, apply], &format!("round {round}"));
        let served = fs::read_to_string(sandbox.root().join("current/hello.txt")).unwrap();
        assert_eq!(served, format!("round {round}"));
    }
    coverage("race-applies", &format!("{rounds} races of two applies, 0 violations"));
}

#[test]
fn an_apply_and_a_rollback() {
    let sandbox = held_in_switch();
    let rounds = rounds(120);
    let mut wins = [0, 0];
    for round in 0..rounds {
        sandbox.write("src/hello.txt", &format!("round {round}"));
        let pair: [&[&str]; 2] = [&["apply", "--yes"], &["rollback", "--yes"]];
        let winner = one_wins(&sandbox, pair, &format!("round {round}"));
        wins[winner] += 1;
        if winner == 1 {
            // What was gone back from is no longer good: the next rollback needs another one.
            sandbox.write("src/hello.txt", &format!("again {round}"));
            sandbox.expect(0, &["apply", "--yes"]);
        }
    }
    coverage(
        "race-rollback",
        &format!("{rounds} races of an apply ({} won) and a rollback ({}), 0 violations", wins[0], wins[1]),
    );
}

/// A clean has no step to wait in, so both may do their work, one after the other: their entries in the journal must not
/// mix, and who is told that the root is busy has written none.
#[test]
fn an_apply_and_a_clean() {
    let sandbox = held_in_switch();
    let rounds = rounds(80);
    let (mut both, mut busy) = (0, 0);
    for round in 0..rounds {
        let when = format!("round {round}");
        sandbox.write("src/hello.txt", &when);
        let before = runs(&sandbox).len();
        let children = [&["apply", "--yes"][..], &["clean", "--yes"]].map(|args| sandbox.start(args));
        let ended = children.map(end);
        let won = ended.iter().filter(|one| one.code == 0).count();
        for one in ended.iter().filter(|one| one.code != 0) {
            assert_eq!(one.code, 5, "{when}: {}", one.err);
        }
        assert!(won >= 1, "{when}: nobody won");
        if won == 2 {
            both += 1
        } else {
            busy += 1
        }
        let order = runs(&sandbox);
        let mut seen: Vec<&str> = order.iter().map(String::as_str).collect();
        seen.dedup();
        let mut once = seen.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "{when}: entries of two runs mix: {seen:?}");
        assert!(order.len() > before || ended[0].code == 5, "{when}");
    }
    coverage(
        "race-clean",
        &format!(
            "{rounds} races of an apply and a clean ({busy} found the root busy, {both} one after the other), 0 violations"
        ),
    );
}

/// The runs of the journal's entries, in order.
fn runs(sandbox: &Sandbox) -> Vec<String> {
    let folder = sandbox.root().join(".deployfile/journal");
    let mut segments: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let text: String = segments.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let run = |line: &str| -> Option<String> {
        let json: serde_json::Value = serde_json::from_str(line.splitn(3, ' ').nth(2)?).ok()?;
        Some(json["run"].as_str()?.to_owned())
    };
    text.lines().filter_map(run).collect()
}

fn note(who: &str) -> LockNote {
    let (who, from) = (who.to_owned(), "here".to_owned());
    LockNote { who, from, since: UnixTime(1), run: None, pid: std::process::id() }
}

/// Pairs of threads at the lock of a root each, again and again: `take` gives whether it got it, and keeps it until the
/// other was answered. Gives how often both or neither had it.
fn lock_races<L: Send>(pairs: usize, rounds: usize, take: impl Fn(usize) -> Option<L> + Sync) -> u32 {
    let violations = AtomicU32::new(0);
    let (take, violations_seen) = (&take, &violations);
    std::thread::scope(|scope| {
        for pair in 0..pairs {
            scope.spawn(move || {
                let (start, answered, over) = (Barrier::new(2), Barrier::new(2), Barrier::new(2));
                let won = AtomicU32::new(0);
                let contend = || {
                    for _ in 0..rounds {
                        start.wait();
                        let lock = take(pair);
                        won.fetch_add(u32::from(lock.is_some()), Ordering::SeqCst);
                        if answered.wait().is_leader() && won.swap(0, Ordering::SeqCst) != 1 {
                            violations_seen.fetch_add(1, Ordering::SeqCst);
                        }
                        drop(lock);
                        over.wait();
                    }
                };
                std::thread::scope(|two| {
                    two.spawn(contend);
                    two.spawn(contend);
                });
            });
        }
    });
    violations.into_inner()
}

#[test]
fn ten_thousand_races_of_the_lock() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    let (pairs, rounds) = (100, 100);
    let path = |pair: usize| RelPath::new(format!("{pair}.lock")).unwrap();
    let dir = Dir::open_root(&HostPath::new(sandbox.path().to_str().unwrap()).unwrap()).unwrap();
    let violations =
        lock_races(pairs, rounds, |pair| match Lock::try_acquire(&dir, &path(pair), &note("x")) {
            Ok(lock) => Some(lock),
            Err(LockError::Busy { .. }) => None,
            Err(error) => panic!("{error}"),
        });
    assert_eq!(violations, 0);
    coverage("race-lock", &format!("{} races of the lock, 0 violations", pairs * rounds));
}

/// The way of tools that look whether a file is there, and then make it.
#[test]
fn a_lock_that_looks_first_is_caught() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    let folder = sandbox.path();
    struct Made(std::path::PathBuf);
    impl Drop for Made {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }
    let violations = lock_races(4, 200, |pair| {
        let path = folder.join(pair.to_string());
        if path.exists() {
            return None;
        }
        std::thread::yield_now();
        fs::write(&path, "").unwrap();
        Some(Made(path))
    });
    assert!(violations > 0);
}

#[test]
fn a_holder_that_is_killed_frees_the_root_at_once() {
    let sandbox = held_in_switch();
    for round in 0..5 {
        let _ = fs::remove_file(sandbox.path().join("go"));
        let _ = fs::remove_file(sandbox.path().join("inside"));
        sandbox.write("src/hello.txt", &format!("killed {round}"));
        let mut holder = sandbox.start(&["apply", "--yes"]);
        until("it is inside", || sandbox.path().join("inside").exists());
        sandbox.expect(5, &["apply", "--yes"]);
        holder.kill().unwrap();
        holder.wait().unwrap();
        fs::write(sandbox.path().join("go"), "").unwrap();
        // No `--wait`: what holds the root now would be found.
        let resumed = sandbox.run(&["resume", "--yes"]);
        assert_eq!(resumed.code, 0, "round {round}: {}", resumed.err);
    }
    coverage("race-killed", "5 holders killed: the root was free at once");
}

/// A step's descendants are ended with it, also one in a session of its own; supervisor and services go on, and have no
/// handle of the lock.
#[test]
fn what_a_run_leaves_behind_does_not_hold_the_root() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    let pid = sandbox.path().join("pid");
    let step = format!(
        "setsid sh -c 'echo $$ > {0}; exec sleep 600' >/dev/null 2>&1 </dev/null & while ! test -s {0}; do sleep 0.01; done",
        pid.display()
    );
    sandbox.write("src/hello.txt", "one");
    sandbox.write(
        "deployfile.kdl",
        &format!(
            "deployfile 1\napp small {{ root {:?}; }}\nsource dir \"src\"\n\
             stage build {{ sh \"{step}\"; }}\nservice web {{ command sleep \"600\"; }}\n\
             environment local {{ host localhost {{ roles web; connect local; }}; }}\n",
            sandbox.root()
        ),
    );
    sandbox.expect(0, &["apply", "--yes"]);
    let left = sandbox.processes();
    assert!(left.len() >= 2, "supervisor and service go on: {left:?}");
    let lock = sandbox.root().join(".deployfile/lock");
    for pid in left {
        let handles = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        for handle in handles {
            assert_ne!(fs::read_link(handle.path()).ok().as_ref(), Some(&lock), "process {pid}");
        }
    }
    let child = fs::read_to_string(&pid).unwrap();
    assert!(!Path::new("/proc").join(child.trim()).exists(), "the step's child goes on");
    sandbox.expect(0, &["clean", "--yes"]);
}
