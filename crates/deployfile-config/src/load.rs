//! Reads the main deployfile and what it imports, and templates, into one [`Project`].

use crate::diagnostic::{Diagnostic, Diagnostics, Findings, Severity};
use crate::files::{self, FileError, Files};
use crate::guard::{MAX_FILE, Room};
use crate::project::Project;
use crate::sources::{At, Sources};
use crate::suggest::did_you_mean;
use crate::tree::{Data, Node};
use crate::{check, extent, guard, parse, references};
use deployfile_render::template::{TemplateError, check_template};
use std::collections::{BTreeMap, BTreeSet};

/// Imports within imports.
const MAX_IMPORT_DEPTH: usize = 16;
/// Files of one project.
const MAX_FILES: usize = 1000;
/// Files that its imports name or look through, however often the same.
const MAX_NAMED: usize = 100_000;
/// Bytes of one template.
const MAX_TEMPLATE: usize = 1 << 20;

/// What loading gave: a project when it can be planned from, and everything that was noticed.
#[derive(Debug)]
pub struct Loaded {
    /// The project; `None` when there are errors.
    pub project: Option<Project>,
    /// Errors and warnings.
    pub diagnostics: Diagnostics,
    /// The files that could be read, the main one first, as paths from the reader's folder; also those that are wrong.
    pub files: Vec<String>,
}

/// Reads `main` (a path relative to the reader's folder) and all that it names, and checks it as far as that is
/// possible without choosing an environment. With mistakes in it, what can still be said about each environment is
/// said too.
pub fn load(files: &dyn Files, main: &str) -> Loaded {
    let mut loader = Loader::new(files);
    loader.file(main, None);
    let Loader { sources, mut list, trees, templates, complete, room, .. } = loader;
    let files = sources.names().map(str::to_owned).collect();
    let mut findings = Findings::new(&sources);
    if !extent::check(&trees, room.tokens_taken(), &mut findings) {
        list.extend(findings.into_list());
        return Loaded { project: None, diagnostics: list.into(), files };
    }
    let whole = trees.iter().any(|(file, _)| *file == 0);
    if !whole {
        return Loaded { project: None, diagnostics: list.into(), files };
    }
    let project = Project { sources, trees, templates };
    let mut findings = Findings::new(&project.sources);
    // A file that could not be read may declare what others name.
    references::check(&project, complete, &mut findings);
    list.extend(findings.into_list());
    if list.iter().any(|d| d.severity == Severity::Error) {
        let further = project.check_all().into_iter().filter(|d| !follows_from_others(d.code));
        list.extend(further);
        return Loaded { project: None, diagnostics: list.into(), files };
    }
    Loaded { project: Some(project), diagnostics: list.into(), files }
}

/// Reads a part of a deployfile that no main file imports, and checks it as far as that is possible alone: it needs no
/// `deployfile 1`, and what it names may be declared elsewhere.
pub fn load_part(files: &dyn Files, part: &str) -> Diagnostics {
    let mut loader = Loader { is_part: true, complete: false, ..Loader::new(files) };
    loader.file(part, None);
    let Loader { sources, mut list, trees, templates, complete, .. } = loader;
    let project = Project { sources, trees, templates };
    let mut findings = Findings::new(&project.sources);
    references::check(&project, complete, &mut findings);
    list.extend(findings.into_list());
    list.into()
}

/// What to do about an import that leaves the folder.
const NAME_IT: &str =
    "put it beneath that folder, or name it in the main file: `import \"PATH\" outside=#true`";

/// `import "…" outside=#true`
fn is_outside(import: &Node) -> bool {
    import.prop("outside").is_some_and(|value| value.data == Data::Bool(true))
}

/// What may be missing only because the line that sets it was wrong, and was reported as that.
fn follows_from_others(code: &str) -> bool {
    !matches!(code, "config::conflict")
}

struct Loader<'f> {
    files: &'f dyn Files,
    sources: Sources,
    list: Vec<Diagnostic>,
    /// Each file with its nodes, imported ones first.
    trees: Vec<(u32, Vec<Node>)>,
    /// The files that are being imported, outermost first.
    open: Vec<String>,
    done: BTreeSet<String>,
    templates: BTreeMap<String, String>,
    /// Every file could be read and parsed.
    complete: bool,
    /// The first file is a part of one, and not the main file.
    is_part: bool,
    /// What the main file imports from outside its folder.
    outside: BTreeSet<String>,
    /// What the project may still have.
    room: Room,
    /// How many files imports named, or looked through.
    named: usize,
    /// It was said that this is too many.
    is_tired: bool,
}

impl<'f> Loader<'f> {
    fn new(files: &'f dyn Files) -> Self {
        Self {
            files,
            sources: Sources::default(),
            list: Vec::new(),
            trees: Vec::new(),
            open: Vec::new(),
            done: BTreeSet::new(),
            templates: BTreeMap::new(),
            complete: true,
            is_part: false,
            outside: BTreeSet::new(),
            room: Room::new(),
            named: 0,
            is_tired: false,
        }
    }

    /// Reads one file and what it imports. `from` is the line that names it.
    fn file(&mut self, path: &str, from: Option<At>) {
        if !self.done.insert(path.to_owned()) {
            return;
        }
        let Some(text) = self.text(path, from) else {
            self.complete = false;
            return;
        };
        let file = self.sources.add(path, text);
        let sources = self.sources.clone();
        let mut findings = Findings::new(&sources);
        let tree = parse::parse(&sources, file, &mut self.room, &mut findings).map(|mut nodes| {
            header(&nodes, file, from.is_none() && !self.is_part, &mut findings);
            check::check(&mut nodes, &mut findings);
            nodes
        });
        self.list.extend(findings.into_list());
        let Some(nodes) = tree else {
            self.complete = false;
            return;
        };
        let imports = || nodes.iter().filter(|n| n.name.text == "import" && !n.bad);
        if from.is_none() {
            let named = imports().filter(|n| is_outside(n)).filter_map(|n| n.args.first()?.text());
            self.outside = named.map(|text| files::normal(files::folder(path), text)).collect();
        }
        self.open.push(path.to_owned());
        for node in imports() {
            self.import(path, node);
        }
        self.open.pop();
        self.templates(path, &nodes);
        self.trees.push((file, nodes));
    }

    fn text(&mut self, path: &str, from: Option<At>) -> Option<String> {
        let failed = match self.files.read(path) {
            Ok(bytes) => guard::decode(path, bytes),
            Err(error) => Err(unreadable(path, &error)),
        };
        let failed =
            failed.and_then(|text| if self.room.take(text.len()) { Ok(text) } else { Err(no_room(path)) });
        match (failed, from) {
            (Ok(text), _) => return Some(text),
            (Err(mut diagnostic), Some(at)) if diagnostic.code == "config::unreadable" => {
                diagnostic.help("delete the import, or correct its path");
                diagnostic.place = self.sources.place(at);
                diagnostic.source_line = self.sources.line(at).to_owned();
                diagnostic.span_len = self.sources.width(at);
                self.list.push(diagnostic);
            }
            (Err(diagnostic), _) => self.list.push(diagnostic),
        }
        None
    }

    fn error(&mut self, at: At, code: &'static str, message: String, help: Option<&str>) {
        let mut findings = Findings::new(&self.sources);
        findings.error(code, at, message).maybe_help(help.map(str::to_owned));
        let list = findings.into_list();
        self.list.extend(list);
    }

    /// `import "x/*.kdl"`.
    fn import(&mut self, importer: &str, node: &Node) {
        let Some((value, text)) = node.args.first().and_then(|v| Some((v, v.text()?))) else { return };
        let path = files::normal(files::folder(importer), text);
        if let Err((message, help)) = self.may_be_imported(&path, node) {
            self.complete = false;
            return self.error(value.at, "config::import", message, Some(help));
        }
        self.named += 1;
        if self.named > MAX_NAMED {
            self.complete = false;
            if !std::mem::replace(&mut self.is_tired, true) {
                let message = format!("the imports name more than {MAX_NAMED} files, most of them again");
                self.error(value.at, "config::import", message, Some("import each file once"));
            }
            return;
        }
        let paths = match self.glob(&path) {
            Ok(paths) => paths,
            Err((message, help)) => {
                self.complete = false;
                return self.error(value.at, "config::import", message, help);
            }
        };
        for path in paths {
            if self.open.contains(&path) {
                let chain = [&self.open[..], std::slice::from_ref(&path)].concat().join(" → ");
                let message = format!("`{path}` imports itself: {chain}");
                self.error(value.at, "config::import", message, Some("delete one of the imports"));
                continue;
            }
            if self.done.contains(&path) {
                continue;
            }
            if self.open.len() > MAX_IMPORT_DEPTH {
                let message = format!("imports are nested more than {MAX_IMPORT_DEPTH} deep");
                return self.error(value.at, "config::import", message, None);
            }
            if self.done.len() >= MAX_FILES {
                let message = format!("a project has at most {MAX_FILES} files");
                return self.error(value.at, "config::import", message, None);
            }
            if !self.outside.contains(&path) && self.files.leads_out(&path) {
                let message = format!("`{path}` is a link that leaves the folder of the main deployfile");
                self.complete = false;
                self.error(value.at, "config::import", message, Some(NAME_IT));
                continue;
            }
            self.file(&path, Some(value.at));
        }
    }

    /// Only what the main file itself names may stand outside its folder: one look at that file tells all there is.
    fn may_be_imported(&self, path: &str, node: &Node) -> Result<(), (String, &'static str)> {
        let is_main = self.open.len() == 1;
        if is_outside(node) && !is_main {
            let message = "`outside=` may stand in the main file only".to_owned();
            return Err((message, NAME_IT));
        }
        if is_outside(node) && path.contains(['*', '?']) {
            let message = format!("what stands outside is named file by file, and `{path}` holds `*` or `?`");
            return Err((message, "write one import for each file"));
        }
        if is_outside(node) && !files::is_outside(path) && !self.files.leads_out(path) {
            let message = format!("`{path}` does not leave the folder of the main deployfile");
            return Err((message, "delete `outside=`"));
        }
        if files::is_outside(path) && !self.outside.contains(path) {
            let message = format!("`{path}` leaves the folder of the main deployfile");
            return Err((message, NAME_IT));
        }
        Ok(())
    }

    /// The files that an import's path means, sorted by name.
    fn glob(&mut self, path: &str) -> Result<Vec<String>, (String, Option<&'static str>)> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if folder.contains(['*', '?']) {
            let help = "write one import for each folder";
            return Err((format!("only the last part of `{path}` may hold `*` and `?`"), Some(help)));
        }
        if !name.contains(['*', '?']) {
            return Ok(vec![path.to_owned()]);
        }
        let mut names =
            self.files.list(folder).map_err(|e| (format!("cannot list `{folder}`: {e}"), None))?;
        self.named += names.len();
        names.retain(|n| files::matches(name, n) && (name.starts_with('.') || !n.starts_with('.')));
        names.sort();
        if names.is_empty() {
            return Err((
                format!("no file matches `{path}`"),
                Some("delete the import, or correct its path"),
            ));
        }
        let join = |n: String| if folder.is_empty() { n } else { format!("{folder}/{n}") };
        Ok(names.into_iter().map(join).collect())
    }

    /// Reads the templates that are named anywhere in a file.
    fn templates(&mut self, path: &str, nodes: &[Node]) {
        for node in nodes {
            if node.name.text == "template" && !node.bad {
                self.template(path, node);
            }
            self.templates(path, node.children());
        }
    }

    fn template(&mut self, importer: &str, node: &Node) {
        let Some((value, text)) = node.args.first().and_then(|v| Some((v, v.text()?))) else { return };
        let Some(path) = files::resolve(files::folder(importer), text) else { return };
        if self.templates.contains_key(&path) {
            return;
        }
        match self.files.read(&path) {
            Err(error) => {
                let message = format!("cannot read the template `{path}`: {error}");
                let siblings = self.files.list(files::folder(&path)).unwrap_or_default();
                let name = path.rsplit('/').next().unwrap_or(&path);
                let help = did_you_mean(name, siblings.iter().map(String::as_str));
                let help =
                    help.unwrap_or("templates are read relative to the file that names them".to_owned());
                self.error(value.at, "config::template", message, Some(&help));
            }
            Ok(bytes) if !self.room.take(bytes.len()) => self.list.push(no_room(&path)),
            Ok(bytes) if bytes.len() > MAX_TEMPLATE => {
                let message = format!("the template `{path}` is larger than {} KiB", MAX_TEMPLATE >> 10);
                self.error(value.at, "config::template", message, None);
            }
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => {
                    if let Err(error) = check_template(&path, &text) {
                        self.list.push(in_template(&path, &text, &error));
                    }
                    self.templates.insert(path, text);
                }
                Err(_) => {
                    let message = format!("the template `{path}` is not UTF-8");
                    self.error(value.at, "config::template", message, None);
                }
            },
        }
    }
}

/// A mistake in a template, shown where it is in the template.
pub(crate) fn in_template(path: &str, text: &str, error: &TemplateError) -> Diagnostic {
    let mut d = Diagnostic::error_in_file("config::template", path, format!("template: {}", error.reason));
    let line = error.line.unwrap_or(1).max(1);
    d.place.line = line as u32;
    d.source_line = text.lines().nth(line - 1).unwrap_or("").to_owned();
    if let Some(expression) = &error.expression {
        let before = d.source_line.find(expression.as_str()).map(|at| d.source_line[..at].chars().count());
        d.place.column = before.unwrap_or(0) as u32 + 1;
        d.span_len = before.map_or(1, |_| expression.chars().count().max(1) as u32);
    }
    d
}

fn unreadable(path: &str, error: &FileError) -> Diagnostic {
    let mut d =
        Diagnostic::error_in_file("config::unreadable", path, format!("cannot read `{path}`: {error}"));
    if *error == FileError::NotFound {
        d.help("correct the path, or write a first one with `deployfile init`");
    }
    d
}

fn no_room(path: &str) -> Diagnostic {
    let most = MAX_FILE >> 20;
    let message = format!("with `{path}`, the files of the deployfile are larger than {most} MiB");
    let mut d = Diagnostic::error_in_file(guard::TOO_LARGE, path, message);
    d.help("see that the right files are imported; data belongs into the source");
    d
}

/// The first node of the main file is `deployfile 1`; in imported files it is optional.
fn header(nodes: &[Node], file: u32, main: bool, findings: &mut Findings<'_>) {
    let is_header = |n: &Node| n.name.text == "deployfile";
    let first = nodes.first().filter(|n| is_header(n));
    if let Some(late) = nodes.iter().find(|n| is_header(n)).filter(|_| first.is_none()) {
        findings
            .error("config::header", late.name.at, "`deployfile 1` must be the first setting of its file")
            .help("move it to the first line");
    } else if main && first.is_none() {
        let start = nodes.first().map_or(At { file, offset: 0, len: 1 }, |n| n.name.at);
        findings
            .error("config::header", start, "the first setting of the main file must be `deployfile 1`")
            .help("write `deployfile 1` as the first line: it says which version of the language the file is in");
    }
    let Some(value) = first.and_then(|n| n.args.first()) else { return };
    if !matches!(value.data, Data::Integer(1, _)) {
        findings
            .error(
                "config::header",
                value.at,
                format!("version {} of the language is not known", value.show()),
            )
            .help("this program reads version 1");
    }
}
