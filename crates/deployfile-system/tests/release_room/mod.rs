//! A root and git repositories in a temporary directory.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on should stop, loudly")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use deployfile_disk::Dir;
use deployfile_exec::port::{Stop, Tell};
use deployfile_model::spec::ShareMode;
use deployfile_model::{Digest, HostPath, Name, ReleaseId};
use deployfile_record::effect::{SealEffect, SourceEffect, SourceFrom};
use deployfile_record::event::Stream;
use deployfile_record::{Failure, ReleaseRecord};
use deployfile_system::process::Guard;
use deployfile_system::release::{self, Depth, Drift, Header};
use deployfile_system::source::{self, Fetcher, Populated, SourceError};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The example `guard`, which `cargo test` builds.
fn guard_binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples/guard");
    assert!(path.is_file(), "{} is not there: run `cargo test` or `cargo build --examples`", path.display());
    path
}

/// Hears nothing.
struct Deaf;

impl Tell for Deaf {
    fn output(&mut self, _: Stream, _: &str) {}
    fn probe(&mut self, _: &Name, _: u32, _: bool, _: &str) {}
    fn hook(&mut self, _: &Name, _: &str, _: &str) {}
    fn warning(&mut self, _: &str, _: Option<&str>) {}
    fn spawned(&mut self, _: u32, _: u64, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

pub(crate) struct Room {
    temp: tempfile::TempDir,
}

/// Whether git is there; a machine that tests for others must have it.
pub(crate) fn has_git() -> bool {
    let found = Command::new("git").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "git is needed for these tests");
        eprintln!("SKIPPED: git is not installed");
    }
    found
}

impl Room {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("root")).unwrap();
        Self { temp }
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.temp.path().canonicalize().unwrap().join(path)
    }

    pub(crate) fn text(&self, path: &str) -> String {
        self.at(path).to_str().unwrap().to_owned()
    }

    pub(crate) fn host_path(&self, path: &str) -> HostPath {
        HostPath::new(self.text(path)).unwrap()
    }

    pub(crate) fn root(&self) -> Dir {
        Dir::open_root(&self.host_path("root")).unwrap()
    }

    pub(crate) fn release(&self, id: &str) -> PathBuf {
        self.at("root/releases").join(id)
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Runs git in `dir`, by its own rules only.
    pub(crate) fn git(&self, dir: &str, args: &[&str]) -> String {
        let output = Command::new("git")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("GIT_DIR")
            .env_remove("GIT_OBJECT_DIRECTORY")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
            .args(["-c", "protocol.file.allow=always", "-c", "gc.auto=0"])
            .args(args)
            .current_dir(self.at(dir))
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A repository with these files; tells its commit.
    pub(crate) fn repository(&self, dir: &str, files: &[(&str, &str)]) -> String {
        std::fs::create_dir_all(self.at(dir)).unwrap();
        self.git(dir, &["init", "--quiet"]);
        for (path, content) in files {
            self.write(&format!("{dir}/{path}"), content);
        }
        self.commit(dir)
    }

    pub(crate) fn commit(&self, dir: &str) -> String {
        self.git(dir, &["add", "--all"]);
        self.git(dir, &["commit", "--quiet", "--allow-empty", "--message", "x"]);
        self.git(dir, &["rev-parse", "HEAD"])
    }

    pub(crate) fn populate(&self, id: &str, effect: &SourceEffect) -> Result<Populated, SourceError> {
        self.fetching(&Stop::new(), |fetcher| {
            source::populate(&self.root(), &release_id(id), effect, fetcher)
        })
    }

    /// Takes away what the mirrors need not keep, as after a run that filled this release.
    pub(crate) fn tidy(&self, fetched: Option<&str>) -> Result<(), SourceError> {
        let fetched = fetched.map(release_id);
        self.fetching(&Stop::new(), |fetcher| source::tidy_mirrors(&self.root(), fetched.as_ref(), fetcher))
    }

    fn fetching<T>(&self, stop: &Stop, work: impl FnOnce(&mut Fetcher<'_>) -> T) -> T {
        let guard = Guard { program: guard_binary(), args: vec!["guard".to_owned()] };
        work(&mut Fetcher { guard, stop, tell: &mut Deaf })
    }

    /// Fills and seals a release.
    pub(crate) fn build(&self, id: &str, effect: &SourceEffect) -> ReleaseRecord {
        self.populate(id, effect).unwrap();
        self.seal(id, effect.base.as_ref()).unwrap()
    }

    pub(crate) fn seal(
        &self,
        id: &str,
        parent: Option<&ReleaseId>,
    ) -> Result<ReleaseRecord, release::ReleaseError> {
        let header = header(id, parent);
        release::seal(&self.root(), &header, &seal_effect(), &Stop::new())
    }

    pub(crate) fn drift(&self, id: &str, depth: Depth) -> Vec<Drift> {
        release::verify(&self.root(), &release_id(id), depth).unwrap()
    }

    /// Every path beneath a release but `.release`, with mode and content or target.
    pub(crate) fn content(&self, id: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        walk(&self.release(id), "", &mut found);
        found
    }
}

fn walk(top: &Path, within: &str, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(top.join(within)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if within.is_empty() { name } else { format!("{within}/{name}") };
        let kind = entry.file_type().unwrap();
        if path == ".release" {
            continue;
        } else if kind.is_dir() {
            walk(top, &path, found);
        } else if kind.is_symlink() {
            let target = std::fs::read_link(entry.path()).unwrap();
            found.insert(path, format!("-> {}", target.display()));
        } else {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
            let content = std::fs::read_to_string(entry.path()).unwrap();
            found.insert(path, format!("{mode:o} {content}"));
        }
    }
}

pub(crate) fn release_id(id: &str) -> ReleaseId {
    ReleaseId::new(id).unwrap()
}

pub(crate) fn header(id: &str, parent: Option<&ReleaseId>) -> Header {
    Header {
        id: release_id(id),
        build_id: None,
        revision: None,
        spec: Digest::of(b"spec"),
        parent: parent.cloned(),
    }
}

pub(crate) fn seal_effect() -> SealEffect {
    SealEffect { secret_files: Vec::new(), plugins: BTreeMap::new(), overrides: BTreeMap::new() }
}

pub(crate) fn from_git(url: &str, commit: &str, base: Option<&str>) -> SourceEffect {
    let from = SourceFrom::Git {
        url: url.to_owned(),
        reference: "main".to_owned(),
        commit: commit.to_owned(),
        submodules: true,
    };
    SourceEffect { from, base: base.map(release_id), share: ShareMode::Copy }
}

pub(crate) fn hardlink(effect: SourceEffect) -> SourceEffect {
    SourceEffect { share: ShareMode::Hardlink, ..effect }
}
