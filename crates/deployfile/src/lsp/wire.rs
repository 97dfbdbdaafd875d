//! Messages on the wire: a header with the length, then JSON. What one message gets wrong costs that message; where the
//! length is unknown, nobody can say where the next one begins, and reading ends.

use lsp_server::{ErrorCode, Message};
use serde_json::{Value, json};
use std::io::{self, BufRead, Read, Write};

/// Bytes of one message: a document of the largest size that is read, with every byte escaped, and as much again.
const MAX_MESSAGE: usize = 16 * deployfile_config::MAX_FILE;
/// Bytes of one line of a header.
const MAX_HEADER: u64 = 8 << 10;

/// What was read.
pub(super) enum Incoming {
    Message(Message),
    /// A whole message that cannot be used, and its answer.
    Wrong(Value),
    /// The client closed its end, or what it sends has no length.
    Closed,
}

/// Reads one message.
pub(super) fn read(input: &mut impl BufRead) -> Incoming {
    let Some(length) = length(input) else { return Incoming::Closed };
    let mut body = Vec::new();
    match input.take(length as u64).read_to_end(&mut body) {
        Ok(read) if read == length => message(&body),
        _ => Incoming::Closed,
    }
}

/// The header: lines up to an empty one, of which one says how long the message is.
fn length(input: &mut impl BufRead) -> Option<usize> {
    let mut length = None;
    loop {
        let mut line = Vec::new();
        input.take(MAX_HEADER).read_until(b'\n', &mut line).ok()?;
        let line = std::str::from_utf8(&line).ok()?.strip_suffix('\n')?.trim_end();
        if line.is_empty() {
            return length.filter(|length| *length <= MAX_MESSAGE);
        }
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse().ok()?);
        }
    }
}

fn message(body: &[u8]) -> Incoming {
    let answer = |id: Value, code: ErrorCode, what: &str| {
        let error = json!({ "code": code as i32, "message": what });
        Incoming::Wrong(json!({ "jsonrpc": "2.0", "id": id, "error": error }))
    };
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(error) => {
            return answer(Value::Null, ErrorCode::ParseError, &format!("the message is not JSON: {error}"));
        }
    };
    let id = value.get("id").cloned().unwrap_or_default();
    match serde_json::from_value(value) {
        Ok(message) => Incoming::Message(message),
        Err(_) => answer(id, ErrorCode::InvalidRequest, "this is no request, notification or response"),
    }
}

/// Writes one message.
pub(super) fn write(out: &mut impl Write, message: &Value) -> io::Result<()> {
    let body = message.to_string();
    write!(out, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Incoming {
        read(&mut &*bytes)
    }

    #[test]
    fn headers_are_read_as_clients_write_them() {
        let body = r#"{"jsonrpc":"2.0","method":"exit"}"#;
        for header in [
            "Content-Length: 33\r\n",
            "content-length:33\n",
            "Content-Type: x; charset=utf-8\r\nContent-Length: 33\r\n",
        ] {
            let read = one(format!("{header}\r\n{body}").as_bytes());
            assert!(matches!(read, Incoming::Message(Message::Notification(_))), "{header}");
        }
    }

    #[test]
    fn what_has_no_length_ends_reading_and_nothing_is_allocated_for_a_lie() {
        for text in ["", "\r\n", "x\r\n\r\n", "Content-Length: -1\r\n\r\n", "Content-Length: 9\r\n\r\n{}"] {
            assert!(matches!(one(text.as_bytes()), Incoming::Closed), "{text}");
        }
        assert!(matches!(
            one(format!("Content-Length: {}\r\n\r\n{{}}", u64::MAX).as_bytes()),
            Incoming::Closed
        ));
        assert!(matches!(one(&[b'x'; 100_000]), Incoming::Closed));
    }
}
