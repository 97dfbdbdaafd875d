//! A call that changes something, as the one who decides sees it.

use super::memory;
use std::path::PathBuf;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An open that changes nothing; asked about only with `with_reads`.
    Open,
    /// An open that makes a file, or a `mknod`.
    Create,
    /// A write of data from memory.
    Write,
    /// A change of length; an open with `O_TRUNC` of a file that is there (its new length is 0).
    Truncate,
    /// `fallocate`.
    Allocate,
    /// Data from another descriptor: `copy_file_range`, `sendfile`, `splice`.
    Copy,
    /// FICLONE and FICLONERANGE.
    Clone,
    /// `fsync`, of a file or a directory.
    Sync,
    /// `fdatasync` and `sync_file_range`.
    SyncData,
    /// `syncfs` and `sync`.
    SyncFileSystem,
    /// `path` becomes `to`.
    Rename,
    /// `to` becomes another name of `path`.
    Link,
    /// `path` becomes a link with [`Mutation::target`].
    Symlink,
    /// A name goes that is not a directory's.
    Unlink,
    /// An empty directory goes.
    RemoveDir,
    /// A directory is made.
    MakeDir,
    /// Mode, owner, times or attributes.
    Attributes,
}

/// Which file something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inode {
    /// The file system.
    pub device: u64,
    /// The number in it.
    pub number: u64,
}

/// One call that is about to be made, or was.
#[derive(Debug, Clone)]
pub struct Mutation {
    /// Its number, from 1.
    pub number: usize,
    /// The thread that makes it.
    pub thread: i32,
    /// The process that it belongs to.
    pub process: i32,
    /// The process that was started.
    pub first: i32,
    /// What it does.
    pub kind: Kind,
    /// The name of the system call.
    pub name: &'static str,
    /// What it touches: no symlink is left in it but, for calls that do not follow one, the last component.
    pub path: PathBuf,
    /// The new name, of a rename or link.
    pub to: Option<PathBuf>,
    /// What a symlink is made to say.
    pub target: Option<PathBuf>,
    /// The descriptor that it goes through, of calls that take one for the file itself.
    pub fd: Option<i32>,
    /// What `path` (with `fd`: the open file) is before the call; `None` when it is not there.
    pub inode: Option<Inode>,
    /// Bytes of a write, the length of `ftruncate`, the length of `fallocate` and copies.
    pub len: Option<u64>,
    /// Where a write begins; of one with `O_APPEND`, the length of the file.
    pub offset: Option<u64>,
    /// The arguments as they stand in registers: flags and modes are read from here.
    pub args: [u64; 6],
    /// Where the data of a write stands in the memory of the process.
    pub(super) buffers: Vec<(u64, u64)>,
}

impl Mutation {
    /// The data of a write. Only before the call, in [`super::Watch::enter`]; later the memory may hold something else.
    pub fn data(&self) -> Vec<u8> {
        let mut data = Vec::new();
        for (address, len) in &self.buffers {
            data.extend(memory::bytes(self.thread, *address, usize::try_from(*len).unwrap()).unwrap());
        }
        data
    }

    /// One line: number, name, paths.
    pub fn line(&self) -> String {
        let to = self.to.as_ref().or(self.target.as_ref()).map(|to| format!(" -> {}", to.display()));
        let len = self.len.map(|len| format!(" [{len}]"));
        let (to, len) = (to.unwrap_or_default(), len.unwrap_or_default());
        format!("{} {} {}{to}{len}", self.number, self.name, self.path.display())
    }
}
