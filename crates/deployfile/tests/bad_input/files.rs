//! The deployfile itself, and what it names: files that are missing, unreadable or not what they should be.

use crate::{Outcome, World};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn a_deployfile_that_cannot_be_read() {
    let world = World::new();
    let project = world.sandbox.project();
    let stops = |args: &[&str], code, says: &[&str]| {
        world.stops_at(args, &Outcome { exit: 3, code, says });
    };
    stops(&["-f", "none.kdl", "apply", "--yes"], "config::unreadable", &["`none.kdl`", "deployfile init"]);
    stops(&["-f", "src", "apply", "--yes"], "config::unreadable", &["`src`", "not a file"]);
    stops(&["-f", "/nowhere/x.kdl", "apply", "--yes"], "config::unreadable", &["`/nowhere/x.kdl`", "help: "]);
    let folder = project.display().to_string();
    let file = format!("-f {folder}/deployfile.kdl");
    stops(&["-f", &folder, "apply", "--yes"], "config::unreadable", &["not a file", &file]);
    fs::write(project.join("latin.kdl"), b"deployfile 1\napp caf\xe9 {}\n").unwrap();
    stops(&["-f", "latin.kdl", "apply", "--yes"], "config::encoding", &["latin.kdl:2:", "UTF-8"]);
    fs::remove_file(project.join("deployfile.kdl")).unwrap();
    stops(&["apply", "--yes"], "config::missing", &["deployfile.kdl", "deployfile init"]);
    world.recovers();
}

#[test]
fn several_mistakes_are_told_at_once_each_with_its_place() {
    let world = World::new();
    world.sandbox.write(
        "deployfile.kdl",
        "deployfile 1\napp small { root \"relative\"; }\nsourc dir \"src\"\n\
         retention { keep \"many\"; }\nservice web { comand \"x\"; }\n\
         environment local { host localhost { connect local; }; }\n",
    );
    let says = [
        "deployfile.kdl:2:",
        "not absolute",
        "deployfile.kdl:3:1",
        "did you mean `source`",
        "deployfile.kdl:4:",
        "deployfile.kdl:5:",
        "`command`",
    ];
    let outcome = Outcome { exit: 3, code: "config::unknown-node", says: &says };
    let error = world.stops(&outcome);
    assert_eq!((&error["at"]["file"], &error["at"]["line"]), (&"deployfile.kdl".into(), &3.into()));
    let document = world.sandbox.json(3, &["check"]);
    let errors = document["errors"].as_array().unwrap();
    assert!(errors.len() >= 4, "{errors:?}");
    assert!(errors.iter().all(|error| error["at"]["column"].is_u64()));
    world.recovers();
}

#[test]
fn names_that_nothing_declares() {
    let world = World::new();
    for (more, says) in [
        ("stage build { before { hook nobody; }; }", "nobody"),
        ("env { A (secret)nobody; }", "nobody"),
        ("env { A \"{{ vars.nobody }}\"; }", "nobody"),
        ("service web { use nobody; }", "nobody"),
    ] {
        world.file(more);
        let done = world.sandbox.expect(3, &["apply", "--yes"]);
        assert!(done.err.contains(says) && done.err.contains("deployfile.kdl:4:"), "{}", done.err);
    }
    world.recovers();
}

#[test]
fn a_release_id_that_climbs() {
    let world = World::new();
    let root = format!("root \"{}\"", world.sandbox.root().display());
    world.file_with_app(&format!("{root}; release-id \"../x\""), "");
    let says = ["`../x` cannot name a release", "one path component"];
    world.stops(&Outcome { exit: 3, code: "config::release-id", says: &says });
    // What only a look-up gives is known when the plan is made.
    world.file_with_app(&format!("{root}; release-id \"{{{{ vars.id }}}}\""), "vars { id \"../x\"; }");
    world.stops(&Outcome { exit: 3, code: "config::release-id", says: &["../x"] });
    world.file("");
    for args in [["rollback", "--yes", "--to", "../x"], ["release", "rm", "../x", "--yes"]] {
        world.stops_at(&args, &Outcome { exit: 2, code: "cli::release", says: &["../x"] });
    }
    assert!(!world.sandbox.path().join("x").exists());
    world.recovers();
}

#[test]
fn a_source_that_is_not_there_or_leads_out() {
    let world = World::new();
    let moved = world.sandbox.project().join("moved");
    fs::rename(world.sandbox.project().join("src"), &moved).unwrap();
    let says = ["project/src", "does not exist", "folder of the deployfile"];
    world.stops(&Outcome { exit: 1, code: "source::dir-missing", says: &says });
    fs::write(world.sandbox.project().join("src"), "a file").unwrap();
    world.stops(&Outcome { exit: 1, code: "source::dir-missing", says: &["it is a file"] });
    fs::remove_file(world.sandbox.project().join("src")).unwrap();
    fs::rename(moved, world.sandbox.project().join("src")).unwrap();

    let link = world.sandbox.project().join("src/passwords");
    symlink("/etc/passwd", &link).unwrap();
    let says = ["`passwords`", "/etc/passwd", "`shared` or `link`"];
    world.stops(&Outcome { exit: 4, code: "source::symlink-leaves", says: &says });
    fs::remove_file(link).unwrap();
    world.recovers();
}
