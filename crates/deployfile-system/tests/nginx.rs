//! Rendered server blocks before a real nginx.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic, and says loudly what it skips"
)]

use deployfile_exec::{Stop, Tell};
use deployfile_model::{HostPath, Name, RelPath};
use deployfile_record::Failure;
use deployfile_record::event::Stream;
use deployfile_system::nginx::{Tested, probe_config_under};
use deployfile_system::process::Guard;
use std::path::Path;

#[derive(Default)]
struct Heard {
    warnings: Vec<String>,
}

impl Tell for Heard {
    fn output(&mut self, _: Stream, line: &str) {
        panic!("`{line}` is not output of a step");
    }
    fn probe(&mut self, _: &Name, _: u32, _: bool, _: &str) {}
    fn hook(&mut self, _: &Name, _: &str, _: &str) {}
    fn warning(&mut self, message: &str, _: Option<&str>) {
        self.warnings.push(message.to_owned());
    }
    fn spawned(&mut self, _: u32, _: u64, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

/// What nginx says of one file with this content; `None` (said loudly) where there is no nginx.
fn tested(dir: &Path, content: &str) -> Option<(Result<Tested, Failure>, Vec<String>)> {
    std::fs::write(dir.join("site.conf"), content).unwrap();
    let release = HostPath::new(dir.to_str().unwrap()).unwrap();
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/guard");
    let guard = Guard { program, args: vec!["guard".to_owned()] };
    let mut heard = Heard::default();
    let files = [RelPath::new("site.conf").unwrap()];
    let result = probe_config_under(&guard, &release, &files, &Stop::new(), &mut heard);
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 1, "the release is touched");
    if matches!(result, Ok(Tested::Skipped)) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "nginx is missing");
        eprintln!("SKIPPED: nginx is not installed");
        return None;
    }
    Some((result, heard.warnings))
}

#[test]
fn good_blocks_are_accepted_and_bad_ones_named() {
    let dir = tempfile::tempdir().unwrap();
    let good = "server {\n listen 127.0.0.1:18080;\n server_name a.example;\n root /srv;\n \
        location / { include fastcgi_params; fastcgi_pass unix:/run/x.sock; }\n}\n";
    let Some((result, warnings)) = tested(dir.path(), good) else { return };
    assert_eq!((result.unwrap(), warnings), (Tested::Accepted, vec![]));

    let bad = "server {\n listen 127.0.0.1:18080;\n no_such_thing on;\n}\n";
    let failure = tested(dir.path(), bad).unwrap().0.unwrap_err();
    assert_eq!(failure.code, "nginx::refused");
    let place = format!("{}/site.conf:3", dir.path().display());
    assert_eq!(
        failure.message,
        format!("nginx does not accept {place}: unknown directive \"no_such_thing\"")
    );
    assert!(!failure.output.is_empty());

    let twice = format!("{good}{good}");
    let (result, warnings) = tested(dir.path(), &twice).unwrap();
    assert_eq!(result.unwrap(), Tested::Accepted);
    assert!(warnings[0].starts_with("nginx: conflicting server name"), "{warnings:?}");
}
