//! `release show|verify|pin|unpin|rm`: one release.

use crate::args::{Global, ReleaseArg, ReleaseVerb};
use crate::error::{CliError, Stop, exit};
use crate::host::{self, LocalHost};
use crate::terminal::Terminal;
use crate::verb::releases::{current_id, document, stamp, state};
use crate::verb::rollback::release_id;
use crate::{project, running};
use deployfile_exec::Journal;
use deployfile_model::units::{Bytes, Millis};
use deployfile_model::{ReleaseId, Spec};
use deployfile_record::entry::{StepKey, StepList};
use deployfile_record::ledger::ReleaseFacts;
use deployfile_record::{Entry, Fact, Failure};
use deployfile_system::release::{Depth, DriftKind};
use deployfile_system::{in_use, release};
use serde_json::json;
use std::collections::BTreeMap;

pub(crate) fn run(what: &ReleaseVerb, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let (ReleaseVerb::Show(arg)
    | ReleaseVerb::Verify(arg)
    | ReleaseVerb::Pin(arg)
    | ReleaseVerb::Unpin(arg)
    | ReleaseVerb::Rm(arg)) = what;
    let (spec, mut local, id) = open(arg, global, terminal)?;
    match what {
        ReleaseVerb::Show(_) => show(&spec, &local, &id, terminal),
        ReleaseVerb::Verify(_) => verify(&local, &id, terminal),
        ReleaseVerb::Pin(_) => {
            note(&mut local, Fact::Pinned { release: id.clone() }, &id, "is pinned", terminal)
        }
        ReleaseVerb::Unpin(_) => {
            note(&mut local, Fact::Unpinned { release: id.clone() }, &id, "is no longer pinned", terminal)
        }
        ReleaseVerb::Rm(_) => remove(&mut local, &id, terminal),
    }
}

fn open(arg: &ReleaseArg, global: &Global, terminal: Terminal) -> Result<(Spec, LocalHost, ReleaseId), Stop> {
    let id = release_id(&arg.id)?;
    let opened = project::open(global, terminal)?;
    let environment = opened.environment(arg.env.as_deref(), global)?;
    let spec = opened.spec(&environment, &BTreeMap::new(), terminal)?;
    let local = host::open(&spec)?;
    if !local.ledger()?.releases.contains_key(&id) {
        let error =
            CliError::new("plan::unknown-release", exit::REFUSED, format!("there is no release {id}"));
        return Err(error.help("see what there is: deployfile releases").into());
    }
    Ok((spec, local, id))
}

fn show(spec: &Spec, local: &LocalHost, id: &ReleaseId, terminal: Terminal) -> Result<u8, Stop> {
    let ledger = local.ledger()?;
    let Some(facts) = ledger.releases.get(id) else { return Ok(exit::REFUSED) };
    let current = current_id(local)?;
    if terminal.is_json() {
        let document = document(spec, local, current.as_ref(), id, facts);
        terminal.document(&json!({ "format": deployfile_record::FORMAT, "release": document }))?;
    } else {
        terminal.answer(&text(local, current.as_ref() == Some(id), id, facts))?;
    }
    Ok(exit::DONE)
}

fn text(local: &LocalHost, is_current: bool, id: &ReleaseId, facts: &ReleaseFacts) -> String {
    let notes: Vec<String> = facts.notes.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    let mut marks = vec![state(facts.state)];
    marks.extend(is_current.then_some("current"));
    marks.extend(facts.pinned.then_some("pinned"));
    let or_nothing = |text: Option<String>| text.unwrap_or_default();
    deployfile_report::table::facts(&[
        ("release", id.to_string()),
        ("state", marks.join(", ")),
        ("reason", or_nothing(facts.reason.clone())),
        ("build", or_nothing(facts.build_id.as_ref().map(ToString::to_string))),
        ("revision", or_nothing(facts.revision.clone())),
        ("created", stamp(facts.created)),
        ("size", or_nothing(facts.bytes.map(|bytes| Bytes(bytes).to_string()))),
        ("path", local.layout.release(id).to_string()),
        ("notes", notes.join("\n")),
    ])
}

fn verify(local: &LocalHost, id: &ReleaseId, terminal: Terminal) -> Result<u8, Stop> {
    let found = release::verify(local.dir()?, id, Depth::Everything).map_err(Failure::from)?;
    let spoiled = found.iter().any(|drift| drift.what != DriftKind::Added);
    if terminal.is_json() {
        let drift: Vec<String> = found.iter().map(ToString::to_string).collect();
        let document =
            json!({ "format": deployfile_record::FORMAT, "release": id, "ok": !spoiled, "drift": drift });
        terminal.document(&document)?;
    } else {
        for drift in &found {
            terminal.answer(&format!("{drift}\n"))?;
        }
        let verdict = if spoiled { "is not as it was sealed" } else { "is as it was sealed" };
        terminal.answer(&format!("release {id} {verdict}\n"))?;
    }
    Ok(if spoiled { exit::FAILED } else { exit::DONE })
}

fn note(
    local: &mut LocalHost,
    fact: Fact,
    id: &ReleaseId,
    words: &str,
    terminal: Terminal,
) -> Result<u8, Stop> {
    let mut locked = running::lock(local, Millis(0))?;
    locked.journal.append(&Entry { at: host::now(), run: None, fact })?;
    done(id, words, terminal)
}

fn done(id: &ReleaseId, words: &str, terminal: Terminal) -> Result<u8, Stop> {
    if terminal.is_json() {
        terminal.document(&json!({ "format": deployfile_record::FORMAT, "release": id, "done": words }))?;
    } else {
        terminal.answer(&format!("release {id} {words}\n"))?;
    }
    Ok(exit::DONE)
}

fn remove(local: &mut LocalHost, id: &ReleaseId, terminal: Terminal) -> Result<u8, Stop> {
    if !terminal.agrees(&format!("remove release {id}?")) {
        let error = CliError::new(
            "cli::not-agreed",
            exit::USAGE,
            "the removal was not agreed to, nothing was touched",
        );
        return Err(error.help("without a terminal, say --yes").into());
    }
    let mut locked = running::lock(local, Millis(0))?;
    let ledger = locked.journal.ledger();
    let kept = if current_id(local)?.as_ref() == Some(id) {
        Some("it is current")
    } else if ledger.previous() == Some(id) {
        Some("it is the previous release")
    } else if ledger.releases.get(id).is_some_and(|facts| facts.pinned) {
        Some("it is pinned")
    } else if ledger.open.is_some() {
        Some("a run was interrupted, finish it first: deployfile resume")
    } else if in_use::releases_in_use(&local.layout.root).contains(id) {
        Some("a process uses it")
    } else {
        None
    };
    if let Some(why) = kept {
        let error = CliError::new("release::kept", exit::REFUSED, format!("release {id} is kept: {why}"));
        return Err(error.into());
    }
    release::remove(local.dir()?, id).map_err(Failure::from)?;
    let step = StepKey { list: StepList::Forward, n: 0 };
    let fact = Fact::Pruned { step, release: id.clone() };
    locked.journal.append(&Entry { at: host::now(), run: None, fact })?;
    done(id, "is removed", terminal)
}
