//! Imports that leave the main file's folder: only those that the main file names.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

mod memory;

use deployfile_config::{Diagnostics, FileError, Files, load};
use deployfile_model::Name;
use memory::{Memory, said, with};
use std::collections::BTreeMap;

fn codes(diagnostics: &Diagnostics) -> Vec<&'static str> {
    diagnostics.iter().map(|d| d.code).collect()
}

#[test]
fn what_the_main_file_names_is_read_wherever_it_stands() {
    for path in ["../shared/base.kdl", "../../base.kdl", "/etc/shop/base.kdl"] {
        let main = with(
            &format!("import \"./{}\" outside=#true", path)
                .replace("./", if path.starts_with('/') { "" } else { "./" }),
        );
        let files = Memory::of(&[("deployfile.kdl", &main), (path, "retention { keep 7; }")]);
        let loaded = files.load();
        assert!(loaded.diagnostics.is_empty(), "{path}: {}", loaded.diagnostics.render(false));
        assert_eq!(loaded.files, ["deployfile.kdl", path]);
        let (spec, _) = loaded.project.unwrap().spec(&Name::new("local").unwrap(), &BTreeMap::new()).unwrap();
        assert_eq!(spec.retention.keep, 7);
        assert_eq!(&*spec.retention.place.file, path);
    }
}

#[test]
fn what_it_imports_in_turn_must_be_named_too() {
    let base = "import \"more.kdl\"";
    let main = with("import \"../shared/base.kdl\" outside=#true");
    let files = Memory::of(&[
        ("deployfile.kdl", main.as_str()),
        ("../shared/base.kdl", base),
        ("../shared/more.kdl", "vars { a 1; }"),
    ]);
    let found = said(&files);
    assert_eq!(codes(&found), ["config::import"], "{}", found.render(false));
    assert!(found.render(false).contains("--> ../shared/base.kdl:1:8"), "{}", found.render(false));

    let main = format!("{main}import \"../shared/more.kdl\" outside=#true\n");
    let files = Memory::of(&[
        ("deployfile.kdl", main.as_str()),
        ("../shared/base.kdl", base),
        ("../shared/more.kdl", "vars { a 1; }"),
    ]);
    assert!(said(&files).is_empty(), "{}", said(&files).render(false));
}

#[test]
fn it_may_import_what_is_beneath_the_main_files_folder_no_more_than_others() {
    let main = with("import \"../shared/base.kdl\" outside=#true");
    let files = Memory::of(&[
        ("deployfile.kdl", main.as_str()),
        ("../shared/base.kdl", "import \"../project/roles.kdl\""),
        ("../project/roles.kdl", "vars { a 1; }"),
    ]);
    assert_eq!(codes(&said(&files)), ["config::import"]);
}

#[test]
fn its_templates_stand_in_its_own_folder() {
    let stage = |path: &str| format!("stage build {{ template \"{path}\" to=\"conf/a\"; }}");
    let main = with("import \"../shared/base.kdl\" outside=#true");
    let files = |path: &str| {
        Memory::of(&[
            ("deployfile.kdl", main.as_str()),
            ("../shared/base.kdl", &stage(path)),
            ("../shared/t/a.j2", "x {{ app }}"),
            ("../a.j2", "x"),
        ])
    };
    assert!(said(&files("t/a.j2")).is_empty(), "{}", said(&files("t/a.j2")).render(false));
    assert!(said(&files("../a.j2")).has_errors());
}

#[test]
fn all_that_says_what_is_done_is_listed() {
    let main = with("import \"../shared/base.kdl\" outside=#true\nimport \"a.kdl\"");
    let base = "plugin guard { component \"guard.wasm\"; }";
    let files = Memory::of(&[
        ("deployfile.kdl", main.as_str()),
        ("../shared/base.kdl", base),
        ("a.kdl", "stage build { template \"t/a.j2\" to=\"a\"; }"),
        ("t/a.j2", "x"),
    ]);
    let loaded = files.load();
    let project = loaded.project.unwrap_or_else(|| panic!("{}", loaded.diagnostics.render(false)));
    let listed = ["deployfile.kdl", "../shared/base.kdl", "a.kdl", "t/a.j2", "../shared/guard.wasm"];
    assert_eq!(project.files(), listed);
}

/// Files of which one is a link that leads out.
struct Linked(Memory);

impl Files for Linked {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        self.0.read(path)
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, FileError> {
        self.0.list(dir)
    }
    fn leads_out(&self, path: &str) -> bool {
        path == "roles/link.kdl"
    }
}

#[test]
fn a_link_that_leads_out_must_be_named() {
    let load = |imports: &str| {
        let main = with(imports);
        let files = [
            ("deployfile.kdl", main.as_str()),
            ("roles/a.kdl", "vars { a 1; }"),
            ("roles/link.kdl", "vars { b 1; }"),
        ];
        load(&Linked(Memory::of(&files)), "deployfile.kdl").diagnostics
    };
    for imports in ["import \"roles/*.kdl\"", "import \"roles/link.kdl\""] {
        let found = load(imports);
        assert_eq!(codes(&found), ["config::import"], "{}", found.render(false));
        assert!(found.render(false).contains("`roles/link.kdl` is a link that leaves"));
    }
    let named = "import \"roles/*.kdl\"\nimport \"roles/link.kdl\" outside=#true";
    assert!(load(named).is_empty(), "{}", load(named).render(false));
}
