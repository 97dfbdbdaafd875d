//! Power cuts on real file systems: ext4, XFS and btrfs in files on loop devices, cut at a file call of an apply, then
//! mounted again and recovered from.
//!
//! Two ways to cut: the file system is shut down, so that nothing reaches the disk any more; or the file that it is in is
//! copied while it is mounted, and the copy goes on. ext4 and XFS cannot show a missing sync of a directory, btrfs can.
//!
//! `DEPLOYFILE_LONG=1` cuts at every call; otherwise at a sample that `DEPLOYFILE_SEED` moves.
//! `DEPLOYFILE_ONLY=117:copy` cuts there.

use super::power::mend;
use super::sample::{Only, seed, tried};
use super::site::Site;
use deployfile_disk::tree::WHOLE_SYNC_ABOVE;
use deployfile_testkit::disks::{Disk, Format};
use deployfile_testkit::trace::{Act, Mutation, Trace};
use std::path::PathBuf;
use std::process::Command;

/// Calls that are cut at, by each way, when it is not all of them.
const SAMPLE: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Stop,
    Copy,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Copy => "copy",
        }
    }
}

/// A site on a disk of its own, as it is before each cut.
struct Bench {
    site: Site,
    disk: Disk,
    template: PathBuf,
    /// What was on the disk when it was copied.
    cut: PathBuf,
}

impl Bench {
    fn new(format: Format, test: &str) -> Option<Self> {
        let site = Site::new(&["apply", "--yes"], Some("one"), "two");
        let path = |name: &str| site.sandbox.path().join(name);
        let (template, cut) = (path("template.img"), path("cut.img"));
        let mut disk = Disk::new(format, &path("disk.img"), &site.folder(), test)?;
        site.applied("one");
        site.sandbox.write("src/hello.txt", "two");
        disk.unmount();
        disk.copy(&template);
        Some(Self { site, disk, template, cut })
    }

    fn restore(&mut self) {
        self.disk.replace(&self.template);
        self.disk.mount();
    }

    /// How many calls the command makes.
    fn calls(&mut self) -> usize {
        self.restore();
        let trace = Trace::beneath(&self.site.folder());
        let ended = trace.run(self.site.sandbox.command(self.site.args), &mut |_: &Mutation| Act::Pass);
        assert_eq!(ended.code, 0, "{}", ended.err);
        self.disk.unmount();
        ended.calls
    }

    /// Cuts at a call, or at the end when there are not so many, and recovers. Tells by which exits.
    fn cut_at(&mut self, n: usize, way: Way, index: usize) -> Result<String, String> {
        self.restore();
        let mut is_cut = false;
        let (disk, copy) = (&self.disk, &self.cut);
        let cut = || match way {
            Way::Stop => disk.stop(),
            Way::Copy => disk.copy(copy),
        };
        let trace = Trace::beneath(&self.site.folder());
        let ended = trace.run(self.site.sandbox.command(self.site.args), &mut |call: &Mutation| {
            if call.number < n {
                return Act::Pass;
            }
            if !is_cut {
                cut();
            }
            is_cut = true;
            Act::Kill
        });
        let is_promised = !is_cut && ended.code == 0;
        if !is_cut {
            assert_eq!(ended.code, 0, "{}", ended.err);
            cut();
        }
        self.disk.unmount();
        if way == Way::Copy {
            self.disk.replace(&self.cut);
        }
        self.disk.mount();
        self.site.restarted();
        if ![self.site.before, self.site.after].contains(&self.site.text().as_deref()) {
            return Err(format!("{:?} is served after the cut", self.site.text()));
        }
        let mended = mend(&self.site, is_promised, index);
        self.disk.unmount();
        mended
    }
}

fn cut_everywhere(format: Format, name: &str) {
    let Some(mut bench) = Bench::new(format, &format!("disks::{name}")) else { return };
    let calls = bench.calls();
    let only = Only::read();
    let mut cuts = 0;
    let ways = [Way::Stop, Way::Copy].into_iter().filter(|way| *way == Way::Copy || format.can_stop());
    for way in ways {
        // One more: after the end, when all was promised.
        for n in tried(calls, SAMPLE).chain([calls + 8]) {
            if !only.takes(&[&n, &way.name()]) {
                continue;
            }
            if let Err(why) = bench.cut_at(n, way, 0) {
                panic!(
                    "{name}, cut at call {n} of {calls} by {}: {why}\nreplay: DEPLOYFILE_ONLY={n}:{} DEPLOYFILE_SEED={} \
                     cargo nextest run -p deployfile --test faults disks::{name}",
                    way.name(),
                    way.name(),
                    seed()
                );
            }
            cuts += 1;
        }
    }
    deployfile_testkit::coverage(
        &format!("disks-{name}"),
        &format!("{calls} calls, {cuts} cuts, 0 violations"),
    );
}

#[test]
fn ext4() {
    cut_everywhere(Format::Ext4, "ext4");
}

#[test]
fn xfs() {
    cut_everywhere(Format::Xfs, "xfs");
}

#[test]
fn btrfs() {
    cut_everywhere(Format::Btrfs, "btrfs");
}

/// So many files are made durable by one call for the whole file system, which the model cannot see on its own disk.
#[test]
fn a_release_of_many_files_is_whole_once_it_was_promised() {
    for format in [Format::Ext4, Format::Xfs, Format::Btrfs] {
        let Some(mut bench) = Bench::new(format, "disks::a_release_of_many_files") else { return };
        for n in 0..=WHOLE_SYNC_ABOVE {
            bench.site.sandbox.write(&format!("src/many/{}/{n}", n % 10), &n.to_string());
        }
        bench.restore();
        bench.site.sandbox.expect(0, bench.site.args);
        if format.can_stop() {
            bench.disk.stop();
        } else {
            bench.disk.copy(&bench.cut);
        }
        bench.disk.unmount();
        if !format.can_stop() {
            bench.disk.replace(&bench.cut);
        }
        bench.disk.mount();
        assert_eq!(bench.site.text().as_deref(), bench.site.after, "{format:?}");
        let current = bench.site.current().unwrap();
        bench.site.json(&["release", "verify", &current]).unwrap();
        bench.disk.unmount();
    }
}

/// A deploy without syncs, as a shell makes it: each disk must show what that loses, or its lane could not fail.
#[test]
fn a_deploy_without_syncs_loses_what_it_promised() {
    let test = "disks::a_deploy_without_syncs_loses_what_it_promised";
    for format in [Format::Ext4, Format::Xfs, Format::Btrfs] {
        let site = Site::new(&[], None, "two\n");
        let path = |name: &str| site.sandbox.path().join(name);
        let Some(mut disk) = Disk::new(format, &path("disk.img"), &site.folder(), test) else { return };
        let script = "mkdir -p root/releases/1 && echo two > root/releases/1/hello.txt && \
                      ln -s releases/1 root/new && mv -T root/new root/current";
        let status = Command::new("sh").args(["-c", script]).current_dir(site.folder()).status().unwrap();
        assert!(status.success() && site.text().as_deref() == site.after);
        disk.copy(&path("cut.img"));
        if format.can_stop() {
            disk.stop();
        }
        disk.unmount();
        if !format.can_stop() {
            disk.replace(&path("cut.img"));
        }
        disk.mount();
        assert_ne!(site.text().as_deref(), site.after, "{format:?}: the cut lost nothing");
        disk.unmount();
    }
}
