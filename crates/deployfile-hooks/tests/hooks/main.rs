//! Calls real components under grants and limits. `plugins/testguests` misbehaves as its configuration says; its
//! component is committed, so that no WASM toolchain is needed.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

mod cache;
mod component;
mod exec;
mod files;
mod guard;
mod http;
mod limits;
mod secrets;
mod state;
mod world;
