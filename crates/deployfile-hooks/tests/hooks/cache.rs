//! Compiled code: kept, and never believed when somebody else could have written it.

use crate::world::{World, helper, host_with};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

struct Cached {
    world: World,
    dir: PathBuf,
}

impl Cached {
    fn new() -> Self {
        let world = World::doing(r#"{"do":"nothing"}"#);
        let dir = world.root().join("cache/deep");
        let mut cached = Self { world, dir };
        assert_eq!(cached.compiles(), 1);
        cached
    }
    /// How many compilations a call in a new process would take.
    fn compiles(&mut self) -> u32 {
        self.world.host = host_with(self.dir.clone(), Some(helper()), &[]);
        let answer = self.world.call().result.unwrap();
        assert_eq!(answer.halt, None);
        answer.compiled
    }
    fn entry(&self) -> PathBuf {
        let mut entries = std::fs::read_dir(&self.dir).unwrap();
        entries.next().unwrap().unwrap().path()
    }
}

#[test]
fn a_second_process_compiles_nothing() {
    let mut cached = Cached::new();
    assert_eq!(cached.compiles(), 0);
    assert_eq!(cached.world.call().result.unwrap().compiled, 0);
    let mode = std::fs::metadata(&cached.dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_tampered_entry_is_a_miss() {
    let mut cached = Cached::new();
    let entry = cached.entry();
    let good = std::fs::read(&entry).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let mut other_header = good.clone();
    other_header[0] ^= 1;
    for bad in [flipped, other_header, good[..good.len() / 2].to_vec(), Vec::new(), b"no newline".to_vec()] {
        std::fs::write(&entry, bad).unwrap();
        assert_eq!(cached.compiles(), 1);
        assert_eq!(cached.compiles(), 0, "the good entry was not put back");
    }
}

#[test]
fn an_entry_that_others_may_write_is_a_miss() {
    let mut cached = Cached::new();
    let entry = cached.entry();
    std::fs::set_permissions(&entry, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(cached.compiles(), 1);
}

#[test]
fn an_entry_that_is_a_link_is_a_miss() {
    let mut cached = Cached::new();
    let entry = cached.entry();
    let elsewhere = cached.world.root().join("elsewhere");
    std::fs::rename(&entry, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &entry).unwrap();
    assert_eq!(cached.compiles(), 1);
}

#[test]
fn a_directory_that_others_may_write_is_not_used() {
    let mut cached = Cached::new();
    std::fs::set_permissions(&cached.dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!((cached.compiles(), cached.compiles()), (1, 1));
}

#[test]
fn an_entry_of_another_user_is_a_miss() {
    let mut cached = Cached::new();
    let changed = std::os::unix::fs::chown(cached.entry(), Some(65_534), None);
    if changed.is_err() {
        eprintln!("SKIPPED: only root can give a file away");
        return;
    }
    assert_eq!(cached.compiles(), 1);
}

#[test]
fn what_cannot_be_compiled_is_told_by_the_helper_too() {
    let mut broken = crate::world::GUEST.to_vec();
    // Within the code of the first function: the outline stays whole, the code does not validate.
    let at = broken.len() / 3;
    broken[at..at + 64].fill(0xff);
    let mut world = World::of(&broken, "{}");
    let cache = world.root().join("cache");
    world.host = host_with(cache, Some(helper()), &[]);
    world.call().fails("hook::component", &["cannot use the component of plugin `guest`"]);
}
