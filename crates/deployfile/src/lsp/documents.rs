//! What the editor holds: open documents, which are read instead of what is on disk.

use crate::project::{Disk, FILE_NAME};
use deployfile_config::{FileError, Files};
use lsp_types::Url;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// An open document.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// As the client writes it.
    pub(super) uri: Url,
    /// `None`: it is no file (yet).
    pub(super) path: Option<PathBuf>,
    pub(super) version: i32,
    pub(super) text: Arc<str>,
    /// It is KDL, as the client or the name of the file says.
    pub(super) is_kdl: bool,
}

/// All open documents.
#[derive(Debug, Clone, Default)]
pub(super) struct Documents {
    open: BTreeMap<Url, Document>,
    /// `-f`: the main file of all that is beneath its folder.
    main: Option<PathBuf>,
}

impl Documents {
    pub(super) fn new(main: Option<PathBuf>) -> Self {
        Self { open: BTreeMap::new(), main }
    }

    pub(super) fn open(&mut self, uri: Url, language: &str, version: i32, text: String) {
        let path = uri.to_file_path().ok();
        let extension = path.as_ref().and_then(|path| path.extension());
        let is_kdl = language == "kdl" || extension.is_some_and(|extension| extension == "kdl");
        let document = Document { uri: uri.clone(), path, version, text: text.into(), is_kdl };
        self.open.insert(uri, document);
    }

    pub(super) fn change(&mut self, uri: &Url, version: i32, text: String) {
        if let Some(document) = self.open.get_mut(uri) {
            document.version = version;
            document.text = text.into();
        }
    }

    pub(super) fn close(&mut self, uri: &Url) {
        self.open.remove(uri);
    }

    pub(super) fn get(&self, uri: &Url) -> Option<&Document> {
        self.open.get(uri)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Document> {
        self.open.values()
    }

    /// The open document that is this file.
    pub(super) fn at(&self, path: &Path) -> Option<&Document> {
        self.all().find(|document| document.path.as_deref() == Some(path))
    }

    /// What the client calls a file.
    pub(super) fn uri(&self, path: &Path) -> Option<Url> {
        match self.at(path) {
            Some(document) => Some(document.uri.clone()),
            None => Url::from_file_path(path).ok(),
        }
    }

    /// The main file of the project in which a file may be: the one that `-f` names, or the nearest one above.
    pub(super) fn main_of(&self, path: &Path) -> Option<PathBuf> {
        if let Some(main) = &self.main
            && main.parent().is_some_and(|folder| path.starts_with(folder))
        {
            return Some(main.clone());
        }
        let mains = path.ancestors().skip(1).map(|folder| folder.join(FILE_NAME));
        mains.into_iter().find(|main| self.at(main).is_some() || main.is_file())
    }
}

/// A file that is named from a folder, as the client would name it: without `..`, which a file that is imported from
/// outside has. Links are not followed: the editor does not either.
pub(super) fn named(folder: &Path, file: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in folder.join(file).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

/// The files of one folder: open documents over the disk. What was read is remembered as it was.
pub(super) struct Overlay<'d> {
    folder: &'d Path,
    documents: &'d Documents,
    read: RefCell<BTreeMap<String, Arc<str>>>,
}

impl<'d> Overlay<'d> {
    pub(super) fn new(folder: &'d Path, documents: &'d Documents) -> Self {
        Self { folder, documents, read: RefCell::default() }
    }

    /// The texts that were read, by their path from the folder.
    pub(super) fn into_texts(self) -> BTreeMap<String, Arc<str>> {
        self.read.into_inner()
    }
}

impl Files for Overlay<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let open = self.documents.at(&named(self.folder, path)).map(|document| Arc::clone(&document.text));
        let (text, bytes) = match open {
            Some(text) => (Arc::clone(&text), text.as_bytes().to_vec()),
            None => {
                let bytes = Disk(self.folder).read(path)?;
                (String::from_utf8_lossy(&bytes).into(), bytes)
            }
        };
        self.read.borrow_mut().insert(path.to_owned(), text);
        Ok(bytes)
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, FileError> {
        let folder = named(self.folder, dir);
        let open = self.documents.all().filter_map(|document| document.path.as_deref());
        let open = open
            .filter(|path| path.parent() == Some(folder.as_path()))
            .filter_map(|path| path.file_name()?.to_str());
        let mut names: Vec<String> = open.map(str::to_owned).collect();
        match Disk(self.folder).list(dir) {
            Ok(there) => names.extend(there),
            Err(error) if names.is_empty() => return Err(error),
            Err(_) => {}
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn leads_out(&self, path: &str) -> bool {
        Disk(self.folder).leads_out(path)
    }
}
