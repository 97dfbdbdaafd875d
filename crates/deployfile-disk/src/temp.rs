//! Names that deployfile makes for a moment: files on their way in, and things on their way out.
//!
//! A crash can leave one behind. Both kinds are told by their prefix, so that whoever holds the lock can sweep them.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

const INCOMING: &str = ".deployfile-new-";
const TRASH: &str = ".deployfile-trash-";

/// Whether `name` was made by a `replace` that a crash cut short. Nothing refers to it.
pub(crate) fn is_incoming(name: &str) -> bool {
    name.starts_with(INCOMING)
}

/// Whether `name` was made by `rename_to_trash`. Nothing refers to it.
pub(crate) fn is_trash(name: &str) -> bool {
    name.starts_with(TRASH)
}

/// A name that nobody has: 64 random bits. The name it is for is not part of it, as that may be 255 bytes long.
pub(crate) fn incoming() -> Result<String, Errno> {
    Ok(format!("{INCOMING}{:016x}", random()?))
}

/// See [`incoming`].
pub(crate) fn trash() -> Result<String, Errno> {
    Ok(format!("{TRASH}{:016x}", random()?))
}

fn random() -> Result<u64, Errno> {
    let mut bytes = [0_u8; 8];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty())?;
    // getrandom(2): up to 256 bytes are never cut short once the pool is ready.
    if filled == bytes.len() { Ok(u64::from_ne_bytes(bytes)) } else { Err(Errno::IO) }
}
