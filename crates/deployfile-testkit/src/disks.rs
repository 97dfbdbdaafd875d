//! File systems in files, whose power a test can cut. They need root and loop devices.

use crate::needs::{needs, skip};
use nix::sched::{CloneFlags, unshare};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is made in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Format {
    Ext4,
    Xfs,
    Btrfs,
}

impl Format {
    fn mkfs(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F"]),
            Self::Xfs => ("mkfs.xfs", &["-q", "-f"]),
            Self::Btrfs => ("mkfs.btrfs", &["-q", "-f"]),
        }
    }

    /// About the least that each takes.
    fn bytes(self) -> u64 {
        match self {
            Self::Ext4 => 48 << 20,
            Self::Xfs => 300 << 20,
            Self::Btrfs => 160 << 20,
        }
    }

    /// Whether it can be shut down at once (FS_IOC_SHUTDOWN); btrfs cannot before linux 6.19.
    pub fn can_stop(self) -> bool {
        self != Self::Btrfs
    }
}

/// A file system in a file, mounted in the mounts of the running thread.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    at: PathBuf,
    is_mounted: bool,
}

impl Disk {
    /// Makes one and mounts it. The running thread and what it starts get mounts of their own, which go with them.
    /// `None` where that cannot be: then the test is skipped, loudly, and fails in CI.
    pub fn new(format: Format, image: &Path, at: &Path, test: &str) -> Option<Self> {
        let (mkfs, args) = format.mkfs();
        if ![mkfs, "mount", "xfs_io"].iter().all(|program| needs(program, test)) {
            return None;
        }
        if let Err(errno) = unshare(CloneFlags::CLONE_NEWNS) {
            skip(test, &format!("no mounts of its own: {errno}"));
            return None;
        }
        run("mount", &["--make-rprivate".as_ref(), "/".as_ref()]).unwrap();
        File::create(image).unwrap().set_len(format.bytes()).unwrap();
        let args: Vec<&Path> = args.iter().map(Path::new).chain([image]).collect();
        run(mkfs, &args).unwrap();
        let mut disk = Self { image: image.to_owned(), at: at.to_owned(), is_mounted: false };
        match disk.try_mount() {
            Ok(()) => Some(disk),
            Err(why) => {
                skip(test, &format!("no loop devices: {why}"));
                None
            }
        }
    }

    fn try_mount(&mut self) -> Result<(), String> {
        run("mount", &["-o".as_ref(), "loop".as_ref(), &self.image, &self.at])?;
        self.is_mounted = true;
        Ok(())
    }

    /// Mounts it, which repairs what a cut left.
    pub fn mount(&mut self) {
        self.try_mount().unwrap();
    }

    /// Takes it off.
    pub fn unmount(&mut self) {
        run("umount", &[&self.at]).unwrap();
        self.is_mounted = false;
    }

    /// Cuts its power: nothing reaches the disk from here on, and every call fails.
    pub fn stop(&self) {
        run("xfs_io", &["-x".as_ref(), "-c".as_ref(), "shutdown".as_ref(), &self.at]).unwrap();
    }

    /// What is on the disk now, mounted or not, in another file.
    pub fn copy(&self, to: &Path) {
        run("cp", &["--sparse=always".as_ref(), &self.image, to]).unwrap();
    }

    /// From the next mount on, the disk is what that file holds.
    pub fn replace(&self, from: &Path) {
        assert!(!self.is_mounted);
        run("cp", &["--sparse=always".as_ref(), from, &self.image]).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = run("umount", &["-l".as_ref(), &self.at]);
        }
        let _ = fs::remove_file(&self.image);
    }
}

fn run(program: &str, args: &[&Path]) -> Result<(), String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(args).env("PATH", path).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program} {args:?}: {text}")) }
}
