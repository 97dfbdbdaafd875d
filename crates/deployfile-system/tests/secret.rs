//! Where secrets are read from, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic, and says loudly what it skips"
)]

use deployfile_model::{HostPath, Name, SecretProvider};
use deployfile_record::{Failure, FailureKind};
use deployfile_system::secret::{SecretText, failure, read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn from_file(path: &Path) -> Result<SecretText, Failure> {
    let provider = SecretProvider::File(HostPath::new(path.to_str().unwrap()).unwrap());
    read(&Name::new("db-url").unwrap(), &provider).map_err(|error| failure(&error))
}

fn from_content(content: &[u8], mode: u32) -> Result<SecretText, Failure> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    from_file(&path)
}

#[test]
fn a_file_loses_one_newline_and_nothing_else() {
    assert_eq!(from_content(b"value\n", 0o600).unwrap().reveal(), "value");
    assert_eq!(from_content(b" value\n\n", 0o400).unwrap().reveal(), " value\n");
    assert_eq!(from_content(&[b'x'; 64 << 10], 0o600).unwrap().reveal().len(), 64 << 10);
}

#[test]
fn refusals_name_the_secret_and_its_place_but_no_value() {
    let cases = [
        (from_content(b"hunter2", 0o640), "mode 0640 lets group or others in"),
        (from_content(b"hunter2", 0o604), "mode 0604 lets group or others in"),
        (from_content(b"hunter2\0", 0o600), "not UTF-8 text without NUL"),
        (from_content(b"hunter2\xff", 0o600), "not UTF-8 text without NUL"),
        (from_content(b"", 0o600), "it is empty"),
        (from_content(b"\n", 0o600), "it is empty"),
        (from_content(&[b'x'; (64 << 10) + 1], 0o600), "longer than 65536 bytes"),
        (from_file(Path::new("/proc")), "not a regular file"),
    ];
    for (result, why) in cases {
        let failure = result.unwrap_err();
        assert!(failure.message.starts_with("cannot read secret `db-url` from file /"), "{failure}");
        assert!(failure.message.contains(why), "{failure}");
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        assert_eq!(failure.kind, FailureKind::Refused);
    }
    let missing = from_file(Path::new("/no/such/secret")).unwrap_err();
    assert_eq!(missing.causes, ["No such file or directory (os error 2)"]);
}

fn from_command(argv: &[&str]) -> Result<SecretText, Failure> {
    let provider = SecretProvider::Command(argv.iter().map(ToString::to_string).collect());
    read(&Name::new("db-url").unwrap(), &provider).map_err(|error| failure(&error))
}

#[test]
fn a_program_prints_it() {
    assert_eq!(from_command(&["printf", "a b\\n"]).unwrap().reveal(), "a b");
    assert_eq!(from_command(&["echo", "$(id); *"]).unwrap().reveal(), "$(id); *", "no shell");
    assert_eq!(from_command(&["sh", "-c", "cat; pwd; echo ${DB_URL-unset}"]).unwrap().reveal(), "/\nunset");
    // What it leaves behind is ended, and not waited for.
    assert_eq!(from_command(&["sh", "-c", "sleep 100 & echo x"]).unwrap().reveal(), "x");
}

#[test]
fn a_program_that_fails_is_named_and_its_output_is_not_shown() {
    let cases: [(&[&str], &str); 5] = [
        (&["sh", "-c", "echo hunter2; echo hunter2 >&2; exit 3"], "command sh: it ended with exit status: 3"),
        (&["true"], "command true: it is empty"),
        (&["head", "-c", "70000", "/dev/zero"], "longer than 65536 bytes"),
        (&["sh", "-c", "yes hunter2"], "longer than 65536 bytes"),
        (&["printf", "hunter2\\0"], "not UTF-8 text without NUL"),
    ];
    for (argv, why) in cases {
        let failure = from_command(argv).unwrap_err();
        assert!(failure.message.contains(why), "{failure}");
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        assert_eq!(failure.kind, FailureKind::Refused);
    }
    let missing = from_command(&["no-such-program"]).unwrap_err();
    assert_eq!(missing.causes, ["No such file or directory (os error 2)"]);
}

#[test]
fn another_users_file_is_refused() {
    if !rustix::process::geteuid().is_root() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "needs root");
        eprintln!("SKIPPED: giving files away needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    std::fs::write(&path, "hunter2").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
    assert!(from_file(&path).unwrap_err().message.contains("belongs to uid 65534"));
}

#[test]
fn the_environment_is_a_provider() {
    let ask = |variable: &str| read(&Name::new("s").unwrap(), &SecretProvider::Env(variable.to_owned()));
    assert_eq!(ask("CARGO_PKG_NAME").unwrap().reveal(), env!("CARGO_PKG_NAME"));
    let error = ask("NO_SUCH_VARIABLE_HERE").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read secret `s` from environment variable NO_SUCH_VARIABLE_HERE: it is not set"
    );
}
