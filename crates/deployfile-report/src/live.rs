//! Events of a run for people: plain lines, or live progress on a terminal.

use crate::tone::{Tone, visible};
use crate::{took, verdict};
use deployfile_model::Stage;
use deployfile_record::event::{Event, What};
use deployfile_record::{Failure, RunResult};
use std::io::{self, Write};

/// Columns that a status line may take; longer ones are cut so that they never wrap.
const STATUS_COLUMNS: usize = 100;

/// Writes events as they come.
pub struct Human<W: Write> {
    out: W,
    tone: Tone,
    /// A status line may be rewritten in place.
    terminal: bool,
    /// -1 quiet (only warnings, errors and the end), 0 steps, 1 and more: also output of programs and every probe.
    verbosity: i8,
    /// The step that is under way.
    step: Option<(Stage, String)>,
    /// What the last probe answered; the same again is not said again.
    answer: Option<String>,
    /// A status line stands on the terminal.
    status: bool,
    /// The code of the last failure.
    failure: Option<String>,
}

impl<W: Write> Human<W> {
    /// Writes into `out`.
    pub fn new(out: W, tone: Tone, terminal: bool, verbosity: i8) -> Self {
        Self { out, tone, terminal, verbosity, step: None, answer: None, status: false, failure: None }
    }

    /// One event. The error is the writer's.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.what {
            What::StepStarted { stage, what, .. } => self.started(*stage, what),
            What::StepFinished { took_ms, ok, .. } => self.finished(*took_ms, *ok),
            What::Output { line, .. } => self.detail(line),
            What::Probe { service, attempt, ok, answer, .. } => {
                self.probe(service.as_str(), *attempt, *ok, answer)
            }
            What::Hook { plugin, level, message, .. } => self.hook(plugin.as_str(), level, message),
            What::Warning { message, help } => self.warning(message, help.as_deref()),
            What::Error { stage, failure, .. } => {
                self.failure = Some(failure.code.clone());
                self.error(*stage, failure)
            }
            What::Finished { result, changed, served, took_ms, .. } => {
                self.clear()?;
                let ended = verdict::ended(*result, *changed, *took_ms);
                let ended =
                    if *result == RunResult::Done { self.tone.good(&ended) } else { self.tone.bad(&ended) };
                writeln!(self.out, "{ended}\n{}", verdict::served(&event.host, served))?;
                verdict::next(*result, self.failure.as_deref())
                    .map_or(Ok(()), |next| writeln!(self.out, "next: {next}"))
            }
            What::StageStarted { .. }
            | What::StageFinished { .. }
            | What::Switched { .. }
            | What::Reverted { .. } => Ok(()),
        }
    }

    fn started(&mut self, stage: Stage, what: &str) -> io::Result<()> {
        self.step = Some((stage, what.to_owned()));
        self.status(&format!("{:8} {what}", stage.name()))
    }

    fn finished(&mut self, took_ms: u64, ok: bool) -> io::Result<()> {
        let Some((stage, what)) = self.step.take() else { return Ok(()) };
        if self.verbosity < 0 {
            return self.clear();
        }
        self.clear()?;
        let mark = if ok { self.tone.good("ok ") } else { self.tone.bad("no ") };
        writeln!(self.out, "{mark} {:8} {}  {}", stage.name(), visible(&what), self.tone.dim(&took(took_ms)))
    }

    /// Output of programs and tries of probes: on a terminal the last line only, unless more is wanted.
    fn detail(&mut self, line: &str) -> io::Result<()> {
        let line = visible(line);
        if self.verbosity >= 1 || (!self.terminal && self.verbosity >= 0) {
            self.clear()?;
            return writeln!(self.out, "    {} {line}", self.tone.dim("|"));
        }
        let head =
            self.step.as_ref().map(|(stage, what)| format!("{:8} {what}", stage.name())).unwrap_or_default();
        self.status(&format!("{head}  | {line}"))
    }

    /// A probe is tried many times until it holds: what is answered is said when it differs from the last.
    fn probe(&mut self, service: &str, attempt: u32, ok: bool, answer: &str) -> io::Result<()> {
        let is_news = attempt == 1 || ok || self.answer.as_deref() != Some(answer);
        self.answer = Some(answer.to_owned());
        if !is_news && self.verbosity < 2 {
            return Ok(());
        }
        let held = if ok { "holds" } else { "does not hold yet" };
        self.detail(&format!("probe {attempt} of {service} {held}: {answer}"))
    }

    fn hook(&mut self, plugin: &str, level: &str, message: &str) -> io::Result<()> {
        let wanted = match level {
            "trace" | "debug" => 2,
            "progress" | "info" => 1,
            _ => 0,
        };
        if self.verbosity < wanted {
            return Ok(());
        }
        self.clear()?;
        let said = format!("{plugin}: {}", visible(message));
        let said = if level == "warn" || level == "error" { self.tone.warn(&said) } else { said };
        writeln!(self.out, "    {} {said}", self.tone.dim("|"))
    }

    fn warning(&mut self, message: &str, help: Option<&str>) -> io::Result<()> {
        self.clear()?;
        writeln!(self.out, "{} {}", self.tone.warn("warning:"), visible(message))?;
        help.map_or(Ok(()), |help| writeln!(self.out, "  help: {}", visible(help)))
    }

    fn error(&mut self, stage: Option<Stage>, failure: &Failure) -> io::Result<()> {
        self.clear()?;
        let at = stage.map(|stage| format!(" (stage {stage})")).unwrap_or_default();
        write!(self.out, "{}", failure_text(failure, &at, self.tone))
    }

    fn status(&mut self, text: &str) -> io::Result<()> {
        if !self.terminal || self.verbosity < 0 {
            return Ok(());
        }
        self.clear()?;
        let text: String = visible(text).chars().take(STATUS_COLUMNS).collect();
        write!(self.out, "\r{}", self.tone.dim(&text))?;
        self.status = true;
        self.out.flush()
    }

    fn clear(&mut self) -> io::Result<()> {
        if self.status {
            self.status = false;
            write!(self.out, "\r\x1b[2K")?;
        }
        Ok(())
    }
}

/// `error[code]: what`, the causes, the last lines of output, `help:`.
pub fn failure_text(failure: &Failure, at: &str, tone: Tone) -> String {
    let mut text =
        format!("{} {}{at}\n", tone.bad(&format!("error[{}]:", failure.code)), visible(&failure.message));
    for cause in &failure.causes {
        text.push_str(&format!("  because: {}\n", visible(cause)));
    }
    for line in &failure.output {
        text.push_str(&format!("  {} {}\n", tone.dim("|"), visible(line)));
    }
    if let Some(help) = &failure.help {
        text.push_str(&format!("  help: {}\n", visible(help)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use deployfile_model::{Name, Phase, RunId};

    fn event(what: What) -> Event {
        Event { format: 1, seq: 1, host: Name::new("h").unwrap(), run: RunId::new("r").unwrap(), ms: 0, what }
    }
    fn lines(terminal: bool, verbosity: i8, events: Vec<What>) -> String {
        let mut out = Vec::new();
        let mut human = Human::new(&mut out, Tone::PLAIN, terminal, verbosity);
        events.into_iter().for_each(|what| human.event(&event(what)).unwrap());
        String::from_utf8(out).unwrap()
    }
    fn step() -> Vec<What> {
        let (stage, phase) = (Stage::Build, Phase::Main);
        vec![
            What::StepStarted { stage, phase, step: 1, what: "run make".into() },
            What::Output {
                stage,
                step: 1,
                stream: deployfile_record::event::Stream::Stdout,
                line: "a\x1b[2Jb".into(),
            },
            What::StepFinished { stage, step: 1, took_ms: 1240, ok: true },
        ]
    }

    #[test]
    fn plain_lines_hold_no_control_codes() {
        let text = lines(false, 0, step());
        assert_eq!(text, "    | a\\u{1b}[2Jb\nok  build    run make  1.24 s\n");
    }

    #[test]
    fn a_terminal_folds_output_into_the_status_line() {
        let text = lines(true, 0, step());
        assert!(text.ends_with("\r\x1b[2Kok  build    run make  1.24 s\n"), "{text:?}");
        assert!(!text.contains("| a\\u{1b}[2Jb\n"));
    }

    #[test]
    fn quiet_says_errors_only() {
        let failure = Failure::new("step::failed", "make failed").because("exit 2").help("look");
        let mut events = step();
        events.push(What::Error {
            at: None,
            retry: "after".into(),
            stage: Some(Stage::Build),
            failure,
            exit: 1,
            changed: deployfile_record::event::Changed::Staged,
        });
        let text = lines(false, -1, events);
        assert!(
            text.ends_with(
                "error[step::failed]: make failed (stage build)\n  because: exit 2\n  help: look\n"
            ),
            "{text}"
        );
        assert!(!text.contains("run make"));
    }
}
