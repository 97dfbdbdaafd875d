//! Many files at a time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod room;

use deployfile_disk::fault::{self, Action, Errno, Op};
use deployfile_disk::tree::{
    CopyJob, CopyMode, Outcome, TreeWriter, copy_files, create_dirs, digest_files, scan, scan_some,
    set_dir_modes, sync_tree, with_early_sync,
};
use deployfile_disk::{Dir, DiskError, Kind};
use deployfile_model::Digest;
use room::{Mounted, Room, trace};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

/// Three directories of 300 files, so that there are more chunks than threads.
fn plant(dir: &Dir) {
    create_dirs(dir, [("a", 0o755), ("a/b", 0o750), ("c", 0o555)]).unwrap();
    let mut writer = TreeWriter::new(dir);
    for within in ["a", "a/b", "c"] {
        for n in 0..300 {
            let mode = if n % 3 == 0 { 0o755 } else { 0o444 };
            writer.write_file(&format!("{within}/{n}"), format!("{within} {n}").as_bytes(), mode).unwrap();
        }
    }
    writer.create_link("a/link", "../c/1").unwrap();
    set_dir_modes(dir, &[("a", 0o755), ("a/b", 0o750), ("c", 0o555)]).unwrap();
}

fn paths(dir: &Dir, kind: Kind) -> Vec<String> {
    scan(dir, 2).unwrap().into_iter().filter(|e| e.stat.kind == kind).map(|e| e.path).collect()
}

fn copy(from: &Dir, to: &Dir, mode: CopyMode) -> Vec<(String, Outcome)> {
    let dirs = scan(from, 2).unwrap().into_iter().filter(|e| e.stat.kind == Kind::Dir);
    let dirs: Vec<_> = dirs.map(|e| (e.path, e.stat.mode)).collect();
    create_dirs(to, dirs.iter().map(|(path, mode)| (path.as_str(), *mode))).unwrap();
    let files = paths(from, Kind::File);
    let jobs: Vec<_> = files.iter().map(|path| CopyJob { path, expected: None, mode: None }).collect();
    let outcomes = copy_files(from, to, &jobs, 3, mode).unwrap();
    files.iter().cloned().zip(outcomes).collect()
}

#[test]
fn a_scan_is_sorted_and_complete() {
    let room = Room::new();
    let dir = room.subdir("root");
    plant(&dir);
    std::fs::write(room.at("root/a.txt"), "12345").unwrap();
    let entries = scan(&dir, 3).unwrap();
    assert_eq!(entries.len(), 3 + 900 + 1 + 1);
    assert!(entries.is_sorted_by(|x, y| x.path < y.path));
    assert_eq!(entries, scan(&dir, 1).unwrap());
    let find = |path: &str| entries.iter().find(|e| e.path == path).unwrap();
    assert_eq!(find("a/link").target.as_deref(), Some("../c/1"));
    assert_eq!((find("c").stat.mode, find("a/b").stat.mode, find("a/b/0").stat.mode), (0o555, 0o750, 0o755));
    let (found, real) = (find("a.txt").stat, std::fs::metadata(room.at("root/a.txt")).unwrap());
    assert_eq!((found.size, found.mtime_ns), (5, real.mtime() * 1_000_000_000 + real.mtime_nsec()));
    assert_eq!(found.ctime_ns, real.ctime() * 1_000_000_000 + real.ctime_nsec());
}

#[test]
fn what_a_scan_does_not_take_is_not_looked_at() {
    let room = Room::new();
    let dir = room.subdir("root");
    plant(&dir);
    let takes = |path: &str, kind: Kind| path != "a/b" && kind != Kind::Symlink;
    let entries = scan_some(&dir, 2, &takes).unwrap();
    assert_eq!(entries.len(), 2 + 600);
    assert!(entries.iter().all(|e| !e.path.starts_with("a/b")));
}

#[test]
fn a_scan_tells_of_names_that_are_not_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let room = Room::new();
    let dir = room.subdir("root");
    std::fs::write(room.at("root").join(std::ffi::OsStr::from_bytes(b"a\xff")), "").unwrap();
    assert!(matches!(scan(&dir, 2), Err(DiskError::NotText { .. })));
}

#[test]
fn a_copy_shares_nothing() {
    let room = Room::new();
    let (from, to) = (room.subdir("from"), room.subdir("to"));
    plant(&from);
    for (path, outcome) in copy(&from, &to, CopyMode::Copy) {
        let bytes = std::fs::read(room.at("from").join(&path)).unwrap();
        match outcome {
            Outcome::Copied(digest) => assert_eq!(digest, Digest::of(&bytes), "{path}"),
            other => assert_eq!(other, Outcome::Reflinked, "{path}"),
        }
    }
    let before = digests(&from);
    assert_eq!(before, digests(&to));
    for path in paths(&to, Kind::File) {
        let (old, new) = (room.at("from").join(&path), room.at("to").join(&path));
        let (old, meta) = (std::fs::metadata(old).unwrap(), std::fs::metadata(&new).unwrap());
        assert_eq!(
            (old.mode(), old.mtime(), old.mtime_nsec()),
            (meta.mode(), meta.mtime(), meta.mtime_nsec())
        );
        assert_ne!(old.ino(), meta.ino());
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).open(&new).unwrap();
        std::io::Write::write_all(&mut file, b"more").unwrap();
    }
    assert_eq!(before, digests(&from), "writing in the copy changed the original");
}

fn digests(dir: &Dir) -> Vec<Digest> {
    let files = paths(dir, Kind::File);
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    digest_files(dir, &files, 3).into_iter().map(Result::unwrap).collect()
}

#[test]
fn a_hard_link_is_the_same_file() {
    let room = Room::new();
    let (from, to) = (room.subdir("from"), room.subdir("to"));
    plant(&from);
    for (path, outcome) in copy(&from, &to, CopyMode::Hardlink) {
        assert_eq!(outcome, Outcome::Linked);
        let inode = |tree: &str| std::fs::metadata(room.at(tree).join(&path)).unwrap().ino();
        assert_eq!(inode("from"), inode("to"));
    }
}

#[test]
fn a_copy_gets_the_mode_that_was_asked_for() {
    let room = Room::new();
    let (from, to) = (room.subdir("from"), room.subdir("to"));
    std::fs::write(room.at("from/a"), "a").unwrap();
    let jobs = [CopyJob { path: "a", expected: None, mode: Some(0o511) }];
    copy_files(&from, &to, &jobs, 1, CopyMode::Copy).unwrap();
    assert_eq!(scan(&to, 1).unwrap()[0].stat.mode, 0o511);
}

#[test]
fn a_scan_leaves_out_what_it_is_told_to() {
    let room = Room::new();
    let dir = room.subdir("root");
    plant(&dir);
    let all = scan(&dir, 2).unwrap();
    let some = scan_some(&dir, 2, &|path, kind| !(path == "a" && kind == Kind::Dir)).unwrap();
    let expected: Vec<_> = all.into_iter().filter(|e| e.path != "a" && !e.path.starts_with("a/")).collect();
    assert_eq!(some, expected);
}

#[test]
fn a_source_that_differs_is_told_and_not_left() {
    let room = Room::new();
    let (from, to) = (room.subdir("from"), room.subdir("to"));
    for name in ["good", "bad", "link"] {
        std::fs::write(room.at("from").join(name), name).unwrap();
    }
    std::fs::remove_file(room.at("from/link")).unwrap();
    symlink("good", room.at("from/link")).unwrap();
    let job = |path| CopyJob { path, expected: Some(Digest::of(b"good")), mode: Some(0o640) };
    let jobs = [job("bad"), job("gone"), job("good"), job("link"), job("no/directory")];
    let refuse_reflinks = fault::install(|call| match call.op {
        Op::Clone => Action::Fail(Errno::OPNOTSUPP),
        _ => Action::Pass,
    });
    let outcomes = copy_files(&from, &to, &jobs, 2, CopyMode::Copy).unwrap();
    drop(refuse_reflinks);
    let nothing = Outcome::Differs(None);
    let good = Outcome::Copied(Digest::of(b"good"));
    assert_eq!(outcomes, [Outcome::Differs(Some(Digest::of(b"bad"))), nothing, good, nothing, nothing]);
    assert_eq!(to.entries().unwrap().len(), 1);
    let mode = std::fs::metadata(room.at("to/good")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
}

#[test]
fn no_space_stops_a_copy() {
    let room = Room::new();
    let (from, to) = (room.subdir("from"), room.subdir("to"));
    plant(&from);
    let mut writes = 0;
    let installed = fault::install(move |call| {
        writes += u32::from(call.op == Op::Create);
        if writes > 100 { Action::Fail(Errno::NOSPC) } else { Action::Pass }
    });
    let files = paths(&from, Kind::File);
    create_dirs(&to, [("a", 0o755), ("a/b", 0o755), ("c", 0o755)]).unwrap();
    let jobs: Vec<_> = files.iter().map(|path| CopyJob { path, expected: None, mode: None }).collect();
    let error = copy_files(&from, &to, &jobs, 3, CopyMode::Copy).unwrap_err();
    assert!(error.is_no_space(), "{error:?}");
    drop(installed);
}

#[test]
fn links_are_not_digested_through() {
    let room = Room::new();
    let dir = room.subdir("root");
    plant(&dir);
    symlink("a", room.at("root/way")).unwrap();
    let digests = digest_files(&dir, &["c/1", "a/link", "way/1", "c/none", "none/1"], 2);
    assert_eq!(*digests[0].as_ref().unwrap(), Digest::of(b"c 1"));
    assert!(matches!(digests[1], Err(DiskError::Symlink { .. })));
    assert!(matches!(digests[2], Err(DiskError::Symlink { .. })));
    assert!(digests[3].as_ref().is_err_and(DiskError::is_not_found));
    assert!(digests[4].as_ref().is_err_and(DiskError::is_not_found));
}

#[test]
fn every_file_is_synced_and_directories_children_first() {
    let room = Room::new();
    let dir = room.subdir("root");
    plant(&dir);
    let calls = trace(|| sync_tree(&dir, &["a/1", "a/b/1", "c/1"], &["a", "a/b", "c"]).unwrap());
    let mut files = calls[..3].to_vec();
    files.sort();
    assert_eq!(files, ["fsync 1", "fsync 1", "fsync 1"]);
    assert_eq!(calls[3], "fsync b");
    assert_eq!((calls.len(), calls[6].as_str()), (7, "fsync root"));
}

#[test]
fn many_files_are_synced_at_once_where_that_is_enough() {
    let room = Room::new();
    let dir = room.subdir("root");
    let files: Vec<String> = (0..5_001).map(|n| n.to_string()).collect();
    let mut writer = TreeWriter::new(&dir);
    files.iter().for_each(|path| writer.write_file(path, b"", 0o644).unwrap());
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let calls = trace(|| sync_tree(&dir, &files, &[]).unwrap());
    let each = if dir.file_system().unwrap().has_whole_sync() { 1 } else { files.len() };
    assert_eq!(calls.len(), each + 1);
    let error = fault::install(|call| match call.op {
        Op::SyncFileSystem | Op::Sync => Action::Fail(Errno::IO),
        _ => Action::Pass,
    });
    assert!(sync_tree(&dir, &files, &[]).is_err());
    drop(error);
}

#[test]
fn xfs_shares_extents() {
    let room = Room::new();
    room.subdir("xfs");
    let Some(_xfs) = Mounted::image(&["mkfs.xfs", "-q"], &room.at("image"), &room.at("xfs")) else { return };
    let (from, to) = (room.subdir("xfs/from"), room.subdir("xfs/to"));
    plant(&from);
    assert!(copy(&from, &to, CopyMode::Copy).iter().all(|(_, outcome)| *outcome == Outcome::Reflinked));
    assert_eq!(digests(&from), digests(&to));
    std::fs::set_permissions(room.at("xfs/to/a/1"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(room.at("xfs/to/a/1"), "changed").unwrap();
    assert_eq!(std::fs::read(room.at("xfs/from/a/1")).unwrap(), b"a 1");
}

#[test]
fn an_error_of_an_early_sync_is_told() {
    let room = Room::new();
    let dir = room.subdir("root");
    if !dir.file_system().unwrap().has_whole_sync() {
        eprintln!("SKIPPED: this file system has no sync of the whole");
        return;
    }
    let (asked, is_asked) = std::sync::mpsc::channel();
    let installed = fault::install(move |call| match call.op {
        Op::SyncFileSystem => {
            asked.send(()).unwrap();
            Action::Fail(Errno::IO)
        }
        _ => Action::Pass,
    });
    let done = with_early_sync(&dir, || is_asked.recv().unwrap());
    drop(installed);
    assert!(done.is_err_and(|error| error.errno() == Some(Errno::IO.raw_os_error())));
    let done = with_early_sync(&dir, || 7);
    assert_eq!(done.unwrap(), 7, "short work is not kept waiting");
}
