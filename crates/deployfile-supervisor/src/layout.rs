//! Where things stand beneath a root.

use deployfile_disk::{Dir, DiskError};
use deployfile_model::{HostPath, Name, RelPath};

/// The supervisor's own directory: mode 0700.
pub(crate) const SUPERVISOR: &str = ".deployfile/supervisor";
/// Logs of the services: mode 0750.
pub(crate) const LOGS: &str = ".deployfile/log";
/// Copies of the binary.
pub(crate) const BINARIES: &str = ".deployfile/bin";
/// In [`SUPERVISOR`]: the socket that clients connect to.
pub(crate) const SOCKET: &str = "socket";
/// In [`SUPERVISOR`]: the socket that the supervisor reaches the holder by.
pub(crate) const HOLDER_SOCKET: &str = "holder";
/// In [`SUPERVISOR`]: what the supervisor has to say for itself.
pub(crate) const OWN_LOG: &str = "log";

/// A path that is written in this program, or made of checked names.
pub(crate) fn rel(path: impl Into<String>) -> Result<RelPath, DiskError> {
    let path = path.into();
    RelPath::new(path.clone()).map_err(|why| DiskError::Call {
        verb: "use",
        path,
        source: std::io::Error::new(std::io::ErrorKind::InvalidInput, why.to_string()),
    })
}

/// The file name of a service's log.
pub(crate) fn log_name(service: &Name) -> Result<RelPath, DiskError> {
    rel(format!("{service}.log"))
}

/// The supervisor's directory, made when it is missing.
pub(crate) fn make_supervisor_dir(root: &Dir) -> Result<Dir, DiskError> {
    make(root, SUPERVISOR, 0o700)
}

/// The directory of the logs, made when it is missing.
pub(crate) fn make_log_dir(root: &Dir) -> Result<Dir, DiskError> {
    make(root, LOGS, 0o750)
}

/// The supervisor's directory; `None` when no supervisor ever ran here.
pub(crate) fn supervisor_dir(root: &HostPath) -> Result<Option<Dir>, DiskError> {
    let opened = Dir::open_root(root).and_then(|root| root.open_dir(&rel(SUPERVISOR)?));
    match opened {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn make(root: &Dir, path: &str, mode: u32) -> Result<Dir, DiskError> {
    let path = rel(path)?;
    if let Some(parent) = path.parent() {
        root.create_dir_all(&parent, 0o755)?;
    }
    root.create_dir(&path, mode)?;
    root.open_dir(&path)
}
