//! KDL's tokens, told apart in one linear pass without recursion, for the guard and for our own wording of slips.
//! It never fails: what is not KDL becomes [`Kind::Other`] or an unclosed string. The tree is the `kdl` crate's work.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Identifier, number or anything else without a delimiter in it.
    Word,
    /// `#true` and the like; `#` alone.
    Keyword,
    /// `"…"`, `#"…"#`, `"""…"""`.
    Text {
        closed: bool,
        raw: bool,
        multiline: bool,
    },
    Open,
    Close,
    ParenOpen,
    ParenClose,
    Equals,
    Semicolon,
    Newline,
    LineComment,
    BlockComment {
        closed: bool,
        depth: u32,
    },
    Slashdash,
    /// `\` before the end of a line.
    Continue,
    /// `/` that begins no comment.
    Slash,
    Other,
}

/// A token and the bytes it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    pub(crate) fn text<'t>(&self, text: &'t str) -> &'t str {
        &text[self.start..self.end]
    }
}

/// The tokens of `text`; white space is skipped.
pub(crate) fn tokens(text: &str) -> Lexer<'_> {
    Lexer { text, position: 0 }
}

pub(crate) struct Lexer<'t> {
    text: &'t str,
    position: usize,
}

/// Newlines of KDL v2, CRLF aside.
pub(crate) fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{B}' | '\u{C}' | '\u{2028}' | '\u{2029}')
}

fn is_space(c: char) -> bool {
    c.is_whitespace() && !is_newline(c) || c == '\u{FEFF}'
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | '{' | '}' | '[' | ']' | '"' | '#' | ';' | '=' | '/' | '\\')
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let rest = &self.text[self.position..];
        let start = self.position + (rest.len() - rest.trim_start_matches(is_space).len());
        let rest = &self.text[start..];
        let first = rest.chars().next()?;
        let (kind, len) = match first {
            '\r' if rest.starts_with("\r\n") => (Kind::Newline, 2),
            c if is_newline(c) => (Kind::Newline, c.len_utf8()),
            '{' => (Kind::Open, 1),
            '}' => (Kind::Close, 1),
            '(' => (Kind::ParenOpen, 1),
            ')' => (Kind::ParenClose, 1),
            '=' => (Kind::Equals, 1),
            ';' => (Kind::Semicolon, 1),
            '\\' => (Kind::Continue, 1),
            '/' => slash(rest),
            '"' => quoted(rest),
            '#' => hash(rest),
            '[' | ']' => (Kind::Other, 1),
            _ => (Kind::Word, rest.find(ends_word).unwrap_or(rest.len())),
        };
        self.position = start + len;
        Some(Token { kind, start, end: self.position })
    }
}

fn slash(rest: &str) -> (Kind, usize) {
    if rest.starts_with("//") {
        return (Kind::LineComment, rest.find(is_newline).unwrap_or(rest.len()));
    }
    if rest.starts_with("/-") {
        return (Kind::Slashdash, 2);
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    (Kind::Slash, 1)
}

fn block_comment(rest: &str) -> (Kind, usize) {
    let bytes = rest.as_bytes();
    let (mut depth, mut deepest, mut i) = (0u32, 0u32, 0);
    while i < bytes.len() {
        match bytes.get(i..i + 2) {
            Some(b"/*") => {
                depth += 1;
                deepest = deepest.max(depth);
                i += 2;
            }
            Some(b"*/") => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return (Kind::BlockComment { closed: true, depth: deepest }, i);
                }
            }
            _ => i += 1,
        }
    }
    (Kind::BlockComment { closed: false, depth: deepest }, rest.len())
}

/// A string that may hold escapes. One of a single line ends at the line's end even when its quote is missing, so
/// that one slip does not swallow the rest of the file.
fn quoted(rest: &str) -> (Kind, usize) {
    let multiline = rest.starts_with("\"\"\"");
    let bytes = rest.as_bytes();
    let mut i = if multiline { 3 } else { 1 };
    let text = |closed, len| (Kind::Text { closed, raw: false, multiline }, len);
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i = skip_escape(rest, i),
            b'"' if !multiline => return text(true, i + 1),
            b'"' if rest[i..].starts_with("\"\"\"") => return text(true, i + 3),
            b'\n' | b'\r' if !multiline => return text(false, i),
            _ => i += 1,
        }
    }
    text(false, rest.len())
}

/// Where the text goes on after the escape at byte `i`: one character, or all white space with its newlines.
fn skip_escape(rest: &str, i: usize) -> usize {
    let after = &rest[i + 1..];
    let spaces = after.len() - after.trim_start().len();
    let one = after.chars().next().map_or(0, char::len_utf8);
    (i + 1 + spaces.max(one)).min(rest.len())
}

fn hash(rest: &str) -> (Kind, usize) {
    let hashes = rest.bytes().take_while(|b| *b == b'#').count();
    if !rest[hashes..].starts_with('"') {
        // All of them at once: each alone would look through all that follow.
        let word = rest[hashes..].find(ends_word).unwrap_or(rest.len() - hashes);
        return (Kind::Keyword, hashes + word);
    }
    let multiline = rest[hashes..].starts_with("\"\"\"");
    let quotes = if multiline { "\"\"\"" } else { "\"" };
    let open = hashes + quotes.len();
    let close = format!("{quotes}{}", "#".repeat(hashes));
    // No further than where this one ends, or a line of such would be looked through for each of them.
    for (i, byte) in rest.bytes().enumerate().skip(open) {
        match byte {
            b'"' if rest[i..].starts_with(&close) => {
                return (Kind::Text { closed: true, raw: true, multiline }, i + close.len());
            }
            b'\n' | b'\r' if !multiline => return (Kind::Text { closed: false, raw: true, multiline }, i),
            _ => {}
        }
    }
    (Kind::Text { closed: false, raw: true, multiline }, rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text).map(|t| t.kind).collect()
    }

    #[test]
    fn strings_and_comments_hide_braces() {
        let closed = |raw, multiline| Kind::Text { closed: true, raw, multiline };
        assert_eq!(kinds(r#""{\"}""#), [closed(false, false)]);
        assert_eq!(kinds("#\"{\"}\"#"), [closed(true, false)]);
        assert_eq!(kinds("\"\"\"\n{\"\n\"\"\""), [closed(false, true)]);
        assert_eq!(kinds("// {\n"), [Kind::LineComment, Kind::Newline]);
        assert_eq!(kinds("/* { /* */ */ {"), [Kind::BlockComment { closed: true, depth: 2 }, Kind::Open]);
    }

    #[test]
    fn a_run_of_one_character_takes_linear_time() {
        for unit in
            ["#", "/", "*/", "\\", "\"", "#\"", "=", "\u{FEFF}", "\"\"\"", "/*", "//", "\\\n", "x", "\r"]
        {
            let text = unit.repeat((1 << 20) / unit.len());
            let (before, _) = (std::time::Instant::now(), tokens(&text).count());
            // A second and more than a hundred times what it takes.
            assert!(before.elapsed().as_secs() < 20, "{unit:?}: {:?}", before.elapsed());
        }
        assert_eq!(kinds("### ##a"), [Kind::Keyword, Kind::Keyword]);
    }

    #[test]
    fn an_unclosed_quote_ends_with_its_line() {
        let open = Kind::Text { closed: false, raw: false, multiline: false };
        assert_eq!(kinds("\"a\nb"), [open, Kind::Newline, Kind::Word]);
        assert_eq!(kinds("\"a\\"), [open]);
    }

    #[test]
    fn every_byte_is_passed_once() {
        for text in ["\"\\", "#", "##", "/", "/*/", "é{\u{2028}}", "\\\n", "#\"\"\"", "r#\"a\"#", "\"\\é"] {
            let all: Vec<_> = tokens(text).collect();
            assert!(all.iter().all(|t| t.end > t.start), "{text:?}");
            assert!(all.windows(2).all(|w| w[0].end <= w[1].start), "{text:?}");
            assert!(all.last().is_none_or(|t| t.end <= text.len()), "{text:?}");
        }
    }
}
