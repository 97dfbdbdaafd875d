//! Log files. Services write to them by themselves, in append mode, so that they need nobody to read a pipe.
//!
//! A service holds its log open and is never told to open it again, so a log is rotated by copying it and cutting the
//! original to nothing (append mode writes on at the new end). What is written between the last read of the copy and
//! the cut, some microseconds, is lost; renaming instead would lose nothing but need every service to reopen its log.

use crate::layout::{self, LOGS, log_name, rel};
use deployfile_disk::{Dir, DiskError};
use deployfile_model::{HostPath, Name, RelPath};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;

/// The most that [`log_tail`] reads, in bytes.
const MAX_TAIL: u64 = 1 << 20;
/// The most rotated files that are kept of one log.
const MAX_KEEP: u32 = 1000;

/// Where the log of a service stands.
pub fn log_path(root: &HostPath, service: &Name) -> HostPath {
    let path = RelPath::new(format!("{LOGS}/{service}.log"));
    path.map_or_else(|_| root.clone(), |path| root.join(&path))
}

/// The last `lines` lines of a service's log, of at most 1 MiB; what is not UTF-8 is replaced. Empty when there is no
/// log yet.
pub fn log_tail(root: &HostPath, service: &Name, lines: usize) -> Result<Vec<String>, DiskError> {
    log_tail_since(root, service, 0, lines)
}

/// Bytes of a service's log; `None` when there is none yet.
pub fn log_len(root: &HostPath, service: &Name) -> Option<u64> {
    let path = rel(format!("{LOGS}/{service}.log")).ok()?;
    Dir::open_root(root).and_then(|root| root.stat(&path)).ok().flatten().map(|stat| stat.size)
}

/// As [`log_tail`], only of what was written since the log had `since` bytes. One that is shorter was rotated meanwhile:
/// all of it is newer.
pub fn log_tail_since(
    root: &HostPath,
    service: &Name,
    since: u64,
    lines: usize,
) -> Result<Vec<String>, DiskError> {
    let path = rel(format!("{LOGS}/{service}.log"))?;
    let mut file = match Dir::open_root(root).and_then(|root| root.open_read(&path)) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let (text, is_cut) = read_end(&mut file, since).map_err(|source| DiskError::Call {
        verb: "read",
        path: log_path(root, service).to_string(),
        source,
    })?;
    let mut all: Vec<&str> = text.lines().collect();
    if is_cut && !all.is_empty() {
        all.remove(0);
    }
    Ok(all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect())
}

fn read_end(file: &mut File, since: u64) -> std::io::Result<(String, bool)> {
    let len = file.metadata()?.len();
    let since = if since <= len { since } else { 0 };
    let start = since.max(len.saturating_sub(MAX_TAIL));
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(MAX_TAIL).read_to_end(&mut bytes)?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), start > since))
}

/// Opens the log of a service for a new process, and makes it when it is missing.
pub(crate) fn open(logs: &Dir, service: &Name) -> Result<File, DiskError> {
    open_append(logs, &log_name(service)?)
}

/// Opens a file for appending that other programs write to, and makes it when it is missing.
pub(crate) fn open_append(dir: &Dir, name: &RelPath) -> Result<File, DiskError> {
    if dir.stat(name)?.is_none() {
        match dir.write_new(name, b"", 0o640) {
            Err(error) if !error.is_exists() => return Err(error),
            _ => {}
        }
    }
    let nofollow = rustix::fs::OFlags::NOFOLLOW.bits();
    OpenOptions::new()
        .append(true)
        .custom_flags(i32::try_from(nofollow).unwrap_or_default())
        .open(dir.proc_path().join(name.as_str()))
        .map_err(|source| DiskError::Call {
            verb: "open",
            path: format!("{}/{name}", dir.path_for_display()),
            source,
        })
}

/// Rotates `name` when it is longer than `max_bytes`: `name.1` is the youngest of `keep` older files. A limit of zero
/// means none. Tells whether it was rotated.
pub(crate) fn rotate(dir: &Dir, name: &RelPath, max_bytes: u64, keep: u32) -> Result<bool, DiskError> {
    let size = dir.stat(name)?.map_or(0, |stat| stat.size);
    if max_bytes == 0 || size <= max_bytes {
        return Ok(false);
    }
    let keep = keep.min(MAX_KEEP);
    if keep > 0 {
        shift(dir, name, keep)?;
        copy(dir, name, &numbered(name, 1)?)?;
    }
    dir.truncate(name, 0)?;
    Ok(true)
}

fn numbered(name: &RelPath, number: u32) -> Result<RelPath, DiskError> {
    rel(format!("{name}.{number}"))
}

fn shift(dir: &Dir, name: &RelPath, keep: u32) -> Result<(), DiskError> {
    for number in (1..keep).rev() {
        match dir.rename(&numbered(name, number)?, &numbered(name, number + 1)?) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    dir.remove_file(&numbered(name, 1)?).map(drop)
}

fn copy(dir: &Dir, from: &RelPath, to: &RelPath) -> Result<(), DiskError> {
    let mut source = dir.open_read(from)?;
    let mut copy = dir.create_file(to, 0o640)?;
    let mut chunk = vec![0; 256 * 1024];
    loop {
        let read = source.read(&mut chunk).map_err(|source| DiskError::Call {
            verb: "read",
            path: format!("{}/{from}", dir.path_for_display()),
            source,
        })?;
        if read == 0 {
            return Ok(());
        }
        copy.write_all(&chunk[..read])?;
    }
}

/// Keeps the supervisor's own log, which is its stderr, short.
pub(crate) fn rotate_own(supervisor: &Dir) -> Result<(), DiskError> {
    rotate(supervisor, &rel(layout::OWN_LOG)?, 1 << 20, 1).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn root() -> (tempfile::TempDir, HostPath, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let path = HostPath::new(temp.path().canonicalize().unwrap().to_str().unwrap()).unwrap();
        let logs = layout::make_log_dir(&Dir::open_root(&path).unwrap()).unwrap();
        (temp, path, logs)
    }

    #[test]
    fn a_writer_goes_on_after_a_rotation() {
        let (temp, path, logs) = root();
        let (web, name) = (Name::new("web").unwrap(), rel("web.log").unwrap());
        let mut writer = open(&logs, &web).unwrap();
        for round in 1..=4 {
            writeln!(writer, "round {round} {}", "x".repeat(100)).unwrap();
            assert!(rotate(&logs, &name, 50, 2).unwrap());
        }
        writeln!(writer, "last").unwrap();
        assert!(!rotate(&logs, &name, 50, 2).unwrap());
        assert_eq!(log_tail(&path, &web, 10).unwrap(), ["last"]);
        let read = |name: &str| std::fs::read_to_string(temp.path().join(LOGS).join(name)).unwrap();
        assert!(read("web.log.1").starts_with("round 4"));
        assert!(read("web.log.2").starts_with("round 3"));
        assert_eq!(logs.entries().unwrap().len(), 3);
    }

    #[test]
    fn nothing_is_kept_when_nothing_is_to_be() {
        let (_temp, _, logs) = root();
        let name = rel("web.log").unwrap();
        open_append(&logs, &name).unwrap().write_all(b"0123456789").unwrap();
        assert!(!rotate(&logs, &name, 0, 0).unwrap());
        assert!(rotate(&logs, &name, 5, 0).unwrap());
        assert_eq!(logs.entries().unwrap().len(), 1);
    }

    #[test]
    fn a_tail_is_whole_lines() {
        let (_temp, path, logs) = root();
        let web = Name::new("web").unwrap();
        assert!(log_tail(&path, &web, 3).unwrap().is_empty());
        let mut writer = open(&logs, &web).unwrap();
        for number in 0..200_000 {
            writeln!(writer, "line {number}").unwrap();
        }
        assert_eq!(log_tail(&path, &web, 2).unwrap(), ["line 199998", "line 199999"]);
        assert!(log_tail(&path, &web, usize::MAX).unwrap().iter().all(|line| line.starts_with("line ")));
    }

    #[test]
    fn a_tail_since_leaves_out_what_was_there_before() {
        let (_temp, path, logs) = root();
        let (web, name) = (Name::new("web").unwrap(), rel("web.log").unwrap());
        assert_eq!(log_len(&path, &web), None);
        let mut writer = open(&logs, &web).unwrap();
        writeln!(writer, "old {}", "x".repeat(100)).unwrap();
        let since = log_len(&path, &web).unwrap();
        assert!(log_tail_since(&path, &web, since, 9).unwrap().is_empty());
        writeln!(writer, "new 1\nnew 2").unwrap();
        assert_eq!(log_tail_since(&path, &web, since, 9).unwrap(), ["new 1", "new 2"]);
        assert_eq!(log_tail_since(&path, &web, since, 1).unwrap(), ["new 2"]);
        assert!(rotate(&logs, &name, 50, 1).unwrap());
        writeln!(writer, "newest").unwrap();
        assert_eq!(log_tail_since(&path, &web, since, 9).unwrap(), ["newest"]);
    }
}
