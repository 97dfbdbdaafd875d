//! `files`: files beneath what was granted.

use crate::bindings::deployfile::hook::files::{Entry, EntryKind, Host};
use crate::bindings::deployfile::hook::types::{Error, ErrorKind};
use crate::broker::Use;
use crate::broker::path::FilePath;
use crate::guest::{Guest, error};
use deployfile_disk::Kind;

impl Host for Guest {
    fn read(&mut self, path: String, offset: u64, max: u64) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(self.allowed(Use::Read, &path).and_then(|path| Ok(self.areas.read(&path, offset, max)?)))
    }
    fn write(&mut self, path: String, bytes: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.allowed(Use::Write, &path).and_then(|path| Ok(self.areas.write(&path, &bytes)?)))
    }
    fn entries(&mut self, path: String) -> wasmtime::Result<Result<Vec<Entry>, Error>> {
        Ok(self.allowed(Use::Read, &path).and_then(|path| {
            let listed = self.areas.entries(&path)?;
            Ok(listed.into_iter().map(|e| Entry { name: e.name, kind: kind(e.kind), size: e.size }).collect())
        }))
    }
    fn remove(&mut self, path: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.allowed(Use::Write, &path).and_then(|path| Ok(self.areas.remove(&path)?)))
    }
}

impl Guest {
    fn allowed(&self, how: Use, path: &str) -> Result<FilePath, Error> {
        let path = FilePath::parse(path).map_err(|message| error(ErrorKind::Denied, message))?;
        self.broker.file(how, &path).map_err(|denied| self.denied(denied))?;
        Ok(path)
    }
}

fn kind(kind: Kind) -> EntryKind {
    match kind {
        Kind::File => EntryKind::File,
        Kind::Dir => EntryKind::Directory,
        Kind::Symlink => EntryKind::Symlink,
        Kind::Other => EntryKind::Other,
    }
}
