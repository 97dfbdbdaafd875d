//! Write deployfile hooks in Rust.
//!
//! ```ignore
//! use deployfile_hook::{Answer, Result};
//! deployfile_hook::hook!(run);
//! fn run() -> Result<Answer> {
//!     Ok(Answer::proceed().summary("hello"))
//! }
//! ```
//!
//! What is here: the host's interfaces ([`context`], [`log`], [`files`], [`exec`], [`http`], [`secrets`], [`state`],
//! [`metrics`]), [`config`] as a type of yours, [`Answer`], and `?` on everything that the host may deny. A panic is
//! reported with its message and place. What is deliberately not here: anything that the host does not grant; a
//! denied call is an [`Error`] of kind [`ErrorKind::Denied`] whose hint is the missing `allow` line.
//!
//! Build with `cargo build --release --target wasm32-wasip2` and `crate-type = ["cdylib"]`.

// The generated code names this crate by its name.
extern crate self as deployfile_hook;

mod answer;
#[rustfmt::skip]
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    dead_code,
    reason = "written by plugins/bindgen from hook.wit, which documents it"
)]
pub mod bindings;
mod fail;
mod report;

pub use answer::Answer;
pub use bindings::deployfile::hook::types::{Error, ErrorKind, Mode, Phase};
pub use bindings::deployfile::hook::{context, exec, files, http, log, metrics, secrets, state};

/// What a hook's function and the host's calls return.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// What the generated code stands on.
#[doc(hidden)]
pub mod rt {
    pub use wit_bindgen::rt::*;
}

/// Makes `fn run() -> deployfile_hook::Result<Answer>` the hook of this component.
#[macro_export]
macro_rules! hook {
    ($run:path) => {
        #[doc(hidden)]
        struct DeployfileHook;
        impl $crate::bindings::Guest for DeployfileHook {
            fn run() -> Result<$crate::bindings::Outcome, $crate::bindings::Error> {
                $crate::started();
                let run: fn() -> $crate::Result<$crate::Answer> = $run;
                run().map(::core::convert::Into::into)
            }
        }
        $crate::bindings::export_hook!(DeployfileHook with_types_in $crate::bindings);
    };
}

/// Puts the manifest (a JSON file beside the source: name, version, requests with their reasons) into the component,
/// where `deployfile` finds it before anything runs.
#[macro_export]
macro_rules! manifest {
    ($path:literal) => {
        const _: () = {
            #[used]
            #[cfg_attr(target_arch = "wasm32", unsafe(link_section = "deployfile:manifest"))]
            static MANIFEST: [u8; include_bytes!($path).len()] = *include_bytes!($path);
        };
    };
}

/// The plugin's configuration, overlaid by the hook line's properties, as a type of yours. An unknown or missing
/// key is an error that names it, when the type says so (`#[serde(deny_unknown_fields)]`).
pub fn config<T: serde::de::DeserializeOwned>() -> Result<T> {
    serde_json::from_str(&context::config()).map_err(|error| Error {
        kind: ErrorKind::Config,
        message: format!("the configuration does not fit: {error}"),
        hint: Some("see the plugin's README for its settings".to_owned()),
        retry_after_ms: None,
    })
}

/// Called by [`hook!`] before the hook's own function.
#[doc(hidden)]
pub fn started() {
    report::panics();
}
