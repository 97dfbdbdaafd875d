//! Asks the host's nginx whether it accepts rendered server blocks, before anything is switched.
//!
//! `nginx -t` runs on a wrapper around the files (`deployfile-render` writes it) in a scratch directory, so that it needs
//! neither root nor the host's own configuration. What is deliberately not here: rendering, and reloading nginx: a switch
//! does not need it.

use crate::process::{self, End, Guard, Limits, ProcessSpec};
use deployfile_exec::{Stop, Tell};
use deployfile_model::{HostPath, Name, RelPath};
use deployfile_record::Failure;
use deployfile_record::event::Stream;
use deployfile_render::nginx::{only_binding_was_refused, test_wrapper};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

/// Where nginx is looked for: the usual places of a system's programs, whatever PATH the user has.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// It takes 15 ms, unless it has to look up the names of upstreams.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What nginx says of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tested {
    /// It accepts them. Its warnings were told.
    Accepted,
    /// There is no nginx on this host.
    Skipped,
}

/// Whether there is an nginx to ask.
pub fn is_installed() -> bool {
    process::in_path("nginx", PATH).is_some()
}

/// Has nginx check these server blocks of a release.
///
/// The failure `nginx::refused` names file and line as nginx does.
pub fn probe_config(
    release: &HostPath,
    files: &[RelPath],
    stop: &Stop,
    tell: &mut dyn Tell,
) -> Result<Tested, Failure> {
    probe_config_under(&Guard::this_program(), release, files, stop, tell)
}

/// [`probe_config`] with another guard than this program: for programs without the verb `guard`, such as tests.
pub fn probe_config_under(
    guard: &Guard,
    release: &HostPath,
    files: &[RelPath],
    stop: &Stop,
    tell: &mut dyn Tell,
) -> Result<Tested, Failure> {
    if !is_installed() {
        return Ok(Tested::Skipped);
    }
    let files: Vec<HostPath> = files.iter().map(|file| release.join(file)).collect();
    let scratch = Scratch::new().map_err(|error| scratch_failed(&error))?;
    write_wrapper(&files, &scratch.0).map_err(|error| scratch_failed(&error))?;
    test(guard, &scratch.0, stop, tell)
}

fn scratch_failed(error: &io::Error) -> Failure {
    Failure::new("nginx::scratch", "cannot prepare a scratch directory for `nginx -t`")
        .because(error.to_string())
}

/// A directory of our own among the temporary files, gone when dropped. Plain file calls on purpose: it is no part of a
/// root, and a crash that leaves it behind harms nothing.
struct Scratch(String);

impl Scratch {
    fn new() -> io::Result<Self> {
        let base = std::env::temp_dir();
        let id = std::process::id();
        let made = (0..100).map(|n| base.join(format!("deployfile-nginx-{id}-{n}"))).find_map(|path| {
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => Some(Ok(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                Err(error) => Some(Err(error)),
            }
        });
        let path = made.unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()))?;
        path.into_os_string().into_string().map(Self).map_err(|_| io::ErrorKind::InvalidFilename.into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left among temporary files harms nothing.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write_wrapper(files: &[HostPath], directory: &str) -> io::Result<()> {
    let files: Vec<&str> = files.iter().map(HostPath::as_str).collect();
    let wrapper = test_wrapper(&files, directory)
        .map_err(|refused| io::Error::new(io::ErrorKind::InvalidInput, refused.to_string()))?;
    wrapper.iter().try_for_each(|(name, content)| fs::write(Path::new(directory).join(name), content))
}

fn test(guard: &Guard, directory: &str, stop: &Stop, tell: &mut dyn Tell) -> Result<Tested, Failure> {
    let config = format!("{directory}/nginx.conf");
    // `-e`: without it nginx opens the log that it was built with, which only root may.
    let argv = ["nginx", "-t", "-e", "stderr", "-p", directory, "-c", &config];
    let spec = ProcessSpec {
        argv: argv.map(str::to_owned).to_vec(),
        directory: directory.into(),
        env: [("PATH", PATH), ("LC_ALL", "C")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        user: None,
        timeout: TIMEOUT,
        limits: Limits::default(),
        guard: guard.clone(),
        redactor: Default::default(),
    };
    let mut said = Said { lines: Vec::new(), tell };
    let finished = process::run(&spec, stop, &mut said).map_err(|error| process::failure(&error))?;
    let lines = said.lines;
    if finished.end != End::Exited(0) && !only_binding_was_refused(&lines.join("\n")) {
        return Err(refused(finished.end, lines));
    }
    lines.iter().filter_map(|line| message(line, "[warn]")).for_each(|warning| {
        tell.warning(&format!("nginx: {warning}"), None);
    });
    Ok(Tested::Accepted)
}

/// nginx says `nginx: [emerg] WHY in FILE:LINE`.
fn refused(end: End, lines: Vec<String>) -> Failure {
    let why = lines.iter().find_map(|line| message(line, "[emerg]"));
    let text = match why.map(|why| (why, why.rsplit_once(" in "))) {
        Some((_, Some((why, place)))) if is_place(place) => format!("nginx does not accept {place}: {why}"),
        Some((why, _)) => format!("nginx does not accept the rendered site: {why}"),
        None => format!("`nginx -t` {end}"),
    };
    Failure::new("nginx::refused", text)
        .help("the file is generated: mend the `site` or the snippet that it comes from")
        .output(lines)
}

fn is_place(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(file, line)| file.starts_with('/') && line.parse::<u32>().is_ok())
}

/// The message of a line of this level, without nginx's time stamp and process ids.
fn message<'a>(line: &'a str, level: &str) -> Option<&'a str> {
    let rest = line.split_once(level)?.1.trim();
    let is_ids = |word: &str| word.contains('#') && word.bytes().all(|b| b.is_ascii_digit() || b == b'#');
    Some(rest.split_once(": ").filter(|(word, _)| is_ids(word)).map_or(rest, |(_, message)| message))
}

/// Keeps what nginx prints from being told as output of a step.
struct Said<'a> {
    lines: Vec<String>,
    tell: &'a mut dyn Tell,
}

impl Tell for Said<'_> {
    fn output(&mut self, _: Stream, line: &str) {
        self.lines.push(line.to_owned());
    }
    fn probe(&mut self, service: &Name, attempt: u32, ok: bool, answer: &str) {
        self.tell.probe(service, attempt, ok, answer);
    }
    fn hook(&mut self, plugin: &Name, level: &str, message: &str) {
        self.tell.hook(plugin, level, message);
    }
    fn warning(&mut self, message: &str, help: Option<&str>) {
        self.tell.warning(message, help);
    }
    fn spawned(&mut self, pid: u32, start_ticks: u64, boot: &str) -> Result<(), Failure> {
        self.tell.spawned(pid, start_ticks, boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn scratch_directories_are_ours_alone_and_go() {
        let (one, other) = (Scratch::new().unwrap(), Scratch::new().unwrap());
        assert_ne!(one.0, other.0);
        assert_eq!(fs::metadata(&one.0).unwrap().permissions().mode() & 0o7777, 0o700);
        let path = one.0.clone();
        drop(one);
        assert!(!Path::new(&path).exists() && Path::new(&other.0).exists());
    }

    #[test]
    fn refusals_name_the_place() {
        let message = |line: &str| refused(End::Exited(1), vec![line.to_owned()]).message;
        assert_eq!(
            message("nginx: [emerg] unknown directive \"x\" in /r/site.conf:3"),
            "nginx does not accept /r/site.conf:3: unknown directive \"x\""
        );
        assert_eq!(
            message("2026/11/21 06:15:06 [emerg] 5367#5367: 7#8 is not a port in /r/a:3"),
            "nginx does not accept /r/a:3: 7#8 is not a port"
        );
        assert_eq!(
            message("nginx: [emerg] host not found in upstream \"a in b\""),
            "nginx does not accept the rendered site: host not found in upstream \"a in b\""
        );
        assert_eq!(message("Segmentation fault"), "`nginx -t` exited with status 1");
    }
}
