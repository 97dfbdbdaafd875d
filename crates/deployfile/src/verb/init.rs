//! `init`: writes a working deployfile and says what to run next. Never overwrites.

use crate::args::{InitArgs, InitTemplate};
use crate::error::{CliError, Stop, exit};
use crate::project::FILE_NAME;
use crate::terminal::Terminal;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

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
    if let Some((name, _)) = files.iter().find(|(name, _)| std::path::Path::new(name).exists()) {
        let error = CliError::new(
            "init::exists",
            exit::REFUSED,
            format!("{name} is there already, nothing was written"),
        );
        return Err(error.help("go to an empty folder, or move it away").into());
    }
    for (name, content) in files {
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

fn write(name: &str, content: &str) -> Result<(), Stop> {
    let failed = |e: std::io::Error| {
        let code = if e.kind() == ErrorKind::AlreadyExists { exit::REFUSED } else { exit::FAILED };
        Stop::from(CliError::new("init::write", code, format!("write {name}")).because(e.to_string()))
    };
    if let Some((folder, _)) = name.rsplit_once('/') {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(name).map_err(failed)?;
    file.write_all(content.as_bytes()).map_err(failed)
}
