//! Slips in strings: a quote that is missing, an escape that is none, `"""` that shares its line.

use super::Cursor;
use crate::lexer::{Kind, is_newline};

pub(super) fn text(c: &mut Cursor<'_, '_>, i: usize) -> usize {
    let token = c.tokens[i];
    let Kind::Text { closed, raw, multiline } = token.kind else { return i + 1 };
    if !closed {
        unclosed(c, token.start, token.end, raw, multiline);
        return i + 1;
    }
    if multiline {
        block(c, i);
    } else if !raw {
        escapes(c, token.start, token.end);
    }
    let next = c.tokens.get(i + 1).copied();
    if let Some(next) = next.filter(|n| n.start == token.end) {
        match next.kind {
            Kind::Word if next.text(c.text) == ":" || next.text(c.text).starts_with(',') => {
                c.say(next.start, next.end, "nothing stands between a string and the next value but spaces")
                    .help("delete the punctuation");
                return i + 2;
            }
            Kind::Word | Kind::Text { .. } | Kind::Keyword | Kind::Slash => {
                c.say(next.start, next.start + 1, "a space is missing after this string")
                    .help("values are separated by spaces");
                return if next.kind == Kind::Word { i + 2 } else { i + 1 };
            }
            _ => {}
        }
    }
    i + 1
}

fn unclosed(c: &mut Cursor<'_, '_>, start: usize, end: usize, raw: bool, multiline: bool) {
    let hashes = c.text[start..].bytes().take_while(|b| *b == b'#').count();
    let quotes = if multiline { "\"\"\"" } else { "\"" };
    let close = format!("{quotes}{}", "#".repeat(if raw { hashes } else { 0 }));
    let first_line = c.text[start..end].find(is_newline).map_or(end, |at| start + at);
    let d = c.say(start, first_line, "this string is never closed");
    d.label(format!("no `{close}` follows"));
    if multiline {
        d.help(format!("put `{close}` on a line of its own where the text ends"));
    } else {
        d.help(format!(
            "put the missing `{close}` at its end; a text of several lines stands between `\"\"\"` lines"
        ));
    }
}

/// The escapes of a string of one line.
fn escapes(c: &mut Cursor<'_, '_>, start: usize, end: usize) {
    let body = &c.text[start..end];
    let mut position = 1;
    while let Some(found) = body[position..].find('\\') {
        let at = position + found;
        let after = body[at + 1..].chars().next().unwrap_or('"');
        let fine = matches!(after, 'n' | 'r' | 't' | '\\' | '"' | 'b' | 'f' | 's') || after.is_whitespace();
        let unicode = after == 'u' && unicode_escape(&body[at + 2..]);
        if !fine && !unicode {
            let inner = &body[1..body.len() - 1];
            c.say(start + at, start + at + 1 + after.len_utf8(), format!("`\\{after}` is not an escape"))
                .help(format!("write `\\\\{after}`, or a raw string: `#\"{inner}\"#`"));
            return;
        }
        position = at + 1 + after.len_utf8();
    }
}

/// `{…}` with a Unicode scalar value of 1 to 6 hexadecimal digits.
fn unicode_escape(rest: &str) -> bool {
    rest.strip_prefix('{')
        .and_then(|rest| rest.split_once('}'))
        .filter(|(digits, _)| (1..=6).contains(&digits.len()))
        .and_then(|(digits, _)| u32::from_str_radix(digits, 16).ok())
        .is_some_and(|value| char::from_u32(value).is_some())
}

/// A `"""` text begins on the line after its opening quotes, ends on the line before its closing ones, and every
/// line of it is indented at least as far as these.
fn block(c: &mut Cursor<'_, '_>, i: usize) {
    let token = c.tokens[i];
    let whole = &c.text[token.start..token.end];
    let open = whole.find('"').unwrap_or(0) + 3;
    let close = whole.rfind('"').map_or(whole.len(), |at| at + 1) - 3;
    let body = whole.get(open..close).unwrap_or("");
    if !body.starts_with(is_newline) {
        c.say(token.start, token.start + open, "the text after `\"\"\"` begins on the next line")
            .help("for a text of one line, one quote is enough: `\"…\"`");
        return;
    }
    let last = body.rfind(is_newline).map_or(0, |at| at + 1);
    let indent = body.get(last..).unwrap_or("");
    if !indent.trim_matches([' ', '\t']).is_empty() {
        c.say(token.start + close, token.end, "closing quotes stand on a line of their own")
            .help("put a line break before them");
        return;
    }
    let mut offset = 0;
    for line in body[..last].split('\n') {
        let bare = line.trim_end_matches('\r');
        if !bare.trim().is_empty() && !bare.starts_with(indent) {
            let at = token.start + open + offset;
            c.say(at, at + bare.len(), "this line is indented less than the closing quotes")
                .help("indent it as far as the closing `\"\"\"`, or move these to the left");
            return;
        }
        offset += line.len() + 1;
    }
}
