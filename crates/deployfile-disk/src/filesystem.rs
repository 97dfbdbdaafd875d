//! What a directory's file system is and has left.

use crate::dir::Dir;
use crate::error::DiskError;
use rustix::fs;
use std::fmt;
use std::path::Path;

/// The file systems that deployfile tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum FileSystem {
    /// ext4, and ext2 or ext3, which share its number.
    Ext4,
    /// ext2, or ext4 that was made without a journal.
    ExtWithoutJournal,
    Xfs,
    Btrfs,
    Tmpfs,
    Overlay,
    Zfs,
    F2fs,
    Bcachefs,
    Nfs,
    Smb,
    Vfat,
    Exfat,
    Fuse,
    Plan9,
    /// Another, by the number that statfs(2) gives.
    Other(u64),
}

impl FileSystem {
    /// Numbers from the kernel's `include/uapi/linux/magic.h`, and of ZFS, bcachefs and CIFS from statfs(2) or their
    /// sources.
    fn of_magic(magic: u64) -> Self {
        match magic {
            0xEF53 => Self::Ext4,
            0x5846_5342 => Self::Xfs,
            0x9123_683E => Self::Btrfs,
            0x0102_1994 => Self::Tmpfs,
            0x794C_7630 => Self::Overlay,
            0x2FC1_2FC1 => Self::Zfs,
            0xF2F5_2010 => Self::F2fs,
            0xCA45_1A4E => Self::Bcachefs,
            0x6969 => Self::Nfs,
            0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Self::Smb,
            0x4D44 => Self::Vfat,
            0x2011_BAB0 => Self::Exfat,
            0x6573_5546 => Self::Fuse,
            0x0102_1997 => Self::Plan9,
            other => Self::Other(other),
        }
    }

    /// `syncfs` makes every file and directory durable and tells of errors (syncfs(2)). On overlay it does nothing.
    pub fn has_whole_sync(self) -> bool {
        matches!(self, Self::Ext4 | Self::ExtWithoutJournal | Self::Xfs | Self::Btrfs)
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Ext4 => "ext4",
            Self::ExtWithoutJournal => "ext4 without journal",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Tmpfs => "tmpfs",
            Self::Overlay => "overlay",
            Self::Zfs => "zfs",
            Self::F2fs => "f2fs",
            Self::Bcachefs => "bcachefs",
            Self::Nfs => "nfs",
            Self::Smb => "smb",
            Self::Vfat => "vfat",
            Self::Exfat => "exfat",
            Self::Fuse => "fuse",
            Self::Plan9 => "9p",
            Self::Other(magic) => return write!(f, "file system {magic:#x}"),
        };
        f.pad(name)
    }
}

/// What a file system has left for this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Free bytes for those without privileges.
    pub bytes: u64,
    /// Free inodes; `None` where they are made as needed (btrfs and the like).
    pub inodes: Option<u64>,
    /// Mounted read-only.
    pub is_read_only: bool,
}

impl Dir {
    /// The file system that this directory is on.
    pub fn file_system(&self) -> Result<FileSystem, DiskError> {
        let failed = |errno| DiskError::call("look at the file system of", &self.path, errno);
        #[allow(clippy::unnecessary_cast, reason = "the widths differ between architectures")]
        let magic = fs::fstatfs(&self.fd).map_err(failed)?.f_type as u64 & 0xFFFF_FFFF;
        let kind = FileSystem::of_magic(magic);
        if kind == FileSystem::Ext4 && !ext_has_journal(self.stat_self()?.dev) {
            return Ok(FileSystem::ExtWithoutJournal);
        }
        Ok(kind)
    }

    /// What its file system has left.
    pub fn space(&self) -> Result<Space, DiskError> {
        let vfs = fs::fstatvfs(&self.fd)
            .map_err(|errno| DiskError::call("look at the file system of", &self.path, errno))?;
        Ok(Space {
            bytes: vfs.f_bavail.saturating_mul(vfs.f_frsize),
            inodes: (vfs.f_files > 0).then_some(vfs.f_favail),
            is_read_only: vfs.f_flag.contains(fs::StatVfsMountFlags::RDONLY),
        })
    }
}

/// Whether the mounted ext file system of this device has a journal: `/sys/fs/ext4/<disk>/journal_task` says `<none>`
/// when it has not (kernel, `fs/ext4/sysfs.c`). Where that cannot be read, it is taken to have one.
fn ext_has_journal(dev: u64) -> bool {
    let device = format!("/sys/dev/block/{}:{}", fs::major(dev), fs::minor(dev));
    let Ok(target) = std::fs::read_link(device) else { return true };
    let Some(disk) = target.file_name() else { return true };
    let task = std::fs::read_to_string(Path::new("/sys/fs/ext4").join(disk).join("journal_task"));
    task.map_or(true, |text| text.trim() != "<none>")
}
