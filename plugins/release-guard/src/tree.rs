//! The release's tree, counted, and what there is to say against it.

use crate::name::matches;
use crate::settings::{Limits, Settings};
use deployfile_hook::files::{self, EntryKind};
use deployfile_hook::{Result, log};
use std::collections::BTreeSet;

/// deployfile's own folder in a release.
const OWN: &str = ".release";
/// Objections of one kind that are told one by one; the rest is counted.
const TOLD: usize = 5;

/// What the release holds.
#[derive(Debug, Default)]
pub struct Tree {
    /// Sum of all files.
    pub bytes: u64,
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symlinks.
    pub symlinks: u64,
    /// The largest file.
    pub largest: Option<(String, u64)>,
    forbidden: Vec<String>,
    missing: BTreeSet<String>,
}

impl Tree {
    /// Walks the whole release.
    pub fn read(settings: &Settings) -> Result<Tree> {
        let mut tree =
            Tree { missing: settings.require.iter().map(str::to_owned).collect(), ..Tree::default() };
        let forbidden = settings.forbidden();
        let mut left = vec![String::new()];
        while let Some(directory) = left.pop() {
            for entry in files::entries(&format!("release:{directory}"))? {
                let path =
                    if directory.is_empty() { entry.name } else { format!("{directory}/{}", entry.name) };
                if path == OWN {
                    continue;
                }
                tree.missing.remove(&path);
                match entry.kind {
                    EntryKind::Directory => {
                        tree.directories += 1;
                        left.push(path);
                        continue;
                    }
                    EntryKind::Symlink => {
                        tree.symlinks += 1;
                        continue;
                    }
                    EntryKind::File | EntryKind::Other => tree.count(&path, entry.size),
                }
                let excepted = settings.except.iter().any(|pattern| matches(pattern, &path));
                if !excepted && forbidden.iter().any(|pattern| matches(pattern, &path)) {
                    tree.forbidden.push(path);
                }
            }
            log::progress("files", tree.files, None);
        }
        tree.forbidden.sort();
        Ok(tree)
    }

    fn count(&mut self, path: &str, size: u64) {
        self.files += 1;
        self.bytes += size;
        if self.largest.as_ref().is_none_or(|(_, largest)| size > *largest) {
            self.largest = Some((path.to_owned(), size));
        }
    }

    /// What there is to say against it, each with what to do.
    pub fn objections(&self, settings: &Settings, limits: &Limits) -> Vec<String> {
        let mut said = Vec::new();
        if let Some(max) = limits.size.filter(|max| self.bytes > *max) {
            said.push(format!("the release holds {} bytes, max-size is {max}", self.bytes));
        }
        if let Some(max) = settings.max_files.filter(|max| self.files > *max) {
            said.push(format!("the release holds {} files, max-files is {max}", self.files));
        }
        if let (Some(max), Some((path, size))) = (limits.file_size, &self.largest)
            && *size > max
        {
            said.push(format!("`{path}` has {size} bytes, max-file-size is {max}"));
        }
        if !self.forbidden.is_empty() {
            let which = listed(self.forbidden.iter());
            said.push(format!(
                "the release must not hold {which} (link it from shared/, or name it in `except`)"
            ));
        }
        if !self.missing.is_empty() {
            said.push(format!("the release lacks {}", listed(self.missing.iter())));
        }
        said
    }
}

fn listed<'a>(paths: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = paths.len().saturating_sub(TOLD);
    let told: Vec<String> = paths.take(TOLD).map(|path| format!("`{path}`")).collect();
    match more {
        0 => told.join(", "),
        n => format!("{} and {n} more", told.join(", ")),
    }
}
