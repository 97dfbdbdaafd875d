//! What `systemd-analyze verify` says about our unit. It ends well on unknown keys, so its words are read.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so and ends")]

mod tool;

use deployfile_render::systemd::{ServiceUnit, service_unit};
use std::collections::BTreeMap;
use std::process::Command;

const ANALYZE: &str = "/usr/bin/systemd-analyze";

fn complaints(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deployfile-test.service");
    std::fs::write(&path, text).unwrap();
    let output = Command::new(ANALYZE)
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&path)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    stderr.lines().filter(|line| line.contains("deployfile-test.service")).map(str::to_owned).collect()
}

#[test]
fn systemd_has_no_complaints() {
    if !tool::is_here(ANALYZE) {
        return;
    }
    let unit = ServiceUnit {
        description: "50% of \"deployfile\"".to_owned(),
        exec_start: ["/bin/sh", "-c", "exit 0; # $x 5% 'a' \"b\" \\"].map(str::to_owned).to_vec(),
        working_directory: Some("/tmp".to_owned()),
        user: Some("root".to_owned()),
        environment: BTreeMap::from([("A".to_owned(), "it's \"x\" \\ $y 5%".to_owned())]),
        environment_files: vec!["/etc/os release".to_owned()],
        kill_only_main: true,
    };
    let text = service_unit(&unit).unwrap();
    assert_eq!(complaints(&text), Vec::<String>::new());
    for (right, wrong) in [("KillMode", "KilMode"), ("Restart=on", "Restart=of"), (r#"\"x\""#, "\"x")] {
        assert!(!complaints(&text.replace(right, wrong)).is_empty(), "{wrong} is seen");
    }
}
