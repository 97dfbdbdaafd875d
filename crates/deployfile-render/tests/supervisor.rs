//! What the real supervisor reads from our program sections.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so and ends")]

mod tool;

use deployfile_model::service::Signal;
use deployfile_render::supervisor::{Program, program_conf};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Reads each file as supervisord would (its parser, its expansion, its splitting of commands) and prints JSON.
const READER: &str = r#"
import json, shlex, sys
from supervisor.options import ServerOptions, UnhosedConfigParser
options = ServerOptions()
options.here = '/here'
read = []
for path in sys.argv[1:]:
    parser = UnhosedConfigParser()
    parser.expansions = options.environ_expansions
    parser.read(path)
    parser.expand_here('/here')
    for section in parser.sections():
        name = section.split(':', 1)[1]
        for process in options.processes_from_section(parser, section, name):
            read.append([process.name, shlex.split(process.command), process.directory, process.environment,
                         int(process.stopsignal), process.stopwaitsecs, process.stdout_logfile])
print(json.dumps(read))
"#;

fn read(files: &[String], folder: &Path) -> Result<serde_json::Value, String> {
    let mut paths = Vec::new();
    for (n, text) in files.iter().enumerate() {
        let path = folder.join(format!("{n}.conf"));
        std::fs::write(&path, text).unwrap();
        paths.push(path);
    }
    let python = Command::new("/usr/bin/python3")
        .args(["-X", "utf8", "-W", "ignore", "-c", READER])
        .args(paths)
        .output();
    let output = python.unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

fn program(folder: &Path, word: &str) -> Program {
    Program {
        name: "web".to_owned(),
        command: vec!["/bin/x".to_owned(), word.to_owned(), "last".to_owned()],
        directory: format!("/srv/{word}/x"),
        user: None,
        numprocs: 1,
        environment: BTreeMap::from([
            ("A".to_owned(), format!("x{word}y")),
            ("B".to_owned(), word.to_owned()),
        ]),
        stop_signal: Signal::Quit,
        stop_wait_secs: 7,
        stdout_logfile: Some(format!("{}/web.log", folder.display())),
    }
}

fn supervisor_is_here() -> bool {
    tool::is_here("/usr/bin/python3") && tool::is_here("/usr/bin/supervisord")
}

#[test]
fn what_is_written_is_what_supervisor_reads() {
    if !supervisor_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut files, mut expected) = (Vec::new(), Vec::new());
    for word in tool::nasty() {
        let program = program(folder.path(), &word);
        if let Ok(text) = program_conf(&program) {
            files.push(text);
            let log = program.stdout_logfile.unwrap();
            expected.push(serde_json::json!([
                "web",
                program.command,
                program.directory,
                program.environment,
                3,
                7,
                log
            ]));
        }
    }
    assert!(files.len() > 300, "many nasty strings can be written: {}", files.len());
    let read = read(&files, folder.path()).unwrap();
    for (read, expected) in read.as_array().unwrap().iter().zip(&expected) {
        assert_eq!(read, expected);
    }
    assert_eq!(read.as_array().unwrap().len(), expected.len());
}

#[test]
fn several_processes() {
    if !supervisor_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = program_conf(&Program { numprocs: 2, ..program(folder.path(), "a") }).unwrap();
    let read_back = read(std::slice::from_ref(&text), folder.path()).unwrap();
    for (n, process) in read_back.as_array().unwrap().iter().enumerate() {
        assert_eq!(process[0], format!("web_0{n}"));
        assert_eq!(process[6], format!("{}/web_0{n}.log", folder.path().display()));
    }
    let unnamed = text.replace("_%(process_num)02d\nnumprocs", "\nnumprocs");
    assert_ne!(unnamed, text);
    assert!(read(&[unnamed], folder.path()).unwrap_err().contains("process_num"));
}
