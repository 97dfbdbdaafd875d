//! What shells are offered.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_testkit::{Sandbox, needs};
use std::path::Path;
use std::process::Command;

fn shop() -> Sandbox {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    sandbox.write("app/page", "one");
    sandbox.write(
        "deployfile.kdl",
        &format!(
            r#"deployfile 1
app shop {{ root "{}"; }}
source dir "app"
role web {{ service gunicorn {{ manager external; }}; }}
environment production {{ host "web[1:2].example.com" {{ roles web; connect local; }}; }}
environment local {{ host localhost {{ roles web; connect local; }}; }}
"#,
            sandbox.root().display()
        ),
    );
    sandbox
}

/// What bash is offered after these words; the last one is being written.
fn offered(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let mut command = sandbox.command(&[]);
    command
        .env("DEPLOYFILE_COMPLETE", "bash")
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "true")
        .args(["--", "deployfile"])
        .args(words);
    let done = deployfile_testkit::done(command);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{words:?}");
    done.out.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn names_of_the_file_are_offered() {
    let sandbox = shop();
    assert_eq!(offered(&sandbox, &["apply", "pro"]), ["production"]);
    assert_eq!(
        offered(&sandbox, &["plan", "production", "--host", "web"]),
        ["web1.example.com", "web2.example.com"]
    );
    assert_eq!(offered(&sandbox, &["service", "restart", "local", "gu"]), ["gunicorn"]);
    assert_eq!(offered(&sandbox, &["plan", "--role", ""]), ["web"]);
    assert!(offered(&sandbox, &["exp"]).contains(&"explain".to_owned()));
    assert!(offered(&sandbox, &["explain", "app.r"]).contains(&"app.root".to_owned()));
    assert_eq!(offered(&sandbox, &["explain", "config::conf"]), ["config::conflict"]);
    assert!(offered(&sandbox, &["apply", "--wa"]).contains(&"--wait".to_owned()));
}

#[test]
fn releases_are_offered_and_a_broken_file_offers_none() {
    let sandbox = shop();
    sandbox.expect(0, &["apply", "local", "--yes"]);
    let id = sandbox.current().unwrap();
    assert_eq!(offered(&sandbox, &["-e", "local", "rollback", "--to", "2"]), std::slice::from_ref(&id));
    assert_eq!(offered(&sandbox, &["-e", "local", "release", "show", "2"]), [id]);
    sandbox.write("deployfile.kdl", "deployfile 1\nrubbish {");
    assert!(offered(&sandbox, &["apply", "pro"]).is_empty());
}

/// What a shell itself offers after its script was read, one candidate a line.
fn offered_by(shell: &str, sandbox: &Sandbox, ask: &str) -> Vec<String> {
    let script = sandbox.expect(0, &["completions", shell]).out;
    sandbox.write("script", &script);
    let program = Path::new(env!("CARGO_BIN_EXE_deployfile"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let options: &[&str] = match shell {
        "bash" => &["--norc", "--noprofile", "-eu", "-c"],
        "zsh" => &["-f", "-c"],
        _ => &["--no-config", "-c"],
    };
    let done = Command::new(shell)
        .args(options)
        .arg(ask)
        .current_dir(sandbox.project())
        .env_clear()
        .envs([("PATH", path.as_str()), ("HOME", sandbox.path().to_str().unwrap()), ("LANG", "C.UTF-8")])
        .output()
        .unwrap();
    assert!(
        done.status.success() && done.stderr.is_empty(),
        "{shell}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    // fish and zsh tell what a word means after a tab or a colon.
    let lines = String::from_utf8(done.stdout).unwrap();
    lines.lines().map(|line| line.split(['\t', ':']).next().unwrap().trim().to_owned()).collect()
}

#[test]
fn shells_themselves_offer_it() {
    let asks = [
        (
            "bash",
            r#"source ./script; COMP_WORDS=(deployfile apply pro); COMP_CWORD=2; COMP_TYPE=9
            words=("${COMP_WORDS[@]}"); $(complete -p deployfile | sed 's/.*-F \([^ ]*\).*/\1/') deployfile pro apply
            printf '%s\n' "${COMPREPLY[@]}""#,
        ),
        (
            "zsh",
            r#"compdef() { }; _describe() { print -l -- ${(P)@[-1]} }; source ./script
            words=(deployfile apply pro); CURRENT=3; _clap_dynamic_completer_deployfile"#,
        ),
        ("fish", r#"source ./script; complete --do-complete "deployfile apply pro""#),
    ];
    for (shell, ask) in asks.into_iter().filter(|(shell, _)| needs(shell, "shells_themselves_offer_it")) {
        let sandbox = shop();
        assert_eq!(offered_by(shell, &sandbox, ask), ["production"], "{shell}");
        // A script that is not the program's offers nothing, so that the test can fail.
        sandbox.write("deployfile.kdl", "deployfile 1\nrubbish {");
        assert_eq!(offered_by(shell, &sandbox, ask).concat(), "", "{shell}");
    }
}
