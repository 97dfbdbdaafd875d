//! Roots that deployfile must not use, and a `current` that it did not make.

use crate::{Outcome, World};
use deployfile_testkit::needs::skip;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

#[test]
fn a_root_that_is_no_directory_of_its_own() {
    let world = World::new();
    for (root, says) in [("/", "`/`"), ("relative/root", "not absolute"), ("/srv/../etc", "`..`")] {
        world.file_with_app(&format!("root \"{root}\""), "");
        world.stops(&Outcome { exit: 3, code: "config::root", says: &["deployfile.kdl:2:", says, "help: "] });
    }
    let link = world.sandbox.path().join("link");
    symlink(world.sandbox.root(), &link).unwrap();
    world.file_with_app(&format!("root \"{}\"", link.display()), "");
    let real = world.sandbox.root().display().to_string();
    let error = world.stops(&Outcome { exit: 4, code: "root::unusable", says: &["symlink", &real] });
    // The message says what to do; it is not said twice.
    assert!(
        error["message"].as_str().unwrap().contains("name the real directory") && error["help"].is_null()
    );
    let file = world.sandbox.path().join("file");
    fs::write(&file, "").unwrap();
    world.file_with_app(&format!("root \"{}\"", file.display()), "");
    world.stops(&Outcome { exit: 4, code: "root::unusable", says: &["it is a file", "move it away"] });
    world.recovers();
}

#[test]
fn a_root_that_others_may_write_in_or_own() {
    let world = World::new();
    let root = world.sandbox.root();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
    world.stops(&Outcome { exit: 4, code: "root::unusable", says: &["mode 0777", "chmod go-w"] });
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    if chown(&root, Some(12_345), None).is_ok() {
        world.stops(&Outcome {
            exit: 4,
            code: "root::unusable",
            says: &["belongs to user 12345", "its owner"],
        });
        chown(&root, Some(0), None).unwrap();
    } else {
        skip("a root of somebody else", "only root can give a directory away");
    }
    world.recovers();
}

#[test]
fn a_current_that_deployfile_did_not_make() {
    let world = World::new();
    let (current, kept) = (world.sandbox.root().join("current"), world.sandbox.path().join("kept"));
    fs::rename(&current, &kept).unwrap();
    let elsewhere = world.sandbox.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("hello.txt"), "by hand").unwrap();
    world.sandbox.write("src/hello.txt", "new");

    symlink(&elsewhere, &current).unwrap();
    world.stops(&Outcome {
        exit: 4,
        code: "plan::current-foreign",
        says: &["elsewhere", "move the link away"],
    });
    fs::remove_file(&current).unwrap();

    symlink("releases/made-by-hand", &current).unwrap();
    fs::create_dir(world.sandbox.root().join("releases/made-by-hand")).unwrap();
    fs::write(world.sandbox.root().join("releases/made-by-hand/hello.txt"), "by hand").unwrap();
    world.stops(&Outcome { exit: 4, code: "plan::current-unsealed", says: &["made-by-hand", "sealed"] });
    fs::remove_file(&current).unwrap();

    fs::rename(&elsewhere, &current).unwrap();
    world.stops(&Outcome { exit: 4, code: "plan::current-not-a-link", says: &["real directory", "mv "] });
    fs::rename(&current, &elsewhere).unwrap();

    fs::rename(kept, current).unwrap();
    world.recovers();
}
