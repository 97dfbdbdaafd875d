//! Files of a root that somebody changed, or the disk lost: each verb says what and where, nothing is changed, and the
//! command that is named mends it.

use deployfile_testkit::{Done, Sandbox};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What damages a file.
type Breaks<'a> = &'a dyn Fn(&Path);

/// Verbs that read the root.
const READING: [&[&str]; 5] =
    [&["status"], &["releases"], &["apply", "--yes"], &["rollback", "--yes"], &["clean", "--yes"]];

/// A root with two releases, `one` before `two`.
fn room() -> Sandbox {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    file(&sandbox, "");
    sandbox.write("src/bin/tool", "#!/bin/sh\n");
    for text in ["one", "two"] {
        sandbox.write("src/page", text);
        sandbox.expect(0, &["apply", "--yes"]);
    }
    sandbox
}

fn file(sandbox: &Sandbox, more: &str) {
    let text = format!(
        "deployfile 1\napp small {{ root \"{}\"; }}\nsource dir \"src\"\nlink \"to\" to=\"bin\"\n{more}\n\
         retention {{ keep 5; grace \"0s\"; }}\nenvironment local {{ host localhost {{ connect local; }}; }}\n",
        sandbox.root().display()
    );
    sandbox.write("deployfile.kdl", &text);
}

fn journal(sandbox: &Sandbox) -> PathBuf {
    sandbox.root().join(".deployfile/journal/0001.log")
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x01;
    fs::write(file, bytes).unwrap();
}

fn page(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.root().join("current/page")).unwrap_or_default()
}

/// It is told with this code, at this place, with this command.
#[track_caller]
fn told(done: &Done, code: &str, parts: &[&str]) {
    assert!(
        done.code != 0 && done.err.contains(&format!("error[{code}]")),
        "{}: {}{}",
        code,
        done.out,
        done.err
    );
    for part in parts {
        assert!(done.err.contains(part), "{code}: `{part}` is not told:\n{}", done.err);
    }
}

/// What `help:` names after this word, run by a shell.
fn mend(done: &Done, first: &str) {
    let at = done.err.find(first).unwrap_or_else(|| panic!("no `{first}` in {}", done.err));
    let command = done.err[at..].lines().next().unwrap();
    assert!(Command::new("sh").args(["-eu", "-c", command]).status().unwrap().success(), "{command}");
}

#[test]
fn a_flipped_bit_in_the_journal_is_told_by_every_verb_and_cut_off_by_the_named_command() {
    // The last record, its newline, and one of the run before: what came after it is forgotten.
    for from_end in [Some(30), Some(1), None] {
        let sandbox = room();
        let whole = fs::read(journal(&sandbox)).unwrap();
        let at = from_end.map_or(whole.len() / 3, |bytes| whole.len() - bytes);
        flip(&journal(&sandbox), at);
        let line = 1 + whole[..at].iter().filter(|byte| **byte == b'\n').count();
        let damaged = fs::read(journal(&sandbox)).unwrap();
        for verb in READING {
            let done = sandbox.run(verb);
            told(
                &done,
                "journal::failed",
                &["0001.log", &format!("line {line} "), "help:", "truncate --size="],
            );
        }
        assert_eq!(fs::read(journal(&sandbox)).unwrap(), damaged, "nothing is changed by telling");
        assert_eq!(page(&sandbox), "two");
        mend(&sandbox.run(&["status"]), "cp -p ");
        assert_eq!(fs::read(journal(&sandbox).with_extension("log.damaged")).unwrap(), damaged);
        // What was forgotten is an end of a run, at least: the run is open again, and is finished.
        assert!(sandbox.expect(0, &["status"]).out.contains("interrupted"));
        sandbox.expect(0, &["resume", "--yes"]);
        // Where all of a run is forgotten, `current` may name what nobody knows any more; `status` says what to do.
        let status = sandbox.expect(0, &["status"]).out;
        if let Some(next) = status.lines().find_map(|line| line.strip_prefix("next: deployfile ")) {
            sandbox.expect(0, &[next, "--yes"]);
        }
        sandbox.expect(0, &["apply", "--yes", "--force"]);
        assert_eq!(page(&sandbox), "two");
        assert!(!sandbox.expect(0, &["status"]).out.contains("trouble"));
    }
}

#[test]
fn a_current_release_that_cannot_say_what_it_is_can_be_left() {
    let breakages: [(&str, Breaks<'_>); 4] = [
        ("manifest.json", &|folder| flip(&folder.join("manifest.json"), 10)),
        ("tree", &|folder| flip(&folder.join("tree"), 10)),
        ("sealed", &|folder| fs::remove_file(folder.join("manifest.json")).unwrap()),
        ("tail.json", &|folder| flip(&folder.join("tail.json"), 10)),
    ];
    for (what, breaks) in breakages {
        let sandbox = room();
        breaks(&sandbox.root().join("current/.release"));
        let status = sandbox.expect(0, &["status"]).out;
        assert!(status.contains("trouble") && status.contains(what), "{what}: {status}");
        assert!(status.contains("next: deployfile rollback"), "{what}: {status}");
        told(&sandbox.run(&["apply", "--yes"]), "plan::current-unsealed", &["help:", "deployfile rollback"]);
        assert_eq!(page(&sandbox), "two");
        sandbox.expect(0, &["clean", "--yes"]);
        // What is named: back to the one before, and from there on as ever.
        sandbox.expect(0, &["rollback", "--yes"]);
        assert_eq!(page(&sandbox), "one", "{what}");
        sandbox.expect(0, &["apply", "--yes", "--force"]);
        assert_eq!(page(&sandbox), "two");
        assert!(!sandbox.expect(0, &["status"]).out.contains("trouble"));
    }
}

#[test]
fn a_release_that_a_rollback_would_go_to_is_read_first() {
    let sandbox = room();
    let old = fs::read_dir(sandbox.root().join("releases")).unwrap().flatten();
    let old = old.map(|entry| entry.path()).find(|path| !path.ends_with(sandbox.current().unwrap())).unwrap();
    flip(&old.join(".release/manifest.json"), 10);
    let done = sandbox.run(&["rollback", "--yes"]);
    told(&done, "release::damaged", &["manifest.json", "help:", "deployfile releases"]);
    assert_eq!(page(&sandbox), "two");
}

#[test]
fn what_stands_in_the_place_of_current_is_named_and_never_replaced() {
    let breakages: [(&str, Breaks<'_>, &str); 3] = [
        ("plan::current-not-a-link", &|link| fs::create_dir(link).unwrap(), "not a link"),
        ("plan::current-not-a-link", &|link| fs::write(link, "mine").unwrap(), "not a link"),
        ("plan::current-foreign", &|link| symlink("/etc", link).unwrap(), "/etc"),
    ];
    for (code, breaks, part) in breakages {
        let sandbox = room();
        let link = sandbox.root().join("current");
        fs::remove_file(&link).unwrap();
        breaks(&link);
        let before = fs::symlink_metadata(&link).unwrap().file_type();
        for verb in ["apply", "rollback"] {
            told(&sandbox.run(&[verb, "--yes"]), code, &[part, "help:", "mv "]);
        }
        assert_eq!(fs::symlink_metadata(&link).unwrap().file_type(), before);
        let status = sandbox.json(0, &["status"])["hosts"][0].clone();
        assert!(status["trouble"].as_str().unwrap().contains(part), "{status}");
        assert_eq!(status["current"], Value::Null);
        mend(&sandbox.run(&["apply", "--yes"]), "mv ");
        sandbox.expect(0, &["apply", "--yes"]);
        assert_eq!(page(&sandbox), "two");
    }
    // A link to a release that nobody made, and none at all.
    let sandbox = room();
    let link = sandbox.root().join("current");
    fs::remove_file(&link).unwrap();
    symlink("releases/by-hand", &link).unwrap();
    assert!(sandbox.expect(0, &["status"]).out.contains("next: deployfile rollback"));
    told(&sandbox.run(&["apply", "--yes"]), "plan::current-unsealed", &["by-hand", "deployfile rollback"]);
    fs::remove_file(&link).unwrap();
    assert!(sandbox.expect(0, &["status"]).out.contains("next: deployfile apply"));
    sandbox.expect(0, &["apply", "--yes"]);
    assert_eq!(page(&sandbox), "two");
}

#[test]
fn a_lock_file_that_is_not_one() {
    let sandbox = room();
    let lock = sandbox.root().join(".deployfile/lock");
    // Its note is for people only.
    for note in ["", "garbage\0", "{\"who\":1}"] {
        fs::write(&lock, note).unwrap();
        sandbox.expect(0, &["status"]);
        sandbox.expect(0, &["apply", "--yes", "--force"]);
    }
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    for verb in [["status"].as_slice(), &["apply", "--yes"], &["clean", "--yes"]] {
        told(
            &sandbox.run(verb),
            "disk::failed",
            &[".deployfile/lock", "directory", "help:", "mv ROOT/.deployfile/lock"],
        );
    }
    fs::rename(&lock, sandbox.root().join("lock.before")).unwrap();
    sandbox.expect(0, &["apply", "--yes"]);
}

#[test]
fn a_stored_plan_that_is_gone_or_changed_is_never_followed() {
    let breakages: [(&str, Breaks<'_>); 2] = [
        ("it is not there", &|plan| fs::remove_file(plan).unwrap()),
        ("was changed", &|plan| flip(plan, 40)),
    ];
    for (part, breaks) in breakages {
        let sandbox = room();
        sandbox.write("src/page", "three");
        let mut killed = sandbox.command(&["apply", "--yes"]);
        killed.env("DEPLOYFILE_FAULT", "kill:60");
        assert_eq!(deployfile_testkit::done(killed).code, 256 + 9);
        let plans = || fs::read_dir(sandbox.root().join(".deployfile/plans")).unwrap().flatten();
        plans().for_each(|plan| breaks(&plan.path()));
        assert!(sandbox.expect(0, &["status"]).out.contains("interrupted"));
        let done = sandbox.run(&["resume", "--yes"]);
        told(&done, "store::damaged", &[part, "help:", "deployfile apply --force"]);
        assert_eq!(page(&sandbox), "two");
        sandbox.expect(0, &["apply", "--force", "--yes"]);
        assert_eq!(page(&sandbox), "three");
    }
}

/// Every kind of difference is named by `release verify`, and `status` sees it without reading a file that nobody touched.
#[test]
fn each_entry_that_is_not_as_it_was_sealed_is_named() {
    let sandbox = room();
    let (current, release) = (sandbox.current().unwrap(), sandbox.root().join("current"));
    let verify = |code| sandbox.expect(code, &["release", "verify", &current]).out;
    assert!(verify(0).contains("is as it was sealed"));
    fs::write(release.join("page"), "TWO").unwrap();
    fs::remove_file(release.join("to")).unwrap();
    symlink("elsewhere", release.join("to")).unwrap();
    assert!(Command::new("chmod").arg("700").arg(release.join("bin")).status().unwrap().success());
    fs::remove_file(release.join("bin/tool")).unwrap();
    fs::write(release.join("new"), "").unwrap();
    let wanted =
        ["bin (mode changed)", "bin/tool (missing)", "new (added)", "page (changed)", "to (target changed)"];
    let found = verify(1);
    assert_eq!(found.lines().take(5).collect::<Vec<_>>(), wanted, "{found}");
    let status = sandbox.json(0, &["status"])["hosts"][0]["drift"].clone();
    let drift: Vec<&str> = status.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(drift, [wanted[0], wanted[1], wanted[3], wanted[4]], "what was added is no drift");
}
