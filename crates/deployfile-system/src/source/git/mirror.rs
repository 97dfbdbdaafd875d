//! Mirrors of repositories, kept beneath the root so that only what is new is fetched.
//!
//! A mirror is a bare repository of git's. `refs/deployfile/<commit>` in it says that all of this commit is there:
//! git sets a reference only after it has checked that nothing is missing, while the commit alone may be there after a
//! fetch that was cut short.

use super::super::error::SourceError;
use super::super::url::GitUrl;
use super::command::Git;
use super::{ASK_LIMIT, FETCH_LIMIT};
use deployfile_disk::Dir;
use deployfile_exec::port::Stop;
use deployfile_model::RelPath;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A mirror that holds a commit.
pub(super) struct Mirror<'a> {
    /// The repository that it mirrors.
    pub(super) url: GitUrl,
    dir: Dir,
    stop: &'a Stop,
}

impl<'a> Mirror<'a> {
    /// Opens the mirror of `url` beneath `cache`, makes it when it is missing, and fetches what `commit` needs and is
    /// not there. Without anything to fetch, the repository is not asked.
    pub(super) fn with_commit(
        cache: &Dir,
        url: GitUrl,
        commit: &str,
        stop: &'a Stop,
    ) -> Result<Self, SourceError> {
        let name = RelPath::new(url.mirror_name()).map_err(|why| SourceError::GitAnswer {
            verb: "name the mirror of a repository",
            why: why.to_string(),
        })?;
        if cache.stat(&name)?.is_none() {
            make(cache, &name, &url, commit, stop)?;
        }
        let mirror = Self { dir: cache.open_dir(&name)?, url, stop };
        if !mirror.has(commit)? {
            mirror.fetch(commit)?;
        }
        Ok(mirror)
    }

    /// The working directory of commands on this mirror.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.proc_path()
    }

    /// Runs a command that only reads the mirror.
    pub(super) fn read(&self, verb: &'static str, args: &[&str]) -> Result<Vec<u8>, SourceError> {
        let path = self.path();
        self.git(verb, &path, ASK_LIMIT).run(&in_mirror(args))
    }

    fn git<'b>(&'b self, verb: &'static str, path: &'b Path, limit: Duration) -> Git<'b> {
        Git { verb, url: &self.url, within: Some(path), limit, stop: self.stop }
    }

    fn has(&self, commit: &str) -> Result<bool, SourceError> {
        let path = self.path();
        let git = self.git("look into the mirror of", &path, ASK_LIMIT);
        let name = kept(commit);
        Ok(git.ask(&in_mirror(&["rev-parse", "--verify", "--quiet", "--end-of-options", &name]))?.is_success)
    }

    fn fetch(&self, commit: &str) -> Result<(), SourceError> {
        let path = self.path();
        let git = self.git("fetch from", &path, FETCH_LIMIT);
        let spec = format!("+{commit}:{}", kept(commit));
        let exact = git.ask(&fetch_args(self.url.as_str(), &[&spec]))?;
        if exact.is_success {
            return Ok(());
        }
        // An old server gives only what a branch or tag names.
        let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let answer = git.ask(&fetch_args(self.url.as_str(), &all))?;
        if !answer.is_success {
            return Err(git.failed(answer.messages));
        }
        self.keep(commit, exact.messages)
    }

    /// Marks a commit as complete, after all that it needs was fetched.
    fn keep(&self, commit: &str, messages: Vec<String>) -> Result<(), SourceError> {
        let path = self.path();
        let git = self.git("keep a commit in the mirror of", &path, ASK_LIMIT);
        let object = format!("{commit}^{{commit}}");
        if !git.ask(&in_mirror(&["cat-file", "-e", &object]))?.is_success {
            let (commit, url) = (commit.to_owned(), self.url.shown());
            return Err(SourceError::CommitNotFound { commit, url, output: messages });
        }
        git.run(&in_mirror(&["update-ref", &kept(commit), commit])).map(drop)
    }
}

/// `refs/deployfile/<commit>`.
fn kept(commit: &str) -> String {
    format!("refs/deployfile/{commit}")
}

fn in_mirror<'b>(args: &[&'b str]) -> Vec<&'b str> {
    let mut all = vec!["--git-dir=."];
    all.extend(args);
    all
}

fn fetch_args<'b>(url: &'b str, specs: &[&'b str]) -> Vec<&'b str> {
    let fetch =
        ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--end-of-options", url];
    let mut args = in_mirror(&fetch);
    args.extend(specs);
    args
}

/// Makes a mirror under another name and puts it in place when it is whole.
fn make(cache: &Dir, name: &RelPath, url: &GitUrl, commit: &str, stop: &Stop) -> Result<(), SourceError> {
    let incoming = format!("{name}.new");
    let incoming_path = RelPath::new(incoming.as_str()).unwrap_or_else(|_| name.clone());
    cache.remove_tree(&incoming_path)?;
    let within = cache.proc_path();
    let git = |verb, limit| Git { verb, url, within: Some(&within), limit, stop };
    match url.local_path() {
        // The objects become hard links where they can (`--local` would insist), so a first fetch from this file system
        // copies nothing.
        Some(path) => {
            let clone = git("clone", FETCH_LIMIT);
            clone.run(&["clone", "--quiet", "--bare", "--template=", "--end-of-options", path, &incoming])?;
        }
        None => {
            let format = if commit.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
            git("make a mirror of", ASK_LIMIT).run(&[
                "init",
                "--quiet",
                "--bare",
                "--template=",
                format,
                "--end-of-options",
                &incoming,
            ])?;
        }
    }
    cache.rename_new(&incoming_path, name)?;
    let made = Mirror { dir: cache.open_dir(name)?, url: url.clone(), stop };
    match made.url.local_path().map(|_| made.keep(commit, Vec::new())) {
        // Nothing names it any more: the fetch that follows asks for it by its id.
        Some(Err(SourceError::CommitNotFound { .. })) | None => Ok(()),
        Some(kept) => kept,
    }
}

/// Lets git pack the mirrors again where they have grown loose. Slow on large ones: for after a deploy.
pub(super) fn tidy(cache: &Dir, stop: &Stop) -> Result<(), SourceError> {
    let url = GitUrl::new("/")?;
    for entry in cache.entries()? {
        let Some(name) = entry.text().and_then(|name| RelPath::new(name).ok()) else { continue };
        if name.as_str().ends_with(".new") {
            cache.remove_tree(&name)?;
            continue;
        }
        let mirror = cache.open_dir(&name)?;
        let path = mirror.proc_path();
        let git = Git { verb: "tidy the mirror", url: &url, within: Some(&path), limit: FETCH_LIMIT, stop };
        let settings = ["-c", "gc.auto=6700", "-c", "gc.autoDetach=false", "-c", "gc.pruneExpire=now"];
        let mut args = in_mirror(&settings);
        args.extend(["gc", "--auto", "--quiet"]);
        git.run(&args)?;
    }
    Ok(())
}
