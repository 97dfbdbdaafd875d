//! Files that a unit names and that need not be beneath the root: drain files and unix sockets.

use crate::layout::rel;
use deployfile_disk::{Dir, DiskError};
use deployfile_model::{HostPath, RelPath};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A name in a directory that is open.
pub(crate) struct Place {
    /// The directory. Links on the way to it were followed: `/var/run` is one.
    pub(crate) dir: Dir,
    /// The last component.
    pub(crate) name: RelPath,
}

impl Place {
    /// The name of something that stands beside it and belongs to it.
    pub(crate) fn beside(&self, ending: &str) -> Result<RelPath, DiskError> {
        rel(format!("{}{ending}", self.name))
    }

    /// A path to `name` by way of the directory's handle: the address of a unix socket takes only 108 bytes (unix(7)).
    pub(crate) fn address(&self, name: &RelPath) -> PathBuf {
        self.dir.proc_path().join(name.as_str())
    }

    /// Makes `to` a hard link to `from`, in one step where it is another one.
    pub(crate) fn link(&self, from: &RelPath, to: &RelPath) -> io::Result<()> {
        let (from, to) = (self.address(from), self.address(to));
        let inode = |path: &Path| Some(std::fs::symlink_metadata(path).ok()?.ino());
        if inode(&from).is_some() && inode(&from) == inode(&to) {
            return Ok(());
        }
        let beside = self.address(&self.beside(".tmp").map_err(io::Error::other)?);
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::hard_link(&from, &beside)?;
        std::fs::rename(&beside, &to)
    }
}

/// Opens the directory that holds the last component of `path`.
pub(crate) fn open(path: &str) -> Result<Place, DiskError> {
    let shown = |source| DiskError::Call { verb: "open the directory of", path: path.to_owned(), source };
    let invalid = |why: String| shown(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
    let path = Path::new(path);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(invalid("it has no directory".to_owned()));
    };
    let parent = std::fs::canonicalize(parent).map_err(shown)?;
    let parent = HostPath::new(parent.to_string_lossy()).map_err(|why| invalid(why.to_string()))?;
    Ok(Place { dir: Dir::open_root(&parent)?, name: rel(name)? })
}
