//! A hermetic environment for tests of the whole program. A dev-dependency only.
//!
//! What is here: a sandbox that runs the built binary on a folder of its own and leaves no process behind, a strict
//! HTTP client, what a missing component means for a test, a tracer that stops a program at any of its file calls, a
//! strict model of power cuts, and a simulated host ([`world::World`]). What is deliberately not here: what is asserted.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should stop, loudly")]

pub mod background;
pub mod coverage;
#[cfg(target_os = "linux")]
pub mod disks;
pub mod http;
pub mod needs;
pub mod power;
pub mod sandbox;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod trace;
pub mod world;

pub use background::{Background, until};
pub use coverage::coverage;
pub use http::{Answer, get};
pub use needs::{free_port, needs};
pub use sandbox::{Done, Sandbox, done};
