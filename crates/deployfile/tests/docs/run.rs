//! Runs a page from its beginning to its end: what a reader would type, in the order of the page.

use crate::compare;
use crate::page::{self, Block, Command, Item};
use crate::room::Room;
use crate::{kdl, repository, updating};
use deployfile_testkit::needs;
use std::fs;
use std::ops::Range;

/// Runs a page of the repository.
pub(crate) fn page(path: &str) {
    let file = repository().join(path);
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{path}: {e}"));
    let items = page::parse(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut run = Run { room: Room::new(), update: updating(), differs: false, rewritten: Vec::new() };
    for item in &items {
        match item {
            Item::Needs(programs) => {
                if !programs.iter().all(|program| needs(program, path)) {
                    return;
                }
            }
            Item::Setup { script, line } => {
                let ended = run.room.run(&format!("set -eu\n{script}\nset +e"));
                assert_eq!(ended.code, 0, "{path}:{line}: setup\n{}", ended.printed.join("\n"));
            }
            Item::Block(block) => {
                if let Err(why) = run.block(&text, block) {
                    panic!("{path}:{}: {why}", block.line);
                }
            }
        }
    }
    // The whole page, so that it tells of one run and not of several.
    if run.differs {
        fs::write(&file, rewrite(&text, run.rewritten)).unwrap();
    }
}

/// A page that is being run.
struct Run {
    room: Room,
    /// What the program prints is taken for what the page should show.
    update: bool,
    /// The page shows something that the program does not print.
    differs: bool,
    /// Bodies of `console` blocks as they are this time.
    rewritten: Vec<(Range<usize>, String)>,
}

impl Run {
    fn block(&mut self, text: &str, block: &Block) -> Result<(), String> {
        if let Some(name) = block.marks.get("file") {
            self.room.write(name, &block.body);
        }
        match block.language.as_str() {
            "kdl" => kdl::check(&self.room, text, block),
            "json" => block.body.lines().try_for_each(|line| {
                match serde_json::from_str::<serde_json::Value>(line) {
                    Ok(_) => Ok(()),
                    Err(e) => Err(format!("not JSON: {e}: {line}")),
                }
            }),
            "console" if block.marks.contains_key("norun") => Ok(()),
            "console" => self.console(block),
            _ => Ok(()),
        }
    }

    fn console(&mut self, block: &Block) -> Result<(), String> {
        let commands = page::commands(block)?;
        let mut body = String::new();
        for (n, command) in commands.iter().enumerate() {
            let last = n + 1 == commands.len();
            let exit = block.marks.get("exit").filter(|_| last).map_or(Ok(0), |code| code.parse());
            let shown = self.command(command, exit.map_err(|_| "exit= is a number".to_owned())?)?;
            body.push_str(&format!("$ {}\n", command.text.replace('\n', "\n> ")));
            shown.iter().for_each(|line| body.push_str(&format!("{line}\n")));
        }
        self.rewritten.push((block.range.clone(), body));
        Ok(())
    }

    /// Runs a command; gives what the page should show of what it printed.
    fn command(&mut self, command: &Command, exit: i32) -> Result<Vec<String>, String> {
        let ended = self.room.run(&command.text);
        if ended.code != exit {
            let output = ended.printed.join("\n");
            return Err(format!("`{}` exits with {}, not {exit}\n{output}", command.text, ended.code));
        }
        let same = compare::matches(&command.expected, &ended.printed);
        if !same && !self.update {
            return Err(difference(command, &ended.printed));
        }
        self.differs |= !same;
        let abridged = command.expected.iter().any(|line| line.contains('…'));
        Ok(if same && abridged { command.expected.clone() } else { ended.printed })
    }
}

fn difference(command: &Command, printed: &[String]) -> String {
    let lines =
        |lines: &[String]| lines.iter().map(|l| format!("  {}\n", compare::normal(l))).collect::<String>();
    format!(
        "line {}: `{}` prints something else\n--- the page\n{}--- the program\n{}\
         (UPDATE_DOCS=1 writes what the program prints into the page)",
        command.line,
        command.text,
        lines(&command.expected),
        lines(printed)
    )
}

fn rewrite(text: &str, mut rewritten: Vec<(Range<usize>, String)>) -> String {
    let mut text = text.to_owned();
    rewritten.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    for (range, body) in rewritten {
        text.replace_range(range, &body);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<(), String> {
        let mut run = Run { room: Room::new(), update: false, differs: false, rewritten: Vec::new() };
        page::parse(text)?.iter().try_for_each(|item| match item {
            Item::Block(block) => run.block(text, block),
            _ => Ok(()),
        })
    }

    /// The harness must fail where a page is wrong.
    #[test]
    fn a_wrong_page_is_caught() {
        assert_eq!(run("```console\n$ mkdir a && cd a\n$ pwd\n/home/you/a\n```"), Ok(()));
        assert_eq!(run("```console exit=3\n$ true\n$ exit 3\n```"), Ok(()));
        for (wrong, why) in [
            ("```console\n$ echo one\ntwo\n```", "prints something else"),
            ("```console\n$ echo one\n```", "prints something else"),
            ("```console\n$ false\n```", "exits with 1"),
            ("```console exit=1\n$ true\n```", "exits with 0"),
            ("```kdl\nservce web { }\n```", "config::unknown-node"),
            ("```kdl fails=config::unknown-node\nvars { a 1; }\n```", "is valid"),
            ("```kdl fails=config::type\nservce web { }\n```", "config::unknown-node"),
            ("```json\n{\n```", "not JSON"),
        ] {
            let said = run(wrong).expect_err(wrong);
            assert!(said.contains(why), "{wrong}\n{said}");
        }
    }
}
