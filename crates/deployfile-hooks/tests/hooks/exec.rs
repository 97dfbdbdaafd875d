//! Programs of the release: only those, and nothing of them stays.

use crate::world::{Heard, World, helper, host_with, name, shared_cache};
use deployfile_model::Grant;
use deployfile_model::units::Millis;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn running(args: &str, script: &str) -> World {
    let deed =
        format!(r#"{{"do":"exec","program":"bin/tool","args":{args},"secret":null,"timeout-ms":null}}"#);
    with_tool(World::doing(&deed), script)
}

fn with_tool(mut world: World, script: &str) -> World {
    world = world.file("releases/r1/bin/tool", &format!("#!/bin/sh\n{script}\n"));
    let tool = world.root().join("releases/r1/bin/tool");
    std::fs::set_permissions(tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.host = host_with(shared_cache(), Some(helper()), &[("token", "s3cr3t-value")]);
    world
}

fn granted() -> Grant {
    Grant::Exec { program: "bin/tool".to_owned(), timeout: None }
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_granted_program_runs_in_the_release() {
    let called = running(
        r#"["a b","$HOME"]"#,
        r#"echo "$1 $2 $FROM_HOOK $(pwd)"; env | cut -d= -f1 | sort | tr '\n' ' ' >&2; exit 3"#,
    )
    .allow(granted())
    .call();
    let summary = called.summary();
    assert!(
        summary.starts_with("status 3 truncated false") && summary.contains("a b $HOME 1 /"),
        "{summary}"
    );
    assert!(summary.contains("releases/r1"), "{summary}");
    assert_eq!(called.heard.spawned.len(), 1);
    let told = &called.heard.output;
    assert!(told.iter().any(|(_, line)| line.starts_with("a b $HOME 1")), "{told:?}");
    assert!(told.iter().any(|(_, line)| line.trim() == "FROM_HOOK LANG PATH PWD"), "{told:?}");
}

#[test]
fn what_is_not_granted_does_not_run() {
    let mut world = running("[]", "touch ran");
    world.call().is_denied("allow exec=\"bin/tool\"");
    assert!(!world.root().join("releases/r1/ran").exists());
    world.config(r#"{"do":"exec","program":"../../../bin/sh","args":[],"secret":null,"timeout-ms":null}"#);
    world.call().fails("hook::error", &["denied"]);
}

#[test]
fn a_program_that_was_replaced_by_a_link_does_not_run() {
    let mut world = running("[]", "touch ran").allow(granted());
    let tool = world.root().join("releases/r1/bin/tool");
    std::fs::remove_file(&tool).unwrap();
    std::os::unix::fs::symlink("/bin/sh", &tool).unwrap();
    world.call().fails("hook::error", &["symlink"]);
}

#[test]
fn it_cannot_gain_privileges_and_gets_its_secret() {
    let mut world =
        running("[]", r#"grep NoNewPrivs /proc/self/status; echo "$TOKEN" | wc -c; echo "$TOKEN""#)
            .allow(granted())
            .allow(Grant::Secret { name: name("token"), reveal: false });
    world.config(r#"{"do":"exec","program":"bin/tool","args":[],"secret":"token","timeout-ms":null}"#);
    let called = world.call();
    let summary = called.summary();
    assert!(summary.contains("NoNewPrivs:\\t1") || summary.contains("NoNewPrivs:\t1"), "{summary}");
    assert!(summary.contains("13"), "{summary}");
    assert!(!called.all().contains("s3cr3t-value"), "{}", called.all());
}

#[test]
fn it_is_killed_with_its_group_at_its_time_limit() {
    let script = "sleep 300 & echo $! > children; echo $$ >> children; wait";
    let mut world = running("[]", script)
        .allow(Grant::Exec { program: "bin/tool".to_owned(), timeout: Some(Millis(500)) });
    world.call().fails("hook::error", &["did not end in time and was killed"]);
    assert_none_is_left(&world);
}

#[test]
fn it_is_killed_with_its_group_at_the_hooks_deadline() {
    let mut world = running("[]", "sleep 300 & echo $! > children; echo $$ >> children; wait")
        .allow(granted())
        .limited(None, 800);
    assert!(world.call().result.is_err());
    assert_none_is_left(&world);
}

#[test]
fn what_it_leaves_in_its_group_ends_with_it() {
    let mut world = running("[]", "sleep 300 & echo $! > children; echo done").allow(granted());
    assert!(world.call().summary().contains("done"));
    assert_none_is_left(&world);
}

fn assert_none_is_left(world: &World) {
    let children = std::fs::read_to_string(world.root().join("releases/r1/children")).unwrap();
    assert!(!children.is_empty());
    for pid in children.lines() {
        // The kernel may need a moment to take a killed process away.
        let gone = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            !is_alive(pid)
        });
        assert!(gone, "{pid} still runs");
    }
}

#[test]
fn long_output_is_kept_by_head_and_tail() {
    let called = running("[]", "echo first; head -c 5000000 /dev/zero | tr '\\0' 'x'; echo; echo last")
        .allow(granted())
        .call();
    let summary = called.summary();
    assert!(summary.contains("truncated true") && summary.contains("first"), "{summary}");
    assert!(called.heard.output.iter().any(|(_, line)| line == "last"));
}

#[test]
fn nothing_runs_before_the_journal_knows_it() {
    let mut world = running("[]", "touch ran").allow(granted());
    let called = world.call_hearing(Heard { journal_is_full: true, ..Heard::default() });
    called.fails("journal::write", &["cannot write the journal"]);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(!world.root().join("releases/r1/ran").exists());
}

#[test]
fn without_a_helper_it_is_refused() {
    let mut world = running("[]", "touch ran").allow(granted());
    world.host = host_with(shared_cache(), None, &[]);
    world.call().fails("hook::error", &["exec is not available"]);
}

#[test]
fn it_writes_only_where_its_release_lives() {
    use landlock::{ABI, AccessFs, Compatible as _, Ruleset, RulesetAttr as _};
    let required = Ruleset::default().set_compatibility(landlock::CompatLevel::HardRequirement);
    if required.handle_access(AccessFs::from_write(ABI::V3)).and_then(|ruleset| ruleset.create()).is_err() {
        assert!(std::env::var_os("CI").is_none(), "this kernel has no Landlock");
        eprintln!("SKIPPED: this kernel has no Landlock");
        return;
    }
    let script = "for d in . ../../shared ../..; do (echo x > $d/f) 2>/dev/null && echo wrote $d; done; true";
    // Not beneath /tmp, where any program may write.
    let mut world = running("[]", script).allow(granted()).moved_beneath(std::path::Path::new("/var/lib"));
    if world.root().starts_with("/tmp") {
        assert!(std::env::var_os("CI").is_none(), "no place but /tmp can be written");
        eprintln!("SKIPPED: no place but /tmp can be written");
        return;
    }
    let said = |world: &mut World| {
        let lines = world.call().heard.output.into_iter().map(|(_, line)| line);
        lines.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(said(&mut world), "wrote ., wrote ../../shared");
    world.hook.stage = deployfile_model::Stage::Switch;
    assert_eq!(said(&mut world), "wrote ../../shared");
}

#[test]
fn it_runs_as_the_user_of_the_release() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can run programs as another user");
        return;
    }
    let mut world = running("[]", "echo $(id -u) $(id -g) $(id -G)").allow(granted());
    std::fs::set_permissions(world.root(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let user = Some(deployfile_hooks::Ids { uid: NOBODY, gid: NOBODY });
    // The folder that cargo builds in may be nobody else's business.
    let reachable = world.root().join("hook-helper");
    std::fs::copy(&helper()[0], &reachable).unwrap();
    world.host = crate::world::host_as(shared_cache(), Some(vec![reachable.into()]), user, &[]);
    assert!(world.call().summary().contains("65534 65534 65534"), "{:?}", world.call().heard.output);
}
