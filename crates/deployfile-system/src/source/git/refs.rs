//! Which commit a reference names, told without fetching anything.

use super::super::error::SourceError;
use super::super::url::GitUrl;
use super::command::Git;
use super::{ASK_LIMIT, is_object_id};
use deployfile_exec::port::Stop;
use std::collections::BTreeMap;
use std::path::Path;

/// Names that are proposed for one that is not there.
const MAX_NEAR: usize = 3;

/// The commit that `reference` names in the repository: a branch, a tag, a full name (`refs/…`, `HEAD`) or a commit id.
pub(super) fn resolve(url: &GitUrl, reference: &str, stop: &Stop) -> Result<String, SourceError> {
    check_reference(reference)?;
    let (head, tag) = (format!("refs/heads/{reference}"), format!("refs/tags/{reference}"));
    let peeled = format!("{tag}^{{}}");
    let peeled_self = format!("{reference}^{{}}");
    let refs = list(url, &[&head, &tag, &peeled, reference, &peeled_self], stop)?;
    let full = refs.get(&peeled_self).or_else(|| refs.get(reference));
    let is_full = reference.starts_with("refs/") || reference == "HEAD";
    if let Some(commit) = full.filter(|_| is_full) {
        return Ok(commit.clone());
    }
    match (refs.get(&head), refs.get(&peeled).or_else(|| refs.get(&tag))) {
        (Some(branch), Some(tag)) if branch != tag => {
            Err(SourceError::ReferenceAmbiguous { reference: reference.to_owned() })
        }
        (Some(commit), _) | (None, Some(commit)) => Ok(commit.clone()),
        (None, None) => resolve_commit(url, reference, stop),
    }
}

/// What cannot be a name of git's (git-check-ref-format(1)) or would be read as an expression (gitrevisions(7)).
pub(super) fn check_reference(reference: &str) -> Result<(), SourceError> {
    let refuse = |why| Err(SourceError::ReferenceInvalid { reference: reference.to_owned(), why });
    if reference.is_empty() || reference.len() > 1024 {
        return refuse("it must have 1 to 1024 bytes");
    }
    if reference.starts_with('-') {
        return refuse("it starts with `-`, so git would take it for an option");
    }
    if let Some(c) = reference.chars().find(|c| c.is_control() || " ~^:?*[\\".contains(*c)) {
        return refuse(if c.is_control() {
            "it contains a control character"
        } else {
            "it contains one of ` ~^:?*[\\`"
        });
    }
    let is_misshapen = reference.contains("..")
        || reference.contains("@{")
        || reference == "@"
        || reference.ends_with(['/', '.'])
        || reference.split('/').any(|c| c.is_empty() || c.starts_with('.') || c.ends_with(".lock"));
    if is_misshapen { refuse("git allows no such name") } else { Ok(()) }
}

/// No branch or tag has the name: perhaps it is a commit id.
fn resolve_commit(url: &GitUrl, reference: &str, stop: &Stop) -> Result<String, SourceError> {
    let is_hex = reference.len() >= 7 && reference.bytes().all(|b| b.is_ascii_hexdigit());
    match url.local_path() {
        Some(path) if is_hex => {
            if let Some(commit) = rev_parse(url, Path::new(path), reference, stop)? {
                return Ok(commit);
            }
        }
        // Whether a remote has it shows when it is fetched: asking would be fetching.
        None if is_object_id(reference) => return Ok(reference.to_ascii_lowercase()),
        None if is_hex => {
            let why = "a remote repository is asked for whole commit ids only";
            return Err(SourceError::ReferenceInvalid { reference: reference.to_owned(), why });
        }
        _ => {}
    }
    let all = list(url, &["refs/heads/*", "refs/tags/*"], stop)?;
    let near = near_names(reference, all.keys().map(String::as_str));
    Err(SourceError::ReferenceNotFound { reference: reference.to_owned(), url: url.shown(), near })
}

fn rev_parse(url: &GitUrl, path: &Path, id: &str, stop: &Stop) -> Result<Option<String>, SourceError> {
    let git = Git { verb: "look for a commit in", url, within: Some(path), limit: ASK_LIMIT, stop };
    let object = format!("{id}^{{commit}}");
    let answer = git.ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &object])?;
    let commit = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    Ok((answer.is_success && is_object_id(&commit)).then_some(commit))
}

fn list(url: &GitUrl, patterns: &[&str], stop: &Stop) -> Result<BTreeMap<String, String>, SourceError> {
    let git = Git { verb: "list the references of", url, within: None, limit: ASK_LIMIT, stop };
    let mut args = vec!["ls-remote", "--end-of-options", url.as_str()];
    args.extend(patterns);
    let answer = git.run(&args)?;
    let unreadable = |why: &str| SourceError::GitAnswer { verb: git.verb, why: why.to_owned() };
    let text = String::from_utf8(answer).map_err(|_| unreadable("a name is not UTF-8"))?;
    text.lines()
        .map(|line| match line.split_once('\t') {
            Some((id, name)) if is_object_id(id) => Ok((name.to_owned(), id.to_owned())),
            _ => Err(unreadable("git ls-remote printed a line that is none of its own")),
        })
        .collect()
}

/// Branches and tags whose name is much like `wanted`, best first.
fn near_names<'a>(wanted: &str, refs: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names = refs.filter_map(|name| {
        let name = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/"))?;
        (!name.ends_with("^{}")).then_some(name)
    });
    let mut near: Vec<(usize, &str)> = names
        .map(|name| (strsim::levenshtein(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + wanted.len().max(name.len()) / 4)
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(MAX_NEAR).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_that_are_options_or_expressions_are_refused() {
        for bad in [
            "",
            "-x",
            "--upload-pack=x",
            "main~1",
            "main^",
            "a..b",
            "a b",
            "main@{1}",
            "x.lock",
            "a//b",
            "@",
            "a\n",
        ] {
            assert!(check_reference(bad).is_err(), "{bad}");
        }
        for good in ["main", "feature/x", "v1.2.3", "refs/heads/main", "HEAD", "ümlaut", "a@b"] {
            assert!(check_reference(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn near_names_come_best_first() {
        let refs = [
            "refs/heads/main",
            "refs/heads/maint",
            "refs/tags/v1.0",
            "refs/tags/v1.0^{}",
            "refs/heads/other",
        ];
        assert_eq!(near_names("mian", refs.iter().copied()), ["main"]);
        assert_eq!(near_names("MAIN", refs.iter().copied()), ["main", "maint"]);
        assert_eq!(near_names("v1.1", refs.iter().copied()), ["v1.0"]);
        assert!(near_names("zzzz", refs.iter().copied()).is_empty());
    }
}
