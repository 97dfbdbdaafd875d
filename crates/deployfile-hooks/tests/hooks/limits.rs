//! Every limit is hit, told apart, and named with the way to raise it.

use crate::world::{Heard, World};
use deployfile_record::FailureKind;
use std::time::{Duration, Instant};

#[test]
fn a_loop_ends_at_its_deadline() {
    let called = World::doing(r#"{"do":"loop"}"#).limited(None, 200).call();
    called.fails("hook::deadline", &["took longer than 200ms", "limits time=\"400ms\""]);
}

#[test]
fn a_loop_of_host_calls_ends_at_its_deadline() {
    let called = World::doing(r#"{"do":"loop-calls"}"#).limited(None, 200).call();
    called.fails("hook::deadline", &["200ms"]);
}

#[test]
fn memory_has_a_limit_that_can_be_raised() {
    let mut world = World::doing(r#"{"do":"allocate","bytes":4294967296}"#);
    world.call().fails("hook::memory", &["its limit is 64 MiB", "limits memory=\"128MiB\""]);
    world = World::doing(r#"{"do":"allocate","bytes":20971520}"#).limited(Some(8 << 20), 20_000);
    world.call().fails("hook::memory", &["its limit is 8 MiB", "limits memory=\"16MiB\""]);
    world.hook.limits.memory = Some(deployfile_model::units::Bytes(64 << 20));
    assert_eq!(world.call().summary(), "20");
}

#[test]
fn endless_recursion_is_told_as_such() {
    World::doing(r#"{"do":"recurse"}"#).call().fails("hook::stack", &["ran out of stack", "calls itself"]);
}

#[test]
fn a_panic_is_told_with_its_message_and_place() {
    let called = World::doing(r#"{"do":"panic","say":"no such thing"}"#).call();
    called.fails("hook::panic", &["panicked: no such thing at testguests/src/lib.rs:", "its author"]);
}

#[test]
fn a_stray_call_is_a_bug() {
    World::doing(r#"{"do":"bug"}"#).call().fails("hook::bug", &["table", "its author"]);
}

#[test]
fn an_error_of_the_hook_keeps_its_hint() {
    let called = World::doing(r#"{"do":"fail","say":"upstream said no"}"#).call();
    called.fails("hook::error", &["hook `guest` failed: upstream said no", "do as the test says"]);
    assert_eq!(called.failure().kind, FailureKind::Failed);
}

#[test]
fn a_wrong_configuration_is_an_error_that_names_it() {
    World::doing(r#"{"do":"dance"}"#)
        .call()
        .fails("hook::error", &["the configuration does not fit", "dance"]);
}

#[test]
fn a_veto_is_an_answer() {
    let called = World::doing(r#"{"do":"halt","say":"it is Friday"}"#).call();
    let answer = called.result.unwrap();
    assert_eq!(answer.halt.as_deref(), Some("it is Friday"));
    assert_eq!(answer.notes, [("seen".to_owned(), "yes".to_owned())]);
}

#[test]
fn a_flood_of_lines_is_cut_and_marked() {
    let called = World::doing(r#"{"do":"log-flood","lines":200000,"width":20}"#).call();
    assert!(called.result.is_ok(), "{:?}", called.result);
    assert_eq!(called.heard.hook.len(), 10_001);
    assert!(called.heard.hook[10_000].1.starts_with("log cut"));
    let wide = World::doing(r#"{"do":"log-flood","lines":20,"width":100000}"#).call();
    assert_eq!(wide.heard.hook.len(), 11);
}

#[test]
fn too_much_in_one_call_is_told_as_output() {
    let huge = World::doing(r#"{"do":"log-flood","lines":1,"width":9000000}"#).call();
    huge.fails("hook::output", &["more than 8 MiB"]);
    let answer = World::doing(r#"{"do":"huge","bytes":9000000}"#).call();
    answer.fails("hook::output", &["more than 8 MiB"]);
    let long = World::doing(r#"{"do":"huge","bytes":100000}"#).call();
    assert_eq!(long.summary().len(), 4096 + '…'.len_utf8());
}

#[test]
fn an_interrupt_stops_a_hook_long_before_its_deadline() {
    let mut world = World::doing(r#"{"do":"loop"}"#).limited(None, 300_000);
    let stop = world.stop.clone();
    let asks = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        stop.ask();
    });
    let called = world.call();
    asks.join().unwrap();
    called.fails("hook::interrupted", &["interrupted"]);
    assert_eq!(called.failure().kind, FailureKind::Interrupted);
}

#[test]
fn a_hook_that_runs_because_of_an_interrupt_still_runs() {
    let mut world = World::doing(r#"{"do":"nothing"}"#);
    world.stop.ask();
    assert!(world.call().result.is_ok());
}

#[test]
fn after_every_misdeed_the_next_call_works() {
    let mut world = World::new().limited(None, 300);
    for deed in [r#"{"do":"loop"}"#, r#"{"do":"recurse"}"#, r#"{"do":"panic","say":"x"}"#, r#"{"do":"bug"}"#]
    {
        world.config(deed);
        assert!(world.call().result.is_err(), "{deed}");
        world.config(r#"{"do":"nothing"}"#);
        assert!(world.call().result.is_ok(), "after {deed}");
    }
}

#[test]
fn the_context_is_told() {
    let mut world = World::doing(r#"{"do":"facts"}"#);
    let called = world.call();
    assert_eq!(
        called.summary(),
        "run-1 production apply seal Phase::Before Mode::Apply attempt 2 target Some(\"r1 Some(\\\"build-7\\\")\") \
         current Some(\"r0\") app Some(\"shop\") note Some(\"12\") machine Some(\"web1\")"
    );
    let facts: &str = &called.heard.hook[0].1;
    for part in
        ["\"schema\":1", "\"revision\":\"abc\"", "\"guard.files\":\"12\"", "\"created-unix\":1700000000"]
    {
        assert!(facts.contains(part), "{part} is not in {facts}");
    }
    world.hook.once = true;
    assert!(world.call().summary().ends_with("machine None"));
}

#[test]
fn metrics_are_told_at_debug() {
    let called = World::doing(r#"{"do":"count"}"#).call();
    let said: Vec<&str> = called.heard.hook.iter().map(|(_, message)| message.as_str()).collect();
    assert_eq!(
        said,
        ["metric counter deploys +1 app=shop", "metric gauge free 0.5", "metric timing took 12.5 ms"]
    );
    assert!(called.heard.hook.iter().all(|(level, _)| level == "debug"));
}

/// How fast it is, to be read by people: `cargo test --release -- --ignored --nocapture speed`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let mut world = World::doing(r#"{"do":"nothing"}"#);
    world.call();
    let mut took: Vec<Duration> = (0..2_000)
        .map(|_| {
            let began = Instant::now();
            assert!(world.call_hearing(Heard::default()).result.is_ok());
            began.elapsed()
        })
        .collect();
    took.sort();
    println!("warm call: p50 {:?}, p99 {:?}", took[1_000], took[1_980]);
    let mut cold: Vec<Duration> = (0..50)
        .map(|_| {
            world.host = crate::world::host_with(crate::world::shared_cache(), None, &[]);
            let began = Instant::now();
            assert_eq!(world.call().result.unwrap().compiled, 0);
            began.elapsed()
        })
        .collect();
    cold.sort();
    println!("first call of a process, from the cache: p50 {:?}", cold[25]);
    let overshoot = |world: &mut World| {
        let began = Instant::now();
        assert!(world.call().result.is_err());
        began.elapsed().saturating_sub(Duration::from_millis(100))
    };
    let mut world = World::doing(r#"{"do":"loop"}"#).limited(None, 100);
    let most = (0..20).map(|_| overshoot(&mut world)).max();
    println!("stopped after its deadline by at most {most:?}");
}
