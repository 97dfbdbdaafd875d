//! Components: what is in them (`inspect`), where they are kept (`shelf`), and the code that is made of them (`code`,
//! kept by `cache`).

pub(crate) mod cache;
pub(crate) mod code;
pub(crate) mod inspect;
pub(crate) mod manifest;
mod native;
pub(crate) mod shelf;

/// The largest component, in bytes.
pub const SIZE_MAX: u64 = 32 << 20;
