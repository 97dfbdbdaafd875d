//! The model loses what a file system may lose, and nothing that was synced.

use super::*;
use std::collections::BTreeMap;

const ROOT: Inode = 0;

fn at(dir: Inode, name: &str) -> Place {
    (dir, name.to_owned())
}

fn create(dir: Inode, name: &str, inode: Inode) -> Op {
    Op::Create { at: at(dir, name), inode, mode: 0o644 }
}

fn write(inode: Inode, offset: u64, text: &str) -> Op {
    Op::Write { inode, offset, data: text.into() }
}

fn rename(from: &str, to: &str) -> Op {
    Op::Rename { from: at(ROOT, from), to: at(ROOT, to) }
}

/// A file `f` that holds "old", durably.
fn old() -> Tree {
    let mut disk = Disk::new(Tree::empty());
    for op in [create(ROOT, "f", 9), write(9, 0, "old"), Op::Sync { inode: 9 }, Op::Sync { inode: ROOT }] {
        disk.call(&op);
    }
    disk.cut(Kind::Nothing)
}

fn all(start: &Tree, ops: &[Op]) -> Vec<Cut> {
    let mut out = Vec::new();
    cuts(start, ops, Volume { random: 64, dropped: 64, seed: 1 }, |cut| out.push(cut));
    out
}

/// What `f` may hold after a cut; `None`: it is not there.
fn texts(start: &Tree, ops: &[Op]) -> BTreeMap<Option<String>, usize> {
    let mut out = BTreeMap::new();
    all(start, ops).iter().for_each(|cut| *out.entry(cut.tree.text("f")).or_default() += 1);
    out
}

fn replace(syncs: &[Inode]) -> Vec<Op> {
    let mut ops = vec![create(ROOT, "new", 10), write(10, 0, "newer")];
    ops.extend(syncs.contains(&10).then_some(Op::Sync { inode: 10 }));
    ops.push(rename("new", "f"));
    ops.extend(syncs.contains(&ROOT).then_some(Op::Sync { inode: ROOT }));
    ops
}

#[test]
fn a_rename_without_a_sync_of_the_file_may_leave_it_empty() {
    let found = texts(&old(), &replace(&[]));
    for text in [Some("old"), Some("newer"), Some(""), Some("ne"), Some("\0\0\0\0\0"), Some("ne\0\0\0")] {
        assert!(found.contains_key(&text.map(str::to_owned)), "{text:?} in {found:?}");
    }
}

#[test]
fn a_rename_of_a_synced_file_leaves_the_old_or_the_new() {
    let found: Vec<_> = texts(&old(), &replace(&[10, ROOT])).into_keys().flatten().collect();
    assert_eq!(found, ["newer", "old"]);
}

#[test]
fn without_a_sync_of_the_directory_the_name_may_be_lost_at_the_end() {
    let last = |ops: &[Op]| -> Vec<Option<String>> {
        let cuts = all(&Tree::empty(), ops).into_iter();
        cuts.filter(|cut| cut.after == ops.len()).map(|cut| cut.tree.text("f")).collect()
    };
    let synced = [create(ROOT, "f", 9), write(9, 0, "text"), Op::Sync { inode: 9 }];
    assert!(last(&synced).contains(&None));
    let named = [&synced[..], &[Op::Sync { inode: ROOT }]].concat();
    assert_eq!(last(&named), [Some("text".to_owned())]);
    let whole = [&synced[..2], &[Op::SyncAll]].concat();
    assert_eq!(last(&whole), [Some("text".to_owned())]);
}

#[test]
fn a_directory_may_lose_its_names_and_keep_its_own() {
    let ops = [
        Op::MakeDir { at: at(ROOT, "d"), inode: 1, mode: 0o755 },
        create(1, "f", 2),
        Op::Sync { inode: 2 },
        Op::Sync { inode: ROOT },
    ];
    let found = all(&Tree::empty(), &ops);
    let end = |f: &dyn Fn(&Tree) -> bool| found.iter().any(|cut| cut.after == 4 && f(&cut.tree));
    assert!(end(&|tree| tree.at("d").is_some() && tree.at("d/f").is_none()));
    assert!(end(&|tree| tree.at("d/f").is_some()));
    assert!(!end(&|tree| tree.at("d").is_none()));
}

#[test]
fn a_rename_within_a_directory_is_whole_and_between_two_is_not() {
    let found = texts(&old(), &[rename("f", "g")]);
    assert_eq!(found.len(), 2, "{found:?}");
    let both = |tree: &Tree| (tree.at("f").is_some(), tree.at("g").is_some() || tree.at("d/g").is_some());
    let within = all(&old(), &[rename("f", "g")]);
    assert!(within.iter().all(|cut| matches!(both(&cut.tree), (true, false) | (false, true))));
    let between = [
        Op::MakeDir { at: at(ROOT, "d"), inode: 1, mode: 0o755 },
        Op::Rename { from: at(ROOT, "f"), to: at(1, "g") },
    ];
    let found = all(&old(), &between);
    assert!(found.iter().any(|cut| both(&cut.tree) == (false, false)));
    assert!(found.iter().any(|cut| both(&cut.tree) == (true, true)));
}

#[test]
fn changes_of_one_name_keep_their_order() {
    // Removed, then made again as a link: the link cannot be there without the removal before it.
    let link = |name: &str, inode| Op::Symlink { at: at(ROOT, name), inode, target: "t".to_owned() };
    let ops = [Op::Unlink { at: at(ROOT, "f") }, link("f", 10), link("g", 11)];
    let found = all(&old(), &ops);
    let states: Vec<(bool, bool)> = found
        .iter()
        .map(|cut| (matches!(cut.tree.at("f"), Some(Node::Link { .. })), cut.tree.at("f").is_some()))
        .collect();
    assert!(
        states.contains(&(false, false)) && states.contains(&(true, true)) && states.contains(&(false, true))
    );
    // Names that have nothing to do with each other do not wait for each other.
    assert!(found.iter().any(|cut| cut.tree.at("g").is_some() && cut.tree.text("f").is_some()));
}

#[test]
fn a_lost_write_leaves_zeros_beneath_a_later_one() {
    let ops = [write(9, 3, " and"), write(9, 7, " more")];
    let found = texts(&old(), &ops);
    assert!(found.contains_key(&Some("old\0\0\0\0 more".to_owned())), "{found:?}");
    let synced = [write(9, 3, " and"), Op::SyncData { inode: 9 }, write(9, 7, " more")];
    let found = texts(&old(), &synced);
    assert!(!found.contains_key(&Some("old\0\0\0\0 more".to_owned())), "{found:?}");
}

#[test]
fn a_mode_is_not_made_durable_by_fdatasync() {
    let mode = |ops: &[Op]| {
        let mut disk = Disk::new(old());
        ops.iter().for_each(|op| disk.call(op));
        let cut = disk.cut(Kind::Nothing);
        let Some(Node::File { mode, .. }) = cut.at("f") else { return 0 };
        *mode
    };
    let set = Op::SetMode { inode: 9, mode: 0o600 };
    assert_eq!(mode(&[set.clone(), Op::SyncData { inode: 9 }]), 0o644);
    assert_eq!(mode(&[set, Op::Sync { inode: 9 }]), 0o600);
}

#[test]
fn a_tree_is_read_and_written_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    std::fs::create_dir_all(one.join("a/b")).unwrap();
    std::fs::create_dir(&other).unwrap();
    std::fs::write(one.join("a/b/f"), "text").unwrap();
    std::os::unix::fs::symlink("a/b", one.join("link")).unwrap();
    let tree = Tree::read(&one).unwrap();
    tree.write(&other).unwrap();
    let again = Tree::read(&other).unwrap();
    assert_eq!(tree.difference(&again), None);
    assert_eq!(tree.digest(), again.digest());
    std::fs::write(other.join("a/b/f"), "texts").unwrap();
    assert_eq!(tree.difference(&Tree::read(&other).unwrap()), Some("a/b/f".to_owned()));
}
