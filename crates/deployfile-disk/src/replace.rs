//! Putting new content in the place of old, so that a reader, or a power cut, finds the one or the other and nothing
//! between. Durable when it returns.

use crate::call::{self, At};
use crate::dir::Dir;
use crate::error::DiskError;
use crate::{temp, write};
use deployfile_model::RelPath;
use rustix::fs::OFlags;

impl Dir {
    /// Writes a file and puts it in the place of whatever `rel` names: a new name, write, fsync, rename, fsync of the
    /// directory.
    pub fn replace(&self, rel: &RelPath, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
        let parent = self.parent(rel, "replace")?;
        let at = parent.at();
        let temporary = temp::incoming().map_err(|errno| DiskError::call("replace", &at, errno))?;
        let incoming = at.sibling(&temporary);
        let written = write_durably(&incoming, bytes, mode).and_then(|()| call::rename(&incoming, &at));
        if let Err(error) = written {
            return Err(withdraw(&incoming, error));
        }
        call::sync(at.dir, &at)
    }

    /// Lets the symlink `rel` lead to `target`, atomically: a new name, rename over, fsync of the directory, read back.
    /// A file or an empty directory that stands at `rel` instead of a link is refused.
    pub fn replace_symlink(&self, rel: &RelPath, target: &str) -> Result<(), DiskError> {
        let parent = self.parent(rel, "replace link")?;
        let at = parent.at();
        // Refuses anything but a link; renameat itself would go over a file.
        self.read_link(rel)?;
        let temporary = temp::incoming().map_err(|errno| DiskError::call("replace link", &at, errno))?;
        let incoming = at.sibling(&temporary);
        call::symlink(&incoming, target)?;
        if let Err(error) = call::rename(&incoming, &at) {
            return Err(withdraw(&incoming, error));
        }
        call::sync(at.dir, &at)?;
        let found = self.read_link(rel)?.unwrap_or_default();
        if found == target {
            return Ok(());
        }
        Err(DiskError::ReadBack {
            path: self.shown(rel),
            wanted: target.to_owned(),
            found: found.to_string_lossy().into_owned(),
        })
    }

    /// Removes what `replace` calls left in this directory when a crash cut them short; tells how many. Only for
    /// whoever is its one writer (holds the lock).
    pub fn sweep_incoming(&self) -> Result<usize, DiskError> {
        self.sweep(temp::is_incoming)
    }

    /// Removes what [`Dir::rename_to_trash`] left in this directory; tells how many.
    pub fn sweep_trash(&self) -> Result<usize, DiskError> {
        self.sweep(temp::is_trash)
    }

    fn sweep(&self, is_ours: fn(&str) -> bool) -> Result<usize, DiskError> {
        let mut swept = 0;
        for entry in self.entries()? {
            let Some(name) = entry.text().filter(|name| is_ours(name)) else { continue };
            let Ok(rel) = RelPath::new(name) else { continue };
            swept += usize::from(self.remove_tree(&rel)?);
        }
        Ok(swept)
    }
}

fn write_durably(at: &At<'_>, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
    let fd = write::create_with_mode(at, OFlags::WRONLY, mode)?;
    call::write_all(&fd, at, bytes)?;
    call::sync(&fd, at)
}

/// Takes a temporary file away again. It is nothing that anybody reads, so the first error is the one to tell.
fn withdraw(incoming: &At<'_>, error: DiskError) -> DiskError {
    match call::unlink(incoming) {
        Ok(()) | Err(_) => error,
    }
}
