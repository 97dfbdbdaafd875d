//! Sealing, verifying, reading and removing releases.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on should stop, loudly")]

mod release_room;

use deployfile_disk::fault::{self, Action, Errno, Op};
use deployfile_exec::port::Stop;
use deployfile_model::RelPath;
use deployfile_record::{Failure, ReleaseRecord};
use deployfile_system::release::{self, Depth, DriftKind, ReleaseError, refuse_drift};
use release_room::{Room, from_git, hardlink, has_git, header, release_id, seal_effect};
use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

const FILES: [(&str, &str); 4] = [("a", "aaa"), ("dir/b", "bb"), ("dir/sub/c", ""), ("z", "z")];

/// A release with a source, files of a build, a tail and a secret.
fn plant(room: &Room, id: &str) {
    let url = room.text("repo");
    let commit = if room.at("repo").exists() {
        room.git("repo", &["rev-parse", "HEAD"])
    } else {
        room.repository("repo", &FILES)
    };
    room.populate(id, &from_git(&url, &commit, None)).unwrap();
    room.write(&format!("root/releases/{id}/built/out.js"), "js");
    room.write(&format!("root/releases/{id}/services/web.conf"), "[program:web]\n");
    room.write(&format!("root/releases/{id}/env"), "TOKEN=secret");
    symlink("/somewhere/else", room.release(id).join("shared-media")).unwrap();
}

fn seal(room: &Room, id: &str) -> Result<ReleaseRecord, ReleaseError> {
    let mut effect = seal_effect();
    effect.secret_files = vec![RelPath::new("env").unwrap()];
    release::seal(&room.root(), &header(id, None), &effect, &Stop::new())
}

fn drift(room: &Room, id: &str) -> Vec<(String, DriftKind)> {
    let fast = room.drift(id, Depth::Changed);
    assert_eq!(fast, room.drift(id, Depth::Everything));
    fast.into_iter().map(|drift| (drift.path, drift.what)).collect()
}

#[test]
fn a_sealed_release_says_what_it_is() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    plant(&room, "r1");
    let dir = release::open(&room.root(), &release_id("r1")).unwrap();
    assert_eq!(release::read_record(&dir).unwrap(), None);
    let record = seal(&room, "r1").unwrap();
    assert_eq!(release::read_record(&dir).unwrap().as_ref(), Some(&record));
    assert_eq!((record.bytes, record.entries), (22, 12));
    let tree = std::fs::read_to_string(room.release("r1").join(".release/tree")).unwrap();
    let expected = "d\t755\t0\t\tbuilt\n";
    assert!(tree.contains(expected), "{tree}");
    assert!(tree.contains("s\t644\t0\t\tenv\n"), "a secret has neither digest nor size: {tree}");
    assert!(!tree.contains(".release"), "{tree}");
    assert_eq!(drift(&room, "r1"), []);
    let again = seal(&room, "r1").unwrap();
    assert_eq!(again, record, "twice is as good as once");
}

#[test]
fn the_same_release_has_the_same_tree_digest() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let digests = ["r1", "r2"].map(|id| {
        plant(&room, id);
        seal(&room, id).unwrap().tree
    });
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn drift_is_told_by_kind() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    plant(&room, "r1");
    seal(&room, "r1").unwrap();
    let at = |path: &str| room.release("r1").join(path);
    std::fs::write(at("a"), "aab").unwrap();
    std::fs::remove_file(at("dir/b")).unwrap();
    std::fs::set_permissions(at("z"), Permissions::from_mode(0o600)).unwrap();
    std::fs::create_dir(at("__pycache__")).unwrap();
    std::fs::write(at("__pycache__/x.pyc"), "").unwrap();
    std::fs::remove_file(at("shared-media")).unwrap();
    symlink("/elsewhere", at("shared-media")).unwrap();
    std::fs::write(at("env"), "TOKEN=other").unwrap();
    let found = drift(&room, "r1");
    let expected = [
        ("__pycache__", DriftKind::Added),
        ("__pycache__/x.pyc", DriftKind::Added),
        ("a", DriftKind::Changed),
        ("dir/b", DriftKind::Missing),
        ("shared-media", DriftKind::TargetChanged),
        ("z", DriftKind::ModeChanged),
    ];
    assert_eq!(found, expected.map(|(path, what)| (path.to_owned(), what)));
    let all = room.drift("r1", Depth::Changed);
    let failure = refuse_drift(&release_id("r1"), &all).unwrap();
    assert_eq!((failure.code.as_str(), failure.output.len()), ("release::drift", 4));
    assert_eq!(refuse_drift(&release_id("r1"), &all[..2]), None, "additions refuse nothing");
}

#[test]
fn a_change_that_keeps_size_and_modification_time_is_seen() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    plant(&room, "r1");
    seal(&room, "r1").unwrap();
    let path = room.release("r1").join("a");
    let times = std::fs::metadata(&path).unwrap();
    std::fs::write(&path, "bbb").unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_modified(times.modified().unwrap()).unwrap();
    assert_eq!(drift(&room, "r1"), [("a".to_owned(), DriftKind::Changed)]);
}

#[test]
fn writing_in_a_release_never_changes_another() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let url = room.text("repo");
    let commit = room.repository("repo", &FILES);
    room.build("old", &from_git(&url, &commit, None));
    room.build("new", &from_git(&url, &commit, Some("old")));
    for path in room.content("new").keys() {
        let path = room.release("new").join(path);
        OpenOptions::new().append(true).open(path).unwrap().write_all(b"appended").unwrap();
    }
    assert_eq!(drift(&room, "old"), []);
    assert_eq!(drift(&room, "new").len(), FILES.len());
}

#[test]
fn a_harness_that_shares_inodes_is_caught_by_that_test() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let url = room.text("repo");
    let commit = room.repository("repo", &FILES);
    room.build("old", &from_git(&url, &commit, None));
    room.build("new", &from_git(&url, &commit, Some("old")));
    let (old, new) = (room.release("old").join("a"), room.release("new").join("a"));
    std::fs::remove_file(&new).unwrap();
    std::fs::hard_link(&old, &new).unwrap();
    OpenOptions::new().append(true).open(&new).unwrap().write_all(b"appended").unwrap();
    assert_eq!(drift(&room, "old"), [("a".to_owned(), DriftKind::Changed)]);
}

#[test]
fn a_step_that_writes_into_a_shared_file_is_told_by_seal() {
    if !has_git() {
        return;
    }
    type Spoil = fn(&std::path::Path);
    let steps: [(Spoil, &str); 3] = [
        (|file| std::fs::write(file, "xyz").unwrap(), "wrote into it"),
        (|file| std::fs::write(file, "longer than before").unwrap(), "wrote into it"),
        (|file| std::fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap(), "changed its mode"),
    ];
    for (step, told) in steps {
        let room = Room::new();
        let url = room.text("repo");
        let commit = room.repository("repo", &FILES);
        room.build("old", &hardlink(from_git(&url, &commit, None)));
        room.populate("new", &hardlink(from_git(&url, &commit, Some("old")))).unwrap();
        let file = room.release("new").join("a");
        if !rustix::process::geteuid().is_root() {
            std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        }
        step(&file);
        let failure = Failure::from(room.seal("new", Some(&release_id("old"))).unwrap_err());
        assert_eq!(failure.code, "seal::shared-write");
        assert!(failure.message.contains("`a`") && failure.message.contains("old"), "{failure}");
        assert!(failure.message.contains(told) || failure.message.contains("wrote"), "{failure}");
    }
}

#[test]
fn a_step_may_replace_a_shared_file() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let url = room.text("repo");
    let commit = room.repository("repo", &FILES);
    room.build("old", &hardlink(from_git(&url, &commit, None)));
    room.populate("new", &hardlink(from_git(&url, &commit, Some("old")))).unwrap();
    std::fs::remove_file(room.release("new").join("a")).unwrap();
    std::fs::write(room.release("new").join("a"), "new file").unwrap();
    room.seal("new", Some(&release_id("old"))).unwrap();
    assert_eq!(drift(&room, "old"), []);
    assert_eq!(drift(&room, "new"), []);
}

#[test]
fn what_cannot_be_sealed_is_told() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    plant(&room, "r1");
    std::fs::remove_file(room.release("r1").join("env")).unwrap();
    assert_eq!(seal(&room, "r1").unwrap_err().code(), "seal::secret-missing");
    plant(&room, "r2");
    let _listener = std::os::unix::net::UnixListener::bind(room.release("r2").join("sock")).unwrap();
    assert_eq!(seal(&room, "r2").unwrap_err().code(), "seal::special-file");
    assert_eq!(seal(&room, "r3").unwrap_err().code(), "release::missing");
    for id in ["r1", "r2"] {
        let dir = release::open(&room.root(), &release_id(id)).unwrap();
        assert_eq!(release::read_record(&dir).unwrap(), None);
    }
}

#[test]
fn a_file_that_changes_while_it_is_sealed_is_told() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    plant(&room, "r1");
    let changes: [fn(&std::path::Path); 4] = [
        |release| std::fs::write(release.join("a"), "bbb").unwrap(),
        |release| std::fs::write(release.join("added"), "").unwrap(),
        |release| std::fs::remove_file(release.join("z")).unwrap(),
        |release| std::fs::set_permissions(release.join("dir"), Permissions::from_mode(0o700)).unwrap(),
    ];
    for change in changes {
        let path = room.release("r1");
        let mut is_done = false;
        let installed = fault::install(move |call| {
            if matches!(call.op, Op::Sync | Op::SyncFileSystem) && !is_done {
                is_done = true;
                change(&path);
            }
            Action::Pass
        });
        let error = seal(&room, "r1").unwrap_err();
        drop(installed);
        assert_eq!(error.code(), "seal::disturbed", "{error}");
        let dir = release::open(&room.root(), &release_id("r1")).unwrap();
        assert_eq!(release::read_record(&dir).unwrap(), None);
    }
}

#[test]
fn a_release_that_a_restart_interrupted_is_not_sealed() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    plant(&room, "r1");
    // As if the machine had been started again: what was written may be lost, and nothing here would show it.
    let noted = room.at("root/.deployfile/cache/boot-r1");
    std::fs::write(&noted, "another start").unwrap();
    assert_eq!(seal(&room, "r1").unwrap_err().code(), "seal::restarted");
    std::fs::write(room.release("r1").join("a"), "").unwrap();
    plant(&room, "r1");
    assert_eq!(room.content("r1")["a"], "644 aaa", "filled anew");
    seal(&room, "r1").unwrap();
    // A sealed one is durable, whatever was noted.
    std::fs::write(&noted, "another start").unwrap();
    seal(&room, "r1").unwrap();
    assert!(!noted.exists());
}

#[test]
fn the_manifest_comes_after_everything_is_durable() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    plant(&room, "r1");
    let (send, calls) = std::sync::mpsc::channel();
    let installed = fault::install(move |call| {
        send.send((call.op, call.path.to_owned())).unwrap();
        Action::Pass
    });
    seal(&room, "r1").unwrap();
    drop(installed);
    let calls: Vec<_> = calls.iter().collect();
    let at = |wanted: &dyn Fn(&(Op, String)) -> bool| calls.iter().position(wanted).unwrap();
    let manifest = at(&|(op, path)| *op == Op::Rename && path.ends_with("manifest.json"));
    for file in
        ["/a", "/dir/sub/c", "/built/out.js", "/env", "/.release/tree", "/.release/source", "/dir", "/r1"]
    {
        let synced = at(&|(op, path)| *op == Op::Sync && path.ends_with(file));
        assert!(synced < manifest, "{file}");
    }
    let releases = at(&|(op, path)| *op == Op::Sync && path.ends_with("/releases"));
    assert!(releases > manifest);
}

#[test]
fn a_sync_that_fails_seals_nothing() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    plant(&room, "r1");
    let installed = fault::install(|call| match call.op {
        Op::Sync | Op::SyncFileSystem => Action::Fail(Errno::IO),
        _ => Action::Pass,
    });
    let error = seal(&room, "r1").unwrap_err();
    drop(installed);
    assert_eq!(error.code(), "release::disk");
    let dir = release::open(&room.root(), &release_id("r1")).unwrap();
    assert_eq!(release::read_record(&dir).unwrap(), None);
}

#[test]
fn a_crash_anywhere_while_sealing_is_made_good_by_sealing_again() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    plant(&room, "whole");
    let whole = seal(&room, "whole").unwrap().tree;
    for at in 0.. {
        let id = format!("r{at}");
        plant(&room, &id);
        let mut seen = 0;
        let installed = fault::install(move |_| {
            seen += 1;
            if seen > at { Action::Crash } else { Action::Pass }
        });
        let crashed = fault::catch_crash(|| seal(&room, &id));
        drop(installed);
        assert_eq!(seal(&room, &id).unwrap().tree, whole, "crash at {at}");
        assert_eq!(drift(&room, &id), []);
        if crashed.is_ok() {
            assert!(at > 15, "{at}");
            return;
        }
    }
}

#[test]
fn a_damaged_release_is_told() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    plant(&room, "r1");
    seal(&room, "r1").unwrap();
    let at = |path: &str| room.release("r1").join(path);
    let verify = || release::verify(&room.root(), &release_id("r1"), Depth::Changed).map_err(|e| e.code());
    let (tree, manifest) = (at(".release/tree"), at(".release/manifest.json"));
    let text = std::fs::read_to_string(&tree).unwrap();
    std::fs::write(&tree, text.replace("755", "777")).unwrap();
    assert_eq!(verify(), Err("release::damaged"));
    std::fs::write(&tree, text).unwrap();
    let json = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, json.replace("\"format\": 1", "\"format\": 2, \"new\": {}")).unwrap();
    assert_eq!(verify(), Err("release::format"));
    std::fs::write(&manifest, "{").unwrap();
    assert_eq!(verify(), Err("release::damaged"));
    std::fs::remove_file(&manifest).unwrap();
    assert_eq!(verify(), Err("release::not-sealed"));
}

#[test]
fn rendered_files_are_read_and_secrets_are_not() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    plant(&room, "r1");
    room.write("root/releases/r1/conf/app.ini", "x=1\n");
    std::fs::write(room.release("r1").join("services/binary"), [0xff, 0xfe]).unwrap();
    std::fs::write(room.release("r1").join("services/long"), vec![b'x'; 300_000]).unwrap();
    seal(&room, "r1").unwrap();
    let also = ["conf/app.ini", "env", "not/there"].map(|path| RelPath::new(path).unwrap());
    let dir = release::open(&room.root(), &release_id("r1")).unwrap();
    let files = release::rendered_files(&dir, &also).unwrap();
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    assert_eq!(files, [("conf/app.ini", "x=1\n"), ("services/web.conf", "[program:web]\n")]);
}

#[test]
fn a_removed_release_is_gone_even_after_a_crash() {
    if !has_git() {
        return;
    }
    for at in 0.. {
        let room = Room::new();
        plant(&room, "r1");
        seal(&room, "r1").unwrap();
        let mut seen = 0;
        let installed = fault::install(move |_| {
            seen += 1;
            if seen > at { Action::Crash } else { Action::Pass }
        });
        let crashed = fault::catch_crash(|| release::remove(&room.root(), &release_id("r1")).unwrap());
        drop(installed);
        if crashed.is_err() && room.release("r1").exists() {
            assert_eq!(drift(&room, "r1"), [], "either all of it or nothing under its name");
        }
        release::remove(&room.root(), &release_id("r1")).unwrap();
        release::sweep(&room.root()).unwrap();
        assert_eq!(std::fs::read_dir(room.at("root/releases")).unwrap().count(), 0);
        if crashed.is_ok() {
            assert!(at > 10, "{at}");
            assert!(!release::remove(&room.root(), &release_id("r1")).unwrap());
            return;
        }
    }
}
