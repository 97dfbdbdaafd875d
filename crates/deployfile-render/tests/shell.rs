//! What shells read from environment files and from templates of kind `sh`.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so and ends")]

mod tool;

use deployfile_model::stage::TemplateKind;
use deployfile_render::{Values, env, template};
use std::collections::BTreeMap;
use std::process::Command;

const SHELLS: [&str; 2] = ["/usr/bin/dash", "/usr/bin/bash"];

/// What `script` prints, with NUL between values.
fn printed(shell: &str, script: &str) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script");
    std::fs::write(&path, script).unwrap();
    let output = Command::new(shell).arg("-eu").arg(&path).env_clear().output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Ok(text.split_terminator('\0').map(str::to_owned).collect())
}

#[test]
fn environment_files() {
    let values: Vec<String> = tool::nasty().into_iter().filter(|v| env::quote_inside(v).is_ok()).collect();
    assert!(values.len() > 1_000, "most nasty strings can be written: {}", values.len());
    let variables: BTreeMap<String, String> =
        values.into_iter().enumerate().map(|(n, value)| (format!("V{n:04}"), value)).collect();
    let file = env::serialize(&variables).unwrap();
    let prints: String = variables.keys().map(|name| format!("printf '%s\\0' \"${name}\"\n")).collect();
    for shell in SHELLS.into_iter().filter(|shell| tool::is_here(shell)) {
        let read = printed(shell, &format!("{file}{prints}")).unwrap();
        for (read, meant) in read.iter().zip(variables.values()) {
            assert_eq!(read, meant, "{shell}");
        }
        assert_eq!(read.len(), variables.len());
        let broken = file.replacen("\\`", "`", 1);
        assert_ne!(broken, file);
        assert!(printed(shell, &format!("{broken}{prints}")) != Ok(read), "an escape less is seen");
    }
}

#[test]
fn templates_of_kind_sh() {
    let (mut values, mut source) = (Values::new(), String::new());
    let nasty = tool::nasty();
    for (n, value) in nasty.iter().enumerate() {
        values.set_var(&format!("v{n}"), value);
        source.push_str(&format!("printf '%s\\0' {{{{ vars.v{n} }}}}\n"));
    }
    let script = template::render("t", &source, TemplateKind::Sh, &values).unwrap();
    for shell in SHELLS.into_iter().filter(|shell| tool::is_here(shell)) {
        assert_eq!(printed(shell, &script).unwrap(), nasty, "{shell}");
    }
}
