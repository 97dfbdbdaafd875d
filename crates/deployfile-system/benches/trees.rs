//! How long a large tree takes to become a sealed release, beside what other tools need for the same tree.
//!
//! `cargo bench -p deployfile-system --bench trees [-- --files 50000 --rounds 3 --at /var/tmp
//! --only plain]` (or `linked`, `reflinked`). All are durable when
//! they are done: the peers' commands end with `sync -f`. Runs alternate, each goes into a new directory, and nothing is
//! deleted in between: ext4 is slow in making files where many were just deleted (evidence.md), so that each part has a
//! new file system on a loop device. That needs root.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use deployfile_disk::Dir;
use deployfile_exec::port::{Stop, Tell};
use deployfile_model::spec::ShareMode;
use deployfile_model::{Digest, HostPath, Name, ReleaseId};
use deployfile_record::Failure;
use deployfile_record::effect::{SealEffect, SourceEffect, SourceFrom};
use deployfile_record::event::Stream;
use deployfile_system::process::{Guard, guard_main};
use deployfile_system::release::{self, Depth, Header};
use deployfile_system::source::{self, Fetcher};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Files that differ between two releases.
const CHANGED: usize = 10;
/// Files of one directory.
const PER_DIR: usize = 50;

/// Measures on a new file system.
type Part = fn(&Path, &Repository, usize, &mut Table);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, verb, rest @ ..] = &args[..]
        && verb == "guard"
    {
        std::process::exit(guard_main(rest));
    }
    // `cargo test --benches` runs this too, without saying `--bench`.
    if !args.iter().any(|arg| arg == "--bench") {
        println!("trees: nothing is measured without `cargo bench`");
        return;
    }
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let number = |name, default| value(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (files, rounds) = (number("--files", 50_000), number("--rounds", 3));
    let place = value("--at").map_or_else(std::env::temp_dir, PathBuf::from);
    let scratch =
        tempfile::Builder::new().prefix("bench-trees-").tempdir_in(place).expect("scratch directory");
    let repository = Repository::generate(&scratch.path().join("repo"), files, rounds);
    let mut table = Table::default();
    let is_wanted = |part: &str| value("--only").is_none_or(|only| only == part);
    let parts: [(&str, Part, &str); 3] =
        [("plain", plain, "ext4"), ("linked", linked, "ext4"), ("reflinked", reflinked, "xfs")];
    for (name, part, kind) in parts.into_iter().filter(|(name, ..)| is_wanted(name)) {
        let Some(mount) = Mount::new(scratch.path(), name, kind) else {
            println!("SKIPPED: {name} needs root, a loop device and mkfs.{kind}");
            continue;
        };
        println!("{name}, on {kind}");
        part(&mount.at, &repository.copy(&mount.at.join("repo.git")), rounds, &mut table);
    }
    table.print();
}

/// A repository of one commit with all files, and for each round one with [`CHANGED`] files changed.
struct Repository {
    dir: PathBuf,
    commits: Vec<String>,
}

impl Repository {
    fn generate(dir: &Path, files: usize, rounds: usize) -> Self {
        let mut numbers = Numbers(42);
        let mut bytes = 0;
        for index in 0..files {
            let path = dir.join(path_of(index));
            if index % PER_DIR == 0 {
                std::fs::create_dir_all(path.parent().expect("it has a directory")).expect("directory");
            }
            let text = numbers.text();
            bytes += text.len();
            std::fs::write(path, text).expect("file");
        }
        println!("{files} files, {} MB", bytes / 1_000_000);
        git(dir, &["init", "--quiet"]);
        let mut repository = Self { dir: dir.to_owned(), commits: Vec::new() };
        repository.commit();
        git(dir, &["repack", "-a", "-d", "--quiet"]);
        for round in 0..rounds {
            for nth in 0..CHANGED {
                let index = (round * 7919 + nth * 4999) % files;
                std::fs::write(dir.join(path_of(index)), numbers.text()).expect("file");
            }
            repository.commit();
        }
        repository
    }

    fn commit(&mut self) {
        git(&self.dir, &["add", "--all"]);
        git(&self.dir, &["commit", "--quiet", "--message", "x"]);
        self.commits.push(git(&self.dir, &["rev-parse", "HEAD"]));
    }

    /// A bare copy on another file system.
    fn copy(&self, at: &Path) -> Self {
        let from = self.dir.to_str().expect("text");
        git(Path::new("/"), &["clone", "--quiet", "--bare", from, at.to_str().expect("text")]);
        Self { dir: at.to_owned(), commits: self.commits.clone() }
    }

    fn effect(&self, nth: usize, base: Option<&str>, share: ShareMode) -> SourceEffect {
        let from = SourceFrom::Git {
            url: self.dir.to_str().expect("text").to_owned(),
            reference: "main".to_owned(),
            commit: self.commits[nth].clone(),
            submodules: false,
        };
        SourceEffect { from, base: base.map(id), share }
    }
}

fn path_of(index: usize) -> String {
    let directory = index / PER_DIR;
    format!("part{}/module{directory}/file{index}.txt", directory % 40)
}

/// Numbers that are the same in every run (xorshift64*, Vigna 2016).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// About 5 kB that compress as source code does, by a factor of three or so.
    fn text(&mut self) -> String {
        let words = 300 + usize::try_from(self.next() % 1000).expect("small");
        let mut text = String::new();
        for word in 0..words {
            let end = if word % 10 == 9 { '\n' } else { ' ' };
            let _always = write!(text, "w{:x}{end}", self.next() % 4096 * self.next() % 65_521);
        }
        text
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=b", "-c", "user.email=b@example.com", "-c", "gc.auto=0"]);
    let output =
        git.args(["-c", "init.defaultBranch=main"]).args(args).current_dir(dir).output().expect("git");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn id(text: &str) -> ReleaseId {
    ReleaseId::new(text).expect("an id")
}

/// Processor time of this process and those that it waited for, in milliseconds (proc(5), `stat`, fields 14 to 17; a tick
/// is 10 ms on every Linux that we know). Unlike elapsed time it hardly depends on what else the machine does.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("proc");
    let fields = stat.rsplit_once(") ").expect("a name").1.split(' ');
    fields.skip(11).take(4).map(|ticks| ticks.parse::<u64>().expect("a number") * 10).sum()
}

/// Runs a pipeline of peers, which ends with `sync -f`.
fn peer(dir: &Path, script: &str) -> Duration {
    settle();
    let (start, cpu) = (Instant::now(), cpu_ms());
    let status = Command::new("sh").args(["-euc", script]).current_dir(dir).status().expect("sh");
    assert!(status.success(), "{script}");
    println!("    {} ms of processor time", cpu_ms() - cpu);
    start.elapsed()
}

/// Nothing that was measured before is still being written.
fn settle() {
    rustix::fs::sync();
}

/// Hears nothing.
struct Deaf;

impl Tell for Deaf {
    fn output(&mut self, _: Stream, _: &str) {}
    fn probe(&mut self, _: &Name, _: u32, _: bool, _: &str) {}
    fn hook(&mut self, _: &Name, _: &str, _: &str) {}
    fn warning(&mut self, _: &str, _: Option<&str>) {}
    fn spawned(&mut self, _: u32, _: u64, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

/// Fills and seals a release.
fn ours(root: &Path, name: &str, effect: &SourceEffect) -> Duration {
    std::fs::create_dir_all(root).expect("root");
    settle();
    let (start, cpu) = (Instant::now(), cpu_ms());
    let path = HostPath::new(root.canonicalize().expect("root").to_str().expect("text")).expect("path");
    let root = Dir::open_root(&path).expect("root");
    let stop = Stop::new();
    let guard = Guard::this_program();
    let mut fetcher = Fetcher { guard, stop: &stop, tell: &mut Deaf };
    source::populate(&root, &id(name), effect, &mut fetcher).expect("populated");
    let filled = start.elapsed();
    let header = Header {
        id: id(name),
        build_id: None,
        revision: None,
        spec: Digest::of(b"bench"),
        parent: effect.base.clone(),
    };
    let seal = SealEffect { secret_files: Vec::new(), plugins: BTreeMap::new(), overrides: BTreeMap::new() };
    release::seal(&root, &header, &seal, &stop).expect("sealed");
    let took = start.elapsed();
    let (fill, seal) = (filled.as_millis(), (took - filled).as_millis());
    println!("    {name}: fill {fill} ms, seal {seal} ms, {} ms of processor time", cpu_ms() - cpu);
    let looked = Instant::now();
    assert!(release::verify(&root, &id(name), Depth::Changed).expect("verified").is_empty());
    println!("    {name}: verify {} ms", looked.elapsed().as_millis());
    took
}

fn plain(scratch: &Path, repository: &Repository, rounds: usize, table: &mut Table) {
    let repo = repository.dir.display();
    for round in 0..rounds {
        let (tree, copy) = (format!("archive{round}"), format!("copy{round}"));
        let first = repository.commits[0].as_str();
        let archive =
            format!("mkdir {tree}; git -C {repo} archive {first} | tar x -C {tree}; sync -f {tree}");
        table.add("git archive, tar x", peer(scratch, &archive));
        let root = scratch.join(format!("root{round}"));
        table.add("first release from git", ours(&root, "r1", &repository.effect(0, None, ShareMode::Copy)));
        table.add("cp -a", peer(scratch, &format!("cp -a {tree} {copy}; sync -f {copy}")));
        let effect = repository.effect(round + 1, Some("r1"), ShareMode::Copy);
        table.add("second release", ours(&root, "r2", &effect));
    }
    table.compare("first release from git", "git archive, tar x", 1.0);
    table.compare("second release", "cp -a", 1.0);
}

fn linked(scratch: &Path, repository: &Repository, rounds: usize, table: &mut Table) {
    let repo = repository.dir.display();
    let mut last = "r0".to_owned();
    let root = scratch.join("root");
    ours(&root, &last, &repository.effect(0, None, ShareMode::Hardlink));
    peer(scratch, &format!("git clone -q -s {repo} work; git -C work checkout -q {}", repository.commits[0]));
    peer(scratch, "rsync -a --exclude .git work/ tree0/");
    for round in 0..rounds {
        let (name, commit) = (format!("r{}", round + 1), &repository.commits[round + 1]);
        peer(scratch, &format!("git -C work checkout -q {commit}"));
        let sync = format!(
            "rsync -a --exclude .git --link-dest=../tree{round} work/ tree{next}/; sync -f tree{next}",
            next = round + 1
        );
        table.add("rsync -a --link-dest", peer(scratch, &sync));
        let effect = repository.effect(round + 1, Some(&last), ShareMode::Hardlink);
        table.add("second release, share hardlink", ours(&root, &name, &effect));
        table.add("cp -al", peer(scratch, &format!("cp -al tree0 links{round}; sync -f links{round}")));
        last = name;
    }
    table.compare("second release, share hardlink", "rsync -a --link-dest", 0.5);
    table.compare("second release, share hardlink", "cp -al", f64::INFINITY);
}

fn reflinked(scratch: &Path, repository: &Repository, rounds: usize, table: &mut Table) {
    let root = scratch.join("root");
    ours(&root, "r0", &repository.effect(0, None, ShareMode::Copy));
    for round in 0..rounds {
        let copy = format!("cp -a --reflink=always root/releases/r0 copy{round}; sync -f copy{round}");
        table.add("cp -a --reflink=always", peer(scratch, &copy));
        let effect = repository.effect(round + 1, Some("r0"), ShareMode::Copy);
        table.add("second release, xfs", ours(&root, &format!("r{}", round + 1), &effect));
    }
    table.compare("second release, xfs", "cp -a --reflink=always", 1.0);
}

/// A new file system in a file, mounted; it goes with its owner. On one that is shared, what others delete shows in the
/// times.
struct Mount {
    at: PathBuf,
    image: PathBuf,
}

impl Mount {
    fn new(scratch: &Path, name: &str, kind: &str) -> Option<Self> {
        let (image, at) = (scratch.join(format!("{name}.img")), scratch.join(name));
        std::fs::create_dir(&at).ok()?;
        std::fs::File::create(&image).and_then(|file| file.set_len(16 << 30)).ok()?;
        let made = Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image).status();
        let mounted = Command::new("mount").args(["-o", "loop"]).args([&image, &at]).status();
        let is_done = made.is_ok_and(|s| s.success()) && mounted.is_ok_and(|s| s.success());
        is_done.then_some(Self { at, image })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.at).status();
        let removed = std::fs::remove_file(&self.image);
        println!("unmounted: {unmounted:?}, removed: {removed:?}");
    }
}

/// Times by what was done.
#[derive(Default)]
struct Table {
    times: BTreeMap<&'static str, Vec<Duration>>,
    ratios: Vec<(&'static str, &'static str, f64)>,
}

impl Table {
    fn add(&mut self, what: &'static str, took: Duration) {
        println!("  {what}: {} ms", took.as_millis());
        self.times.entry(what).or_default().push(took);
    }

    fn compare(&mut self, ours: &'static str, theirs: &'static str, target: f64) {
        self.ratios.push((ours, theirs, target));
    }

    fn median(&self, what: &str) -> Duration {
        let mut times = self.times[what].clone();
        times.sort();
        times[times.len() / 2]
    }

    fn print(&self) {
        println!(
            "\n| ours | theirs | ours, ms | theirs, ms | ratio of medians | target |\n|---|---|---|---|---|---|"
        );
        for (ours, theirs, target) in &self.ratios {
            let list = |what: &str| {
                let times: Vec<String> =
                    self.times[what].iter().map(|time| time.as_millis().to_string()).collect();
                times.join(" ")
            };
            let ratio = self.median(ours).as_secs_f64() / self.median(theirs).as_secs_f64();
            let target = if target.is_finite() { format!("{target}") } else { "–".to_owned() };
            println!("| {ours} | {theirs} | {} | {} | {ratio:.2} | {target} |", list(ours), list(theirs));
        }
    }
}
