//! `cargo bench -p deployfile-system --bench seal`: sealing a release of 1,000 new files of 4 KiB (read, digest, write the
//! listing and the manifest, make all of it durable, read back), beside an fsync of as many files, one after the other.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and stops when it cannot run"
)]

use deployfile_disk::Dir;
use deployfile_exec::port::Stop;
use deployfile_model::{Digest, HostPath, ReleaseId};
use deployfile_record::effect::SealEffect;
use deployfile_system::release::{self, Header};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

const FILES: usize = 1_000;
const FOLDERS: usize = 10;
const ROUNDS: usize = 9;

fn main() {
    // The target's folder is on the disk that the project is on, not on a tmpfs.
    let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = fs::canonicalize(temp.path()).unwrap();
    let dir = Dir::open_root(&HostPath::new(root.to_str().unwrap()).unwrap()).unwrap();
    let (mut in_turn, mut sealed): (Vec<f64>, Vec<f64>) = (0..ROUNDS)
        .map(|round| {
            let plain = root.join(format!("plain{round}"));
            fill(&plain);
            let fsyncs = milliseconds(|| sync_in_turn(&plain));
            let id = ReleaseId::new(format!("r{round}")).unwrap();
            fill(&root.join(format!("releases/{id}")));
            (fsyncs, milliseconds(|| seal(&dir, &id)))
        })
        .unzip();
    let (in_turn, sealed) = (median(&mut in_turn), median(&mut sealed));
    println!("fsync of {FILES} files of 4 KiB in turn   {in_turn:7.0} ms");
    println!("sealing as many                       {sealed:7.0} ms  ({:.2} ×)", sealed / in_turn);
}

/// New files that nothing has written back yet.
fn fill(folder: &Path) {
    rustix::fs::sync();
    for n in 0..FILES {
        let folder = folder.join(format!("d{}", n % FOLDERS));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("f{n}")), vec![n as u8; 4096]).unwrap();
    }
}

fn sync_in_turn(folder: &Path) {
    for n in 0..FILES {
        fs::File::open(folder.join(format!("d{}/f{n}", n % FOLDERS))).unwrap().sync_all().unwrap();
    }
}

fn seal(root: &Dir, id: &ReleaseId) {
    let spec = Digest::of(b"bench");
    let header = Header { id: id.clone(), build_id: None, revision: None, spec, parent: None };
    let effect =
        SealEffect { secret_files: Vec::new(), plugins: BTreeMap::new(), overrides: BTreeMap::new() };
    release::seal(root, &header, &effect, &Stop::new()).unwrap();
}

fn milliseconds(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64() * 1e3
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
