//! Root does not act on a deployfile that others may write; imports from outside the folder are named.

use crate::{Outcome, World};
use deployfile_testkit::{Done, Sandbox};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

const SOMEBODY: u32 = 12_345;

fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        #[expect(clippy::print_stderr, reason = "a skip is said loudly")]
        {
            eprintln!("SKIPPED: {test}: only root can give files away");
        }
    }
    is_root
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// With a template, an import and a component, of which each can be another's.
fn world() -> World {
    let world = World::new();
    world.sandbox.write("roles/web.kdl", "vars { a 1; }\n");
    world.sandbox.write("conf/settings.j2", "a\n");
    let more = "import \"roles/*.kdl\"\nstage build { template \"conf/settings.j2\" to=\"settings.ini\"; }";
    world.file(more);
    world.sandbox.expect(0, &["plan"]);
    world
}

/// Refused, whatever acts; what only looks goes on.
#[track_caller]
fn refuses(world: &World, says: &[&str]) {
    for args in [&["apply", "--yes"][..], &["plan"], &["status"]] {
        world.stops_at(args, &Outcome { exit: 4, code: "config::writable", says });
    }
    let checked = world.sandbox.expect(0, &["check"]);
    assert!(checked.err.contains("warning[config::writable]: "), "{}", checked.err);
    world.sandbox.expect(0, &["fmt", "--check"]);
    world.sandbox.expect(0, &["explain", "retention.keep"]);
}

#[track_caller]
fn accepts(world: &World) {
    let planned = world.sandbox.expect(0, &["plan"]);
    assert!(!planned.err.contains("config::writable"), "{}", planned.err);
}

#[test]
fn whoever_may_write_a_file_or_a_folder_of_it_is_not_trusted() {
    if !is_root("whoever_may_write_a_file_or_a_folder_of_it_is_not_trusted") {
        return;
    }
    let world = world();
    let project = world.sandbox.project();
    for path in ["deployfile.kdl", "roles/web.kdl", "conf/settings.j2", "", "roles", "conf"] {
        let path = if path.is_empty() { project.clone() } else { project.join(path) };
        let was = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        mode(&path, was | 0o002);
        let shown = path.display().to_string();
        refuses(&world, &["everybody may write", &shown, "chmod go-w"]);
        mode(&path, was);
        accepts(&world);
        chown(&path, None, Some(SOMEBODY)).unwrap();
        mode(&path, was | 0o020);
        refuses(&world, &["a group may write", &shown, "chmod go-w"]);
        chown(&path, None, Some(0)).unwrap();
        // The group of root is root.
        accepts(&world);
        mode(&path, was);
        chown(&path, Some(SOMEBODY), None).unwrap();
        refuses(&world, &["belongs to uid 12345", &shown, "chown -h root"]);
        chown(&path, Some(0), None).unwrap();
        accepts(&world);
    }
    mode(&project, 0o1777);
    accepts(&world);
    mode(&project, 0o755);
    world.recovers();
}

#[test]
fn a_link_and_what_stands_on_its_way_is_looked_at_too() {
    if !is_root("a_link_and_what_stands_on_its_way_is_looked_at_too") {
        return;
    }
    let world = world();
    let project = world.sandbox.project();
    let open = world.sandbox.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::rename(project.join("roles/web.kdl"), project.join("web.kdl")).unwrap();
    symlink(project.join("web.kdl"), open.join("hop")).unwrap();
    symlink("../../open/hop", project.join("roles/web.kdl")).unwrap();
    accepts(&world);
    mode(&open, 0o777);
    refuses(&world, &["open"]);
    mode(&open, 0o1777);
    accepts(&world);
    lchown(open.join("hop"), Some(SOMEBODY), None).unwrap();
    refuses(&world, &["open/hop belongs to"]);
    fs::remove_file(open.join("hop")).unwrap();
    fs::remove_file(project.join("roles/web.kdl")).unwrap();
    fs::write(project.join("roles/web.kdl"), "").unwrap();
    world.recovers();
}

#[test]
fn who_called_sudo_is_trusted_with_a_group_of_their_own() {
    if !is_root("who_called_sudo_is_trusted_with_a_group_of_their_own") {
        return;
    }
    let world = world();
    let project = world.sandbox.project();
    for path in ["", "deployfile.kdl", "roles", "roles/web.kdl"] {
        chown(project.join(path), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        let was = fs::metadata(project.join(path)).unwrap().permissions().mode();
        mode(&project.join(path), was | 0o020);
    }
    let plan = |uid: u32| code(world.sandbox.command(&["plan"]).env("SUDO_UID", uid.to_string()));
    assert_eq!(plan(SOMEBODY), 0);
    assert_eq!(plan(SOMEBODY + 1), 4);
    chown(project.join("deployfile.kdl"), None, Some(SOMEBODY + 1)).unwrap();
    assert_eq!(plan(SOMEBODY), 4, "a group of others");
}

fn code(command: &mut std::process::Command) -> i32 {
    command.output().unwrap().status.code().unwrap()
}

#[test]
fn an_import_that_leaves_the_folder_must_be_named() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    fs::write(sandbox.path().join("base.kdl"), "retention { keep 7; }\n").unwrap();
    let write = |imports: &str| {
        sandbox.write(
            "deployfile.kdl",
            &format!(
                "deployfile 1\napp small {{ root \"/srv/small\"; }}\nsource dir \".\"\n{imports}\n\
                 environment local {{ host localhost {{ connect local; }}; }}\n"
            ),
        );
    };
    let explain = || -> Done { sandbox.expect(0, &["explain", "retention.keep"]) };
    write("import \"../base.kdl\"");
    let refused = sandbox.expect(3, &["check"]).err;
    assert!(refused.contains("error[config::import]: `../base.kdl` leaves the folder"), "{refused}");
    assert!(refused.contains("deployfile.kdl:4:8") && refused.contains("outside=#true"), "{refused}");
    write("import \"../base.kdl\" outside=#true");
    assert!(explain().out.contains("../base.kdl:1"), "{}", explain().out);
    let absolute = sandbox.path().join("base.kdl");
    write(&format!("import {absolute:?} outside=#true"));
    explain();

    // A link leads out as `..` does.
    symlink("../base.kdl", sandbox.project().join("base.kdl")).unwrap();
    write("import \"base.kdl\"");
    let refused = sandbox.expect(3, &["check"]).err;
    assert!(refused.contains("`base.kdl` is a link that leaves the folder"), "{refused}");
    write("import \"base.kdl\" outside=#true");
    explain();
    // Links within the folder are nobody's business, and the folder itself may be one.
    fs::create_dir(sandbox.project().join("real")).unwrap();
    sandbox.write("real/a.kdl", "retention { keep 7; }\n");
    symlink("real", sandbox.project().join("linked")).unwrap();
    write("import \"linked/a.kdl\"");
    explain();
    symlink("project", sandbox.path().join("other")).unwrap();
    let through = sandbox.path().join("other/deployfile.kdl").display().to_string();
    sandbox.expect(0, &["-f", &through, "check"]);
}
