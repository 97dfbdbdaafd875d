//! One mistake as lines of text: a heading, the place, the source line with carets, related places, the help.

use super::{Diagnostic, Severity};
use deployfile_model::Place;

/// Characters of a source line that are shown; longer ones are cut around the caret.
const SHOWN: usize = 120;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const BLUE: &str = "\x1b[1;34m";
const PLAIN: &str = "\x1b[0m";

pub(super) fn diagnostic(d: &Diagnostic, colour: bool) -> String {
    let paint = |code: &str, text: &str| {
        if colour { format!("{code}{text}{PLAIN}") } else { text.to_owned() }
    };
    let (word, tint) = match d.severity {
        Severity::Error => ("error", RED),
        Severity::Warning => ("warning", YELLOW),
    };
    let mut out = format!("{}: {}\n", paint(tint, &format!("{word}[{}]", d.code)), visible(&d.message, true));
    out += &snippet(&d.place, &d.source_line, d.span_len, &d.label, "-->", &|text| paint(tint, text));
    for related in &d.related {
        let (line, label) = (&related.source_line, &related.label);
        out += &snippet(&related.place, line, related.span_len, label, ":::", &|text| paint(BLUE, text));
    }
    if let Some(help) = &d.help {
        out += &format!("  {} {}\n", paint(BLUE, "help:"), visible(help, true).replace('\n', "\n        "));
    }
    out
}

fn snippet(
    place: &Place,
    line: &str,
    span: u32,
    label: &str,
    arrow: &str,
    paint: &dyn Fn(&str) -> String,
) -> String {
    let number = place.line.to_string();
    let gutter = " ".repeat(number.len());
    let place_text = visible(&place.to_string(), false);
    if line.trim().is_empty() {
        let label = if label.is_empty() { String::new() } else { format!(" ({})", visible(label, false)) };
        return format!("{gutter} {arrow} {place_text}{label}\n");
    }
    let (shown, before, width) = window(line, place.column as usize - 1, span as usize);
    let caret = paint(format!("{} {}", "^".repeat(width), visible(label, false)).trim_end());
    format!(
        "{gutter} {arrow} {place_text}\n{gutter} |\n{number} | {shown}\n{gutter} | {}{caret}\n",
        " ".repeat(before)
    )
}

/// The part of a line that is shown, the columns before the caret, and the caret's width.
fn window(line: &str, column: usize, span: usize) -> (String, usize, usize) {
    let characters: Vec<char> = line.chars().collect();
    let column = column.min(characters.len());
    let start = if characters.len() <= SHOWN { 0 } else { column.saturating_sub(SHOWN / 3) };
    let end = (start + SHOWN).min(characters.len());
    let show = |range: &[char]| visible(&range.iter().collect::<String>(), false);
    let (head, tail) = (if start > 0 { "…" } else { "" }, if end < characters.len() { "…" } else { "" });
    let before = format!("{head}{}", show(&characters[start..column.min(end)]));
    let meant = show(&characters[column.min(end)..(column + span).min(end)]);
    let rest = show(&characters[(column + span).min(end)..end]);
    let width = meant.chars().count().max(1);
    (format!("{before}{meant}{rest}{tail}").trim_end().to_owned(), before.chars().count(), width)
}

/// Text that cannot move the cursor, colour or direction of a terminal: control and direction-changing characters
/// are written as `\u{…}`, a tab as one space.
fn visible(text: &str, lines: bool) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200E}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(' '),
            '\n' if lines => out.push('\n'),
            c if hidden(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let line = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let (shown, before, width) = window(&line, 500, 1);
        assert_eq!(shown.chars().nth(before), Some('X'));
        assert_eq!(width, 1);
        assert!(shown.starts_with('…') && shown.ends_with('…') && shown.chars().count() <= SHOWN + 2);
    }

    #[test]
    fn nothing_of_the_source_reaches_the_terminal_raw() {
        assert_eq!(visible("a\x1b[31m\u{202E}b\tc", false), "a\\u{1b}[31m\\u{202e}b c");
    }
}
