//! `cargo bench -p deployfile --bench large_tree [-- --files 50000 --rounds 3]`: whole runs of `deployfile apply` on a
//! large git tree, beside what other tools need for the same tree in the same run.
//!
//! All are durable when they are done: the peers' commands end with `sync -f`. Runs alternate, each goes into a new
//! directory and nothing is deleted in between (ext4 is slow in making files where many were just deleted,
//! evidence.md). What is beneath a run's own work, the library's share, is measured in deployfile-system's `trees`.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and stops when it cannot run"
)]

use deployfile_testkit::Sandbox;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Files that change between two releases.
const CHANGED: usize = 10;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if !args.iter().any(|arg| arg == "--bench") {
        println!("large_tree: nothing is measured without `cargo bench`");
        return;
    }
    let number = |name: &str, default: usize| {
        let value = args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
        value.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (files, rounds) = (number("--files", 50_000), number("--rounds", 3));
    for share in ["copy", "hardlink"] {
        let bench = Bench::new(files, share);
        for round in 0..rounds {
            bench.round(round);
        }
    }
}

struct Bench {
    sandbox: Sandbox,
    files: usize,
    share: &'static str,
}

impl Bench {
    fn new(files: usize, share: &'static str) -> Self {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
        let repository = sandbox.path().join("repository");
        fs::create_dir(&repository).unwrap();
        (0..files).for_each(|n| write_file(&repository, n, 0));
        sh(
            &repository,
            "git init -q -b main . && git add -A && git -c user.name=b -c user.email=b@b commit -q -m 0",
        );
        sandbox.write(
            "deployfile.kdl",
            &format!(
                "deployfile 1\napp big {{ root \"{}\"; }}\nsource git \"{}\" ref=main share={share}\n\
                 retention {{ keep 100; }}\nenvironment local {{ host localhost {{ connect local; }}; }}\n",
                sandbox.root().display(),
                repository.display()
            ),
        );
        Self { sandbox, files, share }
    }

    fn round(&self, round: usize) {
        let repository = self.sandbox.path().join("repository");
        let ours = self.timed(|| drop(self.sandbox.expect(0, &["apply", "--yes"])));
        let release = self.sandbox.root().join("releases").join(self.sandbox.current().unwrap());
        let to = self.sandbox.path().join(format!("peer-{round}"));
        let (release, to) = (release.display().to_string(), to.display().to_string());
        if round == 0 {
            let command = format!("mkdir {to} && git archive HEAD | tar x -C {to} && sync -f {to}");
            let peer = self.timed(|| sh(&repository, &command));
            self.row("first apply / git archive | tar x", ours, peer);
        } else if self.share == "copy" {
            let peer = self.timed(|| sh(&repository, &format!("cp -a {release} {to} && sync -f {to}")));
            self.row("apply of 10 changes / cp -a", ours, peer);
        } else {
            let mut old: Vec<_> =
                fs::read_dir(self.sandbox.root().join("releases")).unwrap().flatten().collect();
            old.sort_by_key(fs::DirEntry::file_name);
            let before = old[old.len() - 2].path().display().to_string();
            let rsync = format!("rsync -a --link-dest={before} {release}/ {to} && sync -f {to}");
            let peer = self.timed(|| sh(&repository, &rsync));
            self.row("apply of 10 changes / rsync --link-dest", ours, peer);
            let floor =
                self.timed(|| sh(&repository, &format!("cp -al {release} {to}.al && sync -f {to}.al")));
            self.row("  the floor: cp -al / rsync --link-dest", floor, peer);
        }
        (0..CHANGED).for_each(|n| write_file(&repository, n * self.files / CHANGED, round + 1));
        sh(&repository, "git -c user.name=b -c user.email=b@b commit -q -a -m next");
    }

    /// Seconds.
    fn timed(&self, run: impl FnOnce()) -> f64 {
        let began = Instant::now();
        run();
        began.elapsed().as_secs_f64()
    }

    fn row(&self, name: &str, ours: f64, peer: f64) {
        println!("{:9} {name:42} {ours:6.2} s / {peer:6.2} s = {:.2}", self.share, ours / peer);
    }
}

/// About 5 kB of text that compresses as source code does, other for each file and version.
fn write_file(repository: &Path, n: usize, version: usize) {
    let folder = repository.join(format!("d{:03}/e{:02}", n / 500, n / 50 % 10));
    if n.is_multiple_of(50) {
        fs::create_dir_all(&folder).unwrap();
    }
    let line =
        |i: usize| format!("let value_{} = compute({}, {version});\n", n * 31 + i, (n + i) * 7919 % 10_007);
    fs::write(folder.join(format!("f{n}.txt")), (0..120).map(line).collect::<String>()).unwrap();
}

fn sh(folder: &Path, command: &str) {
    let status = Command::new("sh").args(["-euc", command]).current_dir(folder).status().unwrap();
    assert!(status.success(), "{command}");
}
