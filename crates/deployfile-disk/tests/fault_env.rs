//! `DEPLOYFILE_FAULT` on a real process: killed by the kernel before each of its calls.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod room;

use deployfile_disk::Dir;
use deployfile_model::HostPath;
use room::{Room, rel};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

/// What the processes of the tests below do.
#[test]
#[ignore = "started by the tests below"]
fn publish() {
    let root = HostPath::new(std::env::var("FAULT_ROOT").unwrap()).unwrap();
    let dir = Dir::open_root(&root).unwrap();
    dir.replace(&rel("file"), b"new", 0o644).unwrap();
    dir.replace_symlink(&rel("current"), "new").unwrap();
}

fn run(room: &Room, fault: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "publish"])
        .env("FAULT_ROOT", room.at("root"))
        .env("DEPLOYFILE_FAULT", fault)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

fn old(room: &Room) -> Dir {
    let dir = room.subdir("root");
    dir.replace(&rel("file"), b"old", 0o644).unwrap();
    dir.replace_symlink(&rel("current"), "old").unwrap();
    dir
}

#[cfg(debug_assertions)]
#[test]
fn a_kill_before_any_call_leaves_old_or_new() {
    let mut kills = 0;
    loop {
        let room = Room::new();
        let dir = old(&room);
        let status = run(&room, &format!("kill:{}", kills + 1));
        let file = dir.read(&rel("file"), 10).unwrap();
        let current = dir.read_link(&rel("current")).unwrap().unwrap();
        assert!(file == b"old" || file == b"new");
        assert!(current == "old" || current == "new");
        assert!(current == "old" || file == b"new", "the link moved before its file");
        if status.success() {
            assert_eq!((kills, &file[..], current.to_str()), (8, &b"new"[..], Some("new")));
            return;
        }
        assert_eq!(status.signal(), Some(9), "{status}");
        kills += 1;
    }
}

#[cfg(debug_assertions)]
#[test]
fn calls_are_failed_and_traced_by_number() {
    let room = Room::new();
    let dir = old(&room);
    let trace = room.at("trace");
    let status = run(&room, &format!("trace:{},fail:4:ENOSPC", trace.display()));
    assert!(!status.success() && status.signal().is_none());
    assert_eq!(dir.read(&rel("file"), 10).unwrap(), b"old");
    let lines = std::fs::read_to_string(trace).unwrap();
    let ops: Vec<_> = lines.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(ops, ["create", "write", "fsync", "rename", "unlink"]);
}

#[cfg(debug_assertions)]
#[test]
fn a_fault_that_cannot_be_read_is_not_passed_over() {
    let room = Room::new();
    old(&room);
    assert!(!run(&room, "kil:1").success());
}

#[cfg(not(debug_assertions))]
#[test]
fn release_builds_do_not_listen() {
    let room = Room::new();
    old(&room);
    assert!(run(&room, "kill:1").success());
}
