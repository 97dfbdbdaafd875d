//! The plan of what cannot be applied: hosts that cannot be reached yet, settings whose machinery is not built. Nothing is
//! looked at but the deployfile's own folder: each host is taken to be one on which nothing was ever applied.

use crate::error::{CliError, Stop, exit};
use crate::host;
use crate::observing::{plugins, url_from};
use crate::project::Opened;
use deployfile_model::spec::SourceKind;
use deployfile_model::{BuildId, Digest, HostPath, Spec, Text};
use deployfile_plan::{Request, Wish, root_of, source_texts};
use deployfile_record::observation::SourceFacts;
use deployfile_record::{Failure, Observation, Plan};
use deployfile_system::source;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// What is said of a revision that nobody looked up.
const UNKNOWN: &str = "unknown";

pub(crate) fn plan(opened: &Opened, spec: &Spec, force: bool) -> Result<Plan, Stop> {
    let components = plugins(opened, spec)?;
    let mut observations = BTreeMap::new();
    let mut sources: BTreeMap<String, SourceFacts> = BTreeMap::new();
    for host in &spec.hosts {
        let root = root_of(spec, host)?;
        let location = source_texts(spec, host, &[location(&spec.source.kind)])?.remove(0);
        let source = match sources.get(&location) {
            Some(known) => known.clone(),
            None => source_facts(opened, spec, &location, &root)?,
        };
        sources.insert(location, source.clone());
        let seen = Observation::unseen(host.name.clone(), root, source);
        observations.insert(host.name.clone(), Observation { plugins: components.clone(), ..seen });
    }
    let wish = Wish::Apply { force };
    let request = Request { spec, observations: &observations, wish, at: host::now() };
    Ok(deployfile_plan::plan(&request)?)
}

fn location(kind: &SourceKind) -> &Text {
    match kind {
        SourceKind::Git { url: location, .. }
        | SourceKind::Dir { path: location, .. }
        | SourceKind::NotBuilt { location, .. } => location,
    }
}

fn source_facts(opened: &Opened, spec: &Spec, location: &str, root: &HostPath) -> Result<SourceFacts, Stop> {
    match &spec.source.kind {
        SourceKind::Dir { exclude, .. } => {
            let path = opened.folder.join(location);
            let real = std::fs::canonicalize(&path).ok().and_then(|real| HostPath::new(real.to_str()?).ok());
            match real {
                Some(path) => Ok(source::observe_dir(&path, exclude, root).map_err(Failure::from)?),
                // A folder of the machine that will deploy: nothing is known of its files.
                None => facts(Digest::of(b"").to_string(), UNKNOWN, without_dots(&path)?),
            }
        }
        SourceKind::Git { .. } => facts(UNKNOWN.to_owned(), UNKNOWN, url_from(&opened.folder, location)?),
        SourceKind::NotBuilt { .. } => {
            let build_id = named_build(location).unwrap_or(UNKNOWN);
            facts(build_id.to_owned(), build_id, location.to_owned())
        }
    }
}

fn facts(revision: String, build_id: &str, location: String) -> Result<SourceFacts, Stop> {
    let natural_build_id = BuildId::new(build_id)
        .map_err(|e| Stop::from(CliError::from_error("plan::no-build-id", exit::INVALID, &e)))?;
    Ok(SourceFacts { revision, natural_build_id, bytes: 0, files: 0, location })
}

/// A path that is not there, as it would be without links.
fn without_dots(path: &Path) -> Result<String, Stop> {
    let whole = std::path::absolute(path)
        .map_err(|e| Stop::from(CliError::from_error("source::path", exit::FAILED, &e)))?;
    let mut out = PathBuf::new();
    for part in whole.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    Ok(out.to_string_lossy().into_owned())
}

/// The build that a location names by itself: the hash of a store path, the digest of an image.
fn named_build(location: &str) -> Option<&str> {
    match location.strip_prefix("/nix/store/") {
        Some(path) => path.split_once('-').map(|(hash, _)| hash).filter(|hash| hash.len() == 32),
        None => location.split_once('@').map(|(_, digest)| digest).filter(|d| d.starts_with("sha256:")),
    }
}

#[cfg(test)]
mod tests {
    use super::named_build;

    #[test]
    fn builds_that_a_location_names() {
        let hash = "0c0rp3a6p8m1y3z8xj0n2q9v4w5k7d1f";
        assert_eq!(named_build(&format!("/nix/store/{hash}-shop")), Some(hash));
        let image = format!("registry.example.com/shop@sha256:{}", "ab".repeat(32));
        assert_eq!(named_build(&image), Some(&image[image.len() - 71..]));
        assert_eq!((named_build("/nix/store/short-x"), named_build("registry/shop:latest")), (None, None));
    }
}
