//! What one call's store holds: everything that the host functions of that call may reach.

use crate::area::{AreaError, Areas};
use crate::bindings::deployfile::hook::types::{Error, ErrorKind};
use crate::broker::{Broker, Denied};
use crate::facts::Facts;
use crate::limiter::Limiter;
use crate::voice::{Said, Voice};
use std::ffi::OsString;
use std::sync::Arc;
use tokio::sync::mpsc;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// The state of one call.
pub(crate) struct Guest {
    pub(crate) facts: Facts,
    /// Shared with requests that are under way: redirects ask it too.
    pub(crate) broker: Arc<Broker>,
    pub(crate) areas: Areas,
    pub(crate) voice: Voice,
    /// Lines of programs, which may come faster than they are told: bounded.
    pub(crate) lines: mpsc::Sender<Said>,
    pub(crate) limiter: Limiter,
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) helper: Option<Arc<[OsString]>>,
    pub(crate) user: Option<crate::Ids>,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Guest {
    /// Tells the operator and the plugin that a call was denied.
    pub(crate) fn denied(&self, denied: Denied) -> Error {
        self.voice.denied(&denied.what, &denied.allow);
        Error { hint: Some(denied.allow), ..error(ErrorKind::Denied, format!("denied: {}", denied.what)) }
    }
}

/// An error for the plugin.
pub(crate) fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into(), hint: None, retry_after_ms: None }
}

impl From<AreaError> for Error {
    fn from(e: AreaError) -> Self {
        match e {
            AreaError::NotFound(message) => error(ErrorKind::NotFound, message),
            AreaError::TooLarge(message) => error(ErrorKind::TooLarge, message),
            AreaError::Failed(message) => error(ErrorKind::Failed, message),
        }
    }
}
