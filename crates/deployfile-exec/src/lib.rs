//! The loop of a run: ask the engine, journal the intent, act, journal the outcome.
//!
//! What is here: the loop, and the ports through which it acts ([`Effects`], [`Hooks`], [`Clock`], [`Journal`],
//! [`Listener`]). What is deliberately not here: deciding (`deployfile-engine`), acting (`deployfile-system`,
//! `deployfile-hooks`) and the deployfile itself: a host can finish or undo a run with no deployfile on it.

pub mod drive;
pub mod port;
mod teller;

pub use drive::{Ended, Run, drive};
pub use port::{Call, Clock, Effects, Hooks, Journal, Listener, Mode, Outcome, Stop, Tell};
