//! Files that a unit names and that need not be beneath the root: drain files and unix sockets.

use crate::layout::rel;
use deployfile_disk::{Dir, DiskError};
use deployfile_model::{HostPath, RelPath};
use std::path::Path;

/// A name in a directory that is open.
pub(crate) struct Place {
    /// The directory. Links on the way to it were followed: `/var/run` is one.
    pub(crate) dir: Dir,
    /// The last component.
    pub(crate) name: RelPath,
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
