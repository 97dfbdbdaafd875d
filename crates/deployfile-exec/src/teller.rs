//! Turns what happens into events, numbered and timed, for the listener.

use crate::port::{Clock, Journal, Listener, Tell};
use deployfile_model::{Name, RunId, Stage};
use deployfile_record::event::{Event, Stream, What};
use deployfile_record::{Entry, FORMAT, Fact, Failure, StepKey};

/// Numbers and times events.
pub(crate) struct Teller<'a> {
    pub(crate) host: &'a Name,
    pub(crate) run: &'a RunId,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) listener: &'a mut dyn Listener,
    pub(crate) began_ms: u64,
    pub(crate) seq: u64,
}

impl Teller<'_> {
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.clock.monotonic_ms().saturating_sub(self.began_ms)
    }

    pub(crate) fn say(&mut self, what: What) {
        self.seq += 1;
        let event = Event {
            format: FORMAT,
            seq: self.seq,
            host: self.host.clone(),
            run: self.run.clone(),
            ms: self.elapsed_ms(),
            what,
        };
        self.listener.event(&event);
    }
}

/// What an effect is given to tell with, while its step is performed.
pub(crate) struct StepTeller<'a, 'b> {
    pub(crate) teller: &'a mut Teller<'b>,
    pub(crate) journal: &'a mut dyn Journal,
    pub(crate) stage: Stage,
    pub(crate) key: StepKey,
}

impl Tell for StepTeller<'_, '_> {
    fn output(&mut self, stream: Stream, line: &str) {
        self.teller.say(What::Output { stage: self.stage, step: self.key.n, stream, line: line.to_owned() });
    }

    fn probe(&mut self, service: &Name, attempt: u32, ok: bool, answer: &str) {
        let (stage, service) = (self.stage, service.clone());
        self.teller.say(What::Probe { stage, service, attempt, ok, answer: answer.to_owned() });
    }

    fn hook(&mut self, plugin: &Name, level: &str, message: &str) {
        let (stage, plugin) = (self.stage, plugin.clone());
        self.teller.say(What::Hook { stage, plugin, level: level.to_owned(), message: message.to_owned() });
    }

    fn warning(&mut self, message: &str, help: Option<&str>) {
        self.teller.say(What::Warning { message: message.to_owned(), help: help.map(str::to_owned) });
    }

    fn spawned(&mut self, pid: u32, start_ticks: u64, boot: &str) -> Result<(), Failure> {
        let fact = Fact::Spawned { step: self.key, pid, start_ticks, boot: boot.to_owned() };
        let at = self.teller.clock.now();
        self.journal.append(&Entry { at, run: Some(self.teller.run.clone()), fact })
    }
}
