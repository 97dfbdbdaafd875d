//! A traced command as calls of the model.

use super::{Disk, Inode, Op, Place, Tree};
use crate::trace::{self, Act, After, Ended, Kind, Mutation, Trace, Watch};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command that ran to its end.
pub struct Run {
    /// What stood in the folder before.
    pub start: Tree,
    /// The calls that succeeded, in order.
    pub ops: Vec<Op>,
    /// For each call the path that it was about, at that time.
    pub paths: Vec<String>,
    /// What stands there now.
    pub end: Tree,
    /// How the command ended.
    pub ended: Ended,
}

/// Takes down what a traced command does beneath one folder.
pub struct Recorder {
    folder: PathBuf,
    disk: Disk,
    real: BTreeMap<trace::Inode, Inode>,
    next: Inode,
    /// Data of writes that have not ended, by thread.
    data: BTreeMap<i32, Vec<u8>>,
    ops: Vec<Op>,
    paths: Vec<String>,
}

impl Recorder {
    /// Runs a command and takes down what it does beneath a folder. What the calls come to is compared with what then
    /// stands there, so that no call was missed and none misread.
    pub fn run(folder: &Path, command: Command) -> Run {
        let folder = fs::canonicalize(folder).unwrap();
        let (start, real) = Tree::read_with_inodes(&folder).unwrap();
        let next = real.len() as Inode;
        let real = real.into_iter();
        let real = real.map(|((device, number), inode)| (trace::Inode { device, number }, inode)).collect();
        let (disk, data) = (Disk::new(start.clone()), BTreeMap::new());
        let mut recorder =
            Self { folder: folder.clone(), disk, real, next, data, ops: Vec::new(), paths: Vec::new() };
        let ended = Trace::beneath(&folder).in_turn().run(command, &mut recorder);
        let end = Tree::read(&folder).unwrap();
        if let Some(path) = end.difference(recorder.disk.seen()) {
            panic!("the recording does not come to what is there: {path}\n{}", recorder.paths.join("\n"));
        }
        Run { start, ops: recorder.ops, paths: recorder.paths, end, ended }
    }

    fn relative(&self, path: &Path) -> Option<String> {
        Some(path.strip_prefix(&self.folder).ok()?.to_string_lossy().into_owned())
    }

    /// The directory and name of a path.
    fn place(&self, path: &Path) -> Place {
        let path = self.relative(path).unwrap_or_else(|| panic!("{} is elsewhere", path.display()));
        let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let dir =
            self.disk.seen().find(above).unwrap_or_else(|| panic!("{path}: nothing was recorded of {above}"));
        (dir, name.to_owned())
    }

    /// A new inode, for a real one.
    fn new_inode(&mut self, real: Option<trace::Inode>) -> Inode {
        self.next += 1;
        if let Some(real) = real {
            self.real.insert(real, self.next);
        }
        self.next
    }

    fn known(&self, call: &Mutation) -> Inode {
        let known = call.inode.and_then(|real| self.real.get(&real).copied());
        known
            .or_else(|| self.disk.seen().find(&self.relative(&call.path)?))
            .unwrap_or_else(|| panic!("{}: not a known inode", call.line()))
    }

    fn take(&mut self, op: Op, path: &Path) {
        self.disk.call(&op);
        self.paths.push(self.relative(path).unwrap_or_default());
        self.ops.push(op);
    }

    fn make(&mut self, call: &Mutation, after: &After) {
        let at = self.place(&call.path);
        let inode = self.new_inode(after.inode);
        let meta = fs::symlink_metadata(&call.path).unwrap();
        let mode = meta.mode() & 0o7777;
        let op = match call.kind {
            Kind::MakeDir => Op::MakeDir { at, inode, mode },
            _ if meta.is_file() => Op::Create { at, inode, mode },
            _ => return,
        };
        self.take(op, &call.path);
    }

    /// What a file holds now, where the data of a call was not in memory.
    fn content(&mut self, call: &Mutation) {
        let Ok(data) = fs::read(&call.path) else { return };
        let inode = self.known(call);
        self.take(Op::Truncate { inode, len: data.len() as u64 }, &call.path);
        self.take(Op::Write { inode, offset: 0, data }, &call.path);
    }

    fn written(&mut self, call: &Mutation, after: &After) {
        let mut data = self.data.remove(&call.thread).unwrap_or_default();
        data.truncate(usize::try_from(after.ret).unwrap_or_default());
        let inode = self.known(call);
        let offset = call.offset.unwrap_or_default();
        self.take(Op::Write { inode, offset, data }, &call.path);
    }
}

impl Watch for Recorder {
    fn enter(&mut self, call: &Mutation) -> Act {
        if call.kind == Kind::Write {
            self.data.insert(call.thread, call.data());
        }
        Act::Pass
    }

    fn done(&mut self, call: &Mutation, after: &After) {
        if after.ret < 0 {
            return;
        }
        let is_new = self.relative(&call.path).is_some_and(|path| self.disk.seen().find(&path).is_none());
        match call.kind {
            Kind::Create | Kind::MakeDir if is_new => self.make(call, after),
            Kind::Create | Kind::MakeDir | Kind::Open => {}
            Kind::Symlink => {
                let at = self.place(&call.path);
                let inode = self.new_inode(after.inode);
                let target =
                    call.target.as_ref().map(|to| to.to_string_lossy().into_owned()).unwrap_or_default();
                self.take(Op::Symlink { at, inode, target }, &call.path);
            }
            Kind::Link => {
                let (inode, to) = (self.known(call), call.to.clone().unwrap());
                self.take(Op::Link { at: self.place(&to), inode }, &to);
            }
            Kind::Unlink | Kind::RemoveDir => {
                self.take(Op::Unlink { at: self.place(&call.path) }, &call.path)
            }
            Kind::Rename => {
                let to = call.to.clone().unwrap();
                let (from, at) = (self.place(&call.path), self.place(&to));
                // RENAME_EXCHANGE (renameat2(2)).
                let is_exchange = call.name == "renameat2" && call.args[4] & 2 != 0;
                let op =
                    if is_exchange { Op::Exchange { from, to: at } } else { Op::Rename { from, to: at } };
                self.take(op, &to);
            }
            Kind::Write => self.written(call, after),
            Kind::Truncate => {
                let op = Op::Truncate { inode: self.known(call), len: call.len.unwrap_or_default() };
                self.take(op, &call.path);
            }
            Kind::Allocate | Kind::Copy | Kind::Clone => self.content(call),
            Kind::Sync => self.take(Op::Sync { inode: self.known(call) }, &call.path),
            Kind::SyncData => self.take(Op::SyncData { inode: self.known(call) }, &call.path),
            Kind::SyncFileSystem => self.take(Op::SyncAll, &call.path),
            Kind::Attributes => {
                let Ok(meta) = fs::symlink_metadata(&call.path) else { return };
                if !meta.is_symlink() {
                    let op = Op::SetMode { inode: self.known(call), mode: meta.mode() & 0o7777 };
                    self.take(op, &call.path);
                }
            }
        }
    }
}
