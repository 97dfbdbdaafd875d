//! The line format that the listings of a release share: fields between tabs, text escaped so that any name fits on
//! one line, digests in hexadecimal.

use deployfile_model::Digest;
use std::borrow::Cow;

/// Splits a line at its tabs; `None` when the number of fields is another.
pub(crate) fn fields<const N: usize>(line: &str) -> Option<[&str; N]> {
    let mut fields = [""; N];
    let mut rest = line.split('\t');
    for field in &mut fields {
        *field = rest.next()?;
    }
    rest.next().is_none().then_some(fields)
}

fn must_be_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f || byte == b'\\'
}

/// Writes control characters and backslashes as `\xHH`.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(must_be_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match u8::try_from(c) {
            Ok(byte) if must_be_escaped(byte) => {
                escaped.push_str("\\x");
                escaped.push(char::from(HEX[usize::from(byte >> 4)]));
                escaped.push(char::from(HEX[usize::from(byte & 15)]));
            }
            _ => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// Reads what [`escape`] wrote.
pub(crate) fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut parts = text.split('\\');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let hex = part.strip_prefix('x')?;
        let byte = u8::from_str_radix(hex.get(..2)?, 16).ok().filter(|byte| must_be_escaped(*byte))?;
        plain.push(char::from(byte));
        plain.push_str(hex.get(2..)?);
    }
    Some(Cow::Owned(plain))
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends bytes as hexadecimal digits. (`Digest::hex` formats byte by byte, which shows at 50,000 digests.)
pub(crate) fn push_hex(text: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        text.push(HEX[usize::from(byte >> 4)]);
        text.push(HEX[usize::from(byte & 15)]);
    }
}

/// Reads 64 hexadecimal digits.
pub(crate) fn parse_hex(hex: &str) -> Option<Digest> {
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    text.push_str(hex);
    Digest::parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_comes_back_and_stays_on_one_line() {
        for text in ["plain", "", "a\tb\nc", "\\x41", "ü\u{7f}\u{80}", "trailing\\"] {
            let escaped = escape(text);
            assert!(!escaped.bytes().any(|b| b < 0x20), "{text:?}");
            assert_eq!(unescape(&escaped).as_deref(), Some(text));
        }
    }

    #[test]
    fn only_what_escape_writes_is_read() {
        for bad in ["\\", "\\x", "\\x4", "\\x41", "\\n", "\\xzz", "\\xé"] {
            assert_eq!(unescape(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn fields_are_counted() {
        assert_eq!(fields::<2>("a\tb"), Some(["a", "b"]));
        assert_eq!(fields::<2>("a"), None);
        assert_eq!(fields::<2>("a\tb\tc"), None);
    }

    #[test]
    fn hex_is_what_digests_print() {
        let digest = Digest::of(b"abc");
        let mut text = Vec::new();
        push_hex(&mut text, digest.bytes());
        assert_eq!(text, digest.hex().into_bytes());
        assert_eq!(parse_hex(&digest.hex()), Some(digest));
    }
}
