//! File systems that take no more: full, without inodes, read-only. Each is a small tmpfs in a mount namespace of its
//! own, which needs root.

use deployfile_testkit::needs::skip;
use deployfile_testkit::{Done, Sandbox, needs};
use std::fs;
use std::process::Command;

/// A sandbox whose root lies on a small tmpfs; every command sees it by way of `nsenter`.
struct Small {
    sandbox: Sandbox,
    /// Lives in the mount namespace, and keeps it.
    keeper: deployfile_testkit::Background,
}

impl Small {
    fn new(test: &str, options: &str) -> Option<Self> {
        if !(needs("unshare", test) && needs("nsenter", test)) {
            return None;
        }
        if !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success()) {
            skip(test, "only root can mount a file system");
            return None;
        }
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
        let place = sandbox.path().join("small");
        fs::create_dir(&place).unwrap();
        sandbox.write("src/hello.txt", "good");
        let small = Self { keeper: keeper(&place.to_string_lossy(), options), sandbox };
        small.file("");
        small.expect(0, "deployfile apply --yes");
        Some(small)
    }

    fn file(&self, more: &str) {
        let text = format!(
            "deployfile 1\napp small {{ root \"{}/small/root\"; }}\nsource dir \"src\"\n{more}\n\
             environment local {{ host localhost {{ connect local; }}; }}\n",
            self.sandbox.path().display()
        );
        self.sandbox.write("deployfile.kdl", &text);
    }

    /// Runs a script of the shell in the namespace; `deployfile` is the program, `$small` the mount.
    fn run(&self, script: &str) -> Done {
        let program = self.sandbox.command(&[]);
        let setup = format!(
            "deployfile() {{ {:?} \"$@\"; }}; small={}/small; cd {}",
            program.get_program(),
            self.sandbox.path().display(),
            self.sandbox.project().display()
        );
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.keeper.pid().to_string()]);
        command.args(["sh", "-c", &format!("{setup}; {script}")]);
        command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        deployfile_testkit::sandbox::done(command)
    }

    #[track_caller]
    fn expect(&self, code: i32, script: &str) -> Done {
        let done = self.run(script);
        assert_eq!(done.code, code, "{script}\n--- stdout\n{}\n--- stderr\n{}", done.out, done.err);
        done
    }

    /// The text that is served, and where the link leads.
    fn served(&self) -> String {
        self.expect(0, "cat $small/root/current/hello.txt; readlink $small/root/current").out
    }

    /// Something is refused or fails, with these words, and what is served stays. `status` and the journal still work.
    #[track_caller]
    fn stops(&self, code: i32, says: &[&str]) {
        let before = self.served();
        let done = self.expect(code, "deployfile apply --yes");
        for part in says {
            assert!(done.err.contains(part), "{part:?} is not in:\n{}", done.err);
        }
        assert_eq!(self.served(), before, "what is served changed");
        self.expect(0, "deployfile status");
        self.expect(0, "deployfile release verify $(basename $(readlink $small/root/current))");
    }

    #[track_caller]
    fn recovers(&self) {
        self.file("");
        self.sandbox.write("src/hello.txt", "better");
        self.expect(0, "deployfile apply --yes");
        assert!(self.served().starts_with("better"));
    }
}

fn keeper(place: &str, options: &str) -> deployfile_testkit::Background {
    let script =
        format!("mount -t tmpfs -o {options} none {place} && touch {place}/ready && exec sleep 3600");
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]);
    let keeper = deployfile_testkit::Background::start(&mut command);
    let ready = format!("/proc/{}/root{place}/ready", keeper.pid());
    deployfile_testkit::until("the small file system is there", || fs::exists(&ready).unwrap_or(false));
    keeper
}

#[test]
fn a_release_that_does_not_fit_is_refused_before_anything_is_touched() {
    let Some(small) = Small::new("no space", "size=2m") else { return };
    fs::write(small.sandbox.project().join("src/big"), vec![b'x'; 3_000_000]).unwrap();
    small.stops(4, &["error[check::space]", "MiB free", "deployfile clean"]);
    fs::remove_file(small.sandbox.project().join("src/big")).unwrap();
    small.recovers();
}

#[test]
fn a_file_system_that_fills_up_in_the_middle() {
    let Some(small) = Small::new("no space in a build", "size=2m") else { return };
    small.file("stage build { sh \"head -c 3000000 /dev/zero > big\"; }");
    small.stops(1, &["error[process::failed]", "No space left on device", "deployfile resume"]);
    // What failed is kept, and fills it. Whether the journal still had room to say how the run ended depends on a few
    // bytes; either way the run is over once there is room and it was gone on with.
    let make_room = "rm -f $small/root/releases/*/big";
    small.expect(0, make_room);
    small.expect(1, "deployfile resume --yes");
    small.expect(0, make_room);
    small.run("deployfile resume --yes");
    small.expect(0, make_room);
    small.recovers();
}

#[test]
fn a_file_system_that_is_full_already() {
    let Some(small) = Small::new("full", "size=2m") else { return };
    small.sandbox.write("src/hello.txt", "new");
    small.run("head -c 3000000 /dev/zero > $small/filler");
    small.stops(1, &["No space left on device", "help: "]);
    small.expect(0, "rm $small/filler");
    small.recovers();
}

/// What frees space, and what goes back, works without any left.
#[test]
fn clean_and_rollback_work_on_a_full_file_system() {
    let Some(small) = Small::new("full clean", "size=4m") else { return };
    small.file("retention { keep 1; grace \"0s\"; }");
    for text in ["two", "three"] {
        small.sandbox.write("src/hello.txt", text);
        small.expect(0, "deployfile apply --yes");
    }
    small.run("head -c 9000000 /dev/zero > $small/filler; sync");
    small.expect(0, "deployfile rollback --yes");
    assert!(small.served().starts_with("two"));
    small.run("cat /dev/zero > $small/filler-2");
    small.expect(0, "deployfile clean --yes");
    small.expect(0, "rm $small/filler*");
    small.recovers();
}

#[test]
fn a_file_system_without_inodes() {
    let Some(small) = Small::new("no inodes", "size=10m,nr_inodes=60") else { return };
    (0..100).for_each(|n| small.sandbox.write(&format!("src/many/{n}"), "x"));
    small.stops(4, &["error[check::inodes]", "free inodes"]);
    fs::remove_dir_all(small.sandbox.project().join("src/many")).unwrap();
    small.sandbox.write("src/hello.txt", "new");
    small.run("for n in $(seq 100); do echo > $small/filler-$n; done");
    small.stops(1, &["No space left on device", "help: "]);
    small.expect(0, "rm $small/filler-*");
    small.recovers();
}

#[test]
fn a_read_only_root() {
    let Some(small) = Small::new("read-only", "size=10m") else { return };
    small.sandbox.write("src/hello.txt", "new");
    small.expect(0, "mount -o remount,ro $small");
    small.stops(4, &["error[root::unusable]", "read-only", "mount it for writing"]);
    small.expect(0, "mount -o remount,rw $small");
    small.recovers();
}
