//! Puts the new text in the place of the old one: a new name, write, fsync, rename, fsync of the folder. Whoever reads
//! the file meanwhile, or after a power cut, finds the one or the other. Mode and owner stay.

use super::folder;
use deployfile_config::Formatted;
use rustix::fs::{Gid, Uid};
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Writes the new text to `path`; where that is a link, to the file that it leads to.
///
/// # Errors
/// Any that the disk gives; and when the file was changed by somebody else since it was read.
pub(super) fn file(path: &Path, formatted: &Formatted) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    // A rename asks only the folder. A file that may not be written is not to be replaced either.
    let old = OpenOptions::new().write(true).open(&path)?.metadata()?;
    let incoming = incoming(&path)?;
    let written = write(&incoming, formatted.after.as_bytes(), &old)
        .and_then(|()| unchanged(&path, formatted.before.as_bytes()))
        .and_then(|()| fs::rename(&incoming, &path));
    if let Err(error) = written {
        // Nobody reads it, so the first error is the one to tell.
        let _ = fs::remove_file(&incoming);
        return Err(error);
    }
    File::open(folder(&path))?.sync_all()
}

/// A name beside `path` that nobody has: 64 random bits.
fn incoming(path: &Path) -> io::Result<PathBuf> {
    let mut bytes = [0_u8; 8];
    // getrandom(2): up to 256 bytes are never cut short once the pool is ready.
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(folder(path).join(format!(".deployfile-new-{:016x}", u64::from_ne_bytes(bytes))))
}

fn write(incoming: &Path, bytes: &[u8], old: &Metadata) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(incoming)?;
    file.write_all(bytes)?;
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        let owner = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
        rustix::fs::fchown(&file, Some(owner.0), Some(owner.1))?;
    }
    // After the owner: a change of owner takes bits away.
    file.set_permissions(old.permissions())?;
    file.sync_all()
}

/// An editor may have saved the file meanwhile; its text must not be lost.
fn unchanged(path: &Path, before: &[u8]) -> io::Result<()> {
    if fs::read(path)? == before {
        return Ok(());
    }
    Err(io::Error::other("it was changed meanwhile"))
}
