//! Sources that are a directory of this machine.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on should stop, loudly")]

mod release_room;

use deployfile_disk::fault::{self, Action, Errno, Op};
use deployfile_model::Digest;
use deployfile_model::spec::ShareMode;
use deployfile_record::Failure;
use deployfile_record::effect::{SourceEffect, SourceFrom};
use deployfile_system::release::Depth;
use deployfile_system::source::{SourceError, observe_dir};
use release_room::{Room, hardlink, release_id};
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

fn plant(room: &Room) {
    room.write("src/app.py", "print(1)\n");
    room.write("src/a b/with\nnewline", "n");
    room.write("src/.git/config", "not part of it");
    room.write("src/.env.example", "A=1");
    room.write("src/node_modules/x/index.js", "no");
    room.write("src/bin/run", "#!/bin/sh\n");
    std::fs::set_permissions(room.at("src/bin/run"), Permissions::from_mode(0o4775)).unwrap();
    std::fs::set_permissions(room.at("src/app.py"), Permissions::from_mode(0o600)).unwrap();
    symlink("../app.py", room.at("src/bin/link")).unwrap();
}

fn exclude() -> Vec<String> {
    vec!["node_modules".to_owned()]
}

fn observe(room: &Room) -> Result<Digest, SourceError> {
    let facts = observe_dir(&room.host_path("src"), &exclude(), &room.host_path("root"))?;
    assert_eq!(facts.revision, facts.natural_build_id.as_str());
    Ok(Digest::parse(&facts.revision).unwrap())
}

fn from_dir(room: &Room, tree: Digest, base: Option<&str>) -> SourceEffect {
    let from = SourceFrom::Dir { path: room.host_path("src"), exclude: exclude(), tree };
    SourceEffect { from, base: base.map(release_id), share: ShareMode::Copy }
}

fn code(error: SourceError) -> String {
    Failure::from(error).code
}

#[test]
fn a_directory_is_put_into_a_release_with_plain_modes() {
    let room = Room::new();
    plant(&room);
    let tree = observe(&room).unwrap();
    let done = room.populate("r1", &from_dir(&room, tree, None)).unwrap();
    assert_eq!((done.files, done.revision), (5, tree.to_string()));
    let content = room.content("r1");
    let content: Vec<(&str, &str)> = content.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect();
    assert_eq!(
        content,
        [
            (".env.example", "644 A=1"),
            ("a b/with\nnewline", "644 n"),
            ("app.py", "644 print(1)\n"),
            ("bin/link", "-> ../app.py"),
            ("bin/run", "755 #!/bin/sh\n"),
        ]
    );
    room.populate("r1", &from_dir(&room, tree, None)).unwrap();
    room.seal("r1", None).unwrap();
    assert!(room.drift("r1", Depth::Everything).is_empty());
}

#[test]
fn the_digest_is_of_content_and_executable_bits_alone() {
    let room = Room::new();
    plant(&room);
    let tree = observe(&room).unwrap();
    room.write("src/node_modules/y", "left out");
    std::fs::set_permissions(room.at("src/app.py"), Permissions::from_mode(0o640)).unwrap();
    assert_eq!(observe(&room).unwrap(), tree);
    std::fs::set_permissions(room.at("src/app.py"), Permissions::from_mode(0o740)).unwrap();
    assert_ne!(observe(&room).unwrap(), tree);
}

#[test]
fn a_source_that_changed_since_the_plan_is_told_and_not_left_as_whole() {
    let room = Room::new();
    plant(&room);
    let tree = observe(&room).unwrap();
    room.write("src/app.py", "print(2)\n");
    let failure = Failure::from(room.populate("r1", &from_dir(&room, tree, None)).unwrap_err());
    assert_eq!(failure.code, "source::changed");
    assert!(failure.message.contains("the source changed while it was read"), "{failure}");
    assert!(failure.help.is_some());
    room.write("src/app.py", "print(1)\n");
    room.populate("r1", &from_dir(&room, tree, None)).unwrap();
    assert_eq!(room.content("r1")["app.py"], "644 print(1)\n");
}

#[test]
fn a_source_that_changes_while_it_is_copied_is_told() {
    for share in [ShareMode::Copy, ShareMode::Hardlink] {
        let room = Room::new();
        plant(&room);
        let tree = observe(&room).unwrap();
        room.build("base", &SourceEffect { share, ..from_dir(&room, tree, None) });
        // Between its being listed and its being copied.
        for (at, change) in [("app.py", "x"), ("a b/with\nnewline", "longer"), ("bin/run", "")] {
            let path = room.at("src").join(at);
            let before = std::fs::read(&path).unwrap();
            let target = path.clone();
            let mut is_done = false;
            let installed = fault::install(move |call| {
                if call.op == Op::Symlink && !is_done {
                    is_done = true;
                    std::fs::write(&target, change).unwrap();
                }
                Action::Pass
            });
            let effect = SourceEffect { share, ..from_dir(&room, tree, Some("base")) };
            let error = room.populate("r1", &effect).unwrap_err();
            drop(installed);
            assert_eq!(code(error), "source::changed", "{at}");
            std::fs::write(&path, before).unwrap();
        }
    }
}

#[test]
fn unchanged_files_come_from_the_base() {
    let room = Room::new();
    plant(&room);
    let first = observe(&room).unwrap();
    room.build("r1", &hardlink(from_dir(&room, first, None)));
    room.write("src/.env.example", "A=2");
    let second = observe(&room).unwrap();
    let done = room.populate("r2", &hardlink(from_dir(&room, second, Some("r1")))).unwrap();
    assert_eq!((done.files, done.from_base), (5, 3));
    room.seal("r2", Some(&release_id("r1"))).unwrap();
    let inode = |id: &str, path: &str| std::fs::metadata(room.release(id).join(path)).unwrap().ino();
    assert_eq!(inode("r1", "app.py"), inode("r2", "app.py"));
    assert_ne!(inode("r1", "app.py"), std::fs::metadata(room.at("src/app.py")).unwrap().ino());
    for id in ["r1", "r2"] {
        assert!(room.drift(id, Depth::Everything).is_empty());
    }
}

#[test]
fn what_cannot_stand_in_a_release_is_refused() {
    type Spoil = fn(&Room);
    let cases: [(Spoil, &str); 6] = [
        (|room| symlink("/etc/passwd", room.at("src/x")).unwrap(), "source::symlink-leaves"),
        (|room| symlink("../../x", room.at("src/bin/x")).unwrap(), "source::symlink-leaves"),
        (
            |room| drop(std::os::unix::net::UnixListener::bind(room.at("src/x")).unwrap()),
            "source::path-refused",
        ),
        (|room| room.write("src/.release/x", ""), "source::path-refused"),
        (|room| std::fs::rename(room.at("src"), room.at("gone")).unwrap(), "source::dir-missing"),
        (
            |room| {
                std::fs::remove_dir_all(room.at("src")).unwrap();
                room.write("src", "a file");
            },
            "source::dir-missing",
        ),
    ];
    for (index, (prepare, expected)) in cases.into_iter().enumerate() {
        let room = Room::new();
        plant(&room);
        prepare(&room);
        assert_eq!(code(observe(&room).unwrap_err()), expected, "case {index}");
    }
}

#[test]
fn the_source_and_the_root_are_not_one_inside_the_other() {
    let room = Room::new();
    plant(&room);
    let overlap = |source: &str, root: &str, exclude: &[&str]| {
        let exclude: Vec<String> = exclude.iter().map(|glob| (*glob).to_owned()).collect();
        let observed = observe_dir(&room.host_path(source), &exclude, &room.host_path(root));
        observed.err().map(code)
    };
    let told = Some("source::overlaps-root".to_owned());
    assert_eq!(overlap("src", "src", &[]), told);
    assert_eq!(overlap("src", "src/bin", &[]), told);
    assert_eq!(overlap("src", "src/not/there/yet", &[]), told);
    assert_eq!(overlap("src/bin", "src", &[]), told);
    assert_eq!(overlap("src", "src/node_modules/root", &["node_modules"]), None);
    assert_eq!(overlap("src", "srcroot", &[]), None);
}

#[test]
fn a_crash_anywhere_is_made_good_by_trying_again() {
    let room = Room::new();
    plant(&room);
    let tree = observe(&room).unwrap();
    let effect = from_dir(&room, tree, None);
    room.build("whole", &effect);
    for at in 0.. {
        let id = format!("r{at}");
        let mut seen = 0;
        let installed = fault::install(move |_| {
            seen += 1;
            if seen > at { Action::Crash } else { Action::Pass }
        });
        let crashed = fault::catch_crash(|| room.populate(&id, &effect));
        drop(installed);
        room.populate(&id, &effect).unwrap();
        assert_eq!(room.content(&id), room.content("whole"), "crash at {at}");
        if crashed.is_ok() {
            assert!(at > 15, "{at}");
            return;
        }
    }
}

#[test]
fn a_file_system_that_fails_is_told() {
    let room = Room::new();
    plant(&room);
    let tree = observe(&room).unwrap();
    for (op, errno, expected) in [
        (Op::Write, Errno::NOSPC, "source::no-space"),
        (Op::Create, Errno::ROFS, "source::disk"),
        (Op::Rename, Errno::IO, "source::disk"),
    ] {
        let installed =
            fault::install(move |call| if call.op == op { Action::Fail(errno) } else { Action::Pass });
        let error = room.populate("r1", &from_dir(&room, tree, None)).unwrap_err();
        drop(installed);
        assert_eq!(code(error), expected);
    }
    room.populate("r1", &from_dir(&room, tree, None)).unwrap();
}
