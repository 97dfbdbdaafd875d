//! What may be a root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod room;

use deployfile_disk::filesystem::FileSystem;
use deployfile_disk::root::{Durability, RootError, RootWarning, check_root, create_root};
use deployfile_model::HostPath;
use room::{Mounted, Room};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

fn check(root: &HostPath) -> Result<deployfile_disk::root::Root, RootError> {
    check_root(root, Durability::Waived)
}

#[test]
fn a_directory_of_ours_is_a_root() {
    let room = Room::new();
    room.subdir("root");
    let root = check(&room.host_path("root")).unwrap();
    assert!(root.space.bytes > 0 && !root.space.is_read_only);
    assert_eq!(root.dir.path_for_display(), room.at("root").to_str().unwrap());
}

#[test]
fn what_cannot_be_a_root_is_told_by_kind() {
    let room = Room::new();
    room.subdir("real/root");
    symlink("real/root", room.at("link")).unwrap();
    symlink("real", room.at("above")).unwrap();
    std::fs::write(room.at("file"), "").unwrap();
    assert!(matches!(check(&HostPath::new("/").unwrap()), Err(RootError::Slash)));
    assert!(matches!(check(&room.host_path("none")), Err(RootError::Missing { .. })));
    assert!(matches!(check(&room.host_path("file")), Err(RootError::NotADirectory { .. })));
    for (root, at) in [("link", "link"), ("above/root", "above")] {
        let refused = check(&room.host_path(root)).unwrap_err();
        let RootError::Symlink { link, .. } = &refused else { panic!("{refused:?}") };
        assert_eq!(*link, room.at(at).to_str().unwrap());
        assert!(refused.to_string().contains("real"), "{refused}");
    }
}

#[test]
fn others_may_not_write_in_it() {
    let room = Room::new();
    room.subdir("root");
    let set =
        |mode| std::fs::set_permissions(room.at("root"), std::fs::Permissions::from_mode(mode)).unwrap();
    for (mode, is_refused) in [(0o775, true), (0o757, true), (0o1777, false), (0o755, false), (0o700, false)]
    {
        set(mode);
        let refused = matches!(check(&room.host_path("root")), Err(RootError::Writable { .. }));
        assert_eq!(refused, is_refused, "{mode:o}");
    }
}

#[test]
fn it_belongs_to_us() {
    let room = Room::new();
    room.subdir("root");
    if chown(room.at("root"), Some(12_345), None).is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI=true needs root for this");
        eprintln!("SKIPPED: only root can give a directory away");
        return;
    }
    assert!(matches!(check(&room.host_path("root")), Err(RootError::NotOurs { owner: 12_345, .. })));
}

#[test]
fn a_missing_root_is_made_with_what_is_above_it() {
    let room = Room::new();
    let path = room.host_path("a/b/root");
    create_root(&path).unwrap();
    create_root(&path).unwrap();
    check(&path).unwrap();
    let mode = std::fs::metadata(room.at("a/b/root")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
    std::fs::write(room.at("file"), "").unwrap();
    assert!(create_root(&room.host_path("file/root")).is_err());
}

#[test]
fn file_systems_are_told_apart() {
    let room = Room::new();
    room.subdir("root/releases");
    room.subdir("tmpfs");
    room.subdir("ext");
    room.subdir("journalled");
    let Some(_tmpfs) = Mounted::tmpfs(&room.at("tmpfs")) else { return };
    let root = check(&room.host_path("tmpfs"));
    // A new tmpfs is 1777, which is sticky.
    assert_eq!(root.unwrap().warnings, [RootWarning::Tmpfs]);

    let Some(_split) = Mounted::tmpfs(&room.at("root/releases")) else { return };
    assert!(matches!(check(&room.host_path("root")), Err(RootError::Split { .. })));

    let make = ["mkfs.ext4", "-q", "-O", "^has_journal"];
    let Some(_ext) = Mounted::image(&make, &room.at("image"), &room.at("ext")) else { return };
    let refused = check_root(&room.host_path("ext"), Durability::Required);
    assert!(
        matches!(refused, Err(RootError::Unsuitable { file_system: FileSystem::ExtWithoutJournal, .. })),
        "{refused:?}"
    );
    assert_eq!(check(&room.host_path("ext")).unwrap().warnings.len(), 1);

    let make = ["mkfs.ext4", "-q"];
    let Some(_ext) = Mounted::image(&make, &room.at("image2"), &room.at("journalled")) else { return };
    let root = check_root(&room.host_path("journalled"), Durability::Required).unwrap();
    assert_eq!((root.file_system, root.warnings.len()), (FileSystem::Ext4, 0));
}
