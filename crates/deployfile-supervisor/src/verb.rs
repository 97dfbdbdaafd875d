//! What the two processes that stay have in common: why they end, and how they say so.

use crate::layout;
use deployfile_disk::{DiskError, LockError, LockNote};
use deployfile_model::units::UnixTime;
use std::error::Error;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a supervisor or holder cannot do its work.
#[derive(Debug)]
pub(crate) enum VerbError {
    /// A file cannot be read or written.
    Disk(DiskError),
    /// The lock cannot be taken, for another reason than that somebody has it.
    Lock(LockError),
    /// The process cannot be set up, or its sockets fail.
    Process(io::Error),
    /// What was recorded cannot be understood.
    Record {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The holder cannot be reached.
    Sockets(crate::sockets::SocketError),
}

impl fmt::Display for VerbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(f),
            Self::Lock(error) => error.fmt(f),
            Self::Process(_) => f.write_str("cannot set up the process"),
            Self::Record { path, why } => write!(
                f,
                "cannot read `{path}`: {why}; services are started from it, so nothing was started. Move the file \
                 away and deploy again (processes that it names keep running and have to be stopped by hand)"
            ),
            Self::Sockets(error) => error.fmt(f),
        }
    }
}

impl Error for VerbError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Disk(error) => error.source(),
            Self::Lock(error) => error.source(),
            Self::Process(error) => Some(error),
            Self::Record { .. } | Self::Sockets(_) => None,
        }
    }
}

impl From<DiskError> for VerbError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}
impl From<LockError> for VerbError {
    fn from(error: LockError) -> Self {
        Self::Lock(error)
    }
}
impl From<io::Error> for VerbError {
    fn from(error: io::Error) -> Self {
        Self::Process(error)
    }
}

/// Says on stderr why a verb ended: whoever started it reads that, and later it is the supervisor's own log.
pub(crate) fn exit_code(verb: &str, ended: Result<(), VerbError>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("{verb}: {}", with_source(&error)));
            ExitCode::FAILURE
        }
    }
}

/// An error with what caused it, on one line.
pub(crate) fn with_source(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// One line on stderr.
pub(crate) fn note(text: &str) {
    // There is nobody to tell that nobody can be told.
    let _written = writeln!(io::stderr(), "{text}");
}

/// The wall clock. Only shown, never decided by.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The note in a lock of ours.
pub(crate) fn lock_note() -> LockNote {
    LockNote {
        who: format!("uid {}", rustix::process::geteuid().as_raw()),
        from: layout::SUPERVISOR.to_owned(),
        since: now(),
        run: None,
        pid: std::process::id(),
    }
}
