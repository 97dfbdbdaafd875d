//! `init`: writes a working deployfile and says what to run next. Never overwrites.

use crate::args::{InitArgs, InitTemplate};
use crate::error::{CliError, Stop, exit};
use crate::project::FILE_NAME;
use crate::terminal::Terminal;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde_json::json;
use std::io::ErrorKind;
use std::path::Path;

/// A file of a template: its name and its content.
type Files = &'static [(&'static str, &'static str)];

const QUICKSTART: Files = &[
    (FILE_NAME, include_str!("../../templates/quickstart/deployfile.kdl")),
    ("app/build.py", include_str!("../../../../examples/quickstart/app/build.py")),
    ("app/page.html", include_str!("../../../../examples/quickstart/app/page.html")),
    ("app/server.py", include_str!("../../../../examples/quickstart/app/server.py")),
];
const PHP: Files = &[(FILE_NAME, include_str!("../../templates/php/deployfile.kdl"))];
const PYTHON: Files = &[(FILE_NAME, include_str!("../../templates/python/deployfile.kdl"))];
const NODE: Files = &[(FILE_NAME, include_str!("../../templates/node/deployfile.kdl"))];
const STATIC: Files = &[(FILE_NAME, include_str!("../../templates/static/deployfile.kdl"))];

pub(crate) fn run(args: &InitArgs, terminal: Terminal) -> Result<u8, Stop> {
    let files = match args.template {
        InitTemplate::Quickstart => QUICKSTART,
        InitTemplate::Php => PHP,
        InitTemplate::Python => PYTHON,
        InitTemplate::Node => NODE,
        InitTemplate::Static => STATIC,
    };
    if let Some((name, _)) = files.iter().find(|(name, content)| is_taken(name, content)) {
        let error = CliError::new(
            "init::exists",
            exit::REFUSED,
            format!("{name} is there already, nothing was written"),
        );
        return Err(error.help("go to an empty folder, or move it away").into());
    }
    // The deployfile last: while it is not there, `init` can be said again.
    for (name, content) in files.iter().rev().filter(|(name, _)| !Path::new(name).exists()) {
        write(name, content)?;
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    if terminal.is_json() {
        let next = ["deployfile check", "deployfile plan", "deployfile apply"];
        terminal.document(&json!({ "format": deployfile_record::FORMAT, "written": names, "next": next }))?;
    } else {
        let next = "next: deployfile check, deployfile plan, deployfile apply";
        terminal.answer(&format!("wrote {}\n{next}\n", names.join(", ")))?;
    }
    Ok(exit::DONE)
}

/// Whether something else has the name; what an `init` that was cut has written is no hindrance.
fn is_taken(name: &str, content: &str) -> bool {
    let is_ours = || name != FILE_NAME && std::fs::read(name).is_ok_and(|bytes| bytes == content.as_bytes());
    Path::new(name).symlink_metadata().is_ok() && !is_ours()
}

/// Written beside it and renamed: there is never half a file.
fn write(name: &str, content: &str) -> Result<(), Stop> {
    let failed = |e: std::io::Error| {
        let code = if e.kind() == ErrorKind::AlreadyExists { exit::REFUSED } else { exit::FAILED };
        Stop::from(CliError::new("init::write", code, format!("write {name}")).because(e.to_string()))
    };
    if let Some((folder, _)) = name.rsplit_once('/') {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let new = format!("{name}.new");
    std::fs::write(&new, content).and_then(|()| rename(&new, name)).map_err(|e| {
        let _ = std::fs::remove_file(&new);
        failed(e)
    })
}

/// Over nothing. A file system that cannot promise that is asked before.
fn rename(from: &str, to: &str) -> std::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) if Path::new(to).symlink_metadata().is_ok() => {
            Err(ErrorKind::AlreadyExists.into())
        }
        Err(Errno::INVAL | Errno::NOSYS) => std::fs::rename(from, to),
        done => Ok(done?),
    }
}
