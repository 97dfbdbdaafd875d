//! Whatever stands in the files of a project, loading and merging them ends soon, without a panic, and every mistake has
//! a place in one of them. One input is several files: a line `// file: NAME` begins the next one, as in
//! `deployfile-config`'s tests.

#![no_main]

use deployfile_config::{Diagnostics, FileError, Files, Loaded, load};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

const MAIN: &str = "deployfile.kdl";

struct Memory(BTreeMap<String, Vec<u8>>);

impl Memory {
    fn of(input: &[u8]) -> Self {
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::from([(MAIN.to_owned(), Vec::new())]);
        let mut name = MAIN.to_owned();
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_prefix(b"// file: ") {
                Some(next) => name = String::from_utf8_lossy(next).trim().to_owned(),
                None => files.entry(name.clone()).or_default().extend(line),
            }
        }
        Self(files)
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
        Ok(names.collect())
    }
    fn leads_out(&self, path: &str) -> bool {
        path.starts_with("link")
    }
}

impl Memory {
    /// Each stands in a file that was read, on a line and in a column that it has.
    fn holds(&self, found: &Diagnostics) {
        for d in found.iter() {
            assert!(!d.message.is_empty() && d.code.contains("::"), "{d:?}");
            for place in std::iter::once(&d.place).chain(d.related.iter().map(|related| &related.place)) {
                // What cannot be read, or is no text, has the first place of its name.
                let Some(bytes) = self.0.get(&*place.file) else { continue };
                let text = String::from_utf8_lossy(bytes);
                let ends = |c: char| matches!(c, '\n' | '\r');
                let lines = text.split(ends).count();
                let longest = text.split(ends).map(|line| line.chars().count()).max().unwrap_or(0);
                assert!(
                    place.line >= 1 && place.line as usize <= lines.max(1),
                    "{place} of {lines} lines: {d:?}"
                );
                assert!(place.column >= 1 && place.column as usize <= longest + 1, "{place}: {d:?}");
            }
        }
        assert!(found.render(false).len() < 1 << 20);
        found.to_json();
    }
}

fuzz_target!(|input: &[u8]| {
    let files = Memory::of(input);
    let Loaded { project, diagnostics, .. } = load(&files, MAIN);
    files.holds(&diagnostics);
    assert!(project.is_some() || diagnostics.has_errors(), "nothing is said");
    let Some(project) = project else { return };
    files.holds(&project.check_all());
    let files_named = project.files();
    assert_eq!(files_named.first().map(String::as_str), Some(MAIN));
    let none = BTreeMap::new();
    for environment in project.environments() {
        match project.spec(&environment, &none) {
            Ok((_, warnings)) => assert!(!warnings.has_errors()),
            Err(errors) => assert!(errors.has_errors(), "refused, and nothing is said"),
        }
        project.provenance(&environment, None);
        if let Some(host) = project.host_names(&environment).first() {
            project.provenance(&environment, Some(host));
        }
    }
});
