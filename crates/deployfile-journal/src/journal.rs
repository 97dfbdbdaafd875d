//! The journal as its segments: opening, appending, and going on to the next one.

use crate::error::JournalError;
use crate::line::{MAX_CHECKPOINT, MAX_RECORD, encode};
use crate::segment::{self, Segment};
use deployfile_disk::{AppendFile, Dir};
use deployfile_model::RelPath;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;

/// Bytes that a segment never passes: eight times what asks for a checkpoint.
const MAX_SEGMENT: u64 = 64 << 20;
/// Only their owner reads journals: they name users, hosts and paths.
const SEGMENT_MODE: u32 = 0o600;

/// The number of a record, from 1, without gaps over all segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    pub(crate) fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<T> {
    /// Its number.
    pub seq: Seq,
    /// What it says.
    pub payload: T,
}

/// How long a journal gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after a segment's checkpoint that make [`Journal::is_full`] say so.
    pub segment_bytes: u64,
    /// Segments that are kept, the newest included. Older ones are removed by [`Journal::checkpoint`], as nothing
    /// reads them; they are kept at all for people.
    pub kept_segments: u32,
}

impl Default for Limits {
    /// 8 MiB (lifecycle.md), and 16 segments.
    fn default() -> Self {
        Self { segment_bytes: 8 << 20, kept_segments: 16 }
    }
}

/// A record whose write a crash cut short. It was never promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The segment's file.
    pub segment: String,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// What [`Journal::read`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<T> {
    /// The records since the last checkpoint, which is the first of them.
    pub records: Vec<Record<T>>,
    /// A torn last record: a writer died, or is just writing.
    pub torn: Option<Torn>,
}

/// The open journal of a root. There must be one at a time: its opener holds the root's lock.
#[derive(Debug)]
pub struct Journal<T> {
    dir: Dir,
    limits: Limits,
    number: u32,
    file: AppendFile,
    /// Bytes of the newest segment that are its checkpoint's.
    checkpoint_bytes: u64,
    next: Seq,
    is_poisoned: bool,
    payload: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// Opens the journal in `dir` for writing, and makes one where there is none. A torn last record is cut off; the
    /// records since the last checkpoint come with it. All of them are durable when this returns.
    pub fn open(dir: &Dir) -> Result<(Self, Vec<Record<T>>), JournalError> {
        Self::open_with(dir, Limits::default())
    }

    /// [`Journal::open`] with limits of its own.
    pub fn open_with(dir: &Dir, limits: Limits) -> Result<(Self, Vec<Record<T>>), JournalError> {
        let dir = dir.try_clone()?;
        let numbers = segment_numbers(&dir)?;
        let Some(found) = Newest::read(&dir, &numbers)? else {
            let file = create_segment(&dir, 1)?;
            return Ok((Self::at(dir, limits, 1, file, 0, Seq(1)), Vec::new()));
        };
        let segment = found.parse(&dir)?;
        let records = payloads(&dir, found.number, &segment)?;
        if let Some(unused) = found.unused {
            // Its checkpoint never got there. The segment before it goes on, and must not be hidden by this one.
            dir.remove_file(&segment_name(unused))?;
        }
        let mut file = dir.open_append(&segment_name(found.number))?;
        if segment.whole_bytes < found.bytes.len() {
            file.truncate(segment.whole_bytes as u64)?;
        }
        // Its writer may have died between writing and syncing; what is acted upon must be durable first.
        file.sync()?;
        dir.sync()?;
        let next = records.last().map_or(Seq(1), |record| record.seq.next());
        let checkpoint_bytes = if found.number > 1 { segment.first_bytes as u64 } else { 0 };
        Ok((Self::at(dir, limits, found.number, file, checkpoint_bytes, next), records))
    }

    /// Reads the records since the last checkpoint and changes nothing. A torn last record is told of.
    pub fn read(dir: &Dir) -> Result<Reading<T>, JournalError> {
        let Some(found) = Newest::read(dir, &segment_numbers(dir)?)? else {
            return Ok(Reading { records: Vec::new(), torn: None });
        };
        let segment = found.parse(dir)?;
        let torn_bytes = (found.bytes.len() - segment.whole_bytes) as u64;
        let torn = (torn_bytes > 0).then(|| Torn {
            segment: shown(dir, found.number),
            offset: segment.whole_bytes as u64,
            bytes: torn_bytes,
        });
        Ok(Reading { records: payloads(dir, found.number, &segment)?, torn })
    }

    /// Appends a record; it is durable when this returns. After an error of the disk the journal takes nothing more.
    pub fn append(&mut self, payload: &T) -> Result<Seq, JournalError> {
        self.refuse_if_poisoned()?;
        let line = encode(self.next, payload, MAX_RECORD)?;
        if self.file.len().saturating_add(line.len() as u64) > MAX_SEGMENT {
            return Err(JournalError::Full { segment: shown(&self.dir, self.number), limit: MAX_SEGMENT });
        }
        self.is_poisoned = true;
        write_durably(&mut self.file, &line)?;
        self.is_poisoned = false;
        let seq = self.next;
        self.next = seq.next();
        Ok(seq)
    }

    /// Whether the next record should be a checkpoint.
    pub fn is_full(&self) -> bool {
        self.file.len().saturating_sub(self.checkpoint_bytes) >= self.limits.segment_bytes
    }

    /// Opens the next segment with a record that says all that was said before; it is durable when this returns.
    pub fn checkpoint(&mut self, payload: &T) -> Result<Seq, JournalError> {
        self.refuse_if_poisoned()?;
        let line = encode(self.next, payload, MAX_CHECKPOINT)?;
        self.is_poisoned = true;
        let mut file = create_segment(&self.dir, self.number + 1)?;
        write_durably(&mut file, &line)?;
        self.is_poisoned = false;
        self.file = file;
        self.number += 1;
        self.checkpoint_bytes = line.len() as u64;
        let seq = self.next;
        self.next = seq.next();
        self.remove_old_segments()?;
        Ok(seq)
    }

    fn remove_old_segments(&self) -> Result<(), JournalError> {
        let numbers = segment_numbers(&self.dir)?;
        let kept = usize::try_from(self.limits.kept_segments.max(1)).unwrap_or(usize::MAX);
        for number in &numbers[..numbers.len().saturating_sub(kept)] {
            self.dir.remove_file(&segment_name(*number))?;
        }
        Ok(())
    }

    fn refuse_if_poisoned(&self) -> Result<(), JournalError> {
        if self.is_poisoned {
            return Err(JournalError::Poisoned { segment: shown(&self.dir, self.number) });
        }
        Ok(())
    }

    fn at(dir: Dir, limits: Limits, number: u32, file: AppendFile, checkpoint_bytes: u64, next: Seq) -> Self {
        Self { dir, limits, number, file, checkpoint_bytes, next, is_poisoned: false, payload: PhantomData }
    }
}

/// The newest segment that holds a record, or the only one.
struct Newest {
    number: u32,
    bytes: Vec<u8>,
    /// A newer one that holds none: a crash came between its making and its checkpoint.
    unused: Option<u32>,
}

impl Newest {
    fn read(dir: &Dir, numbers: &[u32]) -> Result<Option<Newest>, JournalError> {
        let Some(number) = numbers.last().copied() else { return Ok(None) };
        let newest = Newest { number, bytes: read_segment(dir, number)?, unused: None };
        if number == 1 || !newest.parse(dir)?.records.is_empty() {
            return Ok(Some(newest));
        }
        let before = number - 1;
        if !numbers.contains(&before) {
            return Err(JournalError::MissingSegment { segment: shown(dir, before) });
        }
        let newest = Newest { number: before, bytes: read_segment(dir, before)?, unused: Some(number) };
        // A segment was only ever begun after the one before it held something.
        if newest.parse(dir)?.records.is_empty() {
            return Err(JournalError::MissingSegment { segment: shown(dir, before) });
        }
        Ok(Some(newest))
    }

    fn parse(&self, dir: &Dir) -> Result<Segment<'_>, JournalError> {
        let first = (self.number == 1).then_some(Seq(1));
        segment::parse(&self.bytes, first).map_err(|bad| JournalError::Damaged {
            segment: shown(dir, self.number),
            line: bad.line,
            offset: bad.offset as u64,
            damage: bad.damage,
        })
    }
}

fn payloads<T: DeserializeOwned>(
    dir: &Dir,
    number: u32,
    segment: &Segment<'_>,
) -> Result<Vec<Record<T>>, JournalError> {
    let records = segment.records.iter().zip(1..);
    records
        .map(|(whole, line)| match serde_json::from_str(whole.json) {
            Ok(payload) => Ok(Record { seq: whole.seq, payload }),
            Err(source) => Err(JournalError::Unknown { segment: shown(dir, number), line, source }),
        })
        .collect()
}

/// Makes an empty segment, and its name durable before anything is written to it.
fn create_segment(dir: &Dir, number: u32) -> Result<AppendFile, JournalError> {
    let mut file = dir.create_append(&segment_name(number), SEGMENT_MODE)?;
    file.sync()?;
    dir.sync()?;
    Ok(file)
}

fn write_durably(file: &mut AppendFile, line: &[u8]) -> Result<(), JournalError> {
    file.append(line)?;
    file.sync_data()?;
    Ok(())
}

fn read_segment(dir: &Dir, number: u32) -> Result<Vec<u8>, JournalError> {
    Ok(dir.read(&segment_name(number), MAX_SEGMENT + MAX_CHECKPOINT as u64)?)
}

/// The numbers of the segments, oldest first. Other names are nothing of the journal's.
fn segment_numbers(dir: &Dir) -> Result<Vec<u32>, JournalError> {
    let entries = dir.entries()?;
    let mut numbers: Vec<u32> = entries.iter().filter_map(|entry| segment_number(entry.text()?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn segment_number(name: &str) -> Option<u32> {
    let number: u32 = name.strip_suffix(".log")?.parse().ok()?;
    (number > 0 && segment_text(number) == name).then_some(number)
}

fn segment_text(number: u32) -> String {
    format!("{number:04}.log")
}

fn segment_name(number: u32) -> RelPath {
    RelPath::new(segment_text(number)).unwrap_or_else(|_| unreachable!("digits and a suffix are a name"))
}

fn shown(dir: &Dir, number: u32) -> String {
    format!("{}/{}", dir.path_for_display(), segment_text(number))
}
