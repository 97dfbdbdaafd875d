//! One record as one line: `crc32c seq json`.
//!
//! The checksum is eight lower-case hexadecimal digits over `seq json`. JSON as serde_json writes it holds no control
//! character, so a newline ends a record and a NUL is never part of one.

use crate::error::{Damage, JournalError};
use crate::journal::Seq;
use serde::Serialize;

/// Bytes of a record's line.
pub const MAX_RECORD: usize = 1 << 20;
/// Bytes of a checkpoint's line. It says what many records said: some 600 bytes for each release that there is.
pub const MAX_CHECKPOINT: usize = 32 << 20;

/// The line of a record, newline included.
pub(crate) fn encode<T: Serialize>(seq: Seq, payload: &T, limit: usize) -> Result<Vec<u8>, JournalError> {
    let json = serde_json::to_string(payload).map_err(JournalError::Encode)?;
    let body = format!("{seq} {json}");
    let line = format!("{} {body}\n", checksum(body.as_bytes()));
    if line.len() > limit {
        return Err(JournalError::TooLong { len: line.len(), limit });
    }
    Ok(line.into_bytes())
}

/// Sequence number and JSON of a line without its newline.
pub(crate) fn decode(line: &[u8]) -> Result<(Seq, &str), Damage> {
    let (sum, body) = line.split_at_checked(9).ok_or(Damage::Checksum)?;
    // As text: `A` for `a` is damage too.
    if sum != format!("{} ", checksum(body)).as_bytes() {
        return Err(Damage::Checksum);
    }
    let body = std::str::from_utf8(body).map_err(|_| Damage::Shape)?;
    let (seq, json) = body.split_once(' ').ok_or(Damage::Shape)?;
    Ok((Seq(seq.parse().map_err(|_| Damage::Shape)?), json))
}

fn checksum(body: &[u8]) -> String {
    format!("{:08x}", crc32c::crc32c(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_line() {
        // The check value of CRC-32C over "123456789" is e3069283 (RFC 3720, B.4 gives the polynomial).
        assert_eq!(checksum(b"123456789"), "e3069283");
        let line = encode(Seq(7), &"a\nb", MAX_RECORD).unwrap();
        let text = std::str::from_utf8(&line).unwrap();
        assert!(text.ends_with(" 7 \"a\\nb\"\n"), "{text}");
        assert_eq!(decode(&line[..line.len() - 1]), Ok((Seq(7), "\"a\\nb\"")));
    }

    #[test]
    fn what_was_not_written_is_not_read() {
        let line = encode(Seq(1), &"abc", MAX_RECORD).unwrap();
        let line = &line[..line.len() - 1];
        for len in 0..line.len() {
            assert_eq!(decode(&line[..len]), Err(Damage::Checksum), "{len}");
        }
        assert_eq!(decode(line.to_ascii_uppercase().as_slice()), Err(Damage::Checksum));
        let shapeless = |body: &str| format!("{} {body}", checksum(body.as_bytes()));
        for body in ["", "1", "x 1", "-1 {}", "99999999999999999999 {}"] {
            assert_eq!(decode(shapeless(body).as_bytes()), Err(Damage::Shape), "{body}");
        }
    }

    #[test]
    fn a_record_has_a_limit() {
        let limit = encode(Seq(1), &"abc", MAX_RECORD).unwrap().len();
        assert!(encode(Seq(1), &"abc", limit).is_ok());
        assert!(matches!(encode(Seq(1), &"abcd", limit), Err(JournalError::TooLong { .. })));
    }
}
