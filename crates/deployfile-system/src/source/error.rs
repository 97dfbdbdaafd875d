//! Why a source cannot be looked at or fetched.

use deployfile_disk::DiskError;
use deployfile_record::Failure;
use std::fmt;

/// Why a source cannot be looked at or fetched. Messages never hold a password of a URL.
#[derive(Debug)]
pub enum SourceError {
    /// There is no `git` program.
    GitMissing,
    /// The URL is none that deployfile gives to git.
    UrlRefused {
        /// The URL, without its password.
        url: String,
        /// Why, as a fragment.
        why: &'static str,
    },
    /// The text cannot be a branch, tag or commit.
    ReferenceInvalid {
        /// As given.
        reference: String,
        /// Why, as a fragment.
        why: &'static str,
    },
    /// A branch and a tag have this name and are not the same commit.
    ReferenceAmbiguous {
        /// As given.
        reference: String,
    },
    /// The repository has no such branch, tag or commit.
    ReferenceNotFound {
        /// As given.
        reference: String,
        /// The repository.
        url: String,
        /// Branches and tags with a name much like it, best first.
        near: Vec<String>,
    },
    /// A commit that was planned is not in the repository (any more).
    CommitNotFound {
        /// Its id.
        commit: String,
        /// The repository.
        url: String,
        /// What git said last.
        output: Vec<String>,
    },
    /// A git command that talks to a repository failed.
    Git {
        /// What was tried, as `cannot …` continues.
        verb: &'static str,
        /// The repository.
        url: String,
        /// What kind of failure, as far as git's words tell.
        trouble: Trouble,
        /// What git said last.
        output: Vec<String>,
    },
    /// git answered something that cannot be read.
    GitAnswer {
        /// What was asked.
        verb: &'static str,
        /// What is wrong with the answer.
        why: String,
    },
    /// A program cannot be started or talked to.
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The directory is not there, or is no directory.
    DirMissing {
        /// The directory.
        path: String,
        /// What it is instead, if it is anything.
        found: Option<&'static str>,
    },
    /// The source directory and the root are one inside the other.
    Overlaps {
        /// The source directory.
        path: String,
        /// The root.
        root: String,
    },
    /// A glob of `exclude` cannot be read.
    ExcludeInvalid {
        /// The glob.
        glob: String,
        /// Why.
        why: String,
    },
    /// An entry of the source must not stand in a release.
    PathRefused {
        /// Its path in the source, escaped.
        path: String,
        /// Why, as a fragment.
        why: &'static str,
    },
    /// A symlink of the source leads out of it.
    LinkLeaves {
        /// Its path in the source, escaped.
        path: String,
        /// Where it leads, escaped.
        target: String,
    },
    /// A submodule cannot be found in `.gitmodules`.
    Submodule {
        /// Its path.
        path: String,
        /// Why, as a fragment.
        why: String,
    },
    /// The source holds more than the limit.
    TooLarge {
        /// What there is too much of, with its limit and unit.
        what: String,
    },
    /// What was copied is not what was planned.
    Changed {
        /// The source directory.
        path: String,
        /// The tree digest of the plan.
        planned: String,
        /// The tree digest of what is there now.
        found: String,
    },
    /// Somebody else writes in the release while it is filled.
    Disturbed {
        /// The path in the release, escaped.
        path: String,
        /// What is wrong there, as a fragment.
        why: &'static str,
    },
    /// Someone asked to stop.
    Interrupted,
    /// A file call failed.
    Disk(DiskError),
}

/// What kind of trouble git had, told from its messages (`LC_ALL=C`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// There is no repository there.
    NotFound,
    /// Whoever runs may not read it.
    Auth,
    /// The host cannot be reached.
    Unreachable,
    /// git distrusts a repository that belongs to another user.
    Ownership,
    /// It took longer than this many seconds.
    Timeout(u64),
    /// Anything else.
    Other,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GitMissing => f.write_str("cannot run `git`: it is not installed"),
            Self::UrlRefused { url, why } => {
                write!(f, "cannot use git URL `{}`: {why}", url.escape_debug())
            }
            Self::ReferenceInvalid { reference, why } => {
                write!(f, "cannot use `{}` as a git reference: {why}", reference.escape_debug())
            }
            Self::ReferenceAmbiguous { reference } => {
                write!(f, "cannot choose `{reference}`: a branch and a tag have that name, and differ")
            }
            Self::ReferenceNotFound { reference, url, .. } => {
                write!(f, "cannot find `{reference}` in `{url}`: no branch, tag or commit has that name")
            }
            Self::CommitNotFound { commit, url, .. } => {
                write!(f, "cannot fetch commit {commit} from `{url}`: it is not there")
            }
            Self::Git { verb, url, trouble, .. } => write!(f, "cannot {verb} `{url}`: {trouble}"),
            Self::GitAnswer { verb, why } => write!(f, "cannot {verb}: {why}"),
            Self::Io { verb, what, .. } => write!(f, "cannot {verb} `{what}`"),
            Self::DirMissing { path, found: None } => {
                write!(f, "cannot read source directory `{path}`: it does not exist")
            }
            Self::DirMissing { path, found: Some(found) } => {
                write!(f, "cannot read source directory `{path}`: it is a {found}")
            }
            Self::Overlaps { path, root } => {
                write!(
                    f,
                    "cannot take source directory `{path}`: it and the root `{root}` are one inside the other"
                )
            }
            Self::ExcludeInvalid { glob, why } => {
                write!(f, "cannot read exclude glob `{}`: {why}", glob.escape_debug())
            }
            Self::PathRefused { path, why } => write!(f, "cannot take `{path}` from the source: {why}"),
            Self::LinkLeaves { path, target } => {
                write!(
                    f,
                    "cannot take symlink `{path}` from the source: its target `{target}` is outside of the source"
                )
            }
            Self::Submodule { path, why } => write!(f, "cannot fetch submodule `{path}`: {why}"),
            Self::TooLarge { what } => write!(f, "cannot take in the source: it has more than {what}"),
            Self::Changed { path, .. } => {
                write!(f, "cannot copy source directory `{path}`: the source changed while it was read")
            }
            Self::Disturbed { path, why } => write!(f, "cannot fill the release: `{path}` {why}"),
            Self::Interrupted => f.write_str("stopped while the source was fetched"),
            Self::Disk(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no git repository"),
            Self::Auth => f.write_str("access was denied"),
            Self::Unreachable => f.write_str("its host cannot be reached"),
            Self::Ownership => f.write_str("it belongs to another user, and git does not trust it"),
            Self::Timeout(seconds) => write!(f, "git did not finish within {seconds} s"),
            Self::Other => f.write_str("git failed"),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Disk(error) => error.source(),
            _ => None,
        }
    }
}

impl From<DiskError> for SourceError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl SourceError {
    /// The code that `deployfile explain` knows.
    pub fn code(&self) -> &'static str {
        match self {
            Self::GitMissing => "source::git-missing",
            Self::UrlRefused { .. } => "source::url-refused",
            Self::ReferenceInvalid { .. } => "source::ref-invalid",
            Self::ReferenceAmbiguous { .. } => "source::ref-ambiguous",
            Self::ReferenceNotFound { .. } => "source::ref-not-found",
            Self::CommitNotFound { .. } => "source::commit-not-found",
            Self::Git { trouble, .. } => trouble.code(),
            Self::GitAnswer { .. } => "source::git-answer",
            Self::Io { .. } => "source::io",
            Self::DirMissing { .. } => "source::dir-missing",
            Self::Overlaps { .. } => "source::overlaps-root",
            Self::ExcludeInvalid { .. } => "source::exclude-invalid",
            Self::PathRefused { .. } => "source::path-refused",
            Self::LinkLeaves { .. } => "source::symlink-leaves",
            Self::Submodule { .. } => "source::submodule",
            Self::TooLarge { .. } => "source::too-large",
            Self::Changed { .. } => "source::changed",
            Self::Disturbed { .. } => "source::disturbed",
            Self::Interrupted => "source::interrupted",
            Self::Disk(error) if error.is_no_space() => "source::no-space",
            Self::Disk(_) => "source::disk",
        }
    }

    /// What to do.
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::GitMissing => "install git on this machine, for example `apt-get install git`".to_owned(),
            Self::UrlRefused { .. } => {
                "use a local path, file://, ssh://, https:// or user@host:path".to_owned()
            }
            Self::ReferenceInvalid { .. } => "name a branch, a tag or a commit id".to_owned(),
            Self::ReferenceAmbiguous { reference } => {
                format!("write `refs/heads/{reference}` or `refs/tags/{reference}`")
            }
            Self::ReferenceNotFound { near, .. } => match near.as_slice() {
                [] => "push it first, or name another branch, tag or full commit id".to_owned(),
                near => format!("did you mean `{}`?", near.join("`, `")),
            },
            Self::CommitNotFound { .. } => {
                "it may have been removed by a forced push; plan again from what is there now".to_owned()
            }
            Self::Git { trouble, url, .. } => return trouble.help(url),
            Self::DirMissing { .. } => {
                "a relative path is taken from the folder of the deployfile that names it".to_owned()
            }
            Self::Overlaps { .. } => {
                "put the root outside of the source directory, or add it to `exclude`".to_owned()
            }
            Self::PathRefused { .. } => "remove or rename it in the source, or add it to `exclude`".to_owned(),
            Self::LinkLeaves { .. } => {
                "let it lead to a path inside of the source; for data outside of releases use `shared` or `link`"
                    .to_owned()
            }
            Self::Changed { planned, found, .. } => {
                format!("nothing was switched; apply again when nobody writes there (planned {planned}, found {found})")
            }
            Self::Disturbed { .. } => "find out who else writes beneath the root, then resume".to_owned(),
            Self::Disk(error) if error.is_no_space() => {
                "free some space (`deployfile clean`), then resume".to_owned()
            }
            _ => return None,
        })
    }
}

impl Trouble {
    fn code(self) -> &'static str {
        match self {
            Self::NotFound => "source::repository-not-found",
            Self::Auth => "source::access-denied",
            Self::Unreachable => "source::unreachable",
            Self::Ownership => "source::ownership",
            Self::Timeout(_) => "source::timeout",
            Self::Other => "source::git-failed",
        }
    }

    fn help(self, url: &str) -> Option<String> {
        Some(match self {
            Self::NotFound => "check the path or URL of `source git`".to_owned(),
            Self::Auth => {
                "deployfile never asks for a password: set up an SSH key (agent) or a git credential helper for whoever runs it"
                    .to_owned()
            }
            Self::Unreachable => "check the network and the host's name, then try again".to_owned(),
            Self::Ownership => format!("if you trust it: git config --global --add safe.directory '{url}'"),
            Self::Timeout(_) => "check the network; what was fetched completely is kept".to_owned(),
            Self::Other => return None,
        })
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        use SourceError as E;
        let mut failure = Failure::from_error(error.code(), &error);
        failure.kind = match &error {
            E::Interrupted => deployfile_record::FailureKind::Interrupted,
            E::Git { trouble: Trouble::Unreachable | Trouble::Timeout(_) | Trouble::Other, .. }
            | E::Io { .. }
            | E::Changed { .. }
            | E::Disturbed { .. }
            | E::Disk(_) => deployfile_record::FailureKind::Failed,
            _ => deployfile_record::FailureKind::Refused,
        };
        failure.help = error.help();
        if let E::Git { output, .. } | E::CommitNotFound { output, .. } = error {
            failure.output = output;
        }
        failure
    }
}
