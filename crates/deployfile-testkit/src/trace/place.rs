//! What a descriptor or a path of a traced process names.

use super::Inode;
use super::memory;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// A path or an open file of a process.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) inode: Option<Inode>,
    pub(super) fd: Option<i32>,
}

/// The path without symlinks above its last component, whether it is there or not.
pub(super) fn real(path: &Path) -> PathBuf {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return fs::canonicalize(path).unwrap_or_else(|_| plain(path));
    };
    let parent = fs::canonicalize(parent).unwrap_or_else(|_| plain(parent));
    parent.join(name)
}

/// Without `.` and `..`, and nothing looked up.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

fn inode(meta: &fs::Metadata) -> Inode {
    Inode { device: meta.dev(), number: meta.ino() }
}

/// What a name is now; a symlink is itself.
pub(super) fn inode_at(path: &Path) -> Option<Inode> {
    fs::symlink_metadata(path).ok().as_ref().map(inode)
}

/// The file behind a descriptor; `None` for pipes, sockets, terminals and the like.
pub(super) fn open_file(thread: i32, fd: i32) -> Option<Place> {
    let link = PathBuf::from(format!("/proc/{thread}/fd/{fd}"));
    let path = fs::read_link(&link).ok().filter(|path| path.is_absolute())?;
    let meta = fs::metadata(&link).ok()?;
    let kind = meta.file_type();
    if kind.is_fifo() || kind.is_socket() || kind.is_char_device() {
        return None;
    }
    Some(Place { path: without_mark(path), inode: Some(inode(&meta)), fd: Some(fd) })
}

/// The kernel marks the path of a file whose name is gone.
fn without_mark(path: PathBuf) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(text) => PathBuf::from(text),
        None => path,
    }
}

/// A path argument: beneath a descriptor, or beneath the working directory. An empty one is the descriptor itself.
pub(super) fn named(thread: i32, dir: Option<u64>, address: u64, follows: bool) -> Option<Place> {
    let dir = dir.map_or(libc::AT_FDCWD, to_fd);
    let path = memory::path(thread, address);
    let path = match path {
        Some(path) if !path.as_os_str().is_empty() => path,
        _ => return open_file(thread, dir),
    };
    let path = own(thread, &path);
    if let Some(fd) = descriptor(thread, &path).filter(|_| follows) {
        return open_file(thread, fd);
    }
    let base = if path.is_absolute() {
        PathBuf::from("/")
    } else if dir == libc::AT_FDCWD {
        fs::read_link(format!("/proc/{thread}/cwd")).ok()?
    } else {
        fs::read_link(format!("/proc/{thread}/fd/{dir}")).ok()?
    };
    let mut path = real(&base.join(path));
    if follows && let Ok(whole) = fs::canonicalize(&path) {
        path = whole;
    }
    Some(Place { inode: inode_at(&path), path, fd: None })
}

/// A descriptor argument: an `int` in a register of 64 bits.
#[allow(clippy::cast_possible_truncation, reason = "the kernel reads the low half too")]
pub(super) fn to_fd(argument: u64) -> i32 {
    argument as u32 as i32
}

/// `/proc/self` is the process that looks, and that is not the tracer.
fn own(thread: i32, path: &Path) -> PathBuf {
    let mine = |start: &str| path.strip_prefix(start).ok();
    match mine("/proc/self").or_else(|| mine("/proc/thread-self")) {
        Some(rest) => Path::new("/proc").join(thread.to_string()).join(rest),
        None => path.to_owned(),
    }
}

fn descriptor(thread: i32, path: &Path) -> Option<i32> {
    let rest =
        path.strip_prefix(format!("/proc/{thread}/fd")).ok().or_else(|| path.strip_prefix("/dev/fd").ok())?;
    rest.to_str()?.parse().ok()
}

/// Where the next write through a descriptor begins.
pub(super) fn position(thread: i32, fd: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{thread}/fdinfo/{fd}")).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let flags = i32::from_str_radix(field("flags:")?, 8).ok()?;
    if flags & libc::O_APPEND != 0 {
        return Some(fs::metadata(format!("/proc/{thread}/fd/{fd}")).ok()?.len());
    }
    field("pos:")?.parse().ok()
}
