//! The power lane can fail: each step of the protocol is taken out of a recorded run, which is what the program without
//! that step would have done, and the lane must find a state that breaks its invariants.
//!
//! Not here: an undo that is mirrored and an effect that cannot be repeated, which no power is needed for; they are
//! caught by the lane of simulated kills.

use super::power::{clean_site, recover, second_apply_site};
use super::site::{Known, Site};
use deployfile_testkit::power::{Inode, Kind, Op, Run, Tree, Volume, cuts};
use std::collections::BTreeSet;

const VOLUME: Volume = Volume { random: 1, dropped: 8, seed: 1 };
/// States that are recovered from, at most, until one is found that cannot be.
const TRIES: usize = 40;

/// How many states break what must hold of them as they are.
fn violations(run: &Run, ops: &[Op]) -> usize {
    let known = Known::of(run);
    let mut found = 0;
    cuts(&run.start, ops, VOLUME, |cut| {
        found += usize::from(known.check(&cut.tree, cut.after == ops.len()).is_err());
    });
    found
}

/// How many of some states the program cannot recover from. The last states come first.
fn unrecovered(site: &Site, run: &Run, ops: &[Op], kind: Kind) -> usize {
    let mut states = Vec::new();
    cuts(&run.start, ops, VOLUME, |cut| states.push(cut));
    // What recover takes for the end is the end of these calls.
    let whole = Run {
        start: run.start.clone(),
        ops: ops.to_vec(),
        paths: Vec::new(),
        end: run.end.clone(),
        ended: run.ended.clone(),
    };
    let states = states.iter().rev().filter(|cut| cut.kind == kind).take(TRIES);
    states.filter(|cut| recover(site, &whole, cut, 0).is_err()).count()
}

/// A run without some of its calls.
fn without(run: &Run, is_dropped: impl Fn(&Op, &str) -> bool) -> Vec<Op> {
    let ops: Vec<Op> =
        run.ops.iter().zip(&run.paths).filter(|(op, path)| !is_dropped(op, path)).map(first).collect();
    assert!(ops.len() < run.ops.len(), "the run has no such step");
    ops
}

fn first((op, _): (&Op, &String)) -> Op {
    op.clone()
}

/// Directories that a run made.
fn made(run: &Run) -> BTreeSet<Inode> {
    let made = |op: &Op| match op {
        Op::MakeDir { inode, .. } => Some(*inode),
        _ => None,
    };
    run.ops.iter().filter_map(made).collect()
}

fn is_sync(op: &Op) -> bool {
    matches!(op, Op::Sync { .. } | Op::SyncData { .. })
}

fn caught(step: &str, violations: usize) {
    assert!(violations > 0, "without the {step} no state breaks an invariant: the lane cannot fail");
    let lane = format!("mutant-{}", step.replace(' ', "-"));
    deployfile_testkit::coverage(&lane, &format!("caught, in {violations} states"));
}

#[test]
fn each_sync_of_an_apply_is_needed() {
    let site = second_apply_site();
    let run = site.record();
    assert_eq!(violations(&run, &run.ops), 0, "the run as it is");
    let dirs = made(&run);
    let is_dir = |op: &Op| matches!(op, Op::Sync { inode } if dirs.contains(inode));
    let is_in_release = |path: &str| path.starts_with("root/releases/");
    let is_manifest = |path: &str| path.contains("/.release/.deployfile-new-");
    let files = |op: &Op, path: &str| is_sync(op) && is_in_release(path) && !is_dir(op) && !is_manifest(path);
    caught("file fsync", violations(&run, &without(&run, files)));
    let folders = |op: &Op, path: &str| is_sync(op) && is_in_release(path) && is_dir(op);
    caught("directory fsync", violations(&run, &without(&run, folders)));
    let manifest = |op: &Op, path: &str| is_sync(op) && is_manifest(path);
    caught("manifest fsync", violations(&run, &without(&run, manifest)));
    let root = |op: &Op, path: &str| is_sync(op) && path == "root";
    caught("root fsync after rename", violations(&run, &without(&run, root)));
    let releases = |op: &Op, path: &str| is_sync(op) && path == "root/releases";
    caught("fsync of releases", violations(&run, &without(&run, releases)));
}

#[test]
fn the_journal_must_be_durable_and_written_before() {
    let site = second_apply_site();
    let run = site.record();
    assert_eq!(unrecovered(&site, &run, &run.ops, Kind::Nothing), 0, "the run as it is");
    let is_journal = |path: &str| path.starts_with("root/.deployfile/journal/");
    let synced = without(&run, |op, path| is_sync(op) && is_journal(path));
    caught("journal fdatasync", unrecovered(&site, &run, &synced, Kind::Nothing));
    let (late, early): (Vec<_>, Vec<_>) =
        run.ops.iter().zip(&run.paths).partition(|(_, path)| is_journal(path));
    let at_the_end: Vec<Op> = early.into_iter().chain(late).map(first).collect();
    caught("journal before the effect", unrecovered(&site, &run, &at_the_end, Kind::Everything));
}

#[test]
fn current_must_be_moved_by_a_rename() {
    let run = second_apply_site().record();
    let is_current = |path: &str| path == "root/current";
    let temporary = run.ops.iter().zip(&run.paths).find_map(|(op, path)| match op {
        Op::Rename { from, .. } if is_current(path) => Some(from.clone()),
        _ => None,
    });
    let temporary = temporary.unwrap();
    let mut link = (0, String::new());
    let mut ops = Vec::new();
    for op in &run.ops {
        match op {
            Op::Symlink { at, inode, target } if *at == temporary => link = (*inode, target.clone()),
            Op::Rename { from, to } if *from == temporary => {
                ops.push(Op::Unlink { at: to.clone() });
                ops.push(Op::Symlink { at: to.clone(), inode: link.0, target: link.1.clone() });
            }
            op => ops.push(op.clone()),
        }
    }
    caught("rename of current", violations(&run, &ops));
}

#[test]
fn what_is_removed_must_be_renamed_first() {
    let run = clean_site().record();
    assert_eq!(violations(&run, &run.ops), 0, "the run as it is");
    let is_trash = |name: &str| name.starts_with(".deployfile-trash-");
    // The trash is made of a release: what is done to the one is done to the other.
    let mut names: Vec<((Inode, String), (Inode, String))> = Vec::new();
    let mut ops = Vec::new();
    for op in &run.ops {
        match op {
            Op::Rename { from, to } if is_trash(&to.1) => names.push((to.clone(), from.clone())),
            Op::Unlink { at } if is_trash(&at.1) => {
                let (_, from) = names.iter().find(|(trash, _)| trash == at).unwrap();
                ops.push(Op::Unlink { at: from.clone() });
            }
            op => ops.push(op.clone()),
        }
    }
    assert!(!names.is_empty(), "the run has no such step");
    caught("rename to the trash", violations(&run, &ops));
    let syncs = without(&run, |op, path| is_sync(op) && path == "root/releases");
    caught("fsync of releases before removal", violations(&run, &syncs));
}

/// The checks themselves: a tree that lacks what it must have does not pass.
#[test]
fn a_tree_that_is_broken_by_hand_does_not_pass() {
    let run = second_apply_site().record();
    let known = Known::of(&run);
    assert_eq!(known.check(&run.end, true), Ok(()));
    assert!(known.check(&run.start, true).is_err(), "the old release is served after the end");
    assert_eq!(known.check(&run.start, false), Ok(()));
    assert!(known.check(&Tree::empty(), false).is_err(), "nothing is served");
    let mut tree = run.end.clone();
    tree.rewrite(|path| path.ends_with("hello.txt"), |_| Vec::new());
    assert!(known.check(&tree, false).is_err(), "what is served is empty");
}
