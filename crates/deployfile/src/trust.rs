//! Who may write a deployfile that root acts on: whoever may, could do as root what they like.
//!
//! Every file that was read, and every folder and link on the way to it, must belong to root, or to the user who called
//! sudo, and must not be writable by others. As with ssh and sudo, what cannot be trusted is refused, not mended.

use crate::error::{CliError, exit};
use crate::project::Opened;
use deployfile_config::{Diagnostic, Severity};
use rustix::process::geteuid;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Links on the way to one file; the kernel follows no more either.
const MAX_LINKS: usize = 40;
/// The paths that are named one by one.
const NAMED: usize = 5;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// The refusal of a deployfile that others than root may write, when this is root.
pub(crate) fn refusal(opened: &Opened) -> Option<CliError> {
    let (doubts, main) = doubts(opened)?;
    let (first, rest) = doubts.split_first()?;
    let message = format!("root does not act on `{main}`: {}", first.says());
    let error = CliError::new("config::writable", exit::REFUSED, message).help(help(&doubts));
    let mut error = rest.iter().take(NAMED).fold(error, |error, doubt| error.because(doubt.says()));
    if rest.len() > NAMED {
        error = error.because(format!("and so {} more", rest.len() - NAMED));
    }
    Some(error)
}

/// The same as a warning, for verbs that only look.
pub(crate) fn warning(opened: &Opened) -> Option<Diagnostic> {
    let (doubts, main) = doubts(opened)?;
    let message = format!("root would not act on this file: {}", doubts.first()?.says());
    let warning = Diagnostic::error_in_file("config::writable", &main, message);
    Some(Diagnostic { severity: Severity::Warning, help: Some(help(&doubts)), ..warning })
}

/// What speaks against acting on what was read, and the main file's name. `None`: this is not root.
fn doubts(opened: &Opened) -> Option<(Vec<Doubt>, String)> {
    if !geteuid().is_root() {
        return None;
    }
    let files = opened.project.files();
    let main = files.first().cloned().unwrap_or_default();
    let mut watch = Watch { caller: caller(), seen: BTreeSet::new(), doubts: Vec::new() };
    for file in files.iter().map(String::as_str).chain([deployfile_hooks::pins::FILE_NAME]) {
        // Where the current folder is gone, nothing could be read either.
        let Ok(path) = std::path::absolute(opened.folder.join(file)) else { continue };
        watch.walk(&path);
    }
    Some((watch.doubts, main))
}

/// The user who called sudo.
fn caller() -> Option<u32> {
    std::env::var("SUDO_UID").ok()?.parse().ok()
}

/// Why a path is not to be trusted.
struct Doubt {
    path: PathBuf,
    why: Why,
}

enum Why {
    /// It belongs to this user.
    Owner(u32),
    /// Its group, or everybody, may write it.
    Mode(u32),
}

impl Doubt {
    fn says(&self) -> String {
        let path = self.path.display();
        match self.why {
            Why::Owner(uid) => format!("{path} belongs to uid {uid}"),
            Why::Mode(mode) if mode & OTHERS_WRITE != 0 => {
                format!("everybody may write {path} (mode {:04o})", mode & 0o7777)
            }
            Why::Mode(mode) => format!("a group may write {path} (mode {:04o})", mode & 0o7777),
        }
    }
}

/// The commands that mend it.
fn help(doubts: &[Doubt]) -> String {
    let command = |start: &str, is_meant: fn(&Why) -> bool| {
        let paths: Vec<_> = doubts.iter().filter(|doubt| is_meant(&doubt.why)).collect();
        let named: Vec<_> =
            paths.iter().take(NAMED + 1).map(|doubt| doubt.path.display().to_string()).collect();
        (!named.is_empty()).then(|| format!("`{start} {}`", named.join(" ")))
    };
    let chmod = command("chmod go-w", |why| matches!(why, Why::Mode(_)));
    let chown = command("chown -h root", |why| matches!(why, Why::Owner(_)));
    let commands: Vec<_> = [chmod, chown].into_iter().flatten().collect();
    format!("run {}; or run deployfile as their owner, not as root", commands.join(" and "))
}

/// Looks at each path once.
struct Watch {
    caller: Option<u32>,
    seen: BTreeSet<PathBuf>,
    doubts: Vec<Doubt>,
}

impl Watch {
    /// Goes from `/` to a file as the kernel does, and looks at all that stands on the way. What is not there is fine.
    fn walk(&mut self, path: &Path) {
        let mut at = PathBuf::from("/");
        let mut todo = parts(path);
        let mut links = 0;
        self.look(&at);
        while let Some(part) = todo.pop_front() {
            if part == ".." {
                at.pop();
                continue;
            }
            at.push(part);
            if self.look(&at).is_none_or(|meta| !meta.is_symlink()) {
                continue;
            }
            links += 1;
            let Some(target) = fs::read_link(&at).ok().filter(|_| links <= MAX_LINKS) else { return };
            at.pop();
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            let mut rest = parts(&target);
            rest.append(&mut todo);
            todo = rest;
        }
    }

    fn look(&mut self, path: &Path) -> Option<Metadata> {
        let meta = fs::symlink_metadata(path).ok()?;
        if self.seen.insert(path.to_owned())
            && let Some(why) = self.why(&meta)
        {
            self.doubts.push(Doubt { path: path.to_owned(), why });
        }
        Some(meta)
    }

    fn why(&self, meta: &Metadata) -> Option<Why> {
        let (owner, group, mode) = (meta.uid(), Some(meta.gid()), meta.mode());
        if owner != 0 && Some(owner) != self.caller {
            return Some(Why::Owner(owner));
        }
        // In a sticky folder nobody replaces what is not theirs, and a link has no mode.
        if meta.is_symlink() || (meta.is_dir() && mode & STICKY != 0) {
            return None;
        }
        // Where users have a group of their own, it has their number.
        let is_private = group == Some(0) || group == self.caller;
        let open = if is_private { OTHERS_WRITE } else { OTHERS_WRITE | GROUP_WRITES };
        (mode & open != 0).then_some(Why::Mode(mode & if is_private { !GROUP_WRITES } else { !0 }))
    }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |part: Component<'_>| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        _ => None,
    };
    path.components().filter_map(part).collect()
}
