//! What is durable, what is pending, and the state that is left when some of the pending is lost.

use super::{Inode, Node, Op, Place, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One change that is kept or lost as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// What names in one directory stand for from then on.
    Names { dir: Inode, names: Vec<(String, Option<Inode>)> },
    /// Bytes of a file.
    Bytes { inode: Inode, offset: usize, data: Vec<u8> },
    /// The length of a file.
    Length { inode: Inode, len: usize },
    /// The mode of a file or directory.
    Mode { inode: Inode, mode: u32 },
}

impl Change {
    fn inode(&self) -> Inode {
        match self {
            Self::Names { dir, .. } => *dir,
            Self::Bytes { inode, .. } | Self::Length { inode, .. } | Self::Mode { inode, .. } => *inode,
        }
    }
    pub(super) fn is_names(&self) -> bool {
        matches!(self, Self::Names { .. })
    }
    pub(super) fn is_bytes(&self) -> bool {
        matches!(self, Self::Bytes { .. })
    }
}

/// How a write is kept in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// Its first half only.
    Half,
    /// Its length, with zeros for bytes.
    Zeros,
    /// Its first half, then zeros.
    HalfZeros,
}

/// A disk that some calls were made on.
#[derive(Debug, Clone)]
pub struct Disk {
    durable: Tree,
    volatile: Tree,
    pub(super) pending: Vec<Change>,
}

impl Disk {
    /// Where all that stands is durable.
    pub fn new(tree: Tree) -> Self {
        Self { durable: tree.clone(), volatile: tree, pending: Vec::new() }
    }

    /// What a program sees that reads now.
    pub fn seen(&self) -> &Tree {
        &self.volatile
    }

    /// Makes a call.
    pub fn call(&mut self, op: &Op) {
        match op {
            Op::Create { at, inode, mode } => {
                self.make(at, *inode, Node::File { mode: *mode, data: Arc::default() });
            }
            Op::MakeDir { at, inode, mode } => {
                self.make(at, *inode, Node::Dir { mode: *mode, names: BTreeMap::new() });
            }
            Op::Symlink { at, inode, target } => self.make(at, *inode, Node::Link { target: target.clone() }),
            Op::Link { at, inode } => self.names([(at, Some(*inode))]),
            Op::Unlink { at } => self.names([(at, None)]),
            Op::Rename { from, to } => {
                let moved = self.volatile.child(from.0, &from.1);
                // Two names of one file: nothing happens (rename(2)).
                if moved != self.volatile.child(to.0, &to.1) {
                    self.names([(from, None), (to, moved)]);
                }
            }
            Op::Exchange { from, to } => {
                let (one, other) = (self.volatile.child(from.0, &from.1), self.volatile.child(to.0, &to.1));
                self.names([(from, other), (to, one)]);
            }
            Op::Write { inode, offset, data } => {
                self.push(Change::Bytes { inode: *inode, offset: *offset as usize, data: data.clone() });
            }
            Op::Truncate { inode, len } => self.push(Change::Length { inode: *inode, len: *len as usize }),
            Op::SetMode { inode, mode } => self.push(Change::Mode { inode: *inode, mode: *mode }),
            Op::Sync { inode } => self.settle(|change| change.inode() == *inode),
            Op::SyncData { inode } => {
                self.settle(|change| change.inode() == *inode && !matches!(change, Change::Mode { .. }));
            }
            Op::SyncAll => self.settle(|_| true),
        }
    }

    /// An inode is there as soon as it is made; what may be lost is its name.
    fn make(&mut self, at: &Place, inode: Inode, node: Node) {
        self.durable.nodes.insert(inode, node.clone());
        self.volatile.nodes.insert(inode, node);
        self.names([(at, Some(inode))]);
    }

    /// Changes of names in one directory happen together, in different directories each by itself.
    fn names<const N: usize>(&mut self, changes: [(&Place, Option<Inode>); N]) {
        let mut by_dir: BTreeMap<Inode, Vec<(String, Option<Inode>)>> = BTreeMap::new();
        for ((dir, name), inode) in changes {
            by_dir.entry(*dir).or_default().push((name.clone(), inode));
        }
        by_dir.into_iter().for_each(|(dir, names)| self.push(Change::Names { dir, names }));
    }

    fn push(&mut self, change: Change) {
        self.volatile.change(&change);
        self.pending.push(change);
    }

    fn settle(&mut self, is_synced: impl Fn(&Change) -> bool) {
        let (synced, pending) = std::mem::take(&mut self.pending).into_iter().partition(is_synced);
        self.pending = pending;
        let synced: Vec<Change> = synced;
        synced.iter().for_each(|change| self.durable.change(change));
    }

    /// What is left when only those pending changes are kept that `kept` says, by their order; `torn` are kept in part.
    /// A change of a name is lost, too, when an earlier one of that name is.
    pub fn left(&self, kept: impl Fn(usize) -> bool, torn: Option<(usize, Tear)>) -> Tree {
        let mut tree = self.durable.clone();
        let mut lost: BTreeSet<(Inode, &str)> = BTreeSet::new();
        for (index, change) in self.pending.iter().enumerate() {
            let tear = torn.filter(|(at, _)| *at == index).map(|(_, tear)| tear);
            if let Change::Names { dir, names } = change {
                if !kept(index) || names.iter().any(|(name, _)| lost.contains(&(*dir, name.as_str()))) {
                    lost.extend(names.iter().map(|(name, _)| (*dir, name.as_str())));
                    continue;
                }
            } else if tear.is_none() && !kept(index) {
                continue;
            }
            match (change, tear) {
                (Change::Bytes { inode, offset, data }, Some(tear)) => {
                    let data = tear.of(data);
                    tree.change(&Change::Bytes { inode: *inode, offset: *offset, data });
                }
                _ => tree.change(change),
            }
        }
        tree
    }
}

impl Tear {
    fn of(self, data: &[u8]) -> Vec<u8> {
        let mut out = data.to_vec();
        let half = data.len() / 2;
        match self {
            Self::Half => out.truncate(half),
            Self::Zeros => out.fill(0),
            Self::HalfZeros => out.iter_mut().skip(half).for_each(|byte| *byte = 0),
        }
        out
    }
}

impl Tree {
    fn change(&mut self, change: &Change) {
        let Some(node) = self.nodes.get_mut(&change.inode()) else { return };
        match (change, node) {
            (Change::Names { names, .. }, Node::Dir { names: there, .. }) => {
                for (name, inode) in names {
                    match inode {
                        Some(inode) => there.insert(name.clone(), *inode),
                        None => there.remove(name),
                    };
                }
            }
            (Change::Bytes { offset, data, .. }, Node::File { data: there, .. }) => {
                let there = Arc::make_mut(there);
                let end = offset + data.len();
                // What was written before and is lost leaves zeros.
                there.resize(there.len().max(end), 0);
                there[*offset..end].copy_from_slice(data);
            }
            (Change::Length { len, .. }, Node::File { data, .. }) => Arc::make_mut(data).resize(*len, 0),
            (Change::Mode { mode, .. }, Node::File { mode: there, .. } | Node::Dir { mode: there, .. }) => {
                *there = *mode;
            }
            _ => {}
        }
    }
}
