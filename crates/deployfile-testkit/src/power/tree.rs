//! A tree of inodes: read from a folder, compared, and written to a folder.

use super::{Inode, Real};
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

/// What an inode is and holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Node {
    File { mode: u32, data: Arc<Vec<u8>> },
    Dir { mode: u32, names: BTreeMap<String, Inode> },
    Link { target: String },
}

/// Inodes, and the one that the rest hangs on. Inodes without a name may be among them.
#[derive(Debug, Clone)]
pub struct Tree {
    pub(super) nodes: BTreeMap<Inode, Node>,
    pub(super) root: Inode,
}

impl Tree {
    /// An empty directory.
    pub fn empty() -> Self {
        let root = Node::Dir { mode: 0o755, names: BTreeMap::new() };
        Self { nodes: BTreeMap::from([(0, root)]), root: 0 }
    }

    /// What stands in a folder.
    pub fn read(folder: &Path) -> io::Result<Self> {
        Self::read_with_inodes(folder).map(|(tree, _)| tree)
    }

    pub(super) fn read_with_inodes(folder: &Path) -> io::Result<(Self, Real)> {
        let mut tree = Self { nodes: BTreeMap::new(), root: 0 };
        let mut real = BTreeMap::new();
        tree.root = tree.read_node(folder, &mut real)?;
        Ok((tree, real))
    }

    fn read_node(&mut self, path: &Path, real: &mut Real) -> io::Result<Inode> {
        let meta = fs::symlink_metadata(path)?;
        if let Some(inode) = real.get(&(meta.dev(), meta.ino())) {
            return Ok(*inode);
        }
        let inode = real.len() as Inode;
        real.insert((meta.dev(), meta.ino()), inode);
        let mode = meta.mode() & 0o7777;
        let node = if meta.is_symlink() {
            Node::Link { target: fs::read_link(path)?.to_string_lossy().into_owned() }
        } else if meta.is_dir() {
            let mut names = BTreeMap::new();
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                names.insert(name, self.read_node(&entry.path(), real)?);
            }
            Node::Dir { mode, names }
        } else {
            Node::File { mode, data: Arc::new(fs::read(path)?) }
        };
        self.nodes.insert(inode, node);
        Ok(inode)
    }

    /// The inode at a path, without following links. An empty path is the root.
    pub fn find(&self, path: &str) -> Option<Inode> {
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(self.root, |inode, name| self.child(inode, name))
    }

    /// The inode that a name in a directory stands for.
    pub fn child(&self, dir: Inode, name: &str) -> Option<Inode> {
        match self.nodes.get(&dir)? {
            Node::Dir { names, .. } => names.get(name).copied(),
            _ => None,
        }
    }

    /// What is at a path.
    pub fn at(&self, path: &str) -> Option<&Node> {
        self.nodes.get(&self.find(path)?)
    }

    /// The text of a file.
    pub fn text(&self, path: &str) -> Option<String> {
        match self.at(path)? {
            Node::File { data, .. } => Some(String::from_utf8_lossy(data).into_owned()),
            _ => None,
        }
    }

    /// Names in the directory at a path; none when there is none.
    pub fn names(&self, path: &str) -> Vec<String> {
        match self.at(path) {
            Some(Node::Dir { names, .. }) => names.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// Everything beneath a path, each with its path from there, in order. Nothing when there is nothing.
    pub fn beneath(&self, path: &str) -> BTreeMap<String, &Node> {
        let mut out = BTreeMap::new();
        if let Some(inode) = self.find(path) {
            self.gather(inode, String::new(), &mut out);
        }
        out
    }

    fn gather<'a>(&'a self, inode: Inode, path: String, out: &mut BTreeMap<String, &'a Node>) {
        let Some(node) = self.nodes.get(&inode) else { return };
        if let Node::Dir { names, .. } = node {
            for (name, child) in names {
                let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                self.gather(*child, below, out);
            }
        }
        out.insert(path, node);
    }

    /// A path of an inode, if it has one.
    pub fn path_of(&self, inode: Inode) -> Option<String> {
        if inode == self.root {
            return Some(String::new());
        }
        self.nodes.iter().find_map(|(dir, node)| {
            let Node::Dir { names, .. } = node else { return None };
            let name = names.iter().find(|(_, child)| **child == inode)?.0;
            let above = self.path_of(*dir)?;
            Some(if above.is_empty() { name.clone() } else { format!("{above}/{name}") })
        })
    }

    /// Whether two trees show the same paths with the same content and modes; else the first path that differs.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let (ours, theirs) = (shapes(&self.beneath("")), shapes(&other.beneath("")));
        if ours == theirs {
            return None;
        }
        let paths = ours.keys().chain(theirs.keys());
        paths.filter(|path| ours.get(*path) != theirs.get(*path)).min().cloned()
    }

    /// Names what the tree shows: the same paths, modes and content give the same number.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash_node(self.root, &mut hasher);
        hasher.finish()
    }

    fn hash_node(&self, inode: Inode, hasher: &mut DefaultHasher) {
        match self.nodes.get(&inode) {
            Some(Node::File { mode, data }) => (0, mode, data.as_slice()).hash(hasher),
            Some(Node::Link { target }) => (1, target).hash(hasher),
            Some(Node::Dir { mode, names }) => {
                (2, mode, names.len()).hash(hasher);
                for (name, child) in names {
                    name.hash(hasher);
                    self.hash_node(*child, hasher);
                }
            }
            None => 3.hash(hasher),
        }
    }

    /// Replaces bytes in each file whose path is asked for.
    pub fn rewrite(&mut self, is_asked: impl Fn(&str) -> bool, change: impl Fn(&[u8]) -> Vec<u8>) {
        let paths: Vec<String> = self.beneath("").into_keys().filter(|path| is_asked(path)).collect();
        for inode in paths.iter().filter_map(|path| self.find(path)).collect::<Vec<_>>() {
            if let Some(Node::File { data, .. }) = self.nodes.get_mut(&inode) {
                *data = Arc::new(change(data));
            }
        }
    }

    /// Writes it to a folder that is there and empty. Several names of one file become files of their own.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let mut modes = Vec::new();
        for (path, node) in self.beneath("") {
            let at = folder.join(&path);
            match node {
                Node::File { mode, data } => {
                    fs::write(&at, data.as_slice())?;
                    fs::set_permissions(&at, fs::Permissions::from_mode(*mode))?;
                }
                Node::Dir { mode, .. } => {
                    if !path.is_empty() {
                        fs::create_dir(&at)?;
                    }
                    modes.push((at, *mode));
                }
                Node::Link { target } => symlink(target, &at)?,
            }
        }
        // Last and from below, so that a directory without a right to write takes its entries first.
        modes
            .into_iter()
            .rev()
            .try_for_each(|(at, mode)| fs::set_permissions(at, fs::Permissions::from_mode(mode)))
    }
}

/// What a reader of a path sees of a node.
#[derive(Debug, PartialEq, Eq)]
enum Shape<'a> {
    File(u32, &'a [u8]),
    Dir(u32),
    Link(&'a str),
}

fn shapes<'a>(all: &BTreeMap<String, &'a Node>) -> BTreeMap<String, Shape<'a>> {
    let shape = |node: &'a Node| match node {
        Node::File { mode, data } => Shape::File(*mode, data),
        Node::Dir { mode, .. } => Shape::Dir(*mode),
        Node::Link { target } => Shape::Link(target),
    };
    all.iter().map(|(path, node)| (path.clone(), shape(node))).collect()
}
