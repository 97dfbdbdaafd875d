//! Paths as hooks and grants write them: `release:public/x`, `shared:`, `state:`.

use deployfile_model::RelPath;
use std::fmt;

/// What a path is beneath.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    /// The release that the run makes or goes to.
    Release,
    /// `shared/`.
    Shared,
    /// The plugin's own folder for this environment.
    State,
}

/// A path beneath an area; `None` is the area itself. It cannot climb: [`RelPath`] refuses that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePath {
    pub(crate) area: Area,
    pub(crate) rel: Option<RelPath>,
}

impl FilePath {
    /// Reads; the error is a lowercase fragment.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(200).collect::<String>().escape_debug().to_string();
        let Some((area, rest)) = text.split_once(':') else {
            return Err(format!("path `{shown}` must start with `release:`, `shared:` or `state:`"));
        };
        let area = match area {
            "release" => Area::Release,
            "shared" => Area::Shared,
            "state" => Area::State,
            _ => return Err(format!("path `{shown}` must start with `release:`, `shared:` or `state:`")),
        };
        let rel = match rest {
            "" => None,
            rest => Some(RelPath::new(rest).map_err(|error| error.to_string())?),
        };
        Ok(Self { area, rel })
    }

    /// Whether `other` is this, or beneath it.
    pub(crate) fn covers(&self, other: &FilePath) -> bool {
        if self.area != other.area {
            return false;
        }
        match (&self.rel, &other.rel) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ours), Some(theirs)) => {
                let mut theirs = theirs.components();
                ours.components().all(|part| theirs.next() == Some(part))
            }
        }
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let area = match self.area {
            Area::Release => "release",
            Area::Shared => "shared",
            Area::State => "state",
        };
        write!(f, "{area}:{}", self.rel.as_ref().map_or("", RelPath::as_str))
    }
}
