//! The grammar of a look-up, much smaller than minijinja's:
//!
//! ```text
//! text   = { any | "{{" look "}}" }
//! look   = term { "|" filter }
//! term   = name { "." name } | string | number
//! filter = name [ "(" [ term { "," term } ] ")" ]
//! ```

use super::LookupError;

/// Filters of one look-up: minijinja compiles each in a call of its own.
const MAX_FILTERS: usize = 32;

/// A piece of a string.
#[derive(Debug)]
pub(super) enum Part<'a> {
    Text(&'a str),
    Look(Look<'a>),
}

/// What stands between `{{` and `}}`.
#[derive(Debug)]
pub(super) struct Look<'a> {
    pub(super) source: &'a str,
    pub(super) offset: usize,
    pub(super) term: Term<'a>,
    pub(super) filters: Vec<Filter<'a>>,
}

#[derive(Debug)]
pub(super) enum Term<'a> {
    Path(Path<'a>),
    /// A string without its quotes, escapes not yet read.
    Text(&'a str),
    Number,
}

/// `name` or `vars.name`.
#[derive(Debug)]
pub(super) struct Path<'a> {
    pub(super) names: Vec<&'a str>,
    pub(super) offset: usize,
    pub(super) len: usize,
}

#[derive(Debug)]
pub(super) struct Filter<'a> {
    pub(super) name: &'a str,
    pub(super) offset: usize,
    pub(super) arguments: Vec<Term<'a>>,
}

impl<'a> Look<'a> {
    /// All names it uses.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path<'a>> {
        let arguments = self.filters.iter().flat_map(|filter| &filter.arguments);
        std::iter::once(&self.term).chain(arguments).filter_map(|term| match term {
            Term::Path(path) => Some(path),
            Term::Text(_) | Term::Number => None,
        })
    }

    /// The name, if it is nothing but a name.
    pub(super) fn plain_path(&self) -> Option<&Path<'a>> {
        match &self.term {
            Term::Path(path) if self.filters.is_empty() => Some(path),
            _ => None,
        }
    }
}

impl Path<'_> {
    pub(super) fn dotted(&self) -> String {
        self.names.join(".")
    }
}

/// The parts of `raw`, and the mistakes; a look-up with a mistake is left out of the parts.
pub(super) fn parse(raw: &str) -> (Vec<Part<'_>>, Vec<LookupError>) {
    let (mut parts, mut errors) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(open) = raw[at..].find("{{").map(|found| at + found) {
        parts.push(Part::Text(&raw[at..open]));
        let mut cursor = Cursor { raw, at: open + 2 };
        match cursor.look(open) {
            Ok(look) => {
                parts.push(Part::Look(look));
                at = cursor.at;
            }
            Err(error) => {
                let from = (error.offset + error.len).min(raw.len());
                at = raw[from..].find("}}").map_or(raw.len(), |found| from + found + 2);
                errors.push(error);
            }
        }
    }
    parts.push(Part::Text(&raw[at..]));
    (parts, errors)
}

struct Cursor<'a> {
    raw: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.raw[self.at..]
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, text: &str) -> bool {
        let there = self.rest().starts_with(text);
        self.at += if there { text.len() } else { 0 };
        there
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn look(&mut self, open: usize) -> Result<Look<'a>, LookupError> {
        self.skip_space();
        let start = self.at;
        if self.rest().starts_with("}}") {
            return Err(error("empty look-up", open, 4, "name what is to stand here: {{ release }}"));
        }
        let term = self.term(open)?;
        let mut filters = Vec::new();
        loop {
            let end = self.at;
            self.skip_space();
            if self.take("}}") {
                return Ok(Look { source: &self.raw[start..end], offset: start, term, filters });
            }
            if !self.take("|") {
                return Err(self.unexpected(open));
            }
            self.skip_space();
            if filters.len() == MAX_FILTERS {
                let message = format!("more than {MAX_FILTERS} filters stand in one look-up");
                return Err(error(&message, end, self.at - end, "set a variable in `vars` to what is meant"));
            }
            filters.push(self.filter(open)?);
        }
    }

    fn term(&mut self, open: usize) -> Result<Term<'a>, LookupError> {
        match self.rest().chars().next() {
            Some(quote @ ('\'' | '"')) => self.string(quote).map(Term::Text),
            Some('0'..='9') => {
                self.take_while(|c| c.is_ascii_digit());
                Ok(Term::Number)
            }
            Some(c) if starts_name(c) => self.path(open).map(Term::Path),
            _ => Err(self.unexpected(open)),
        }
    }

    fn path(&mut self, open: usize) -> Result<Path<'a>, LookupError> {
        /// minijinja's operators that look like names.
        const WORDS: [&str; 7] = ["not", "and", "or", "is", "in", "if", "else"];
        let offset = self.at;
        let mut names = vec![self.take_while(in_name)];
        if WORDS.contains(&names[0]) {
            self.at = offset;
            return Err(self.unexpected(open));
        }
        while self.rest().starts_with('.') {
            self.at += 1;
            if !self.rest().starts_with(starts_name) {
                return Err(self.unexpected(open));
            }
            names.push(self.take_while(in_name));
        }
        let mut next = self.rest().chars();
        match (next.next(), next.next()) {
            (Some('-'), Some(c)) if in_name(c) => Err(self.dashed(offset)),
            (Some('('), _) => Err(self.call(offset)),
            (Some('['), _) => {
                let help = "write the name after a dot: {{ vars.port }}";
                Err(error("subscripts are not look-ups", self.at, 1, help))
            }
            _ => Ok(Path { names, offset, len: self.at - offset }),
        }
    }

    fn call(&self, offset: usize) -> LookupError {
        let name = &self.raw[offset..self.at];
        if name == "secret" {
            return secret(offset, name.len());
        }
        let help = "a look-up is a name or a literal, with filters: {{ time | date('%Y') }}";
        error(&format!("`{name}(` is a call; look-ups call nothing"), offset, name.len() + 1, help)
    }

    /// `vars.admin-port`: minijinja would subtract.
    fn dashed(&mut self, offset: usize) -> LookupError {
        self.take_while(|c| in_name(c) || c == '-');
        let written = &self.raw[offset..self.at];
        let meant = written.trim_end_matches('-').replace('-', "_");
        let message = format!("`{written}` reads as a subtraction; names are snake_case");
        error(&message, offset, written.len(), &format!("name it and write it as {{{{ {meant} }}}}"))
    }

    fn string(&mut self, quote: char) -> Result<&'a str, LookupError> {
        let offset = self.at;
        self.at += 1;
        let mut escaped = false;
        for (index, c) in self.rest().char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if c == quote => {
                    let text = &self.rest()[..index];
                    self.at += index + 1;
                    return Ok(text);
                }
                _ => {}
            }
        }
        let help = format!("close the string with {quote}");
        Err(error("this string is never closed", offset, self.raw.len() - offset, &help))
    }

    fn filter(&mut self, open: usize) -> Result<Filter<'a>, LookupError> {
        let offset = self.at;
        if !self.rest().starts_with(starts_name) {
            return Err(error(
                "a filter's name is missing",
                offset.saturating_sub(1),
                1,
                &super::names::filter_help(""),
            ));
        }
        let name = self.take_while(in_name);
        let arguments = if self.take("(") { self.arguments(open)? } else { Vec::new() };
        Ok(Filter { name, offset, arguments })
    }

    fn arguments(&mut self, open: usize) -> Result<Vec<Term<'a>>, LookupError> {
        let mut arguments = Vec::new();
        self.skip_space();
        if self.take(")") {
            return Ok(arguments);
        }
        loop {
            self.skip_space();
            arguments.push(self.term(open)?);
            self.skip_space();
            if self.take(")") {
                return Ok(arguments);
            }
            if !self.take(",") {
                return Err(self.unexpected(open));
            }
        }
    }

    /// The mistake at the cursor.
    fn unexpected(&self, open: usize) -> LookupError {
        const OPERATORS: &str = "+-*/%~<>=!&^";
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return error("this look-up is never closed", open, self.raw.len() - open, "close it with }}");
        };
        let same = |wanted: &dyn Fn(char) -> bool| rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        let help = "a look-up is a name or a literal, with filters: {{ vars.port | default('80') }}";
        let (message, len) = if OPERATORS.contains(first) {
            let len = same(&|c| OPERATORS.contains(c));
            (format!("`{}` has no place here; look-ups neither calculate nor compare", &rest[..len]), len)
        } else if starts_name(first) {
            let len = same(&in_name);
            (format!("`{}` has no place here", &rest[..len]), len)
        } else {
            (format!("`{}` has no place here", first.escape_debug()), first.len_utf8())
        };
        error(&message, self.at, len, help)
    }
}

/// Somebody wants a secret in a string.
pub(super) fn secret(offset: usize, len: usize) -> LookupError {
    let help = "a secret is a value of its own: env { NAME (secret)name; }";
    error("a look-up cannot reach a secret", offset, len, help)
}

pub(super) fn error(message: &str, offset: usize, len: usize, help: &str) -> LookupError {
    LookupError { message: message.to_owned(), offset, len, help: help.to_owned() }
}

fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
