//! Sources in git, with the system's git and real repositories.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on should stop, loudly")]

mod release_room;

use deployfile_disk::fault::{self, Action, Call, Errno, Op};
use deployfile_exec::port::Stop;
use deployfile_model::spec::ShareMode;
use deployfile_record::Failure;
use deployfile_record::effect::{SourceEffect, SourceFrom};
use deployfile_system::release::Depth;
use deployfile_system::source::{SourceError, Trouble, observe_git};
use release_room::{Room, from_git, hardlink, has_git};
use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn observe(url: &str, reference: &str) -> Result<String, SourceError> {
    observe_git(None, url, reference, &Stop::new()).map(|facts| facts.revision)
}

fn code(error: SourceError) -> String {
    Failure::from(error).code
}

const FILES: [(&str, &str); 5] = [
    ("app.py", "print(1)\n"),
    ("static/css/site.css", "body {}\n"),
    ("static/ümläut", "u"),
    ("with\nnewline", "n"),
    ("empty", ""),
];

#[test]
fn references_are_resolved_to_commits() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let first = room.repository("repo", &FILES);
    room.git("repo", &["tag", "v1"]);
    room.git("repo", &["tag", "--annotate", "--message", "x", "v1-annotated"]);
    room.write("repo/app.py", "print(2)\n");
    let second = room.commit("repo");
    room.git("repo", &["update-ref", "refs/other/thing", &first]);
    let file_url = format!("file://{}", room.text("repo"));
    for url in [room.text("repo"), file_url] {
        for (reference, commit) in [
            ("main", &second),
            ("HEAD", &second),
            ("refs/heads/main", &second),
            ("v1", &first),
            ("v1-annotated", &first),
            ("refs/tags/v1-annotated", &first),
            ("refs/other/thing", &first),
            (&first, &first),
            (&first[..9], &first),
        ] {
            assert_eq!(observe(&url, reference).unwrap(), *commit, "{reference}");
        }
    }
}

#[test]
fn what_cannot_be_resolved_has_a_code_and_help() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let commit = room.repository("repo", &FILES);
    room.git("repo", &["tag", "main"]);
    room.git("repo", &["update-ref", "refs/heads/-x", &commit]);
    room.write("repo/app.py", "print(2)\n");
    room.commit("repo");
    let url = room.text("repo");
    let codes = [
        (url.as_str(), "mian", "source::ref-not-found"),
        (&url, "main", "source::ref-ambiguous"),
        (&url, "-x", "source::ref-invalid"),
        (&url, "0123456789012345678901234567890123456789", "source::ref-not-found"),
        (&room.text("nothing"), "main", "source::repository-not-found"),
        ("--upload-pack=true", "main", "source::url-refused"),
        ("ext::sh -c true", "main", "source::url-refused"),
        ("https://127.0.0.1:1/x.git", "main", "source::unreachable"),
    ];
    for (url, reference, expected) in codes {
        assert_eq!(code(observe(url, reference).unwrap_err()), expected, "{url} {reference}");
    }
    let help = Failure::from(observe(&url, "mian").unwrap_err()).help.unwrap();
    assert_eq!(help, "did you mean `main`?");
}

#[test]
fn an_option_in_the_place_of_a_reference_runs_nothing() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    room.repository("repo", &FILES);
    let mark = room.text("mark");
    let option = format!("--upload-pack=touch {mark};git-upload-pack");
    assert!(observe(&room.text("repo"), &option).is_err());
    assert!(observe(&option, "main").is_err());
    assert!(!room.at("mark").exists());
}

#[test]
fn a_call_that_takes_too_long_or_is_stopped_is_ended() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    room.repository("repo", &FILES);
    let stop = Stop::new();
    stop.ask();
    // A repository that never answers: git waits for a pipe that nobody writes.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/x.git", listener.local_addr().unwrap());
    assert!(matches!(observe_git(None, &url, "main", &stop), Err(SourceError::Interrupted)));
}

#[test]
fn a_commit_is_put_into_a_release_as_git_would() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    room.repository("repo", &FILES);
    room.write("repo/bin/run", "#!/bin/sh\n");
    std::fs::set_permissions(room.at("repo/bin/run"), Permissions::from_mode(0o700)).unwrap();
    symlink("../app.py", room.at("repo/bin/link")).unwrap();
    let commit = room.commit("repo");
    let done = room.populate("r1", &from_git(&room.text("repo"), &commit, None)).unwrap();
    assert_eq!((done.files, done.from_base, done.bytes), (7, 0, 29));
    let content = room.content("r1");
    let content: Vec<(&str, &str)> = content.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect();
    assert_eq!(
        content,
        [
            ("app.py", "644 print(1)\n"),
            ("bin/link", "-> ../app.py"),
            ("bin/run", "755 #!/bin/sh\n"),
            ("empty", "644 "),
            ("static/css/site.css", "644 body {}\n"),
            ("static/ümläut", "644 u"),
            ("with\nnewline", "644 n"),
        ]
    );
    assert!(
        room.populate("r1", &from_git(&room.text("repo"), &commit, None)).is_ok(),
        "twice is as good as once"
    );
}

#[test]
fn unchanged_files_come_from_the_base_and_changed_ones_from_git() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let url = room.text("repo");
    let first = room.repository("repo", &FILES);
    room.populate("r1", &from_git(&url, &first, None)).unwrap();
    // A step of the build changes a file; it is not the source's any more.
    std::fs::write(room.release("r1").join("empty"), "built").unwrap();
    room.seal("r1", None).unwrap();
    room.write("repo/app.py", "print(2)\n");
    std::fs::remove_file(room.at("repo/static/css/site.css")).unwrap();
    let second = room.commit("repo");
    let done = room.populate("r2", &from_git(&url, &second, Some("r1"))).unwrap();
    assert_eq!((done.files, done.from_base), (4, 2));
    let content = room.content("r2");
    assert_eq!(content["app.py"], "644 print(2)\n");
    assert_eq!(content["empty"], "644 ");
    assert!(!content.contains_key("static/css/site.css"));
    let modified = |id: &str| std::fs::metadata(room.release(id).join("static/ümläut")).unwrap().mtime_nsec();
    assert_eq!(modified("r1"), modified("r2"), "caches see that a file did not change");
    assert!(room.drift("r1", Depth::Everything).is_empty());
}

#[test]
fn a_base_that_was_changed_gives_nothing_wrong() {
    if !has_git() {
        return;
    }
    for share in [ShareMode::Copy, ShareMode::Hardlink] {
        let room = Room::new();
        let url = room.text("repo");
        let first = room.repository("repo", &FILES);
        let effect = SourceEffect { share, ..from_git(&url, &first, None) };
        room.build("r1", &effect);
        let file = room.release("r1").join("app.py");
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&file, "BROKEN(1)").unwrap();
        if share == ShareMode::Hardlink {
            std::fs::set_permissions(&file, Permissions::from_mode(0o444)).unwrap();
        }
        let effect = SourceEffect { share, ..from_git(&url, &first, Some("r1")) };
        let done = room.populate("r2", &effect).unwrap();
        assert_eq!(done.from_base, 4, "{share:?}");
        assert!(room.content("r2")["app.py"].ends_with("print(1)\n"));
    }
}

#[test]
fn a_commit_in_the_mirror_needs_no_repository() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let url = format!("file://{}", room.text("repo"));
    let first = room.repository("repo", &FILES);
    room.populate("r1", &from_git(&url, &first, None)).unwrap();
    room.write("repo/app.py", "print(2)\n");
    let second = room.commit("repo");
    room.populate("r2", &from_git(&url, &second, None)).unwrap();
    std::fs::rename(room.at("repo"), room.at("gone")).unwrap();
    for (id, commit) in [("r3", &first), ("r4", &second)] {
        room.populate(id, &from_git(&url, commit, None)).unwrap();
    }
    assert_eq!(room.content("r3"), room.content("r1"));
    assert_eq!(room.content("r4"), room.content("r2"));
    let unknown = "0123456789012345678901234567890123456789";
    assert!(room.populate("r5", &from_git(&url, unknown, None)).is_err());
}

#[test]
fn a_planned_commit_that_no_branch_names_any_more_is_still_found_or_told() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let url = room.text("repo");
    let first = room.repository("repo", &FILES);
    room.populate("r1", &from_git(&url, &first, None)).unwrap();
    room.write("repo/app.py", "print(2)\n");
    let second = room.commit("repo");
    room.git("repo", &["reset", "--quiet", "--hard", &first]);
    room.populate("r2", &from_git(&url, &second, None)).unwrap();
    assert_eq!(room.content("r2")["app.py"], "644 print(2)\n");
    let unknown = "0123456789012345678901234567890123456789";
    let error = room.populate("r3", &from_git(&url, unknown, None)).unwrap_err();
    assert_eq!(code(error), "source::commit-not-found");
}

#[test]
fn mirrors_are_tidied_without_losing_what_releases_need() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let url = room.text("repo");
    let first = room.repository("repo", &FILES);
    room.populate("r1", &from_git(&url, &first, None)).unwrap();
    room.write("root/.deployfile/cache/git/half.git.new/HEAD", "cut short");
    room.tidy(None).unwrap();
    assert!(!room.at("root/.deployfile/cache/git/half.git.new").exists());
    std::fs::remove_dir_all(room.at("repo")).unwrap();
    room.populate("r2", &from_git(&url, &first, None)).unwrap();
}

/// The only mirror of a room.
fn mirror(room: &Room) -> PathBuf {
    let names = mirrors(room);
    assert_eq!(names.len(), 1, "{names:?}");
    room.at("root/.deployfile/cache/git").join(&names[0])
}

fn mirrors(room: &Room) -> Vec<String> {
    let entries = std::fs::read_dir(room.at("root/.deployfile/cache/git")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Commits that the mirror of this name keeps.
fn kept(room: &Room, mirror: &str) -> BTreeSet<String> {
    let args = ["for-each-ref", "--format=%(refname:lstrip=2)", "refs/deployfile/"];
    let refs = room.git(&format!("root/.deployfile/cache/git/{mirror}"), &args);
    refs.lines().map(str::to_owned).collect()
}

fn set<const N: usize>(names: [&String; N]) -> BTreeSet<String> {
    names.into_iter().cloned().collect()
}

#[test]
fn what_a_killed_git_left_in_a_mirror_stops_nothing() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let url = room.text("repo");
    let first = room.repository("repo", &FILES);
    room.populate("r1", &from_git(&url, &first, None)).unwrap();
    room.write("repo/app.py", "print(2)\n");
    let second = room.commit("repo");
    let mirror = mirror(&room);
    let own = format!("refs/deployfile/{second}.lock");
    let locks = ["packed-refs.lock", "HEAD.lock", "shallow.lock", "config.lock", &own];
    let half = "objects/pack/tmp_pack_x7Kq2a";
    let leave = |name: &str| {
        std::fs::create_dir_all(mirror.join(name).parent().unwrap()).unwrap();
        std::fs::write(mirror.join(name), "").unwrap();
    };
    leave(&own);
    // The control: git itself gives up.
    let fetch = ["fetch", "--quiet", &url, &format!("+{second}:refs/deployfile/{second}")];
    let git = std::process::Command::new("git").current_dir(&mirror).args(fetch).output().unwrap();
    assert!(!git.status.success() && String::from_utf8_lossy(&git.stderr).contains(".lock"));
    locks.iter().for_each(|name| leave(name));
    leave(half);
    room.populate("r2", &from_git(&url, &second, None)).unwrap();
    assert_eq!(room.content("r2")["app.py"], "644 print(2)\n");
    for name in locks.iter().chain([&half]) {
        assert!(!mirror.join(name).exists(), "{name}");
    }
    locks.iter().for_each(|name| leave(name));
    room.tidy(None).unwrap();
}

#[test]
fn a_mirror_that_a_power_cut_spoiled_is_made_anew() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let url = room.text("repo");
    let first = room.repository("repo", &FILES);
    room.populate("r1", &from_git(&url, &first, None)).unwrap();
    std::fs::write(mirror(&room).join("HEAD"), "").unwrap();
    room.populate("r2", &from_git(&url, &first, None)).unwrap();
    assert_eq!(room.content("r2"), room.content("r1"));
}

#[test]
fn commits_and_mirrors_that_no_release_needs_go() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let url = room.text("repo");
    let old_library = room.repository("lib", &[("l", "old")]);
    room.repository("repo", &FILES);
    room.git("repo", &["submodule", "--quiet", "add", "../lib", "lib"]);
    let first = room.commit("repo");
    room.populate("r1", &from_git(&url, &first, None)).unwrap();
    room.write("lib/l", "new");
    let new_library = room.commit("lib");
    room.git("repo/lib", &["pull", "--quiet"]);
    let second = room.commit("repo");
    room.populate("r2", &from_git(&url, &second, None)).unwrap();
    let names = mirrors(&room);
    let [lib, repo] = &names[..] else { panic!("{names:?}") };

    room.tidy(Some("r2")).unwrap();
    assert_eq!(kept(&room, repo), set([&first, &second]), "both releases are there");
    assert_eq!(kept(&room, lib), set([&old_library, &new_library]));

    std::fs::remove_dir_all(room.release("r1")).unwrap();
    room.tidy(None).unwrap();
    assert_eq!(kept(&room, repo), set([&second]));
    assert_eq!(kept(&room, lib), set([&new_library]));
    assert!(!room.at("root/.deployfile/cache/commits-r1").exists());
    room.populate("r3", &from_git(&url, &second, None)).unwrap();

    // The file names another repository now, and later none.
    let other = room.repository("other", &FILES);
    room.populate("r4", &from_git(&room.text("other"), &other, None)).unwrap();
    room.tidy(None).unwrap();
    assert_eq!(mirrors(&room).len(), 3, "a run that fetched nothing does not know the file's source");
    room.tidy(Some("r4")).unwrap();
    let left = mirrors(&room);
    assert!(left.len() == 1 && left[0].starts_with("other-"), "{left:?}");
    room.populate("r5", &from_git(&url, &second, None)).unwrap();
    room.tidy(Some("from-a-directory")).unwrap();
    assert!(mirrors(&room).is_empty());
    room.populate("r6", &from_git(&url, &second, None)).unwrap();
}

#[test]
fn where_no_mirror_ever_was_none_is_made_by_tidying() {
    let room = Room::new();
    room.tidy(Some("r1")).unwrap();
    assert!(!room.at("root/.deployfile").exists());
}

#[test]
fn sizes_are_told_where_the_objects_are() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let url = room.text("repo");
    let commit = room.repository("repo", &FILES);
    let sizes = |url: &str, reference: &str| {
        let facts = observe_git(Some(&room.root()), url, reference, &Stop::new()).unwrap();
        (facts.bytes, facts.files)
    };
    assert_eq!(sizes(&url, "main"), (19, 5));
    assert_eq!(sizes(&format!("file://{url}"), "main"), (19, 5));
    // Another repository's are those of its mirror, as far as that goes.
    let script = room.text("ssh");
    std::fs::write(&script, "#!/bin/sh\nshift $(($# - 1))\nexec sh -c \"$1\"\n").unwrap();
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    if std::env::var_os("GIT_SSH_COMMAND").is_none() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sizes_are_told_where_the_objects_are"])
            .env("GIT_SSH_COMMAND", &script)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let remote = format!("ssh://host{url}");
    assert_eq!(sizes(&remote, "main"), (0, 0));
    room.populate("r1", &from_git(&remote, &commit, None)).unwrap();
    assert_eq!(sizes(&remote, "main"), (19, 5));
}

#[test]
fn submodules_are_checked_out_at_their_recorded_commits() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    room.repository("deep", &[("d", "deep")]);
    room.repository("lib", &[("l", "old")]);
    room.git("lib", &["submodule", "--quiet", "add", "../deep", "inner/deep"]);
    room.commit("lib");
    room.repository("repo", &FILES);
    room.git("repo", &["submodule", "--quiet", "add", "--name", "named", &room.text("lib"), "vendor/lib"]);
    let commit = room.commit("repo");
    // The submodule moves on; the release must not.
    room.write("lib/l", "new");
    room.commit("lib");
    let url = room.text("repo");
    let effect = from_git(&url, &commit, None);
    room.build("r1", &effect);
    let content = room.content("r1");
    assert_eq!(content["vendor/lib/l"], "644 old");
    assert_eq!(content["vendor/lib/inner/deep/d"], "644 deep");
    let done = room.populate("r2", &from_git(&url, &commit, Some("r1"))).unwrap();
    assert_eq!(done.from_base, done.files, "all of it is in the base");
    let mut without = effect;
    let SourceFrom::Git { submodules, .. } = &mut without.from else { unreachable!() };
    *submodules = false;
    let done = room.populate("r3", &without).unwrap();
    assert!(done.warnings[0].message.contains("vendor/lib"), "{:?}", done.warnings);
    assert!(!room.content("r3").contains_key("vendor/lib/l"));
}

/// A commit that git would not make by itself.
fn commit_with(room: &Room, mode: &str, path: &str, content: &str) -> String {
    room.repository("evil", &[]);
    room.write("evil-blob", content);
    let blob = room.git("evil", &["hash-object", "-w", &room.text("evil-blob")]);
    // mktree takes names that the index refuses.
    let mut entry = format!("{mode} blob {blob}\t{path}\0");
    if let Some((above, name)) = path.rsplit_once('/') {
        let tree = mktree(room, &format!("{mode} blob {blob}\t{name}\0"));
        entry = format!("040000 tree {tree}\t{above}\0");
    }
    let tree = mktree(room, &entry);
    let commit = room.git("evil", &["commit-tree", "-m", "x", &tree]);
    room.git("evil", &["update-ref", "refs/heads/main", &commit]);
    commit
}

fn mktree(room: &Room, entries: &str) -> String {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut git = Command::new("git");
    git.args(["mktree", "-z"]).current_dir(room.at("evil")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = git.spawn().unwrap();
    child.stdin.take().unwrap().write_all(entries.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn trees_that_reach_outside_are_refused() {
    if !has_git() {
        return;
    }
    for (mode, path, content, expected) in [
        ("120000", "link", "/etc/passwd", "source::symlink-leaves"),
        ("120000", "sub/link", "../../up", "source::symlink-leaves"),
        ("100644", "../up", "x", "source::path-refused"),
        ("100644", ".git/config", "x", "source::path-refused"),
        ("100644", ".release/manifest.json", "{}", "source::path-refused"),
    ] {
        let room = Room::new();
        let commit = commit_with(&room, mode, path, content);
        let error = room.populate("r1", &from_git(&room.text("evil"), &commit, None)).unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.code, expected, "{path}: {failure}");
        assert!(failure.message.contains(path), "{failure}");
        assert!(!room.at("root/releases/up").exists() && !room.at("root/up").exists());
    }
}

#[test]
fn lfs_pointers_are_told() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let commit = room.repository("repo", &[("big.bin", pointer)]);
    let done = room.populate("r1", &from_git(&room.text("repo"), &commit, None)).unwrap();
    assert!(done.warnings[0].message.contains("big.bin"), "{:?}", done.warnings);
}

#[test]
fn the_environment_of_a_git_hook_leads_nowhere_else() {
    if !has_git() {
        return;
    }
    // The environment is of the whole process, so the work is done in one of its own.
    if std::env::var_os("GIT_DIR").is_none() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_environment_of_a_git_hook_leads_nowhere_else"])
            .envs([("GIT_DIR", "/nonexistent"), ("GIT_OBJECT_DIRECTORY", "/nonexistent")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let room = Room::new();
    let commit = room.repository("repo", &FILES);
    let url = room.text("repo");
    assert_eq!(observe(&url, "main").unwrap(), commit);
    room.populate("r1", &from_git(&url, &commit, None)).unwrap();
}

#[test]
fn a_crash_anywhere_is_made_good_by_trying_again() {
    if !has_git() {
        return;
    }
    for share in [ShareMode::Copy, ShareMode::Hardlink] {
        let room = Room::new();
        let url = room.text("repo");
        let first = room.repository("repo", &FILES);
        room.build("base", &SourceEffect { share, ..from_git(&url, &first, None) });
        room.write("repo/app.py", "print(2)\n");
        let second = room.commit("repo");
        let effect = SourceEffect { share, ..from_git(&url, &second, Some("base")) };
        room.build("whole", &effect);
        let calls = count_calls(|| drop(room.populate("counted", &effect).unwrap()));
        assert!(calls > 15, "{calls}");
        for at in 0..calls {
            let id = format!("r{at}");
            let crashed = fault::catch_crash(|| crash_at(at, || room.populate(&id, &effect)));
            assert!(crashed.is_err(), "call {at} of {calls} was not reached");
            room.populate(&id, &effect).unwrap();
            assert_eq!(room.content(&id), room.content("whole"), "crash at {at}");
            room.seal(&id, effect.base.as_ref()).unwrap();
            assert!(room.drift(&id, Depth::Everything).is_empty());
            assert!(room.drift("base", Depth::Everything).is_empty());
        }
    }
}

/// The early sync is made by the clock, so it is not one of the calls that are counted.
fn is_counted(call: &Call<'_>) -> bool {
    call.op != Op::SyncFileSystem
}

fn count_calls(work: impl FnOnce()) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let installed = fault::install(move |call| {
        counter.fetch_add(usize::from(is_counted(call)), Ordering::SeqCst);
        Action::Pass
    });
    work();
    drop(installed);
    count.load(Ordering::SeqCst)
}

fn crash_at<T>(at: usize, work: impl FnOnce() -> T) -> T {
    let mut seen = 0;
    let _installed = fault::install(move |call| {
        seen += usize::from(is_counted(call));
        if is_counted(call) && seen > at { Action::Crash } else { Action::Pass }
    });
    work()
}

#[test]
fn no_space_is_told_and_can_be_tried_again() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let commit = room.repository("repo", &FILES);
    let effect = from_git(&room.text("repo"), &commit, None);
    let mut creates = 0;
    let installed = fault::install(move |call| {
        creates += usize::from(call.op == Op::Create);
        if creates > 4 { Action::Fail(Errno::NOSPC) } else { Action::Pass }
    });
    let error = room.populate("r1", &effect).unwrap_err();
    drop(installed);
    assert_eq!(code(error), "source::no-space");
    room.populate("r1", &effect).unwrap();
}

#[test]
fn with_hard_links_a_release_shares_what_did_not_change() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    let url = room.text("repo");
    let first = room.repository("repo", &FILES);
    room.build("r1", &hardlink(from_git(&url, &first, None)));
    room.write("repo/app.py", "print(2)\n");
    let second = room.commit("repo");
    room.build("r2", &hardlink(from_git(&url, &second, Some("r1"))));
    room.build("r3", &hardlink(from_git(&url, &second, Some("r2"))));
    let inode = |id: &str, path: &str| std::fs::metadata(room.release(id).join(path)).unwrap().ino();
    assert_eq!(inode("r1", "empty"), inode("r3", "empty"));
    assert_ne!(inode("r1", "app.py"), inode("r2", "app.py"));
    assert_eq!(room.content("r3")["app.py"], "444 print(2)\n");
    for id in ["r1", "r2", "r3"] {
        assert!(room.drift(id, Depth::Changed).is_empty());
        assert!(room.drift(id, Depth::Everything).is_empty());
    }
}

#[test]
fn a_repository_of_somebody_else_is_told() {
    if !has_git() {
        return;
    }
    let room = Room::new();
    room.repository("repo", &FILES);
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give a repository to somebody else");
        return;
    }
    for path in ["repo", "repo/.git"] {
        std::os::unix::fs::chown(room.at(path), Some(12345), None).unwrap();
    }
    let error = observe(&room.text("repo"), "main").unwrap_err();
    assert!(matches!(error, SourceError::Git { trouble: Trouble::Ownership, .. }), "{error}");
}
