use super::super::table;
use super::*;
use crate::workspace::{Package, Reach};

fn found(text: &str) -> Vec<String> {
    let source = Source::read(text).unwrap();
    breaches(&source).into_iter().map(|b| format!("{} {}", b.line, b.path)).collect()
}

#[test]
fn what_touches_the_world_is_caught_however_it_is_written() {
    let cases = [
        ("use std::fs;", "1 std::fs"),
        ("\nuse std::{collections::BTreeMap, fs::{self, File}};", "2 std::fs"),
        ("use std::{io, env as surroundings};", "1 std::env"),
        ("fn f() { let t = std::time::Instant::now(); }", "1 std::time::Instant::now"),
        ("use std::time;\nfn f() -> time::SystemTime { todo() }", "2 std::time::SystemTime"),
        ("fn f() { ::std::process::exit(1) }", "1 std::process::exit"),
        ("fn f() { format!(\"{:?}\", std::env::var(\"HOME\")); }", "1 std::env::var"),
        ("fn f(c: std::net::TcpStream) {}", "1 std::net::TcpStream"),
        ("use std as s;\nfn f() { s::thread::yield_now() }", "2 std::thread::yield_now"),
        ("use other::HashMap;", "1 other::HashMap"),
        ("fn f() { x.iter().collect::<std::collections::HashSet<_>>(); }", "1 std::collections::HashSet"),
        ("use std::time::*;", "1 std::time"),
        ("use std::collections::*;", "1 std::collections"),
        ("fn f() { for _ in 0..std::env::args().count() {} }", "1 std::env::args"),
        ("async fn f() {}", "1 async"),
    ];
    for (text, expected) in cases {
        assert_eq!(found(text), [expected], "{text}");
    }
}

#[test]
fn what_is_pure_or_of_tests_passes() {
    let cases = [
        "use std::time::Duration;",
        "use std::path::*; // std::fs",
        "/// Like `std::fs::read`.\nfn f() -> &'static str { \"std::env::var\" }",
        "fn f() { \"::1\".parse::<std::net::Ipv6Addr>(); }",
        "use crate::fs; fn f() { fs::read(); }",
        "fn f(env: &Env) { self.thread.env(env) }",
        "#[cfg(test)]\nmod tests { use std::fs; }",
        "#[cfg(test)]\n#[allow(missing_docs)]\nuse std::{env, fs};",
        "#[cfg(all(test, unix))]\nfn f() { std::fs::read(p); }",
    ];
    for text in cases {
        assert_eq!(found(text), [""; 0], "{text}");
    }
}

#[test]
fn what_stands_after_a_test_item_is_looked_at() {
    assert_eq!(found("#[cfg(test)]\nuse a::b;\nuse std::fs;"), ["3 std::fs"]);
    assert_eq!(found("#[cfg(not(test))]\nuse std::fs;"), ["2 std::fs"]);
}

/// A workspace with one pure crate whose source is `files`.
fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join("crates/model/src").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let package = Package {
        name: "model".to_owned(),
        version: "0.1.0".to_owned(),
        license: None,
        manifest_path: folder.path().join("crates/model/Cargo.toml"),
        dependencies: Vec::new(),
    };
    let workspace = Workspace { root: folder.path().to_owned(), packages: vec![package] };
    (folder, workspace)
}

const PURE: &[Crate] = &[Crate { name: "model", ring: Ring::Pure, ours: &[], theirs: &[] }];
const EDGE: &[Crate] = &[Crate { name: "model", ring: Ring::Edge, ours: &[], theirs: &[] }];

fn shown(table: &[Crate], excuses: &[Excuse], workspace: &Workspace) -> Vec<String> {
    check(table, excuses, workspace).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn a_broken_tree_is_caught_with_file_and_line_and_only_where_the_crate_is_pure() {
    let (_folder, workspace) = tree(&[("lib.rs", "mod deep;\n"), ("deep/mod.rs", "\nuse std::fs::File;\n")]);
    assert_eq!(
        shown(PURE, &[], &workspace),
        [
            "crates/model/src/deep/mod.rs:2: `std::fs::File` in a pure crate\n  the core is told, it never looks: \
          take what is needed as a value"
        ]
    );
    assert_eq!(shown(EDGE, &[], &workspace), [""; 0]);
}

#[test]
fn test_modules_in_files_of_their_own_are_free() {
    let (_folder, workspace) = tree(&[
        ("lib.rs", "mod machine;\n#[cfg(test)]\nmod tests;\n"),
        ("tests.rs", "mod part;"),
        ("tests/part.rs", "use std::fs;"),
        ("machine.rs", "#[cfg(test)]\nmod tests;\n"),
        ("machine/tests.rs", "use std::fs;"),
        ("machine/testsuite.rs", "use std::env;"),
    ]);
    let found = shown(PURE, &[], &workspace);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("machine/testsuite.rs"), "{}", found[0]);
}

#[test]
fn an_excuse_holds_for_its_file_and_path_only_and_must_be_needed() {
    let (_folder, workspace) = tree(&[("lib.rs", "use std::thread;\nuse std::fs;")]);
    let for_threads = Excuse { file: "crates/model/src/lib.rs", path: "std::thread" };
    let found = shown(PURE, &[for_threads], &workspace);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("std::fs"), "{}", found[0]);

    let idle = Excuse { file: "crates/model/src/lib.rs", path: "std::net" };
    assert!(shown(PURE, &[idle], &workspace).iter().any(|v| v.contains("delete the excuse")));
}

#[test]
fn our_own_workspace_keeps_the_rules() {
    let workspace = Workspace::here(Reach::Members).unwrap();
    assert_eq!(shown(table::CRATES, table::EXCUSES, &workspace), [""; 0]);
    // Without its excuse, the one thread of the pure ring is seen.
    assert!(shown(table::CRATES, &[], &workspace).iter().any(|v| v.contains("`std::thread")));
}
