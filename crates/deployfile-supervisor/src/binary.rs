//! The root's own copy of the program, so that replacing the user's changes nothing for what runs.

use crate::layout::{BINARIES, rel};
use deployfile_disk::{Dir, DiskError};
use deployfile_model::{Digest, HostPath, RelPath};
use std::path::{Path, PathBuf};

/// The largest program that is copied, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// Copies `program` to `.deployfile/bin/<version>-<digest>/deployfile`, unless it is there already, and tells where that
/// is. Durable when it returns.
pub(crate) fn keep(root: &HostPath, program: &Path) -> Result<PathBuf, DiskError> {
    let dir = Dir::open_root(root)?;
    let bytes = read(program)?;
    let place = rel(format!("{BINARIES}/{}-{}", env!("CARGO_PKG_VERSION"), Digest::of(&bytes).short()))?;
    let copy = place.join(&rel("deployfile")?);
    let is_there = dir.stat(&copy)?.is_some_and(|stat| stat.size == bytes.len() as u64 && stat.mode == 0o755);
    if !is_there {
        dir.create_dir_all(&place, 0o755)?;
        dir.replace(&copy, &bytes, 0o755)?;
        sync_ancestors(&dir, &place)?;
    }
    Ok(PathBuf::from(root.join(&copy).as_str()))
}

fn read(program: &Path) -> Result<Vec<u8>, DiskError> {
    let path = || program.display().to_string();
    let failed = |source| DiskError::Call { verb: "read", path: path(), source };
    if std::fs::metadata(program).map_err(failed)?.len() > MAX_BYTES {
        return Err(DiskError::TooLarge { path: path(), limit: MAX_BYTES });
    }
    std::fs::read(program).map_err(failed)
}

/// Makes the names of the directories durable that may have been made.
fn sync_ancestors(dir: &Dir, place: &RelPath) -> Result<(), DiskError> {
    let mut above = place.parent();
    while let Some(path) = above {
        dir.sync_at(&path)?;
        above = path.parent();
    }
    dir.sync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_made_once_and_again_when_it_is_broken() {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path().canonicalize().unwrap();
        let root = HostPath::new(base.to_str().unwrap()).unwrap();
        let program = base.join("program");
        std::fs::write(&program, "one").unwrap();
        let copy = keep(&root, &program).unwrap();
        let made = std::fs::metadata(&copy).unwrap().modified().unwrap();
        assert_eq!(keep(&root, &program).unwrap(), copy);
        assert_eq!(std::fs::metadata(&copy).unwrap().modified().unwrap(), made);
        std::fs::write(&copy, "o").unwrap();
        keep(&root, &program).unwrap();
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), "one");
        std::fs::write(&program, "two").unwrap();
        assert_ne!(keep(&root, &program).unwrap(), copy);
    }
}
