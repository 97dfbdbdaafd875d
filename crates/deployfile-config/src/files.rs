//! How the pure core reads files: it is handed a reader. Paths are relative to the main deployfile's folder.

use std::fmt;

/// Reads what a deployfile names. Implemented by the CLI (the real disk) and by tests (a map).
pub trait Files {
    /// The whole content of a file. An implementation need not read more than [`crate::MAX_FILE`] bytes and one.
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError>;
    /// The names of what is in a directory, in any order; `""` is the folder itself.
    fn list(&self, dir: &str) -> Result<Vec<String>, FileError>;
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileError {
    /// There is none.
    NotFound,
    /// The user who runs deployfile may not read it.
    Denied,
    /// It is a directory or something else that is no file.
    NotAFile,
    /// Anything else, as a lowercase fragment.
    Other(String),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileError::NotFound => "there is no such file",
            FileError::Denied => "permission denied",
            FileError::NotAFile => "it is not a file",
            FileError::Other(why) => why,
        })
    }
}
impl std::error::Error for FileError {}

/// `path` as it stands in a file in `folder`, relative to the main deployfile's folder and without `.` and `..`;
/// `None` when it is absolute or leaves that folder.
pub(crate) fn resolve(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The folder of a file, `""` for one beside the main deployfile.
pub(crate) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether `name` matches `pattern`, in which `*` stands for any characters and `?` for one.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go back to: the last star, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_folder() {
        assert_eq!(resolve("", "a/./b.kdl").as_deref(), Some("a/b.kdl"));
        assert_eq!(resolve("x", "../b.kdl").as_deref(), Some("b.kdl"));
        assert_eq!(resolve("x", "../../b.kdl"), None);
        assert_eq!(resolve("", "/b.kdl"), None);
    }

    #[test]
    fn globs() {
        assert!(matches("*.kdl", "a.kdl") && matches("a*c?", "abbcd") && matches("*", ""));
        assert!(!matches("*.kdl", "a.kdl~") && !matches("?", "") && !matches("a*b", "ac"));
        assert!(!matches(&"*a".repeat(40), &"a".repeat(39)));
    }
}
