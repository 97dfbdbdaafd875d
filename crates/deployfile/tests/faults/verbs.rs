//! The table of verbs: those that write, each with the world that it is tried in, and those that only read.
//!
//! The tests hold it complete against what the program itself lists, and hold those that only read to it.

use crate::invariants::json;
use crate::world::World;
use deployfile_testkit::trace::{Act, After, Mutation, Trace, Watch};
use std::collections::BTreeSet;
use std::fs;

/// A verb that writes, in one world.
pub(crate) struct Row {
    /// The name of the row, and of its test in each lane.
    pub(crate) name: &'static str,
    /// The verb, and the one beneath it.
    pub(crate) verb: &'static str,
    /// The world before it.
    pub(crate) world: fn() -> World,
}

/// All of them.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "apply_first", verb: "apply", world: apply_first },
    Row { name: "apply_second", verb: "apply", world: apply_second },
    Row { name: "apply_sick", verb: "apply", world: apply_sick },
    Row { name: "apply_service", verb: "apply", world: apply_service },
    Row { name: "resume_before", verb: "resume", world: resume_before },
    Row { name: "resume_after", verb: "resume", world: resume_after },
    Row { name: "rollback", verb: "rollback", world: rollback },
    Row { name: "clean", verb: "clean", world: clean },
    Row { name: "service_start", verb: "service start", world: service_start },
    Row { name: "service_stop", verb: "service stop", world: service_stop },
    Row { name: "service_restart", verb: "service restart", world: service_restart },
    Row { name: "service_reload", verb: "service reload", world: service_reload },
    Row { name: "release_pin", verb: "release pin", world: release_pin },
    Row { name: "release_unpin", verb: "release unpin", world: release_unpin },
    Row { name: "release_rm", verb: "release rm", world: release_rm },
    Row { name: "init", verb: "init", world: init },
    Row { name: "fmt", verb: "fmt", world: fmt },
    Row { name: "plan_out", verb: "plan", world: plan_out },
    Row { name: "plugin_lock", verb: "plugin lock", world: plugin_lock },
];

/// Those that change nothing; `ID` is the current release, `RUN` the last run. `plan` does not without `--out`.
const READERS: &[&[&str]] = &[
    &["check"],
    &["explain", "retention.keep"],
    &["plan"],
    &["status"],
    &["releases"],
    &["release", "show", "ID"],
    &["release", "verify", "ID"],
    &["history"],
    &["history", "show", "RUN"],
    &["service", "list"],
    &["service", "logs"],
    &["lock", "status"],
    &["plugin", "inspect", "plugins/guard.wasm"],
    &["plugin", "list"],
    &["doctor"],
    &["schema", "--format", "md"],
    &["lsp"],
    &["completions", "bash"],
    &["fmt", "--check"],
];

/// The row of that name.
pub(crate) fn row(name: &str) -> &'static Row {
    ROWS.iter().find(|row| row.name == name).unwrap()
}

const SERVICE: &str = "service web { command \"sh\" \"-c\" \"trap : HUP; while :; do sleep 1000 & wait; done\"; \
     on-deploy restart; stop timeout=\"1s\"; health exec=\"true\" within=\"9s\" interval=\"50ms\"; }";
const SICK: &str = "service web { manager external; \
     health exec=\"grep\" \"-q\" \"one\" \"hello.txt\" within=\"300ms\" interval=\"50ms\"; }";
/// Puts the plugin of the quickstart beside the deployfile.
const GUARD: &str = "plugin guard { component \"plugins/guard.wasm\"; allow read=\"release:\"; \
     config { max-size \"50MiB\"; forbid \"*.pem\"; }; }";

fn apply_first() -> World {
    let world = World::new("").with_source("one").tries(&["apply", "--yes"], |world| world.is_served("one"));
    world.a_run(&[None, Some("one")]).saved()
}

fn apply_second() -> World {
    let world = World::new("").applied("one").with_source("two");
    let world = world.tries(&["apply", "--yes"], |world| world.is_served("two"));
    world.a_run(&[Some("one"), Some("two")]).saved()
}

/// The health check fails after the switch, and the run goes back.
fn apply_sick() -> World {
    let world = World::new(SICK).applied("one").with_source("two");
    let mut world = world.tries(&["apply", "--yes"], |world| {
        let list = json(&world.sandbox, &["releases"])?["hosts"][0]["releases"].clone();
        let is_bad = list.as_array().unwrap().iter().any(|release| release["state"] == "bad");
        if is_bad { world.is_served("one") } else { Err("no release is bad".to_owned()) }
    });
    world.exit = 6;
    world.a_run(&[Some("one"), Some("two")]).saved()
}

fn apply_service() -> World {
    let world = World::new(SERVICE).applied("one").with_source("two");
    let world = world.tries(&["apply", "--yes"], |world| {
        service_is(world, "running")?;
        world.is_served("two")
    });
    world.with_manager(true).a_run(&[Some("one"), Some("two")]).saved()
}

/// Kills at the first call for which this holds.
struct KillWhen<F>(F, bool);

impl<F: FnMut(&Mutation) -> bool> Watch for KillWhen<F> {
    fn enter(&mut self, call: &Mutation) -> Act {
        self.1 = self.1 || (self.0)(call);
        if self.1 { Act::Kill } else { Act::Pass }
    }
    fn done(&mut self, _: &Mutation, _: &After) {}
}

fn interrupted(when: impl FnMut(&Mutation) -> bool + Send) -> World {
    let world = World::new("").applied("one").with_source("two");
    let ended = world.traced(&["apply", "--yes"], &mut KillWhen(when, false));
    assert_eq!(ended.code, 256 + 9);
    let world = world.tries(&["resume", "--yes"], |world| {
        // It may have gone back, when it said so.
        let list = json(&world.sandbox, &["releases"])?["hosts"][0]["releases"].clone();
        let is_bad = list.as_array().unwrap().iter().any(|release| release["state"] == "bad");
        world.is_served(if is_bad { "one" } else { "two" })
    });
    world.a_run(&[Some("one"), Some("two")]).saved()
}

/// A run that was cut when its manifest was written.
fn resume_before() -> World {
    interrupted(|call| call.to.as_ref().is_some_and(|to| to.ends_with("manifest.json")))
}

/// A run that was cut right after its switch.
fn resume_after() -> World {
    let mut is_switched = false;
    interrupted(move |call| {
        let is_after = is_switched;
        is_switched |= call.to.as_ref().is_some_and(|to| to.ends_with("current"));
        is_after
    })
}

fn rollback() -> World {
    let world = World::new("").applied("one").applied("two");
    let world = world.tries(&["rollback", "--yes"], |world| world.is_served("one"));
    world.a_run(&[Some("two"), Some("one")]).saved()
}

fn clean() -> World {
    let world = World::new("").applied("one").applied("two").applied("three").applied("four");
    world.file(1, "");
    let world = world.tries(&["clean", "--yes"], |world| {
        let left = fs::read_dir(world.sandbox.root().join("releases")).unwrap().count();
        // The current one, and the one before it.
        if left == 2 { Ok(()) } else { Err(format!("{left} releases are left")) }
    });
    world.a_run(&[Some("four")]).saved()
}

fn service_is(world: &World, state: &str) -> Result<(), String> {
    let services = json(&world.sandbox, &["service", "list"])?["services"].clone();
    let is_so = services[0]["state"] == state && services[1].is_null();
    let alive = world.sandbox.processes().into_iter().filter(|pid| is_leader(*pid)).count();
    let is_so = is_so && alive == usize::from(state == "running");
    if is_so { Ok(()) } else { Err(format!("not {state}: {alive} are alive: {services}")) }
}

/// Whether a process is the service's own; what it starts is not, nor is the shim that becomes it.
fn is_leader(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.starts_with(b"sh\0-c\0trap")
}

fn with_service(verb: &str, is_done: fn(&World) -> Result<(), String>) -> World {
    let world = World::new(SERVICE).applied("one").tries(&["service", verb], is_done);
    world.with_manager(verb != "start").serves(&[Some("one")]).saved()
}

fn service_start() -> World {
    with_service("start", |world| service_is(world, "running"))
}

fn service_stop() -> World {
    with_service("stop", |world| service_is(world, "stopped"))
}

fn service_restart() -> World {
    with_service("restart", |world| service_is(world, "running"))
}

fn service_reload() -> World {
    with_service("reload", |world| service_is(world, "running"))
}

/// The release that was applied first.
fn oldest(world: &World) -> String {
    let names = fs::read_dir(world.sandbox.root().join("releases")).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).min().unwrap()
}

fn three() -> World {
    World::new("").applied("one").applied("two").applied("three").serves(&[Some("three")])
}

fn is_pinned(world: &World) -> bool {
    let release = json(&world.sandbox, &["release", "show", &oldest(world)]).unwrap();
    release["release"]["pinned"] == true
}

fn release_pin() -> World {
    let world = three();
    let oldest = oldest(&world);
    let is_done: fn(&World) -> _ =
        |world| if is_pinned(world) { Ok(()) } else { Err("not pinned".to_owned()) };
    world.tries(&["release", "pin", &oldest], is_done).saved()
}

fn release_unpin() -> World {
    let world = three();
    let oldest = oldest(&world);
    world.sandbox.expect(0, &["release", "pin", &oldest]);
    let is_done: fn(&World) -> _ = |world| if is_pinned(world) { Err("pinned".to_owned()) } else { Ok(()) };
    world.tries(&["release", "unpin", &oldest], is_done).saved()
}

fn release_rm() -> World {
    let world = three();
    let oldest = oldest(&world);
    let is_done: fn(&World) -> _ = |world| {
        let known = json(&world.sandbox, &["releases"])?["hosts"][0]["releases"].as_array().unwrap().len();
        let there = fs::read_dir(world.sandbox.root().join("releases")).unwrap().count();
        if (known, there) == (2, 2) { Ok(()) } else { Err(format!("{known} are known, {there} are there")) }
    };
    world.tries(&["release", "rm", "--yes", &oldest], is_done).saved()
}

fn init() -> World {
    let world = World::new("");
    fs::remove_dir_all(world.sandbox.project()).unwrap();
    fs::create_dir(world.sandbox.project()).unwrap();
    world.tries(&["init"], |world| json(&world.sandbox, &["check"]).map(drop)).saved()
}

fn fmt() -> World {
    let world = World::new("import \"more.kdl\"\n");
    world.sandbox.write("more.kdl", "vars   {\n a    1\n}\n");
    let is_done: fn(&World) -> _ = |world| {
        json(&world.sandbox, &["check"])?;
        let checked = world.sandbox.run(&["fmt", "--check"]);
        if checked.code == 0 { Ok(()) } else { Err(crate::world::told(&checked)) }
    };
    world.tries(&["fmt"], is_done).saved()
}

fn plan_out() -> World {
    let world = World::new("").applied("one").with_source("two");
    let is_done: fn(&World) -> _ = |world| {
        let text = fs::read_to_string(world.sandbox.project().join("a.plan")).map_err(|e| e.to_string())?;
        serde_json::from_str::<serde_json::Value>(&text).map(drop).map_err(|e| e.to_string())
    };
    world.tries(&["plan", "--out", "a.plan"], is_done).serves(&[Some("one")]).saved()
}

fn with_plugin() -> World {
    let world = World::new(GUARD);
    let guard = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/release-guard/release-guard.wasm");
    fs::create_dir(world.sandbox.project().join("plugins")).unwrap();
    fs::copy(guard, world.sandbox.project().join("plugins/guard.wasm")).unwrap();
    world
}

fn plugin_lock() -> World {
    let is_done: fn(&World) -> _ = |world| json(&world.sandbox, &["check"]).map(drop);
    with_plugin().tries(&["plugin", "lock"], is_done).saved()
}

/// The verbs that `--help` lists beneath one, by their whole names.
fn listed(of: &[&str]) -> BTreeSet<String> {
    let world = World::new("");
    let help = world.sandbox.expect(0, &[of, &["--help"]].concat()).out;
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return BTreeSet::new() };
    let list = list.split_once("\n\n").unwrap().0;
    // A line that goes on has more than two blanks before its first word.
    let names = list
        .lines()
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    let names: Vec<&str> = names.collect();
    let deeper = |name: &&str| {
        let whole = [of, &[*name]].concat();
        let beneath = if of.is_empty() { listed(&whole) } else { BTreeSet::new() };
        if beneath.is_empty() { BTreeSet::from([whole.join(" ")]) } else { beneath }
    };
    names.iter().flat_map(deeper).collect()
}

#[test]
fn every_verb_is_in_the_table_or_only_reads() {
    let verbs = listed(&[]);
    assert!(verbs.contains("apply") && verbs.contains("release rm"), "{verbs:?}");
    let writes = ROWS.iter().map(|row| row.verb.to_owned());
    let reads = READERS.iter().map(|words| {
        let two = words[..words.len().min(2)].join(" ");
        if verbs.contains(&two) { two } else { words[0].to_owned() }
    });
    let table: BTreeSet<String> = writes.chain(reads).collect();
    assert_eq!(table, verbs, "the table (left) is not what the program lists (right)");
}

#[test]
fn verbs_that_only_read_change_nothing() {
    let mut world = with_plugin();
    world.sandbox.expect(0, &["plugin", "lock"]);
    world.file(9, &format!("{GUARD}\n{SERVICE}"));
    world.sandbox.expect(0, &["fmt"]);
    world = world.applied("one");
    world.sandbox.write("src/hello.txt", "two");
    let id = world.sandbox.current().unwrap();
    let history = json(&world.sandbox, &["history"]).unwrap();
    let run = history["runs"][0]["run"].as_str().unwrap();
    for words in READERS {
        let args: Vec<&str> = words
            .iter()
            .map(|&word| {
                [("ID", id.as_str()), ("RUN", run)]
                    .iter()
                    .find(|(name, _)| *name == word)
                    .map_or(word, |(_, value)| value)
            })
            .collect();
        let mut seen = Vec::new();
        let mut note = |call: &Mutation| {
            seen.push(call.line());
            Act::Pass
        };
        let ended = Trace::beneath(&world.sandbox.path()).run(world.sandbox.command(&args), &mut note);
        assert!([0, 1].contains(&ended.code), "{args:?}: {}{}", ended.out, ended.err);
        assert!(seen.is_empty(), "{args:?} only reads, and makes these calls: {seen:#?}");
    }
}
