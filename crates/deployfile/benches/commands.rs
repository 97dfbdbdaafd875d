//! `cargo bench -p deployfile`: what commands cost, beside a baseline measured in the same run.
//!
//! CPU time is that of the children of this process (proc(5), `cutime` and `cstime` of `/proc/self/stat`), over many
//! runs. Prints a table; asserts nothing: docs/benchmarks.md says what to look for.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and stops when it cannot run"
)]

use deployfile_testkit::{Sandbox, free_port};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Clock ticks a second of `/proc/PID/stat` (proc(5): sysconf(_SC_CLK_TCK), 100 on every Linux that there is).
const TICKS: f64 = 100.0;

fn main() {
    let sandbox = quickstart();
    println!("{:42} {:>10} {:>10}", "", "wall p50", "CPU mean");
    let mut baseline = Command::new("/bin/true");
    row("/bin/true (baseline: fork and exec)", 200, || run(&mut baseline));
    row("deployfile --version", 200, || run(&mut sandbox.command(&["--version"])));
    row("deployfile check (quickstart)", 100, || run(&mut sandbox.command(&["check"])));
    let django = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    django.copy(&examples().join("django"));
    row("deployfile check (django, 250 lines)", 100, || run(&mut django.command(&["check"])));
    row(
        "deployfile plan (django, 22 hosts unseen)",
        20,
        || run(&mut django.command(&["plan", "production"])),
    );
    row("deployfile plan (quickstart, first)", 100, || run(&mut sandbox.command(&["plan"])));
    sandbox.expect(0, &["apply", "--yes"]);
    row("deployfile plan (quickstart, nothing to do)", 100, || run(&mut sandbox.command(&["plan"])));
    row("deployfile apply (quickstart, nothing to do)", 50, || {
        run(&mut sandbox.command(&["apply", "--yes"]));
    });
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn quickstart() -> Sandbox {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    sandbox.copy(&examples().join("quickstart"));
    let root = sandbox.root();
    sandbox.replace("deployfile.kdl", "/var/tmp/deployfile-quickstart", root.to_str().unwrap());
    sandbox.replace("deployfile.kdl", "port 8080", &format!("port {}", free_port()));
    sandbox
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success());
}

fn row(name: &str, times: usize, mut once: impl FnMut()) {
    once();
    let cpu_before = children_cpu();
    let mut walls: Vec<f64> = (0..times)
        .map(|_| {
            let began = Instant::now();
            once();
            began.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    let cpu = (children_cpu() - cpu_before) * 1000.0 / times as f64;
    walls.sort_by(f64::total_cmp);
    println!("{name:42} {:>7.2} ms {cpu:>7.2} ms", walls[times / 2]);
}

/// Seconds of processor time of children that were waited for.
fn children_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    // Fields 16 and 17 of proc(5), counted from 1; the state, field 3, is the first here.
    let ticks: f64 = fields[13].parse::<f64>().unwrap() + fields[14].parse::<f64>().unwrap();
    ticks / TICKS
}
