//! How a new release takes over: sockets that never close, hand-over and its two ends.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use deployfile_model::OnDeploy;
use deployfile_model::units::Millis;
use deployfile_record::Unit;
use deployfile_record::unit::UnitDrain;
use deployfile_supervisor::{Client, ServiceState};
use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use support::*;

/// Asks one time after the other while `act` is at work, without trying again; tells the answers and the failures.
fn under_load(address: &str, act: impl FnOnce()) -> (Vec<String>, Vec<String>) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let (mut answers, mut failures) = (Vec::new(), Vec::new());
            while !is_over.load(Ordering::Relaxed) {
                match ask(address) {
                    Ok(answer) => answers.push(answer),
                    Err(error) => failures.push(error.to_string()),
                }
            }
            (answers, failures)
        });
        act();
        is_over.store(true, Ordering::Relaxed);
        client.join().unwrap()
    })
}

fn releases(answers: &[String]) -> BTreeSet<&str> {
    answers.iter().filter_map(|answer| answer.split(' ').next()).collect()
}

fn server(rig: &Rig, release: &str, address: &str) -> Unit {
    Unit { listen: vec![address.to_owned()], ..rig.python("web", release, SERVER) }
}

#[test]
fn a_restart_refuses_no_connection() {
    let rig = Rig::new();
    let mut client = rig.client();
    let address = free_address();
    client.ensure(&server(&rig, "r1", &address), OnDeploy::Restart).unwrap();
    let (answers, failures) = under_load(&address, || {
        for release in ["r2", "r3", "r4"] {
            client.ensure(&server(&rig, release, &address), OnDeploy::Restart).unwrap();
        }
        client.restart(&name("web")).unwrap();
    });
    assert_eq!(failures, Vec::<String>::new(), "of {}", answers.len());
    assert!(ask(&address).unwrap().starts_with("r4 "));
    assert!(releases(&answers).len() > 1, "the load saw no restart");
}

/// The strict client does catch what it is there to catch: a server that binds by itself is not there for a moment.
#[test]
fn without_a_held_socket_connections_are_refused() {
    let rig = Rig::new();
    let mut client = rig.client();
    let address = free_address();
    let (host, port) = address.split_once(':').unwrap();
    let bound = format!(
        "import socket\ns = socket.socket()\ns.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
         s.bind(('{host}', {port}))\ns.listen()\n\
         while True:\n    c, _ = s.accept()\n    c.recv(1)\n    c.sendall(b'x')\n    c.close()"
    );
    client.ensure(&rig.python("web", "r1", &bound), OnDeploy::Restart).unwrap();
    until("it serves", || ask(&address).is_ok());
    let (_, failures) = under_load(&address, || {
        client.ensure(&rig.python("web", "r2", &bound), OnDeploy::Restart).unwrap();
    });
    assert!(!failures.is_empty());
}

#[test]
fn a_finished_handover_leaves_the_new_and_refuses_no_connection() {
    let rig = Rig::new();
    let mut client = rig.client();
    let address = free_address();
    let old = Unit { numprocs: 2, ..server(&rig, "r1", &address) };
    client.ensure(&old, OnDeploy::Handover).unwrap();
    let old_pids = pids(&mut client, "web");
    let new = Unit {
        numprocs: 2,
        drain: Some(UnitDrain { file: None, wait: Millis(100) }),
        ..server(&rig, "r2", &address)
    };
    let (answers, failures) = under_load(&address, || {
        client.begin_handover(&new).unwrap();
        let both = status(&mut client, "web");
        assert!(both.is_apart, "old and new have sockets of their own");
        assert!(
            (0..20).all(|_| ask(&address).unwrap().starts_with("r1 ")),
            "old serves until new is found good"
        );
        assert!((0..20).all(|_| ask_new(&address).starts_with("r2 ")), "a probe asks new");
        assert!(both.is_handing_over && both.pids.len() == 4 && old_pids.iter().all(|pid| is_alive(*pid)));
        client.begin_handover(&new).unwrap();
        assert_eq!(pids(&mut client, "web"), both.pids, "begun twice is begun once");
        client.finish_handover(&new.name).unwrap();
        client.finish_handover(&new.name).unwrap();
    });
    assert_eq!(failures, Vec::<String>::new(), "of {}", answers.len());
    assert_eq!(releases(&answers), BTreeSet::from(["r1", "r2"]));
    let after = status(&mut client, "web");
    assert_eq!((&after.release, after.pids.len(), after.is_handing_over), (&new.release, 2, false));
    assert!(old_pids.iter().all(|pid| !is_alive(*pid)));
    assert!((0..20).all(|_| ask(&address).unwrap().starts_with("r2 ")));
}

/// Mixed versions would be seen: every answer, in the order in which clients began to ask, is of the old release until
/// the first of the new, and of the new from then on.
#[test]
fn no_client_sees_the_old_after_it_saw_the_new() {
    let rig = Rig::new();
    let mut client = rig.client();
    for address in [free_address(), format!("unix:{}", rig.path("web.sock").display())] {
        seen_in_order(&rig, &mut client, &address);
        client.forget(&name("web")).unwrap();
    }
}

fn seen_in_order(rig: &Rig, client: &mut Client, address: &str) {
    for round in 0..6 {
        let unit = |n: u32| Unit { numprocs: 2, ..server(rig, &format!("r{n}"), address) };
        if round == 0 {
            client.ensure(&unit(0), OnDeploy::Restart).unwrap();
        }
        let (answers, failures) = under_load(address, || {
            client.begin_handover(&unit(round + 1)).unwrap();
            assert!(status(client, "web").is_apart, "{address}");
            assert!((0..10).all(|_| ask_new(address).starts_with(&format!("r{} ", round + 1))), "{address}");
            client.finish_handover(&name("web")).unwrap();
        });
        assert_eq!(failures, Vec::<String>::new(), "of {}", answers.len());
        let mut seen: Vec<&str> = answers.iter().filter_map(|answer| answer.split(' ').next()).collect();
        seen.dedup();
        assert_eq!(seen, [format!("r{round}"), format!("r{}", round + 1)], "{} answers", answers.len());
    }
}

#[test]
fn an_aborted_handover_leaves_the_old() {
    let rig = Rig::new();
    let mut client = rig.client();
    let address = free_address();
    let old = server(&rig, "r1", &address);
    client.ensure(&old, OnDeploy::Restart).unwrap();
    let old_pids = pids(&mut client, "web");
    let (_, failures) = under_load(&address, || {
        client.begin_handover(&server(&rig, "r2", &address)).unwrap();
        client.abort_handover(&old.name).unwrap();
        client.abort_handover(&old.name).unwrap();
    });
    assert_eq!(failures, Vec::<String>::new());
    let after = status(&mut client, "web");
    assert_eq!((&after.release, &after.pids, after.is_handing_over), (&old.release, &old_pids, false));
    assert!((0..20).all(|_| ask(&address).unwrap().starts_with("r1 ")));

    let first = Unit { name: name("first"), ..rig.python("first", "r1", SLEEPER) };
    client.begin_handover(&first).unwrap();
    client.abort_handover(&first.name).unwrap();
    assert_eq!(client.status().unwrap().len(), 1, "there was nothing to go back to");
}

#[test]
fn a_handover_that_its_caller_left_open_is_resolved_by_the_next_ensure() {
    let rig = Rig::new();
    let mut client = rig.client();
    let address = free_address();
    let old = server(&rig, "r1", &address);
    client.ensure(&old, OnDeploy::Restart).unwrap();
    let old_pids = pids(&mut client, "web");
    client.begin_handover(&server(&rig, "r2", &address)).unwrap();
    drop(client);
    // The supervisor too: what was begun is in its record.
    rig.kill_supervisor();
    let mut client = rig.client();
    assert!(status(&mut client, "web").is_handing_over);
    client.ensure(&old, OnDeploy::Restart).unwrap();
    assert_eq!(pids(&mut client, "web"), old_pids);

    client.begin_handover(&server(&rig, "r2", &address)).unwrap();
    rig.kill_supervisor();
    let mut client = rig.client();
    assert!((0..20).all(|_| ask(&address).unwrap().starts_with("r1 ")), "whoever dies, old serves");
    assert!((0..20).all(|_| ask_new(&address).starts_with("r2 ")));
    let third = server(&rig, "r3", &address);
    client.begin_handover(&third).unwrap();
    client.finish_handover(&third.name).unwrap();
    assert!((0..20).all(|_| ask(&address).unwrap().starts_with("r3 ")));
    assert_eq!(pids(&mut client, "web").len(), 1);
}

#[test]
fn a_new_release_that_does_not_start_leaves_the_old_in_a_handover() {
    let rig = Rig::new();
    let mut client = rig.client();
    let address = free_address();
    let old = server(&rig, "r1", &address);
    client.ensure(&old, OnDeploy::Restart).unwrap();
    let old_pids = pids(&mut client, "web");
    let broken = Unit { listen: vec![address.clone()], ..rig.unit("web", "r2", &["sh", "-c", "exit 7"]) };
    let error = client.begin_handover(&broken).unwrap_err().to_string();
    assert_eq!(error, "cannot start service `web`: process ended with exit status 7");
    client.abort_handover(&old.name).unwrap();
    assert_eq!(pids(&mut client, "web"), old_pids);
    assert!(ask(&address).unwrap().starts_with("r1 "));
}

#[test]
fn an_address_in_use_is_named_and_changes_nothing() {
    let rig = Rig::new();
    let mut client = rig.client();
    let address = free_address();
    let old = server(&rig, "r1", &address);
    client.ensure(&old, OnDeploy::Restart).unwrap();
    let old_pids = pids(&mut client, "web");
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let new = Unit { listen: vec![address.clone(), taken.clone()], ..server(&rig, "r2", &address) };
    let error = client.ensure(&new, OnDeploy::Restart).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "cannot start service `web`: cannot listen on `{taken}`: the address is in use by another program"
        )
    );
    assert_eq!(pids(&mut client, "web"), old_pids);
    drop(other);
    client.ensure(&new, OnDeploy::Restart).unwrap();
    assert!(ask(&address).unwrap().starts_with("r2 "));
}

#[test]
fn unix_sockets_are_held_too_and_removed_at_the_end() {
    let rig = Rig::new();
    let mut client = rig.client();
    let path = rig.path("web.sock");
    let unit = |release: &str| Unit {
        listen: vec![format!("unix:{}", path.display())],
        ..rig.python("web", release, SERVER)
    };
    client.ensure(&unit("r1"), OnDeploy::Restart).unwrap();
    let socket = std::fs::metadata(&path).unwrap();
    client.ensure(&unit("r2"), OnDeploy::Restart).unwrap();
    UnixStream::connect(&path).unwrap();
    use std::os::unix::fs::MetadataExt;
    let after = std::fs::metadata(&path).unwrap();
    assert_eq!((socket.ino(), after.mode() & 0o777), (after.ino(), 0o666), "it is the same socket");
    wait_for_state(&mut client, "web", ServiceState::Running);
    client.forget(&name("web")).unwrap();
    until("the socket's file is gone", || !path.exists());
    drop(client);
    rig.wait_until_empty();
}

/// A server that has its socket and never accepts.
const DEAF: &str = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(600)";

/// What the old release never accepted must not be answered by a later one, which may not even be verified yet.
#[test]
fn what_waits_at_a_side_that_nobody_serves_is_told_at_once() {
    let rig = Rig::new();
    let mut client = rig.client();
    let address = free_address();
    let deaf =
        Unit { listen: vec![address.clone()], stop_timeout: Millis(100), ..rig.python("web", "r1", DEAF) };
    client.ensure(&deaf, OnDeploy::Restart).unwrap();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let address = address.clone();
            thread::spawn(move || ask(&address))
        })
        .collect();
    thread::sleep(std::time::Duration::from_millis(300));
    let new = server(&rig, "r2", &address);
    client.begin_handover(&new).unwrap();
    client.finish_handover(&new.name).unwrap();
    for one in waiting {
        assert!(one.join().unwrap().is_err(), "it was closed, and not kept for another release");
    }
    client.begin_handover(&server(&rig, "r3", &address)).unwrap();
    assert!((0..20).all(|_| ask(&address).unwrap().starts_with("r2 ")));
}

#[test]
fn a_service_that_was_stopped_on_the_second_side_starts_where_connections_go() {
    let rig = Rig::new();
    let mut client = rig.client();
    let address = free_address();
    client.ensure(&server(&rig, "r1", &address), OnDeploy::Restart).unwrap();
    client.ensure(&server(&rig, "r2", &address), OnDeploy::Handover).unwrap();
    for _ in 0..5 {
        client.stop(&name("web")).unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let mut answered = 0;
                while !is_over.load(Ordering::Relaxed) {
                    // Refused until it is there; but whoever gets in is answered.
                    answered += usize::from(ask(&address).is_ok());
                }
                answered
            });
            client.start(&name("web")).unwrap();
            until("it answers", || ask(&address).is_ok());
            is_over.store(true, Ordering::Relaxed);
            asking.join().unwrap();
        });
    }
}

#[test]
fn with_holder_and_supervisor_killed_a_handover_is_a_restart() {
    let rig = Rig::new();
    let mut client = rig.client();
    let address = free_address();
    client.ensure(&server(&rig, "r1", &address), OnDeploy::Restart).unwrap();
    let (supervisor, holder) = (rig.supervisor(), rig.holder_of("holder.lock").unwrap());
    kill(supervisor);
    kill(holder);
    assert_eq!(Client::left_running(&rig.root).unwrap(), [name("web")].into(), "nothing is down");
    let mut client = rig.client();
    let new = server(&rig, "r2", &address);
    assert!(!client.begin_handover(&new).unwrap());
    client.finish_handover(&new.name).unwrap();
    assert!((0..20).all(|_| ask(&address).unwrap().starts_with("r2 ")));
    client.ensure(&server(&rig, "r3", &address), OnDeploy::Handover).unwrap();
    assert!((0..20).all(|_| ask(&address).unwrap().starts_with("r3 ")));
}

/// A client that was given a program to start asks again when the supervisor is killed under it.
#[test]
fn a_supervisor_that_is_killed_in_a_handover_is_asked_again() {
    let rig = Rig::new();
    let mut client = rig.client();
    let address = free_address();
    client.ensure(&server(&rig, "r1", &address), OnDeploy::Restart).unwrap();
    let new = server(&rig, "r2", &address);
    client.begin_handover(&new).unwrap();
    rig.kill_supervisor();
    client.finish_handover(&new.name).unwrap();
    assert!((0..20).all(|_| ask(&address).unwrap().starts_with("r2 ")));
}
