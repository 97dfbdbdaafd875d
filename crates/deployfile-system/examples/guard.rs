//! The smallest program that can run guarded programs: its verb `guard` is the guard, `run DIRECTORY PROGRAM ARG…` runs
//! a program under it and prints what it says. The tests of `process` use it as the binary that becomes the guard.

use deployfile_exec::{Stop, Tell};
use deployfile_model::Name;
use deployfile_record::Failure;
use deployfile_record::event::Stream;
use deployfile_system::process::{self, End, Guard, Limits, ProcessSpec};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let verb = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let status = match verb.as_str() {
        "guard" => process::guard_main(&rest),
        "run" => run(rest),
        _ => 2,
    };
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

fn run(mut argv: Vec<String>) -> i32 {
    if argv.len() < 2 {
        return 2;
    }
    let directory = argv.remove(0).into();
    let spec = ProcessSpec {
        argv,
        directory,
        env: std::env::vars().collect(),
        user: None,
        timeout: Duration::from_secs(600),
        limits: Limits::default(),
        guard: Guard::this_program(),
        redactor: Default::default(),
    };
    match process::run(&spec, &Stop::new(), &mut Printer) {
        Ok(finished) => match finished.end {
            End::Exited(status) => status,
            End::Signaled(signal) => 128 + signal,
        },
        Err(error) => {
            Printer.output(Stream::Stderr, &error.to_string());
            1
        }
    }
}

struct Printer;

impl Tell for Printer {
    fn output(&mut self, stream: Stream, line: &str) {
        // Nobody may be reading.
        let _ = match stream {
            Stream::Stdout => writeln!(std::io::stdout(), "{line}"),
            Stream::Stderr => writeln!(std::io::stderr(), "{line}"),
        };
    }
    fn probe(&mut self, _: &Name, _: u32, _: bool, _: &str) {}
    fn hook(&mut self, _: &Name, _: &str, _: &str) {}
    fn warning(&mut self, message: &str, _: Option<&str>) {
        self.output(Stream::Stderr, message);
    }
    fn spawned(&mut self, _: u32, _: u64, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}
