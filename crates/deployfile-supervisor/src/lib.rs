//! The builtin service manager: one supervisor process for each root, a tiny holder of listening sockets, and the shim
//! that a service starts as.
//!
//! ```text
//!  client ──unix socket──▶ supervise ROOT ──unix socket──▶ hold-sockets ROOT   (binds, keeps, hands over)
//!                              │ socketpair on stdin
//!                              ▼
//!                          run-service ──exec──▶ the service   (own process group, log file, LISTEN_FDS)
//! ```
//!
//! What is here: the three hidden verbs ([`supervise`], [`hold_sockets`], [`run_service`]), the [`Client`] that asks
//! the supervisor for things, and the line that starts it at boot ([`boot_lines`]). What is deliberately not here:
//! probing (whoever asks for a hand-over probes between its two phases), and what a unit says (`deployfile-record`).
//!
//! What holds, whoever is killed:
//!
//! - Services outlive the supervisor, and sockets outlive both. A supervisor that comes back takes up what runs by pid,
//!   start time and boot, and starts what is missing. SIGTERM only ends the supervisor; [`Client::shutdown`] stops the
//!   services first.
//! - No process slot runs twice: a shim starts nothing before its pid is durable in `services.json`, and ends when the
//!   supervisor dies before that.
//! - A listening socket is closed only when no service that is wanted declares it.
//!
//! The stop signal goes to the process that was started, and not to what it forked; when that process has ended, or its
//! time is over, the rest of its process group is killed. Processes that leave their process group (daemons that fork away) are not followed.

mod ask;
mod binary;
mod boot;
mod client;
mod detach;
mod drain;
mod generation;
mod holder;
mod identity;
mod inherited;
mod keeper;
mod layout;
mod listen;
mod logs;
mod place;
mod process;
mod protocol;

mod service;
mod shim;
mod slot;
mod sockets;
mod state;
mod steer;
mod supervise;
mod verb;
mod wire;

pub use ask::{MAX_ALL_PROCESSES, MAX_PROCESSES};
pub use boot::{BootLines, boot_lines};
pub use client::{Client, ClientError};
pub use holder::hold_sockets;
pub use listen::PROBED_ENDING;
pub use logs::{log_len, log_path, log_tail, log_tail_since};
pub use protocol::{Refusal, ServiceState, ServiceStatus};
pub use shim::run_service;
pub use steer::PROBE_TRAFFIC_CLASS;
pub use supervise::supervise;
