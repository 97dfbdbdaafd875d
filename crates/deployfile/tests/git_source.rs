//! Sources in git: where they may lie, what may name a commit, what is fetched, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_testkit::{Sandbox, needs, until};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A sandbox with a repository beside its project.
struct World {
    sandbox: Sandbox,
}

fn world(test: &str) -> Option<World> {
    if !needs("git", test) {
        return None;
    }
    let world = World { sandbox: Sandbox::new(env!("CARGO_BIN_EXE_deployfile")) };
    make_repository(&world.repository());
    world.commit("hello.txt", "one");
    world.file("../repo", "ref=main");
    Some(world)
}

fn make_repository(at: &Path) {
    fs::create_dir(at).unwrap();
    git(at, &["init", "--quiet", "--initial-branch=main"]);
}

/// git, with nothing of this machine's configuration. Gives what it printed.
fn git(at: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    for (name, value) in [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "tester"),
        ("GIT_AUTHOR_EMAIL", "tester@example.com"),
        ("GIT_COMMITTER_NAME", "tester"),
        ("GIT_COMMITTER_EMAIL", "tester@example.com"),
    ] {
        command.env(name, value);
    }
    let output = command.current_dir(at).args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl World {
    fn repository(&self) -> PathBuf {
        self.sandbox.path().join("repo")
    }

    /// Writes a file, commits everything and gives the commit's id.
    fn commit(&self, path: &str, text: &str) -> String {
        let file = self.repository().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self.commit_all()
    }

    fn commit_all(&self) -> String {
        git(&self.repository(), &["add", "--all"]);
        git(&self.repository(), &["commit", "--quiet", "--message=change"]);
        git(&self.repository(), &["rev-parse", "HEAD"])
    }

    fn file(&self, url: &str, more: &str) {
        let text = format!(
            "deployfile 1\napp small {{ root \"{}\"; }}\nsource git \"{url}\" {more}\n\
             environment local {{ host localhost {{ connect local; }}; }}\n",
            self.sandbox.root().display()
        );
        self.sandbox.write("deployfile.kdl", &text);
    }

    /// Applies and gives the text that is served.
    #[track_caller]
    fn applied(&self, more: &[&str]) -> String {
        self.sandbox.expect(0, &[&["apply", "--yes"], more].concat());
        self.served("hello.txt")
    }

    fn served(&self, path: &str) -> String {
        fs::read_to_string(self.sandbox.root().join("current").join(path)).unwrap()
    }

    /// Refused with this code, for people and for programs, and what is served stays.
    #[track_caller]
    fn stops(&self, exit: i32, code: &str, says: &[&str], more: &[&str]) {
        let before = self.sandbox.current();
        let args = [&["apply", "--yes"], more].concat();
        let done = self.sandbox.expect(exit, &args);
        for part in [&[code], says].concat() {
            assert!(done.err.contains(part), "{part:?} is not in:\n{}", done.err);
        }
        let json = self.sandbox.expect(exit, &[&["--format", "json"], &args[..]].concat());
        assert!(json.out.contains(&format!("\"code\":\"{code}\"")), "{}", json.out);
        assert_eq!(self.sandbox.current(), before);
    }
}

#[test]
fn a_repository_is_a_path_or_a_file_url() {
    let Some(world) = world("git urls") else { return };
    assert_eq!(world.applied(&[]), "one", "a path beside the deployfile");
    let absolute = world.repository().display().to_string();
    for (n, url) in [absolute.clone(), format!("file://{absolute}")].iter().enumerate() {
        let commit = world.commit("hello.txt", &format!("by {n}"));
        world.file(url, "ref=main");
        assert_eq!(world.applied(&[]), format!("by {n}"));
        let status = world.sandbox.json(0, &["status"]);
        assert_eq!(status["hosts"][0]["build_id"], commit.as_str(), "the build id is the commit");
    }
    assert!(!world.sandbox.root().join("current/.git").exists());
    let again = world.sandbox.json(0, &["apply", "--yes"]);
    assert_eq!(again["changed"], "none");
}

#[test]
fn a_branch_a_tag_and_a_commit_name_what_is_deployed() {
    let Some(world) = world("git refs") else { return };
    let first = git(&world.repository(), &["rev-parse", "HEAD"]);
    git(&world.repository(), &["tag", "--annotate", "--message=x", "v1"]);
    world.commit("hello.txt", "two");
    git(&world.repository(), &["switch", "--quiet", "--create", "feature/x"]);
    world.commit("hello.txt", "three");
    git(&world.repository(), &["switch", "--quiet", "main"]);
    for (reference, text) in [
        ("main", "two"),
        ("v1", "one"),
        ("feature/x", "three"),
        ("refs/tags/v1", "one"),
        ("refs/heads/main", "two"),
        (first.as_str(), "one"),
    ] {
        world.file("../repo", &format!("ref=\"{reference}\""));
        assert_eq!(world.applied(&[]), text, "{reference}");
    }
    // For once another one than the file says.
    assert_eq!(world.applied(&["--rev", "feature/x"]), "three");
    assert_eq!(world.applied(&["--rev", "v1"]), "one");
    assert_eq!(world.applied(&["--rev", "main"]), "two");
}

#[test]
fn what_is_no_reference_or_becomes_an_option_is_refused() {
    let Some(world) = world("git refs refused") else { return };
    world.applied(&[]);
    let stops = |url: &str, reference: &str, exit, code, says: &[&str]| {
        world.file(url, &format!("ref=\"{reference}\""));
        world.stops(exit, code, says, &[]);
    };
    let touched = world.sandbox.path().join("touched");
    let pack = format!("--upload-pack=touch {}", touched.display());
    stops("../repo", "mian", 1, "source::ref-not-found", &["`mian`", "did you mean `main`"]);
    stops("../repo", &pack, 3, "config::source", &["deployfile.kdl:3:", "taken for an option"]);
    stops("../repo", "main:x", 1, "source::ref-invalid", &["`main:x`", "a branch, a tag or a commit id"]);
    stops(&pack, "main", 3, "config::source", &["deployfile.kdl:3:", "taken for an option"]);
    let ext = format!("ext::sh -c 'touch {}'", touched.display());
    stops(&ext, "main", 3, "config::source", &["would let git run a command"]);
    stops("ssh://-oProxyCommand=x/y", "main", 3, "config::source", &["deployfile.kdl:3:"]);
    stops("http://example.com/x.git", "main", 3, "config::source", &["https://"]);
    stops("../nowhere", "main", 1, "source::repository-not-found", &["nowhere", "check the path"]);
    // What only a look-up gives is refused just as well.
    let file = format!("vars {{ evil \"{pack}\"; }}\n");
    for (url, reference) in [("{{ vars.evil }}", "main"), ("../repo", "{{ vars.evil }}")] {
        world.file(url, &format!("ref=\"{reference}\"\n{file}"));
        let done = world.sandbox.run(&["apply", "--yes"]);
        assert!([1, 3].contains(&done.code) && done.err.contains("-"), "{}", done.err);
    }
    world.file("../repo", "ref=main");
    world.stops(2, "cli::rev", &["is not a branch, tag or commit"], &[&format!("--rev={pack}")]);
    world.stops(1, "source::ref-not-found", &["`nope`"], &["--rev", "nope"]);
    assert!(!touched.exists(), "git ran a program");
    world.commit("hello.txt", "two");
    assert_eq!(world.applied(&[]), "two");
}

#[test]
fn a_tree_with_a_symlink_that_leaves_it_is_refused() {
    let Some(world) = world("git symlinks") else { return };
    fs::create_dir(world.repository().join("sub")).unwrap();
    symlink("../hello.txt", world.repository().join("sub/inside")).unwrap();
    world.commit_all();
    assert_eq!(world.applied(&[]), "one");
    assert_eq!(world.served("sub/inside"), "one");
    for target in ["/etc/passwd", "../../../outside", "../sub/../../outside"] {
        let link = world.repository().join("sub/outside");
        symlink(target, &link).unwrap();
        world.commit_all();
        world.stops(4, "source::symlink-leaves", &["`sub/outside`", target], &[]);
        fs::remove_file(link).unwrap();
    }
    world.commit("hello.txt", "two");
    assert_eq!(world.applied(&[]), "two");
}

#[test]
fn a_submodule_is_checked_out_where_that_is_asked_for() {
    let Some(world) = world("git submodules") else { return };
    let library = world.sandbox.path().join("library");
    make_repository(&library);
    fs::write(library.join("lib.txt"), "library one").unwrap();
    git(&library, &["add", "--all"]);
    git(&library, &["commit", "--quiet", "--message=x"]);
    let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../library", "vendor/lib"];
    git(&world.repository(), &add);
    world.commit_all();
    world.file("../repo", "ref=main");
    let done = world.sandbox.expect(0, &["apply", "--yes"]);
    assert!(done.err.contains("vendor/lib") && done.err.contains("submodules=#true"), "{}", done.err);
    assert!(!world.sandbox.root().join("current/vendor/lib/lib.txt").exists());

    world.file("../repo", "ref=main submodules=#true");
    world.applied(&[]);
    assert_eq!(world.served("vendor/lib/lib.txt"), "library one");

    fs::write(library.join("lib.txt"), "library two").unwrap();
    git(&library, &["commit", "--quiet", "--all", "--message=x"]);
    git(&world.repository().join("vendor/lib"), &["pull", "--quiet"]);
    world.commit_all();
    world.applied(&[]);
    assert_eq!(world.served("vendor/lib/lib.txt"), "library two");
}

#[test]
fn a_second_apply_fetches_the_change_alone() {
    let Some(world) = world("git deltas") else { return };
    // What a repository sends goes through this, and is counted.
    let (count, log) = (world.sandbox.path().join("count"), world.sandbox.path().join("sent"));
    let script = format!("#!/bin/sh\n\"$@\" | tee {0}.pack\nwc -c < {0}.pack >> {0}\n", log.display());
    fs::write(&count, script).unwrap();
    fs::set_permissions(&count, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!("[uploadpack]\n packObjectsHook = {}\n", count.display());
    fs::write(world.sandbox.path().join("home/.gitconfig"), config).unwrap();

    world.commit("big", &noise(2_000_000));
    // The first time, git copies or links the objects of a repository on this machine, and sends nothing.
    world.applied(&[]);
    world.commit("hello.txt", "two");
    assert_eq!(world.applied(&[]), "two");
    // The control: when there is more to send, the count says so.
    world.commit("bigger", &noise(3_000_000));
    world.applied(&[]);
    let sent: Vec<u64> =
        fs::read_to_string(&log).unwrap().lines().map(|line| line.trim().parse().unwrap()).collect();
    assert_eq!(sent.len(), 2, "one fetch an apply: {sent:?}");
    assert!(sent[0] < 10_000 && sent[1] > 1_000_000, "{sent:?}");
}

/// Text that does not compress well, the same each time.
fn noise(len: usize) -> String {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn unchanged_files_come_from_the_previous_release() {
    let Some(world) = world("git previous release") else { return };
    world.commit("kept", "only in the first commit's blob");
    world.applied(&[]);
    world.commit("hello.txt", "two");
    // Whoever would ask git for the unchanged file gets nothing.
    let blob = git(&world.repository(), &["rev-parse", "HEAD:kept"]);
    let mirrors = world.sandbox.root().join(".deployfile/cache/git");
    let mirror = fs::read_dir(mirrors).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(mirror.join("objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    assert_eq!(world.applied(&[]), "two");
    assert_eq!(world.served("kept"), "only in the first commit's blob");

    // The control: without a release to take it from, it is missed.
    world.commit("hello.txt", "three");
    let kept = world.sandbox.path().join("kept");
    fs::rename(world.sandbox.root().join(".deployfile/cache"), &kept).unwrap();
    fs::remove_dir_all(world.sandbox.root()).unwrap();
    fs::create_dir_all(world.sandbox.root().join(".deployfile")).unwrap();
    fs::rename(&kept, world.sandbox.root().join(".deployfile/cache")).unwrap();
    let mode = fs::Permissions::from_mode(0o700);
    fs::set_permissions(world.sandbox.root().join(".deployfile"), mode).unwrap();
    let done = world.sandbox.expect(4, &["apply", "--yes"]);
    assert!(done.err.contains(&format!("{blob} missing")), "{}", done.err);
}

#[test]
fn a_rollback_needs_no_repository() {
    let Some(world) = world("git rollback") else { return };
    world.applied(&[]);
    world.commit("hello.txt", "two");
    world.applied(&[]);
    fs::remove_dir_all(world.repository()).unwrap();
    world.sandbox.expect(0, &["rollback", "--yes"]);
    assert_eq!(world.served("hello.txt"), "one");
    world.sandbox.expect(0, &["status"]);
    world.stops(1, "source::repository-not-found", &["repo"], &[]);
    world.sandbox.expect(0, &["release", "verify", &world.sandbox.current().unwrap()]);
}

impl World {
    /// An apply that is killed once `hangs` is there: what it started goes with it, and `resume` ends the run well.
    fn killed_while_git_hangs(&self, search: &str, hangs: &Path) {
        let mut apply = self.sandbox.command(&["apply", "--yes"]).env("PATH", search).spawn().unwrap();
        until("git hangs", || hangs.exists());
        let running = self.sandbox.processes();
        assert!(running.len() >= 3, "apply, git and what git runs: {running:?}");
        apply.kill().unwrap();
        apply.wait().unwrap();
        until("nothing of the apply is left", || self.sandbox.processes().is_empty());
        fs::remove_file(hangs).unwrap();
        self.sandbox.expect(0, &["resume", "--yes"]);
    }

    /// A directory for `PATH` with a `git` that runs `script` first.
    fn with_git(&self, script: &str) -> String {
        let bin = self.sandbox.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let path = std::env::var("PATH").unwrap();
        let text = format!("#!/bin/sh\n{script}\nPATH=\"{path}\" exec git \"$@\"\n");
        fs::write(bin.join("git"), text).unwrap();
        fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
        format!("{}:{path}", bin.display())
    }

    fn mirrors(&self) -> Vec<PathBuf> {
        let mirrors = self.sandbox.root().join(".deployfile/cache/git");
        fs::read_dir(mirrors).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn nothing_of_a_killed_apply_works_on_in_the_mirror() {
    let Some(world) = world("git killed") else { return };
    let hangs = world.sandbox.path().join("hangs");
    let clones = format!("case \" $* \" in *\" clone \"*) touch {}; sleep 600;; esac", hangs.display());
    world.killed_while_git_hangs(&world.with_git(&clones), &hangs);
    assert_eq!(world.served("hello.txt"), "one");

    // A fetch hangs at the far end, with all of git's processes in between.
    let hook = world.sandbox.path().join("hook");
    let config = world.sandbox.path().join("home/.gitconfig");
    let once = format!("[ -e {0}.once ] && exec \"$@\"\ntouch {0} {0}.once\nsleep 600", hangs.display());
    fs::write(&hook, format!("#!/bin/sh\n{once}\n")).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&config, format!("[uploadpack]\n packObjectsHook = {}\n", hook.display())).unwrap();
    world.commit("hello.txt", "two");
    world.killed_while_git_hangs(&std::env::var("PATH").unwrap(), &hangs);
    assert_eq!(world.served("hello.txt"), "two");
}

#[test]
fn what_no_release_needs_leaves_the_mirrors_after_a_run() {
    let Some(world) = world("git tidying") else { return };
    let retention = "ref=main\nretention { keep 1; grace \"0s\"; }";
    world.file("../repo", retention);
    for text in ["one", "two", "three", "four"] {
        world.commit("hello.txt", &format!("{text}!"));
        world.applied(&[]);
    }
    let kept = |mirror: &Path| {
        git(mirror, &["for-each-ref", "--format=%(refname:lstrip=2)", "refs/deployfile"]).lines().count()
    };
    let releases = fs::read_dir(world.sandbox.root().join("releases")).unwrap().count();
    assert!(releases < 4, "{releases} releases");
    assert_eq!(kept(&world.mirrors()[0]), releases);

    // A repository of another name: the mirror of the first is not used any more.
    fs::rename(world.repository(), world.sandbox.path().join("moved")).unwrap();
    world.file("../moved", retention);
    world.applied(&[]);
    let mirrors = world.mirrors();
    assert!(mirrors.len() == 1 && mirrors[0].display().to_string().contains("/moved-"), "{mirrors:?}");
}

#[test]
fn mirrors_that_cannot_be_tidied_are_told_and_stop_nothing() {
    let Some(world) = world("git tidying fails") else { return };
    let fails = world.with_git("case \" $* \" in *\" gc \"*) echo no gc today >&2; exit 1;; esac");
    let output = world.sandbox.command(&["apply", "--yes"]).env("PATH", fails).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("not tidied"), "{said}");
    assert_eq!(world.served("hello.txt"), "one");
}
