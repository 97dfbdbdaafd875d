//! `plugins/release-guard`, as the quickstart uses it.

use crate::world::{GUARD, World};

fn guarding(config: &str) -> World {
    World::of(GUARD, config)
        .read("release:")
        .file("releases/r1/public/index.html", "<h1>hello</h1>")
        .file("releases/r1/app.py", "print('hello')")
        .file("releases/r1/.release/env", "not looked at")
}

#[test]
fn a_good_release_passes_and_its_facts_are_noted() {
    let called = guarding(r#"{"max-size":"1MiB","max-files":10,"require":"app.py"}"#).call();
    assert_eq!(called.summary(), "2 files, 28 bytes");
    let notes = &called.result.as_ref().unwrap().notes;
    let note = |key: &str| notes.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    assert_eq!((note("bytes"), note("files"), note("directories")), (Some("28"), Some("2"), Some("1")));
    assert_eq!((note("build-id"), note("symlinks")), (Some("build-7"), Some("0")));
    assert!(called.heard.warnings.is_empty());
}

#[test]
fn what_must_not_be_there_is_vetoed() {
    for (config, file, says) in [
        ("{}", "sub/.env", "must not hold `sub/.env`"),
        ("{}", "tls/site.pem", "`tls/site.pem`"),
        (r#"{"forbid":["*.sql","public/*.map"]}"#, "dump.sql", "`dump.sql`"),
        (r#"{"max-size":"27B"}"#, "x", "max-size is 27"),
        (r#"{"max-files":2}"#, "x", "holds 3 files, max-files is 2"),
        (r#"{"max-file-size":"13B"}"#, "x", "max-file-size is 13"),
        (r#"{"require":["app.py","index.php"]}"#, "x", "lacks `index.php`"),
    ] {
        let called = guarding(config).file(&format!("releases/r1/{file}"), "x").call();
        let halt = called.result.unwrap().halt.unwrap_or_default();
        assert!(halt.contains(says), "{config} {file}: {halt}");
    }
}

#[test]
fn what_is_excepted_passes() {
    let called = guarding(r#"{"except":"tests/*.pem"}"#).file("releases/r1/tests/ca.pem", "x").call();
    assert_eq!(called.result.unwrap().halt, None);
}

#[test]
fn a_wrong_setting_and_a_missing_grant_are_told() {
    guarding(r#"{"max-size":"lots"}"#).call().fails("hook::error", &["max-size `lots` is not a size"]);
    guarding(r#"{"max-sice":"1MiB"}"#).call().fails("hook::error", &["unknown field `max-sice`"]);
    let mut world = guarding("{}");
    world.hook.grants.clear();
    world.call().is_denied("allow read=\"release:\"");
}
