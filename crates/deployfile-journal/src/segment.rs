//! The bytes of one segment: its records, and what a power cut left at its end.
//!
//! One record is in flight at a time, so only what follows the last whole record can be torn, and only in the ways in
//! which a write that was never synced can be: its end is missing, or sectors of it never reached the disk and read as
//! zeros. Anything else is damage to a record that may have been promised, and is never cut off.

use crate::error::Damage;
use crate::journal::Seq;
use crate::line::{MAX_CHECKPOINT, decode};

/// What a disk writes whole, in bytes.
const SECTOR: usize = 512;

/// A record that is as it was written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole<'a> {
    pub(crate) seq: Seq,
    pub(crate) json: &'a str,
}

/// A segment whose records are whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    pub(crate) records: Vec<Whole<'a>>,
    /// Bytes of the whole records; what follows is torn.
    pub(crate) whole_bytes: usize,
    /// Bytes of the first record.
    pub(crate) first_bytes: usize,
}

/// A line that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    pub(crate) line: u64,
    pub(crate) offset: usize,
    pub(crate) damage: Damage,
}

/// Reads a segment; `first` is the number that its first record must have, where that is known.
pub(crate) fn parse(bytes: &[u8], first: Option<Seq>) -> Result<Segment<'_>, BadLine> {
    let mut segment = Segment { records: Vec::new(), whole_bytes: 0, first_bytes: 0 };
    let mut expected = first;
    while segment.whole_bytes < bytes.len() {
        let offset = segment.whole_bytes;
        let rest = &bytes[offset..];
        let bad = |damage| BadLine { line: segment.records.len() as u64 + 1, offset, damage };
        let Some((seq, json, len)) = next_record(rest, offset).map_err(bad)? else { break };
        if let Some(expected) = expected.filter(|e| *e != seq) {
            return Err(bad(Damage::Sequence { expected, found: seq }));
        }
        if segment.records.is_empty() {
            segment.first_bytes = len;
        }
        expected = Some(seq.next());
        segment.records.push(Whole { seq, json });
        segment.whole_bytes += len;
    }
    Ok(segment)
}

/// The record that `rest` begins with and its length; `None` when all of `rest` is one torn record.
fn next_record(rest: &[u8], offset: usize) -> Result<Option<(Seq, &str, usize)>, Damage> {
    let newline = rest.iter().position(|byte| *byte == b'\n');
    let line = &rest[..newline.unwrap_or(rest.len())];
    if line.len() > MAX_CHECKPOINT {
        return Err(Damage::Length);
    }
    match (newline, decode(line)) {
        (Some(end), Ok((seq, json))) => Ok(Some((seq, json, end + 1))),
        // The CRC is right, so this was written so.
        (Some(_), Err(Damage::Shape)) => Err(Damage::Shape),
        (Some(end), Err(damage)) => {
            let is_last = end + 1 == rest.len();
            if is_last && has_lost_sectors(rest, offset) { Ok(None) } else { Err(damage) }
        }
        (None, _) => {
            // All but the newline is there, with another byte in its place: that was a whole record.
            let is_whole = line.split_last().is_some_and(|(_, body)| decode(body).is_ok());
            if is_whole { Err(Damage::Checksum) } else { Ok(None) }
        }
    }
}

/// Whether zeros stand in `tail`, a record that begins at `offset` of the file, just as sectors that were never written
/// would: from its start or a sector's start to a sector's end or its own.
fn has_lost_sectors(tail: &[u8], offset: usize) -> bool {
    let mut found = false;
    let mut at = 0;
    while at < tail.len() {
        let zeros = tail[at..].iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            at += 1;
            continue;
        }
        let (start, end) = (offset + at, at + zeros);
        let starts_well = at == 0 || start.is_multiple_of(SECTOR);
        let ends_well = end == tail.len() || (offset + end).is_multiple_of(SECTOR);
        if !starts_well || !ends_well {
            return false;
        }
        found = true;
        at = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{MAX_RECORD, encode};

    fn lines(range: std::ops::RangeInclusive<u64>) -> Vec<Vec<u8>> {
        range.map(|n| encode(Seq(n), &format!("payload number {n}"), MAX_RECORD).unwrap()).collect()
    }

    #[test]
    fn every_truncation_of_the_last_record_is_a_torn_tail() {
        let all = lines(1..=4);
        let bytes = all.concat();
        let three = bytes.len() - all[3].len();
        for len in three..bytes.len() {
            let segment = parse(&bytes[..len], Some(Seq(1))).unwrap();
            assert_eq!((segment.records.len(), segment.whole_bytes), (3, three), "{len}");
        }
        assert_eq!(parse(&bytes, None).unwrap().records.len(), 4);
        assert_eq!(parse(b"", None).unwrap().records.len(), 0);
    }

    /// No single changed byte, wherever it is and whatever it becomes, is taken for something a power cut did.
    #[test]
    fn every_changed_byte_of_whole_records_is_damage() {
        let bytes = lines(1..=4).concat();
        for at in 0..bytes.len() {
            for value in 0..=u8::MAX {
                if bytes[at] == value {
                    continue;
                }
                let mut flipped = bytes.clone();
                flipped[at] = value;
                let bad = parse(&flipped, Some(Seq(1))).unwrap_err();
                assert!(bad.offset <= at && bad.line <= 4, "byte {at} as {value}: {bad:?}");
            }
        }
    }

    #[test]
    fn zeros_where_sectors_were_not_written_are_a_torn_tail() {
        let mut bytes = lines(1..=2).concat();
        let whole = bytes.len();
        bytes.extend(encode(Seq(3), &"x".repeat(3 * SECTOR), MAX_RECORD).unwrap());
        let len = bytes.len();
        let torn = |zeros: &[(usize, usize)]| {
            let mut bytes = bytes.clone();
            zeros.iter().for_each(|(from, to)| bytes[*from..*to].fill(0));
            parse(&bytes, None).map(|segment| segment.whole_bytes)
        };
        assert_eq!(torn(&[(whole, len)]), Ok(whole), "all of it");
        assert_eq!(torn(&[(whole, SECTOR)]), Ok(whole), "its first sector");
        assert_eq!(torn(&[(SECTOR, 2 * SECTOR)]), Ok(whole), "its second sector");
        assert_eq!(torn(&[(3 * SECTOR, len)]), Ok(whole), "its last sector");
        assert_eq!(torn(&[(whole, SECTOR), (2 * SECTOR, len)]), Ok(whole));
        assert!(torn(&[(whole + 1, SECTOR)]).is_err(), "not from the start of a write or sector");
        assert!(torn(&[(SECTOR, 2 * SECTOR - 1)]).is_err(), "not to the end of a sector");
        assert!(torn(&[(10, 20)]).is_err(), "in a record before it");
        // A record before it that lost a sector was promised.
        let mut two = bytes.clone();
        two[SECTOR..2 * SECTOR].fill(0);
        two.extend(encode(Seq(4), &"y", MAX_RECORD).unwrap());
        assert_eq!(parse(&two, None).unwrap_err().damage, Damage::Checksum);
    }

    #[test]
    fn gaps_and_repeats_are_damage() {
        let all = lines(1..=4);
        let found = |order: &[usize]| {
            let bytes = order.iter().map(|n| all[n - 1].clone()).collect::<Vec<_>>().concat();
            parse(&bytes, Some(Seq(1))).map(drop).map_err(|bad| (bad.line, bad.damage))
        };
        let sequence = |expected, found| Damage::Sequence { expected: Seq(expected), found: Seq(found) };
        assert_eq!(found(&[1, 2, 4]), Err((3, sequence(3, 4))));
        assert_eq!(found(&[1, 2, 2]), Err((3, sequence(3, 2))));
        assert_eq!(found(&[2, 3]), Err((1, sequence(1, 2))));
        assert_eq!(found(&[1, 2, 3, 4]), Ok(()));
    }

    #[test]
    fn a_line_without_end_is_not_taken_in() {
        let bad = parse(&vec![b'x'; MAX_CHECKPOINT + 1], None).unwrap_err();
        assert_eq!(bad.damage, Damage::Length);
    }
}
