//! What is left when supervisor, holder or client are killed, and that it is found again.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use deployfile_model::{HostPath, OnDeploy};
use deployfile_record::Unit;
use deployfile_supervisor::{Client, ClientError, ServiceState};
use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use support::*;

#[test]
fn a_killed_supervisor_comes_back_to_the_same_processes() {
    let rig = Rig::new();
    let mut client = rig.client();
    let address = free_address();
    let web = Unit { numprocs: 2, listen: vec![address.clone()], ..rig.python("web", "r1", SERVER) };
    let worker = rig.python("worker", "r1", SLEEPER);
    client.ensure(&web, OnDeploy::Restart).unwrap();
    client.ensure(&worker, OnDeploy::Restart).unwrap();
    let before = client.status().unwrap();
    let killed = rig.kill_supervisor();
    assert!(Client::connect(&rig.root).unwrap().is_none());
    assert!(ask(&address).is_ok(), "services outlive their supervisor");

    // The client starts another one, as it was made with a program to start.
    assert_eq!(client.status().unwrap(), before);
    assert_ne!(rig.supervisor(), killed);
    client.ensure(&web, OnDeploy::Restart).unwrap();
    assert_eq!(client.status().unwrap(), before);

    // One that ends while nobody looks is started again, the others are left alone.
    rig.kill_supervisor();
    kill(before[0].pids[1]);
    let mut client = rig.client();
    let after = wait_for_state(&mut client, "web", ServiceState::Running);
    assert!(after.pids.contains(&before[0].pids[0]) && after.pids.len() == 2);
    assert_eq!(pids(&mut client, "worker"), before[1].pids);

    // A process that was taken up is watched, and stopped, like any other.
    kill(before[0].pids[0]);
    until("it was started again", || {
        let status = status(&mut client, "web");
        status.state == ServiceState::Running && !status.pids.contains(&before[0].pids[0])
    });
    client.forget(&worker.name).unwrap();
    assert!(!is_alive(before[1].pids[0]));
}

#[test]
fn only_recorded_services_revive_a_supervisor() {
    let rig = Rig::new();
    let revive = || Client::connect_or_revive(&rig.root, &rig.program).unwrap();
    assert!(revive().is_none());
    let unit = rig.python("web", "r1", SLEEPER);
    rig.client().ensure(&unit, OnDeploy::Restart).unwrap();
    rig.kill_supervisor();
    let mut client = revive().unwrap();
    client.forget(&unit.name).unwrap();
    drop(client);
    rig.wait_until_empty();
    assert!(revive().is_none());
}

#[test]
fn sigterm_ends_the_supervisor_only() {
    let rig = Rig::new();
    let mut client = rig.client();
    let unit = rig.python("web", "r1", SLEEPER);
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    let before = client.status().unwrap();
    terminate(rig.supervisor());
    assert!(is_alive(before[0].pids[0]));
    let mut client = rig.client();
    assert_eq!(client.status().unwrap(), before);
    client.shutdown().unwrap();
    drop(client);
    rig.wait_until_empty();
    // As after a boot: whatever starts the supervisor brings the services back.
    let mut client = rig.client();
    assert_eq!(wait_for_state(&mut client, "web", ServiceState::Running).pids.len(), 1);
}

#[test]
fn a_stopped_service_stays_down_when_the_supervisor_comes_back() {
    let rig = Rig::new();
    let mut client = rig.client();
    let unit = rig.python("web", "r1", SLEEPER);
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    client.stop(&unit.name).unwrap();
    rig.kill_supervisor();
    let mut client = rig.client();
    assert_eq!(status(&mut client, "web").state, ServiceState::Stopped);
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    assert_eq!(status(&mut client, "web").state, ServiceState::Running);
}

/// Takes a release up with a supervisor that is killed in the place of its nth mutating file call, for every n that
/// there is, and counts the processes of each slot once the next supervisor is done. A supervisor that launches before
/// it has recorded fails this.
#[test]
fn no_process_slot_runs_twice_wherever_the_supervisor_is_killed() {
    let survived = AtomicBool::new(false);
    let killed = AtomicU32::new(0);
    let next = AtomicU32::new(1);
    std::thread::scope(|scope| {
        let sweep = || {
            while !survived.load(Ordering::Relaxed) {
                match take_up_killed_at(next.fetch_add(1, Ordering::Relaxed)) {
                    true => killed.fetch_add(1, Ordering::Relaxed),
                    false => u32::from(survived.swap(true, Ordering::Relaxed)),
                };
            }
        };
        (0..6).for_each(|_| drop(scope.spawn(sweep)));
    });
    // What is written for one take-over alone is more than this.
    assert!(killed.into_inner() > 10);
}

/// Tells whether the supervisor was killed before it was done.
fn take_up_killed_at(nth: u32) -> bool {
    let rig = Rig::new();
    let unit = |release: &str| Unit { numprocs: 2, ..rig.unit("web", release, &["sleep", "600"]) };
    rig.client().ensure(&unit("r1"), OnDeploy::Restart).unwrap();
    terminate(rig.supervisor());
    let (mut supervisor, client) = rig.doomed_supervisor(nth);
    let taken_up = client.map(|mut client| client.ensure(&unit("r2"), OnDeploy::Restart));
    assert!(
        matches!(taken_up, None | Some(Ok(()) | Err(ClientError::Connection { .. }))),
        "{nth}: {taken_up:?}"
    );
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    let mut client = rig.client();
    client.ensure(&unit("r2"), OnDeploy::Restart).unwrap();
    let known: BTreeSet<u32> = pids(&mut client, "web").into_iter().collect();
    assert_eq!(known.len(), 2, "killed at call {nth}");
    until("what runs is what is known", || services_of(&rig) == known);
    !matches!(taken_up, Some(Ok(())))
}

fn services_of(rig: &Rig) -> BTreeSet<u32> {
    let is_service = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|args| !args.starts_with(b"deployfile\0"))
    };
    rig.processes().into_iter().filter(is_service).collect()
}

#[test]
fn a_copy_of_a_root_does_not_take_up_the_processes_of_the_original() {
    let rig = Rig::new();
    let mut client = rig.client();
    let unit = rig.python("web", "r1", SLEEPER);
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    let original = pids(&mut client, "web");
    let copy = Rig::new();
    std::fs::create_dir_all(copy.path(".deployfile/supervisor")).unwrap();
    let record = ".deployfile/supervisor/services.json";
    std::fs::copy(rig.path(record), copy.path(record)).unwrap();
    let mut of_copy = copy.client();
    let its_own = wait_for_state(&mut of_copy, "web", ServiceState::Running).pids;
    assert_ne!(its_own, original);
    of_copy.forget(&unit.name).unwrap();
    assert!(is_alive(original[0]));
}

#[test]
fn sockets_outlive_the_holder() {
    let rig = Rig::new();
    let mut client = rig.client();
    let address = free_address();
    let unit = |release: &str| Unit { listen: vec![address.clone()], ..rig.python("web", release, SERVER) };
    client.ensure(&unit("r1"), OnDeploy::Restart).unwrap();
    let first = rig.holder_of("holder.lock").unwrap();
    kill(first);
    until("another holder is there", || rig.holder_of("holder.lock").is_some_and(|pid| pid != first));
    client.ensure(&unit("r2"), OnDeploy::Restart).unwrap();
    assert!(ask(&address).unwrap().starts_with("r2 "));

    // Both: the processes still have the socket; it is bound anew between the old and the new.
    kill(rig.holder_of("holder.lock").unwrap());
    until("another holder is there", || rig.holder_of("holder.lock").is_some());
    let (supervisor, holder) = (rig.supervisor(), rig.holder_of("holder.lock").unwrap());
    kill(supervisor);
    kill(holder);
    let mut client = rig.client();
    assert!(ask(&address).unwrap().starts_with("r2 "));
    client.ensure(&unit("r3"), OnDeploy::Restart).unwrap();
    assert!(ask(&address).unwrap().starts_with("r3 "));
}

#[test]
fn a_damaged_record_stops_the_start_with_its_path() {
    let rig = Rig::new();
    let mut client = rig.client();
    let unit = rig.python("web", "r1", SLEEPER);
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    rig.kill_supervisor();
    let record = rig.path(".deployfile/supervisor/services.json");
    let good = std::fs::read_to_string(&record).unwrap();
    let newer = good.replacen("\"format\": 1", "\"format\": 99", 1);
    let cases = ["", "{", "[]", &good[..good.len() / 2], &good.replace("is_up", "is_down"), &newer];
    for damaged in cases {
        std::fs::write(&record, damaged).unwrap();
        let error = Client::connect_or_start(&rig.root, &rig.program).unwrap_err().to_string();
        assert!(error.contains(record.to_str().unwrap()) && error.contains("nothing was started"), "{error}");
        assert_eq!(std::fs::read_to_string(&record).unwrap(), damaged, "it is not written over");
    }
    std::fs::write(&record, good).unwrap();
    assert_eq!(rig.client().status().unwrap().len(), 1);
}

#[test]
fn clients_that_come_at_once_get_one_supervisor() {
    let rig = Rig::new();
    let pids: BTreeSet<u32> = std::thread::scope(|scope| {
        let each = (0..4).map(|n| {
            let rig = &rig;
            scope.spawn(move || {
                let mut client = rig.client();
                client
                    .ensure(&rig.python(&format!("s{n}"), &format!("r{n}"), SLEEPER), OnDeploy::Restart)
                    .unwrap();
                rig.supervisor()
            })
        });
        each.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(pids.len(), 1);
    assert_eq!(rig.client().status().unwrap().len(), 4);
    let supervisors = rig.processes().into_iter().filter(|pid| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|args| args.contains("\0supervise\0"))
    });
    assert_eq!(supervisors.collect::<BTreeSet<_>>(), pids);
}

#[test]
fn a_root_may_be_longer_than_a_socket_address() {
    let rig = Rig::beneath(&format!("{}/{}", "long".repeat(20), "path".repeat(20)));
    assert!(rig.root.as_str().len() > 108);
    let mut client = rig.client();
    let address = free_address();
    let unit = Unit { listen: vec![address.clone()], ..rig.python("web", "r1", SERVER) };
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    assert!(ask(&address).is_ok());
}

#[test]
fn the_supervisor_has_nothing_of_the_one_that_started_it() {
    let rig = Rig::new();
    let mut client = rig.client();
    let unit = rig.python("web", "r1", SLEEPER);
    client.ensure(&unit, OnDeploy::Restart).unwrap();
    let supervisor = rig.supervisor();
    let link = |what: &str| std::fs::read_link(format!("/proc/{supervisor}/{what}")).unwrap();
    let exe = link("exe");
    assert!(exe.starts_with(rig.path(".deployfile/bin")), "{}", exe.display());
    assert_eq!(std::fs::metadata(&exe).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(link("cwd").to_str(), Some("/"));
    assert_eq!((link("fd/0").to_str(), link("fd/1").to_str()), (Some("/dev/null"), Some("/dev/null")));
    assert_eq!(link("fd/2"), rig.path(".deployfile/supervisor/log"));
    let socket = std::fs::metadata(rig.path(".deployfile/supervisor/socket")).unwrap();
    assert_eq!(socket.mode() & 0o777, 0o600);
    let stat = std::fs::read_to_string(format!("/proc/{supervisor}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!(fields[3], supervisor.to_string(), "it leads a session of its own");
}

/// A descriptor that the starter leaves open, as `make` and CI runners do, ends with the starter.
#[test]
fn inherited_descriptors_are_not_kept() {
    let rig = Rig::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut starter = Command::new("sh")
        .args(["-c", "exec \"$0\" supervise \"$1\" 7>&1 8>&1 >/dev/null"])
        .args([rig.program.as_os_str(), rig.root.as_str().as_ref()])
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(starter.wait().unwrap().success());
    until("a supervisor is there", || rig.holder_of("lock").is_some());
    let supervisor = rig.supervisor();
    let mut rest = Vec::new();
    // Would not return while anybody had it open.
    std::io::Read::read_to_end(&mut reader, &mut rest).unwrap();
    assert!(is_alive(supervisor) && rest.is_empty());
}

#[test]
fn a_root_that_is_not_there_is_refused() {
    let missing = HostPath::new("/no/such/root").unwrap();
    assert!(Client::connect(&missing).unwrap().is_none());
    let rig = Rig::new();
    let error = Client::connect_or_start(&missing, &rig.program).unwrap_err().to_string();
    assert_eq!(error, "cannot open directory `/no/such/root`");
}
