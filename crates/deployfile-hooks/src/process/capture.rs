//! Output of a program: head and tail for the plugin, lines for the operator.

use std::collections::VecDeque;

/// Bytes that are kept from the beginning, and as many from the end.
const HALF: usize = 512 << 10;
/// Bytes of a line that are told.
const LINE_MAX: usize = 4 << 10;

/// Head and tail of a stream.
#[derive(Default)]
pub(super) struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Capture {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = HALF - self.head.len();
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(HALF);
        self.tail.drain(..over);
        self.dropped += over as u64;
    }

    /// What was kept, and whether anything is missing; a line between the halves says how much.
    pub(super) fn finish(self) -> (Vec<u8>, bool) {
        let mut bytes = self.head;
        if self.dropped > 0 {
            bytes.extend_from_slice(format!("\n… {} bytes are left out …\n", self.dropped).as_bytes());
        }
        bytes.extend(self.tail);
        (bytes, self.dropped > 0)
    }
}

/// Cuts a stream into lines.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    left_out: usize,
}

impl Lines {
    /// The lines that `bytes` completes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' => lines.push(self.take()),
                _ if self.line.len() < LINE_MAX => self.line.push(byte),
                _ => self.left_out += 1,
            }
        }
        lines
    }

    /// A last line without its newline.
    pub(super) fn rest(&mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let mut line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        if line.ends_with('\r') {
            line.pop();
        }
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            line.push_str(&format!(" … {left_out} bytes more"));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_are_kept() {
        let mut capture = Capture::default();
        capture.push(b"first");
        (0..3 << 10).for_each(|_| capture.push(&[b'x'; 1 << 10]));
        capture.push(b"last");
        let (bytes, truncated) = capture.finish();
        assert!(truncated && bytes.starts_with(b"first") && bytes.ends_with(b"last"));
        assert!(bytes.len() < 2 * HALF + 64, "{}", bytes.len());
    }

    #[test]
    fn what_fits_is_whole() {
        let mut capture = Capture::default();
        capture.push(&vec![b'x'; 2 * HALF]);
        assert_eq!(capture.finish(), (vec![b'x'; 2 * HALF], false));
    }

    #[test]
    fn long_lines_are_cut() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"a\r\nb"), ["a"]);
        let long = lines.push(&[vec![b'y'; LINE_MAX + 9], b"\n".to_vec()].concat());
        assert!(long[0].ends_with("… 10 bytes more"), "{}", &long[0][LINE_MAX..]);
        assert_eq!(lines.rest(), None);
    }
}
