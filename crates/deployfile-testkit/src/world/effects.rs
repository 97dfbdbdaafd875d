//! What effects do to a simulated host. Each is what `deployfile-system` makes of it, as far as a boundary can tell.

use super::disk::{Alive, Release};
use super::{Broken, Place, Shared, World};
use deployfile_exec::{Call, Effects, Hooks, Outcome, Tell};
use deployfile_model::service::{Manager, OnDeploy};
use deployfile_model::{Digest, ReleaseId};
use deployfile_model::{Name, Stage};
use deployfile_record::effect::{FileEffect, Prerequisites, SealEffect, ServiceEffect};
use deployfile_record::event::Stream;
use deployfile_record::hook::HookAnswer;
use deployfile_record::{Effect, FORMAT, Failure, HookCall, Piece, Plan, ReleaseRecord, Unit};

pub(crate) struct Host(pub(crate) Shared);

impl Effects for Host {
    fn perform(&mut self, call: &Call<'_>, tell: &mut dyn Tell) -> Result<Outcome, Failure> {
        let times = {
            let mut world = self.0.borrow_mut();
            world.at_step(Some(call.key));
            if !world.disk.left_running.is_empty() {
                world.violated(format!(
                    "`{}` is performed beside a process of an earlier try",
                    call.step.what
                ));
            }
            world.boundary(Place::BeforeEffect)?;
            if std::mem::take(&mut world.process.repeats) { 2 } else { 1 }
        };
        let mut outcome = self.act(call, tell)?;
        let once = self.0.borrow().disk.clone();
        for _ in 1..times {
            outcome = self.act(call, tell)?;
            let mut world = self.0.borrow_mut();
            let again = super::Disk {
                journal: once.journal.clone(),
                migrated: once.migrated.clone(),
                ..world.disk.clone()
            };
            if again != once {
                world.violated(format!("`{}` performed twice is not as good as once", call.step.what));
            }
        }
        self.0.borrow_mut().boundary(Place::AfterEffect)?;
        Ok(outcome)
    }

    fn end_leftover(&mut self, pid: u32, _: u64, _: &str) -> Result<(), Failure> {
        self.0.borrow_mut().disk.left_running.retain(|left| *left != pid);
        Ok(())
    }

    fn is_lost(&mut self, release: &ReleaseId) -> Result<bool, Failure> {
        let world = self.0.borrow();
        let release = world.disk.releases.get(release);
        Ok(release.is_some_and(|release| release.sealed.is_none() && release.boot != world.disk.boot))
    }

    fn read_current(&mut self) -> Result<Option<ReleaseId>, Failure> {
        Ok(self.0.borrow().disk.current.clone())
    }
}

impl Host {
    fn act(&mut self, call: &Call<'_>, tell: &mut dyn Tell) -> Result<Outcome, Failure> {
        if let Effect::RunCommand(_) = &call.step.effect {
            return self.run(call, tell);
        }
        self.0.borrow_mut().act(call)
    }

    /// A program of the file: journaled before it may do anything, left running when deployfile is killed.
    fn run(&mut self, call: &Call<'_>, tell: &mut dyn Tell) -> Result<Outcome, Failure> {
        let pid = 100 + call.key.n + 1000 * call.attempt;
        tell.spawned(pid, 1, "boot")?;
        tell.output(Stream::Stdout, "at work");
        let mut world = self.0.borrow_mut();
        world.disk.left_running.push(pid);
        let cut = world.boundary(Place::WithinEffect);
        if !world.process.is_dead {
            world.disk.left_running.retain(|left| *left != pid);
        }
        cut?;
        world.ran(call)?;
        Ok(Outcome::Plain)
    }
}

pub(crate) struct Callers(pub(crate) Shared);

impl Hooks for Callers {
    fn call(&mut self, hook: &HookCall, call: &Call<'_>, tell: &mut dyn Tell) -> Result<HookAnswer, Failure> {
        let mut world = self.0.borrow_mut();
        world.at_step(Some(call.key));
        world.boundary(Place::BeforeEffect)?;
        world.process.repeats = false;
        tell.hook(&hook.plugin, "info", "asked");
        world.boundary(Place::AfterEffect)?;
        let notes = vec![("seen".to_owned(), call.mode.name().to_owned())];
        Ok(HookAnswer { notes, summary: Some("fine".to_owned()), ..HookAnswer::default() })
    }
}

fn target(plan: &Plan) -> Result<ReleaseId, Failure> {
    plan.release.clone().ok_or_else(|| Failure::new("bug::release", "the plan names no release"))
}

impl World {
    fn act(&mut self, call: &Call<'_>) -> Result<Outcome, Failure> {
        match &call.step.effect {
            Effect::ProbePrerequisites(wanted) => self.prerequisites(wanted)?,
            Effect::EnsureReleaseDir => {
                self.need_room()?;
                let boot = self.disk.boot;
                let id = target(call.plan)?;
                self.disk.releases.entry(id).or_insert_with(|| Release { boot, ..Release::default() }.into());
            }
            Effect::EnsureSource(_) => self.source(call.plan)?,
            Effect::EnsureShared { path, .. } => {
                self.need_room()?;
                // What is there is never written.
                self.disk.shared.entry(path.clone()).or_insert_with(|| "empty".to_owned());
                self.put(call.plan, path.as_str(), "→ shared")?;
            }
            Effect::EnsureLink { path, to } => self.put(call.plan, path.as_str(), &format!("→ {to}"))?,
            Effect::EnsureFile(file) => self.file(call.plan, file)?,
            Effect::ProbeNginx { .. } => {}
            Effect::EnsureSealed(seal) => return self.seal(call.plan, seal),
            Effect::EnsureCurrent { release } => self.current(release.as_ref())?,
            Effect::EnsureHostLink { at, to: Some(to) } => {
                self.need_room()?;
                self.disk.host_links.insert(at.clone(), to.clone());
            }
            Effect::EnsureHostLink { at, to: None } => {
                self.disk.host_links.remove(at);
            }
            Effect::EnsureService(service) => self.service(service)?,
            Effect::ProbeHealth { service, .. } => self.healthy(service)?,
            Effect::ProbeBuild { service, build_id, .. } => {
                let serving = self.answering(service)?;
                let found = self.disk.releases.get(&serving).and_then(|release| release.build().cloned());
                if found.as_ref() != Some(build_id) {
                    return Err(Failure::new("verify::build", format!("{service} runs {found:?}")));
                }
            }
            Effect::EnsureCommitted => {
                if self.disk.current != call.plan.release {
                    return Err(Failure::new("commit::moved", "current is another release"));
                }
            }
            Effect::EnsurePruned { release } => self.prune(release)?,
            Effect::RunCommand(_) | Effect::CallHook(_) => {
                return Err(Failure::new("bug::effect", "it has a port of its own"));
            }
        }
        Ok(Outcome::Plain)
    }

    fn prerequisites(&self, wanted: &Prerequisites) -> Result<(), Failure> {
        if self.process.is_full {
            return Err(Failure::refused("check::space", "there is too little room").help("free space"));
        }
        match wanted.secrets.iter().find(|name| !self.secrets.contains_key(*name)) {
            Some(name) => Err(Failure::refused("secret::missing", format!("secret {name} is not there"))),
            None => Ok(()),
        }
    }

    fn source(&mut self, plan: &Plan) -> Result<(), Failure> {
        self.need_room()?;
        let (id, boot) = (target(plan)?, self.disk.boot);
        let revision = plan.revision.clone().unwrap_or_default();
        let release = self.disk.release_mut(&id);
        if release.boot != boot {
            // What an earlier start of the machine left is taken away.
            release.files.clear();
        }
        release.boot = boot;
        self.put(plan, "app/code", &revision)?;
        self.boundary(Place::WithinEffect)?;
        self.put(plan, "app/page", &revision)
    }

    fn put(&mut self, plan: &Plan, path: &str, content: &str) -> Result<(), Failure> {
        self.need_room()?;
        let id = target(plan)?;
        let grows = self.broken == Some(Broken::FilesGrow);
        let Some(release) = self.disk.releases.get_mut(&id) else {
            return Err(Failure::new("disk::failed", format!("open releases/{id}: not found")));
        };
        let file = std::rc::Rc::make_mut(release).files.entry(path.to_owned()).or_default();
        if grows {
            file.push_str(content);
        } else {
            content.clone_into(file);
        }
        Ok(())
    }

    fn file(&mut self, plan: &Plan, file: &FileEffect) -> Result<(), Failure> {
        let mut content = String::new();
        for piece in &file.content {
            match piece {
                Piece::Text(text) => content.push_str(text),
                Piece::Secret(secret, _) => content.push_str(self.secrets.get(&secret.0).map_or("", |v| v)),
            }
        }
        self.put(plan, file.path.as_str(), &content)
    }

    /// What a program of the file did: before the release is sealed it writes into it, in `migrate` it changes data.
    fn ran(&mut self, call: &Call<'_>) -> Result<(), Failure> {
        let what = format!("{} of {}", call.step.what, call.plan.revision.clone().unwrap_or_default());
        match call.step.stage {
            stage if stage < Stage::Seal => {
                self.put(call.plan, &format!("built/{stage}-{}", call.key.n), &what)
            }
            Stage::Migrate => {
                self.need_room()?;
                *self.disk.migrated.entry(what).or_default() += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn seal(&mut self, plan: &Plan, seal: &SealEffect) -> Result<Outcome, Failure> {
        self.need_room()?;
        let (id, boot) = (target(plan)?, self.disk.boot);
        let release = self.disk.release_mut(&id);
        if release.sealed.is_none() && release.boot != boot {
            return Err(Failure::new("seal::restarted", "the machine was started since it was filled")
                .help("deployfile resume makes it anew"));
        }
        release.secret = seal.secret_files.iter().map(ToString::to_string).collect();
        let (tree, bytes) = (release.tree(), release.files.len() as u64);
        let record = ReleaseRecord {
            format: FORMAT,
            id: id.clone(),
            build_id: plan.build_id.clone(),
            revision: plan.revision.clone(),
            spec: plan.spec,
            parent: None,
            plugins: seal.plugins.clone(),
            overrides: seal.overrides.clone(),
            tree,
            bytes,
            entries: bytes,
        };
        self.boundary(Place::WithinEffect)?;
        let release = self.disk.release_mut(&id);
        if release.tail().is_none() {
            return Err(Failure::new("seal::no-tail", "the release has no tail"));
        }
        release.sealed = Some(record);
        Ok(Outcome::Sealed { tree, bytes })
    }

    fn current(&mut self, release: Option<&ReleaseId>) -> Result<(), Failure> {
        if let Some(id) = release.filter(|id| !self.disk.is_sealed(id)) {
            return Err(Failure::new("switch::unsealed", format!("release {id} is not sealed")));
        }
        self.need_room()?;
        if self.broken == Some(Broken::CurrentUnlinked) {
            self.disk.current = None;
        }
        self.boundary(Place::WithinEffect)?;
        self.disk.current = release.cloned();
        Ok(())
    }

    fn service(&mut self, effect: &ServiceEffect) -> Result<(), Failure> {
        let Some(wanted) = &effect.release else {
            self.disk.services.remove(&effect.name);
            return Ok(());
        };
        let started = match effect.manager {
            Manager::External => return Ok(()),
            Manager::Builtin => self.unit(wanted, &effect.name)?,
            // supervisord reads what stands beneath `current`, whatever was meant.
            Manager::Supervisor { .. } => match self.disk.current.clone() {
                Some(current) => current,
                None => return Err(Failure::new("service::failed", "its configuration is not there")),
            },
        };
        self.need_room()?;
        let runs = self.disk.services.contains_key(&effect.name);
        if runs && effect.on_deploy == OnDeploy::None {
            return Ok(());
        }
        if self.disk.current.as_ref() != Some(&started) {
            let current = &self.disk.current;
            self.violated(format!("{} was started from {started} while current is {current:?}", effect.name));
        }
        if effect.on_deploy == OnDeploy::Handover {
            self.boundary(Place::WithinEffect)?;
            if !effect.ready.is_empty() && self.sick.contains(&started) {
                return Err(Failure::new(
                    "verify::health",
                    format!("{} does not become healthy", effect.name),
                ));
            }
        } else if effect.on_deploy == OnDeploy::Restart {
            self.disk.services.remove(&effect.name);
            self.boundary(Place::WithinEffect)?;
        }
        let (manager, on_deploy) = (effect.manager.clone(), effect.on_deploy);
        self.disk.services.insert(effect.name.clone(), Alive { release: started, manager, on_deploy });
        Ok(())
    }

    /// The builtin manager starts what the release says.
    fn unit(&self, release: &ReleaseId, service: &Name) -> Result<ReleaseId, Failure> {
        let files = self.disk.releases.get(release).map(|release| &release.files);
        match files.and_then(|files| files.get(&Unit::path(service))) {
            Some(_) => Ok(release.clone()),
            None => {
                Err(Failure::new("service::unit", format!("release {release} does not describe {service}")))
            }
        }
    }

    /// Who answers for a service: its processes, or behind an external manager whatever is current.
    fn answering(&self, service: &Name) -> Result<ReleaseId, Failure> {
        if let Some(alive) = self.disk.services.get(service) {
            return Ok(alive.release.clone());
        }
        let current =
            self.disk.current.clone().ok_or_else(|| Failure::new("verify::health", "nothing is served"))?;
        let tail = self.disk.releases.get(&current).and_then(|release| release.tail());
        let is_external =
            |effect: &ServiceEffect| effect.name == *service && effect.manager == Manager::External;
        match tail.is_some_and(|tail| tail.services.iter().any(is_external)) {
            true => Ok(current),
            false => Err(Failure::new("verify::health", format!("{service} does not run"))),
        }
    }

    fn healthy(&self, service: &Name) -> Result<(), Failure> {
        let answering = self.answering(service)?;
        match self.sick.contains(&answering) {
            true => Err(Failure::new("verify::health", format!("{service} of {answering} is sick"))),
            false => Ok(()),
        }
    }

    fn prune(&mut self, id: &ReleaseId) -> Result<(), Failure> {
        if self.disk.current.as_ref() == Some(id) {
            return Err(Failure::new("prune::in-use", format!("release {id} is current")));
        }
        if self.broken == Some(Broken::PrunedInPlace) && self.disk.releases.contains_key(id) {
            self.disk.release_mut(id).files.pop_first();
            self.boundary(Place::WithinEffect)?;
            self.disk.releases.remove(id);
            return Ok(());
        }
        if self.disk.releases.remove(id).is_some() {
            self.disk.trash += 1;
        }
        self.boundary(Place::WithinEffect)?;
        // Whatever lies there is swept, also by whoever comes later.
        self.disk.trash = 0;
        Ok(())
    }

    /// The digest of a release of the plan, when it is sealed.
    pub fn tree_of(&self, id: &ReleaseId) -> Option<Digest> {
        self.disk.releases.get(id)?.sealed.as_ref().map(|record| record.tree)
    }
}
