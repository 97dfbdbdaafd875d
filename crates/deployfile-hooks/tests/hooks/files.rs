//! Files: what was granted, and nothing beside it.

use crate::world::World;
use deployfile_model::{Phase, Stage};

fn reading(path: &str) -> World {
    World::doing(&format!(r#"{{"do":"read","path":{}}}"#, serde_json::to_string(path).unwrap()))
        .file("releases/r1/public/a.txt", "hello")
        .file("releases/r1/secret.txt", "hidden")
        .file("outside.txt", "outside")
}

#[test]
fn what_is_granted_can_be_read() {
    assert_eq!(reading("release:public/a.txt").read("release:public").call().summary(), "hello");
    assert_eq!(reading("release:secret.txt").read("release:").call().summary(), "hidden");
}

#[test]
fn what_is_not_granted_is_denied_with_the_missing_line() {
    let called = reading("release:public/a.txt").call();
    called.is_denied("allow read=\"release:public/a.txt\"");
    reading("release:secret.txt")
        .read("release:public")
        .call()
        .is_denied("allow read=\"release:secret.txt\"");
    reading("shared:x").read("release:").call().is_denied("allow read=\"shared:x\"");
}

#[test]
fn no_path_climbs() {
    for path in [
        "release:../../outside.txt",
        "release:public/../../../outside.txt",
        "release:/etc/passwd",
        "/etc/passwd",
        "release:a//b",
        "release:./a",
        "release:a\0b",
        "outside.txt",
        &format!("release:{}", "x".repeat(10_000)),
    ] {
        let called = reading(path).read("release:").call();
        called.fails("hook::error", &["path"]);
        assert!(!called.all().contains("outside\""), "{path}");
    }
}

#[test]
fn no_link_is_followed() {
    for (target, path) in [("../../../outside.txt", "release:link"), ("/etc/passwd", "release:link")] {
        let mut world = reading(path).read("release:");
        std::os::unix::fs::symlink(target, world.root().join("releases/r1/link")).unwrap();
        world.call().fails("hook::error", &["symlink"]);
    }
    let mut world = reading("release:dir/outside.txt").read("release:");
    std::os::unix::fs::symlink("../..", world.root().join("releases/r1/dir")).unwrap();
    world.call().fails("hook::error", &["symlink"]);
}

#[test]
fn special_files_do_not_block() {
    let mut world = reading("release:pipe").read("release:");
    let pipe = world.root().join("releases/r1/pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    world.call().fails("hook::error", &["special file"]);
}

#[test]
fn listing_tells_kinds_and_sizes() {
    let mut world = reading("");
    world.config(r#"{"do":"list","path":"release:"}"#);
    std::os::unix::fs::symlink("x", world.root().join("releases/r1/link")).unwrap();
    let called = world.read("release:").call();
    assert_eq!(
        called.summary(),
        "link EntryKind::Symlink 0, public EntryKind::Directory 0, secret.txt EntryKind::File 6"
    );
}

#[test]
fn writing_needs_its_own_grant_and_replaces() {
    let deed = r#"{"do":"write","path":"shared:sub/f.txt","text":"new"}"#;
    World::doing(deed).read("shared:").call().is_denied("allow write=\"shared:sub/f.txt\"");
    let mut world = World::doing(deed).write("shared:sub").file("shared/sub/f.txt", "old");
    assert_eq!(world.call().summary(), "written");
    assert_eq!(std::fs::read_to_string(world.root().join("shared/sub/f.txt")).unwrap(), "new");
    world.config(r#"{"do":"remove","path":"shared:sub/f.txt"}"#);
    assert_eq!(world.call().summary(), "removed");
    world.call().fails("hook::error", &["does not exist"]);
}

#[test]
fn a_sealed_release_does_not_change() {
    let deed = r#"{"do":"write","path":"release:f.txt","text":"new"}"#;
    let mut world = World::doing(deed).write("release:");
    assert_eq!(world.call().summary(), "written");
    for (stage, phase) in
        [(Stage::Seal, Phase::After), (Stage::Switch, Phase::Before), (Stage::Failed, Phase::After)]
    {
        let mut world = World::doing(deed).write("release:");
        (world.hook.stage, world.hook.phase) = (stage, phase);
        world.call().is_denied("after `seal`");
        assert!(!world.root().join("releases/r1/f.txt").exists());
    }
    let mut world = World::doing(deed).write("release:");
    world.plan.goal = deployfile_record::Goal::Rollback;
    world.call().is_denied("after `seal`");
}

#[test]
fn a_write_does_not_follow_a_link() {
    let mut world = World::doing(r#"{"do":"write","path":"shared:link","text":"new"}"#)
        .write("shared:")
        .file("outside.txt", "outside");
    std::os::unix::fs::symlink("../outside.txt", world.root().join("shared/link")).unwrap();
    world.call().fails("hook::error", &["symlink"]);
    assert_eq!(std::fs::read_to_string(world.root().join("outside.txt")).unwrap(), "outside");
}

#[test]
fn state_files_are_the_plugins_own() {
    let mut world = World::doing(r#"{"do":"write","path":"state:a/b.txt","text":"kept"}"#).write("state:");
    assert_eq!(world.call().summary(), "written");
    let kept = world.root().join(".deployfile/state/guest/files-production/a/b.txt");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "kept");
}
