//! Whether the machine was started again since a release was filled.
//!
//! Before it is sealed, nothing of a release is durable: after a power cut files may be empty that a finished step wrote,
//! and nothing in them tells. So the start of the machine that a release is filled in is noted, durably, before its first
//! file is written, and a release of another start is not sealed.

use deployfile_disk::{Dir, DiskError};
use deployfile_model::{RelPath, ReleaseId};

const MAX_BYTES: u64 = 256;

fn name(release: &ReleaseId) -> RelPath {
    // An id is at most 128 bytes of plain characters, so this is always a name.
    RelPath::new(format!("boot-{release}")).unwrap_or_else(|_| deployfile_record::release::rel("boot"))
}

/// The running start (random(4)).
fn running() -> Result<Vec<u8>, DiskError> {
    let path = "/proc/sys/kernel/random/boot_id";
    std::fs::read(path).map_err(|source| DiskError::Call { verb: "read", path: path.to_owned(), source })
}

/// Notes that a release is filled in the running start.
pub(crate) fn note(cache: &Dir, release: &ReleaseId) -> Result<(), DiskError> {
    cache.replace(&name(release), &running()?, 0o600)
}

/// Whether a release was filled, and that in another start than the running one.
pub(crate) fn is_over(cache: &Dir, release: &ReleaseId) -> Result<bool, DiskError> {
    match cache.read(&name(release), MAX_BYTES) {
        Ok(noted) => Ok(noted != running()?),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Forgets a release that is sealed or gone.
pub(crate) fn forget(cache: &Dir, release: &ReleaseId) -> Result<(), DiskError> {
    cache.remove_file(&name(release)).map(drop)
}
