//! How the pure core reads files: it is handed a reader. Paths are relative to the main deployfile's folder.

use std::fmt;

/// Reads what a deployfile names. Implemented by the CLI (the real disk) and by tests (a map).
pub trait Files {
    /// The whole content of a file. An implementation need not read more than [`crate::MAX_FILE`] bytes and one.
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError>;
    /// The names of what is in a directory, in any order; `""` is the folder itself.
    fn list(&self, dir: &str) -> Result<Vec<String>, FileError>;
    /// Whether a path that stays in the folder leads out of it all the same, by a link. What is not there does not.
    fn leads_out(&self, path: &str) -> bool {
        let _ = path;
        false
    }
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
/// `None` when it leaves that folder. A file that stands outside, as the main file names it, has its own folder instead.
pub(crate) fn resolve(folder: &str, path: &str) -> Option<String> {
    let path = normal(folder, path);
    let of_outside =
        || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/') && !rest.starts_with("/.."));
    (!is_outside(&path) || (is_outside(folder) && of_outside())).then_some(path)
}

/// `path` as it stands in a file in `folder`, without `.`, and with `..` only at its beginning. It is absolute when it
/// was written so.
pub(crate) fn normal(folder: &str, path: &str) -> String {
    let from = if path.starts_with('/') { "" } else { folder };
    let is_absolute = path.starts_with('/') || from.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in from.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            // There is nothing above `/`.
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    if is_absolute { format!("/{}", parts.join("/")) } else { parts.join("/") }
}

/// Whether a path that [`normal`] gave leaves the main deployfile's folder.
pub(crate) fn is_outside(path: &str) -> bool {
    path.starts_with('/') || path == ".." || path.starts_with("../")
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
        assert_eq!(resolve("a", ".."), Some(String::new()));
        assert_eq!(resolve("", ".."), None);
    }

    #[test]
    fn a_file_outside_has_its_own_folder() {
        assert_eq!(resolve("../shared", "t/a.j2").as_deref(), Some("../shared/t/a.j2"));
        assert_eq!(resolve("../shared", "../shared/a.j2").as_deref(), Some("../shared/a.j2"));
        assert_eq!(resolve("../shared", "../sharedmore/a.j2"), None);
        assert_eq!(resolve("../..", "../a.j2"), None);
        assert_eq!(resolve("/etc/shop", "a.j2").as_deref(), Some("/etc/shop/a.j2"));
        assert_eq!(resolve("/etc/shop", "../a.j2"), None);
        assert_eq!(normal("..", "../../a"), "../../../a");
        assert_eq!(normal("/etc", "../../../a"), "/a");
        assert_eq!(normal("a/b", "/x/./y//z/.."), "/x/y");
    }

    #[test]
    fn globs() {
        assert!(matches("*.kdl", "a.kdl") && matches("a*c?", "abbcd") && matches("*", ""));
        assert!(!matches("*.kdl", "a.kdl~") && !matches("?", "") && !matches("a*b", "ac"));
        assert!(!matches(&"*a".repeat(40), &"a".repeat(39)));
    }
}
