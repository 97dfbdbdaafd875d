//! What is refused before the parser sees it.
//!
//! Measured on kdl 6.7.1: nesting overflows the stack (depth 313 on 2 MiB), nested `/-` blocks take exponential time
//! even in valid files. So one linear pass over the text holds it to limits that no honest file reaches.

use crate::diagnostic::{Diagnostic, Findings};
use crate::lexer::{self, Kind, Token};
use crate::sources::{At, Sources};

/// Bytes of one file.
pub const MAX_FILE: usize = 16 << 20;
/// Tokens of one project: words, strings, punctuation, line ends.
pub const MAX_TOKENS: usize = 400_000;
/// Words and strings among them. Each takes up to 1 KiB while it is parsed.
pub const MAX_WORDS: usize = 150_000;
/// Bytes of these. The parser takes 3 MB of them a second.
pub const MAX_WORD_BYTES: usize = 2 << 20;
/// Blocks within blocks.
pub const MAX_DEPTH: usize = 64;
/// `/-` within `/-`.
pub const MAX_SLASHDASH: u32 = 4;
/// Comments within comments.
pub const MAX_COMMENT: u32 = 16;

const NOT_TEXT: &str = "config::encoding";
pub(crate) const TOO_LARGE: &str = "config::too-large";

/// Turns the bytes of file `name` into text, or says what is wrong with them as bytes.
pub(crate) fn decode(name: &str, bytes: Vec<u8>) -> Result<String, Diagnostic> {
    let refuse = |code, message: String, help: &str| {
        let mut d = Diagnostic::error_in_file(code, name, message);
        d.help(help);
        d
    };
    if bytes.len() > MAX_FILE {
        let message = format!("`{name}` is larger than {} MiB", MAX_FILE >> 20);
        return Err(refuse(TOO_LARGE, message, "split it, and `import` the parts"));
    }
    if bytes.starts_with(&[0xEF, 0xBB, 0xBF]) {
        let message = format!("`{name}` begins with a byte-order mark");
        return Err(refuse(NOT_TEXT, message, "save it as UTF-8 without a byte-order mark"));
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        let message = format!("`{name}` is UTF-16, not UTF-8");
        return Err(refuse(NOT_TEXT, message, "save it as UTF-8"));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            let good = e.utf8_error().valid_up_to();
            let byte = e.as_bytes().get(good).copied().unwrap_or(0);
            let mut sources = Sources::default();
            let file = sources.add(name, String::from_utf8_lossy(&e.as_bytes()[..good]));
            let place = sources.place(At { file, offset: good as u32, len: 1 });
            let message = format!("`{name}` is not UTF-8: byte 0x{byte:02X} in line {}", place.line);
            let mut d = refuse(NOT_TEXT, message, "save it as UTF-8");
            d.place = place;
            return Err(d);
        }
    };
    if text.contains('\r') && !text.contains('\n') {
        let message = format!("the lines of `{name}` end in CR alone");
        return Err(refuse(NOT_TEXT, message, "save it with LF (or CRLF) line ends"));
    }
    Ok(text)
}

/// What a project may still have, all files together.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    /// Bytes of files and templates.
    bytes: usize,
    tokens: usize,
    words: usize,
    word_bytes: usize,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self { bytes: MAX_FILE, tokens: MAX_TOKENS, words: MAX_WORDS, word_bytes: MAX_WORD_BYTES }
    }

    /// How many tokens were taken.
    pub(crate) fn tokens_taken(&self) -> usize {
        MAX_TOKENS - self.tokens
    }

    /// Takes the bytes of a file or template; `false` when there is no room for them.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.bytes;
        self.bytes = self.bytes.saturating_sub(bytes);
        fits
    }

    /// The tokens of file number `file`, when there is room for them.
    pub(crate) fn tokens(&mut self, file: u32, findings: &mut Findings<'_>) -> Option<Vec<Token>> {
        let mut tokens = Vec::new();
        for token in lexer::tokens(findings.sources.text(file)) {
            if let Err(beyond) = self.take_token(&token) {
                // What nests without end is told as that.
                let mut own = Findings::new(findings.sources);
                if structure(file, &tokens, &mut own) == Verdict::Refused {
                    own.into_list().into_iter().for_each(|found| findings.push(found));
                    return None;
                }
                let at = At { file, offset: token.start as u32, len: 1 };
                findings
                    .error(TOO_LARGE, at, format!("the deployfile has more than {beyond}"))
                    .label("no further than here")
                    .help("say what is alike once: with roles, ranges of hosts (`web[1:40]`), or `use`");
                return None;
            }
            tokens.push(token);
        }
        Some(tokens)
    }

    /// Fails with what there would be too much of.
    fn take_token(&mut self, token: &Token) -> Result<(), String> {
        let left = |left: usize, taken: usize| left.checked_sub(taken);
        let beyond = || format!("{MAX_TOKENS} words, signs and line ends");
        self.tokens = left(self.tokens, 1).ok_or_else(beyond)?;
        let is_word =
            matches!(token.kind, Kind::Word | Kind::Keyword | Kind::Text { .. } | Kind::Slash | Kind::Other);
        if !is_word {
            return Ok(());
        }
        self.words = left(self.words, 1).ok_or_else(|| format!("{MAX_WORDS} words and strings"))?;
        let beyond = || format!("{} MiB of words and strings", MAX_WORD_BYTES >> 20);
        self.word_bytes = left(self.word_bytes, token.end - token.start).ok_or_else(beyond)?;
        Ok(())
    }
}

/// What the guard thinks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The parser may see it.
    Fine,
    /// Its characters or its braces are wrong; the parser must not see it.
    Flawed,
    /// It is beyond a limit; nothing must look at it any further.
    Refused,
}

/// Looks at characters and structure of file number `file`.
pub(crate) fn structure(file: u32, tokens: &[Token], findings: &mut Findings<'_>) -> Verdict {
    let mut verdict = if characters(file, findings) { Verdict::Fine } else { Verdict::Flawed };
    let mut guard = Guard { file, open: Vec::new(), slashdashes: 0, pending: 0, word: false };
    for token in tokens {
        match guard.token(token, findings) {
            Verdict::Fine => {}
            worse => return worse,
        }
    }
    for (brace, _) in &guard.open {
        verdict = Verdict::Flawed;
        findings
            .error("config::brace", guard.at(brace), "this `{` is never closed")
            .help("put the missing `}` where the block ends");
    }
    verdict
}

/// Characters that KDL forbids: they hide what a file says. The first of a line is reported.
fn characters(file: u32, findings: &mut Findings<'_>) -> bool {
    let text = findings.sources.text(file);
    let mut line_reported = false;
    let mut clean = true;
    for (offset, c) in text.char_indices() {
        if c == '\n' {
            line_reported = false;
        }
        let Some(what) = forbidden(c) else { continue };
        clean = false;
        if line_reported {
            continue;
        }
        line_reported = true;
        let at = At { file, offset: offset as u32, len: c.len_utf8() as u32 };
        findings
            .error(
                "config::character",
                at,
                format!("{what} (U+{:04X}) may not stand in a deployfile", c as u32),
            )
            .help("delete it, or write it as `\\u{…}` in a quoted string");
    }
    clean
}

fn forbidden(c: char) -> Option<&'static str> {
    match c {
        '\0' => Some("a NUL"),
        '\u{1}'..='\u{8}' | '\u{E}'..='\u{1F}' | '\u{7F}' => Some("a control character"),
        '\u{200E}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {
            Some("a character that changes the direction of text")
        }
        '\u{FEFF}' => Some("a byte-order mark"),
        _ => None,
    }
}

struct Guard {
    file: u32,
    /// Each open brace with the number of `/-` that stand before its block.
    open: Vec<(Token, u32)>,
    /// `/-` around the current place.
    slashdashes: u32,
    /// `/-` seen since the node began.
    pending: u32,
    /// Something other than `/-` was seen since the node began.
    word: bool,
}

impl Guard {
    fn at(&self, token: &Token) -> At {
        At { file: self.file, offset: token.start as u32, len: (token.end - token.start) as u32 }
    }

    /// Anything but fine: no further token may be looked at.
    fn token(&mut self, token: &Token, findings: &mut Findings<'_>) -> Verdict {
        match token.kind {
            Kind::Open => return self.open(token, findings),
            Kind::Close => return self.close(token, findings),
            Kind::Slashdash => return self.slashdash(token, findings),
            Kind::BlockComment { closed, depth } => return self.comment(token, closed, depth, findings),
            Kind::Newline | Kind::Semicolon if self.word => (self.pending, self.word) = (0, false),
            Kind::Newline | Kind::Semicolon | Kind::LineComment | Kind::Continue => {}
            _ => self.word = true,
        }
        Verdict::Fine
    }

    fn open(&mut self, token: &Token, findings: &mut Findings<'_>) -> Verdict {
        self.open.push((*token, self.pending));
        self.slashdashes += self.pending;
        (self.pending, self.word) = (0, false);
        if self.open.len() <= MAX_DEPTH {
            return Verdict::Fine;
        }
        let message = format!("blocks are nested more than {MAX_DEPTH} deep");
        findings.error("config::depth", self.at(token), message).help("a deployfile needs at most 8");
        Verdict::Refused
    }

    fn close(&mut self, token: &Token, findings: &mut Findings<'_>) -> Verdict {
        (self.pending, self.word) = (0, false);
        if let Some((_, pending)) = self.open.pop() {
            self.slashdashes -= pending;
            // What follows the block up to the line's end still belongs to the node before it.
            self.word = true;
            return Verdict::Fine;
        }
        findings
            .error("config::brace", self.at(token), "this `}` closes nothing")
            .help("delete it, or put the missing `{` before it");
        Verdict::Flawed
    }

    /// Two on one node may stand before its name and before its block; more than that count as two.
    fn slashdash(&mut self, token: &Token, findings: &mut Findings<'_>) -> Verdict {
        self.pending = if self.word { (self.pending + 1).min(2) } else { self.pending + 1 };
        if self.slashdashes + self.pending <= MAX_SLASHDASH {
            return Verdict::Fine;
        }
        let message = format!("more than {MAX_SLASHDASH} `/-` stand within one another");
        findings
            .error("config::slashdash", self.at(token), message)
            .help("use `//` or `/* */` for what is commented out");
        Verdict::Refused
    }

    fn comment(&mut self, token: &Token, closed: bool, depth: u32, findings: &mut Findings<'_>) -> Verdict {
        let start = At { len: 2, ..self.at(token) };
        if depth > MAX_COMMENT {
            let message = format!("comments are nested more than {MAX_COMMENT} deep");
            findings.error("config::comment-depth", start, message).help("use `//` for the inner ones");
            return Verdict::Refused;
        }
        if closed {
            return Verdict::Fine;
        }
        findings
            .error("config::comment", start, "this comment is never closed")
            .help("put the missing `*/` where it ends");
        Verdict::Flawed
    }
}
