//! Differences of rendered files against the current release.

use deployfile_model::ReleaseId;
use deployfile_record::observation::SeenRelease;
use deployfile_record::plan::{FileDiff, shown};
use deployfile_record::{Effect, Step};
use similar::TextDiff;
use std::collections::BTreeMap;

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// One diff a file that changes, appears or goes. Release ids are shown as `<release>`, so that only changes of
/// substance are left.
pub(crate) fn against(current: Option<&SeenRelease>, steps: &[Step], release: &ReleaseId) -> Vec<FileDiff> {
    let none = BTreeMap::new();
    let old = current.map_or(&none, |seen| &seen.files);
    let old_id = current.map(|seen| seen.record.id.clone());
    let new: BTreeMap<String, String> = steps.iter().filter_map(rendered).collect();
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    paths
        .into_iter()
        .filter_map(|path| {
            let before = old.get(path).map(|text| without_id(text, old_id.as_ref())).unwrap_or_default();
            let after = new.get(path).map(|text| without_id(text, Some(release))).unwrap_or_default();
            (before != after).then(|| FileDiff { path: path.clone(), diff: unified(path, &before, &after) })
        })
        .collect()
}

fn rendered(step: &Step) -> Option<(String, String)> {
    match &step.effect {
        Effect::EnsureFile(file) if !file.is_secret() && !file.path.as_str().starts_with(".release/") => {
            Some((file.path.to_string(), shown(&file.content)))
        }
        _ => None,
    }
}

fn without_id(text: &str, id: Option<&ReleaseId>) -> String {
    id.map_or_else(|| text.to_owned(), |id| text.replace(id.as_str(), "<release>"))
}

fn unified(path: &str, before: &str, after: &str) -> String {
    let name = |text: &str, side: &str| {
        if text.is_empty() { "/dev/null".to_owned() } else { format!("{side}/{path}") }
    };
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(CONTEXT)
        .header(&name(before, "current"), &name(after, "release"))
        .to_string()
}
