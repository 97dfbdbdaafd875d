//! One document with the project around it, as a request sees them: texts as they are now, whatever state they are in.

use super::analysis::Read;
use super::client::Client;
use super::documents::{Document, Documents, Overlay, named};
use super::position::Lines;
use deployfile_config::{MAX_FILE, Outline, files_meant};
use lsp_types::{Location, Position, Url};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a request is about.
pub(super) struct View<'a> {
    pub(super) client: Client,
    pub(super) documents: &'a Documents,
    pub(super) document: &'a Document,
    /// `None`: the document stands alone.
    pub(super) read: Option<&'a Read>,
}

/// A place in a file of the project.
pub(super) struct Found {
    /// Its path from the project's folder.
    pub(super) file: String,
    pub(super) text: Arc<str>,
    /// The name.
    pub(super) range: Range<usize>,
    /// All that it names.
    pub(super) node: Range<usize>,
}

impl View<'_> {
    /// The document's text; nothing where it is larger than what is read.
    pub(super) fn text(&self) -> &str {
        if self.document.text.len() <= MAX_FILE { &self.document.text } else { "" }
    }

    pub(super) fn lines(&self) -> Lines<'_> {
        Lines::new(self.text(), self.client.encoding)
    }

    pub(super) fn offset(&self, position: Position) -> usize {
        self.lines().offset(position)
    }

    fn folder(&self) -> Option<&Path> {
        match self.read {
            Some(read) => Some(&read.folder),
            None => self.document.path.as_deref()?.parent(),
        }
    }

    /// The document's path from the project's folder.
    pub(super) fn file(&self) -> String {
        let Some(path) = self.document.path.as_deref() else { return String::new() };
        let file = |read: &Read| read.files.iter().find(|file| named(&read.folder, file) == path).cloned();
        let alone = || path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.read.and_then(file).or_else(alone).unwrap_or_default()
    }

    /// The project's other files, as they are now.
    fn others(&self) -> impl Iterator<Item = (String, Arc<str>)> {
        let own = self.file();
        let files = self.read.into_iter().flat_map(move |read| {
            let own = own.clone();
            read.files.iter().filter(move |file| **file != own).map(move |file| (read, file))
        });
        files.filter_map(|(read, file)| {
            let open = self.documents.at(&named(&read.folder, file)).map(|document| &document.text);
            let text = open.or_else(|| read.texts.get(file))?;
            (text.len() <= MAX_FILE).then(|| (file.clone(), Arc::clone(text)))
        })
    }

    /// The names of one kind that the project declares, except what is being written at byte `at`.
    pub(super) fn names(&self, outline: &Outline<'_>, kind: &str, at: usize) -> BTreeSet<String> {
        let mut names = outline.names(kind, Some(at));
        for (_, text) in self.others() {
            names.extend(Outline::of(&text).names(kind, None));
        }
        names
    }

    /// Where a name is declared: this document first.
    pub(super) fn declared(&self, kind: &str, name: &str) -> Vec<Found> {
        let own = (self.file(), Arc::clone(&self.document.text));
        let mut found = Vec::new();
        for (file, text) in std::iter::once(own).chain(self.others()) {
            let outline = Outline::of(&text);
            for one in outline.declared().filter(|one| one.kind == kind && one.name == name) {
                let (range, node) = (one.range, one.node);
                found.push(Found { file: file.clone(), text: Arc::clone(&text), range, node });
            }
        }
        found
    }

    /// The files that a path from the project's folder means; those that are there.
    pub(super) fn files(&self, path: &str) -> Vec<PathBuf> {
        let Some(folder) = self.folder() else { return Vec::new() };
        let meant = files_meant(&Overlay::new(folder, self.documents), path);
        let paths = meant.into_iter().map(|path| named(folder, &path));
        paths.filter(|path| self.documents.at(path).is_some() || path.is_file()).collect()
    }

    /// The places of names, which stand file by file.
    pub(super) fn locations(&self, found: &[Found]) -> Vec<Location> {
        let mut locations = Vec::new();
        for file in found.chunk_by(|one, next| one.file == next.file) {
            let lines = Lines::new(&file[0].text, self.client.encoding);
            let Some(uri) = self.uri(&file[0].file) else { continue };
            locations
                .extend(file.iter().map(|one| Location::new(uri.clone(), lines.range(one.range.clone()))));
        }
        locations
    }

    fn uri(&self, file: &str) -> Option<Url> {
        if file == self.file() {
            return Some(self.document.uri.clone());
        }
        self.documents.uri(&named(self.folder()?, file))
    }
}
