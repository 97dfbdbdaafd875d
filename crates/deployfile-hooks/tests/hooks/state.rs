//! State: three scopes, atomic, within a quota.

use crate::world::{World, name};
use deployfile_model::Grant;
use deployfile_model::grant::StateScope;

fn keeping(scope: &str, value: &str) -> String {
    format!(r#"{{"do":"state","scope":"{scope}","key":"k","value":"{value}"}}"#)
}

#[test]
fn a_scope_that_is_not_granted_is_denied() {
    let mut world = World::doing(&keeping("machine", "1")).allow(Grant::State { scope: StateScope::Run });
    world.call().is_denied("allow state=machine");
    assert!(!world.root().join(".deployfile/state").exists());
}

#[test]
fn values_are_kept_and_swapped() {
    for (scope, grant) in
        [("run", StateScope::Run), ("machine", StateScope::Machine), ("environment", StateScope::Environment)]
    {
        let mut world = World::doing(&keeping(scope, "one")).allow(Grant::State { scope: grant });
        assert_eq!(world.call().summary(), r#"before None swapped true lost false keys ["k"]"#);
        world.config(&keeping(scope, "two"));
        assert_eq!(world.call().summary(), r#"before Some("one") swapped true lost false keys ["k"]"#);
    }
}

#[test]
fn another_plugin_sees_nothing_of_it() {
    let mut world =
        World::doing(&keeping("machine", "one")).allow(Grant::State { scope: StateScope::Machine });
    world.call();
    world.hook.plugin = name("other");
    assert!(world.call().summary().starts_with("before None"));
}

#[test]
fn a_scope_has_a_quota() {
    let grant = Grant::State { scope: StateScope::Run };
    let full = World::doing(r#"{"do":"state-fill","scope":"run","bytes":65000}"#).allow(grant.clone()).call();
    assert_eq!(full.summary(), "filled");
    let over = World::doing(r#"{"do":"state-fill","scope":"run","bytes":66000}"#).allow(grant).call();
    over.fails("hook::error", &["holds 64 KiB"]);
}

#[test]
fn damaged_state_is_told() {
    let mut world = World::doing(&keeping("machine", "one"))
        .allow(Grant::State { scope: StateScope::Machine })
        .file(".deployfile/state/guest/machine.json", "{");
    world.call().fails("hook::error", &["is damaged", "machine.json"]);
}
