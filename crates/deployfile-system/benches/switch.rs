//! `cargo bench -p deployfile-system --bench switch`: the switch itself, as a run does it (intent into the journal,
//! link, rename, fsync, read back, outcome into the journal), beside the bare cost of what it cannot do without.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and stops when it cannot run"
)]

use deployfile_disk::Dir;
use deployfile_exec::Journal;
use deployfile_model::units::UnixTime;
use deployfile_model::{HostPath, Name, RelPath, ReleaseId, RunId};
use deployfile_record::entry::StepList;
use deployfile_record::{Entry, Fact, StepKey};
use deployfile_system::{Store, current};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

const TIMES: usize = 500;

fn main() {
    // The target's folder is on the disk that the project is on, not on a tmpfs.
    let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = fs::canonicalize(temp.path()).unwrap();
    let path = HostPath::new(root.to_str().unwrap()).unwrap();
    let dir = Dir::open_root(&path).unwrap();
    let store = Store::create(&dir).unwrap();
    let mut journal = store.journal().unwrap();
    let link = Name::new("current").unwrap();
    let ids = ["a", "b"].map(|id| ReleaseId::new(id).unwrap());
    for id in &ids {
        dir.create_dir_all(&RelPath::new(format!("releases/{id}/.release")).unwrap(), 0o755).unwrap();
        fs::write(root.join(format!("releases/{id}/.release/manifest.json")), "{}").unwrap();
    }
    let bare = median(|n| bare_switch(&root, n));
    let bare_with_log = median(|n| {
        bare_append(&root);
        bare_switch(&root, n);
        bare_append(&root);
    });
    let ours = median(|n| {
        let (step, to) = (StepKey { list: StepList::Forward, n: 1 }, Some(ids[n % 2].clone()));
        append(&mut journal, Fact::Switching { step, from: None, to: to.clone() });
        current::ensure(&dir, &path, &link, to.as_ref()).unwrap();
        append(&mut journal, Fact::Switched { step, to });
    });
    println!("symlink + rename + fsync of the directory          {bare:7.0} µs");
    println!("the same between two appends with fdatasync        {bare_with_log:7.0} µs");
    println!(
        "the switch of a run                                {ours:7.0} µs  ({:.2} ×)",
        ours / bare_with_log
    );
}

fn append(journal: &mut impl Journal, fact: Fact) {
    journal.append(&Entry { at: UnixTime(0), run: RunId::new("bench").ok(), fact }).unwrap();
}

fn bare_switch(root: &Path, n: usize) {
    let new = root.join("bare.new");
    symlink(format!("releases/{}", if n.is_multiple_of(2) { "a" } else { "b" }), &new).unwrap();
    fs::rename(&new, root.join("bare")).unwrap();
    fs::File::open(root).unwrap().sync_all().unwrap();
}

fn bare_append(root: &Path) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(root.join("bare.log")).unwrap();
    file.write_all(&[b'x'; 120]).unwrap();
    file.sync_data().unwrap();
}

/// Microseconds.
fn median(mut once: impl FnMut(usize)) -> f64 {
    let mut times: Vec<f64> = (0..TIMES)
        .map(|n| {
            let began = Instant::now();
            once(n);
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[TIMES / 2]
}
