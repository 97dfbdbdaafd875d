//! Why a release cannot be sealed, read or removed.

use deployfile_disk::DiskError;
use deployfile_model::ReleaseId;
use deployfile_record::{Failure, FailureKind};
use std::fmt;

/// Why a release cannot be sealed, read or removed.
#[derive(Debug)]
pub enum ReleaseError {
    /// It is not there.
    Missing {
        /// The release.
        release: ReleaseId,
    },
    /// It has no manifest: it was never finished.
    NotSealed {
        /// The directory.
        release: String,
    },
    /// What it keeps of itself cannot be read.
    Damaged {
        /// The file.
        path: String,
        /// What is wrong, as a fragment.
        why: String,
    },
    /// A newer deployfile wrote it.
    Format {
        /// The file.
        path: String,
        /// Its format.
        format: u32,
    },
    /// A socket, pipe or device stands in a release that is to be sealed.
    Special {
        /// Its path in the release, escaped.
        path: String,
    },
    /// A step wrote into a file that the release shares with another.
    SharedWrite {
        /// Its path in the release, escaped.
        path: String,
        /// The release that it is shared with.
        with: ReleaseId,
        /// What was done to it, as a fragment.
        what: &'static str,
    },
    /// Somebody wrote into the release while it was sealed.
    Disturbed {
        /// The path in the release, escaped.
        path: String,
        /// What happened there, as a fragment.
        why: &'static str,
    },
    /// The machine was started again after the release was filled, and before it was durable.
    Restarted {
        /// The release.
        release: ReleaseId,
    },
    /// A file that was to hold a secret is not there.
    SecretMissing {
        /// Its path in the release.
        path: String,
    },
    /// Another user owns its folder, so it is not removed.
    NotOurs {
        /// The release.
        release: ReleaseId,
        /// Its folder.
        path: String,
        /// Who owns it.
        owner: u32,
    },
    /// Someone asked to stop.
    Interrupted,
    /// A file call failed.
    Disk(DiskError),
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { release } => write!(f, "cannot open release {release}: it is not there"),
            Self::NotSealed { release } => write!(f, "cannot use release `{release}`: it is not sealed"),
            Self::Damaged { path, why } => write!(f, "cannot read `{path}`: {why}"),
            Self::Format { path, format } => {
                write!(f, "cannot read `{path}`: it has format {format}, which is newer than this deployfile")
            }
            Self::Special { path } => {
                write!(f, "cannot seal `{path}`: it is a socket, pipe or device")
            }
            Self::SharedWrite { path, with, what } => {
                write!(f, "cannot seal `{path}`: a step {what}, and the file is shared with release {with}")
            }
            Self::Disturbed { path, why } => {
                write!(f, "cannot seal `{path}`: it {why} while the release was sealed")
            }
            Self::Restarted { release } => write!(
                f,
                "cannot seal release {release}: the machine was started again while it was made, so files of it may be lost"
            ),
            Self::SecretMissing { path } => write!(f, "cannot seal `{path}`: the file is not there"),
            Self::NotOurs { release, path, owner } => {
                write!(f, "release {release} is kept: {path} belongs to another user (uid {owner})")
            }
            Self::Interrupted => f.write_str("stopped while the release was sealed"),
            Self::Disk(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReleaseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk(error) => error.source(),
            _ => None,
        }
    }
}

impl From<DiskError> for ReleaseError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl ReleaseError {
    /// The code that `deployfile explain` knows.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "release::missing",
            Self::NotSealed { .. } => "release::not-sealed",
            Self::Damaged { .. } => super::DAMAGED,
            Self::Format { .. } => "release::format",
            Self::Special { .. } => "seal::special-file",
            Self::SharedWrite { .. } => "seal::shared-write",
            Self::Disturbed { .. } => "seal::disturbed",
            Self::Restarted { .. } => "seal::restarted",
            Self::SecretMissing { .. } => "seal::secret-missing",
            Self::NotOurs { .. } => "prune::not-ours",
            Self::Interrupted => "seal::interrupted",
            Self::Disk(error) if error.is_no_space() => "release::no-space",
            Self::Disk(_) => "release::disk",
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Missing { .. } => "`deployfile releases` lists those that are there".to_owned(),
            Self::NotSealed { .. } => "`deployfile resume` finishes it, or apply again".to_owned(),
            Self::Damaged { .. } => "it cannot be trusted any more: go back with `deployfile rollback`, or to another one with `--to ID` (`deployfile releases`)".to_owned(),
            Self::Format { .. } => "use the newer deployfile".to_owned(),
            Self::Special { .. } => "let the step that made it put it under `shared` or remove it".to_owned(),
            Self::SharedWrite { with, .. } => format!(
                "release {with} was changed by it too: apply with `share copy`, or let the step write a new file and rename it"
            ),
            Self::Disturbed { .. } => "find out who else writes beneath the root, then resume".to_owned(),
            Self::Disk(error) if error.is_no_space() => {
                "free some space (`deployfile clean`), then resume".to_owned()
            }
            Self::NotOurs { path, .. } => format!("remove it as its owner: rm -r {path}"),
            Self::Restarted { .. } => "deployfile resume makes it anew; what is served did not change".to_owned(),
            Self::SecretMissing { .. } | Self::Interrupted | Self::Disk(_) => return None,
        })
    }
}

impl From<ReleaseError> for Failure {
    fn from(error: ReleaseError) -> Self {
        let mut failure = Failure::from_error(error.code(), &error);
        if matches!(error, ReleaseError::Interrupted) {
            failure.kind = FailureKind::Interrupted;
        }
        failure.help = error.help();
        failure
    }
}
