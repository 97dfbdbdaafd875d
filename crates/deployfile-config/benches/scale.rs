//! `cargo bench -p deployfile-config --bench scale`: what a large deployfile costs, and that cost is linear.
//!
//! Each row is a process of its own, so that its peak memory is its own: CPU time by `clock_gettime` of the process, memory
//! as `VmHWM` of `/proc/self/status` (proc(5)). The table of `language.md` is the first row. Prints; asserts nothing but that
//! every file is valid.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and stops when it cannot run"
)]

use deployfile_config::{FileError, Files, load};
use deployfile_model::Name;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

/// Times that a row is measured; the best one is printed, the others met somebody else.
const TRIES: usize = 5;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [hosts, services, shape] = words.as_slice() {
        return measure(hosts.parse().unwrap(), services.parse().unwrap(), shape);
    }
    println!("{:44} {:>6} {:>8} {:>10} {:>9} {:>9}", "", "lines", "load", "spec", "per 1,000", "peak");
    for (hosts, services) in [(1_000, 50), (2_000, 50), (5_000, 50), (10_000, 50)] {
        row(hosts, services, "own", "hosts with variables of their own");
    }
    for services in [100, 200, 400] {
        row(100, services, "own", "services");
    }
    for (hosts, shape) in [(1_000, "range"), (10_000, "range"), (1_000, "service"), (4_000, "service")] {
        row(
            hosts,
            50,
            shape,
            if shape == "range" { "hosts of one range" } else { "hosts with a service of their own" },
        );
    }
    for services in [100, 400, 1_600] {
        row(10, services, "bases", "services that take over one another");
    }
    for services in [100, 400, 1_600] {
        row(10, services, "profiles", "profiles");
    }
}

fn row(hosts: usize, services: usize, shape: &str, what: &str) {
    let exe = std::env::current_exe().unwrap();
    let mut best: Option<Vec<f64>> = None;
    for _ in 0..TRIES {
        let words = [hosts.to_string(), services.to_string(), shape.to_owned()];
        let output = Command::new(&exe).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let now: Vec<f64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
        if best.as_ref().is_none_or(|best| now[1] + now[2] < best[1] + best[2]) {
            best = Some(now);
        }
    }
    let [lines, load, spec, peak] = best.unwrap()[..] else { panic!("four numbers") };
    let size = (hosts * services) as f64 / 1000.0;
    let title = format!("{hosts} × {services}, {what}");
    println!(
        "{title:44} {lines:>6} {load:>6.0}ms {spec:>8.1}ms {:>7.2}ms {peak:>6.0}MiB",
        (load + spec) / size
    );
}

/// In a process of its own: lines, CPU milliseconds of loading and of the specification, MiB.
fn measure(hosts: usize, services: usize, shape: &str) {
    let file = One(text(hosts, services, shape));
    let began = cpu();
    let loaded = load(&file, "deployfile.kdl");
    let project = loaded.project.unwrap_or_else(|| panic!("{}", loaded.diagnostics.render(false)));
    let read = cpu();
    let environment = Name::new("production").unwrap();
    let spec = project.spec(&environment, &BTreeMap::new());
    let (spec, _) = spec.unwrap_or_else(|why| panic!("{}", why.render(false)));
    let done = cpu();
    let instances: usize = spec.hosts.iter().map(|host| host.services.len()).sum();
    assert!(spec.hosts.len() == hosts && instances >= hosts, "{instances} instances");
    let lines = file.0.lines().count();
    println!("{lines} {} {} {}", (read - began) * 1000.0, (done - read) * 1000.0, peak());
}

struct One(String);

impl Files for One {
    fn read(&self, _: &str) -> Result<Vec<u8>, FileError> {
        Ok(self.0.clone().into_bytes())
    }
    fn list(&self, _: &str) -> Result<Vec<String>, FileError> {
        Ok(Vec::new())
    }
}

/// A deployfile in role form: services stand once, in a role that every host carries.
fn text(hosts: usize, services: usize, shape: &str) -> String {
    let mut text = "deployfile 1\napp shop { root \"/srv/shop\"; }\nsource dir \".\"\n".to_owned();
    text += "vars { rack none; }\nenv { LOG_LEVEL info; }\n";
    let service = |text: &mut String, name: &str, n: usize| {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "  service {name} {{\n    command \"{{{{ release }}}}/bin/{{{{ service }}}}\" \"--rack\" \"{{{{ vars.rack }}}}\"\n    \
             numprocs 2\n    listen \"127.0.0.1:{}\"\n    on-deploy handover\n    env {{ WORKERS 4; NAME \"{{{{ service }}}}\"; }}\n    \
             stop signal=TERM timeout=\"30s\"\n    health http=\"http://127.0.0.1:{}/healthz\" within=\"60s\"\n  }}\n",
            2000 + n,
            2000 + n
        );
    };
    text += "role web {\n";
    match shape {
        "bases" => {
            service(&mut text, "s0", 0);
            for n in 1..services {
                // Chains of ten.
                let base = if n % 10 == 0 { 0 } else { n - 1 };
                let _ = writeln!(
                    text,
                    "  service s{n} {{ use s{base}; (only)listen \"127.0.0.1:{}\"; }}",
                    2000 + n
                );
            }
        }
        "profiles" => service(&mut text, "s0", 0),
        _ => (0..services).for_each(|n| service(&mut text, &format!("s{n}"), n)),
    }
    text += "}\n";
    if shape == "profiles" {
        for n in 0..services {
            let _ = writeln!(text, "profile p{n} {{ env {{ V{n} 1; }}; }}");
        }
    }
    text += "environment production {\n";
    if shape == "profiles" {
        let names: Vec<_> = (0..services).map(|n| format!("p{n}")).collect();
        let _ = writeln!(text, "  use {}", names.join(" "));
    }
    match shape {
        "range" => {
            let _ = writeln!(
                text,
                "  host \"web[00001:{hosts}].example.com\" {{ roles web; vars {{ rack r1; }}; }}"
            );
        }
        shape => {
            for n in 0..hosts {
                let own = match shape {
                    "service" => format!("service s0 {{ numprocs {}; }}", n % 60 + 1),
                    _ => format!("vars {{ rack r{n}; }}"),
                };
                let _ = writeln!(
                    text,
                    "  host \"web{n:05}.example.com\" {{\n    roles web\n    {own}\n    env {{ NODE {n}; }}\n  }}"
                );
            }
        }
    }
    text + "}\n"
}

/// Seconds of processor time of this process, all threads.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The most memory that this process had, in MiB.
fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}
