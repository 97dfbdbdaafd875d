//! What must hold whenever no command runs, whatever happened before.

use deployfile_disk::Dir;
use deployfile_model::{HostPath, ReleaseId};
use deployfile_system::Store;
use deployfile_system::release::{self, Depth};
use deployfile_testkit::Sandbox;
use serde_json::Value;
use std::error::Error;
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
    beneath(sandbox, current.as_deref()).map_err(|e| e.to_string())?;
    if fs::symlink_metadata(sandbox.root().join("current")).is_ok() != current.is_some() {
        return Err("current is no link".to_owned());
    }
    let text = served(sandbox);
    if !may_serve.contains(&text.as_deref()) {
        return Err(format!("{text:?} is served"));
    }
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

/// Current is as it was sealed, and the journal knows all that stands in `releases/`. What `release verify` and
/// `releases` say, asked of the same code without a process for each.
fn beneath(sandbox: &Sandbox, current: Option<&str>) -> Result<(), Box<dyn Error>> {
    let Ok(entries) = fs::read_dir(sandbox.root().join("releases")) else { return Ok(()) };
    let root = Dir::open_root(&HostPath::new(sandbox.root().to_str().ok_or("no UTF-8")?)?)?;
    if let Some(current) = current {
        let drift = release::verify(&root, &ReleaseId::new(current)?, Depth::Everything)?;
        if let Some(first) = drift.first() {
            return Err(format!("release {current} is not as it was sealed: {first}").into());
        }
    }
    let ledger = Store::open(&root)?.ok_or("no .deployfile")?.ledger()?;
    for entry in entries {
        let name = entry?.file_name().into_string().map_err(|_| "no UTF-8")?;
        // What is being removed has a name that is no release's.
        if !name.starts_with('.') && !ledger.releases.keys().any(|id| id.as_str() == name) {
            return Err(format!("releases/{name} is unknown to the journal").into());
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
