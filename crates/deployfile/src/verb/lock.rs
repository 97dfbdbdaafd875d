//! `lock status`: who holds the lock, and since when.

use crate::args::{Global, LockVerb};
use crate::error::{Stop, exit};
use crate::host::LocalHost;
use crate::terminal::Terminal;
use crate::{host, project};
use deployfile_disk::lock::Holder;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) fn run(what: &LockVerb, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let LockVerb::Status(args) = what;
    let opened = project::open(global, terminal)?;
    let environment = opened.environment(args.env.as_deref(), global)?;
    let spec = opened.spec(&environment, &BTreeMap::new(), terminal)?;
    let local = host::open(&spec)?;
    let lock = state(&local)?;
    if terminal.is_json() {
        let hosts = json!([{ "name": local.name, "lock": lock }]);
        terminal.document(&json!({ "format": deployfile_record::FORMAT, "hosts": hosts }))?;
    } else {
        terminal.answer(&format!("{}: {}\n", local.name, line(&lock)))?;
    }
    Ok(exit::DONE)
}

/// The lock as a document; null when nobody holds it.
pub(crate) fn state(local: &LocalHost) -> Result<Value, Stop> {
    Ok(document(local.lock_holder()?.as_ref()))
}

/// A lock and its holder as a document.
pub(crate) fn document(holder: Option<&Holder>) -> Value {
    let Some(holder) = holder else { return Value::Null };
    match &holder.note {
        Some(note) => json!({
            "who": note.who,
            "from": note.from,
            "pid": note.pid,
            "run": note.run,
            "since": note.since,
            "age_seconds": note.age(host::now()).0 / 1000,
        }),
        None => json!({}),
    }
}

/// The lock for people.
pub(crate) fn line(lock: &Value) -> String {
    if lock.is_null() {
        return "free".to_owned();
    }
    if lock["pid"].is_null() {
        return "held by another process".to_owned();
    }
    let text = |key: &str| lock[key].as_str().unwrap_or("somebody").to_owned();
    let run = lock["run"].as_str().map(|run| format!(", run {run}")).unwrap_or_default();
    format!(
        "held by {}@{} (process {}) for {} s{run}",
        text("who"),
        text("from"),
        lock["pid"],
        lock["age_seconds"]
    )
}
