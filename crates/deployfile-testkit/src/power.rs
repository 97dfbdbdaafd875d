//! Power cuts, by a strict model of what a file system may lose.
//!
//! What is here: a tree of inodes ([`Tree`]), the file calls of a recorded run ([`Op`]), what of them is durable and
//! what is still pending ([`Disk`]), and the states that a cut may leave ([`cuts`]). What is deliberately not here: how
//! calls are recorded, and what must hold of a state.
//!
//! The model promises less than any file system does. Content of a file is durable by a sync of that file, names in a
//! directory by a sync of that directory, and by nothing else. Until then each write and each change of a name may be
//! lost or kept by itself: only changes of one name keep their order, a rename within one directory happens as a whole,
//! and a link holds its target from the beginning (it cannot be synced). A rename between directories is two changes.

mod disk;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod record;
mod states;
#[cfg(test)]
mod tests;
mod tree;

pub use disk::{Disk, Tear};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use record::{Recorder, Run};
pub use states::{Cut, Kind, Volume, cuts};
pub use tree::{Node, Tree};

/// An inode of the model. Numbers are never used again, unlike those of a file system.
pub type Inode = u64;

/// The model's inode of each real one, by device and number.
type Real = std::collections::BTreeMap<(u64, u64), Inode>;

/// A name in a directory.
pub type Place = (Inode, String);

/// A mutating file call that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it; `at` is where the inode gets, or loses, a name")]
pub enum Op {
    /// A new, empty file.
    Create { at: Place, inode: Inode, mode: u32 },
    /// A new, empty directory.
    MakeDir { at: Place, inode: Inode, mode: u32 },
    /// A new link.
    Symlink { at: Place, inode: Inode, target: String },
    /// Another name for an inode.
    Link { at: Place, inode: Inode },
    /// A name is gone: of a file, a link or an empty directory.
    Unlink { at: Place },
    /// A name moved over another.
    Rename { from: Place, to: Place },
    /// Two names changed places.
    Exchange { from: Place, to: Place },
    /// Bytes of a file.
    Write { inode: Inode, offset: u64, data: Vec<u8> },
    /// The length of a file.
    Truncate { inode: Inode, len: u64 },
    /// The mode of a file or directory.
    SetMode { inode: Inode, mode: u32 },
    /// `fsync`: content, mode, names.
    Sync { inode: Inode },
    /// `fdatasync`: content, names.
    SyncData { inode: Inode },
    /// `syncfs`, `sync`.
    SyncAll,
}

/// A small generator of numbers (splitmix64): the same seed, the same states.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next_u64() % end.max(1) as u64).unwrap_or_default()
    }
}
