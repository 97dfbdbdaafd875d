//! Files that are no components, or not the right ones.

use crate::world::{GUARD, GUEST, World, name};
use deployfile_hooks::{Capability, check_grants, inspect, pins};
use deployfile_model::Grant;
use deployfile_record::FailureKind;

#[test]
fn what_is_no_component_is_refused() {
    for (bytes, says) in [
        (&b"\0asm\x01\0\0\0"[..], "core module"),
        (b"hello", "not a WebAssembly file"),
        (b"\x7fELF\x02\x01\x01", "compiled code"),
        (b"\0asm\x0d\0\x01\0", "it is no hook"),
        (&GUEST[..GUEST.len() / 2], "not a valid component"),
    ] {
        let called = World::of(bytes, "{}").call();
        called.fails("hook::component", &["plugin `guest`", says]);
        assert_eq!(called.failure().kind, FailureKind::Refused);
    }
}

#[test]
fn a_component_that_is_not_the_pinned_one_is_refused() {
    let mut world = World::doing(r#"{"do":"nothing"}"#);
    world.host = crate::world::host_with(world.root().join("cache"), None, &[]);
    let path = deployfile_hooks::component_path(&world.hook.component);
    std::fs::write(world.root().join(path.as_str()), GUARD).unwrap();
    let called = world.call();
    called.fails("hook::digest", &["is not the pinned one", "deployfile.lock"]);
    assert_eq!(called.failure().kind, FailureKind::Refused);
}

#[test]
fn a_component_that_is_missing_is_told() {
    let mut world = World::doing(r#"{"do":"nothing"}"#);
    world.host = crate::world::host_with(world.root().join("cache"), None, &[]);
    std::fs::remove_dir_all(world.root().join(".deployfile/plugins")).unwrap();
    world.call().fails("hook::component", &["cannot read the component of plugin `guest`"]);
}

#[test]
fn inspection_proves_what_a_component_cannot_do() {
    let guard = inspect(GUARD);
    assert_eq!((guard.unusable.as_deref(), guard.world), (None, Some("hook")));
    assert!(
        guard.imports_interface("files")
            && !guard.imports_interface("exec")
            && !guard.imports_interface("http")
    );
    assert!(guard.imports.iter().all(|import| import.starts_with("deployfile:hook/")), "{:?}", guard.imports);
    let requests = guard.requests.clone().unwrap();
    assert_eq!(requests[0].capability, Capability::Read);
    assert_eq!(guard.manifest.as_ref().unwrap().name, "release-guard");
    assert!(guard.size <= 100 << 10, "{}", guard.size);
}

#[test]
fn grants_are_held_against_the_manifest() {
    let guard = inspect(GUARD);
    let check = check_grants(&guard, &[]);
    assert!(check.missing[0].starts_with("allow read=\"release:\""), "{check:?}");
    let check = check_grants(&guard, &[Grant::Read { path: "release:".to_owned() }, Grant::Plan]);
    assert!(check.missing.is_empty());
    assert_eq!(check.unused, ["allow plan"]);
}

#[test]
fn a_pin_of_a_component_is_readable() {
    let pin = pins::Pin::of("plugins/release-guard.wasm", &inspect(GUARD)).unwrap();
    let pins = pins::Pins::from([(name("release-guard"), pin)]);
    let text = pins::write(&pins);
    assert!(text.contains("  world hook\n") && text.contains("  request read \"release:\"\n"), "{text}");
    assert_eq!(pins::read(&text).unwrap(), pins);
    assert!(pins::Pin::of("x", &inspect(b"x")).is_none());
}

#[test]
fn an_import_that_this_host_lacks_is_refused() {
    let mut foreign = GUEST.to_vec();
    // The name stands in the component as it is; one of the same length keeps everything else valid.
    let (from, to) = (b"deployfile:hook/metrics@1.0.0", b"deployfile:hook/kernels@1.0.0");
    let places: Vec<usize> =
        (0..foreign.len() - from.len()).filter(|at| foreign[*at..].starts_with(from)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| foreign[at..at + to.len()].copy_from_slice(to));
    World::of(&foreign, "{}")
        .call()
        .fails("hook::component", &["deployfile:hook/kernels@1.0.0", "does not have"]);
}

#[test]
fn a_newer_contract_is_refused_with_what_to_do() {
    let mut newer = GUEST.to_vec();
    let (from, to) = (b"deployfile:hook/log@1.0.0", b"deployfile:hook/log@1.9.0");
    let places: Vec<usize> =
        (0..newer.len() - from.len()).filter(|at| newer[*at..].starts_with(from)).collect();
    places.into_iter().for_each(|at| newer[at..at + to.len()].copy_from_slice(to));
    World::of(&newer, "{}").call().fails("hook::component", &["log@1.9.0", "update deployfile"]);
}
