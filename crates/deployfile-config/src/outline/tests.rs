//! A `|` in a text is the place that is asked for.

use super::*;
use crate::files::{FileError, Files};

fn cut(text: &str) -> (String, usize) {
    let at = text.find('|').unwrap();
    (text.replacen('|', "", 1), at)
}

/// What is offered at the `|`, and the text that it replaces.
fn offers(text: &str) -> (String, Vec<String>) {
    let (text, at) = cut(text);
    let outline = Outline::of(&text);
    let (range, offers) = outline.at(at).offers(&|kind| outline.names(kind, Some(at)));
    (text[range].to_owned(), offers.into_iter().map(|offer| offer.text).collect())
}

#[track_caller]
fn offered(text: &str, wanted: &[&str], not: &[&str]) {
    let (_, offers) = offers(text);
    wanted.iter().for_each(|one| assert!(offers.iter().any(|o| o == one), "{one} is missing: {offers:?}"));
    not.iter().for_each(|one| assert!(!offers.iter().any(|o| o == one), "{one} is too much: {offers:?}"));
}

fn refers(text: &str) -> Option<(String, String)> {
    let (text, at) = cut(text);
    match Outline::of(&text).at(at).refers("sub/part.kdl")? {
        Refers::Name { kind, name } => Some((kind.to_owned(), name)),
        Refers::File(path) => Some(("file".to_owned(), path)),
    }
}

fn path(text: &str) -> Option<String> {
    let (text, at) = cut(text);
    Outline::of(&text).at(at).path()
}

#[test]
fn settings_of_the_block_are_offered_however_the_line_looks() {
    offered("|", &["deployfile", "app", "service"], &["numprocs", "keep"]);
    offered("service web {\n  num|\n  command \"x\"\n}", &["numprocs", "manager"], &["command", "app"]);
    offered("service web { command \"x\"; |", &["numprocs"], &["command", "service"]);
    offered("role r { service web {\n |\n} }\nretention { keep 5; }", &["numprocs"], &["keep"]);
    offered("service web {\n  env {\n |", &[], &["numprocs", "command"]);
    offered("service web {\n /- numprocs 2\n |\n}", &["numprocs"], &[]);
    offered("service web { numprocs 2; }\nservice other { |", &["numprocs"], &[]);
    offered("deployfile 1\n|", &["app"], &["deployfile"]);
    offered("// |", &[], &["app"]);
    offered("/* | */", &[], &["app"]);
    offered("app x { root \"// |\"; }", &[], &["current"]);
    assert_eq!(offers("service web {\n  nu|m 2\n}").0, "num");
}

#[test]
fn markers_and_lists_that_stand_already() {
    offered("(de|)retention { }", &["default", "force"], &["app"]);
    offered("service web { roles a; (add)| }", &["roles"], &[]);
    offered("service web { roles a; | }", &["numprocs"], &["roles"]);
}

#[test]
fn values_are_words_names_and_properties() {
    offered("service web {\n manager |", &["builtin", "supervisor", "socket="], &["true"]);
    offered("service web {\n on-deploy han|dover\n}", &["handover"], &[]);
    offered("stage build { sh \"x\" |", &["timeout="], &["mode="]);
    offered("stage build { sh \"x\" timeout=\"5s\" | }", &[], &["timeout="]);
    offered("stage build { template \"a\" kind=|", &["ini", "nginx"], &["to="]);
    offered("stage build { template \"a\" kind= | }", &["ini"], &["to="]);
    offered("stage build { template \"a\" kind=\"i|\" }", &["ini"], &[]);
    offered("source git x submodules=|", &["#true"], &[]);
    offered("plugin guard { }\nstage s { before { hook | } }", &["guard", "on-error="], &["s"]);
    offered("plugin guard { }\nstage s { before { hook \"gu|\" } }", &["guard"], &["on-error="]);
    offered("secret db env DB\nenv { A (secret)|", &["db"], &["A"]);
    offered("secret db env DB\nenv { A (|", &["secret"], &[]);
    offered("secret db env DB\nenv { A |", &["(secret)db"], &[]);
    offered("secret db env DB\nplugin p { allow secret=|", &["db"], &["p"]);
    offered("role web { }\nenvironment e { host h { roles | } }", &["web"], &["h"]);
    offered("environment e { host a { roles db; }; host h { roles | } }", &["db"], &[]);
    offered("environment e { host a { roles d|; }; }", &[], &["d"]);
    assert_eq!(offers("plugin guard { }\nstage s { before { hook \"gu|\" } }").0, "gu");
}

#[test]
fn look_ups_that_are_known_where_they_stand() {
    let vars = "vars { port 1; }\n";
    offered(
        &format!("{vars}service web {{ command \"{{{{ |"),
        &["release", "service", "vars.port"],
        &["builtin"],
    );
    offered(&format!("{vars}service web {{ command \"{{{{ vars.p| }}}}/x\" }}"), &["vars.port"], &[]);
    offered("app x { root \"/srv/{{ |", &["environment"], &["release", "service"]);
    offered("link \"{{ a }}|\"", &[], &["release"]);
    offered("link \"{{ time | date(|\"", &[], &["release"]);
    offered("stage build { sh \"{{ |\" }", &[], &["release"]);
    let (text, _) = offers("link \"{{ rel|ease }}\"");
    assert_eq!(text, "release");
}

#[test]
fn names_refer_to_what_is_declared() {
    let is = |kind: &str, name: &str| Some((kind.to_owned(), name.to_owned()));
    assert_eq!(refers("stage s { before { hook gu|ard } }"), is("plugin", "guard"));
    assert_eq!(refers("env { A (secret)\"d|b\" }"), is("secret", "db"));
    assert_eq!(refers("plugin p { allow secret=d|b }"), is("secret", "db"));
    assert_eq!(refers("stage s { before { hook x secret=d|b } }"), None);
    assert_eq!(refers("service web { use ba|se }"), is("service", "base"));
    assert_eq!(refers("environment e { use li|ve }"), is("profile", "live"));
    assert_eq!(refers("environment e { host h { roles a b| } }"), is("role", "b"));
    assert_eq!(refers("service web { command \"{{ vars.po|rt }}\" }"), is("vars", "port"));
    assert_eq!(refers("import \"x/|*.kdl\""), is("file", "sub/x/*.kdl"));
    assert_eq!(refers("import \"../|a.kdl\""), is("file", "a.kdl"));
    assert_eq!(refers("stage build { template \"t|.j2\" to=x }"), is("file", "sub/t.j2"));
    assert_eq!(refers("plugin p { component \"p|.wasm\" }"), is("file", "p.wasm"));
    assert_eq!(refers("import \"../../|a.kdl\" outside=#true"), is("file", "../a.kdl"));
    assert_eq!(refers("stage build { template \"../../|a.j2\" }"), None);
}

#[test]
fn paths_are_those_of_explain() {
    let is = |path: &str| Some(path.to_owned());
    assert_eq!(path("role web { service a { num|procs 2 } }"), is("service.a.numprocs"));
    assert_eq!(path("environment e { retention { keep| 2 } }"), is("retention.keep"));
    assert_eq!(path("app x { ro|ot \"/\" }"), is("app.root"));
    assert_eq!(path("vars { po|rt 1 }"), is("vars.port"));
    assert_eq!(path("when environment=x { env { A| 1 } }"), is("env.A"));
    assert_eq!(path("stage s { ru|n x }"), None);
    assert_eq!(path("nonsense { ru|n x }"), None);
}

#[test]
fn declarations_are_what_is_written_and_not_behind_slashdash() {
    let text = "plugin a { component \"x\"; }\n/- plugin b { }\nvars { p 1; }\nenvironment e { secret s env S; }\n{ plugin c { } }";
    let outline = Outline::of(text);
    let all: Vec<_> = outline.declared().map(|one| (one.kind, one.name, &text[one.range])).collect();
    assert_eq!(
        all,
        [("plugin", "a", "a"), ("vars", "p", "p"), ("environment", "e", "e"), ("secret", "s", "s")]
    );
    let muted = "app x /- { root \"/\"; }\nplugin p /- y { }";
    assert_eq!(Outline::of(muted).beneath(Some(0)).count(), 0);
    assert_eq!(Outline::of(muted).beneath(None).count(), 2);
}

#[test]
fn environments_and_hosts_around() {
    let (text, at) = cut("environment prod { host \"web[1:2]\" { service a { numprocs| 1 } } }");
    let outline = Outline::of(&text);
    let spot = outline.at(at);
    assert_eq!((spot.environment(), spot.host()), (Some("prod"), Some("web[1:2]")));
}

#[test]
fn nothing_that_is_typed_is_too_strange() {
    let pieces = [
        "a", " ", "\n", ";", "{", "}", "/-", "=", "(t)", "(", ")", "\"x\"", "\"", "#", "#\"", "\"\"\"", "\\",
        "//", "/*", "/", "é", "env", "{{",
    ];
    let mut seed = 7u64;
    for _ in 0..3000 {
        let mut text = String::new();
        for _ in 0..8 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
        }
        let outline = Outline::of(&text);
        for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            let spot = outline.at(at);
            let (range, _) = spot.offers(&|kind| outline.names(kind, Some(at)));
            assert!(range.start <= at && at <= range.end, "{text:?} at {at}: {range:?}");
            assert!(text.get(range).is_some(), "{text:?} at {at}");
            let _ = (spot.refers("a"), spot.path(), spot.spec());
        }
        outline.declared().for_each(|one| assert_eq!(&text[one.range], one.name));
    }
    let deep = "a {".repeat(100_000);
    assert!(Outline::of(&deep).at(deep.len()).path().is_none());
}

struct Folder;
impl Files for Folder {
    fn read(&self, _: &str) -> Result<Vec<u8>, FileError> {
        Err(FileError::NotFound)
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, FileError> {
        Ok(if dir == "x" {
            vec!["b.kdl".into(), "a.kdl".into(), "a.txt".into()]
        } else {
            vec!["r.kdl".into()]
        })
    }
}

#[test]
fn files_that_an_import_means() {
    assert_eq!(files_meant(&Folder, "x/*.kdl"), ["x/a.kdl", "x/b.kdl"]);
    assert_eq!(files_meant(&Folder, "?.kdl"), ["r.kdl"]);
    assert_eq!(files_meant(&Folder, "y/z.kdl"), ["y/z.kdl"]);
}
