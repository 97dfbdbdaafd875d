//! Replaces the values of secrets, and what could steer a terminal, in everything that a hook says.
//!
//! A value is found as it is, percent-encoded (upper and lower case, reserved characters only or all of them), in
//! base64 of both alphabets at any of the three alignments, as JSON writes it, in hexadecimal, and line by line when
//! it has several. Values shorter than [`SHORTEST`] cannot be told from ordinary text and are left alone. A hook
//! that is granted `reveal` can still encode a value in a way of its own: that is what `reveal` means.

use crate::secret::SecretText;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use deployfile_model::Name;
use std::collections::BTreeMap;

/// The shortest value that is replaced, in bytes.
pub(crate) const SHORTEST: usize = 4;
/// The shortest base64 text that is replaced; anything shorter is too common.
const SHORTEST_CODED: usize = 6;

/// Knows the values and their names.
#[derive(Default, Clone)]
pub(crate) struct Redactor {
    /// What to replace by what, longest first, so that a value inside of another does not cut it.
    needles: Vec<(String, String)>,
}

impl Redactor {
    /// Replaces these values, each by its name.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = (&'a Name, &'a SecretText)>) -> Self {
        let mut found = BTreeMap::new();
        for (name, value) in secrets {
            let shown = format!("(secret){name}");
            for needle in forms(value.reveal()) {
                found.entry(needle).or_insert_with(|| shown.clone());
            }
        }
        let mut needles: Vec<(String, String)> = found.into_iter().collect();
        needles.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.0.cmp(&b.0)));
        Self { needles }
    }

    /// `text` without the values.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (needle, shown) in &self.needles {
            if text.contains(needle.as_str()) {
                text = text.replace(needle.as_str(), shown);
            }
        }
        text
    }

    /// `text` without the values, on one line, with nothing in it that a terminal would obey.
    pub(crate) fn line(&self, text: &str) -> String {
        escape(&self.text(text))
    }

    /// `bytes` without the values.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for (needle, shown) in &self.needles {
            bytes = replace(&bytes, needle.as_bytes(), shown.as_bytes());
        }
        bytes
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} needles)", self.needles.len())
    }
}

/// Control characters, and the marks that turn the direction of text, as escapes.
pub(crate) fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (c.is_control() && c != '\t') || turns || matches!(c, '\u{2028}' | '\u{2029}') {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

fn forms(value: &str) -> Vec<String> {
    let whole = value.trim();
    if whole.len() < SHORTEST {
        return Vec::new();
    }
    let mut parts = vec![value, whole];
    // A key of many lines is logged line by line.
    parts.extend(whole.lines().map(str::trim).filter(|line| line.len() >= 2 * SHORTEST));
    let mut forms = Vec::new();
    for part in parts {
        forms.push(part.to_owned());
        forms.extend(percent(part));
        forms.extend(coded(part));
        forms.push(part.escape_default().to_string());
        if let Ok(json) = serde_json::to_string(part) {
            forms.push(json[1..json.len() - 1].to_owned());
        }
        let hex: String = part.bytes().map(|b| format!("{b:02x}")).collect();
        forms.push(hex.to_uppercase());
        forms.push(hex);
    }
    forms
}

/// As in a URL or a form.
fn percent(part: &str) -> Vec<String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let mut forms = Vec::new();
    for (all, space) in [(true, "%20"), (false, "%20"), (false, "+")] {
        let upper: Vec<String> = part
            .bytes()
            .map(|b| match b {
                b' ' => space.to_owned(),
                b if !all && is_plain(b) => char::from(b).to_string(),
                b => format!("%{b:02X}"),
            })
            .collect();
        forms.push(upper.iter().map(|p| if p.len() == 3 { p.to_lowercase() } else { p.clone() }).collect());
        forms.push(upper.concat());
    }
    forms
}

/// In base64, alone or as a part of something longer: at each of the three alignments, without the characters that
/// its neighbours take part in.
fn coded(part: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for (shift, taken) in [(0, 0), (1, 2), (2, 3)] {
            let mut bytes = vec![0u8; shift];
            bytes.extend_from_slice(part.as_bytes());
            let text = engine.encode(&bytes);
            let tail = usize::from(!bytes.len().is_multiple_of(3));
            let inner = &text[taken..text.len() - tail];
            if inner.len() >= SHORTEST_CODED {
                forms.push(inner.to_owned());
            }
        }
        forms.push(engine.encode(part));
    }
    forms
}

fn replace(bytes: &[u8], needle: &[u8], with: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(needle.len()).position(|window| window == needle) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(with);
        rest = &rest[at + needle.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    fn redactor(value: &str) -> Redactor {
        Redactor::new([(&Name::new("token").unwrap(), &SecretText::new(value))])
    }

    #[test]
    fn a_value_is_found_in_every_dress() {
        let value = "p@ss w0rd/ü+1";
        let redactor = redactor(value);
        let percent: String = value.bytes().map(|b| format!("%{b:02x}")).collect();
        let hex: String = value.bytes().map(|b| format!("{b:02X}")).collect();
        let dressed = [
            value.to_owned(),
            percent,
            hex,
            "p%40ss%20w0rd%2F%C3%BC%2B1".to_owned(),
            "p%40ss+w0rd%2F%C3%BC%2B1".to_owned(),
            STANDARD.encode(value),
            URL_SAFE.encode(value),
            STANDARD.encode(format!("user:{value}")),
            STANDARD.encode(format!("u:{value}:tail")),
            STANDARD.encode(format!("me:{value}xy")),
        ];
        for text in dressed {
            let shown = redactor.text(&format!("<{text}>"));
            assert!(shown.contains("(secret)token"), "{text} -> {shown}");
            assert!(!shown.contains(&text[2..text.len().min(12) - 2]), "{text} -> {shown}");
        }
    }

    #[test]
    fn lines_of_a_key_are_found_one_by_one() {
        let redactor = redactor("-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----\n");
        assert_eq!(redactor.line("x MIIEvQIBADANBg"), "x (secret)token");
    }

    #[test]
    fn short_values_and_ordinary_text_stay() {
        assert_eq!(redactor("abc").text("abc"), "abc");
        assert_eq!(redactor("correct-horse").text("nothing to see"), "nothing to see");
        assert_eq!(redactor("hunter22").bytes(b"\xff hunter22 \xfe"), b"\xff (secret)token \xfe");
    }

    #[test]
    fn nothing_reaches_the_terminal() {
        let shown = escape("a\u{1b}[31m\r\nb\u{202e}c\u{9b}d\te");
        assert_eq!(shown, "a\\u{1b}[31m\\r\\nb\\u{202e}c\\u{9b}d\te");
    }
}
