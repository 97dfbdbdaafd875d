//! The nouns of a deployment.
//!
//! What is here: ids, paths, units, places in source text, and [`Spec`], the resolved desired state of one
//! environment. What is deliberately not here: reading KDL (`deployfile-config`), filling look-ups
//! (`deployfile-render`), and anything that was observed or is to be done (`deployfile-record`).

pub mod address;
pub mod digest;
pub mod grant;
pub mod id;
pub mod path;
pub mod place;
pub mod probe;
pub mod secret;
pub mod service;
pub mod site;
pub mod spec;
pub mod stage;
pub mod text;
pub mod units;

pub use digest::Digest;
pub use grant::{Grant, Limits, Plugin};
pub use id::{BuildId, Name, ReleaseId, RunId};
pub use path::{HostPath, RelPath};
pub use place::Place;
pub use secret::{SecretProvider, SecretRef};
pub use service::{Manager, OnDeploy, Service};
pub use spec::{App, Connect, Host, Retention, ShareMode, Source, Spec};
pub use stage::{Phase, Stage};
pub use text::{EnvValue, Text};
