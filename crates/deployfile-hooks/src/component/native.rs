//! The one place that makes a component of native code.
//!
//! Compiled code is not checked when it runs: an edited one would run the edited bytes with all that this process may
//! do. So what comes here was either compiled by this process, by its own helper, or lay in a directory that only this
//! user can write, under a digest that was verified (`cache`).

#![allow(unsafe_code, reason = "wasmtime marks it unsafe to run native code that it cannot check")]

use wasmtime::component::Component;
use wasmtime::{Engine, Result};

/// Code that this user's own compiler made.
pub(crate) struct TrustedCode(Vec<u8>);

impl TrustedCode {
    /// The caller says where the bytes come from: see the module's documentation.
    pub(super) fn vouched(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
    /// Makes it runnable. Code of another version, processor or configuration is an error.
    pub(super) fn load(&self, engine: &Engine) -> Result<Component> {
        // SAFETY: only `code` and `cache` can make a `TrustedCode`, of bytes that wasmtime itself serialised.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
