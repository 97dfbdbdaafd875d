//! One file's text to our tree: guard, slips, then the `kdl` parser on a thread of its own.

use crate::diagnostic::Findings;
use crate::guard::{Room, Verdict};
use crate::lexer::{Kind, Token};
use crate::sources::{At, Sources};
use crate::tree::{self, Node};
use crate::{guard, slips};
use kdl::{KdlDiagnostic, KdlDocument, KdlError};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The parser recurses; this holds 64 levels many times over.
const STACK: usize = 16 << 20;
/// Wall clock that one file may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Parses file number `file`, which takes what it needs of `room`; `None` when it is not KDL, which was then said.
pub(crate) fn parse(
    sources: &Sources,
    file: u32,
    room: &mut Room,
    findings: &mut Findings<'_>,
) -> Option<Vec<Node>> {
    let tokens = room.tokens(file, findings)?;
    let without = without_comments(sources.text(file), &tokens);
    let mut own = Findings::new(sources);
    let verdict = guard::structure(file, &tokens, &mut own);
    if verdict != Verdict::Refused {
        slips::find(file, &tokens, &mut own);
    }
    if verdict == Verdict::Fine {
        slips::grammar(file, &tokens, &mut own);
    }
    drop(tokens);
    let tree = if !own.has_errors() { run(sources, file, without, &mut own) } else { None };
    own.into_list().into_iter().for_each(|d| findings.push(d));
    tree
}

/// The text with white space for comments, so that everything else stands where it stood: the parser takes as long for
/// a comment as for settings, and five seconds for 16 MiB of it.
fn without_comments(text: &str, tokens: &[Token]) -> String {
    let mut out = String::with_capacity(text.len());
    let is_comment = |token: &&Token| matches!(token.kind, Kind::LineComment | Kind::BlockComment { .. });
    for comment in tokens.iter().filter(is_comment) {
        out.push_str(&text[out.len()..comment.start]);
        out.extend(std::iter::repeat_n(' ', comment.end - comment.start));
    }
    out.push_str(&text[out.len()..]);
    out
}

fn run(sources: &Sources, file: u32, text: String, own: &mut Findings<'_>) -> Option<Vec<Node>> {
    let whole = At { file, offset: 0, len: 1 };
    match on_thread(text, DEADLINE, KdlDocument::parse_v2) {
        Ok(Ok(document)) => Some(tree::convert(&document, sources, file)),
        Ok(Err(error)) => {
            reword(&error, file, own);
            None
        }
        Err(why) => {
            own.error("config::parser", whole, format!("`{}` cannot be parsed: {why}", sources.name(file)))
                .help("split the file, and `import` the parts");
            None
        }
    }
}

/// Runs the parser where its recursion and its time cannot hurt. When the deadline passes, the thread is left behind
/// and ends by itself.
fn on_thread<T: Send + 'static>(
    text: String,
    deadline: Duration,
    work: impl FnOnce(&str) -> T + Send + 'static,
) -> Result<T, String> {
    let (send, receive) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("kdl".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            // The receiver is gone only after the deadline, and then nobody wants the answer.
            let _ = send.send(work(&text));
        })
        .map_err(|e| format!("no thread can be started: {e}"))?;
    receive.recv_timeout(deadline).map_err(|e| match e {
        mpsc::RecvTimeoutError::Timeout => format!("it takes longer than {} seconds", deadline.as_secs()),
        mpsc::RecvTimeoutError::Disconnected => "the parser gave up on it".to_owned(),
    })
}

/// What the parser says about a text in which we found nothing: its first message, as what follows may be its recovery
/// speaking.
fn reword(error: &KdlError, file: u32, own: &mut Findings<'_>) {
    let Some(diagnostic) = error.diagnostics.first() else { return };
    let at = At { file, offset: diagnostic.span.offset() as u32, len: diagnostic.span.len().max(1) as u32 };
    own.error(slips::SYNTAX, at, "this is not valid KDL").label(describe(diagnostic)).help(
        "a setting is `name value… key=value… { … }`; what is not a plain word or a number needs quotes",
    );
}

fn describe(diagnostic: &KdlDiagnostic) -> String {
    let message = diagnostic.message.as_deref().unwrap_or("unexpected");
    let mut characters = message.chars();
    let first = characters.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    first + characters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer;

    /// What we find against `text` before the parser sees it.
    fn found(text: &str) -> usize {
        let mut sources = Sources::default();
        let file = sources.add("a", text);
        let mut own = Findings::new(&sources);
        let tokens: Vec<_> = lexer::tokens(text).collect();
        if guard::structure(file, &tokens, &mut own) == Verdict::Fine {
            slips::find(file, &tokens, &mut own);
            slips::grammar(file, &tokens, &mut own);
        }
        own.said()
    }

    #[test]
    fn we_refuse_what_the_parser_refuses_and_nothing_else() {
        let pieces = [
            "a", " ", "\n", ";", "{", "}", "/-", "=", "(t)", "\"x\"", "1", "#true", "\\\n", "//c\n", "/*c*/",
        ];
        let (mut lax, mut strict) = (Vec::new(), Vec::new());
        // Every text of four of these pieces: small, and complete.
        for n in 0..pieces.len().pow(4) {
            let mut rest = n;
            let mut text = String::from("n");
            for _ in 0..4 {
                text.push_str(pieces[rest % pieces.len()]);
                rest /= pieces.len();
            }
            match (KdlDocument::parse_v2(&text).is_ok(), found(&text)) {
                // KDL wants a space before `/-` here too; kdl 6.7.1 does not.
                (true, 1..) if text.contains("#true/-") => {}
                (true, 1..) => strict.push(text),
                (false, 0) => lax.push(text),
                _ => {}
            }
        }
        assert!(
            strict.is_empty(),
            "valid and refused: {} {:?}",
            strict.len(),
            &strict[..strict.len().min(60)]
        );
        assert!(lax.is_empty(), "left to the parser: {} {:?}", lax.len(), &lax[..lax.len().min(60)]);
    }

    #[test]
    fn comments_become_white_space_of_their_length() {
        let blank = |text: &str| without_comments(text, &lexer::tokens(text).collect::<Vec<_>>());
        assert_eq!(blank("a // é\nb /* \n /* */ */c \"//\""), "a      \nb              c \"//\"");
        assert_eq!(blank("/* open"), "       ");
        assert_eq!(blank(""), "");
    }

    #[test]
    fn a_parser_that_hangs_or_dies_is_an_error() {
        let hang =
            on_thread(String::new(), Duration::from_millis(20), |_| thread::sleep(Duration::from_secs(2)));
        assert!(hang.unwrap_err().contains("takes longer"));
        let quick = on_thread("x".to_owned(), DEADLINE, str::len);
        assert_eq!(quick, Ok(1));
    }
}
