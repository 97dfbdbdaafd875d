//! Mirrors of repositories, kept beneath the root so that only what is new is fetched.
//!
//! A mirror is a bare repository of git's. `refs/deployfile/<commit>` in it says that all of this commit is there:
//! git sets a reference only after it has checked that nothing is missing, while the commit alone may be there after a
//! fetch that was cut short.

use super::super::error::SourceError;
use super::super::url::GitUrl;
use super::command::Git;
use super::fetcher::Fetcher;
use super::{ASK_LIMIT, FETCH_LIMIT, stale};
use deployfile_disk::Dir;
use deployfile_exec::port::Stop;
use deployfile_model::RelPath;
use deployfile_record::release::rel;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A mirror that holds a commit.
pub(super) struct Mirror<'a> {
    /// The repository that it mirrors.
    pub(super) url: GitUrl,
    /// The commit's id.
    pub(super) commit: String,
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
        fetcher: &mut Fetcher<'a>,
    ) -> Result<Self, SourceError> {
        let name = RelPath::new(url.mirror_name()).map_err(|why| SourceError::GitAnswer {
            verb: "name the mirror of a repository",
            why: why.to_string(),
        })?;
        if !is_whole(cache, &name)? {
            make(cache, &name, &url, commit, fetcher)?;
        }
        let commit = commit.to_owned();
        let mirror = Self { dir: cache.open_dir(&name)?, url, commit, stop: fetcher.stop };
        if !mirror.has_commit()? {
            stale::sweep(&mirror.dir)?;
            mirror.fetch(fetcher)?;
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

    fn has_commit(&self) -> Result<bool, SourceError> {
        let path = self.path();
        let git = self.git("look into the mirror of", &path, ASK_LIMIT);
        let name = kept(&self.commit);
        Ok(git.ask(&in_mirror(&["rev-parse", "--verify", "--quiet", "--end-of-options", &name]))?.is_success)
    }

    fn fetch(&self, fetcher: &mut Fetcher<'_>) -> Result<(), SourceError> {
        let path = self.path();
        let git = self.git("fetch from", &path, FETCH_LIMIT);
        let spec = format!("+{}:{}", self.commit, kept(&self.commit));
        let exact = git.write(fetcher, &fetch_args(self.url.as_str(), &[&spec]))?;
        if exact.is_success {
            return Ok(());
        }
        // An old server gives only what a branch or tag names.
        let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let answer = git.write(fetcher, &fetch_args(self.url.as_str(), &all))?;
        if !answer.is_success {
            return Err(git.failed(answer.messages));
        }
        self.keep(exact.messages)
    }

    /// Marks the commit as complete, after all that it needs was fetched.
    fn keep(&self, messages: Vec<String>) -> Result<(), SourceError> {
        let path = self.path();
        let git = self.git("keep a commit in the mirror of", &path, ASK_LIMIT);
        let object = format!("{}^{{commit}}", self.commit);
        if !git.ask(&in_mirror(&["cat-file", "-e", &object]))?.is_success {
            let (commit, url) = (self.commit.clone(), self.url.shown());
            return Err(SourceError::CommitNotFound { commit, url, output: messages });
        }
        // Over at once, so it needs no guard.
        git.run(&in_mirror(&["update-ref", &kept(&self.commit), &self.commit])).map(drop)
    }
}

/// Beneath it, a mirror has a reference for each commit that it holds completely.
pub(super) const KEPT: &str = "refs/deployfile/";

/// `refs/deployfile/<commit>`.
pub(super) fn kept(commit: &str) -> String {
    format!("{KEPT}{commit}")
}

/// Arguments of git for a command in the mirror that is its working directory.
pub(super) fn in_mirror<'b>(args: &[&'b str]) -> Vec<&'b str> {
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

/// Whether a mirror is there. One without a `HEAD` is what a power cut left of it.
fn is_whole(cache: &Dir, name: &RelPath) -> Result<bool, SourceError> {
    Ok(cache.stat(&name.join(&rel("HEAD")))?.is_some_and(|head| head.size > 0))
}

/// Removes a mirror; whoever is killed meanwhile leaves none that looks whole.
pub(super) fn remove(cache: &Dir, name: &RelPath) -> Result<(), SourceError> {
    if cache.stat(name)?.is_some() {
        let trash = cache.rename_to_trash(name)?;
        cache.remove_tree(&trash)?;
    }
    Ok(())
}

/// Makes a mirror under another name and puts it in place when it is whole.
fn make(
    cache: &Dir,
    name: &RelPath,
    url: &GitUrl,
    commit: &str,
    fetcher: &mut Fetcher<'_>,
) -> Result<(), SourceError> {
    let stop = fetcher.stop;
    let incoming = format!("{name}.new");
    let incoming_path = RelPath::new(incoming.as_str()).unwrap_or_else(|_| name.clone());
    cache.remove_tree(&incoming_path)?;
    remove(cache, name)?;
    let within = cache.proc_path();
    let git = |verb, limit| Git { verb, url, within: Some(&within), limit, stop };
    match url.local_path() {
        // The objects become hard links where they can (`--local` would insist), so a first fetch from this file system
        // copies nothing.
        Some(path) => {
            let clone = git("clone", FETCH_LIMIT);
            let args = ["clone", "--quiet", "--bare", "--template=", "--end-of-options", path, &incoming];
            let answer = clone.write(fetcher, &args)?;
            if !answer.is_success {
                return Err(clone.failed(answer.messages));
            }
        }
        None => {
            let format = if commit.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
            let args = ["init", "--quiet", "--bare", "--template=", format, "--end-of-options", &incoming];
            // Over at once, so it needs no guard.
            git("make a mirror of", ASK_LIMIT).run(&args)?;
        }
    }
    cache.rename_new(&incoming_path, name)?;
    let made = Mirror { dir: cache.open_dir(name)?, url: url.clone(), commit: commit.to_owned(), stop };
    match made.url.local_path().map(|_| made.keep(Vec::new())) {
        // Nothing names it any more: the fetch that follows asks for it by its id.
        Some(Err(SourceError::CommitNotFound { .. })) | None => Ok(()),
        Some(kept) => kept,
    }
}
