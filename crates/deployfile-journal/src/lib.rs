//! The durable, append-only journal of a root (lifecycle.md "Journal, crash safety").
//!
//! `<journal>/NNNN.log` are its segments, one record a line: `crc32c seq json`. A record is one `write` and one
//! `fdatasync`; [`Journal::append`] returns when it is durable. When a segment is full, a checkpoint, which says all
//! that the records before it said, opens the next one, so that only the newest segment is ever read.
//!
//! What is deliberately not here: what a record means. The payload is the caller's; that a checkpoint says enough is
//! too. One writer at a time is the lock's business (`deployfile_disk::Lock`).

pub mod bytes;
mod error;
mod journal;
mod line;
mod segment;

pub use error::{Damage, JournalError};
pub use journal::{Journal, Limits, Reading, Record, Seq, Torn};
pub use line::{MAX_CHECKPOINT, MAX_RECORD};
