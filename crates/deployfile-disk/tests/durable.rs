//! What is put in the place of something is there whole or not at all, whichever call is the last.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod room;

use deployfile_disk::fault::{self, Action, Crashed, Errno, Op};
use deployfile_disk::{Dir, DiskError};
use room::{Room, rel, trace};

/// The order that lifecycle.md asks of a replace: content durable before its name, name durable before success.
fn is_durable_replace(calls: &[String]) -> bool {
    let position =
        |op: &str, from: usize| calls[from..].iter().position(|c| c.starts_with(op)).map(|p| p + from);
    (|| {
        let written = position("write ", 0)?;
        let synced = position("fsync ", written)?;
        let renamed = position("rename ", synced)?;
        position("fsync ", renamed + 1)
    })()
    .is_some()
}

#[test]
fn replace_syncs_content_before_name_and_name_before_success() {
    let room = Room::new();
    let dir = room.subdir("root");
    let calls = trace(|| dir.replace(&rel("file"), b"new", 0o644).unwrap());
    assert_eq!(calls, ["create NEW", "write NEW", "fsync NEW", "rename file", "fsync file"]);
    assert!(is_durable_replace(&calls));
    assert_eq!(dir.read(&rel("file"), 10).unwrap(), b"new");

    // The same without a sync, as others publish: the check must see it.
    let broken = trace(|| {
        dir.write_new(&rel("temporary"), b"newer", 0o644).unwrap();
        dir.rename(&rel("temporary"), &rel("file")).unwrap();
    });
    assert!(!is_durable_replace(&broken));
    let unsynced_directory = trace(|| {
        let mut file = dir.create_file(&rel("temporary"), 0o644).unwrap();
        file.write_all(b"newer").unwrap();
        file.sync().unwrap();
        dir.rename(&rel("temporary"), &rel("file")).unwrap();
    });
    assert!(!is_durable_replace(&unsynced_directory));
}

/// Crashes `work` before its 1st, 2nd, … call until it is through, and calls `check` after each.
fn crash_everywhere(mut work: impl FnMut(), mut check: impl FnMut(u32)) -> u32 {
    for last in 1.. {
        let mut calls = 0;
        let installed = fault::install(move |_| {
            calls += 1;
            if calls == last { Action::Crash } else { Action::Pass }
        });
        let ended = fault::catch_crash(&mut work);
        drop(installed);
        check(last);
        if ended != Err(Crashed) {
            return last - 1;
        }
    }
    unreachable!()
}

#[test]
fn a_crash_before_any_call_leaves_old_or_new() {
    let room = Room::new();
    let dir = room.subdir("root");
    dir.replace(&rel("file"), b"old", 0o644).unwrap();
    let calls = crash_everywhere(
        || dir.replace(&rel("file"), b"new and longer", 0o644).unwrap(),
        |_| {
            let found = dir.read(&rel("file"), 100).unwrap();
            assert!(found == b"old" || found == b"new and longer", "{found:?}");
        },
    );
    assert_eq!(calls, 5);
    // What the crashes left is nothing but temporary files, and those can be swept.
    assert_eq!(dir.sweep_incoming().unwrap(), 3);
    assert_eq!(dir.entries().unwrap().len(), 1);
}

#[test]
fn a_link_is_replaced_whole() {
    let room = Room::new();
    let dir = room.subdir("root");
    let current = rel("current");
    let target = |dir: &Dir| dir.read_link(&current).unwrap();
    assert_eq!(target(&dir), None);
    let calls = trace(|| dir.replace_symlink(&current, "releases/1").unwrap());
    assert_eq!(calls, ["symlink NEW", "rename current", "fsync current"]);
    crash_everywhere(
        || dir.replace_symlink(&current, "releases/2").unwrap(),
        |_| {
            let found = target(&dir).unwrap();
            assert!(found == "releases/1" || found == "releases/2");
        },
    );
    assert_eq!(target(&dir).unwrap(), "releases/2");
    dir.sweep_incoming().unwrap();

    for other in ["directory", "file"] {
        match other {
            "file" => dir.write_new(&rel(other), b"", 0o644).unwrap(),
            _ => dir.create_dir_new(&rel(other), 0o755).unwrap(),
        }
        let refused = dir.replace_symlink(&rel(other), "x");
        assert!(matches!(refused, Err(DiskError::WrongKind { .. })), "{other}: {refused:?}");
    }
    assert_eq!(dir.entries().unwrap().len(), 3, "nothing is left of the refused ones");
}

#[test]
fn a_failed_replace_leaves_old_content_and_no_temporary() {
    let room = Room::new();
    let dir = room.subdir("root");
    dir.replace(&rel("file"), b"old", 0o644).unwrap();
    for op in [Op::Create, Op::Write, Op::Sync, Op::Rename] {
        let installed =
            fault::install(move |call| if call.op == op { Action::Fail(Errno::NOSPC) } else { Action::Pass });
        let error = dir.replace(&rel("file"), b"new", 0o644).unwrap_err();
        assert!(error.is_no_space(), "{error:?}");
        drop(installed);
        assert_eq!(dir.read(&rel("file"), 10).unwrap(), b"old", "{op:?}");
        assert_eq!(dir.entries().unwrap().len(), 1, "{op:?}");
    }
}

#[test]
fn a_short_write_goes_on_in_a_file_and_poisons_an_appender() {
    let room = Room::new();
    let dir = room.subdir("root");
    let mut appender = dir.create_append(&rel("journal"), 0o600).unwrap();
    appender.append(b"first").unwrap();
    appender.sync_data().unwrap();
    let installed = fault::install(|_| Action::Short(2));
    dir.write_new(&rel("file"), b"abcdefg", 0o600).unwrap();
    assert_eq!(dir.read(&rel("file"), 10).unwrap(), b"abcdefg");
    let short = appender.append(b"second");
    assert!(matches!(short, Err(DiskError::ShortWrite { wanted: 6, written: 2, .. })), "{short:?}");
    drop(installed);
    assert!(matches!(appender.append(b"third"), Err(DiskError::Poisoned { .. })));
    assert!(matches!(appender.sync_data(), Err(DiskError::Poisoned { .. })));
    assert_eq!(dir.read(&rel("journal"), 100).unwrap(), b"firstse");

    let mut again = dir.open_append(&rel("journal")).unwrap();
    assert_eq!(again.len(), 7);
    again.truncate(5).unwrap();
    assert_eq!(trace(|| again.append(b"!").unwrap()), ["write journal"]);
    assert_eq!(dir.read(&rel("journal"), 100).unwrap(), b"first!");
}

#[test]
fn a_failed_sync_is_not_tried_again() {
    let room = Room::new();
    let dir = room.subdir("root");
    let mut appender = dir.create_append(&rel("journal"), 0o600).unwrap();
    appender.append(b"first").unwrap();
    let installed =
        fault::install(|call| if call.op == Op::SyncData { Action::Fail(Errno::IO) } else { Action::Pass });
    assert!(appender.sync_data().is_err());
    drop(installed);
    assert!(matches!(appender.sync_data(), Err(DiskError::Poisoned { .. })));
}

#[test]
fn hooks_see_only_their_own_thread() {
    let room = Room::new();
    let dir = room.subdir("root");
    let _installed = fault::install(|_| Action::Fail(Errno::IO));
    std::thread::scope(|scope| {
        scope.spawn(|| dir.write_new(&rel("free"), b"x", 0o600).unwrap());
        let handle = fault::handle();
        let dir = &dir;
        scope.spawn(move || {
            let _entered = handle.enter();
            assert!(dir.write_new(&rel("bound"), b"x", 0o600).is_err());
        });
    });
}
