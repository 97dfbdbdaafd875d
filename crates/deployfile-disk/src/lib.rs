//! Every mutating file call of the product, beneath a root handle.
//!
//! What is here: [`Dir`], a handle of an open directory through which files are read, written, replaced, linked and
//! removed without ever following a symlink or leaving the handle (`openat2` with `RESOLVE_BENEATH`,
//! architecture.md law 10); [`lock`], the lock of a root; [`root`], what a root must be; [`tree`], the same for many
//! thousand files at a time; and [`fault`], the gate that every mutating call passes, so that a test can stop the
//! product exactly before any one of them.
//!
//! What is deliberately not here: what the files mean. Manifests, releases and the journal's records are their
//! crates' own. A call is durable only where its documentation says so.

mod append;
mod call;
mod dir;
mod error;
pub mod fault;
pub mod filesystem;
pub mod lock;
mod remove;
mod replace;
pub mod root;
mod stat;
mod temp;
pub mod tree;
mod write;

pub use append::AppendFile;
pub use dir::Dir;
pub use error::DiskError;
pub use lock::{Lock, LockError, LockNote};
pub use stat::{DirEntry, Kind, Stat};
pub use write::NewFile;
