//! This machine: releases, processes, service managers, probes, observations.
//!
//! What is here: every effect of a plan, made true on the host that this program runs on. What is deliberately not
//! here: deciding what to do (`deployfile-plan`, `deployfile-engine`), the file calls themselves (`deployfile-disk`),
//! keeping services running (`deployfile-supervisor`) and WASM (`deployfile-hooks`).

pub mod current;
pub mod in_use;
pub mod nginx;
pub mod observe;
pub mod perform;
pub mod probe;
pub mod process;
pub mod release;
pub mod secret;
pub mod service;
pub mod source;
pub mod store;
pub mod supervisord;

use deployfile_record::Failure;

/// The failure of a file call, with what to do about the common ones.
pub(crate) fn disk_failure(error: &deployfile_disk::DiskError) -> Failure {
    let failure = Failure::from_error("disk::failed", error);
    if error.is_no_space() {
        return failure.help("free space, for example with: deployfile clean");
    }
    if error.is_read_only() {
        return failure.help("mount the file system for writing");
    }
    failure
}

pub use observe::observe;
pub use perform::ThisHost;
pub use store::{RootJournal, Store};
