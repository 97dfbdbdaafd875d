//! Which system calls change something, and what.

use super::call::Kind;
use super::memory;
use super::place::{self, Place, named, open_file, to_fd};
use std::path::PathBuf;

/// What a call is about to do.
pub(super) struct Touch {
    pub(super) kind: Kind,
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) to: Option<PathBuf>,
    pub(super) target: Option<PathBuf>,
    pub(super) len: Option<u64>,
    pub(super) offset: Option<u64>,
    pub(super) buffers: Vec<(u64, u64)>,
}

/// A system call that a thread is about to make.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) thread: i32,
    pub(super) number: i64,
    pub(super) args: [u64; 6],
}

/// `FICLONE` and `FICLONERANGE`.
const CLONES: [u64; 2] = [0x4004_9409, 0x4020_940d];

fn touch(kind: Kind, name: &'static str, place: Place) -> Touch {
    Touch { kind, name, place, to: None, target: None, len: None, offset: None, buffers: Vec::new() }
}

impl Entry {
    /// What it is about to do, if it changes something, wherever that is; opens that change nothing too.
    pub(super) fn touches(&self) -> Option<Touch> {
        use Kind::{Attributes, Create, MakeDir, RemoveDir, Unlink};
        let [a, b, c, d, ..] = self.args;
        let here = |path: u64, follows: bool| named(self.thread, None, path, follows);
        let at = |dir: u64, path: u64, follows: bool| named(self.thread, Some(dir), path, follows);
        let unless = |flags: u64, flag: i32| flags & flag as u64 == 0;
        let simple = |kind: Kind, name: &'static str, place: Option<Place>| Some(touch(kind, name, place?));
        match self.number {
            libc::SYS_open => self.opens("open", None, a, b),
            libc::SYS_creat => {
                self.opens("creat", None, a, (libc::O_CREAT | libc::O_TRUNC | libc::O_WRONLY) as u64)
            }
            libc::SYS_openat => self.opens("openat", Some(a), b, c),
            libc::SYS_openat2 => self.opens("openat2", Some(a), b, memory::number(self.thread, c)?),
            libc::SYS_mkdir => simple(MakeDir, "mkdir", here(a, false)),
            libc::SYS_mkdirat => simple(MakeDir, "mkdirat", at(a, b, false)),
            libc::SYS_rmdir => simple(RemoveDir, "rmdir", here(a, false)),
            libc::SYS_unlink => simple(Unlink, "unlink", here(a, false)),
            libc::SYS_unlinkat => {
                let kind = if unless(c, libc::AT_REMOVEDIR) { Unlink } else { RemoveDir };
                simple(kind, "unlinkat", at(a, b, false))
            }
            libc::SYS_mknod => simple(Create, "mknod", here(a, false)),
            libc::SYS_mknodat => simple(Create, "mknodat", at(a, b, false)),
            libc::SYS_chmod => simple(Attributes, "chmod", here(a, true)),
            libc::SYS_fchmodat => simple(Attributes, "fchmodat", at(a, b, true)),
            libc::SYS_fchmodat2 => {
                simple(Attributes, "fchmodat2", at(a, b, unless(d, libc::AT_SYMLINK_NOFOLLOW)))
            }
            libc::SYS_chown => simple(Attributes, "chown", here(a, true)),
            libc::SYS_lchown => simple(Attributes, "lchown", here(a, false)),
            libc::SYS_fchownat => {
                let follows = unless(self.args[4], libc::AT_SYMLINK_NOFOLLOW);
                simple(Attributes, "fchownat", at(a, b, follows))
            }
            libc::SYS_utime => simple(Attributes, "utime", here(a, true)),
            libc::SYS_utimes => simple(Attributes, "utimes", here(a, true)),
            libc::SYS_futimesat => simple(Attributes, "futimesat", at(a, b, true)),
            libc::SYS_utimensat => {
                simple(Attributes, "utimensat", at(a, b, unless(d, libc::AT_SYMLINK_NOFOLLOW)))
            }
            libc::SYS_setxattr => simple(Attributes, "setxattr", here(a, true)),
            libc::SYS_lsetxattr => simple(Attributes, "lsetxattr", here(a, false)),
            libc::SYS_removexattr => simple(Attributes, "removexattr", here(a, true)),
            libc::SYS_lremovexattr => simple(Attributes, "lremovexattr", here(a, false)),
            libc::SYS_truncate => {
                Some(Touch { len: Some(b), ..touch(Kind::Truncate, "truncate", here(a, true)?) })
            }
            libc::SYS_rename => self.moves(Kind::Rename, "rename", here(a, false), here(b, false)),
            libc::SYS_renameat => self.moves(Kind::Rename, "renameat", at(a, b, false), at(c, d, false)),
            libc::SYS_renameat2 => self.moves(Kind::Rename, "renameat2", at(a, b, false), at(c, d, false)),
            libc::SYS_link => self.moves(Kind::Link, "link", here(a, false), here(b, false)),
            libc::SYS_linkat => {
                let follows = !unless(self.args[4], libc::AT_SYMLINK_FOLLOW);
                self.moves(Kind::Link, "linkat", at(a, b, follows), at(c, d, false))
            }
            libc::SYS_symlink => self.points("symlink", a, here(b, false)),
            libc::SYS_symlinkat => self.points("symlinkat", a, at(b, c, false)),
            _ => self.through_a_descriptor(),
        }
    }

    fn opens(&self, name: &'static str, dir: Option<u64>, path: u64, flags: u64) -> Option<Touch> {
        let has = |flag: i32| flags & flag as u64 == flag as u64;
        let place = named(self.thread, dir, path, !has(libc::O_NOFOLLOW))?;
        let is_there = place.inode.is_some();
        let kind = if has(libc::O_TMPFILE) || (has(libc::O_CREAT) && !is_there) {
            Kind::Create
        } else if has(libc::O_TRUNC) && is_there && !has(libc::O_EXCL) {
            Kind::Truncate
        } else {
            Kind::Open
        };
        let len = (kind == Kind::Truncate).then_some(0);
        Some(Touch { len, ..touch(kind, name, place) })
    }

    #[allow(clippy::unused_self, reason = "it reads like its neighbours")]
    fn moves(&self, kind: Kind, name: &'static str, from: Option<Place>, to: Option<Place>) -> Option<Touch> {
        Some(Touch { to: Some(to?.path), ..touch(kind, name, from?) })
    }

    fn points(&self, name: &'static str, target: u64, place: Option<Place>) -> Option<Touch> {
        Some(Touch { target: memory::path(self.thread, target), ..touch(Kind::Symlink, name, place?) })
    }

    fn through_a_descriptor(&self) -> Option<Touch> {
        let [a, b, c, d, ..] = self.args;
        let simple = |kind: Kind, name: &'static str| Some(touch(kind, name, self.file(a)?));
        let with_len = |kind: Kind, name: &'static str, fd: u64, len: u64| {
            Some(Touch { len: Some(len), ..touch(kind, name, self.file(fd)?) })
        };
        match self.number {
            libc::SYS_write => self.writes("write", vec![(b, c)], None),
            libc::SYS_pwrite64 => self.writes("pwrite64", vec![(b, c)], Some(d)),
            libc::SYS_writev => self.writes("writev", self.vectors(b, c), None),
            libc::SYS_pwritev => self.writes("pwritev", self.vectors(b, c), Some(d)),
            // An offset of -1 is the file's position.
            libc::SYS_pwritev2 => self.writes("pwritev2", self.vectors(b, c), (d != u64::MAX).then_some(d)),
            libc::SYS_ftruncate => with_len(Kind::Truncate, "ftruncate", a, b),
            libc::SYS_fallocate => with_len(Kind::Allocate, "fallocate", a, d),
            libc::SYS_copy_file_range => with_len(Kind::Copy, "copy_file_range", c, self.args[4]),
            libc::SYS_sendfile => with_len(Kind::Copy, "sendfile", a, d),
            libc::SYS_splice => with_len(Kind::Copy, "splice", c, self.args[4]),
            libc::SYS_ioctl if CLONES.contains(&(b & 0xffff_ffff)) => simple(Kind::Clone, "ioctl(FICLONE)"),
            libc::SYS_fsync => simple(Kind::Sync, "fsync"),
            libc::SYS_fdatasync => simple(Kind::SyncData, "fdatasync"),
            libc::SYS_sync_file_range => simple(Kind::SyncData, "sync_file_range"),
            libc::SYS_syncfs => simple(Kind::SyncFileSystem, "syncfs"),
            libc::SYS_fchmod => simple(Kind::Attributes, "fchmod"),
            libc::SYS_fchown => simple(Kind::Attributes, "fchown"),
            libc::SYS_fsetxattr => simple(Kind::Attributes, "fsetxattr"),
            libc::SYS_fremovexattr => simple(Kind::Attributes, "fremovexattr"),
            _ => None,
        }
    }

    fn file(&self, fd: u64) -> Option<Place> {
        open_file(self.thread, to_fd(fd))
    }

    fn writes(&self, name: &'static str, buffers: Vec<(u64, u64)>, offset: Option<u64>) -> Option<Touch> {
        let place = self.file(self.args[0])?;
        let offset = offset.or_else(|| place::position(self.thread, to_fd(self.args[0])));
        let len = Some(buffers.iter().map(|(_, len)| len).sum());
        Some(Touch { len, offset, buffers, ..touch(Kind::Write, name, place) })
    }

    /// The buffers of a `writev`.
    fn vectors(&self, address: u64, count: u64) -> Vec<(u64, u64)> {
        let number = |n: u64| memory::number(self.thread, address + 8 * n).unwrap_or(0);
        (0..count.min(1024)).map(|n| (number(2 * n), number(2 * n + 1))).collect()
    }
}
