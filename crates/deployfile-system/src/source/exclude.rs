//! Globs of paths that are left out of a source directory.

use super::error::SourceError;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Globs that one source may have.
const MAX_GLOBS: usize = 1024;

/// What is left out. `*` and `?` do not match `/`; `**` does. A directory that matches is left out with all in it.
pub(super) struct Exclude(GlobSet);

impl Exclude {
    /// Reads globs of relative paths.
    pub(super) fn new(globs: &[String]) -> Result<Self, SourceError> {
        if globs.len() > MAX_GLOBS {
            return Err(SourceError::TooLarge { what: format!("{MAX_GLOBS} exclude globs") });
        }
        let invalid = |glob: &str, why: String| SourceError::ExcludeInvalid { glob: glob.to_owned(), why };
        let mut builder = GlobSetBuilder::new();
        for text in globs {
            let relative = text.trim_end_matches('/');
            if relative.is_empty() || relative.starts_with('/') {
                return Err(invalid(text, "it must be relative to the source directory".to_owned()));
            }
            let glob = GlobBuilder::new(relative).literal_separator(true).backslash_escape(true).build();
            builder.add(glob.map_err(|error| invalid(text, error.kind().to_string()))?);
        }
        let set = builder.build().map_err(|error| invalid(&globs.join(" "), error.kind().to_string()))?;
        Ok(Self(set))
    }

    /// Whether this path is left out; of those above it that was asked before.
    pub(super) fn leaves_out(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        name == ".git" || self.0.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves_out(glob: &str, path: &str) -> bool {
        Exclude::new(&[glob.to_owned()]).unwrap().leaves_out(path)
    }

    #[test]
    fn globs_are_of_whole_relative_paths() {
        assert!(leaves_out("node_modules", "node_modules"));
        assert!(leaves_out("node_modules/", "node_modules"));
        assert!(!leaves_out("node_modules", "a/node_modules"));
        assert!(leaves_out("**/node_modules", "a/b/node_modules"));
        assert!(leaves_out("**/*.log", "x.log"));
        assert!(leaves_out("build/*.o", "build/a.o"));
        assert!(!leaves_out("build/*.o", "build/sub/a.o"));
        assert!(leaves_out("nothing", "sub/.git"));
    }

    #[test]
    fn globs_that_cannot_be_meant_are_refused() {
        for bad in ["/etc", "", "a[", "{a"] {
            assert!(Exclude::new(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
