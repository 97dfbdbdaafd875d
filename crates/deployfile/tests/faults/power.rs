//! Power cuts by a strict model: a command is recorded, the states that a cut may leave at each of its calls are built,
//! and each is recovered from by the real program.
//!
//! `DEPLOYFILE_LONG=1` tries all of them, and more; otherwise a sample that `DEPLOYFILE_SEED` moves.
//! `DEPLOYFILE_ONLY=117:Names` tries the one of that name.

use super::sample::{is_long, seed};
use super::site::{Known, Site};
use deployfile_testkit::power::{Cut, Run, Volume, cuts};
use deployfile_testkit::trace::{self, Act, Mutation, Trace};
use std::collections::BTreeMap;
use std::fs;

/// States of one command that are recovered from when it is not all of them.
const STATES: usize = 1_080;
/// There are at least so many of each command. Three have more than are tried: all seven together make 5,000.
const FEWEST: usize = 300;
/// Checks that start another process are made for one state in so many.
const CLOSER: usize = 6;

fn volume() -> Volume {
    if is_long() {
        Volume { random: 40, dropped: 100, seed: seed() as u64 }
    } else {
        Volume { random: 6, dropped: 8, seed: seed() as u64 }
    }
}

/// What came of a site's states.
#[derive(Default)]
struct Tally {
    found: usize,
    recovered: usize,
    ends: BTreeMap<String, usize>,
}

fn cut_everywhere(name: &str, site: &Site) {
    let run = site.record();
    let known = Known::of(&run);
    let mut states = Vec::new();
    cuts(&run.start, &run.ops, volume(), |cut| {
        let is_promised = cut.after == run.ops.len();
        known.check(&cut.tree, is_promised).unwrap_or_else(|why| panic!("{}: {why}", told(name, &run, &cut)));
        states.push(cut);
    });
    let mut tally = Tally { found: states.len(), ..Tally::default() };
    let only = std::env::var("DEPLOYFILE_ONLY").ok();
    let wanted: Vec<&Cut> = match &only {
        Some(only) => states.iter().filter(|cut| *only == label(cut)).collect(),
        None => sample(&states),
    };
    for (index, cut) in wanted.into_iter().enumerate() {
        let ends =
            recover(site, &run, cut, index).unwrap_or_else(|why| panic!("{}: {why}", told(name, &run, cut)));
        *tally.ends.entry(ends).or_default() += 1;
        tally.recovered += 1;
    }
    assert!(only.is_some() || tally.recovered >= FEWEST, "too few states: {}", tally.recovered);
    deployfile_testkit::coverage(
        &format!("power-{name}"),
        &format!(
            "{} calls cut, {} states looked at, {} recovered from, 0 violations; {:?}",
            run.ops.len(),
            tally.found,
            tally.recovered,
            tally.ends
        ),
    );
}

/// Those that are recovered from: all, or so many, spread evenly.
fn sample(states: &[Cut]) -> Vec<&Cut> {
    let count = if is_long() { states.len() } else { states.len().min(STATES) };
    let first = seed();
    (0..count).map(|index| &states[(index * states.len() / count + first) % states.len()]).collect()
}

fn label(cut: &Cut) -> String {
    format!("{}:{:?}", cut.after, cut.kind)
}

fn told(name: &str, run: &Run, cut: &Cut) -> String {
    let last = cut.after.checked_sub(1).map_or_else(String::new, |index| {
        let op = format!("{:?}", run.ops[index]);
        format!(", which is {} of {}", op.split([' ', '{']).next().unwrap_or_default(), run.paths[index])
    });
    let (label, long) = (label(cut), if is_long() { "DEPLOYFILE_LONG=1 " } else { "" });
    format!(
        "cut after call {} of {}{last}, {:?} is kept\nreplay: {long}DEPLOYFILE_ONLY='{label}' DEPLOYFILE_SEED={} \
         cargo nextest run -p deployfile --test faults power::{name}\n",
        cut.after,
        run.ops.len(),
        cut.kind,
        seed()
    )
}

/// From what a cut left to what the command was to do, with the program itself. Tells by which exits.
pub(crate) fn recover(site: &Site, run: &Run, cut: &Cut, index: usize) -> Result<String, String> {
    site.put(&cut.tree);
    mend(site, cut.after == run.ops.len(), index)
}

/// From what stands there after a cut to what the command was to do. Every few it looks closer.
pub(crate) fn mend(site: &Site, is_promised: bool, index: usize) -> Result<String, String> {
    let is_closer = index.is_multiple_of(CLOSER);
    if is_closer {
        let _ = site.json(&["status"])?;
    }
    let resumed = site.sandbox.run(&["resume", "--yes"]);
    let mut ends = format!("resume {}", resumed.code);
    // 2: there is no root at all.
    let may_end = if site.exit == 0 { [0, 2] } else { [0, site.exit] };
    if !may_end.contains(&resumed.code) {
        return Err(format!("{ends}: {}", resumed.err));
    }
    if is_closer && resumed.code != 2 && !site.json(&["status"])?["hosts"][0]["interrupted"].is_null() {
        return Err(format!("{ends}: a run is still open: {}", resumed.err));
    }
    if is_promised && site.text().as_deref() != site.after {
        return Err(format!("{:?} is served, though it had ended", site.text()));
    }
    if site.text().as_deref() != site.after || site.before == site.after {
        let again = site.sandbox.run(site.args);
        ends = format!("{ends}, again {}", again.code);
        if again.code != site.exit {
            return Err(format!("{ends}: {}\nafter {}", again.err, resumed.err));
        }
    }
    if site.text().as_deref() != site.after {
        return Err(format!("{ends}: {:?} is served", site.text()));
    }
    if !leftovers(&site.folder()).is_empty() {
        // Nothing was open any more; then the next command that takes the lock sweeps.
        site.sandbox.expect(0, &["clean", "--yes"]);
    }
    let left = leftovers(&site.folder());
    if !left.is_empty() {
        return Err(format!("{ends}: left over: {left:?}"));
    }
    if is_closer {
        let status = site.json(&["status"])?["hosts"][0].clone();
        let current = site.current().ok_or("nothing is current")?;
        if status["current"] != current.as_str() || !status["interrupted"].is_null() {
            return Err(format!("{ends}: status says {status}"));
        }
        let releases = site.json(&["releases"])?["hosts"][0]["releases"].clone();
        let known: Vec<&str> = releases.as_array().unwrap().iter().filter_map(|r| r["id"].as_str()).collect();
        for entry in fs::read_dir(site.root().join("releases")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !known.contains(&name.as_str()) {
                return Err(format!("{ends}: releases/{name} is unknown to the journal"));
            }
        }
    }
    if index % CLOSER < 2 {
        site.json(&["release", "verify", &site.current().unwrap_or_default()])?;
    }
    Ok(ends)
}

/// Temporary names beneath a folder, which nothing refers to. What was given up before it was sealed is kept as it is.
fn leftovers(folder: &std::path::Path) -> Vec<String> {
    let mut folders = vec![folder.to_owned()];
    let mut out = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with(".deployfile-") {
                out.push(entry.path().display().to_string());
            }
            let is_release = folder.ends_with("releases");
            let is_given_up = is_release && !entry.path().join(".release/manifest.json").exists();
            if entry.file_type().unwrap().is_dir() && !is_given_up {
                folders.push(entry.path());
            }
        }
    }
    out
}

pub(crate) fn second_apply_site() -> Site {
    let site = Site::new(&["apply", "--yes"], Some("one"), "two");
    site.applied("one");
    site.sandbox.write("src/hello.txt", "two");
    site
}

pub(crate) fn clean_site() -> Site {
    let site = Site::new(&["clean", "--yes"], Some("four"), "four");
    ["one", "two", "three", "four"].iter().for_each(|text| site.applied(text));
    site.deployfile(1, "");
    site
}

#[test]
fn second_apply() {
    cut_everywhere("second_apply", &second_apply_site());
}

#[test]
fn first_apply() {
    let site = Site::new(&["apply", "--yes"], None, "one");
    site.sandbox.write("src/hello.txt", "one");
    cut_everywhere("first_apply", &site);
}

#[test]
fn rollback() {
    let site = Site::new(&["rollback", "--yes"], Some("two"), "one");
    site.applied("one");
    site.applied("two");
    cut_everywhere("rollback", &site);
}

#[test]
fn clean() {
    cut_everywhere("clean", &clean_site());
}

#[test]
fn apply_that_reverts() {
    let mut site = Site::new(&["apply", "--yes"], Some("one"), "one");
    site.exit = 6;
    site.applied("one");
    site.deployfile(9, "stage verify { sh \"exit 1\"; }");
    site.sandbox.write("src/hello.txt", "two");
    cut_everywhere("apply_that_reverts", &site);
}

/// The recovery is cut, too: what it goes on with was killed just before `current` moved, or just after.
fn interrupted(goes_on: &'static [&'static str], is_after: bool) -> Site {
    let mut site = second_apply_site();
    let current = site.root().join("current");
    let mut is_moved = false;
    let ended = Trace::beneath(&site.folder()).in_turn().run(
        site.sandbox.command(site.args),
        &mut |call: &Mutation| {
            let is_moving = call.kind == trace::Kind::Rename && call.to.as_ref() == Some(&current);
            let is_killed = if is_after { is_moved } else { is_moving };
            is_moved |= is_moving;
            if is_killed { Act::Kill } else { Act::Pass }
        },
    );
    assert_eq!(ended.code, 256 + 9);
    site.args = goes_on;
    site
}

#[test]
fn resume_before_the_switch() {
    cut_everywhere("resume_before_the_switch", &interrupted(&["resume", "--yes"], false));
}

#[test]
fn resume_after_the_switch() {
    let mut site = interrupted(&["resume", "--yes"], true);
    site.before = Some("two");
    cut_everywhere("resume_after_the_switch", &site);
}
