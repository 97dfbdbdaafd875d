//! One source file as the paths that it mentions, each as the file's own `use` lines mean it.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeMap;
use std::str::FromStr;

/// What a file says outside of its tests.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) mentions: Vec<Mention>,
    /// Lines with `async` on them.
    pub(super) asyncs: Vec<usize>,
    /// Modules in files of their own that exist for tests only.
    pub(super) test_modules: Vec<String>,
}

/// A path, from its root where the file says where that is.
#[derive(Debug)]
pub(super) struct Mention {
    pub(super) line: usize,
    pub(super) path: String,
    /// `use path::*`.
    pub(super) glob: bool,
}

impl Source {
    /// Reads a file's text.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let tokens = TokenStream::from_str(text).map_err(|error| format!("it is not Rust: {error}"))?;
        let mut reader = Reader::default();
        reader.walk(&tokens.into_iter().collect::<Vec<_>>());
        Ok(reader.finish())
    }
}

/// Hops of `use a as b; use b::c as d;` that are followed.
const HOPS: usize = 8;

#[derive(Default)]
struct Reader {
    source: Source,
    paths: Vec<(usize, Vec<String>, bool)>,
    /// A name in this file, and the path that a `use` gave it.
    names: BTreeMap<String, Vec<String>>,
}

impl Reader {
    fn walk(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while at < tokens.len() {
            at = match &tokens[at] {
                hash if is_punct(hash, '#') && is_test_only(tokens.get(at + 1)) => {
                    self.skip_item(tokens, at + 2)
                }
                // A method or a field. Not so after `..`: what follows a range's dots is a path.
                dot if is_punct(dot, '.') && is_ident(tokens.get(at + 1)) && !after_dot(tokens, at) => at + 2,
                TokenTree::Ident(word) if word == "use" => {
                    let end =
                        tokens[at..].iter().position(|t| is_punct(t, ';')).map_or(tokens.len(), |n| at + n);
                    self.tree(&tokens[at + 1..end], &[]);
                    end + 1
                }
                TokenTree::Ident(_) => self.path(tokens, at),
                TokenTree::Group(group) => {
                    self.walk(&group.stream().into_iter().collect::<Vec<_>>());
                    at + 1
                }
                _ => at + 1,
            };
        }
    }

    /// Takes the path that starts at `at`; gives where it ends.
    fn path(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let line = tokens[at].span().start().line;
        let (parts, end) = parts(tokens, at);
        if parts == ["async"] {
            self.source.asyncs.push(line);
        }
        self.paths.push((line, parts, false));
        end
    }

    /// Takes one tree of a `use`, or several with commas between them, beneath `above`.
    fn tree(&mut self, tokens: &[TokenTree], above: &[String]) {
        for branch in tokens.split(|token| is_punct(token, ',')) {
            let start = branch.iter().take_while(|token| is_punct(token, ':')).count();
            let Some(first) = branch.get(start) else { continue };
            let line = first.span().start().line;
            let (mut below, end) =
                if is_ident(Some(first)) { parts(branch, start) } else { (Vec::new(), start) };
            let rest = &branch[end + branch[end..].iter().take_while(|token| is_punct(token, ':')).count()..];
            if below.last().is_some_and(|last| last == "self") {
                below.pop();
            }
            let path = [above, &below].concat();
            match rest.first() {
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    self.tree(&group.stream().into_iter().collect::<Vec<_>>(), &path);
                }
                Some(token) if is_punct(token, '*') => self.paths.push((line, path, true)),
                other => {
                    let renamed = other.and_then(|_| rest.get(1)).map(ToString::to_string);
                    if let Some(name) = renamed.or_else(|| path.last().cloned()) {
                        self.names.insert(name, path.clone());
                    }
                    self.paths.push((line, path, false));
                }
            }
        }
    }

    /// Passes the item after a `#[cfg(test)]`; gives where it ends. To stop too early only means to look at more.
    fn skip_item(&mut self, tokens: &[TokenTree], from: usize) -> usize {
        let ends = |token: &TokenTree| {
            matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
                || is_punct(token, ';')
                || is_punct(token, ',')
        };
        let item = &tokens[from.min(tokens.len())..];
        let item = &item[..item.iter().position(ends).map_or(item.len(), |end| end + 1)];
        if let [.., TokenTree::Ident(word), TokenTree::Ident(name), end] = item
            && word == "mod"
            && is_punct(end, ';')
        {
            self.source.test_modules.push(name.to_string());
        }
        from + item.len()
    }

    fn finish(self) -> Source {
        let Self { mut source, paths, names } = self;
        source.mentions = paths
            .into_iter()
            .map(|(line, parts, glob)| Mention { line, path: rooted(parts, &names).join("::"), glob })
            .collect();
        source
    }
}

/// `parts` with the first one replaced by what a `use` says that it is.
fn rooted(mut parts: Vec<String>, names: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    for _ in 0..HOPS {
        match parts.first().and_then(|first| names.get(first)) {
            Some(path) if path.first() != parts.first() => {
                parts = path.iter().chain(&parts[1..]).cloned().collect();
            }
            _ => break,
        }
    }
    parts
}

/// The names with `::` between them that start at `at`, and where they end.
fn parts(tokens: &[TokenTree], at: usize) -> (Vec<String>, usize) {
    let mut names = vec![tokens[at].to_string()];
    let mut end = at + 1;
    while let [a, b, TokenTree::Ident(name), ..] = &tokens[end..]
        && is_punct(a, ':')
        && is_punct(b, ':')
    {
        names.push(name.to_string());
        end += 3;
    }
    (names, end)
}

/// Whether this is the `[cfg(test)]` of an attribute, or `[cfg(all(test, …))]`.
fn is_test_only(token: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(group)) = token else { return false };
    let text: String = group.stream().to_string().split_whitespace().collect();
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

fn after_dot(tokens: &[TokenTree], at: usize) -> bool {
    at > 0 && is_punct(&tokens[at - 1], '.')
}

fn is_ident(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Ident(_)))
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(p) if p.as_char() == wanted)
}
