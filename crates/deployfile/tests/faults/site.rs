//! A site that a power is cut on: its root, the command that is cut, and what must hold of what is left.

use deployfile_testkit::Sandbox;
use deployfile_testkit::power::{Node, Recorder, Run, Tree};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// A root beneath a folder of its own, so that a cut may lose the root, too.
pub(crate) struct Site {
    pub(crate) sandbox: Sandbox,
    pub(crate) args: &'static [&'static str],
    /// How the command ends when nothing is cut.
    pub(crate) exit: i32,
    /// The text of `hello.txt` before, and when the command is done; `None`: nothing is served.
    pub(crate) before: Option<&'static str>,
    pub(crate) after: Option<&'static str>,
}

impl Site {
    pub(crate) fn new(
        args: &'static [&'static str],
        before: Option<&'static str>,
        after: &'static str,
    ) -> Self {
        let sandbox = Sandbox::in_memory(env!("CARGO_BIN_EXE_deployfile"));
        let site = Self { sandbox, args, exit: 0, before, after: Some(after) };
        fs::create_dir(site.folder()).unwrap();
        site.deployfile(9, "");
        site.sandbox.write("src/bin/tool", "#!/bin/sh\n");
        site.sandbox.write("a.j2", "release = {{ release_id }}\n");
        site
    }

    pub(crate) fn deployfile(&self, keep: u32, more: &str) {
        let root = self.root();
        let text = format!(
            "deployfile 1\napp small {{ root \"{}\"; }}\nsource dir \"src\"\nshared {{ dir \"media\"; }}\n\
             stage build {{ sh \"echo built > built.txt\"; template \"a.j2\" to=\"conf/a.ini\" kind=ini; }}\n{more}\n\
             retention {{ keep {keep}; grace \"0s\"; }}\nenvironment local {{ host localhost {{ connect local; }}; }}\n",
            root.display()
        );
        self.sandbox.write("deployfile.kdl", &text);
    }

    pub(crate) fn applied(&self, text: &str) {
        self.sandbox.write("src/hello.txt", text);
        self.sandbox.expect(0, &["apply", "--yes"]);
    }

    /// What is on the disk that loses its power.
    pub(crate) fn folder(&self) -> PathBuf {
        self.sandbox.path().join("site")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder().join("root")
    }

    /// Runs the command to its end, taking down what it does.
    pub(crate) fn record(&self) -> Run {
        let run = Recorder::run(&self.folder(), self.sandbox.command(self.args));
        assert_eq!(run.ended.code, self.exit, "{:?}: {}", self.args, run.ended.err);
        run
    }

    /// Puts a state where the root is. The machine was started anew since: what names the start that it was filled in
    /// names another than the running one.
    pub(crate) fn put(&self, tree: &Tree) {
        let folder = self.folder();
        for entry in fs::read_dir(&folder).unwrap() {
            fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
        let mut tree = tree.clone();
        tree.rewrite(|path| path.contains(".deployfile/cache/boot-"), another_start);
        tree.write(&folder).unwrap();
    }

    /// What stands there was left by another start of the machine.
    pub(crate) fn restarted(&self) {
        for entry in fs::read_dir(self.root().join(".deployfile/cache")).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("boot-") {
                let data = fs::read(entry.path()).unwrap();
                fs::write(entry.path(), another_start(&data)).unwrap();
            }
        }
    }

    pub(crate) fn text(&self) -> Option<String> {
        fs::read_to_string(self.root().join("current/hello.txt")).ok()
    }

    pub(crate) fn current(&self) -> Option<String> {
        let target = fs::read_link(self.root().join("current")).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    pub(crate) fn json(&self, args: &[&str]) -> Result<Value, String> {
        let done = self.sandbox.run(&[&["--format", "json"], args].concat());
        match serde_json::from_str(done.out.lines().last().unwrap_or_default()) {
            Ok(document) if done.code == 0 => Ok(document),
            _ => Err(format!("{args:?} exits with {}: {}{}", done.code, done.out, done.err)),
        }
    }
}

/// The note of another start, instead of that of the running one. What was torn stays torn.
fn another_start(note: &[u8]) -> Vec<u8> {
    let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap();
    if note == boot { b"00000000-0000-0000-0000-000000000000\n".to_vec() } else { note.to_vec() }
}

/// What is known of releases that were whole once.
pub(crate) struct Known {
    releases: BTreeMap<String, BTreeMap<String, Node>>,
    /// What is served when the command is done, and what may be before.
    after: Option<String>,
    passing: Vec<Option<String>>,
}

const MANIFEST: &str = ".release/manifest.json";

impl Known {
    pub(crate) fn of(run: &Run) -> Self {
        let mut releases = BTreeMap::new();
        for tree in [&run.start, &run.end] {
            for id in tree.names("root/releases") {
                let all = tree.beneath(&format!("root/releases/{id}")).into_iter();
                // Inodes differ; what hangs on them is compared path by path.
                let all = all.map(|(path, node)| (path, without_names(node)));
                releases.insert(id, all.collect());
            }
        }
        let (before, after) = (current(&run.start), current(&run.end));
        // A run that went back served the release that it made, for a while.
        let made = run.end.names("root/releases").into_iter().filter(|_| run.ended.code != 0).map(Some);
        let passing = made.chain([before, after.clone()]).collect();
        Self { releases, after, passing }
    }

    /// What must hold of a state as it is, before anything was mended: what is served is whole, and what says that it
    /// is sealed is whole. When the command had ended, what it promised is there.
    pub(crate) fn check(&self, tree: &Tree, is_promised: bool) -> Result<(), String> {
        let served = current(tree);
        let is_link = matches!(tree.at("root/current"), Some(Node::Link { .. }) | None);
        if !is_link || (is_promised && served != self.after) || !self.passing.contains(&served) {
            return Err(format!("{served:?} is current, promised: {is_promised}"));
        }
        let named = tree.names("root/releases").into_iter().filter(|id| !id.starts_with('.'));
        let sealed = named.filter(|id| tree.at(&format!("root/releases/{id}/{MANIFEST}")).is_some());
        sealed.chain(served.clone()).try_for_each(|id| self.whole(tree, &id))
    }

    fn whole(&self, tree: &Tree, id: &str) -> Result<(), String> {
        let Some(expected) = self.releases.get(id) else { return Err(format!("{id} is unknown")) };
        let found = tree.beneath(&format!("root/releases/{id}"));
        let wrong = expected
            .iter()
            .find(|(path, node)| found.get(*path).map(|node| without_names(node)).as_ref() != Some(node));
        wrong.map_or(Ok(()), |(path, _)| Err(format!("{path} of sealed release {id} is not what it was")))
    }
}

fn without_names(node: &Node) -> Node {
    match node {
        Node::Dir { mode, .. } => Node::Dir { mode: *mode, names: BTreeMap::new() },
        other => other.clone(),
    }
}

/// The release that a tree serves.
pub(crate) fn current(tree: &Tree) -> Option<String> {
    match tree.at("root/current")? {
        Node::Link { target } => Some(target.rsplit('/').next().unwrap_or_default().to_owned()),
        _ => None,
    }
}
