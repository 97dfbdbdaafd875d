//! Why a journal cannot be read or written.

use crate::journal::Seq;
use deployfile_disk::DiskError;
use std::fmt;

/// What is wrong with a line that a power cut cannot have made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// Its bytes are not those that were written: the checksum does not match.
    Checksum,
    /// Its bytes are those that were written, but it is not a record.
    Shape,
    /// A record is missing or stands twice.
    Sequence {
        /// The number that comes next.
        expected: Seq,
        /// The number that is there.
        found: Seq,
    },
    /// It is longer than any record.
    Length,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum => f.write_str("its checksum does not match its bytes"),
            Self::Shape => f.write_str("it is not a record"),
            Self::Sequence { expected, found } => {
                write!(f, "its number is {found} where {expected} comes next")
            }
            Self::Length => f.write_str("it is longer than any record"),
        }
    }
}

/// Why a journal cannot be read or written.
#[derive(Debug)]
pub enum JournalError {
    /// A file call failed.
    Disk(DiskError),
    /// A line is damaged. Nothing was changed.
    Damaged {
        /// The segment's file.
        segment: String,
        /// The line, from 1.
        line: u64,
        /// Where the line begins, in bytes.
        offset: u64,
        /// What is wrong with it.
        damage: Damage,
    },
    /// A record is as it was written, and this program does not know it.
    Unknown {
        /// The segment's file.
        segment: String,
        /// The line, from 1.
        line: u64,
        /// What the reader said.
        source: serde_json::Error,
    },
    /// The newest segment holds no record, and the one before it is gone.
    MissingSegment {
        /// The file that is missing.
        segment: String,
    },
    /// A record cannot be written as JSON.
    Encode(serde_json::Error),
    /// A record is longer than a record may be. Nothing was written.
    TooLong {
        /// Its length, in bytes.
        len: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The segment is long past its limit: no checkpoint was made. Nothing was written.
    Full {
        /// The segment's file.
        segment: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// An earlier write of this journal failed, so what it holds is unknown until it is opened again.
    Poisoned {
        /// The segment's file.
        segment: String,
    },
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(f),
            Self::Damaged { segment, line, offset, damage } => write!(
                f,
                "cannot read journal `{segment}`: line {line} (byte {offset}) is damaged: {damage}; nothing was changed"
            ),
            Self::Unknown { segment, line, .. } => write!(
                f,
                "cannot read journal `{segment}`: line {line} is a record that this version does not know; \
                 use the version that wrote it, or a newer one"
            ),
            Self::MissingSegment { segment } => write!(
                f,
                "cannot read journal `{segment}`: it is missing, and the segment after it holds no record; \
                 restore the file from a backup"
            ),
            Self::Encode(_) => f.write_str("cannot write a journal record as JSON"),
            Self::TooLong { len, limit } => {
                write!(f, "cannot append to the journal: the record takes {len} bytes of at most {limit}")
            }
            Self::Full { segment, limit } => {
                write!(
                    f,
                    "cannot append to journal `{segment}`: it has reached {limit} bytes without a checkpoint"
                )
            }
            Self::Poisoned { segment } => write!(
                f,
                "cannot append to journal `{segment}`: an earlier write failed, so what it holds is unknown until it is opened again"
            ),
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk(error) => error.source(),
            Self::Unknown { source, .. } | Self::Encode(source) => Some(source),
            _ => None,
        }
    }
}

impl From<DiskError> for JournalError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}
