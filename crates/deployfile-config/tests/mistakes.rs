//! What is said about mistakes, as a whole: `mistakes/NAME.kdl` and the lines that a user sees, `mistakes/NAME.txt`.
//! A line `// file: PATH` begins a further file. `UPDATE_GOLDEN=1` writes the texts anew; read the difference.

mod memory;

use memory::{Memory, said};
use std::fs;
use std::path::Path;

fn files(text: &str) -> Memory {
    let mut files = Memory::default();
    let mut name = "deployfile.kdl".to_owned();
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("// file: ") {
            Some(next) => name = next.trim().to_owned(),
            None => files.0.entry(name.clone()).or_default().extend(line.as_bytes()),
        }
    }
    files
}

#[test]
fn every_mistake_is_said_as_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|e| e == "kdl"));
    names.sort();
    assert!(names.len() >= 35, "{} cases", names.len());
    let mut different = Vec::new();
    for path in names {
        let diagnostics = said(&files(&fs::read_to_string(&path).unwrap()));
        assert!(!diagnostics.is_empty(), "{}: nothing is said", path.display());
        assert!(diagnostics.iter().all(|d| !d.message.is_empty() && d.place.line > 0 && d.place.column > 0));
        let now = diagnostics.render(false);
        let golden = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &now).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != now {
            different.push(format!("{}\n{now}", golden.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
