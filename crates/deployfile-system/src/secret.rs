//! Secrets on this machine: reading a value where its provider keeps it, and keeping it out of what is shown.
//!
//! What is deliberately not here: where a value may be written (environment files of a release: the effect decides) and
//! any way to print one. No type here is `Debug` or `Display` with a value in it.

use age::armor::ArmoredReader;
use age::x25519::Identity;
use age::{DecryptError, Decryptor};
use deployfile_model::{HostPath, Name, SecretProvider};
use deployfile_record::{Failure, FailureKind};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that a secret may have.
const SECRET_MAX: u64 = 64 << 10;
/// Bytes that an encrypted file may have: a secret of [`SECRET_MAX`], armored, for some thousand recipients.
const AGE_MAX: u64 = 1 << 20;
/// How long a program that prints a secret may take.
const COMMAND_WITHIN: Duration = Duration::from_secs(30);
const COMMAND_TICK: Duration = Duration::from_millis(5);
/// Bytes below which a form of a secret is not looked for in output: replacing every `1` hides nothing and ruins all.
const NEEDLE_MIN: usize = 4;
/// What stands where a secret stood.
const MASK: &str = "[secret]";

/// Reads the value of the secret `name` where `provider` keeps it.
pub fn read(name: &Name, provider: &SecretProvider) -> Result<SecretText, SecretError> {
    let fail = |place: String, why: Why| SecretError { name: name.clone(), place, why };
    match provider {
        SecretProvider::Env(variable) => {
            from_env(variable).map_err(|why| fail(format!("environment variable {variable}"), why))
        }
        SecretProvider::File(path) => from_file(path).map_err(|why| fail(format!("file {path}"), why)),
        SecretProvider::Age { file, identity } => {
            let identities =
                identities(identity).map_err(|why| fail(format!("identity file {identity}"), why))?;
            from_age(file, &identities).map_err(|why| fail(format!("age file {file}"), why))
        }
        SecretProvider::Command(argv) => {
            let program = argv.first().map(String::as_str).unwrap_or_default();
            from_command(argv).map_err(|why| fail(format!("command {program}"), why))
        }
    }
}

/// What the program prints. It gets no input, the environment that steps get, and 30 seconds; what it says on stderr is
/// dropped, as it may say the secret.
fn from_command(argv: &[String]) -> Result<SecretText, Why> {
    let (program, arguments) = argv.split_first().ok_or(Why::Empty)?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(crate::observe::base_env())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(Why::Io)?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let end_group = || group.map(|group| kill_process_group(group, Signal::KILL));
    let stdout = child.stdout.take();
    let (sender, read) = std::sync::mpsc::channel();
    // Read beside waiting: a program that prints much would wait for us.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(SECRET_MAX + 2).read_to_end(&mut bytes));
        // Nobody waits any more when it took too long.
        let (Ok(()) | Err(_)) = sender.send(read.map(|_| bytes));
    });
    let deadline = Instant::now() + COMMAND_WITHIN;
    let status = loop {
        match child.try_wait().map_err(Why::Io)? {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => std::thread::sleep(COMMAND_TICK),
        }
    };
    // Whatever it left behind holds the pipe, and would be waited for.
    let (Some(Ok(()) | Err(_)) | None) = end_group();
    if status.is_none() {
        let (Ok(_) | Err(_)) = child.wait();
        return Err(Why::TimedOut);
    }
    // What left the group may still hold the pipe.
    let left = deadline.saturating_duration_since(Instant::now());
    let mut bytes = read.recv_timeout(left).map_err(|_| Why::TimedOut)?.map_err(Why::Io)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    match status.filter(|status| !status.success()) {
        Some(status) if bytes.len() as u64 <= SECRET_MAX => Err(Why::Ended(status)),
        _ => check(bytes),
    }
}

fn from_env(variable: &str) -> Result<SecretText, Why> {
    let value = std::env::var_os(variable).ok_or(Why::NotSet)?;
    check(value.into_encoded_bytes())
}

fn from_file(path: &HostPath) -> Result<SecretText, Why> {
    let (file, meta) = open(path)?;
    private(&meta)?;
    value(file, meta.len())
}

/// A regular file; a pipe that nobody writes is not waited for.
fn open(path: &HostPath) -> Result<(File, Metadata), Why> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path.as_str()).map_err(Why::Io)?;
    let meta = file.metadata().map_err(Why::Io)?;
    if meta.is_file() { Ok((file, meta)) } else { Err(Why::NotAFile) }
}

/// Nobody but root and us may read it.
fn private(meta: &Metadata) -> Result<(), Why> {
    let owner = meta.uid();
    if owner != 0 && owner != geteuid().as_raw() {
        return Err(Why::Owner(owner));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(Why::Mode(meta.mode() & 0o7777));
    }
    Ok(())
}

/// What is read, one trailing newline dropped. `likely`: how many bytes it most likely has.
fn value(from: impl Read, likely: u64) -> Result<SecretText, Why> {
    let mut text = SecretText(Vec::with_capacity(likely.min(SECRET_MAX) as usize + 2));
    from.take(SECRET_MAX + 2).read_to_end(&mut text.0).map_err(Why::Io)?;
    if text.0.last() == Some(&b'\n') {
        text.0.pop();
    }
    check(std::mem::take(&mut text.0))
}

/// The X25519 identities of a file as `age-keygen` writes it: one a line, and comments.
fn identities(path: &HostPath) -> Result<Vec<Identity>, Why> {
    let (file, meta) = open(path)?;
    private(&meta)?;
    let text = value(file, meta.len())?;
    let lines = text.reveal().lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let identities: Vec<Identity> =
        lines.map(|(n, line)| line.parse().map_err(|_| Why::NoIdentity(n + 1))).collect::<Result<_, _>>()?;
    if identities.is_empty() { Err(Why::NoIdentities) } else { Ok(identities) }
}

/// The plaintext of an age file, binary or armored. Whoever may read that file learns nothing.
fn from_age(path: &HostPath, identities: &[Identity]) -> Result<SecretText, Why> {
    let (file, meta) = open(path)?;
    if meta.len() > AGE_MAX {
        return Err(Why::FileTooLong);
    }
    // What is wrong with the file is not told from what is wrong on the way to its text: none of it is ours to tell.
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(BufReader::new(file.take(AGE_MAX))));
    let decryptor = decryptor.map_err(|_| Why::NotAge)?;
    if decryptor.is_scrypt() {
        return Err(Why::Passphrase);
    }
    let identities = identities.iter().map(|identity| identity as &dyn age::Identity);
    let plain = decryptor.decrypt(identities).map_err(|error| match error {
        DecryptError::NoMatchingKeys => Why::NotForUs,
        _ => Why::NotAge,
    })?;
    value(plain, SECRET_MAX).map_err(|why| if let Why::Io(_) = why { Why::NotAge } else { why })
}

fn check(bytes: Vec<u8>) -> Result<SecretText, Why> {
    let text = SecretText(bytes);
    match std::str::from_utf8(&text.0) {
        _ if text.0.is_empty() => Err(Why::Empty),
        _ if text.0.len() as u64 > SECRET_MAX => Err(Why::TooLong),
        Ok(value) if !value.contains('\0') => Ok(text),
        _ => Err(Why::NotText),
    }
}

/// The value of a secret: UTF-8 without NUL, 1 byte to 64 KiB. Overwritten when dropped.
#[derive(Clone)]
pub struct SecretText(Vec<u8>);

impl SecretText {
    /// The value, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        // `check` refused anything else.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the compiler from dropping the store.
        std::hint::black_box(&self.0);
    }
}

/// Why a secret could not be read. Names the secret and its provider, never a part of its value.
#[derive(Debug)]
pub struct SecretError {
    name: Name,
    place: String,
    why: Why,
}

#[derive(Debug)]
enum Why {
    NotSet,
    Empty,
    TooLong,
    NotText,
    NotAFile,
    /// Encrypted, and more than such a file may have.
    FileTooLong,
    /// Not one of age, or damaged.
    NotAge,
    Passphrase,
    NotForUs,
    NoIdentities,
    /// This line holds something else.
    NoIdentity(usize),
    Owner(u32),
    Mode(u32),
    TimedOut,
    Ended(ExitStatus),
    Io(io::Error),
}

impl SecretError {
    fn help(&self) -> Option<String> {
        let file = self.place.split_once("file ").map(|(_, path)| path);
        match (&self.why, file) {
            (Why::Mode(_), Some(file)) => Some(format!("run `chmod 0600 {file}`")),
            (Why::Owner(_), Some(file)) => {
                Some(format!("give {file} to root or to the user that runs deployfile"))
            }
            (Why::Ended(_) | Why::TimedOut, _) => Some(
                "run it by hand, as the user that runs deployfile; what it says on stderr is not shown here"
                    .to_owned(),
            ),
            (Why::Passphrase, _) => {
                Some("encrypt it for a key: `age-keygen -o KEY`, then `age -r RECIPIENT -o FILE`".to_owned())
            }
            (Why::NotForUs, _) => Some(
                "encrypt it anew for this host's key: `age -r RECIPIENT`, as `age-keygen -y KEY` says it"
                    .to_owned(),
            ),
            (Why::NotAge, _) => Some("write it anew: `age -r RECIPIENT -o FILE`".to_owned()),
            (Why::NoIdentities | Why::NoIdentity(_), Some(file)) => Some(format!(
                "write one with `age-keygen -o {file}`; keys of ssh and of plugins are not taken"
            )),
            (Why::NotSet, _) => Some("set it where deployfile is started".to_owned()),
            _ => None,
        }
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read secret `{}` from {}", self.name, self.place)?;
        match &self.why {
            Why::NotSet => f.write_str(": it is not set"),
            Why::Empty => f.write_str(": it is empty"),
            Why::TooLong => write!(f, ": it is longer than {SECRET_MAX} bytes"),
            Why::NotText => f.write_str(": it is not UTF-8 text without NUL"),
            Why::FileTooLong => write!(f, ": it is larger than {AGE_MAX} bytes"),
            Why::NotAge => f.write_str(": it is not encrypted with age, or it was damaged"),
            Why::Passphrase => {
                f.write_str(": it is encrypted with a passphrase, which nobody is there to type")
            }
            Why::NotForUs => f.write_str(": it is encrypted for none of the identities"),
            Why::NoIdentities => f.write_str(": it holds no identity"),
            Why::NoIdentity(line) => write!(f, ": line {line} is no X25519 identity (AGE-SECRET-KEY-1…)"),
            Why::NotAFile => f.write_str(": it is not a regular file"),
            Why::Owner(uid) => write!(f, ": it belongs to uid {uid}, neither to us nor to root"),
            Why::Mode(mode) => write!(f, ": its mode {mode:04o} lets group or others in"),
            Why::TimedOut => write!(f, ": it did not end within {} seconds", COMMAND_WITHIN.as_secs()),
            Why::Ended(status) => write!(f, ": it ended with {status}"),
            Why::Io(_) => Ok(()),
        }
    }
}

impl std::error::Error for SecretError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            Why::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// The failure of a step that needs the secret.
pub fn failure(error: &SecretError) -> Failure {
    let failure = Failure::from_error("secret::unreadable", error);
    Failure { kind: FailureKind::Refused, help: error.help(), ..failure }
}

/// Replaces the values of secrets in lines: as they are, in base64 at any alignment, and URL-encoded. A value of
/// several lines is looked for line by line; parts shorter than 4 bytes are not looked for.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Vec<String>>);

impl Redactor {
    /// Looks for these.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretText>) -> Self {
        let mut needles: Vec<String> =
            secrets.into_iter().flat_map(|secret| forms(secret.reveal())).collect();
        needles.retain(|needle| needle.len() >= NEEDLE_MIN);
        // Longest first, so that a value that contains another is replaced whole.
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Self(Arc::new(needles))
    }

    /// The line with every secret replaced. `cut`: the line goes on but was cut off here, so that it may end in the
    /// beginning of a secret, which is replaced as well.
    pub fn line(&self, line: &str, cut: bool) -> String {
        let mut line = line.to_owned();
        for needle in self.0.iter().filter(|needle| !needle.is_empty()) {
            if line.contains(needle.as_str()) {
                line = line.replace(needle.as_str(), MASK);
            }
        }
        if cut && let Some(at) = self.0.iter().filter_map(|needle| begun(&line, needle)).min() {
            line.replace_range(at.., MASK);
        }
        line
    }
}

/// Where the end of `line` is the beginning of `needle`, of at least [`NEEDLE_MIN`] bytes.
fn begun(line: &str, needle: &str) -> Option<usize> {
    (NEEDLE_MIN..needle.len().min(line.len() + 1))
        .rev()
        .find(|n| needle.is_char_boundary(*n) && line.ends_with(&needle[..*n]))
        .map(|n| line.len() - n)
}

fn forms(value: &str) -> Vec<String> {
    let mut forms: Vec<String> = value.lines().map(|line| crate::process::escape(line.as_bytes())).collect();
    forms.extend(base64_forms(value.as_bytes()));
    forms.extend([url_encoded(value, false), url_encoded(value, true)]);
    forms
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The characters of base64 (RFC 4648) that depend on nothing but the value, wherever in a text it begins.
fn base64_forms(value: &[u8]) -> Vec<String> {
    let at = |alphabet: &[u8; 64], skip: usize| -> String {
        let bits = |n: usize| {
            // The n-th bit of `skip` unknown bytes followed by the value.
            let byte = (n / 8).checked_sub(skip).and_then(|i| value.get(i)).copied().unwrap_or(0);
            usize::from(byte >> (7 - n % 8) & 1)
        };
        let (first, end) = ((skip * 8).div_ceil(6), (skip + value.len()) * 8 / 6);
        (first..end)
            .map(|i| char::from(alphabet[(0..6).fold(0, |sum, b| sum << 1 | bits(i * 6 + b))]))
            .collect()
    };
    (0..3).flat_map(|skip| [at(STANDARD, skip), at(URL_SAFE, skip)]).collect()
}

fn url_encoded(value: &str, plus_for_space: bool) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            b' ' if plus_for_space => "+".to_owned(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(value: &str) -> SecretText {
        check(value.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn every_form_of_a_secret_is_replaced() {
        let redactor = Redactor::new([&secret("p4ss w/rd?")]);
        let line = |text: &str| redactor.line(text, false);
        assert_eq!(line("url=p4ss w/rd?!"), "url=[secret]!");
        assert_eq!(line("p4ss%20w%2Frd%3F p4ss+w%2Frd%3F"), "[secret] [secret]");
        // base64 of "p4ss w/rd?", "u:p4ss w/rd?" and "me:p4ss w/rd?", as `base64` prints them.
        for encoded in ["cDRzcyB3L3JkPw==", "dTpwNHNzIHcvcmQ/", "bWU6cDRzcyB3L3JkPw=="] {
            let shown = line(encoded);
            assert!(shown.contains(MASK), "{encoded} became {shown}");
            assert!(shown.len() <= MASK.len() + 7, "{encoded} became {shown}");
        }
        assert_eq!(line("nothing to hide"), "nothing to hide");
        assert_eq!(Redactor::default().line("p4ss w/rd?", false), "p4ss w/rd?");
    }

    #[test]
    fn a_cut_line_does_not_end_in_half_a_secret() {
        let redactor = Redactor::new([&secret("correct-horse")]);
        assert_eq!(redactor.line("key=correct-ho", true), "key=[secret]");
        assert_eq!(redactor.line("key=correct-ho", false), "key=correct-ho");
        assert_eq!(redactor.line("key=corr", true), "key=[secret]");
        assert_eq!(redactor.line("key=cor", true), "key=cor");
        assert_eq!(redactor.line("", true), "");
    }

    #[test]
    fn long_values_and_values_of_several_lines() {
        let redactor = Redactor::new([&secret("first line\nsecond line"), &secret("second"), &secret("ab")]);
        assert_eq!(redactor.line("x first line", false), "x [secret]");
        assert_eq!(redactor.line("second line, second, ab", false), "[secret], [secret], ab");
    }

    #[test]
    fn nothing_prints_a_value() {
        assert_eq!(format!("{:?}", secret("hunter2hunter2")), "SecretText(…)");
    }
}
