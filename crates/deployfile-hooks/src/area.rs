//! The three places where hooks find files, resolved beneath their handles: nothing climbs, no link is followed.

use crate::broker::path::{Area, FilePath};
use deployfile_disk::{Dir, DiskError, Kind};
use deployfile_model::{Name, RelPath, ReleaseId};
use std::os::unix::fs::FileExt as _;

/// Bytes of one read or write.
pub(crate) const FILE_MAX: u64 = 8 << 20;
/// Entries of one listing.
const ENTRIES_MAX: usize = 100_000;
/// Bytes that a plugin's `state:` folder may hold.
const QUOTA_BYTES: u64 = 8 << 20;
/// Files that it may hold.
const QUOTA_FILES: usize = 1_000;

/// The places of one call.
pub(crate) struct Areas {
    pub(crate) root: Option<Dir>,
    pub(crate) release: Option<ReleaseId>,
    pub(crate) plugin: Name,
    pub(crate) environment: Name,
}

/// Why a file cannot be used.
#[derive(Debug)]
pub(crate) enum AreaError {
    /// There is no such file.
    NotFound(String),
    /// It is more than a limit.
    TooLarge(String),
    /// The system, or what stands there, says no.
    Failed(String),
}

impl From<DiskError> for AreaError {
    fn from(error: DiskError) -> Self {
        let mut message = error.to_string();
        if let Some(cause) = std::error::Error::source(&error) {
            message = format!("{message}: {cause}");
        }
        match error {
            DiskError::TooLarge { .. } => Self::TooLarge(message),
            _ if error.is_not_found() => Self::NotFound(message),
            _ => Self::Failed(message),
        }
    }
}

/// A name in a directory.
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
}

impl Areas {
    /// Up to `max` bytes from `offset`.
    pub(crate) fn read(&self, path: &FilePath, offset: u64, max: u64) -> Result<Vec<u8>, AreaError> {
        let (dir, rel) = self.file(path)?;
        let file = dir.open_read(rel)?;
        let max = usize::try_from(max.min(FILE_MAX)).unwrap_or(0);
        let mut bytes = Vec::new();
        let mut chunk = vec![0; max.min(256 << 10)];
        while bytes.len() < max {
            let room = chunk.len().min(max - bytes.len());
            let read = file
                .read_at(&mut chunk[..room], offset.saturating_add(bytes.len() as u64))
                .map_err(|error| AreaError::Failed(format!("cannot read `{path}`: {error}")))?;
            if read == 0 {
                break;
            }
            bytes.extend_from_slice(&chunk[..read]);
        }
        Ok(bytes)
    }

    /// Puts `bytes` in the place of what was there, durably; directories above it are made.
    pub(crate) fn write(&self, path: &FilePath, bytes: &[u8]) -> Result<(), AreaError> {
        if bytes.len() as u64 > FILE_MAX {
            return Err(AreaError::TooLarge(format!("cannot write `{path}`: more than 8 MiB at once")));
        }
        if path.area == Area::State {
            self.make_state()?;
            self.check_quota(path, bytes.len() as u64)?;
        }
        let (dir, rel) = self.file(path)?;
        if let Some(parent) = rel.parent() {
            dir.create_dir_all(&parent, 0o755)?;
        }
        let mode = match dir.stat(rel)? {
            Some(stat) if stat.kind == Kind::File => stat.mode & 0o777,
            Some(stat) if stat.kind != Kind::Symlink => {
                return Err(AreaError::Failed(format!("cannot write `{path}`: it is a {}", stat.kind)));
            }
            Some(_) => return Err(AreaError::Failed(format!("cannot write `{path}`: it is a symlink"))),
            None => 0o644,
        };
        Ok(dir.replace(rel, bytes, mode)?)
    }

    /// What stands in a directory, sorted by name.
    pub(crate) fn entries(&self, path: &FilePath) -> Result<Vec<Listed>, AreaError> {
        let base = self.dir(path.area)?;
        let dir = match &path.rel {
            Some(rel) => base.open_dir(rel)?,
            None => base,
        };
        let entries = dir.entries()?;
        if entries.len() > ENTRIES_MAX {
            let message = format!("cannot list `{path}`: it has more than {ENTRIES_MAX} entries");
            return Err(AreaError::TooLarge(message));
        }
        let mut listed = Vec::with_capacity(entries.len());
        for entry in entries {
            // A name that is not UTF-8 is listed with what is not replaced; no call can open it.
            let name = entry.name.to_string_lossy().into_owned();
            let size = match RelPath::new(name.as_str()) {
                Ok(rel) if entry.kind == Kind::File => dir.stat(&rel)?.map_or(0, |stat| stat.size),
                Ok(_) | Err(_) => 0,
            };
            listed.push(Listed { name, kind: entry.kind, size });
        }
        Ok(listed)
    }

    /// Removes a file, or a symlink itself.
    pub(crate) fn remove(&self, path: &FilePath) -> Result<(), AreaError> {
        let (dir, rel) = self.file(path)?;
        if dir.remove_file(rel)? {
            return Ok(());
        }
        Err(AreaError::NotFound(format!("cannot remove `{path}`: it does not exist")))
    }

    /// `<root>/.deployfile/state/<plugin>`, where the scopes are too; made when it is missing.
    pub(crate) fn state_home(&self) -> Result<Dir, AreaError> {
        let rel = RelPath::new(format!(".deployfile/state/{}", self.plugin)).map_err(invalid)?;
        let root = self.root()?;
        root.create_dir_all(&rel, 0o700)?;
        Ok(root.open_dir(&rel)?)
    }

    pub(crate) fn dir(&self, area: Area) -> Result<Dir, AreaError> {
        let rel = match (area, &self.release) {
            (Area::Release, None) => {
                return Err(AreaError::NotFound("this run has no target release".to_owned()));
            }
            (Area::Release, Some(id)) => format!("releases/{id}"),
            (Area::Shared, _) => "shared".to_owned(),
            (Area::State, _) => format!(".deployfile/state/{}/files-{}", self.plugin, self.environment),
        };
        Ok(self.root()?.open_dir(&RelPath::new(rel).map_err(invalid)?)?)
    }

    fn file<'p>(&self, path: &'p FilePath) -> Result<(Dir, &'p RelPath), AreaError> {
        match &path.rel {
            Some(rel) => Ok((self.dir(path.area)?, rel)),
            None => Err(AreaError::Failed(format!("`{path}` is a directory"))),
        }
    }

    fn root(&self) -> Result<&Dir, AreaError> {
        self.root.as_ref().ok_or_else(|| AreaError::NotFound("the root does not exist yet".to_owned()))
    }

    fn make_state(&self) -> Result<(), AreaError> {
        let rel = RelPath::new(format!("files-{}", self.environment)).map_err(invalid)?;
        self.state_home()?.create_dir(&rel, 0o700)?;
        Ok(())
    }

    fn check_quota(&self, path: &FilePath, adds: u64) -> Result<(), AreaError> {
        let mut used = 0;
        let mut files = 0;
        let mut left = vec![self.dir(Area::State)?];
        while let Some(dir) = left.pop() {
            for entry in dir.entries()? {
                let Ok(rel) = RelPath::new(entry.name.to_string_lossy()) else { continue };
                match entry.kind {
                    Kind::Dir => left.push(dir.open_dir(&rel)?),
                    _ => {
                        files += 1;
                        used += dir.stat(&rel)?.map_or(0, |stat| stat.size);
                    }
                }
            }
        }
        if used.saturating_add(adds) > QUOTA_BYTES || files >= QUOTA_FILES {
            let message = format!(
                "cannot write `{path}`: a plugin keeps at most 8 MiB in {QUOTA_FILES} files beneath `state:`"
            );
            return Err(AreaError::TooLarge(message));
        }
        Ok(())
    }
}

fn invalid(error: impl std::fmt::Display) -> AreaError {
    AreaError::Failed(error.to_string())
}
