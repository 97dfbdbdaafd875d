//! What shells are offered.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_testkit::Sandbox;
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

#[test]
fn shells_take_the_scripts() {
    let sandbox = shop();
    for shell in ["bash", "zsh", "fish"] {
        let script = sandbox.expect(0, &["completions", shell]).out;
        assert!(script.contains("DEPLOYFILE_COMPLETE"), "{shell}");
        sandbox.write(shell, &script);
        if shell == "bash" {
            let checked = Command::new(shell).arg("-n").arg(sandbox.project().join(shell)).status().unwrap();
            assert!(checked.success(), "{shell} cannot read its script");
        }
    }
}
