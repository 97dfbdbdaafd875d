//! `releases`: the table of releases.

use crate::args::{EnvArg, Global};
use crate::error::{Stop, exit};
use crate::host::LocalHost;
use crate::terminal::Terminal;
use crate::{host, project};
use deployfile_model::units::{Bytes, UnixTime};
use deployfile_model::{ReleaseId, Spec};
use deployfile_record::ledger::ReleaseFacts;
use deployfile_record::{FORMAT, Ledger, ReleaseState};
use deployfile_report::plan::short;
use deployfile_report::table::table;
use deployfile_system::current;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) fn run(args: &EnvArg, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let opened = project::open(global, terminal)?;
    let environment = opened.environment(args.env.as_deref(), global)?;
    let spec = opened.spec(&environment, &BTreeMap::new(), terminal)?;
    let local = host::open(&spec)?;
    let ledger = local.ledger()?;
    let current = current_id(&local)?;
    if terminal.is_json() {
        let releases: Vec<Value> = ledger
            .releases
            .iter()
            .map(|(id, facts)| document(&spec, &local, current.as_ref(), id, facts))
            .collect();
        let hosts = json!([{ "name": local.name, "releases": releases }]);
        terminal.document(&json!({ "format": FORMAT, "hosts": hosts }))?;
    } else {
        terminal.answer(&text(&ledger, current.as_ref()))?;
    }
    Ok(exit::DONE)
}

/// The release that current names.
pub(crate) fn current_id(local: &LocalHost) -> Result<Option<ReleaseId>, Stop> {
    let Some(root) = &local.root else { return Ok(None) };
    Ok(current::read(root, &local.layout.root, &local.layout.current)?.release().cloned())
}

/// A release as `releases --format json` and `release show` give it.
pub(crate) fn document(
    spec: &Spec,
    local: &LocalHost,
    current: Option<&ReleaseId>,
    id: &ReleaseId,
    facts: &ReleaseFacts,
) -> Value {
    let is_private = facts.state == ReleaseState::Sealed;
    let days = i64::from(spec.retention.private_keep_days);
    let keep_until = is_private.then(|| stamp(UnixTime(facts.created.0 + days * 86_400)));
    json!({
        "id": id,
        "build_id": facts.build_id,
        "revision": facts.revision,
        "state": state(facts.state),
        "current": current == Some(id),
        "pinned": facts.pinned,
        "keep_until": keep_until,
        "created": stamp(facts.created),
        "size_bytes": facts.bytes,
        "path": local.layout.release(id),
        "reason": facts.reason,
        "notes": facts.notes,
    })
}

/// The word of cli.md for a state.
pub(crate) fn state(state: ReleaseState) -> &'static str {
    match state {
        ReleaseState::Unsealed => "unsealed",
        ReleaseState::Sealed => "private",
        ReleaseState::Good => "good",
        ReleaseState::Failed => "failed",
        ReleaseState::Bad => "bad",
    }
}

/// A moment as RFC 3339 in UTC.
pub(crate) fn stamp(at: UnixTime) -> String {
    let mut values = deployfile_render::Values::new();
    values.set_time(at);
    values.get("time").map(std::borrow::Cow::into_owned).unwrap_or_default()
}

fn text(ledger: &Ledger, current: Option<&ReleaseId>) -> String {
    let rows: Vec<Vec<String>> = ledger
        .releases
        .iter()
        .rev()
        .map(|(id, facts)| {
            let mut marks = vec![state(facts.state)];
            marks.extend((current == Some(id)).then_some("current"));
            marks.extend(facts.pinned.then_some("pinned"));
            let build = facts.build_id.as_ref().map_or("", |build| short(build.as_str()));
            let size = facts.bytes.map_or_else(String::new, |bytes| Bytes(bytes).to_string());
            vec![id.to_string(), marks.join(", "), build.to_owned(), size, stamp(facts.created)]
        })
        .collect();
    if rows.is_empty() {
        return "no releases yet\n".to_owned();
    }
    table(&["release", "state", "build", "size", "created"], &rows)
}
