//! What may stand in a source: no path that climbs or hides a repository, no symlink that leads out of the tree.

use super::error::SourceError;
use super::line::escape;
use std::collections::{BTreeMap, BTreeSet};

/// Refuses a path that git would not check out, or that would stand where deployfile keeps its own files.
pub(crate) fn check_path(path: &str) -> Result<(), SourceError> {
    let refuse = |why| Err(SourceError::PathRefused { path: escape(path).into_owned(), why });
    if path.len() >= 4096 {
        return refuse("its path is longer than 4095 bytes");
    }
    for (depth, component) in path.split('/').enumerate() {
        match component {
            "" | "." | ".." => return refuse("its path is not a plain one"),
            c if c.eq_ignore_ascii_case(".git") => {
                return refuse("it is part of a git repository's own folder");
            }
            ".release" if depth == 0 => return refuse("deployfile keeps its own files in `.release`"),
            c if c.len() > 255 => return refuse("its name is longer than 255 bytes"),
            _ => {}
        }
    }
    Ok(())
}

/// The directories that sorted paths stand in. Refuses a path that stands there twice, or is a directory of another.
pub(crate) fn directories<'a>(
    paths: impl Iterator<Item = &'a str> + Clone,
) -> Result<BTreeSet<&'a str>, SourceError> {
    let mut directories = BTreeSet::new();
    let mut last = "";
    for path in paths.clone() {
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        if above != last {
            directories.extend(above.match_indices('/').map(|(at, _)| &above[..at]));
            directories.insert(above);
            last = above;
        }
    }
    directories.remove("");
    let mut before = None;
    for path in paths {
        if before == Some(path) || directories.contains(path) {
            let why =
                "a file or link with the same path, or with the path of its directory, stands there too";
            return Err(SourceError::PathRefused { path: escape(path).into_owned(), why });
        }
        before = Some(path);
    }
    Ok(directories)
}

/// Links that are followed before a chain of them is taken to go in a circle, as the kernel does
/// (path_resolution(7)).
const MAX_HOPS: usize = 40;

/// Refuses links that lead out of the tree, by themselves or by way of others.
pub(crate) fn check_links(links: &BTreeMap<&str, &str>) -> Result<(), SourceError> {
    for (path, target) in links {
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        let mut place: Vec<&str> = above.split('/').filter(|c| !c.is_empty()).collect();
        if !stays_inside(links, &mut place, target) {
            return Err(SourceError::LinkLeaves {
                path: escape(path).into_owned(),
                target: escape(target).into_owned(),
            });
        }
    }
    Ok(())
}

/// Walks `target` from `place` as the kernel would, with `links` as the only links of the tree.
fn stays_inside<'a>(links: &BTreeMap<&str, &'a str>, place: &mut Vec<&'a str>, target: &'a str) -> bool {
    let mut waiting = vec![target.split('/')];
    let mut hops = 0;
    if target.starts_with('/') {
        return false;
    }
    while let Some(components) = waiting.last_mut() {
        match components.next() {
            None => {
                waiting.pop();
            }
            Some("" | ".") => {}
            Some("..") => {
                if place.pop().is_none() {
                    return false;
                }
            }
            Some(name) => {
                place.push(name);
                if let Some(next) = links.get(place.join("/").as_str()) {
                    hops += 1;
                    if next.starts_with('/') {
                        return false;
                    }
                    if hops > MAX_HOPS {
                        return true;
                    }
                    place.pop();
                    waiting.push(next.split('/'));
                }
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(links: &[(&str, &str)]) -> bool {
        check_links(&links.iter().copied().collect()).is_err()
    }

    #[test]
    fn links_that_leave_are_told_from_links_that_stay() {
        assert!(!leaves(&[
            ("a", "b"),
            ("d/e", "../f"),
            ("d/x/y", "../../z/."),
            ("dangling", "nowhere/at/all")
        ]));
        assert!(leaves(&[("a", "/etc/passwd")]));
        assert!(leaves(&[("a", "..")]));
        assert!(leaves(&[("d/e", "../../f")]));
        assert!(leaves(&[("d/e", "x/../../../f")]));
        assert!(!leaves(&[("loop", "loop"), ("p", "q"), ("q", "p")]));
    }

    #[test]
    fn a_link_that_leaves_only_by_way_of_another_is_seen() {
        // As text `a/b/d/../../etc` is inside; `d` leads to the top, so it is not.
        assert!(leaves(&[("a/b/d", "../.."), ("a/b/x", "d/../../etc")]));
        assert!(!leaves(&[("a/b/d", "../.."), ("a/b/x", "d/etc")]));
    }

    #[test]
    fn paths_of_git_and_of_deployfile_are_refused() {
        for bad in ["../a", "a/../b", ".git/config", "sub/.GIT/x", ".release/tree", "", "a//b"] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
        for good in ["a", ".gitignore", ".gitmodules", "sub/.release/x", "new\nline", "-x", "ü"] {
            assert!(check_path(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn nothing_stands_beneath_a_file() {
        assert!(directories(["a", "a.b", "a/b"].into_iter()).is_err());
        assert!(directories(["a", "a"].into_iter()).is_err());
        let found = directories(["a.b", "a/b", "a/c/d/e", "b"].into_iter()).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "a/c", "a/c/d"]);
    }
}
