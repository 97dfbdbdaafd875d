//! Events of a run: what people and programs are told while it goes. Telemetry: losing one is no error.

use crate::entry::RunResult;
use crate::failure::Failure;
use deployfile_model::{Name, Phase, Place, ReleaseId, RunId, Stage};
use serde::{Deserialize, Serialize};

/// One line of a run's event stream (`--format json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// [`crate::FORMAT`].
    pub format: u32,
    /// Counts the events of a run, from 1.
    pub seq: u64,
    /// The host.
    pub host: Name,
    /// The run.
    pub run: RunId,
    /// Milliseconds since the run (or its resumption) began.
    pub ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// A stage begins.
    StageStarted {
        /// Which.
        stage: Stage,
    },
    /// A stage ended well.
    StageFinished {
        /// Which.
        stage: Stage,
        /// How long it took.
        took_ms: u64,
    },
    /// A step begins.
    StepStarted {
        /// Its stage.
        stage: Stage,
        /// Where in the stage.
        phase: Phase,
        /// Its number.
        step: u32,
        /// One line for people.
        what: String,
    },
    /// A program printed this.
    Output {
        /// The stage.
        stage: Stage,
        /// The step.
        step: u32,
        /// `stdout` or `stderr`.
        stream: Stream,
        /// One line, control characters escaped.
        line: String,
    },
    /// A step ended.
    StepFinished {
        /// Its stage.
        stage: Stage,
        /// Its number.
        step: u32,
        /// How long it took.
        took_ms: u64,
        /// It reached its end.
        ok: bool,
    },
    /// A hook said something (a log line, a summary, progress).
    Hook {
        /// The stage.
        stage: Stage,
        /// The plugin.
        plugin: Name,
        /// `trace`, `debug`, `info`, `warn`, `error`, `summary` or `progress`.
        level: String,
        /// One line, secrets replaced.
        message: String,
    },
    /// A probe was tried.
    Probe {
        /// The stage.
        stage: Stage,
        /// The service.
        service: Name,
        /// Which try.
        attempt: u32,
        /// It held.
        ok: bool,
        /// What was answered, or why there was no answer.
        answer: String,
    },
    /// `current` moved.
    Switched {
        /// From.
        from: Option<ReleaseId>,
        /// To.
        to: Option<ReleaseId>,
    },
    /// The way back was taken.
    Reverted {
        /// What is served again.
        to: Option<ReleaseId>,
    },
    /// Something to know that stops nothing.
    Warning {
        /// One line.
        message: String,
        /// What to do.
        help: Option<String>,
    },
    /// Why the run does not reach its goal.
    Error {
        /// Its stage.
        stage: Option<Stage>,
        /// The setting that asked for the step.
        at: Option<Place>,
        /// The failure.
        #[serde(flatten)]
        failure: Failure,
        /// The exit code it leads to.
        exit: u8,
        /// What it left changed.
        changed: Changed,
        /// Whether trying again helps: `no`, `same` (as it is) or `after` (what `help` says was done).
        retry: String,
    },
    /// The last event.
    Finished {
        /// How it ended.
        result: RunResult,
        /// The exit code.
        exit: u8,
        /// What changed.
        changed: Changed,
        /// What is served now on this host.
        served: Served,
        /// How long the run took.
        took_ms: u64,
    },
}

/// A stream of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What a run left changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changed {
    /// Nothing at all.
    None,
    /// Files of a release that is not served.
    Staged,
    /// Another release is served.
    Switched,
    /// It was switched, and switched back.
    Reverted,
    /// Some of it.
    Partial,
    /// It cannot be told.
    Unknown,
}

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The release that current names, read back.
    pub release: Option<ReleaseId>,
    /// The build id of that release.
    pub build_id: Option<String>,
    /// The running service said so.
    pub verified: bool,
}
