//! No crash, full disk or power cut leaves a half deploy. Each lane is a module.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

mod damage;
mod gate;
mod retention;
mod simulated;
