//! One holder at a time, told by name, gone with its process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod room;

use deployfile_disk::{Lock, LockError, LockNote};
use deployfile_model::RunId;
use deployfile_model::units::{Millis, UnixTime};
use room::{Room, rel};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

fn note(who: &str) -> LockNote {
    LockNote {
        who: who.to_owned(),
        from: "laptop".to_owned(),
        since: UnixTime(1_000),
        run: None,
        pid: std::process::id(),
    }
}

#[test]
fn the_second_is_told_who_the_first_is() {
    let room = Room::new();
    let dir = room.subdir("root");
    let path = rel("lock");
    assert!(Lock::holder(&dir, &path).unwrap().is_none());
    let lock = Lock::try_acquire(&dir, &path, &note("ann")).unwrap();
    let busy = Lock::try_acquire(&dir, &path, &note("bob")).unwrap_err();
    let LockError::Busy { holder: Some(holder), .. } = &busy else { panic!("{busy:?}") };
    assert_eq!(*holder, note("ann"));
    assert_eq!(holder.age(UnixTime(1_090)), Millis::from_secs(90));
    assert_eq!(holder.age(UnixTime(10)), Millis(0));
    assert!(busy.to_string().contains("held by ann from laptop"), "{busy}");

    let with_run = LockNote { run: Some(RunId::new("r1").unwrap()), ..note("ann") };
    lock.set_note(&with_run).unwrap();
    let seen = Lock::holder(&dir, &path).unwrap().unwrap();
    assert!(seen.is_live);
    assert_eq!(seen.note, Some(with_run));

    drop(lock);
    assert!(Lock::holder(&dir, &path).unwrap().is_none());
    Lock::try_acquire(&dir, &path, &note("bob")).unwrap();
}

#[test]
fn the_lock_of_a_removed_file_is_not_the_lock() {
    let room = Room::new();
    let dir = room.subdir("root");
    let first = Lock::try_acquire(&dir, &rel("lock"), &note("ann")).unwrap();
    std::fs::remove_file(room.at("root/lock")).unwrap();
    // The name is free, so the second gets it: what counts is who holds the file that the name leads to.
    let second = Lock::try_acquire(&dir, &rel("lock"), &note("bob")).unwrap();
    drop(first);
    assert!(Lock::try_acquire(&dir, &rel("lock"), &note("eve")).is_err());
    drop(second);
}

#[test]
fn many_threads_and_looks_never_make_two_holders() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let room = Room::new();
    let dir = room.subdir("root");
    let (inside, taken) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let Ok(_lock) = Lock::try_acquire(&dir, &rel("lock"), &note("x")) else { continue };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders");
                    taken.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..200 {
                Lock::holder(&dir, &rel("lock")).unwrap();
            }
        });
    });
    assert!(taken.load(Ordering::SeqCst) >= 50);
}

/// The second process of the test below: takes the lock, says so, and sleeps until it is killed.
#[test]
#[ignore = "started by the test below"]
fn hold_the_lock() {
    let root = std::env::var("LOCK_ROOT").unwrap();
    let root = deployfile_model::HostPath::new(root).unwrap();
    let dir = deployfile_disk::Dir::open_root(&root).unwrap();
    let _lock = Lock::try_acquire(&dir, &rel("lock"), &note("child")).unwrap();
    println!("\nheld");
    std::thread::sleep(std::time::Duration::from_secs(600));
}

#[test]
fn a_killed_holder_holds_nothing() {
    let room = Room::new();
    let dir = room.subdir("root");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "hold_the_lock", "--nocapture"])
        .env("LOCK_ROOT", room.at("root"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held"), "the child ended without the lock");
    let busy = Lock::try_acquire(&dir, &rel("lock"), &note("ann")).unwrap_err();
    let LockError::Busy { holder: Some(holder), .. } = busy else { panic!("{busy:?}") };
    assert_eq!((holder.who.as_str(), holder.pid), ("child", child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    let left = Lock::holder(&dir, &rel("lock")).unwrap().unwrap();
    assert!(!left.is_live && left.note.is_some_and(|n| n.who == "child"));
    Lock::try_acquire(&dir, &rel("lock"), &note("ann")).unwrap();
}
