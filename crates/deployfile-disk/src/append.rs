//! A file that only grows, one write at a time: what the journal's segments are.

use crate::call;
use crate::dir::Dir;
use crate::error::DiskError;
use crate::stat::Kind;
use crate::write::create_with_mode;
use deployfile_model::RelPath;
use rustix::fs::OFlags;
use std::os::fd::OwnedFd;

/// A file that is open for appending. After an error it takes nothing more: what it then holds is unknown until it is
/// read again.
#[derive(Debug)]
pub struct AppendFile {
    fd: OwnedFd,
    path: String,
    len: u64,
    is_poisoned: bool,
}

const APPEND: OFlags = OFlags::WRONLY.union(OFlags::APPEND);

impl Dir {
    /// Opens a file that exists for appending.
    pub fn open_append(&self, rel: &RelPath) -> Result<AppendFile, DiskError> {
        let fd = self.open(rel, APPEND | OFlags::NONBLOCK, "open")?;
        let len = self.expect_kind(&fd, rel, Kind::File)?.size;
        Ok(AppendFile { fd, path: self.shown(rel), len, is_poisoned: false })
    }

    /// Makes a file that must not exist, for appending.
    pub fn create_append(&self, rel: &RelPath, mode: u32) -> Result<AppendFile, DiskError> {
        let parent = self.parent(rel, "create")?;
        let at = parent.at();
        let fd = create_with_mode(&at, APPEND, mode)?;
        Ok(AppendFile { fd, path: at.to_string(), len: 0, is_poisoned: false })
    }
}

impl AppendFile {
    /// Appends `bytes` with exactly one `write`. Less than all of them is an error. Durable after
    /// [`AppendFile::sync_data`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.guarded(|file| {
            let written = call::write(&file.fd, &file.path, bytes)?;
            file.len += written as u64;
            if written == bytes.len() {
                return Ok(());
            }
            Err(DiskError::ShortWrite { path: file.path.clone(), wanted: bytes.len(), written })
        })
    }

    /// Makes everything that was appended durable.
    pub fn sync_data(&mut self) -> Result<(), DiskError> {
        self.guarded(|file| call::sync_data(&file.fd, &file.path))
    }

    /// Makes the file and its metadata durable.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        self.guarded(|file| call::sync(&file.fd, &file.path))
    }

    /// Cuts the file to `len` bytes. Durable after [`AppendFile::sync_data`].
    pub fn truncate(&mut self, len: u64) -> Result<(), DiskError> {
        self.guarded(|file| {
            call::truncate(&file.fd, &file.path, len)?;
            file.len = len;
            Ok(())
        })
    }

    /// Length in bytes, as far as this handle knows.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<(), DiskError>) -> Result<(), DiskError> {
        if self.is_poisoned {
            return Err(DiskError::Poisoned { path: self.path.clone() });
        }
        // Also true while a simulated crash unwinds through `work`.
        self.is_poisoned = true;
        work(self)?;
        self.is_poisoned = false;
        Ok(())
    }
}
