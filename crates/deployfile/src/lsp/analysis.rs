//! Reads the projects of the open documents and says what is wrong with them. It runs on a thread of its own: a hostile
//! document may keep the parser busy for seconds, and nobody must wait for that to type on.

use super::client::Client;
use super::documents::{Document, Documents, Overlay, named};
use super::position::Lines;
use deployfile_config::{Diagnostic, Diagnostics, Outline, Project, Related, Severity, load, load_part};
use deployfile_model::Place;
use lsp_types::{
    self as lsp, DiagnosticRelatedInformation, DiagnosticSeverity, Location, NumberOrString, Url,
};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Open documents, as they were at one moment.
pub(super) struct Job {
    pub(super) revision: u64,
    pub(super) documents: Documents,
    pub(super) client: Client,
}

/// What came of it.
pub(super) struct Analysis {
    pub(super) revision: u64,
    /// The projects in which open documents are.
    pub(super) projects: Vec<Read>,
    /// Open documents with their versions; also those with nothing wrong.
    pub(super) versions: BTreeMap<Url, i32>,
    /// What is wrong, by file.
    pub(super) mistakes: BTreeMap<Url, Vec<lsp::Diagnostic>>,
}

/// A project that was read.
pub(super) struct Read {
    pub(super) folder: PathBuf,
    /// `None`: something is wrong with it.
    pub(super) project: Option<Project>,
    /// The main file and what it imports, as paths from the folder.
    pub(super) files: Vec<String>,
    /// All that was read, templates too.
    pub(super) texts: BTreeMap<String, Arc<str>>,
}

/// Starts the thread. It does one job after the other; `done` is handed each result, or the revision of a job that
/// failed by a bug, which was told on stderr.
pub(super) fn start<E: Send + 'static>(
    done: Sender<E>,
    event: impl Fn(Result<Analysis, u64>) -> E + Send + 'static,
) -> std::io::Result<Sender<Job>> {
    let (jobs, queue): (Sender<Job>, Receiver<Job>) = channel();
    thread::Builder::new().name("analysis".to_owned()).spawn(move || {
        for job in queue {
            let result = catch_unwind(AssertUnwindSafe(|| Analysis::of(&job))).map_err(|_| job.revision);
            if done.send(event(result)).is_err() {
                return;
            }
        }
    })?;
    Ok(jobs)
}

impl Analysis {
    fn of(job: &Job) -> Self {
        let documents = &job.documents;
        let mut maker = Maker { job, projects: Vec::new(), mistakes: BTreeMap::new() };
        let paths = || documents.all().filter_map(|document| Some((document.path.as_deref()?, document)));
        for (path, _) in paths() {
            if let Some(main) = documents.main_of(path) {
                maker.project(&main);
            }
        }
        for (path, document) in paths() {
            maker.alone(path, document);
        }
        let Maker { projects, mistakes, .. } = maker;
        let versions = documents.all().map(|document| (document.uri.clone(), document.version)).collect();
        Self { revision: job.revision, projects, versions, mistakes }
    }

    /// The project that a file is part of.
    pub(super) fn project_of(&self, path: &Path) -> Option<&Read> {
        self.projects.iter().find(|read| read.has(path))
    }
}

impl Read {
    fn has(&self, path: &Path) -> bool {
        self.files.iter().any(|file| named(&self.folder, file) == path)
    }
}

struct Maker<'j> {
    job: &'j Job,
    projects: Vec<Read>,
    mistakes: BTreeMap<Url, Vec<lsp::Diagnostic>>,
}

impl Maker<'_> {
    fn project(&mut self, main: &Path) {
        let is_read = |read: &Read| read.files.first().is_some_and(|file| named(&read.folder, file) == main);
        if self.projects.iter().any(is_read) {
            return;
        }
        let Some((folder, name)) = parts(main) else { return };
        let overlay = Overlay::new(folder, &self.job.documents);
        let loaded = load(&overlay, name);
        let further = loaded.project.as_ref().map(Project::check_all).unwrap_or_default();
        let texts = overlay.into_texts();
        self.tell(folder, &texts, loaded.diagnostics.and(further));
        let mut files = loaded.files;
        if files.is_empty() {
            // It could not even be read, and is the main file all the same.
            files.push(name.to_owned());
        }
        self.projects.push(Read { folder: folder.to_owned(), project: loaded.project, files, texts });
    }

    /// A document that no main file imports. What says nothing of deployfile and is in nobody's folder is not ours.
    fn alone(&mut self, path: &Path, document: &Document) {
        let is_part = |read: &Read| read.texts.keys().any(|file| named(&read.folder, file) == path);
        if !document.is_kdl || self.projects.iter().any(|read| is_part(read) || read.has(path)) {
            return;
        }
        if Outline::of(&document.text).has_header() {
            return self.project(path);
        }
        let Some((folder, name)) = parts(path).filter(|_| self.job.documents.main_of(path).is_some()) else {
            return;
        };
        let overlay = Overlay::new(folder, &self.job.documents);
        let found = load_part(&overlay, name);
        self.tell(folder, &overlay.into_texts(), found);
    }

    fn tell(&mut self, folder: &Path, texts: &BTreeMap<String, Arc<str>>, found: Diagnostics) {
        let teller = Teller { job: self.job, folder, texts };
        for diagnostic in found {
            let Some(uri) = teller.uri(&diagnostic.place) else { continue };
            let mistakes = self.mistakes.entry(uri).or_default();
            let mistake = teller.mistake(&diagnostic);
            // Two projects may share a file.
            if !mistakes.contains(&mistake) {
                mistakes.push(mistake);
            }
        }
    }
}

/// Puts mistakes into the words of the protocol.
struct Teller<'a> {
    job: &'a Job,
    folder: &'a Path,
    texts: &'a BTreeMap<String, Arc<str>>,
}

impl Teller<'_> {
    fn uri(&self, place: &Place) -> Option<Url> {
        self.job.documents.uri(&named(self.folder, &place.file))
    }

    fn range(&self, place: &Place, length: u32) -> lsp::Range {
        let text = self.texts.get(&*place.file).map_or("", |text| text);
        Lines::new(text, self.job.client.encoding).place(place, length)
    }

    fn mistake(&self, diagnostic: &Diagnostic) -> lsp::Diagnostic {
        let mut message = diagnostic.message.clone();
        if !diagnostic.label.is_empty() {
            message += &format!(": {}", diagnostic.label);
        }
        let mut related = None;
        if self.job.client.related {
            related = Some(diagnostic.related.iter().filter_map(|one| self.related(one)).collect());
        } else {
            let other = |one: &Related| format!("\n{}: {}", one.place, one.label);
            message.extend(diagnostic.related.iter().map(other));
        }
        if let Some(help) = &diagnostic.help {
            message += &format!("\nhelp: {help}");
        }
        lsp::Diagnostic {
            range: self.range(&diagnostic.place, diagnostic.span_len),
            severity: Some(match diagnostic.severity {
                Severity::Error => DiagnosticSeverity::ERROR,
                Severity::Warning => DiagnosticSeverity::WARNING,
            }),
            code: Some(NumberOrString::String(diagnostic.code.to_owned())),
            source: Some("deployfile".to_owned()),
            message,
            related_information: related.filter(|related: &Vec<_>| !related.is_empty()),
            ..lsp::Diagnostic::default()
        }
    }

    fn related(&self, related: &Related) -> Option<DiagnosticRelatedInformation> {
        let location = Location::new(self.uri(&related.place)?, self.range(&related.place, related.span_len));
        Some(DiagnosticRelatedInformation { location, message: related.label.clone() })
    }
}

/// A file's folder and its name.
fn parts(path: &Path) -> Option<(&Path, &str)> {
    Some((path.parent()?, path.file_name()?.to_str()?))
}
