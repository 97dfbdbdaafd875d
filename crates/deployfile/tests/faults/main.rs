//! Faults at every boundary, on the real program: killed, refused, cut off, out of room, two at once. Each lane is a module;
//! each tells what it covered, and for every failure one command that replays it.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

mod damage;
mod disks;
mod gate;
mod invariants;
mod kill;
mod mutants;
mod power;
mod race;
mod refuse;
mod retention;
mod rooms;
mod sample;
mod simulated;
mod site;
mod verbs;
mod world;
