//! What a hook says while it runs: collected here, secrets replaced, within limits, and told by the thread that
//! drives the hook.

use crate::redact::Redactor;
use deployfile_model::Name;
use deployfile_record::Failure;
use deployfile_record::event::Stream;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The longest log of one call, in bytes.
pub(crate) const LOG_BYTES: usize = 1 << 20;
/// The longest log of one call, in lines.
pub(crate) const LOG_LINES: usize = 10_000;
/// Denied calls that are told one by one.
const DENIED_TOLD: usize = 100;

/// One thing that was said.
pub(crate) enum Said {
    /// A line of the hook's.
    Hook { level: &'static str, message: String },
    /// A warning of the host's.
    Warning { message: String, help: Option<String> },
    /// A line that a program of the hook's printed.
    Output { stream: Stream, line: String },
    /// A program of the hook's runs; it may go on when the answer is good.
    Spawned { pid: u32, start_ticks: u64, boot: String, answer: std::sync::mpsc::Sender<bool> },
}

/// A handle; clones speak with one voice.
#[derive(Clone)]
pub(crate) struct Voice {
    plugin: Name,
    redactor: Arc<Redactor>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    said: VecDeque<Said>,
    bytes: usize,
    lines: usize,
    is_cut: bool,
    denied: Vec<String>,
    panic: Option<String>,
}

impl Voice {
    pub(crate) fn new(plugin: Name, redactor: Arc<Redactor>) -> Self {
        Self { plugin, redactor, inner: Arc::default() }
    }

    pub(crate) fn plugin(&self) -> &Name {
        &self.plugin
    }

    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// A line of the log, within the log's limits.
    pub(crate) fn log(&self, level: &'static str, message: &str) {
        // What is beyond any limit is not worth looking through for secrets.
        let mut message = message;
        while message.len() > LOG_BYTES {
            message = message.get(..LOG_BYTES).or_else(|| message.get(..LOG_BYTES - 3)).unwrap_or("");
        }
        if self.inner().is_cut {
            return;
        }
        let message = self.redactor.line(message);
        let mut inner = self.inner();
        inner.bytes += message.len();
        inner.lines += 1;
        if inner.bytes > LOG_BYTES || inner.lines > LOG_LINES {
            inner.is_cut = true;
            let message = format!("log cut: one call may log {LOG_LINES} lines and 1 MiB");
            inner.said.push_back(Said::Hook { level: "warn", message });
            return;
        }
        inner.said.push_back(Said::Hook { level, message });
    }

    /// The last of these that nobody has heard yet replaces the one before: a progress line is redrawn, not kept.
    pub(crate) fn progress(&self, message: &str) {
        let message = self.redactor.line(message);
        let mut inner = self.inner();
        if let Some(Said::Hook { level: "progress", message: last }) = inner.said.back_mut() {
            *last = message;
            return;
        }
        drop(inner);
        self.log("progress", &message);
    }

    /// What a panic said.
    pub(crate) fn panicked(&self, message: &str) {
        self.inner().panic = Some(self.redactor.line(message));
    }

    /// A call was denied; `allow` is the line that is missing.
    pub(crate) fn denied(&self, what: &str, allow: &str) {
        let (what, allow) = (self.redactor.line(what), self.redactor.line(allow));
        let mut inner = self.inner();
        if inner.denied.contains(&allow) || inner.denied.len() >= DENIED_TOLD {
            return;
        }
        let plugin = &self.plugin;
        let message = format!("hook `{plugin}` was denied: {what}");
        let help = Some(format!("to grant it, write in `plugin {plugin}`: {allow}"));
        inner.said.push_back(Said::Warning { message, help });
        inner.denied.push(allow);
    }

    /// What was said since the last time.
    pub(crate) fn take(&self) -> VecDeque<Said> {
        std::mem::take(&mut self.inner().said)
    }

    pub(crate) fn denials(&self) -> Vec<String> {
        self.inner().denied.clone()
    }

    pub(crate) fn panic(&self) -> Option<String> {
        self.inner().panic.clone()
    }

    /// `failure` without the values of secrets.
    pub(crate) fn clean(&self, mut failure: Failure) -> Failure {
        failure.message = self.redactor.line(&failure.message);
        failure.help = failure.help.map(|text| self.redactor.line(&text));
        failure.causes.iter_mut().for_each(|text| *text = self.redactor.line(text));
        failure.output.iter_mut().for_each(|text| *text = self.redactor.line(text));
        failure
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under this lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice() -> Voice {
        Voice::new(Name::new("p").unwrap(), Arc::default())
    }

    #[test]
    fn a_flood_is_cut_and_marked_once() {
        let voice = voice();
        (0..LOG_LINES + 50).for_each(|_| voice.log("info", "x"));
        let said = voice.take();
        assert_eq!(said.len(), LOG_LINES + 1);
        assert!(matches!(said.back(), Some(Said::Hook { message, .. }) if message.starts_with("log cut")));
    }

    #[test]
    fn one_long_line_is_cut_at_a_character() {
        let voice = voice();
        voice.log("info", &"ü".repeat(LOG_BYTES));
        assert_eq!(voice.take().len(), 1);
    }

    #[test]
    fn the_same_denial_is_told_once() {
        let voice = voice();
        (0..3).for_each(|_| voice.denied("GET x", "allow http=\"x\""));
        assert_eq!((voice.take().len(), voice.denials().len()), (1, 1));
    }
}
