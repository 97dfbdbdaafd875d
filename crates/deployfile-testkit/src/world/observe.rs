//! A simulated host as a plan is told of it.

use super::World;
use deployfile_model::service::Manager;
use deployfile_model::units::UnixTime;
use deployfile_model::{HostPath, Name, ReleaseId};
use deployfile_record::observation::{CurrentLink, PluginFacts, SeenRelease, SourceFacts};
use deployfile_record::{Entry, Fact, Observation};
use std::collections::BTreeMap;

/// What a plan is told that no host knows.
#[derive(Clone, Debug)]
pub struct Told {
    /// The host's name.
    pub host: Name,
    /// Its root.
    pub root: HostPath,
    /// The source.
    pub source: SourceFacts,
    /// Components of plugins.
    pub plugins: BTreeMap<Name, PluginFacts>,
    /// The release that the goal goes to.
    pub target: Option<ReleaseId>,
}

impl World {
    /// The host as it is now.
    pub fn observe(&self, told: &Told) -> Observation {
        let disk = &self.disk;
        let unseen = Observation::unseen(told.host.clone(), told.root.clone(), told.source.clone());
        let current_release = disk.current.as_ref().and_then(|id| self.see(id));
        let services = current_release.iter().flat_map(|seen| &seen.tail.services);
        let down = services
            .filter(|service| {
                service.manager == Manager::Builtin && !disk.services.contains_key(&service.name)
            })
            .map(|service| service.name.clone());
        Observation {
            current: disk.current.clone().map_or(CurrentLink::Absent, CurrentLink::Release),
            ledger: (*disk.ledger()).clone(),
            down: down.collect(),
            current_release,
            target_release: told.target.as_ref().and_then(|id| self.see(id)),
            release_dirs: disk.releases.keys().cloned().collect(),
            plugins: told.plugins.clone(),
            base_env: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
            has_nginx: true,
            is_unseen: false,
            ..unseen
        }
    }

    fn see(&self, id: &ReleaseId) -> Option<SeenRelease> {
        let release = self.disk.releases.get(id)?;
        let record = release.sealed.clone()?;
        let drift = if release.tree() == record.tree { Vec::new() } else { vec!["app (changed)".to_owned()] };
        let is_open = |path: &String| path.starts_with("services/") && !release.secret.contains(path);
        let files = release.files.iter().filter(|(path, _)| is_open(path));
        let files = files.map(|(path, text)| (path.clone(), text.clone())).collect();
        Some(SeenRelease { record, tail: release.tail()?, drift, files })
    }

    /// Everything that the journal says, in one record: what runs before are is of no matter to a run.
    pub fn checkpoint(&mut self) {
        let fact = Fact::Checkpoint(Box::new((*self.disk.ledger()).clone()));
        let (_, next) = self.disk.open_journal();
        let entry = Entry { at: UnixTime(0), run: None, fact };
        self.disk.journal =
            deployfile_journal::bytes::line(next, &entry).expect("a checkpoint can be written");
    }
}
