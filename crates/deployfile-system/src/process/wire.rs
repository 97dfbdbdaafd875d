//! What executor, guard and launcher say to each other over their sockets.
//!
//! Down: one length-prefixed [`Launch`], then single bytes ([`GO`], [`TERM`], [`KILL`]). Up: one [`Word`] a line.

use super::user::Ids;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// The program may start: its process is in the journal.
pub(super) const GO: u8 = b'g';
/// Ask the program's group to end.
pub(super) const TERM: u8 = b't';
/// Kill everything.
pub(super) const KILL: u8 = b'k';

/// Bytes of a [`Launch`]; four times Linux's usual limit of arguments and environment (2 MiB).
const LAUNCH_MAX: usize = 8 << 20;
/// Bytes of a [`Word`].
const WORD_MAX: usize = 4 << 10;

/// Everything about a program that is to be started.
#[derive(Serialize, Deserialize)]
pub(super) struct Launch {
    /// Starts the launcher: program and arguments.
    pub(super) launcher: (PathBuf, Vec<String>),
    /// Path of the program.
    pub(super) program: PathBuf,
    /// Its arguments, the first being what it calls itself.
    pub(super) argv: Vec<String>,
    /// Its working directory.
    pub(super) directory: PathBuf,
    /// Its environment.
    pub(super) env: BTreeMap<String, String>,
    /// Who it runs as; `None`: as we do.
    pub(super) user: Option<Ids>,
}

/// A message of the guard or the launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    /// The program's process is there and waits for [`GO`].
    Spawned { pid: u32, start_ticks: u64 },
    /// It could not be started.
    Failed { what: String, errno: i32 },
    /// It ended by itself or was killed, and so is all that it left behind, but for `left` processes.
    Exited { status: i32, left: u32 },
    /// A signal ended it.
    Signaled { signal: i32, left: u32 },
}

impl Word {
    pub(super) fn failed(what: impl Into<String>, error: &io::Error) -> Self {
        Word::Failed { what: what.into(), errno: error.raw_os_error().unwrap_or(0) }
    }
}

pub(super) fn send_launch(mut to: impl Write, launch: &Launch) -> io::Result<()> {
    send_frame(&mut to, &serde_json::to_vec(launch)?)
}

pub(super) fn send_frame(mut to: impl Write, frame: &[u8]) -> io::Result<()> {
    if frame.len() > LAUNCH_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("arguments and environment take more than {LAUNCH_MAX} bytes"),
        ));
    }
    to.write_all(&(frame.len() as u32).to_be_bytes())?;
    to.write_all(frame)
}

pub(super) fn receive_frame(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LAUNCH_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

pub(super) fn send_word(mut to: impl Write, word: &Word) -> io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Puts [`Word`]s together from what arrives.
#[derive(Default)]
pub(super) struct Words(Vec<u8>);

impl Words {
    /// Takes what one `read` gives; `false` at the end of the stream.
    pub(super) fn fill(&mut self, mut from: impl Read) -> io::Result<bool> {
        let mut chunk = [0; WORD_MAX];
        let n = from.read(&mut chunk)?;
        if self.0.len() + n > 2 * WORD_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.0.extend_from_slice(&chunk[..n]);
        Ok(n > 0)
    }
    /// The next whole word.
    pub(super) fn next(&mut self) -> io::Result<Option<Word>> {
        let Some(end) = self.0.iter().position(|b| *b == b'\n') else { return Ok(None) };
        let line: Vec<u8> = self.0.drain(..=end).collect();
        Ok(Some(serde_json::from_slice(&line)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_whole_however_they_are_cut() {
        let mut bytes = Vec::new();
        let sent = [Word::Spawned { pid: 7, start_ticks: 9 }, Word::Signaled { signal: 9, left: 0 }];
        sent.iter().for_each(|word| send_word(&mut bytes, word).unwrap());
        let (mut words, mut got) = (Words::default(), Vec::new());
        for byte in bytes.chunks(1) {
            assert!(words.fill(byte).unwrap());
            got.extend(words.next().unwrap());
        }
        assert_eq!(got, sent);
        assert!(!words.fill(&b""[..]).unwrap());
    }

    #[test]
    fn frames_and_words_are_bounded() {
        assert!(receive_frame(&[0xff; 8][..]).is_err());
        assert!(send_frame(Vec::new(), &vec![0; LAUNCH_MAX + 1]).is_err());
        let mut words = Words::default();
        let endless = [b'x'; WORD_MAX];
        assert!((0..3).any(|_| words.fill(&endless[..]).is_err()));
    }
}
