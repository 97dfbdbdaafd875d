//! A directory of its own for each test, and the trace of what was done in it.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "each test binary uses a part"
)]

use deployfile_disk::Dir;
use deployfile_disk::fault::{self, Action};
use deployfile_model::{HostPath, RelPath};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

pub struct Room {
    _keep: tempfile::TempDir,
    path: PathBuf,
}

pub fn rel(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}

impl Room {
    pub fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let path = keep.path().canonicalize().unwrap();
        Self { _keep: keep, path }
    }
    pub fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }
    pub fn host_path(&self, path: &str) -> HostPath {
        HostPath::new(self.at(path).to_str().unwrap()).unwrap()
    }
    /// Makes and opens a directory.
    pub fn subdir(&self, path: &str) -> Dir {
        std::fs::create_dir_all(self.at(path)).unwrap();
        Dir::open_root(&self.host_path(path)).unwrap()
    }
}

/// The mutating calls of `work`: operation and the last component of its path, random names shown as `NEW`.
pub fn trace(work: impl FnOnce()) -> Vec<String> {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = calls.clone();
    let installed = fault::install(move |call| {
        let name = call.path.rsplit('/').next().unwrap_or_default();
        let name = if name.starts_with(".deployfile-") { "NEW" } else { name };
        seen.lock().unwrap().push(format!("{} {name}", call.op.name()));
        Action::Pass
    });
    work();
    drop(installed);
    let calls = calls.lock().unwrap();
    calls.clone()
}

/// A mount that goes away with the test.
pub struct Mounted(PathBuf);

impl Mounted {
    /// A small tmpfs; `None`, loudly, where this user may not mount.
    pub fn tmpfs(at: &std::path::Path) -> Option<Self> {
        Self::mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], at)
    }
    /// A file with a new file system on it.
    pub fn image(make: &[&str], image: &std::path::Path, at: &std::path::Path) -> Option<Self> {
        std::fs::File::create(image).unwrap().set_len(400 << 20).unwrap();
        let made = std::process::Command::new(make[0]).args(&make[1..]).arg(image).output();
        if !made.is_ok_and(|out| out.status.success()) {
            return Self::skipped(make[0]);
        }
        Self::mount(&["-o", "loop", image.to_str().unwrap()], at)
    }
    fn mount(args: &[&str], at: &std::path::Path) -> Option<Self> {
        let mounted = std::process::Command::new("mount").args(args).arg(at).output();
        if mounted.is_ok_and(|out| out.status.success()) {
            return Some(Self(at.to_owned()));
        }
        Self::skipped("mount")
    }
    fn skipped(tool: &str) -> Option<Self> {
        assert!(std::env::var_os("CI").is_none(), "{tool} does not work here, and CI=true needs it");
        eprintln!("SKIPPED: {tool} does not work here");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|s| s.success()), "cannot unmount {}", self.0.display());
    }
}
