//! Nothing leaves the handle and nothing follows a link.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod room;

use deployfile_disk::{DiskError, Kind};
use deployfile_model::HostPath;
use room::{Room, rel};
use std::os::unix::fs::{PermissionsExt as _, symlink};

#[test]
fn a_link_is_refused_wherever_it_stands() {
    let room = Room::new();
    std::fs::create_dir_all(room.at("outside/deep")).unwrap();
    std::fs::write(room.at("outside/secret"), "secret").unwrap();
    let dir = room.subdir("root");
    symlink("../outside", room.at("root/out")).unwrap();
    symlink(room.at("outside/secret"), room.at("root/absolute")).unwrap();
    symlink("real", room.at("root/inside")).unwrap();
    std::fs::create_dir(room.at("root/real")).unwrap();

    let refused = |error: Option<DiskError>, what: &str| {
        assert!(matches!(error, Some(DiskError::Symlink { .. })), "{what}: {error:?}");
    };
    for path in ["out/secret", "absolute", "inside", "inside/x"] {
        refused(dir.read(&rel(path), 100).err(), path);
        refused(dir.open_append(&rel(path)).err(), path);
        refused(dir.truncate(&rel(path), 0).err(), path);
        refused(dir.set_mode(&rel(path), 0o600).err(), path);
    }
    for path in ["out/new", "inside/new"] {
        refused(dir.write_new(&rel(path), b"x", 0o600).err(), path);
        refused(dir.replace(&rel(path), b"x", 0o600).err(), path);
        refused(dir.create_dir(&rel(path), 0o700).err(), path);
        refused(dir.symlink_new(&rel(path), "x").err(), path);
        refused(dir.rename(&rel("real"), &rel(path)).err(), path);
        refused(dir.remove_tree(&rel(path)).err(), path);
        refused(dir.list(&rel(path)).err(), path);
    }
    refused(dir.open_dir(&rel("out")).err(), "open_dir");
    assert_eq!(std::fs::read(room.at("outside/secret")).unwrap(), b"secret");
    assert_eq!(std::fs::read_dir(room.at("outside")).unwrap().count(), 2);
}

#[test]
fn a_handle_stays_with_its_directory_when_the_name_is_swapped() {
    let room = Room::new();
    let dir = room.subdir("root");
    std::fs::create_dir(room.at("evil")).unwrap();
    std::fs::rename(room.at("root"), room.at("moved")).unwrap();
    symlink("evil", room.at("root")).unwrap();
    dir.write_new(&rel("file"), b"mine", 0o600).unwrap();
    assert!(room.at("moved/file").exists());
    assert!(!room.at("evil/file").exists());
}

#[test]
fn a_root_is_not_reached_through_a_link() {
    let room = Room::new();
    room.subdir("real/root");
    symlink("real", room.at("link")).unwrap();
    let path = HostPath::new(room.at("link/root").to_str().unwrap()).unwrap();
    assert!(matches!(deployfile_disk::Dir::open_root(&path), Err(DiskError::Symlink { .. })));
}

#[test]
fn pipes_are_not_waited_for_and_long_files_are_refused() {
    let room = Room::new();
    let dir = room.subdir("root");
    let made = std::process::Command::new("mkfifo").arg(room.at("root/pipe")).status().unwrap();
    assert!(made.success());
    let refused = dir.read(&rel("pipe"), 10);
    assert!(matches!(refused, Err(DiskError::WrongKind { found: Kind::Other, .. })), "{refused:?}");
    dir.write_new(&rel("long"), &[7; 11], 0o600).unwrap();
    assert!(matches!(dir.read(&rel("long"), 10), Err(DiskError::TooLarge { limit: 10, .. })));
    assert_eq!(dir.read(&rel("long"), 11).unwrap().len(), 11);
    assert!(dir.read(&rel("none"), 1).unwrap_err().is_not_found());
}

#[test]
fn modes_are_exact_and_directories_are_told_apart() {
    let room = Room::new();
    let dir = room.subdir("root");
    let mode = |path: &str| std::fs::metadata(room.at(path)).unwrap().permissions().mode() & 0o7777;
    assert!(dir.create_dir(&rel("open"), 0o777).unwrap());
    assert!(!dir.create_dir(&rel("open"), 0o700).unwrap());
    assert_eq!(mode("root/open"), 0o777);
    dir.write_new(&rel("file"), b"", 0o666).unwrap();
    assert_eq!(mode("root/file"), 0o666);
    dir.set_mode(&rel("file"), 0o444).unwrap();
    assert_eq!(mode("root/file"), 0o444);
    assert!(dir.create_dir_new(&rel("open"), 0o700).unwrap_err().is_exists());
    assert!(matches!(dir.create_dir(&rel("file"), 0o700), Err(DiskError::WrongKind { .. })));
    dir.create_dir_all(&rel("a/b/c"), 0o750).unwrap();
    assert_eq!((mode("root/a"), mode("root/a/b/c")), (0o750, 0o750));
    let names: Vec<_> = dir.entries().unwrap().into_iter().map(|e| (e.name, e.kind)).collect();
    assert_eq!(names, [("a".into(), Kind::Dir), ("file".into(), Kind::File), ("open".into(), Kind::Dir)]);
    assert_eq!(dir.stat(&rel("no/such")).unwrap(), None);
}

#[test]
fn messages_name_verb_and_path_and_keep_the_source_apart() {
    use std::error::Error as _;
    let room = Room::new();
    let dir = room.subdir("root");
    let error = dir.read(&rel("a/none"), 1).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot open `{}`", room.at("root/a/none").display()));
    let source = error.source().unwrap().to_string();
    assert!(source.contains("No such file"), "{source}");
}
