//! A reader of files that are in memory, and the way to a specification from them.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use deployfile_config::{Diagnostics, FileError, Files, Loaded, Project, load};
use deployfile_model::{Name, Spec};
use std::collections::BTreeMap;

/// Files by path.
#[derive(Default)]
pub struct Memory(pub BTreeMap<String, Vec<u8>>);

impl Memory {
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
    }

    pub fn load(&self) -> Loaded {
        load(self, "deployfile.kdl")
    }
}

impl Files for Memory {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        self.0.get(path).cloned().ok_or(FileError::NotFound)
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, FileError> {
        let names = self.0.keys().filter_map(|path| {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            (folder == dir).then(|| name.to_owned())
        });
        // In no order, as a disk gives them.
        Ok(names.rev().collect())
    }
}

/// What is said about a file, environments included.
pub fn said(files: &Memory) -> Diagnostics {
    let Loaded { project, diagnostics, .. } = files.load();
    match project {
        Some(project) => diagnostics.and(project.check_all()),
        None => diagnostics,
    }
}

/// The project of one file.
pub fn project(text: &str) -> Project {
    let Loaded { project, diagnostics, .. } = Memory::of(&[("deployfile.kdl", text)]).load();
    project.unwrap_or_else(|| panic!("{}", diagnostics.render(false)))
}

/// The specification of environment `env` of a file.
pub fn spec(text: &str, env: &str) -> Spec {
    match project(text).spec(&Name::new(env).expect("a name"), &BTreeMap::new()) {
        Ok((spec, _)) => spec,
        Err(diagnostics) => panic!("{}", diagnostics.render(false)),
    }
}

/// A file with all that a specification needs, and `more`.
pub fn with(more: &str) -> String {
    format!(
        "deployfile 1\napp shop {{ root \"/srv/shop\"; }}\nsource dir \".\"\n\
         environment local {{ host localhost {{ roles web; connect local; }}; }}\n{more}\n"
    )
}
