//! A guard at the door of `seal`: vetoes a release that holds too much, or what it must not hold, and notes its
//! facts (bytes, files, build id) for the journal.

mod name;
mod settings;
mod tree;

use deployfile_hook::{Answer, Result, context};
use settings::Settings;
use tree::Tree;

deployfile_hook::hook!(run);
deployfile_hook::manifest!("../manifest.json");

fn run() -> Result<Answer> {
    let settings: Settings = deployfile_hook::config()?;
    let limits = settings.limits()?;
    let tree = Tree::read(&settings)?;
    let objections = tree.objections(&settings, &limits);
    if !objections.is_empty() {
        return Ok(Answer::halt(objections.join("; ")));
    }
    let summary = format!("{} files, {} bytes", tree.files, tree.bytes);
    let mut answer = Answer::proceed()
        .summary(summary)
        .note("bytes", tree.bytes)
        .note("files", tree.files)
        .note("directories", tree.directories)
        .note("symlinks", tree.symlinks);
    if let Some((path, size)) = &tree.largest {
        answer = answer.note("largest", format!("{path} ({size} bytes)"));
    }
    if let Some(build_id) = context::target_release().and_then(|release| release.build_id()) {
        answer = answer.note("build-id", build_id);
    }
    Ok(answer)
}
