//! Blobs out of mirrors, through `git cat-file --batch`.

use super::super::error::{SourceError, Trouble};
use super::super::url::GitUrl;
use super::command::{command, end_group, pid_of, read_messages, spawn};
use super::mirror::Mirror;
use deployfile_exec::port::Stop;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Child, Stdio};

/// Bytes of the pipe that git writes into, so that it seldom waits for us.
const PIPE: usize = 1 << 20;
/// Bytes of one blob, in memory at once.
const MAX_BLOB: u64 = 2 << 30;

/// Reads blobs of one mirror one after the other and hands each to `take`, in the order of `oids`.
pub(super) fn read_blobs(
    mirror: &Mirror<'_>,
    oids: &[&str],
    stop: &Stop,
    mut take: impl FnMut(usize, &[u8]) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    if oids.is_empty() {
        return Ok(());
    }
    let within = mirror.path();
    let mut git = command(Some(&within), false);
    git.args(["--git-dir=.", "cat-file", "--batch", "--buffer"]);
    git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(&mut git)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return finish(child, &mirror.url, Err(unreadable("it has no pipes")), Vec::new());
    };
    // A small pipe is only slower.
    let _kept_small = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut stdin = stdin;
            let asked: String = oids.iter().flat_map(|oid| [oid, "\n"]).collect();
            // When git is gone, what it answered tells.
            let _gone = stdin.write_all(asked.as_bytes());
        });
        let messages = scope.spawn(|| read_messages(stderr).unwrap_or_default());
        let mut answers = BufReader::with_capacity(256 * 1024, stdout);
        let mut content = Vec::new();
        let mut read = || {
            for (index, oid) in oids.iter().enumerate() {
                if stop.asked() {
                    return Err(SourceError::Interrupted);
                }
                read_one(&mut answers, oid, &mut content)?;
                take(index, &content)?;
            }
            Ok(())
        };
        let done = read();
        if done.is_err() {
            end_group(pid_of(&child));
        }
        drop(answers);
        finish(child, &mirror.url, done, messages.join().unwrap_or_default())
    })
}

/// Waits for git and adds what it said to an error.
fn finish(
    mut child: Child,
    url: &GitUrl,
    done: Result<(), SourceError>,
    messages: Vec<u8>,
) -> Result<(), SourceError> {
    let failed = |source| SourceError::Io { verb: "wait for", what: "git".to_owned(), source };
    child.wait().map_err(failed)?;
    match done {
        Err(SourceError::GitAnswer { why, .. }) if !messages.is_empty() => {
            let said = String::from_utf8_lossy(&messages).into_owned();
            let output = said.lines().map(str::to_owned).chain([why]).collect();
            Err(SourceError::Git {
                verb: "read files from the mirror of",
                url: url.shown(),
                trouble: Trouble::Other,
                output,
            })
        }
        done => done,
    }
}

fn unreadable(why: &str) -> SourceError {
    SourceError::GitAnswer { verb: "read files from a mirror", why: format!("git cat-file: {why}") }
}

/// Reads `<oid> blob <size>LF<content>LF` (git-cat-file(1), "BATCH OUTPUT").
fn read_one(answers: &mut impl BufRead, oid: &str, content: &mut Vec<u8>) -> Result<(), SourceError> {
    let failed = |source| SourceError::Io { verb: "read from", what: "git cat-file".to_owned(), source };
    let mut header = Vec::with_capacity(96);
    answers.by_ref().take(256).read_until(b'\n', &mut header).map_err(failed)?;
    let header = String::from_utf8_lossy(&header);
    let size = header
        .trim_end()
        .strip_prefix(oid)
        .and_then(|rest| rest.strip_prefix(" blob "))
        .and_then(|size| size.parse::<u64>().ok())
        .ok_or_else(|| unreadable(&format!("answered `{}`", header.trim_end().escape_debug())))?;
    if size > MAX_BLOB {
        return Err(SourceError::TooLarge { what: format!("{MAX_BLOB} bytes in one file of git") });
    }
    content.clear();
    let wanted = size + 1;
    let read = answers.by_ref().take(wanted).read_to_end(content).map_err(failed)?;
    if read as u64 == wanted && content.pop() == Some(b'\n') {
        Ok(())
    } else {
        Err(unreadable("ended early"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_exactly() {
        let mut content = Vec::new();
        let mut answers = b"abc blob 5\nab\nc\n\nabc blob 0\n\n".as_slice();
        read_one(&mut answers, "abc", &mut content).unwrap();
        assert_eq!(content, b"ab\nc\n");
        read_one(&mut answers, "abc", &mut content).unwrap();
        assert!(content.is_empty() && answers.is_empty());
        for bad in ["abc missing\n", "abd blob 1\nx\n", "abc blob 5\nab\n", "abc tree 1\nx\n", ""] {
            assert!(read_one(&mut bad.as_bytes(), "abc", &mut content).is_err(), "{bad}");
        }
    }
}
