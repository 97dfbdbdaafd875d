//! Finds the program of an argument list the way `execvp` would, but with a message that names where it looked.

use super::ProcessError;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The program's path: absolute as it is, relative to `directory` when it has a `/`, else the first match in the
/// `PATH` of `env` (relative entries count from `directory`, empty ones are skipped).
pub(super) fn find(
    argv: &[String],
    directory: &Path,
    env: &BTreeMap<String, String>,
) -> Result<PathBuf, ProcessError> {
    let name = argv.first().map_or("", String::as_str);
    let fail = |searched: String| ProcessError::NotFound { program: name.to_owned(), searched };
    if name.is_empty() {
        return Err(fail("the command is empty".to_owned()));
    }
    if name.contains('/') {
        let path = directory.join(name);
        return match seen(&path) {
            Seen::Program => Ok(path),
            Seen::NotExecutable => Err(fail(format!("{} is not an executable file", path.display()))),
            Seen::Nothing => Err(fail(format!("there is no file {}", path.display()))),
        };
    }
    let Some(search) = env.get("PATH").filter(|path| !path.is_empty()) else {
        return Err(fail("the command's environment has no PATH".to_owned()));
    };
    search
        .split(':')
        .filter(|entry| !entry.is_empty())
        .map(|entry| directory.join(entry).join(name))
        .find(|path| matches!(seen(path), Seen::Program))
        .ok_or_else(|| fail(format!("it is not in PATH ({search})")))
}

/// The first executable file of this name in the absolute entries of this process's `PATH`.
pub fn which(program: &str) -> Option<PathBuf> {
    in_path(program, &std::env::var("PATH").ok()?)
}

/// The first executable file of this name in the absolute entries of `path`.
pub(crate) fn in_path(program: &str, path: &str) -> Option<PathBuf> {
    let entries = path.split(':').filter(|entry| entry.starts_with('/'));
    entries.map(|entry| Path::new(entry).join(program)).find(|path| matches!(seen(path), Seen::Program))
}

enum Seen {
    Program,
    NotExecutable,
    Nothing,
}

fn seen(path: &Path) -> Seen {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => Seen::Program,
        Ok(_) => Seen::NotExecutable,
        Err(_) => Seen::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(program: &str, path: Option<&str>) -> Result<PathBuf, String> {
        let env = path.map(|p| ("PATH".to_owned(), p.to_owned())).into_iter().collect();
        find(&[program.to_owned()], Path::new("/"), &env).map_err(|e| e.to_string())
    }

    #[test]
    fn programs_are_found_as_execvp_would() {
        assert_eq!(search("sh", Some("/nowhere::/bin")).unwrap(), Path::new("/bin/sh"));
        assert_eq!(search("sh", Some("bin")).unwrap(), Path::new("/bin/sh"));
        assert_eq!(search("bin/sh", None).unwrap(), Path::new("/bin/sh"));
        assert_eq!(search("/bin/sh", None).unwrap(), Path::new("/bin/sh"));
    }

    #[test]
    fn which_looks_in_absolute_places_only() {
        assert_eq!(in_path("sh", "bin:/nowhere:/bin").unwrap(), Path::new("/bin/sh"));
        assert_eq!(in_path("sh", "bin:"), None);
        assert_eq!(in_path("passwd", "/etc"), None);
    }

    #[test]
    fn messages_say_where_it_was_looked_for() {
        let cases = [
            (
                search("sh", Some("/nowhere:/none")),
                "cannot find program `sh`: it is not in PATH (/nowhere:/none)",
            ),
            (search("sh", None), "cannot find program `sh`: the command's environment has no PATH"),
            (
                search("/etc/passwd", None),
                "cannot find program `/etc/passwd`: /etc/passwd is not an executable file",
            ),
            (search("no/such", None), "cannot find program `no/such`: there is no file /no/such"),
            (search("", None), "cannot find program ``: the command is empty"),
        ];
        for (got, expected) in cases {
            assert_eq!(got.unwrap_err(), expected);
        }
        assert!(find(&[], Path::new("/"), &BTreeMap::new()).is_err());
    }
}
