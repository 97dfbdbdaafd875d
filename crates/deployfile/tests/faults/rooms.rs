//! Rooms that are too small: full and inode-less file systems, a root that may only be read, stdout that is closed, full
//! or has no reader, limits on the size and number of files; and signals, once and twice, at every stage.

use crate::sample::{Only, replay, tried};
use crate::verbs::row;
use crate::world::{World, told};
use deployfile_testkit::trace::{Act, Ended, Mutation, Trace};
use deployfile_testkit::{Done, coverage, needs};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::fs::File;
use std::process::{Command, Stdio};

/// The exit codes of cli.md that a room may lead to.
const EXITS: [i32; 7] = [0, 1, 4, 6, 7, 70, 130];

fn second_apply() -> World {
    let world = (row("apply_second").world)();
    world.restore();
    world
}

/// It ended as documented, what is there is whole, and ends well in a room that is large enough.
fn ended_well(world: &World, what: &str, done: &Done) {
    let told = told(done);
    // A deployfile for which there is no descriptor cannot be read.
    let is_unreadable = done.code == 3 && done.err.contains("os error 24");
    let is_documented = EXITS.contains(&done.code) || is_unreadable;
    assert!(is_documented && !done.err.contains("panicked"), "{what}: {told}");
    world.check().unwrap_or_else(|why| panic!("{what}: {why}\n{told}"));
    if done.code == 130 && world.is_run {
        // Asked once it unwinds, asked twice it leaves that to `resume`: what was switched then goes back.
        let resumed = world.sandbox.run(&["resume", "--yes"]);
        assert!([0, 6].contains(&resumed.code), "{what}: resume: {}\n{told}", crate::world::told(&resumed));
    }
    world.ends_well().unwrap_or_else(|why| panic!("{what}: {why}\n{told}"));
}

/// The program through a shell line that ends in `"$@"`.
fn through(world: &World, line: &str) -> Command {
    let plain = world.sandbox.command(&world.args());
    let mut command = world.sandbox.command(&[]);
    let mut shell = Command::new("bash");
    shell.args(["-c", line, "bash"]).arg(plain.get_program()).args(plain.get_args());
    shell.current_dir(world.sandbox.project()).stdin(Stdio::null()).env_clear();
    for (name, value) in command.stdin(Stdio::null()).get_envs() {
        shell.env(name, value.unwrap());
    }
    shell
}

#[test]
fn a_limit_on_the_size_of_files() {
    let mut tried = 0;
    // SIGXFSZ ends a program that does not expect it; in blocks of 1 KiB.
    for size in [0, 1, 2, 4, 8] {
        let world = second_apply();
        let done =
            deployfile_testkit::sandbox::done(through(&world, &format!("ulimit -f {size}; exec \"$@\"")));
        ended_well(&world, &format!("files of at most {size} KiB"), &done);
        tried += 1;
    }
    coverage("rooms-fsize", &format!("{tried} limits, 0 violations"));
}

#[test]
fn a_limit_on_the_number_of_open_files() {
    let mut failed = 0;
    let world = second_apply();
    for most in 4..40 {
        world.restore();
        let done =
            deployfile_testkit::sandbox::done(through(&world, &format!("ulimit -n {most}; exec \"$@\"")));
        // With so few, the loader finds no libraries: that is not the program yet.
        if done.code == 127 {
            continue;
        }
        failed += usize::from(done.code != 0);
        ended_well(&world, &format!("at most {most} open files"), &done);
    }
    assert!(failed > 3, "{failed}: the limit is not felt");
    coverage("rooms-nofile", &format!("limits 4 to 39, {failed} felt, 0 violations"));
}

#[test]
fn stdout_that_takes_nothing() {
    let rooms = [
        ("closed", "exec \"$@\" >&-"),
        ("full", "exec \"$@\" >/dev/full"),
        ("both closed", "exec \"$@\" >&- 2>&-"),
        ("both full", "exec \"$@\" >/dev/full 2>/dev/full"),
        ("without a reader", "set -o pipefail; \"$@\" | true"),
        ("both without a reader", "set -o pipefail; \"$@\" 2>&1 | true"),
        ("stdin closed", "exec \"$@\" <&-"),
        ("all closed", "exec \"$@\" <&- >&- 2>&-"),
    ];
    for (what, line) in rooms {
        for format in ["human", "json"] {
            let mut world = second_apply();
            world.args = ["--format", format, "apply", "--yes"].map(str::to_owned).to_vec();
            let done = deployfile_testkit::sandbox::done(through(&world, line));
            ended_well(&world, &format!("stdout {what}, {format}"), &done);
        }
    }
    for args in
        [&["status"][..], &["releases"], &["history"], &["plan"], &["check"], &["schema", "--format", "md"]]
    {
        for (what, line) in rooms {
            let mut world = (row("release_pin").world)();
            world.args = args.iter().map(|&arg| arg.to_owned()).collect();
            let done = deployfile_testkit::sandbox::done(through(&world, line));
            assert!(
                EXITS.contains(&done.code) && !done.err.contains("panicked"),
                "{args:?} {what}: {}",
                told(&done)
            );
        }
    }
    coverage("rooms-stdout", "8 rooms of an apply in two formats and of 6 verbs that read, 0 violations");
}

/// Makes a file system for the root, runs the command in it and gives what it came to; the mount is gone afterwards.
fn mounted(world: &World, mount: &str) -> (Done, String) {
    let root = world.sandbox.root();
    // The root is copied in while there is room; what is there afterwards is copied out, and stands in its place.
    let line = format!(
        "set -e; cp -a '{root}' '{root}.saved'; {mount}; cp -a '{root}.saved/.' '{root}'; set +e; \"$@\"; code=$?; \
         df -k '{root}' | tail -1 >&2; rm -rf '{root}.saved'; mkdir '{root}.saved'; cp -a '{root}/.' '{root}.saved'; \
         umount '{root}'; exit $code",
        root = root.display()
    );
    let mut shell = through(world, &line);
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "bash"]).args(shell.stdin(Stdio::null()).get_args());
    command.current_dir(world.sandbox.project()).stdin(Stdio::null()).env_clear();
    for (name, value) in shell.get_envs() {
        command.env(name, value.unwrap());
    }
    let done = deployfile_testkit::sandbox::done(command);
    let saved = root.with_extension("saved");
    fs::remove_dir_all(&root).unwrap();
    fs::rename(saved, &root).unwrap();
    let err = done.err.clone();
    (done, err)
}

fn may_mount(test: &str) -> bool {
    let is_root = nix::unistd::Uid::effective().is_root();
    (is_root || deployfile_testkit::needs::skip(test, "it mounts, and needs root")) && needs("unshare", test)
}

#[test]
fn a_file_system_that_is_full() {
    if !may_mount("a file system that is full") {
        return;
    }
    let mut failed = 0;
    // What is there takes about 150 KiB: from no room at all to enough.
    let sizes = [160, 176, 192, 200, 208, 216, 224, 232, 240, 256, 288, 320, 400, 800];
    for size in sizes {
        let world = second_apply();
        let mount = format!("mount -t tmpfs -o size={size}k none '{}'", world.sandbox.root().display());
        let (done, _) = mounted(&world, &mount);
        failed += usize::from(done.code != 0);
        ended_well(&world, &format!("tmpfs of {size} KiB"), &done);
    }
    assert!(failed > 3, "{failed}: no room was too small");
    coverage("rooms-full", &format!("{} sizes of tmpfs, {failed} too small, 0 violations", sizes.len()));
}

#[test]
fn a_file_system_without_inodes() {
    let test = "a file system without inodes";
    if !(may_mount(test) && needs("mkfs.ext4", test)) {
        return;
    }
    let mut failed = 0;
    for inodes in [48, 56, 64, 72, 80, 96, 128, 256] {
        let world = second_apply();
        let image = world.sandbox.path().join("image");
        File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let mount = format!(
            "/sbin/mkfs.ext4 -q -N {inodes} '{image}'; mount -o loop '{image}' '{root}'; rmdir '{root}/lost+found'",
            image = image.display(),
            root = world.sandbox.root().display()
        );
        let (done, _) = mounted(&world, &mount);
        failed += usize::from(done.code != 0);
        ended_well(&world, &format!("ext4 with {inodes} inodes"), &done);
    }
    assert!(failed > 1, "{failed}: no file system had too few");
    coverage("rooms-inodes", &format!("8 numbers of inodes on ext4, {failed} too few, 0 violations"));
}

#[test]
fn a_root_that_may_only_be_read() {
    if !may_mount("a root that may only be read") {
        return;
    }
    for name in ["apply_second", "rollback", "clean", "release_pin", "release_rm", "resume_before"] {
        let world = (row(name).world)();
        world.restore();
        let root = world.sandbox.root();
        let mount = "mount -t tmpfs none \"$PWD/../root\"";
        // Remounted when the copy is in.
        let mount = format!(
            "{mount}; cp -a '{0}.saved/.' '{0}'; mount -o remount,ro '{0}'; cp() {{ [ -w '{0}' ] && command cp \"$@\" || case \"$2\" in */root/.) command cp \"$@\";; esac; }}",
            root.display()
        );
        let (done, _) = mounted(&world, &mount);
        assert!([1, 4].contains(&done.code), "{name}: {}", told(&done));
        assert!(done.err.contains("ead-only"), "{name} does not say why: {}", told(&done));
        ended_well(&world, &format!("{name} on a root that may only be read"), &done);
    }
    coverage("rooms-readonly", "6 verbs, 0 violations");
}

/// Sends a signal before a call of the command, and again before a later one.
fn signalled(world: &World, n: usize, again: Option<usize>, signal: Signal) -> (Ended, Option<String>) {
    let mut cut = None;
    let trace = Trace::beneath(&world.sandbox.path()).leave_rest();
    let ended = trace.run(world.sandbox.command(&world.args()), &mut |call: &Mutation| {
        if call.number == n || again == Some(call.number) {
            cut.get_or_insert_with(|| call.line());
            kill(Pid::from_raw(call.first), signal).unwrap();
        }
        Act::Pass
    });
    (ended, cut)
}

fn signals(name: &str, signal: Signal, test: &str) {
    let world = (row(name).world)();
    world.restore();
    let all = world.traced(&world.args(), &mut |_: &Mutation| Act::Pass).calls;
    let only = Only::read();
    let (mut sent, mut interrupted) = (0, 0);
    for twice in [false, true] {
        for n in tried(all, 10) {
            if !only.takes(&[&name, &n, &twice]) {
                continue;
            }
            world.restore();
            let (ended, cut) = signalled(&world, n, twice.then_some(n + 1 + n % 3), signal);
            let Some(cut) = cut else { continue };
            sent += 1;
            let done = Done { code: ended.code, out: ended.out, err: ended.err };
            let replay = replay(&format!("rooms::{test}"), &[&name, &n, &twice]);
            let what = format!("{signal} at {cut}, twice: {twice}\n  replay: {replay}\n");
            assert!(!ended.hung, "{what}: it hung");
            // It handles these signals: none ends it by itself.
            assert!([0, 6, 130].contains(&done.code), "{what}{}", told(&done));
            interrupted += usize::from(done.code != 0);
            ended_well(&world, &what, &done);
            world.nothing_runs();
        }
    }
    assert!(only.is_replay() || interrupted > 0, "no signal was felt");
    coverage(
        &format!("rooms-{test}"),
        &format!("{sent} times {signal} at {all} calls, {interrupted} felt, 0 violations"),
    );
}

#[test]
fn sigterm() {
    signals("apply_second", Signal::SIGTERM, "sigterm");
}

#[test]
fn sigint() {
    signals("apply_second", Signal::SIGINT, "sigint");
}

#[test]
fn sighup() {
    signals("apply_second", Signal::SIGHUP, "sighup");
}

#[test]
fn sigterm_in_a_rollback() {
    signals("rollback", Signal::SIGTERM, "sigterm_in_a_rollback");
}

#[test]
fn sigint_in_a_clean() {
    signals("clean", Signal::SIGINT, "sigint_in_a_clean");
}
