//! Retention under fire: processes that use releases, clocks that jump, very many releases, a release of somebody else.

use deployfile_journal::{Seq, bytes};
use deployfile_model::units::UnixTime;
use deployfile_model::{Digest, ReleaseId};
use deployfile_record::{Entry, Fact, Ledger};
use deployfile_testkit::needs::{needs, skip};
use deployfile_testkit::{Background, Sandbox, done};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A root on which these were applied, in turn, and then the retention is as given.
fn room(applied: &[&str], retention: &str) -> Sandbox {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    file(&sandbox, "keep 50; grace \"0s\"");
    let program = fs::read("/bin/sleep").unwrap();
    fs::create_dir_all(sandbox.project().join("src")).unwrap();
    fs::write(sandbox.project().join("src/sleep"), program).unwrap();
    fs::copy(library(), sandbox.project().join("src/library.so")).unwrap();
    assert!(
        Command::new("chmod").arg("755").arg(sandbox.project().join("src/sleep")).status().unwrap().success()
    );
    for text in applied {
        sandbox.write("src/page", text);
        sandbox.expect(0, &["apply", "--yes"]);
    }
    file(&sandbox, retention);
    sandbox
}

fn file(sandbox: &Sandbox, retention: &str) {
    let text = format!(
        "deployfile 1\napp small {{ root \"{}\"; }}\nsource dir \"src\"\nretention {{ {retention}; }}\n\
         environment local {{ host localhost {{ connect local; }}; }}\n",
        sandbox.root().display()
    );
    sandbox.write("deployfile.kdl", &text);
}

/// A shared library that this program has loaded, and every other can.
fn library() -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    paths.map(PathBuf::from).find(|path| path.to_string_lossy().contains("libgcc_s")).unwrap_or_else(|| {
        let maps = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
        maps.map(PathBuf::from).find(|path| path.to_string_lossy().contains("libc.so")).unwrap()
    })
}

/// The releases that are there, oldest first, by their page.
fn pages(sandbox: &Sandbox) -> Vec<String> {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(sandbox.root().join("releases")).unwrap().flatten().map(|entry| entry.path()).collect();
    folders.sort_by_key(|folder| {
        fs::metadata(folder.join(".release/manifest.json")).unwrap().modified().unwrap()
    });
    folders.iter().map(|folder| fs::read_to_string(folder.join("page")).unwrap()).collect()
}

fn release(sandbox: &Sandbox, page: &str) -> PathBuf {
    let folders = fs::read_dir(sandbox.root().join("releases")).unwrap().flatten().map(|entry| entry.path());
    folders.into_iter().find(|folder| fs::read_to_string(folder.join("page")).unwrap() == page).unwrap()
}

fn sleeper(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("600");
    command
}

#[test]
fn what_a_process_uses_stays_and_goes_when_the_process_does() {
    let sandbox = room(&["cwd", "exe", "open", "map", "before", "current"], "keep 1; grace \"0s\"");
    let sleep = Path::new("/bin/sleep");
    let cwd = Background::start(sleeper(sleep).current_dir(release(&sandbox, "cwd")));
    let exe = Background::start(&mut sleeper(&release(&sandbox, "exe").join("sleep")));
    let open = fs::File::open(release(&sandbox, "open").join("page")).unwrap();
    let map =
        Background::start(sleeper(sleep).env("LD_PRELOAD", release(&sandbox, "map").join("library.so")));
    let library = release(&sandbox, "map").join("library.so").display().to_string();
    let maps = format!("/proc/{}/maps", map.pid());
    deployfile_testkit::until("the library is mapped", || {
        fs::read_to_string(&maps).is_ok_and(|m| m.contains(&library))
    });

    sandbox.expect(0, &["clean", "--yes"]);
    assert_eq!(pages(&sandbox), ["cwd", "exe", "open", "map", "before", "current"]);
    let done = sandbox.run(&[
        "release",
        "rm",
        release(&sandbox, "cwd").file_name().unwrap().to_str().unwrap(),
        "--yes",
    ]);
    assert!(done.code == 4 && done.err.contains("a process uses it"), "{}", done.err);
    drop(cwd);
    sandbox.expect(0, &["clean", "--yes"]);
    assert_eq!(pages(&sandbox), ["exe", "open", "map", "before", "current"]);
    drop(exe);
    drop(open);
    sandbox.expect(0, &["clean", "--yes"]);
    assert_eq!(pages(&sandbox), ["map", "before", "current"]);
    drop(map);
    sandbox.expect(0, &["clean", "--yes"]);
    assert_eq!(pages(&sandbox), ["before", "current"]);
}

/// Moves everything that the journal says by so many seconds: for the journal the clock has jumped the other way.
fn shift(sandbox: &Sandbox, secs: i64) {
    let file = sandbox.root().join(".deployfile/journal/0001.log");
    let (records, _) = bytes::records::<Entry>(&fs::read(&file).unwrap()).unwrap();
    let moved = records.into_iter().flat_map(|record| {
        let at = UnixTime(record.payload.at.0 + secs);
        bytes::line(record.seq, &Entry { at, ..record.payload }).unwrap()
    });
    fs::write(file, moved.collect::<Vec<u8>>()).unwrap();
}

#[test]
fn a_clock_that_jumps_removes_nothing_by_age() {
    const DAY: i64 = 86_400;
    let all = ["one", "two", "three", "four"];
    // (how far the journal stands in the future, what is left)
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let to_2038 = i64::from(i32::MAX) + 10 - now;
    for (shifted, left) in
        [(400 * DAY, &all[..]), (to_2038, &all[..]), (-29 * DAY, &all[..]), (-31 * DAY, &all[2..])]
    {
        let sandbox = room(&all, "keep 50; max-age \"30d\"; grace \"0s\"");
        shift(&sandbox, shifted);
        sandbox.expect(0, &["clean", "--yes"]);
        assert_eq!(pages(&sandbox), left, "by {shifted} s");
        sandbox.expect(0, &["status"]);
        let listed = sandbox.expect(0, &["releases"]).out;
        assert!(shifted != to_2038 || listed.contains("2038-01-19T03:14"), "{listed}");
    }
}

/// A root whose journal knows this many releases more, each of them a folder.
fn with_many(many: usize) -> Sandbox {
    let sandbox = room(&["one", "two"], "keep 2; grace \"0s\"");
    let file = sandbox.root().join(".deployfile/journal/0001.log");
    let (records, _) = bytes::records::<Entry>(&fs::read(&file).unwrap()).unwrap();
    let mut ledger = Ledger::fold(records.iter().map(|record| &record.payload));
    let facts = ledger.releases.values().next().unwrap().clone();
    for n in 0..many {
        let id = ReleaseId::new(format!("1999-{n:05}")).unwrap();
        fs::create_dir(sandbox.root().join("releases").join(id.as_str())).unwrap();
        let mut facts = facts.clone();
        (facts.created, facts.left) =
            (UnixTime(900_000_000 + n as i64), Some(UnixTime(900_000_001 + n as i64)));
        facts.plan = Digest::of(&n.to_le_bytes());
        fs::write(sandbox.root().join(format!(".deployfile/plans/{}.json", facts.plan.hex())), "{}").unwrap();
        ledger.releases.insert(id, facts);
    }
    let next = Seq(records.len() as u64 + 1);
    let entry = Entry { at: UnixTime(0), run: None, fact: Fact::Checkpoint(Box::new(ledger)) };
    fs::write(file.with_file_name("0002.log"), bytes::line(next, &entry).unwrap()).unwrap();
    fs::remove_file(file).unwrap();
    sandbox
}

/// The mutating file calls of a clean that removes this many releases.
fn calls_of_clean(many: usize) -> usize {
    let sandbox = with_many(many);
    let trace = sandbox.path().join("trace");
    let mut command = sandbox.command(&["clean", "--yes", "--quiet"]);
    command.env("DEPLOYFILE_FAULT", format!("trace:{}", trace.display()));
    let done = done(command);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(pages(&sandbox), ["one", "two"]);
    fs::read_to_string(trace).unwrap().lines().count()
}

#[test]
fn a_clean_takes_as_many_calls_as_there_are_releases_to_remove() {
    let (few, many) = (calls_of_clean(40), calls_of_clean(160));
    let each = (many - few).div_ceil(120);
    assert!(each < 20, "{each} calls for a release: {few}, then {many}");
    assert!(many < few + 120 * (each + 1), "{few} calls for 40 releases, {many} for 160");
}

#[test]
fn ten_thousand_releases_are_read_and_a_checkpoint_holds_them() {
    let sandbox = with_many(10_000);
    let status = sandbox.json(0, &["status"]);
    assert_eq!(status["hosts"][0]["current"].as_str(), sandbox.current().as_deref());
    assert_eq!(sandbox.json(0, &["releases"])["hosts"][0]["releases"].as_array().unwrap().len(), 10_002);
}

/// As root everything can be removed, so this runs as somebody else.
#[test]
fn a_release_of_somebody_else_is_a_warning_with_its_path() {
    let test = "a release of somebody else";
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    // Only root may give files away.
    if !needs("setpriv", test) || (!is_root && !skip(test, "this does not run as root")) {
        return;
    }
    let sandbox = room(&["theirs", "ours", "before", "current"], "keep 1; grace \"0s\"");
    let theirs = release(&sandbox, "theirs");
    let run = |args: &[&str]| assert!(Command::new(args[0]).args(&args[1..]).status().unwrap().success());
    let (path, folder) = (sandbox.path().display().to_string(), theirs.display().to_string());
    run(&["chown", "-R", "nobody", &path]);
    run(&["chown", "-R", "root", &folder]);
    let program = env!("CARGO_BIN_EXE_deployfile");
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--clear-groups", program, "clean", "--yes"])
        .current_dir(sandbox.project());
    let done = done(command);
    run(&["chown", "-R", "root", &path]);
    assert!(done.err.contains("warning:") && done.err.contains(&folder), "{}: {}", done.code, done.err);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(pages(&sandbox), ["theirs", "before", "current"], "it stays where it is, the other one goes");
}
