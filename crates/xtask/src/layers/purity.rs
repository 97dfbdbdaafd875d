//! What the source of a pure crate must not touch: files, network, processes, clock, threads, unordered maps.
//!
//! Reads tokens, not types: a path is followed through the file's own `use` lines (also renamed and nested ones) and
//! into macros. Code beneath `#[cfg(test)]` is free. Not here: what a dependency does inside; the table says which
//! dependencies there are.

mod source;

use super::Violation;
use super::table::{Crate, Excuse, Ring};
use crate::workspace::Workspace;
use source::{Mention, Source};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Forbidden paths, and what a pure crate does instead.
const FORBIDDEN: &[(&str, &str)] = &[
    ("std::fs", TOLD),
    ("std::net", TOLD),
    ("std::process", TOLD),
    ("std::env", TOLD),
    ("std::io::stdin", TOLD),
    ("std::io::stdout", TOLD),
    ("std::io::stderr", TOLD),
    ("std::time::SystemTime", CLOCK),
    ("std::time::Instant", CLOCK),
    ("std::time::UNIX_EPOCH", CLOCK),
    ("std::thread", "concurrency is the edge's: give back a value"),
    ("std::hash::RandomState", ORDERED),
    ("std::collections::hash_map", ORDERED),
    ("std::collections::hash_set", ORDERED),
];
const TOLD: &str = "the core is told, it never looks: take what is needed as a value";
const CLOCK: &str = "the core is told what time it is: take it as a value";
const ORDERED: &str = "same input, same bytes: use the BTree one";

/// Values that are named beneath a forbidden path and touch nothing.
const PLAIN: &[&str] = &[
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::SocketAddr",
    "std::net::SocketAddrV4",
    "std::net::SocketAddrV6",
    "std::net::AddrParseError",
];

/// Names that are forbidden wherever they come from.
const FORBIDDEN_NAMES: &[&str] = &["HashMap", "HashSet"];

/// Every breach in the source of the table's pure crates, and every excuse that nothing needs.
pub(super) fn check(
    table: &[Crate],
    excuses: &[Excuse],
    workspace: &Workspace,
) -> Result<Vec<Violation>, String> {
    let mut found = Vec::new();
    let mut used = BTreeSet::new();
    for package in &workspace.packages {
        if table.iter().any(|row| row.name == package.name && row.ring == Ring::Pure) {
            let folder = package.manifest_path.with_file_name("src");
            for (file, breach) in scan(&folder)? {
                let file = workspace.shown(&file).to_owned();
                let excuse = |e: &Excuse| Path::new(e.file) == file && e.path == breach.rule;
                match excuses.iter().position(excuse) {
                    Some(index) => _ = used.insert(index),
                    None => found.push(breach.into_violation(file)),
                }
            }
        }
    }
    let idle = excuses.iter().enumerate().filter(|(index, _)| !used.contains(index));
    found.extend(idle.map(|(_, excuse)| Violation {
        file: PathBuf::from(excuse.file),
        line: 0,
        what: format!("is excused for `{}`, which it does not use", excuse.path),
        remedy: "delete the excuse".to_owned(),
    }));
    Ok(found)
}

/// One use of what is forbidden.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    line: usize,
    /// The path as the file means it.
    path: String,
    /// The entry of [`FORBIDDEN`] or [`FORBIDDEN_NAMES`] that it breaks, or `async`.
    rule: &'static str,
    instead: &'static str,
}

impl Breach {
    fn into_violation(self, file: PathBuf) -> Violation {
        let Self { line, path, instead, .. } = self;
        Violation { file, line, what: format!("`{path}` in a pure crate"), remedy: instead.to_owned() }
    }
}

/// The breaches of every source file beneath `folder` that is not of tests.
fn scan(folder: &Path) -> Result<Vec<(PathBuf, Breach)>, String> {
    let mut sources = Vec::new();
    for file in rust_files(folder)? {
        let text =
            fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let source = Source::read(&text).map_err(|why| format!("cannot read {}: {why}", file.display()))?;
        sources.push((file, source));
    }
    let tests: Vec<PathBuf> = sources
        .iter()
        .flat_map(|(file, source)| source.test_modules.iter().map(|m| module(file, m)))
        .collect();
    sources.retain(|(file, _)| !tests.iter().any(|m| file.starts_with(m) || *file == m.with_extension("rs")));
    Ok(sources
        .iter()
        .flat_map(|(file, source)| breaches(source).into_iter().map(|breach| (file.clone(), breach)))
        .collect())
}

fn breaches(source: &Source) -> Vec<Breach> {
    let mut found: Vec<_> = source.mentions.iter().filter_map(judge).collect();
    found.extend(source.asyncs.iter().map(|line| Breach {
        line: *line,
        path: "async".to_owned(),
        rule: "async",
        instead: "a pure function waits for nothing",
    }));
    // One line per place: a nested `use` and its parts are one mistake.
    found.dedup_by(|a, b| (a.line, a.rule) == (b.line, b.rule));
    found
}

fn judge(mention: &Mention) -> Option<Breach> {
    let path = &mention.path;
    let breach = |rule, instead| Some(Breach { line: mention.line, path: path.clone(), rule, instead });
    if let Some(name) = path.split("::").find_map(|part| FORBIDDEN_NAMES.iter().find(|name| **name == part)) {
        return breach(name, ORDERED);
    }
    if PLAIN.iter().any(|plain| within(path, plain)) {
        return None;
    }
    if let Some((rule, instead)) = FORBIDDEN.iter().find(|(rule, _)| within(path, rule)) {
        return breach(rule, instead);
    }
    // `use std::time::*` would hide what comes in.
    let hides = |rule: &str| mention.glob && within(rule, path);
    FORBIDDEN
        .iter()
        .find(|(rule, _)| hides(rule))
        .and_then(|(rule, _)| breach(rule, "name what you use, without `*`"))
}

/// Whether `path` is `outer` or lies in it.
fn within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Where the modules of `file` lie; `name` is one of them.
fn module(file: &Path, name: &str) -> PathBuf {
    let is_root = file.file_name().is_some_and(|f| f == "lib.rs" || f == "main.rs" || f == "mod.rs");
    let folder = if is_root { file.parent().unwrap_or(file).to_owned() } else { file.with_extension("") };
    folder.join(name)
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot = |error| format!("cannot list {}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let path = entry.path();
        if entry.file_type().map_err(cannot)?.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
