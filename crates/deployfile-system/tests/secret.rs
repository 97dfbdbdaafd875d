//! Where secrets are read from, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic, and says loudly what it skips"
)]

use age::armor::{ArmoredWriter, Format};
use age::secrecy::ExposeSecret;
use age::x25519::{Identity, Recipient};
use deployfile_model::{HostPath, Name, SecretProvider};
use deployfile_record::{Failure, FailureKind};
use deployfile_system::secret::{SecretText, failure, read};
use std::io::Write;
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

/// Encrypts for a recipient, in memory: the tests need no `age` program.
fn encrypted(value: &[u8], recipients: &[&Recipient], armored: bool) -> Vec<u8> {
    let recipients = recipients.iter().map(|recipient| *recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).unwrap();
    finish(encryptor, value, armored)
}

fn finish(encryptor: age::Encryptor, value: &[u8], armored: bool) -> Vec<u8> {
    let format = if armored { Format::AsciiArmor } else { Format::Binary };
    let armor = ArmoredWriter::wrap_output(Vec::new(), format).unwrap();
    let mut writer = encryptor.wrap_output(armor).unwrap();
    writer.write_all(value).unwrap();
    writer.finish().unwrap().finish().unwrap()
}

/// A folder with an identity and what is encrypted for it.
struct Room {
    dir: tempfile::TempDir,
    identity: Identity,
}

impl Room {
    fn new() -> Self {
        let room = Self { dir: tempfile::tempdir().unwrap(), identity: Identity::generate() };
        room.key(&format!("# created: today\n# public key: x\n\n{}\n", room.secret_key()), 0o600);
        room
    }
    fn secret_key(&self) -> String {
        self.identity.to_string().expose_secret().to_owned()
    }
    fn key(&self, text: &str, mode: u32) {
        let path = self.dir.path().join("key.txt");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
    fn seal(&self, value: &[u8], armored: bool) -> Vec<u8> {
        encrypted(value, &[&self.identity.to_public()], armored)
    }
    /// Reads a file with this content, which everybody may read.
    fn read(&self, content: &[u8]) -> Result<SecretText, Failure> {
        let path = self.dir.path().join("s.age");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        self.read_at(&path)
    }
    fn read_at(&self, path: &Path) -> Result<SecretText, Failure> {
        let host = |path: &Path| HostPath::new(path.to_str().unwrap()).unwrap();
        let provider =
            SecretProvider::Age { file: host(path), identity: host(&self.dir.path().join("key.txt")) };
        read(&Name::new("db-url").unwrap(), &provider).map_err(|error| failure(&error))
    }
}

#[test]
fn an_age_file_is_decrypted_binary_or_armored() {
    let room = Room::new();
    for armored in [false, true] {
        assert_eq!(room.read(&room.seal(b"hunter2\n", armored)).unwrap().reveal(), "hunter2");
        assert_eq!(room.read(&room.seal(b" a\n\n", armored)).unwrap().reveal(), " a\n");
        let most = vec![b'x'; 64 << 10];
        assert_eq!(room.read(&room.seal(&most, armored)).unwrap().reveal().len(), most.len());
    }
    // One of several identities, one of several recipients.
    let (other, second) = (Identity::generate(), Identity::generate());
    room.key(&format!("{}\n{}", other.to_string().expose_secret(), room.secret_key()), 0o400);
    let sealed = encrypted(b"hunter2", &[&second.to_public(), &room.identity.to_public()], true);
    assert_eq!(room.read(&sealed).unwrap().reveal(), "hunter2");
}

#[test]
fn an_age_file_that_is_not_ours_or_not_whole_is_refused_and_tells_nothing() {
    let room = Room::new();
    let good = room.seal(b"hunter2-hunter2", false);
    let armored = room.seal(b"hunter2-hunter2", true);
    let passphrase = age::Encryptor::with_user_passphrase("hunter2".to_owned().into());
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let not_age = "not encrypted with age, or it was damaged";
    let cases = [
        (encrypted(b"hunter2", &[&Identity::generate().to_public()], false), "for none of the identities"),
        (changed(good.len() - 1), not_age),
        (changed(good.len() - 20), not_age),
        (good[..good.len() - 1].to_vec(), not_age),
        (good[..30].to_vec(), not_age),
        (armored[..armored.len() - 40].to_vec(), not_age),
        (b"hunter2\n".to_vec(), not_age),
        (Vec::new(), not_age),
        (finish(passphrase, b"hunter2", true), "encrypted with a passphrase"),
        (vec![b'x'; (1 << 20) + 1], "larger than 1048576 bytes"),
        (room.seal(&[b'x'; (64 << 10) + 1], false), "longer than 65536 bytes"),
        (room.seal(&vec![b'x'; 900_000], false), "longer than 65536 bytes"),
        (room.seal(b"", false), "it is empty"),
        (room.seal(b"hunter2\0", false), "not UTF-8 text without NUL"),
        (room.seal(b"hunter2\xff", false), "not UTF-8 text without NUL"),
    ];
    for (content, why) in cases {
        let failure = room.read(&content).unwrap_err();
        assert!(failure.message.starts_with("cannot read secret `db-url` from age file /"), "{failure}");
        assert!(failure.message.contains(why), "not {why}: {failure}");
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        assert!(!format!("{failure:?}").contains("AGE-SECRET"), "{failure:?}");
        assert_eq!(failure.kind, FailureKind::Refused);
    }
    // Every byte of the header counts.
    for at in 0..good.len() {
        assert!(room.read(&changed(at)).is_err(), "byte {at} was changed, and nothing is said");
    }
    assert!(room.read_at(Path::new("/proc")).unwrap_err().message.contains("not a regular file"));
    assert_eq!(
        room.read_at(Path::new("/none.age")).unwrap_err().causes,
        ["No such file or directory (os error 2)"]
    );
}

#[test]
fn an_identity_file_is_held_as_closed_as_a_secret() {
    let room = Room::new();
    let sealed = room.seal(b"hunter2", false);
    let key = room.secret_key();
    let with = |text: &str, mode: u32| {
        room.key(text, mode);
        room.read(&sealed).map(|_| ())
    };
    assert_eq!(with(&key, 0o600), Ok(()));
    for (text, mode, why, help) in [
        (key.clone(), 0o640, "mode 0640 lets group or others in", "chmod 0600 /"),
        (key.clone(), 0o604, "mode 0604 lets group or others in", "chmod 0600 /"),
        (format!("#\n{key}x\n"), 0o600, "line 2 is no X25519 identity", "age-keygen -o /"),
        ("AGE-PLUGIN-YUBIKEY-1AAAA\n".to_owned(), 0o600, "line 1 is no X25519 identity", "of plugins"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned(), 0o600, "line 1 is no X25519 identity", "ssh"),
        ("# nothing\n".to_owned(), 0o600, "it holds no identity", "age-keygen -o /"),
        ("x".repeat(70_000), 0o600, "longer than 65536 bytes", ""),
    ] {
        let failure = with(&text, mode).unwrap_err();
        assert!(failure.message.starts_with("cannot read secret `db-url` from identity file /"), "{failure}");
        assert!(failure.message.contains(why), "not {why}: {failure}");
        assert!(failure.help.clone().unwrap_or_default().contains(help), "not {help}: {failure:?}");
        assert!(!format!("{failure:?}").contains(&key[..24]), "{failure:?}");
    }
    std::fs::remove_file(room.dir.path().join("key.txt")).unwrap();
    let failure = room.read(&sealed).unwrap_err();
    assert!(failure.message.contains("identity file /"), "{failure}");
}

#[test]
fn a_pipe_that_nobody_writes_is_not_waited_for() {
    let room = Room::new();
    let pipe = room.dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    assert!(from_file(&pipe).unwrap_err().message.contains("not a regular file"));
    assert!(room.read_at(&pipe).unwrap_err().message.contains("not a regular file"));
}
