//! `deployfile fmt` as people, editors and CI call it; and that everything we ship is in its layout.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_testkit::sandbox::done;
use deployfile_testkit::{Done, Sandbox};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MESSY: &str = "deployfile 1\n\n\nvars {\n\n    port   8080 // why  \n\t}\n";
const TIDY: &str = "deployfile 1\n\nvars {\n  port   8080 // why\n}\n";

fn sandbox() -> Sandbox {
    Sandbox::new(env!("CARGO_BIN_EXE_deployfile"))
}

fn read(sandbox: &Sandbox, name: &str) -> String {
    fs::read_to_string(sandbox.project().join(name)).unwrap()
}

/// Runs it with this text as stdin.
fn fed(sandbox: &Sandbox, args: &[&str], input: &str) -> Done {
    let mut command = sandbox.command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn the_deployfile_and_its_imports_are_written() {
    let sandbox = sandbox();
    sandbox.write("deployfile.kdl", &format!("{MESSY}import \"roles/*.kdl\"\n"));
    sandbox.write("roles/web.kdl", "role web {\nenv { A 1; }\n}");
    sandbox.write("roles/tidy.kdl", "role tidy\n");
    sandbox.write("other.kdl", "a {\nb\n}\n");
    let main = sandbox.project().join("deployfile.kdl");
    fs::set_permissions(&main, fs::Permissions::from_mode(0o640)).unwrap();
    let untouched = fs::metadata(sandbox.project().join("roles/tidy.kdl")).unwrap().ino();

    let first = sandbox.expect(0, &["fmt"]);
    assert_eq!(first.out, "formatted deployfile.kdl\nformatted roles/web.kdl\n");
    assert_eq!(read(&sandbox, "deployfile.kdl"), format!("{TIDY}import \"roles/*.kdl\"\n"));
    assert_eq!(read(&sandbox, "roles/web.kdl"), "role web {\n  env { A 1; }\n}\n");
    assert_eq!(read(&sandbox, "other.kdl"), "a {\nb\n}\n", "no part of the project");
    let mode = fs::metadata(&main).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);

    let written = fs::metadata(&main).unwrap().ino();
    let again = sandbox.expect(0, &["fmt"]);
    assert_eq!((again.out.as_str(), again.err.as_str()), ("", "nothing to change in 3 files\n"));
    assert_eq!(fs::metadata(&main).unwrap().ino(), written, "what is right is not written");
    assert_eq!(fs::metadata(sandbox.project().join("roles/tidy.kdl")).unwrap().ino(), untouched);
    let left: Vec<_> = fs::read_dir(sandbox.project()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 3, "nothing is left behind: {left:?}");

    sandbox.expect(0, &["fmt", "other.kdl"]);
    assert_eq!(read(&sandbox, "other.kdl"), "a {\n  b\n}\n");
}

#[test]
fn check_writes_nothing_and_shows_what_would_change() {
    let sandbox = sandbox();
    sandbox.write("deployfile.kdl", MESSY);
    let differs = sandbox.expect(1, &["fmt", "--check"]);
    assert!(
        differs.out.starts_with("--- deployfile.kdl\n+++ deployfile.kdl (formatted)\n"),
        "{}",
        differs.out
    );
    assert!(differs.out.contains("\n-    port   8080 // why  \n"), "{}", differs.out);
    assert!(differs.out.contains("\n+  port   8080 // why\n"), "{}", differs.out);
    assert_eq!(differs.err, "1 of 1 file is not formatted; deployfile fmt writes the layout\n");
    let told = sandbox.json(1, &["fmt", "--check"]);
    assert_eq!((&told["format"], &told["ok"]), (&1.into(), &false.into()));
    assert_eq!(told["files"][0]["file"], "deployfile.kdl");
    assert_eq!(told["files"][0]["changed"], true);
    assert_eq!(told["files"][0]["diff"], differs.out.as_str());
    assert_eq!(read(&sandbox, "deployfile.kdl"), MESSY);

    let written = sandbox.json(0, &["fmt"]);
    assert_eq!((&written["ok"], &written["files"][0]["changed"]), (&true.into(), &true.into()));
    let fine = sandbox.expect(0, &["fmt", "--check"]);
    assert_eq!((fine.out.as_str(), fine.err.as_str()), ("", "nothing to change in 1 file\n"));
    let told = sandbox.json(0, &["fmt", "--check"]);
    assert_eq!((&told["ok"], &told["files"][0]["changed"]), (&true.into(), &false.into()));
}

#[test]
fn stdin_goes_to_stdout() {
    let sandbox = sandbox();
    let filtered = fed(&sandbox, &["fmt", "-"], MESSY);
    assert_eq!((filtered.code, filtered.out.as_str(), filtered.err.as_str()), (0, TIDY, ""));
    assert_eq!(fed(&sandbox, &["fmt", "-"], "").out, "");
    let checked = fed(&sandbox, &["fmt", "-", "--check"], MESSY);
    assert_eq!(checked.code, 1);
    assert!(checked.out.starts_with("--- <stdin>\n"), "{}", checked.out);
    assert_eq!(fed(&sandbox, &["fmt", "-", "--check"], TIDY).code, 0);
    let told: serde_json::Value =
        serde_json::from_str(&fed(&sandbox, &["fmt", "-", "--format", "json"], MESSY).out).unwrap();
    assert_eq!(told["files"][0]["text"], TIDY);

    let invalid = fed(&sandbox, &["fmt", "-"], "a {\n");
    assert_eq!((invalid.code, invalid.out.as_str()), (3, ""));
    assert!(invalid.err.contains("config::brace") && invalid.err.contains("<stdin>:1:3"), "{}", invalid.err);
    let both = sandbox.expect(2, &["fmt", "-", "deployfile.kdl"]);
    assert!(both.err.contains("cannot stand beside files"), "{}", both.err);
}

#[test]
fn a_file_that_is_invalid_stays_and_the_others_are_written() {
    let sandbox = sandbox();
    sandbox.write("bad.kdl", "a {\n   b true\n");
    sandbox.write("good.kdl", MESSY);
    let done = sandbox.expect(3, &["fmt", "bad.kdl", "missing.kdl", "good.kdl", "."]);
    assert!(
        done.err.contains("bad.kdl:2:6") && done.err.contains("cannot read `missing.kdl`"),
        "{}",
        done.err
    );
    assert_eq!(read(&sandbox, "bad.kdl"), "a {\n   b true\n");
    assert_eq!(read(&sandbox, "good.kdl"), TIDY);
    let told = sandbox.json(3, &["fmt", "bad.kdl"]);
    assert_eq!((&told["ok"], told["errors"].as_array().unwrap().len() > 1), (&false.into(), true));

    // What a setting means is not for `fmt`; what cannot be read is said.
    sandbox.write("deployfile.kdl", "colour red {\nx\n}\nimport \"gone.kdl\"\n");
    let done = sandbox.expect(3, &["fmt"]);
    assert!(done.err.contains("gone.kdl") && !done.err.contains("colour"), "{}", done.err);
    assert_eq!(read(&sandbox, "deployfile.kdl"), "colour red {\n  x\n}\nimport \"gone.kdl\"\n");
    sandbox.expect(3, &["fmt", "-f", "nowhere.kdl"]);
}

#[test]
fn a_link_stays_a_link_and_one_out_of_the_project_is_left_alone() {
    let sandbox = sandbox();
    sandbox.write("real.kdl", &format!("{MESSY}import \"shared.kdl\" outside=#true\n"));
    symlink("real.kdl", sandbox.project().join("deployfile.kdl")).unwrap();
    let outside = sandbox.path().join("shared.kdl");
    fs::write(&outside, "vars {\na 1\n}\n").unwrap();
    symlink(&outside, sandbox.project().join("shared.kdl")).unwrap();

    let told = sandbox.json(0, &["fmt"]);
    assert_eq!(told["left_alone"], serde_json::json!(["shared.kdl"]));
    assert_eq!(fs::read_link(sandbox.project().join("deployfile.kdl")).unwrap(), Path::new("real.kdl"));
    assert!(read(&sandbox, "real.kdl").starts_with(TIDY));
    assert_eq!(fs::read_to_string(&outside).unwrap(), "vars {\na 1\n}\n");
    assert!(sandbox.expect(0, &["fmt"]).err.contains("left alone: shared.kdl"));

    sandbox.expect(0, &["fmt", "shared.kdl"]);
    assert_eq!(fs::read_to_string(&outside).unwrap(), "vars {\n  a 1\n}\n", "it was named");
}

#[test]
fn what_cannot_be_written_stays_as_it_was() {
    let sandbox = sandbox();
    sandbox.write("deployfile.kdl", MESSY);
    let mut command = Command::new("sh");
    // No file may grow, and that is an error instead of a signal.
    command.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" fmt", env!("CARGO_BIN_EXE_deployfile")]);
    let failed = done({
        command.current_dir(sandbox.project());
        command
    });
    assert_eq!(failed.code, 1, "{}", failed.err);
    assert!(failed.err.contains("error[fmt::write]: write deployfile.kdl"), "{}", failed.err);
    assert_eq!(read(&sandbox, "deployfile.kdl"), MESSY);
    assert_eq!(fs::read_dir(sandbox.project()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn everything_we_ship_is_in_this_layout() {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for folder in ["examples", "crates/deployfile/templates", "nix/template", "docs/src"] {
        for file in files(&repository.join(folder)) {
            let name = file.strip_prefix(&repository).unwrap().display().to_string();
            let text = match file.extension().and_then(|end| end.to_str()) {
                Some("kdl" | "md") => fs::read_to_string(&file).unwrap(),
                _ => continue,
            };
            let texts = if name.ends_with(".kdl") { vec![text] } else { blocks(&text) };
            seen += texts.len();
            wrong.extend(texts.iter().filter_map(|text| difference(&name, text)));
        }
    }
    let readme = fs::read_to_string(repository.join("README.md")).unwrap();
    wrong.extend(blocks(&readme).iter().filter_map(|text| difference("README.md", text)));
    assert!(seen > 20, "only {seen} were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All files beneath a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The `kdl` blocks of a page, but for those that must be refused.
fn blocks(page: &str) -> Vec<String> {
    let parts = page.split("\n```kdl").skip(1).filter_map(|rest| rest.split_once('\n'));
    let fine = parts.filter(|(marks, _)| !marks.contains("fails="));
    fine.map(|(_, rest)| rest.split("\n```").next().unwrap().to_owned() + "\n").collect()
}

fn difference(name: &str, text: &str) -> Option<String> {
    match deployfile_config::format(name, text.as_bytes().to_vec()) {
        Ok(formatted) if formatted.changes() => {
            Some(format!("{name}: is\n{}\nshould be\n{}", formatted.before, formatted.after))
        }
        Ok(_) => None,
        Err(error) => Some(format!("{name}: {error}\n{text}")),
    }
}
