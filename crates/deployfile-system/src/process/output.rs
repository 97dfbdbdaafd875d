//! What a program prints, as bounded, escaped, redacted lines.
//!
//! The first half of the limit is told line by line as it comes. What comes later is kept as raw bytes, the oldest
//! dropped, and told when the program has ended: so a flood costs no more than reading it. The limit counts bytes, and
//! a short line as if it were longer ([`LINE_COST`]), so it bounds the lines that are told as well.

use super::Limits;
use crate::secret::Redactor;
use deployfile_exec::Tell;
use deployfile_model::units::Bytes;
use deployfile_record::event::Stream;
use std::collections::VecDeque;
use std::fmt::Write;

/// What one kept chunk of the end of the output counts, at most.
const CHUNK: usize = 16 << 10;
/// What a line counts at least, in bytes: about what surrounds it in a run's history.
const LINE_COST: usize = 64;

pub(super) struct Output<'a> {
    limits: Limits,
    redactor: &'a Redactor,
    stdout: Splitter,
    stderr: Splitter,
    /// What may still be told as it comes.
    live: usize,
    late: VecDeque<Chunk>,
    /// What all of `late` counts.
    late_cost: usize,
    dropped: u64,
    tail: VecDeque<String>,
}

impl<'a> Output<'a> {
    pub(super) fn new(limits: Limits, redactor: &'a Redactor) -> Self {
        Self {
            limits,
            redactor,
            stdout: Splitter::default(),
            stderr: Splitter::default(),
            live: limits.kept / 2,
            late: VecDeque::new(),
            late_cost: 0,
            dropped: 0,
            tail: VecDeque::new(),
        }
    }

    /// Takes what one `read` gave.
    pub(super) fn take(&mut self, stream: Stream, bytes: &[u8], tell: &mut dyn Tell) {
        let mut rest = bytes;
        if self.live > 0 {
            let (end, cost) = fits(rest, self.live);
            // What is left is less than the next line would count.
            self.live = if end < rest.len() { 0 } else { self.live - cost };
            self.lines(stream, &rest[..end], tell);
            rest = &rest[end..];
        }
        while !rest.is_empty() {
            let (end, cost) = fits(rest, CHUNK);
            self.keep(stream, &rest[..end], cost);
            rest = &rest[end..];
        }
    }

    /// Tells the end of the output; gives the last lines, and whether something was left out.
    pub(super) fn finish(mut self, tell: &mut dyn Tell) -> (Vec<String>, bool) {
        if self.dropped > 0 {
            for stream in [Stream::Stdout, Stream::Stderr] {
                self.flush(stream, tell);
            }
            self.line(Stream::Stdout, format!("[… {} not shown …]", Bytes(self.dropped)), tell);
        }
        for chunk in std::mem::take(&mut self.late) {
            self.lines(chunk.stream, &chunk.bytes, tell);
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.flush(stream, tell);
        }
        (self.tail.into(), self.dropped > 0)
    }

    fn keep(&mut self, stream: Stream, bytes: &[u8], cost: usize) {
        self.late_cost += cost;
        match self.late.back_mut() {
            Some(chunk) if chunk.stream == stream && chunk.cost + cost <= CHUNK => {
                chunk.cost += cost;
                chunk.bytes.extend_from_slice(bytes);
            }
            _ => self.late.push_back(Chunk { stream, cost, bytes: bytes.to_vec() }),
        }
        while self.late_cost > self.limits.kept / 2 && self.late.len() > 1 {
            let Some(oldest) = self.late.pop_front() else { break };
            self.late_cost -= oldest.cost;
            self.dropped += oldest.bytes.len() as u64;
        }
    }

    fn splitter(&mut self, stream: Stream) -> &mut Splitter {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn lines(&mut self, stream: Stream, bytes: &[u8], tell: &mut dyn Tell) {
        let limit = self.limits.line;
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.splitter(stream).push(&rest[..end], limit);
            self.end_line(stream, tell);
            rest = &rest[end + 1..];
        }
        self.splitter(stream).push(rest, limit);
    }

    fn flush(&mut self, stream: Stream, tell: &mut dyn Tell) {
        if !self.splitter(stream).is_empty() {
            self.end_line(stream, tell);
        }
    }

    fn end_line(&mut self, stream: Stream, tell: &mut dyn Tell) {
        let (raw, cut) = self.splitter(stream).take();
        let mut line = self.redactor.line(&escape(&raw), cut > 0);
        if cut > 0 {
            // Writing to a String cannot fail.
            let _ = write!(line, " [… {} cut off]", Bytes(cut));
        }
        self.line(stream, line, tell);
    }

    fn line(&mut self, stream: Stream, line: String, tell: &mut dyn Tell) {
        tell.output(stream, &line);
        if self.tail.len() == self.limits.tail_lines {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

/// A piece of the end of the output.
struct Chunk {
    stream: Stream,
    cost: usize,
    bytes: Vec<u8>,
}

/// How many of these bytes count at most `limit`, and what they count. At least one byte fits, so that whoever takes
/// piece by piece gets on.
fn fits(bytes: &[u8], limit: usize) -> (usize, usize) {
    let (mut end, mut cost) = (0, 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let is_whole = line.ends_with(b"\n");
        let more = if is_whole { line.len().max(LINE_COST) } else { line.len() };
        if cost + more > limit {
            let part = (limit - cost).min(line.len() - 1);
            let part = if end == 0 { part.max(1) } else { part };
            return (end + part, cost + part);
        }
        (end, cost) = (end + line.len(), cost + more);
    }
    (end, cost)
}

/// The line that is being read.
#[derive(Default)]
struct Splitter {
    line: Vec<u8>,
    cut: u64,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.line.len()).min(bytes.len());
        self.line.extend_from_slice(&bytes[..room]);
        self.cut += (bytes.len() - room) as u64;
    }
    fn is_empty(&self) -> bool {
        self.line.is_empty() && self.cut == 0
    }
    /// The line without the carriage return of a CRLF, and how many bytes of it were cut off.
    fn take(&mut self) -> (Vec<u8>, u64) {
        let mut line = std::mem::take(&mut self.line);
        let cut = std::mem::take(&mut self.cut);
        if cut == 0 && line.last() == Some(&b'\r') {
            line.pop();
        }
        (line, cut)
    }
}

/// Text as it is safe on a terminal and in a file: bytes that are not UTF-8 and control characters other than the tab
/// become `\xNN` or `\u{N}`. Not reversible: a backslash stays a backslash.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => out.push('\t'),
                c if c.is_ascii_control() => push_byte(&mut out, c as u8),
                c if c.is_control() || is_bidi_control(c) => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| push_byte(&mut out, *byte));
    }
    out
}

fn push_byte(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

/// Characters that reorder what a terminal shows (Unicode, UAX #9).
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::tests::Heard;

    fn told(limits: Limits, chunks: &[&[u8]]) -> (Vec<String>, Vec<String>, bool) {
        let (redactor, mut heard) = (Redactor::default(), Heard::default());
        let mut output = Output::new(limits, &redactor);
        chunks.iter().for_each(|chunk| output.take(Stream::Stdout, chunk, &mut heard));
        let (tail, truncated) = output.finish(&mut heard);
        (heard.lines(), tail, truncated)
    }

    #[test]
    fn lines_are_put_together_and_escaped() {
        let chunks: [&[u8]; 4] = [b"one\r\ntw", b"o\n\x1b[31mred\x00\xff\xc3\xa4\n", b"\n", b"no newline"];
        let (lines, tail, truncated) = told(Limits::default(), &chunks);
        assert_eq!(lines, ["one", "two", "\\x1b[31mred\\x00\\xff\u{e4}", "", "no newline"]);
        assert_eq!(tail, lines);
        assert!(!truncated);
        assert_eq!(escape("a\u{85}b\u{202e}c\td\\".as_bytes()), "a\\u{85}b\\u{202e}c\td\\");
    }

    #[test]
    fn long_lines_are_cut_and_marked() {
        let limits = Limits { line: 4, ..Limits::default() };
        let (lines, ..) = told(limits, &[b"abcd\nabcdef", b"gh\nx\n"]);
        assert_eq!(lines, ["abcd", "abcd [… 4 B cut off]", "x"]);
    }

    #[test]
    fn a_flood_keeps_its_head_and_its_end() {
        let limits = Limits { kept: 64 << 10, tail_lines: 3, ..Limits::default() };
        let chunks: Vec<Vec<u8>> = (0..4_000)
            .map(|n| (0..10).map(|i| format!("line {}\n", n * 10 + i)).collect::<String>().into())
            .collect();
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let (lines, tail, truncated) = told(limits, &chunks);
        assert!(truncated);
        assert_eq!((lines[0].as_str(), lines[1].as_str()), ("line 0", "line 1"));
        assert_eq!(tail, ["line 39997", "line 39998", "line 39999"]);
        assert!(lines.iter().any(|line| line.ends_with("not shown …]")));
        let bytes: usize = lines.iter().map(String::len).sum();
        assert!(bytes <= 80 << 10, "{bytes} bytes told for a limit of 64 KiB");
    }

    #[test]
    fn a_flood_of_short_lines_is_bounded_in_lines_too() {
        let limits = Limits { kept: 64 << 10, ..Limits::default() };
        let flood = b"y\n".repeat(1 << 20);
        for size in [1, 2, 7, 64 << 10] {
            let chunks: Vec<&[u8]> = flood.chunks(size).take((1 << 20) / size).collect();
            let (lines, _, truncated) = told(limits, &chunks);
            let drops = lines.iter().filter(|line| line.ends_with("not shown …]")).count();
            assert!(truncated && drops == 1, "reads of {size} bytes: said {drops} times");
            // Reads of single bytes count a line by its newline alone, which is a line as well.
            let most = (64 << 10) / LINE_COST + CHUNK / LINE_COST + 2;
            assert!((500..=most).contains(&lines.len()), "reads of {size} bytes: {} lines", lines.len());
        }
    }

    #[test]
    fn nothing_gets_lost_or_moved_below_the_limit() {
        let text: String = (0..900).map(|n| format!("{n} {}\n", "x".repeat(n % 90))).collect();
        for size in [1, 13, 4096, 1 << 20] {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let (lines, _, truncated) = told(Limits { kept: 256 << 10, ..Limits::default() }, &chunks);
            assert!(!truncated);
            assert_eq!(lines, text.lines().collect::<Vec<_>>(), "reads of {size} bytes");
        }
    }
}
