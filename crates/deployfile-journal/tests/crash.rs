//! What was promised is there after any crash, and what was not promised is there whole or not at all.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use deployfile_disk::Dir;
use deployfile_disk::fault::{self, Action, Crashed, Errno, Op};
use deployfile_journal::{Journal, JournalError, Limits, Record, Seq};
use deployfile_model::HostPath;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A payload as small as can be, whose checkpoint says what all before it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Fact {
    Add(u64),
    Sum(u64),
}

fn fold(records: &[Record<Fact>]) -> u64 {
    records.iter().fold(0, |sum, record| match record.payload {
        Fact::Add(n) => sum + n,
        Fact::Sum(n) => n,
    })
}

struct Room {
    _keep: tempfile::TempDir,
    path: PathBuf,
    dir: Dir,
}

impl Room {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let path = keep.path().canonicalize().unwrap();
        let dir = Dir::open_root(&HostPath::new(path.to_str().unwrap()).unwrap()).unwrap();
        Self { _keep: keep, path, dir }
    }
    fn open(&self) -> Result<(Journal<Fact>, Vec<Record<Fact>>), JournalError> {
        Journal::open_with(&self.dir, SMALL)
    }
    fn names(&self) -> Vec<String> {
        self.dir.entries().unwrap().into_iter().map(|e| e.text().unwrap().to_owned()).collect()
    }
    fn segment(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path.join(name)).unwrap()
    }
    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path.join(name), bytes).unwrap();
    }
}

const SMALL: Limits = Limits { segment_bytes: 100, kept_segments: 3 };

/// When a writer takes its record for durable.
#[derive(Clone, Copy, PartialEq)]
enum Promise {
    AfterAppend,
    /// Wrong, for showing that the test below would see it.
    BeforeAppend,
}

/// Adds 1, 2, … `upto`, with checkpoints; tells `promised` each sum that it takes for durable.
fn add_with(
    room: &Room,
    upto: u64,
    promise: Promise,
    mut promised: impl FnMut(u64),
) -> Result<(), JournalError> {
    let (mut journal, records) = room.open()?;
    let mut sum = fold(&records);
    for n in 1..=upto {
        if journal.is_full() {
            journal.checkpoint(&Fact::Sum(sum))?;
        }
        sum += n;
        if promise == Promise::BeforeAppend {
            promised(sum);
        }
        journal.append(&Fact::Add(n))?;
        if promise == Promise::AfterAppend {
            promised(sum);
        }
    }
    Ok(())
}

fn add(room: &Room, upto: u64, promised: impl FnMut(u64)) -> Result<(), JournalError> {
    add_with(room, upto, Promise::AfterAppend, promised)
}

#[test]
fn records_come_back_in_order_and_checkpoints_open_segments() {
    let room = Room::new();
    let (mut journal, records) = room.open().unwrap();
    assert!(records.is_empty());
    assert_eq!(journal.append(&Fact::Add(5)).unwrap(), Seq(1));
    assert_eq!(journal.append(&Fact::Add(6)).unwrap(), Seq(2));
    assert!(!journal.is_full());
    drop(journal);
    let records = room.open().unwrap().1;
    assert_eq!(records[1], Record { seq: Seq(2), payload: Fact::Add(6) });

    add(&room, 40, |_| {}).unwrap();
    let names = room.names();
    assert_eq!(names.len(), 3, "older segments are removed: {names:?}");
    let records = room.open().unwrap().1;
    assert!(matches!(records[0].payload, Fact::Sum(_)));
    assert!(records.windows(2).all(|pair| pair[0].seq.0 + 1 == pair[1].seq.0));
    assert_eq!(fold(&records), 11 + (1..=40).sum::<u64>());
    let reading = Journal::<Fact>::read(&room.dir).unwrap();
    assert_eq!((reading.records, reading.torn), (records, None));
}

/// Kills the writer before its call number `last`. Whether it got that far, the sum that it promised and the sum that
/// is found.
fn crash_at(last: u32, promise: Promise) -> (bool, u64, u64, Room) {
    let room = Room::new();
    let (mut calls, mut promised) = (0, 0);
    let installed = fault::install(move |_| {
        calls += 1;
        if calls == last { Action::Crash } else { Action::Pass }
    });
    let ended = fault::catch_crash(|| add_with(&room, 9, promise, |sum| promised = sum).unwrap());
    drop(installed);
    let before = Journal::<Fact>::read(&room.dir).unwrap();
    let records = room.open().unwrap().1;
    assert_eq!(before.records, records, "reading and opening agree");
    (ended == Err(Crashed), promised, fold(&records), room)
}

#[test]
fn a_crash_before_any_call_loses_no_promise() {
    for last in 1.. {
        let (is_crashed, promised, found, room) = crash_at(last, Promise::AfterAppend);
        let sums: Vec<u64> = (0..=9).map(|n| n * (n + 1) / 2).collect();
        let at = sums.iter().position(|sum| *sum == promised).unwrap();
        assert!(
            found == promised || sums.get(at + 1) == Some(&found),
            "call {last}: {found}, not {promised}"
        );
        // And it goes on.
        add(&room, 3, |_| {}).unwrap();
        assert_eq!(fold(&room.open().unwrap().1), found + 6, "call {last}");
        if !is_crashed {
            assert!(last > 25, "there were {last} calls only");
            return;
        }
    }
}

#[test]
fn a_promise_before_the_append_would_be_seen() {
    let mut crashes = (1..).map(|last| crash_at(last, Promise::BeforeAppend)).take_while(|crash| crash.0);
    assert!(crashes.any(|(_, promised, found, _)| found < promised));
}

/// Lets a write take in only a part, for every part, and crashes then.
#[test]
fn a_torn_record_is_cut_off() {
    let whole = {
        let room = Room::new();
        add(&room, 3, |_| {}).unwrap();
        room.segment("0001.log").len() / 3
    };
    for part in 0..whole {
        let room = Room::new();
        add(&room, 2, |_| {}).unwrap();
        let mut is_torn = false;
        let installed = fault::install(move |call| match call.op {
            _ if is_torn => Action::Crash,
            Op::Write => {
                is_torn = true;
                Action::Short(part)
            }
            _ => Action::Pass,
        });
        let ended = fault::catch_crash(|| add(&room, 1, |_| {}));
        assert!(!matches!(ended, Ok(Ok(()))));
        drop(installed);
        let reading = Journal::<Fact>::read(&room.dir).unwrap();
        assert_eq!(reading.torn.map_or(0, |torn| torn.bytes), part as u64);
        assert_eq!(fold(&room.open().unwrap().1), 3);
        assert_eq!(Journal::<Fact>::read(&room.dir).unwrap().torn, None, "repaired");
        add(&room, 4, |_| {}).unwrap();
        assert_eq!(fold(&room.open().unwrap().1), 13);
    }
}

#[test]
fn damage_is_told_with_its_place_and_nothing_is_changed() {
    let room = Room::new();
    add(&room, 3, |_| {}).unwrap();
    let good = room.segment("0001.log");
    let line = good.len() / 3;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x01;
        room.write("0001.log", &bad);
        let error = room.open().unwrap_err();
        let JournalError::Damaged { line: found, offset, .. } = &error else {
            panic!("byte {at}: {error:?}")
        };
        // The line of a changed newline begins before it.
        assert_eq!((*found, *offset), ((at / line) as u64 + 1, (at / line * line) as u64), "byte {at}");
        assert!(Journal::<Fact>::read(&room.dir).is_err());
        assert_eq!(room.segment("0001.log"), bad, "nothing was changed");
        let text = error.to_string();
        assert!(text.contains("0001.log") && text.contains("nothing was changed"), "{text}");
    }
}

#[test]
fn a_segment_that_never_got_its_checkpoint_is_not_used() {
    let room = Room::new();
    add(&room, 3, |_| {}).unwrap();
    for left in [&b""[..], b"0123", &[0; 700]] {
        room.write("0002.log", left);
        assert_eq!(fold(&Journal::<Fact>::read(&room.dir).unwrap().records), 6);
        let (mut journal, records) = room.open().unwrap();
        assert_eq!(fold(&records), 6);
        assert_eq!(room.names(), ["0001.log"]);
        let seq = journal.append(&Fact::Add(0)).unwrap();
        assert_eq!(seq.0, records.len() as u64 + 1);
    }
    room.write("0003.log", b"");
    assert!(matches!(room.open(), Err(JournalError::MissingSegment { .. })));
    assert!(matches!(Journal::<Fact>::read(&room.dir), Err(JournalError::MissingSegment { .. })));
    room.write("0002.log", b"");
    assert!(matches!(room.open(), Err(JournalError::MissingSegment { .. })), "two without a record");
}

#[test]
fn after_an_error_of_the_disk_nothing_more_is_taken() {
    for op in [Op::Write, Op::SyncData] {
        let room = Room::new();
        let (mut journal, _) = room.open().unwrap();
        journal.append(&Fact::Add(1)).unwrap();
        let installed =
            fault::install(move |call| if call.op == op { Action::Fail(Errno::IO) } else { Action::Pass });
        assert!(matches!(journal.append(&Fact::Add(2)), Err(JournalError::Disk(_))));
        drop(installed);
        assert!(matches!(journal.append(&Fact::Add(2)), Err(JournalError::Poisoned { .. })));
        assert!(matches!(journal.checkpoint(&Fact::Sum(1)), Err(JournalError::Poisoned { .. })));
        let found = fold(&room.open().unwrap().1);
        assert!(found == 1 || (op == Op::SyncData && found == 3), "{op:?}: {found}");
    }
}

#[test]
fn an_append_is_one_write_and_one_sync() {
    let room = Room::new();
    let (mut journal, _) = room.open().unwrap();
    let calls = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = calls.clone();
    let installed = fault::install(move |call| {
        seen.lock().unwrap().push(call.op);
        Action::Pass
    });
    journal.append(&Fact::Add(1)).unwrap();
    assert_eq!(std::mem::take(&mut *calls.lock().unwrap()), [Op::Write, Op::SyncData]);
    journal.checkpoint(&Fact::Sum(1)).unwrap();
    // The segment and its name are durable before anything is in it.
    let order = [Op::Create, Op::Sync, Op::Sync, Op::Write, Op::SyncData];
    assert_eq!(*calls.lock().unwrap(), order);
    drop(installed);
}

#[test]
fn records_of_a_later_version_and_long_ones_are_refused() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Other {
        text: String,
    }
    let room = Room::new();
    add(&room, 2, |_| {}).unwrap();
    let error = Journal::<Other>::open(&room.dir).unwrap_err();
    assert!(matches!(error, JournalError::Unknown { line: 1, .. }), "{error:?}");

    let room = Room::new();
    let (mut journal, _) = Journal::open(&room.dir).unwrap();
    let long = Other { text: "x".repeat(deployfile_journal::MAX_RECORD) };
    assert!(matches!(journal.append(&long), Err(JournalError::TooLong { .. })));
    assert_eq!(room.segment("0001.log"), b"", "nothing was written");
    journal.append(&Other { text: "short".to_owned() }).unwrap();
    // A checkpoint may be longer, and does not make its own segment full.
    journal.checkpoint(&long).unwrap();
    assert!(!journal.is_full());
    drop(journal);
    let (mut journal, records) = Journal::<Other>::open_with(&room.dir, SMALL).unwrap();
    assert_eq!(records.len(), 1);
    assert!(!journal.is_full());
    journal.append(&Other { text: "y".repeat(100) }).unwrap();
    assert!(journal.is_full());
}

#[test]
fn names_that_are_not_segments_are_left_alone() {
    let room = Room::new();
    for name in ["1.log", "00001.log", "0000.log", "0001.log.bak", "notes", "-001.log", "+001.log"] {
        room.write(name, b"something");
    }
    add(&room, 1, |_| {}).unwrap();
    assert_eq!(room.names().len(), 8);
}
