//! nginx's configuration syntax: words, `;` and blocks, as `ngx_conf_read_token` (src/core/ngx_conf_file.c) reads them.

/// A directive: its words and, for a block, what stands inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) words: Vec<String>,
    pub(super) block: Option<Vec<Directive>>,
}

impl Directive {
    pub(super) fn line<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Self {
        Self { words: words.into_iter().map(Into::into).collect(), block: None }
    }

    pub(super) fn block<W: Into<String>>(words: impl IntoIterator<Item = W>, inside: Vec<Directive>) -> Self {
        Self { words: words.into_iter().map(Into::into).collect(), block: Some(inside) }
    }
}

/// Blocks deeper than this are refused when read.
const DEPTH: usize = 16;

pub(super) fn write(directives: &[Directive]) -> String {
    let mut text = String::new();
    write_level(directives, 0, &mut text);
    text
}

fn write_level(directives: &[Directive], level: usize, text: &mut String) {
    let indent = "    ".repeat(level);
    for directive in directives {
        let words: Vec<String> = directive.words.iter().map(|word| quote(word)).collect();
        text.push_str(&indent);
        text.push_str(&words.join(" "));
        match &directive.block {
            None => text.push_str(";\n"),
            Some(inside) => {
                text.push_str(" {\n");
                write_level(inside, level + 1, text);
                text.push_str(&indent);
                text.push_str("}\n");
            }
        }
    }
}

/// The word as it is where nginx reads it so, else in double quotes.
pub(super) fn quote(word: &str) -> String {
    // nginx drops a backslash before these, and turns the last three into control characters.
    const MEANT: [char; 6] = ['"', '\'', '\\', 't', 'r', 'n'];
    let bare = |c: char| c.is_ascii_alphanumeric() || "/._-:=~^*+?|()[]$@!,%&\\".contains(c) || !c.is_ascii();
    let is_bare = !word.is_empty() && word.chars().all(bare);
    let mut quoted = String::with_capacity(word.len() + 2);
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = match c {
            '"' => true,
            '\\' => chars.peek().is_none_or(|next| MEANT.contains(next)),
            _ => false,
        };
        if escaped {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    if is_bare { quoted } else { format!("\"{quoted}\"") }
}

/// What nginx would read, or why it would not.
pub(super) fn parse(text: &str) -> Result<Vec<Directive>, String> {
    let mut reader = Reader { rest: text };
    let directives = reader.level(0)?;
    Ok(directives)
}

struct Reader<'a> {
    rest: &'a str,
}

enum Token {
    Word(String),
    Semicolon,
    Open,
    Close,
    End,
}

impl Reader<'_> {
    fn level(&mut self, depth: usize) -> Result<Vec<Directive>, String> {
        if depth > DEPTH {
            return Err("blocks are too deep".to_owned());
        }
        let (mut directives, mut words) = (Vec::new(), Vec::new());
        loop {
            match (self.token()?, words.is_empty()) {
                (Token::Word(word), _) => words.push(word),
                (Token::Semicolon, false) => directives.push(Directive::line(std::mem::take(&mut words))),
                (Token::Open, false) => {
                    let inside = self.level(depth + 1)?;
                    directives.push(Directive::block(std::mem::take(&mut words), inside));
                }
                (Token::Close, true) if depth > 0 => return Ok(directives),
                (Token::End, true) if depth == 0 => return Ok(directives),
                _ => return Err("unexpected end of a directive".to_owned()),
            }
        }
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    fn token(&mut self) -> Result<Token, String> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            if !self.rest.starts_with('#') {
                break;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, after)| after);
        }
        match self.rest.chars().next() {
            None => Ok(Token::End),
            Some(';') => self.single(Token::Semicolon),
            Some('{') => self.single(Token::Open),
            Some('}') => self.single(Token::Close),
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            Some(_) => self.bare(),
        }
    }

    fn single(&mut self, token: Token) -> Result<Token, String> {
        self.bump();
        Ok(token)
    }

    fn quoted(&mut self, quote: char) -> Result<Token, String> {
        self.bump();
        let mut word = String::new();
        while let Some(c) = self.bump() {
            match c {
                '\\' => self.escape(&mut word)?,
                _ if c == quote => {
                    return match self.rest.chars().next() {
                        Some(' ' | '\t' | '\r' | '\n' | ';' | '{' | ')') => Ok(Token::Word(word)),
                        _ => Err("something follows a closing quote".to_owned()),
                    };
                }
                _ => word.push(c),
            }
        }
        Err("a quote is never closed".to_owned())
    }

    fn bare(&mut self) -> Result<Token, String> {
        let (mut word, mut variable) = (String::new(), false);
        while let Some(c) = self.rest.chars().next() {
            let in_variable = std::mem::replace(&mut variable, c == '$');
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' => return Ok(Token::Word(word)),
                '{' if !in_variable => return Ok(Token::Word(word)),
                '\\' => {
                    self.bump();
                    self.escape(&mut word)?;
                }
                _ => {
                    self.bump();
                    word.push(c);
                }
            }
        }
        Err("a directive is never ended".to_owned())
    }

    fn escape(&mut self, word: &mut String) -> Result<(), String> {
        match self.bump().ok_or("a backslash stands last")? {
            c @ ('"' | '\'' | '\\') => word.push(c),
            't' => word.push('\t'),
            'r' => word.push('\r'),
            'n' => word.push('\n'),
            c => word.extend(['\\', c]),
        }
        Ok(())
    }
}
