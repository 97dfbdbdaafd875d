//! Slips in what stands without quotes: bare `true`, `5s`, `/path`, `key: value`, `x = 5`, brackets, commas.

use super::Cursor;
use crate::lexer::Kind;

/// What [`number`] makes of a word that begins like a number.
enum Number {
    Fine,
    TooLarge,
    NotOne,
}

pub(super) fn word(c: &mut Cursor<'_, '_>, i: usize) -> usize {
    let (token, word) = (c.tokens[i], c.text_of(i));
    let is_name = c.node_start;
    let is_key = c.adjacent(i, Kind::Equals);
    match word {
        "true" | "false" | "null" | "inf" | "-inf" | "nan" if !is_key => {
            c.say(token.start, token.end, format!("`{word}` without `#` or quotes is not a value"))
                .help(format!("write `#{word}` (or `\"{word}\"` for the text)"));
        }
        _ if starts_like_number(word) => match number(word) {
            Number::Fine if is_name => {
                c.say(token.start, token.end, format!("a setting cannot be called `{word}`"))
                    .help(format!("if the name must be this, write `\"{word}\"`"));
            }
            Number::Fine => {}
            Number::TooLarge => {
                c.say(token.start, token.end, "this number is too large")
                    .help("numbers go up to 2^127-1; put longer digits into quotes");
            }
            Number::NotOne => {
                c.say(token.start, token.end, format!("`{word}` is not a number"))
                    .help(format!("put it into quotes: `\"{word}\"`"));
            }
        },
        _ if word.ends_with(':') && c.adjacent(i, Kind::LineComment) => {
            let rest = c.text[token.start..].split_whitespace().next().unwrap_or(word).to_owned();
            c.say(token.start, token.start + rest.len(), "a URL needs quotes")
                .help(format!("write `\"{rest}\"`"));
        }
        _ if is_name && word.len() > 1 && word.ends_with(':') => {
            let name = word.trim_end_matches(':');
            c.say(token.start, token.end, "a setting's name is not followed by a colon")
                .help(format!("write `{name} VALUE`"));
        }
        _ if word.starts_with('\'') => {
            let end = quote_end(c, token.start);
            let inner = c.text[token.start..end].trim_matches('\'').to_owned();
            c.say(token.start, end, "strings stand in double quotes").help(format!("write `\"{inner}\"`"));
            return c.token_at(end);
        }
        _ if word.ends_with(',') || word.starts_with(',') => {
            c.say(token.start, token.end, "values are separated by spaces, not by commas")
                .help("delete the comma, or put the value into quotes if the comma belongs to it");
        }
        "r" if matches!(c.tokens.get(i + 1), Some(t) if t.start == token.end && matches!(t.kind, Kind::Text { .. })) =>
        {
            let body = c.text_of(i + 1).trim_matches(['#', '"']).to_owned();
            c.say(token.start, c.tokens[i + 1].end, "raw strings have no `r` before them")
                .help(format!("write `#\"{body}\"#`"));
            return i + 2;
        }
        _ => {}
    }
    i + 1
}

/// Where a text in single quotes ends: at its second quote, or with the line.
fn quote_end(c: &Cursor<'_, '_>, start: usize) -> usize {
    let rest = &c.text[start + 1..];
    let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
    rest[..line].find('\'').map_or(start + 1 + line, |end| start + 1 + end + 1)
}

pub(super) fn starts_like_number(word: &str) -> bool {
    let digits = word.trim_start_matches(['+', '-']);
    let signs = word.len() - digits.len();
    let digits = digits.strip_prefix('.').unwrap_or(digits);
    signs <= 1 && digits.bytes().next().is_some_and(|b| b.is_ascii_digit())
}

fn number(word: &str) -> Number {
    let body = word.strip_prefix(['+', '-']).unwrap_or(word);
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = body.strip_prefix(prefix) {
            let fine = !digits.starts_with('_')
                && digits.chars().all(|c| c == '_' || c.is_digit(radix))
                && !digits.is_empty();
            return if fine { fits(&digits.replace('_', ""), radix) } else { Number::NotOne };
        }
    }
    let (mantissa, exponent) = body.split_once(['e', 'E']).unwrap_or((body, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let digits = |text: &str| {
        text.bytes().next().is_some_and(|b| b.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_digit() || b == b'_')
    };
    if ![whole, fraction, exponent].into_iter().all(digits) {
        return Number::NotOne;
    }
    if body.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return fits(&body.replace('_', ""), 10);
    }
    Number::Fine
}

fn fits(digits: &str, radix: u32) -> Number {
    if i128::from_str_radix(digits, radix).is_ok() { Number::Fine } else { Number::TooLarge }
}

/// `/path`, `bin/app`: words with slashes need quotes.
pub(super) fn path(c: &mut Cursor<'_, '_>, i: usize) -> usize {
    let start = c.tokens[i].start;
    let next = c.joined(i).unwrap_or(i + 1);
    let end = c.tokens[next - 1].end;
    let shown = &c.text[start..end];
    // What follows a bare look-up is part of the same slip.
    c.say(start, end, "a value with `/` needs quotes").help(format!("write `\"{shown}\"`"));
    next
}

pub(super) fn keyword(c: &mut Cursor<'_, '_>, i: usize) -> usize {
    let (token, word) = (c.tokens[i], c.text_of(i));
    if matches!(word, "#true" | "#false" | "#null" | "#inf" | "#-inf" | "#nan") {
        return i + 1;
    }
    let line_end = c.text[token.start..].find(['\n', '\r']).map_or(c.text.len(), |end| token.start + end);
    if word == "#" || c.node_start {
        c.say(token.start, line_end, "comments do not begin with `#`").help("write `// …`");
        return c.token_at(line_end);
    }
    c.say(token.start, token.end, format!("`{word}` is not a value"))
        .help(format!("flags are `#true` and `#false`; for the text write `\"{word}\"`"));
    i + 1
}

/// `name = value`, and `key=` with nothing behind it.
pub(super) fn equals(c: &mut Cursor<'_, '_>, i: usize) -> usize {
    let token = c.tokens[i];
    if c.node_start {
        c.say(token.start, token.end, "`=` needs a name before it")
            .help("properties are written `name=value`");
        return i + 1;
    }
    let value = c.tokens.get(i + 1).filter(|next| matches!(next.kind, Kind::Word | Kind::Text { .. }));
    if let Some(name) = c.node_name {
        let (name, value) = (name.text(c.text), value.map_or("VALUE", |v| v.text(c.text)));
        c.say(token.start, token.end, format!("the value of `{name}` is not set with `=`"))
            .help(format!("write `{name} {value}`"));
        return i + 1;
    }
    let ends = c.tokens.get(i + 1).is_none_or(|next| {
        matches!(next.kind, Kind::Newline | Kind::Semicolon | Kind::Close | Kind::LineComment)
            || next.kind == Kind::Open && !c.adjacent(i + 1, Kind::Open)
    });
    if ends {
        c.say(token.start, token.end, "there is no value after this `=`")
            .help("properties are written `name=value`");
    }
    i + 1
}

pub(super) fn bracket(c: &mut Cursor<'_, '_>, i: usize) -> usize {
    let token = c.tokens[i];
    c.say(token.start, token.end, "lists have no brackets")
        .help("write the values one after the other: `roles web worker`");
    let line = c.tokens[i..].iter().take_while(|t| t.kind != Kind::Newline).count();
    let close = c.tokens[i + 1..i + line].iter().position(|t| t.text(c.text) == "]");
    close.map_or(i + 1, |at| i + at + 2)
}

/// `{{ release }}/bin` without quotes.
pub(super) fn bare_look_up(c: &mut Cursor<'_, '_>, i: usize) -> usize {
    let start = c.tokens[i].start;
    let rest = &c.text[start..];
    let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let close = rest[..line].find("}}").map_or(line, |at| at + 2);
    let tail = rest[close..line].find(|ch: char| ch.is_whitespace() || ch == ';').unwrap_or(line - close);
    let end = start + close + tail;
    let shown = &c.text[start..end];
    c.say(start, end, "look-ups stand in quotes").help(format!("write `\"{shown}\"`"));
    c.token_at(end)
}
