//! The written word, versioned: everything that is stored, sent or printed by a program for a program.
//!
//! What is here: [`Plan`] with its [`Step`]s and [`Effect`]s, journal [`Entry`]s and the [`Ledger`] they fold into,
//! the [`Observation`] of a host, run [`Event`]s, and what a release keeps of itself. What is deliberately not
//! here: deciding (`deployfile-plan`, `deployfile-engine`), storing (`deployfile-journal`) and acting. A secret stands here
//! only as its name.

pub mod effect;
pub mod entry;
pub mod event;
pub mod failure;
pub mod hook;
pub mod ledger;
pub mod observation;
pub mod plan;
pub mod release;
pub mod unit;

pub use effect::{Command, Effect, Piece};
pub use entry::{Entry, Fact, RunResult, StepKey};
pub use event::Event;
pub use failure::{Failure, FailureKind};
pub use hook::HookCall;
pub use ledger::{Ledger, ReleaseState};
pub use observation::Observation;
pub use plan::{Goal, HostPlan, Plan, Step, Why};
pub use release::{ReleaseRecord, Tail};
pub use unit::Unit;

/// The version of every stored and printed document. A document with a higher one is refused, never guessed at.
pub const FORMAT: u32 = 1;
