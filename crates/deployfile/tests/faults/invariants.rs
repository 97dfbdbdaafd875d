//! What must hold whenever no command runs, whatever happened before.

use deployfile_testkit::Sandbox;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// What a file of the shared data holds once it is there.
pub(crate) const KEPT: &str = "kept\n";

/// The text of `hello.txt` that is served; `None`: nothing is.
pub(crate) fn served(sandbox: &Sandbox) -> Option<String> {
    fs::read_to_string(sandbox.root().join("current/hello.txt")).ok()
}

/// One whole, sealed release is served, one of those that may be; nothing stands in `releases/` that the journal does
/// not know; shared data is as it was. Gives what `status` says of the host.
pub(crate) fn check(sandbox: &Sandbox, may_serve: &[Option<&str>]) -> Result<Value, String> {
    let status = json(sandbox, &["status"])?["hosts"][0].clone();
    let current = sandbox.current();
    if status["current"] != current.clone().map_or(Value::Null, Value::from) {
        return Err(format!("status says {}, the link {current:?}", status["current"]));
    }
    if let Some(current) = &current {
        json(sandbox, &["release", "verify", current])?;
    }
    if fs::symlink_metadata(sandbox.root().join("current")).is_ok() != current.is_some() {
        return Err("current is no link".to_owned());
    }
    let text = served(sandbox);
    if !may_serve.contains(&text.as_deref()) {
        return Err(format!("{text:?} is served"));
    }
    all_known(sandbox)?;
    let kept = sandbox.root().join("shared/media/kept.txt");
    match fs::read_to_string(&kept) {
        Ok(text) if text == KEPT => Ok(status),
        // A first apply makes the folder, and nobody has put anything there.
        Err(_) if may_serve.contains(&None) => Ok(status),
        other => Err(format!("shared data: {other:?}")),
    }
}

/// The answer of a verb that only reads.
pub(crate) fn json(sandbox: &Sandbox, args: &[&str]) -> Result<Value, String> {
    let done = sandbox.run(&[&["--format", "json"], args].concat());
    match serde_json::from_str(done.out.lines().last().unwrap_or_default()) {
        Ok(document) if done.code == 0 => Ok(document),
        _ => Err(format!("{args:?} exits with {}: {}{}", done.code, done.out, done.err)),
    }
}

fn all_known(sandbox: &Sandbox) -> Result<(), String> {
    let Ok(entries) = fs::read_dir(sandbox.root().join("releases")) else { return Ok(()) };
    let releases = json(sandbox, &["releases"])?["hosts"][0]["releases"].clone();
    let known: BTreeSet<&str> =
        releases.as_array().ok_or("no list of releases")?.iter().filter_map(|r| r["id"].as_str()).collect();
    for entry in entries {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // What is being removed has a name that is no release's.
        if !name.starts_with('.') && !known.contains(name.as_str()) {
            return Err(format!("releases/{name} is unknown to the journal"));
        }
    }
    Ok(())
}

/// Temporary names beneath the root, which nothing refers to.
pub(crate) fn leftovers(sandbox: &Sandbox) -> Vec<String> {
    let mut folders = vec![sandbox.root()];
    let mut out = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(".deployfile-") {
                out.push(entry.path().display().to_string());
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    out
}
