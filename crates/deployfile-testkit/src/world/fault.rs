//! Boundaries of a simulated process, and what may happen at one.

use deployfile_model::Stage;
use deployfile_record::StepKey;
use std::fmt;

/// A place at which a process may be cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Before an effect acts.
    BeforeEffect,
    /// In the middle of an effect that takes more than one call.
    WithinEffect,
    /// After an effect, before its outcome is journaled.
    AfterEffect,
    /// Before a record is appended.
    BeforeAppend,
    /// A record is half written.
    TornAppend,
    /// A record is durable, and nobody was told.
    AfterAppend,
}

/// A boundary that a process passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Where.
    pub place: Place,
    /// The step that is under way; `None`: outside of any (`Begin`, `Resumed`, `Finished`).
    pub step: Option<StepKey>,
    /// Its stage.
    pub stage: Option<Stage>,
}

/// What happens at a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process is killed.
    Kill,
    /// The effect or the append fails.
    Refuse,
    /// The effect is performed twice.
    Repeat,
    /// The disk is full from here on, until the next process.
    DiskFull,
    /// The user asks to stop.
    Stop,
    /// The machine loses its power: as killed, and no process is left.
    PowerCut,
}

impl Fault {
    /// Those that are tried at every boundary.
    pub const ALL: [Fault; 4] = [Fault::Kill, Fault::Refuse, Fault::Repeat, Fault::DiskFull];

    /// Whether it means something at this place.
    pub fn fits(self, place: Place) -> bool {
        match self {
            Fault::Repeat => place == Place::BeforeEffect,
            Fault::Stop => place == Place::BeforeEffect,
            _ => true,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Kill => "kill",
            Fault::Refuse => "refuse",
            Fault::Repeat => "repeat",
            Fault::DiskFull => "full",
            Fault::Stop => "stop",
            Fault::PowerCut => "power",
        })
    }
}

/// A fault and the boundary that it waits for, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// What.
    pub fault: Fault,
    /// Where.
    pub at: usize,
}

/// A product that is broken on purpose, so that it can be seen that the checks see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Records are kept in memory and written when the run is over.
    JournalAtTheEnd,
    /// Writing a file adds to it.
    FilesGrow,
    /// A release is deleted in place, file by file.
    PrunedInPlace,
    /// A failing command quotes its environment.
    SecretInFailure,
    /// `current` is taken away before it is made anew.
    CurrentUnlinked,
}
