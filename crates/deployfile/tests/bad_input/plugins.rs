//! Plugins that are not what they should be, and plugins that misbehave.

use crate::{Outcome, World};
use std::fs;
use std::path::PathBuf;

/// The component that does what its configuration says (plugins/testguests).
fn guest() -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../plugins/testguests/testguests.wasm"))
        .unwrap()
}

/// An app whose hook before `seal` does this.
fn hooked(deed: &str) -> World {
    let world = World::new();
    fs::write(world.sandbox.project().join("guest.wasm"), guest()).unwrap();
    does(&world, deed);
    world.sandbox.expect(0, &["plugin", "lock"]);
    world
}

fn does(world: &World, deed: &str) {
    world.file(&format!(
        "plugin guest {{ component \"guest.wasm\"; allow read=\"release:\"; allow http=\"https://example.com/*\"; \
         config {{ do {deed}; }}; limits memory=\"64MiB\" time=\"1s\"; }}\n\
         stage seal {{ before {{ hook guest; }}; }}"
    ));
}

#[test]
fn a_hook_that_misbehaves_is_stopped_with_the_limit_that_it_hit() {
    let world = hooked("nothing");
    for (deed, code, says) in [
        ("loop", "hook::deadline", "longer than 1s"),
        ("loop-calls", "hook::deadline", "longer than 1s"),
        ("allocate; bytes 4294967296", "hook::memory", "its limit is 64 MiB"),
        ("recurse", "hook::stack", "512 KiB"),
        ("panic; say \"ouch\"", "hook::panic", "ouch"),
        ("bug", "hook::bug", "report it to its author"),
        ("fail; say \"out of luck\"", "hook::error", "out of luck"),
    ] {
        does(&world, deed);
        let outcome = Outcome { exit: 1, code, says: &["`guest`", says, "(stage seal)", "help: "] };
        let error = world.stops(&outcome);
        assert_eq!(error["stage"], "seal");
    }
    world.recovers();
}

#[test]
fn a_hook_that_vetoes_refuses_the_run() {
    let world = hooked("halt; say \"not on a Friday\"");
    let outcome = Outcome { exit: 4, code: "hook::veto", says: &["not on a Friday", "refused"] };
    world.stops(&outcome);
    world.recovers();
}

#[test]
fn a_call_that_was_not_granted_is_denied_with_the_line_that_grants_it() {
    let world = hooked("nothing");
    for (deed, line) in [
        (
            "fetch; method GET; url \"http://127.0.0.1:1/\"",
            "allow http=\"http://127.0.0.1:1/\" methods=\"GET\"",
        ),
        ("exec; program \"bin/console\"; args a b", "allow exec=\"bin/console\""),
        ("write; path \"release:x\"; text y", "allow write=\"release:x\""),
        ("reveal; name nobody", "allow secret=\"nobody\" reveal=#true"),
    ] {
        does(&world, deed);
        world.stops(&Outcome { exit: 1, code: "hook::error", says: &["denied", line] });
    }
    world.recovers();
}

#[test]
fn what_a_plugin_asks_for_and_was_not_granted_is_refused_when_planning() {
    let world = hooked("nothing");
    world.file("plugin guest { component \"guest.wasm\"; }\nstage seal { before { hook guest; }; }");
    let says = ["`guest`", "add to `plugin guest`", "allow http=", "allow read=\"release:\""];
    world.stops(&Outcome { exit: 4, code: "plugin::grant", says: &says });
    let checked = world.sandbox.expect(4, &["check"]);
    assert!(says.iter().all(|part| checked.err.contains(part)), "{}", checked.err);
    world.recovers();
}

#[test]
fn a_component_that_is_missing_broken_changed_or_not_pinned() {
    let world = hooked("nothing");
    let (component, pins) =
        (world.sandbox.project().join("guest.wasm"), world.sandbox.project().join("deployfile.lock"));
    let stops = |code, says: &[&str]| {
        world.stops(&Outcome { exit: 4, code, says });
        let checked = world.sandbox.expect(4, &["check"]);
        assert!(
            checked.err.contains(&format!("error[{code}]: ")) && checked.out.is_empty(),
            "{}",
            checked.err
        );
        let document = world.sandbox.json(4, &["check"]);
        assert_eq!((&document["ok"], &document["errors"][0]["code"]), (&false.into(), &code.into()));
    };

    for bytes in [&b"not wasm"[..], b"", b"\0asm\x01\0\0\0", &guest()[..5000]] {
        fs::write(&component, bytes).unwrap();
        stops("plugin::unusable", &["`guest`", "guest.wasm", "help: "]);
    }
    fs::remove_file(&component).unwrap();
    stops("plugin::unusable", &["guest.wasm: cannot be read"]);

    // Any other component will do: a custom section more changes the digest alone.
    fs::write(&component, [&guest()[..], b"\0\x02\x01x"].concat()).unwrap();
    stops("plugin::digest", &["deployfile.lock", "deployfile plugin lock guest"]);

    fs::write(&component, guest()).unwrap();
    let pinned = fs::read(&pins).unwrap();
    fs::remove_file(&pins).unwrap();
    stops("plugin::unpinned", &["deployfile.lock", "deployfile plugin lock guest"]);
    fs::write(&pins, "deployfile-lock 1\n\nplugin guest\n  digest sha256:nonsense\n").unwrap();
    stops("plugin::lock-file", &["deployfile.lock:4", "deployfile plugin lock"]);

    fs::write(&pins, pinned).unwrap();
    world.sandbox.write("src/hello.txt", "hooked");
    world.sandbox.expect(0, &["apply", "--yes"]);
    world.recovers();
}

#[test]
fn an_import_that_the_host_does_not_have() {
    let world = hooked("nothing");
    let mut foreign = guest();
    // The name stands in the component as it is; one of the same length keeps everything else valid.
    let (from, to) = (b"deployfile:hook/metrics@1.0.0", b"deployfile:hook/kernels@1.0.0");
    for at in 0..foreign.len() - from.len() {
        if foreign[at..].starts_with(from) {
            foreign[at..at + to.len()].copy_from_slice(to);
        }
    }
    fs::write(world.sandbox.project().join("guest.wasm"), foreign).unwrap();
    let locked = world.sandbox.run(&["plugin", "lock"]);
    if locked.code == 0 {
        let says = ["deployfile:hook/kernels@1.0.0", "does not have"];
        world.stops(&Outcome { exit: 1, code: "hook::component", says: &says });
    } else {
        assert_eq!(locked.code, 4, "{}", locked.err);
        assert!(locked.err.contains("deployfile:hook/kernels@1.0.0"), "{}", locked.err);
    }
    world.recovers();
}

#[test]
fn a_component_is_shown_in_words() {
    let world = hooked("nothing");
    let told = world.sandbox.expect(0, &["plugin", "inspect", "guest.wasm"]).out;
    assert!(told.starts_with("component  guest.wasm\ndigest     sha256:"), "{told}");
    assert!(told.contains("\nasks for   ") && !told.contains("null") && !told.contains("unusable"), "{told}");
    world.sandbox.write("broken.wasm", "not wasm");
    let told = world.sandbox.expect(4, &["plugin", "inspect", "broken.wasm"]).out;
    assert!(told.contains("unusable   it is not a WebAssembly file"), "{told}");
}
