//! `cargo bench -p deployfile --bench large_tree [-- --files 50000 --rounds 3]`: whole runs of `deployfile apply` on a
//! large git tree, beside what other tools need for the same tree in the same run.
//!
//! All are durable when they are done: the peers' commands end with `sync -f`. Runs alternate, each begins with nothing
//! left to write and goes into a new directory; nothing is deleted in between (ext4 is slow in making files where many
//! were just deleted, evidence.md; so give it a file system of its own by TMPDIR, with 16 GiB and 2 million inodes). What
//! is beneath a run's own work, the library's share, is measured in deployfile-system's `trees`.

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
    let repository = Repository::new(files);
    let mut kept = Vec::new();
    for share in ["copy", "hardlink"] {
        let mut first = Pair::new(share, "first apply / git archive, tar x");
        let mut second = match share {
            "copy" => Pair::new(share, "apply of 10 changes / cp -a"),
            _ => Pair::new(share, "apply of 10 changes / rsync -a --link-dest"),
        };
        let mut floor = Pair::new(share, "the floor: cp -al / rsync -a --link-dest");
        // The first round warms the machine up: blocks of a loop device are made when they are first written.
        for round in 0..=rounds {
            kept.push(repository.round(round, share, [&mut first, &mut second, &mut floor]));
        }
        [first, second, floor].iter().filter(|pair| !pair.seconds.is_empty()).for_each(Pair::print);
    }
}

/// Times of ours and of a peer, round by round.
struct Pair {
    share: &'static str,
    name: &'static str,
    seconds: Vec<(f64, f64)>,
}

impl Pair {
    fn new(share: &'static str, name: &'static str) -> Self {
        Self { share, name, seconds: Vec::new() }
    }

    /// Times both, each on a disk with nothing left to write; who goes first alternates.
    fn time(&mut self, round: usize, ours: impl FnOnce(), peer: impl FnOnce()) {
        let (ours, peer) = if round.is_multiple_of(2) {
            let ours = timed(ours);
            (ours, timed(peer))
        } else {
            let peer = timed(peer);
            (timed(ours), peer)
        };
        if round > 0 {
            self.seconds.push((ours, peer));
        }
    }

    fn print(&self) {
        let each: Vec<String> =
            self.seconds.iter().map(|(ours, peer)| format!("{ours:.2}/{peer:.2}")).collect();
        let ours = median(self.seconds.iter().map(|pair| pair.0).collect());
        let peer = median(self.seconds.iter().map(|pair| pair.1).collect());
        println!("{:9} {:42} {:.2}   (s: {})", self.share, self.name, ours / peer, each.join(" "));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Seconds.
fn timed(run: impl FnOnce()) -> f64 {
    rustix::fs::sync();
    let began = Instant::now();
    run();
    began.elapsed().as_secs_f64()
}

struct Repository {
    sandbox: Sandbox,
    files: usize,
}

impl Repository {
    fn new(files: usize) -> Self {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
        (0..files).for_each(|n| write_file(&sandbox.path(), n, "0"));
        sh(
            &sandbox.path(),
            "git init -q -b main . && git add -A && git -c user.name=b -c user.email=b@b commit -q -m 0",
        );
        Self { sandbox, files }
    }

    /// A first and a second apply in a new root, each beside its peer.
    fn round(&self, round: usize, share: &str, [first, second, floor]: [&mut Pair; 3]) -> Sandbox {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
        let repository = &*self.sandbox.path();
        sandbox.write(
            "deployfile.kdl",
            &format!(
                "deployfile 1\napp big {{ root \"{}\"; }}\nsource git \"{}\" ref=main share={share}\n\
                 retention {{ keep 100; }}\nenvironment local {{ host localhost {{ connect local; }}; }}\n",
                sandbox.root().display(),
                repository.display()
            ),
        );
        let apply = || drop(sandbox.expect(0, &["apply", "--yes"]));
        let current =
            || sandbox.root().join("releases").join(sandbox.current().unwrap()).display().to_string();
        let peer = |name: &str| sandbox.path().join(name).display().to_string();
        let archive = peer("archive");
        let unpack = format!("mkdir {archive} && git archive HEAD | tar x -C {archive} && sync -f {archive}");
        first.time(round, apply, || sh(repository, &unpack));
        let old = current();
        (0..CHANGED)
            .for_each(|n| write_file(repository, n * self.files / CHANGED, &format!("{share} {round}")));
        sh(repository, "git -c user.name=b -c user.email=b@b commit -q -a -m next");
        let copied = peer("copied");
        if share == "copy" {
            second
                .time(round, apply, || sh(repository, &format!("cp -a {old} {copied} && sync -f {copied}")));
        } else {
            // What rsync is to link is a tree of the change, and not what is timed.
            let changed = peer("changed");
            sh(repository, &format!("cp -a {old} {changed} && git archive HEAD | tar x -C {changed}"));
            let rsync = format!("rsync -a --link-dest={old} {changed}/ {copied} && sync -f {copied}");
            second.time(round, apply, || sh(repository, &rsync));
            let linked = peer("linked");
            let again = peer("again");
            let link = format!("cp -al {old} {linked} && sync -f {linked}");
            let rsync = format!("rsync -a --link-dest={old} {changed}/ {again} && sync -f {again}");
            floor.time(round, || sh(repository, &link), || sh(repository, &rsync));
        }
        sandbox
    }
}

/// About 5 kB of text that compresses as source code does, other for each file and version.
fn write_file(repository: &Path, n: usize, version: &str) {
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
