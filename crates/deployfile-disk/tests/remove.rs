//! Trees go away with what is in them, and nothing else does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod room;

use room::{Room, rel};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn links_are_removed_and_not_followed() {
    let room = Room::new();
    let dir = room.subdir("root");
    std::fs::create_dir(room.at("precious")).unwrap();
    std::fs::write(room.at("precious/data"), "data").unwrap();
    std::fs::create_dir_all(room.at("root/tree/sub")).unwrap();
    symlink(room.at("precious"), room.at("root/tree/sub/link")).unwrap();
    symlink("../../precious/data", room.at("root/tree/file-link")).unwrap();
    symlink("../precious", room.at("root/top-link")).unwrap();
    assert!(dir.remove_tree(&rel("tree")).unwrap());
    assert!(dir.remove_tree(&rel("top-link")).unwrap());
    assert!(!dir.remove_tree(&rel("tree")).unwrap());
    assert!(!dir.remove_tree(&rel("no/such/thing")).unwrap());
    assert!(dir.entries().unwrap().is_empty());
    assert_eq!(std::fs::read(room.at("precious/data")).unwrap(), b"data");
}

/// As root, modes hide nothing; then this shows only that they do no harm.
#[test]
fn directories_without_their_owners_bits_are_removed() {
    let room = Room::new();
    let dir = room.subdir("root");
    std::fs::create_dir_all(room.at("root/tree/locked/deeper")).unwrap();
    std::fs::write(room.at("root/tree/locked/deeper/file"), "x").unwrap();
    set_mode(&room.at("root/tree/locked/deeper"), 0o500);
    set_mode(&room.at("root/tree/locked"), 0o000);
    let made_writable = room::trace(|| assert!(dir.remove_tree(&rel("tree")).unwrap()));
    assert_eq!(made_writable.iter().filter(|c| c.starts_with("chmod")).count(), 2);
    assert!(dir.entries().unwrap().is_empty());
}

#[test]
fn names_that_are_not_text_are_removed() {
    use std::os::unix::ffi::OsStrExt as _;
    let room = Room::new();
    let dir = room.subdir("root");
    std::fs::create_dir(room.at("root/tree")).unwrap();
    let odd = room.at("root/tree").join(std::ffi::OsStr::from_bytes(b"\xff\n"));
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join("file"), "x").unwrap();
    assert!(dir.remove_tree(&rel("tree")).unwrap());
}

#[test]
fn deep_trees_are_removed_or_refused_but_never_overflow() {
    let room = Room::new();
    let dir = room.subdir("root");
    let nest = |depth: usize| {
        let mut at = room.subdir("root");
        for _ in 0..depth {
            at.create_dir(&rel("d"), 0o755).unwrap();
            at = at.open_dir(&rel("d")).unwrap();
        }
    };
    nest(500);
    assert!(dir.remove_tree(&rel("d")).unwrap());
    nest(600);
    let refused = dir.remove_tree(&rel("d")).unwrap_err();
    assert!(matches!(refused, deployfile_disk::DiskError::TooDeep { limit: 512, .. }));
}

#[test]
fn trash_is_beside_and_swept() {
    let room = Room::new();
    let dir = room.subdir("root");
    dir.create_dir_all(&rel("releases/one/deep"), 0o755).unwrap();
    let trash = dir.rename_to_trash(&rel("releases/one")).unwrap();
    assert_eq!(trash.parent(), Some(rel("releases")));
    assert!(dir.stat(&rel("releases/one")).unwrap().is_none());
    let releases = dir.open_dir(&rel("releases")).unwrap();
    assert_eq!(releases.sweep_incoming().unwrap(), 0);
    assert_eq!(releases.sweep_trash().unwrap(), 1);
    assert!(releases.entries().unwrap().is_empty());
}

#[test]
fn what_is_mounted_in_a_tree_is_not_emptied() {
    let room = Room::new();
    let dir = room.subdir("root");
    std::fs::create_dir_all(room.at("root/tree/mount")).unwrap();
    std::fs::write(room.at("data"), "data").unwrap();
    let Some(_mounted) = room::Mounted::tmpfs(&room.at("root/tree/mount")) else { return };
    std::fs::write(room.at("root/tree/mount/file"), "x").unwrap();
    let refused = dir.remove_tree(&rel("tree")).unwrap_err();
    assert!(refused.to_string().contains("mount point"), "{refused}");
    assert!(room.at("root/tree/mount/file").exists());
}
