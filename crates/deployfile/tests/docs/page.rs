//! A page of Markdown as this test reads it.
//!
//! - ```` ```kdl ```` is checked: a whole deployfile, or a fragment, which gets a head and an environment around it.
//!   `in=service` says in which block the fragment stands, `fails=config::code` that it must be refused with this code.
//! - ```` ```console ```` is run: `$ ` begins a command, `> ` goes on with it, what follows is what it prints (`…`: any text
//!   within a line; `[…]` alone: any lines). Every command must exit with 0; `exit=4` is for the last one of the block.
//!   `norun` is for what only `run.rs` knows how to hold against the program.
//! - `file=NAME` on a block of any language writes it to the page's folder first.
//! - `<!-- setup … -->` is a script, and `<!-- needs nginx -->` names programs without which the page is skipped.

use std::collections::BTreeMap;
use std::ops::Range;

/// What matters of a page, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Setup { script: String, line: usize },
    Needs(Vec<String>),
    Block(Block),
}

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) marks: BTreeMap<String, String>,
    pub(crate) body: String,
    /// Of the fence, from 1.
    pub(crate) line: usize,
    /// Of the body, in the page's text.
    pub(crate) range: Range<usize>,
}

/// A command of a `console` block, and what it prints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) text: String,
    pub(crate) expected: Vec<String>,
    /// From 1, in the page.
    pub(crate) line: usize,
}

/// The languages that blocks may name; a typing mistake must not turn a test off.
const LANGUAGES: &[&str] = &[
    "kdl", "console", "text", "json", "html", "python", "php", "jinja", "nginx", "ini", "wit", "yaml", "rust",
];

/// Reads a page.
pub(crate) fn parse(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut lines = numbered(text);
    while let Some((line, start, content)) = lines.next() {
        if let Some(info) = content.strip_prefix("```") {
            let body = block_body(&mut lines, start + content.len() + 1)
                .ok_or_else(|| format!("line {line}: the block does not end"))?;
            items.push(Item::Block(block(info, line, body, text)?));
        } else if content.trim_start().starts_with("```") {
            return Err(format!("line {line}: a block stands at the margin"));
        } else if let Some(programs) =
            content.strip_prefix("<!-- needs ").and_then(|rest| rest.strip_suffix(" -->"))
        {
            items.push(Item::Needs(programs.split_whitespace().map(str::to_owned).collect()));
        } else if content == "<!-- setup" {
            let script: Vec<&str> = lines
                .by_ref()
                .map(|(_, _, content)| content)
                .take_while(|content| *content != "-->")
                .collect();
            items.push(Item::Setup { script: script.join("\n"), line });
        }
    }
    Ok(items)
}

/// Lines with their number and the offset of their first byte.
fn numbered(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    let mut start = 0;
    text.split('\n').enumerate().map(move |(n, line)| {
        let at = start;
        start += line.len() + 1;
        (n + 1, at, line)
    })
}

fn block_body<'t>(
    lines: &mut impl Iterator<Item = (usize, usize, &'t str)>,
    begin: usize,
) -> Option<Range<usize>> {
    lines.find(|(_, _, content)| *content == "```").map(|(_, end, _)| begin..end)
}

fn block(info: &str, line: usize, range: Range<usize>, text: &str) -> Result<Block, String> {
    let mut words = info.split([' ', ',']).filter(|word| !word.is_empty());
    let language = words.next().unwrap_or_default().to_owned();
    if !LANGUAGES.contains(&language.as_str()) {
        return Err(format!("line {line}: `{language}` is not a language of these pages"));
    }
    let marks: BTreeMap<String, String> = words
        .map(|word| word.split_once('=').unwrap_or((word, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let known = ["file", "in", "fails", "fragment", "exit", "norun"];
    if let Some(unknown) = marks.keys().find(|mark| !known.contains(&mark.as_str())) {
        return Err(format!("line {line}: there is no mark `{unknown}`"));
    }
    let body = text[range.clone()].to_owned();
    Ok(Block { language, marks, body, line, range })
}

/// The commands of a `console` block.
pub(crate) fn commands(block: &Block) -> Result<Vec<Command>, String> {
    let mut commands: Vec<Command> = Vec::new();
    for (n, content) in block.body.lines().enumerate() {
        let line = block.line + 1 + n;
        match (content.strip_prefix("$ "), commands.last_mut()) {
            (Some(text), _) => {
                commands.push(Command { text: text.to_owned(), expected: Vec::new(), line });
            }
            (None, None) => return Err(format!("line {line}: a console block begins with `$ `")),
            (None, Some(command)) => match content.strip_prefix("> ").filter(|_| command.expected.is_empty())
            {
                Some(more) => command.text = format!("{}\n{more}", command.text),
                None => command.expected.push(content.to_owned()),
            },
        }
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Block {
        match parse(text).unwrap().pop() {
            Some(Item::Block(block)) => block,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_block_has_language_marks_and_body() {
        let text = "x\n```kdl,fragment in=service\na 1\n\nb\n```\n";
        let block = one(text);
        assert_eq!((block.language.as_str(), block.line), ("kdl", 2));
        assert_eq!((block.marks["in"].as_str(), block.marks["fragment"].as_str()), ("service", ""));
        assert_eq!((block.body.as_str(), &text[block.range.clone()]), ("a 1\n\nb\n", "a 1\n\nb\n"));
    }

    #[test]
    fn mistakes_are_told() {
        for wrong in ["```kdll\n```", "```kdl norum\n```", "```kdl\n", "  ```kdl\n  ```"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(commands(&one("```console\nx\n```")).is_err());
    }

    #[test]
    fn commands_go_on_and_have_output() {
        let block = one("```console\n$ cat > x <<EOF\n> a\n> EOF\n$ cat x\na\n\nb\n```");
        let commands = commands(&block).unwrap();
        assert_eq!(commands[0].text, "cat > x <<EOF\na\nEOF");
        assert_eq!(
            (commands[1].line, commands[1].expected.as_slice()),
            (5, ["a", "", "b"].map(String::from).as_slice())
        );
    }

    #[test]
    fn comments_prepare_a_page() {
        let items = parse("<!-- needs a b -->\n<!-- setup\nx\ny\n-->\n").unwrap();
        assert_eq!(items[0], Item::Needs(vec!["a".into(), "b".into()]));
        assert_eq!(items[1], Item::Setup { script: "x\ny".into(), line: 2 });
    }
}
