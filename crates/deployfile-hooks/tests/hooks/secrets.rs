//! Secrets: used without being seen, and seen nowhere but where they are used.

use crate::world::{World, name};
use deployfile_model::Grant;
use deployfile_model::grant::StateScope;

const VALUE: &str = "s3cr3t/value+with=signs";

fn world(config: &str) -> World {
    World::doing(config).secret("token", VALUE)
}

fn secret(reveal: bool) -> Grant {
    Grant::Secret { name: name("token"), reveal }
}

#[test]
fn a_secret_must_be_granted_and_to_be_read_revealed() {
    let deed = r#"{"do":"reveal","name":"token"}"#;
    world(deed).call().is_denied("allow secret=\"token\" reveal=#true");
    world(deed).allow(secret(false)).call().is_denied("allow secret=\"token\" reveal=#true");
    assert_eq!(world(deed).allow(secret(true)).call().summary(), format!("{} bytes", VALUE.len()));
}

#[test]
fn a_secret_that_this_host_lacks_is_told_without_a_trap() {
    let deed = r#"{"do":"reveal","name":"other"}"#;
    let grant = Grant::Secret { name: name("other"), reveal: true };
    world(deed).allow(grant).call().fails("hook::error", &["secret `other` is not set"]);
}

#[test]
fn a_revealed_value_is_replaced_wherever_it_is_said() {
    let mut world = world(r#"{"do":"leak","name":"token"}"#)
        .allow(secret(true))
        .allow(Grant::State { scope: StateScope::Run });
    let called = world.call();
    let all = called.all();
    assert!(!all.contains(VALUE), "{all}");
    let percent: String = VALUE.bytes().map(|b| format!("%{b:02X}")).collect();
    assert!(!all.contains(&percent), "{all}");
    let answer = called.result.unwrap();
    assert_eq!(answer.summary.as_deref(), Some("sum (secret)token\\u{1b}[31m"));
    assert_eq!(answer.notes[0].1, "(secret)token (secret)token");
    assert_eq!(called.heard.hook[0].1, "plain (secret)token field=(secret)token");
    let kept = std::fs::read_to_string(world.root().join(".deployfile/state/guest/run-run-1.json")).unwrap();
    // Base64 of `(secret)token`.
    assert!(kept.contains("KHNlY3JldCl0b2tlbg=="), "{kept}");
}

#[test]
fn a_value_that_was_read_from_a_file_is_replaced_too() {
    let called = world(r#"{"do":"read","path":"release:env"}"#)
        .file("releases/r1/env", &format!("TOKEN={VALUE}\n"))
        .read("release:")
        .call();
    assert_eq!(called.summary(), "TOKEN=(secret)token\\n");
}
