//! Every environment of every example as something that can be planned for a simulated host.

use deployfile_config::{FileError, Files, load};
use deployfile_model::spec::SourceKind;
use deployfile_model::units::{Millis, UnixTime};
use deployfile_model::{BuildId, Digest, Name, ReleaseId, Spec};
use deployfile_plan::{Refusal, Request, Wish, root_of};
use deployfile_record::Plan;
use deployfile_record::observation::{PluginFacts, SourceFacts};
use deployfile_testkit::world::{Told, World};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What no example has in one place: links outside of the root, a secret in a service's file, both managers, every kind
/// of restart, hooks of no kind, data that is migrated.
const EVERYTHING: &str = r#"deployfile 1
app shop { root "/srv/shop"; }
source git "https://git.example.com/shop.git" ref=main
secret key env KEY
shared { dir "media"; file "settings"; }
link "/srv/www" to="{{ current }}"
link "conf" to="../../shared/settings"
stage build { run make "all" timeout="5m"; }
stage migrate { run "bin/migrate"; }
stage restart { run "bin/told"; }
stage revert { run "bin/told"; }
service web {
  command "{{ release }}/bin/web"
  on-deploy handover
  listen "127.0.0.1:9010"
  env { API_KEY (secret)key; }
  health http="http://127.0.0.1:9010/healthz"
  running-build http="http://127.0.0.1:9010/version"
}
service worker {
  manager supervisor socket="/run/supervisor.sock"
  command "{{ release }}/bin/worker"
  on-deploy restart
}
service mail { command "{{ release }}/bin/mail"; on-deploy reload; }
environment live { host localhost { connect local; }; }
"#;

/// One environment of an example, for one of its hosts.
pub(super) struct Example {
    /// `EXAMPLE/ENVIRONMENT/HOST`.
    pub(super) name: String,
    pub(super) spec: Spec,
    told: Told,
}

struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        fs::read(self.0.join(path)).map_err(|_| FileError::NotFound)
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, FileError> {
        let entries = fs::read_dir(self.0.join(dir)).map_err(|_| FileError::NotFound)?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }
}

struct OneText(&'static str);

impl Files for OneText {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        if path == "deployfile.kdl" { Ok(self.0.as_bytes().to_vec()) } else { Err(FileError::NotFound) }
    }
    fn list(&self, _: &str) -> Result<Vec<String>, FileError> {
        Err(FileError::NotFound)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// The folders of `examples/`, and the text above.
pub(super) fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap().flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.push("everything".to_owned());
    names.sort();
    names
}

/// Every environment of an example, for one host of each set of roles.
pub(super) fn of(name: &str) -> Vec<Example> {
    let path = folder().join(name);
    let loaded = match name {
        "everything" => load(&OneText(EVERYTHING), "deployfile.kdl"),
        _ => load(&Folder(path.clone()), "deployfile.kdl"),
    };
    let project = loaded.project.unwrap_or_else(|| panic!("{}", loaded.diagnostics.render(false)));
    let mut out = Vec::new();
    for environment in project.environments() {
        let (whole, _) = project.spec(&environment, &BTreeMap::new()).unwrap();
        let mut seen = BTreeSet::new();
        for host in whole.hosts.iter().filter(|host| seen.insert(host.roles.clone())) {
            let mut spec = Spec { hosts: vec![host.clone()], ..whole.clone() };
            // So that the third release lets the first one go.
            (spec.retention.keep, spec.retention.grace) = (1, Millis(0));
            let told = Told {
                host: host.name.clone(),
                root: root_of(&spec, host).unwrap(),
                source: source(&spec, 'a'),
                plugins: plugins(&spec, &path),
                target: None,
            };
            out.push(Example { name: format!("{name}/{environment}/{}", host.name), spec, told });
        }
    }
    out
}

fn source(spec: &Spec, revision: char) -> SourceFacts {
    let (revision, location) = match &spec.source.kind {
        SourceKind::Dir { .. } => (Digest::of(&[revision as u8]).to_string(), "/srv/source"),
        _ => (revision.to_string().repeat(40), "https://git.example.com/x.git"),
    };
    let natural_build_id = BuildId::new(revision.clone()).unwrap();
    SourceFacts { revision, natural_build_id, bytes: 10, files: 2, location: location.to_owned() }
}

fn plugins(spec: &Spec, folder: &Path) -> BTreeMap<Name, PluginFacts> {
    let facts = |component: &str| {
        let digest = Digest::of(&fs::read(folder.join(component)).unwrap_or_default());
        let (missing_grants, unused_grants) = (Vec::new(), Vec::new());
        PluginFacts { digest, pinned: Some(digest), size: 1, missing_grants, unused_grants, unusable: None }
    };
    spec.plugins.iter().map(|(name, plugin)| (name.clone(), facts(&plugin.component))).collect()
}

impl Example {
    pub(super) fn host(&self) -> &Name {
        &self.told.host
    }

    /// A host on which nothing was ever applied, with all secrets.
    pub(super) fn empty(&self) -> World {
        let secret = |name: &Name| (name.clone(), format!("hunter2-{name}-value"));
        let mut world = World::default();
        world.secrets = self.spec.secrets.keys().map(secret).collect();
        // A shared file is never made by deployfile, and what people put there stays.
        for shared in self.spec.hosts[0].shared.iter() {
            world.disk.shared.insert(shared.path.clone(), "of people".to_owned());
        }
        world
    }

    /// The plan of an apply of this revision, `n` days after the first.
    pub(super) fn apply(&self, world: &World, revision: char, n: i64) -> Result<Rc<Plan>, Vec<Refusal>> {
        let told = Told { source: source(&self.spec, revision), ..self.told.clone() };
        self.plan(world, &told, Wish::Apply { force: false }, n)
    }

    pub(super) fn rollback(&self, world: &World, n: i64) -> Result<Rc<Plan>, Vec<Refusal>> {
        let target: Option<ReleaseId> = world.disk.ledger().previous().cloned();
        self.plan(world, &Told { target, ..self.told.clone() }, Wish::Rollback { to: None, force: false }, n)
    }

    pub(super) fn clean(&self, world: &World, n: i64) -> Result<Rc<Plan>, Vec<Refusal>> {
        self.plan(world, &self.told, Wish::Clean, n)
    }

    fn plan(&self, world: &World, told: &Told, wish: Wish, n: i64) -> Result<Rc<Plan>, Vec<Refusal>> {
        let observations = BTreeMap::from([(told.host.clone(), world.observe(told))]);
        let at = UnixTime(1_000_000_000 + n * 86_400);
        let request = Request { spec: &self.spec, observations: &observations, wish, at };
        deployfile_plan::plan(&request).map(Rc::new)
    }
}
