//! Records as the bytes that stand in a segment, for those who keep them elsewhere than on a disk: simulations, fuzzers.

use crate::error::{Damage, JournalError};
use crate::journal::{Record, Seq};
use crate::line::{MAX_CHECKPOINT, encode};
use crate::segment;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The line of a record, newline included.
pub fn line<T: Serialize>(seq: Seq, payload: &T) -> Result<Vec<u8>, JournalError> {
    encode(seq, payload, MAX_CHECKPOINT)
}

/// The records of a segment, and how many of its bytes they are: what follows is a torn record.
pub fn records<T: DeserializeOwned>(segment: &[u8]) -> Result<(Vec<Record<T>>, usize), Damage> {
    let read = segment::parse(segment, None).map_err(|bad| bad.damage)?;
    let payload = |json| serde_json::from_str(json).map_err(|_| Damage::Shape);
    let records =
        read.records.iter().map(|whole| Ok(Record { seq: whole.seq, payload: payload(whole.json)? }));
    Ok((records.collect::<Result<_, Damage>>()?, read.whole_bytes))
}
