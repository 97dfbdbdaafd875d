//! A plan as text and as a JSON document.

use crate::tone::Tone;
use deployfile_record::{Plan, Step, Why};
use serde_json::{Value, json};
use std::fmt::Write;

/// The plan for people: stages with steps and their reasons, then diffs of rendered files.
pub fn text(plan: &Plan, tone: Tone) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", head(plan, tone));
    for host in &plan.hosts {
        let _ = writeln!(out, "\n{}  {}", tone.strong(host.host.as_str()), tone.dim(host.root.as_str()));
        steps(&mut out, &host.steps, tone);
        if !host.steps.is_empty() && !host.unwind.is_empty() {
            let _ = writeln!(out, "  {}", tone.dim("if it fails from the switch on, the way back:"));
            steps(&mut out, &host.unwind, tone);
        }
        for diff in &host.diffs {
            let _ = write!(out, "\n{}", diff.diff);
        }
    }
    for finding in &plan.findings {
        let _ = writeln!(out, "{}: {}", finding.severity, finding.message);
    }
    out
}

fn head(plan: &Plan, tone: Tone) -> String {
    let release = plan.release.as_ref().filter(|_| plan.changes());
    let to = release.map(|id| format!(" → release {id}")).unwrap_or_default();
    let build =
        plan.build_id.as_ref().map(|id| format!(" (build {})", short(id.as_str()))).unwrap_or_default();
    let digest = format!("plan {}", plan.identity.short());
    format!("{} of {} to {}{to}{build}  {}", plan.goal.name(), plan.app, plan.environment, tone.dim(&digest))
}

/// A build id as people compare it: a commit or digest by its first 12 digits.
pub fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    if hex.len() >= 40 && hex.bytes().all(|b| b.is_ascii_hexdigit()) { &hex[..12] } else { id }
}

fn steps(out: &mut String, steps: &[Step], tone: Tone) {
    let mut stage = None;
    for step in steps {
        let name = if stage == Some(step.stage) { "" } else { step.stage.name() };
        stage = Some(step.stage);
        let skipped = step.skipped.as_ref().map(|why| format!("  (skipped: {why})")).unwrap_or_default();
        let why = match &step.why {
            Why::Always => String::new(),
            other => format!("  {}", tone.dim(&other.to_string())),
        };
        let _ = writeln!(out, "  {:3} {name:8} {}{skipped}{why}", step.n, step.what);
    }
}

/// The document of `plan --format json` (cli.md).
pub fn document(plan: &Plan) -> Value {
    let hosts: Vec<Value> = plan
        .hosts
        .iter()
        .map(|host| {
            json!({
                "name": host.host,
                "root": host.root,
                "steps": host.steps.iter().map(step).collect::<Vec<_>>(),
                "unwind": host.unwind.iter().map(step).collect::<Vec<_>>(),
                "diffs": host.diffs,
            })
        })
        .collect();
    json!({
        "format": deployfile_record::FORMAT,
        "digest": plan.identity,
        "goal": plan.goal.name(),
        "app": plan.app,
        "environment": plan.environment,
        "release": plan.release.as_ref().filter(|_| plan.changes()),
        "from": plan.from,
        "build_id": plan.build_id,
        "revision": plan.revision,
        "changes": plan.changes(),
        "hosts": hosts,
        "findings": plan.findings,
    })
}

fn step(step: &Step) -> Value {
    let why = match &step.why {
        Why::Setting(place) => json!({ "file": place.file, "line": place.line, "column": place.column }),
        Why::Release(id) => json!({ "release": id }),
        Why::Always => Value::Null,
    };
    json!({
        "n": step.n,
        "stage": step.stage.name(),
        "phase": step.phase,
        "what": step.what,
        "why": why,
        "skipped": step.skipped,
    })
}
