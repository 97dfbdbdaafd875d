//! The effects of a plan on this machine. One function an effect; each may be repeated.

use crate::disk_failure as disk;
use crate::secret::{self, Redactor, SecretText};
use crate::{current, in_use, nginx, probe, process, release, service, source};
use deployfile_disk::{Dir, Kind};
use deployfile_exec::{Call, Effects, Outcome, Tell};
use deployfile_model::spec::{App, Layout};
use deployfile_model::{HostPath, Name, RelPath, ReleaseId};
use deployfile_record::effect::{FileEffect, Piece, Prerequisites, Probe, ProbeTarget, Quoting};
use deployfile_record::observation::CurrentLink;
use deployfile_record::{Command, Effect, Failure, HostPlan, Plan, Step};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// This machine, as the host of one root.
pub struct ThisHost {
    root: Dir,
    layout: Layout,
    secrets: BTreeMap<Name, SecretText>,
    /// Bytes of each service's log when this run began to change it: what came before belongs to another release.
    logged: BTreeMap<Name, u64>,
}

impl ThisHost {
    /// The host of `root`, which is open as `dir`.
    pub fn new(dir: Dir, layout: Layout) -> Self {
        Self { root: dir, layout, secrets: BTreeMap::new(), logged: BTreeMap::new() }
    }

    /// The value of a secret of the plan, read once a run.
    pub fn secret(&mut self, plan: &Plan, name: &Name) -> Result<SecretText, Failure> {
        if let Some(known) = self.secrets.get(name) {
            return Ok(known.clone());
        }
        let Some(provider) = plan.secrets.get(name) else {
            return Err(Failure::new(
                "bug::secret",
                format!("the plan does not say where secret `{name}` is"),
            ));
        };
        let value = secret::read(name, provider).map_err(|e| secret::failure(&e))?;
        self.secrets.insert(name.clone(), value.clone());
        Ok(value)
    }

    fn release_dir(&self, id: &ReleaseId) -> Result<Dir, Failure> {
        self.root.open_dir(&release_path(id)?).map_err(|e| disk(&e))
    }

    fn target(&self, call: &Call<'_>) -> Result<(ReleaseId, Dir), Failure> {
        let id = target_id(call.plan)?;
        let dir = self.release_dir(&id)?;
        Ok((id, dir))
    }

    fn ensure_release_dir(&self, plan: &Plan) -> Result<(), Failure> {
        let id = target_id(plan)?;
        self.root.create_dir_all(&rel(App::RELEASES)?, 0o755).map_err(|e| disk(&e))?;
        self.root.create_dir(&release_path(&id)?, 0o755).map_err(|e| disk(&e))?;
        self.root.create_dir(&release_path(&id)?.join(&rel(".release")?), 0o755).map_err(|e| disk(&e))?;
        Ok(())
    }

    fn probe_prerequisites(
        &mut self,
        plan: &Plan,
        host: &HostPlan,
        wanted: &Prerequisites,
    ) -> Result<(), Failure> {
        if let Some(user) = &host.user
            && !process::runs_as(user).map_err(|e| process::failure(&e))?
        {
            let message = format!("releases belong to `{user}` (app user), and this runs as somebody else");
            return Err(Failure::refused("check::user", message)
                .help(format!("run it as {user}: sudo -u {user} deployfile …")));
        }
        let space = self.root.space().map_err(|e| disk(&e))?;
        let root = &self.layout.root;
        if space.bytes < wanted.bytes.0 {
            let free = deployfile_model::units::Bytes(space.bytes);
            let message = format!("{root} has {free} free, the release takes at least {}", wanted.bytes);
            return Err(
                Failure::refused("check::space", message).help("free space, or run: deployfile clean")
            );
        }
        if let Some(inodes) = space.inodes.filter(|inodes| *inodes < wanted.inodes) {
            let message =
                format!("{root} has {inodes} free inodes, the release takes at least {}", wanted.inodes);
            return Err(
                Failure::refused("check::inodes", message).help("free inodes, or run: deployfile clean")
            );
        }
        for (program, why) in &wanted.programs {
            if process::which(program).is_none() {
                let message = format!("`{program}` is not on this host ({why} needs it)");
                return Err(Failure::refused("check::program", message).help(format!("install {program}")));
            }
        }
        for name in &wanted.secrets {
            self.secret(plan, name)?;
        }
        // What can only fail after the switch is looked at before it.
        for step in &host.steps {
            match &step.effect {
                Effect::EnsureHostLink { at, to: Some(_) } => check_host_link(at)?,
                Effect::EnsureService(service) => service::check(service)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn run_command(
        &mut self,
        call: &Call<'_>,
        command: &Command,
        tell: &mut dyn Tell,
    ) -> Result<(), Failure> {
        let spec = self.process(call.plan, command)?;
        let what = call.step.what.trim_start_matches("run ").to_owned();
        process::run(&spec, call.stop, tell).map_err(|e| process::failure(&e))?.check(&what)?;
        Ok(())
    }

    /// A command of the plan with its secrets filled in.
    fn process(&mut self, plan: &Plan, command: &Command) -> Result<process::ProcessSpec, Failure> {
        let mut env = BTreeMap::new();
        for (name, pieces) in &command.env {
            env.insert(name.clone(), self.fill(plan, pieces)?);
        }
        Ok(process::ProcessSpec {
            argv: process::argv(&command.call),
            directory: PathBuf::from(command.directory.as_str()),
            env,
            user: None,
            timeout: command.timeout.duration(),
            limits: process::Limits::default(),
            guard: process::Guard::this_program(),
            redactor: Redactor::new(self.secrets.values()),
        })
    }

    fn fill(&mut self, plan: &Plan, pieces: &[Piece]) -> Result<String, Failure> {
        let mut out = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Secret(secret, quoting) => {
                    let value = self.secret(plan, &secret.0)?;
                    match quoting {
                        Quoting::Raw => out.push_str(value.reveal()),
                        Quoting::EnvFile => {
                            let quoted = deployfile_render::env::quote_inside(value.reveal());
                            out.push_str(&quoted.map_err(|_| unwritable(&secret.0))?);
                        }
                    }
                }
            }
        }
        Ok(out)
    }

    fn ensure_shared(
        &self,
        call: &Call<'_>,
        path: &RelPath,
        directory: bool,
        mode: Option<u32>,
        tell: &mut dyn Tell,
    ) -> Result<(), Failure> {
        let (_, release) = self.target(call)?;
        let shared = rel(App::SHARED)?.join(path);
        let in_release = release.stat(path).map_err(|e| disk(&e))?;
        match (self.root.stat(&shared).map_err(|e| disk(&e))?, directory) {
            (Some(found), _) if (found.kind == Kind::Dir) != directory => {
                let wanted = if directory { "a directory" } else { "a file" };
                let message =
                    format!("{}/{shared} is {}, it should be {wanted}", self.layout.root, found.kind);
                return Err(Failure::new("link::shared-kind", message).help("move it away"));
            }
            (Some(_), _) => {}
            (None, true) => {
                self.root.create_dir_all(&shared, mode.unwrap_or(0o755)).map_err(|e| disk(&e))?;
                if let Some(mode) = mode {
                    self.root.set_mode(&shared, mode).map_err(|e| disk(&e))?;
                }
            }
            (None, false) => self.first_shared_file(&release, path, &shared, mode, tell)?,
        }
        if in_release.is_some_and(|found| found.kind != Kind::Symlink) {
            let message = format!("{path} of the source is hidden by shared/{path}");
            tell.warning(&message, Some("leave it out of the source, or do not share it"));
            remove(&release, path)?;
        }
        let up = "../".repeat(path.components().count() + 1);
        ensure_link(&release, path, &format!("{up}{}/{path}", App::SHARED))
    }

    /// The first time, a shared file begins as the one that came with the source.
    fn first_shared_file(
        &self,
        release: &Dir,
        path: &RelPath,
        shared: &RelPath,
        mode: Option<u32>,
        tell: &mut dyn Tell,
    ) -> Result<(), Failure> {
        const LARGEST: u64 = 64 << 20;
        let is_file = |stat: deployfile_disk::Stat| stat.kind == Kind::File;
        if !release.stat(path).map_err(|e| disk(&e))?.is_some_and(is_file) {
            let message = format!("shared file {}/{shared} is not there", self.layout.root);
            return Err(Failure::new("link::shared-missing", message)
                .help("put it there; it outlives releases and is never made by deployfile"));
        }
        let bytes = release.read(path, LARGEST).map_err(|e| disk(&e))?;
        if let Some(parent) = shared.parent() {
            self.root.create_dir_all(&parent, 0o755).map_err(|e| disk(&e))?;
        }
        tell.warning(&format!("shared/{path} did not exist: it begins as the source's {path}"), None);
        self.root.replace(shared, &bytes, mode.unwrap_or(0o644)).map_err(|e| disk(&e))
    }

    fn ensure_file(&mut self, call: &Call<'_>, file: &FileEffect) -> Result<(), Failure> {
        let content = self.fill(call.plan, &file.content)?;
        let (_, release) = self.target(call)?;
        if let Some(parent) = file.path.parent() {
            release.create_dir_all(&parent, 0o755).map_err(|e| disk(&e))?;
        }
        release.replace(&file.path, content.as_bytes(), file.mode).map_err(|e| disk(&e))
    }

    fn ensure_host_link(&self, at: &HostPath, to: Option<&str>) -> Result<(), Failure> {
        let (parent, name) = split(at)?;
        let parent = match Dir::open_root(&parent) {
            // Taken away with all around it.
            Err(error) if to.is_none() && error.is_not_found() => return Ok(()),
            parent => parent.map_err(|e| disk(&e))?,
        };
        match (parent.stat(&name).map_err(|e| disk(&e))?, to) {
            // Somebody else's: there is no link of ours to take away.
            (Some(found), None) if found.kind != Kind::Symlink => Ok(()),
            (Some(found), _) if found.kind != Kind::Symlink => {
                let message = format!("{at} is {}, not a link", found.kind);
                Err(Failure::new("switch::not-a-link", message).help("move it away"))
            }
            (None, None) => Ok(()),
            (Some(_), None) => parent.remove_file(&name).map(|_| ()).map_err(|e| disk(&e)),
            (_, Some(to)) => parent.replace_symlink(&name, to).map_err(|e| disk(&e)),
        }
    }

    fn ensure_pruned(&self, host: &HostPlan, id: &ReleaseId) -> Result<(), Failure> {
        let now = current::read(&self.root, &self.layout.root, &host.current)?;
        let used = in_use::releases_in_use(&self.layout.root);
        if now.release() == Some(id) || used.contains(id) {
            let why = if used.contains(id) { "a process uses it" } else { "it is current" };
            let message = format!("release {id} is kept: {why}");
            return Err(Failure::new("prune::in-use", message).help("it goes with the next prune"));
        }
        release::remove(&self.root, id)?;
        Ok(())
    }

    /// After the last step that changes which releases there are. What does not work out is tried again after the next
    /// run.
    fn tidy_mirrors(&self, call: &Call<'_>, tell: &mut dyn Tell) {
        let steps = &call.host.steps;
        let prunes = |step: &Step| matches!(step.effect, Effect::EnsurePruned { .. });
        if steps.iter().any(|step| step.n > call.step.n && prunes(step)) {
            return;
        }
        let fetches = steps.iter().any(|step| matches!(step.effect, Effect::EnsureSource(_)));
        let fetched = call.plan.release.as_ref().filter(|_| fetches);
        let tidied = source::tidy_mirrors(&self.root, fetched, &mut fetcher(call, tell));
        if let Err(why) = tidied.map_err(Failure::from) {
            tell.warning(&format!("the git mirrors are not tidied: {why}"), why.help.as_deref());
        }
    }

    /// A probe that can be asked: one that is a program runs as the steps do.
    fn asked<'p>(&mut self, call: &Call<'_>, wanted: &'p Probe) -> Result<probe::Asked<'p>, Failure> {
        match &wanted.target {
            ProbeTarget::Exec(command) => {
                Ok(probe::Asked::program(wanted, self.process(call.plan, command)?))
            }
            ProbeTarget::Http(_) | ProbeTarget::Tcp(_) => probe::plain(wanted),
        }
    }

    /// What the service printed last usually says why it does not answer.
    fn with_last_lines(&self, service: &Name, why: Failure) -> Failure {
        let since = self.logged.get(service).copied().unwrap_or(0);
        if why.output.is_empty() {
            service::with_lines_since(&self.layout.root, service, since, why)
        } else {
            why
        }
    }

    fn ensure_committed(&self, call: &Call<'_>) -> Result<(), Failure> {
        let wanted = target_id(call.plan)?;
        match current::read(&self.root, &self.layout.root, &call.host.current)? {
            CurrentLink::Release(id) if id == wanted => Ok(()),
            other => {
                let message = format!("current should name {wanted}, it is {other:?}");
                Err(Failure::new("commit::moved", message).help("see who else moved the link"))
            }
        }
    }
}

impl Effects for ThisHost {
    fn perform(&mut self, call: &Call<'_>, tell: &mut dyn Tell) -> Result<Outcome, Failure> {
        // Programs and services print what they like; a failure is journaled and shown.
        self.act(call, tell).map_err(|why| self.redacted(why))
    }

    fn end_leftover(&mut self, pid: u32, start_ticks: u64, boot: &str) -> Result<(), Failure> {
        process::end_leftover(pid, start_ticks, boot).map_err(|e| {
            Failure::from_error("process::leftover", &e).help(format!("end process group {pid} by hand"))
        })
    }

    fn is_lost(&mut self, release: &ReleaseId) -> Result<bool, Failure> {
        Ok(release::is_lost(&self.root, release)?)
    }

    fn read_current(&mut self) -> Result<Option<ReleaseId>, Failure> {
        Ok(current::read(&self.root, &self.layout.root, &self.layout.current)?.release().cloned())
    }
}

impl ThisHost {
    fn act(&mut self, call: &Call<'_>, tell: &mut dyn Tell) -> Result<Outcome, Failure> {
        match &call.step.effect {
            Effect::ProbePrerequisites(wanted) => self.probe_prerequisites(call.plan, call.host, wanted)?,
            Effect::EnsureReleaseDir => self.ensure_release_dir(call.plan)?,
            Effect::EnsureSource(effect) => {
                let id = target_id(call.plan)?;
                let populated = source::populate(&self.root, &id, effect, &mut fetcher(call, tell))?;
                for warning in populated.warnings {
                    tell.warning(&warning.message, warning.help.as_deref());
                }
            }
            Effect::RunCommand(command) => self.run_command(call, command, tell)?,
            Effect::EnsureShared { path, directory, mode } => {
                self.ensure_shared(call, path, *directory, *mode, tell)?;
            }
            Effect::EnsureLink { path, to } => {
                let (_, release) = self.target(call)?;
                ensure_link(&release, path, to)?;
            }
            Effect::EnsureFile(file) => self.ensure_file(call, file)?,
            Effect::ProbeNginx { files } => {
                let release = self.layout.release(&target_id(call.plan)?);
                nginx::probe_config(&release, files, call.stop, tell)?;
            }
            Effect::EnsureSealed(effect) => {
                let sealed = release::seal(&self.root, &header(call)?, effect, call.stop)?;
                return Ok(Outcome::Sealed { tree: sealed.tree, bytes: sealed.bytes });
            }
            Effect::EnsureCurrent { release } => {
                current::ensure(&self.root, &self.layout.root, &call.host.current, release.as_ref())?;
            }
            Effect::EnsureHostLink { at, to } => self.ensure_host_link(at, to.as_deref())?,
            Effect::EnsureService(effect) => {
                let len = deployfile_supervisor::log_len(&self.layout.root, &effect.name).unwrap_or(0);
                self.logged.insert(effect.name.clone(), len);
                let mut ask = Vec::new();
                for wanted in &effect.ready {
                    ask.push((self.asked(call, wanted)?, None));
                }
                if let Some((wanted, build)) = &effect.ready_build {
                    ask.push((self.asked(call, wanted)?, Some(build)));
                }
                service::ensure(&self.root, &self.layout, effect, &ask, call.stop, tell)?;
            }
            Effect::ProbeHealth { service, probe } => {
                let held = probe::hold(service, &self.asked(call, probe)?, None, call.stop, tell);
                held.map_err(|why| self.with_last_lines(service, why))?;
            }
            Effect::ProbeBuild { service, probe, build_id } => {
                let held = probe::hold(service, &self.asked(call, probe)?, Some(build_id), call.stop, tell);
                held.map_err(|why| self.with_last_lines(service, why))?;
            }
            Effect::CallHook(_) => {
                return Err(Failure::new("bug::hook", "hooks are called through their own port"));
            }
            Effect::EnsureCommitted => {
                self.ensure_committed(call)?;
                self.tidy_mirrors(call, tell);
            }
            Effect::EnsurePruned { release } => {
                let pruned = self.ensure_pruned(call.host, release);
                self.tidy_mirrors(call, tell);
                pruned?;
            }
        }
        Ok(Outcome::Plain)
    }

    fn redacted(&self, failure: Failure) -> Failure {
        let redactor = Redactor::new(self.secrets.values());
        let clean = |line: &String| redactor.line(line, false);
        Failure {
            message: clean(&failure.message),
            causes: failure.causes.iter().map(clean).collect(),
            output: failure.output.iter().map(clean).collect(),
            ..failure
        }
    }
}

/// A link outside of the root needs its folder, and its place to be free or a link.
fn check_host_link(at: &HostPath) -> Result<(), Failure> {
    let (parent, name) = split(at)?;
    let refused = |message: String, help: String| Failure::refused("check::host-link", message).help(help);
    let dir = match Dir::open_root(&parent) {
        Err(error) if error.is_not_found() => {
            let message = format!("the link {at} cannot be made: {parent} is not there");
            return Err(refused(message, format!("make the folder: mkdir -p {parent}")));
        }
        dir => dir.map_err(|e| disk(&e))?,
    };
    match dir.stat(&name).map_err(|e| disk(&e))? {
        Some(found) if found.kind != Kind::Symlink => {
            let message = format!("the link {at} cannot be made: {} stands there", found.kind);
            Err(refused(message, format!("move it away, for example: mv {at} {at}.before")))
        }
        _ => Ok(()),
    }
}

fn fetcher<'a>(call: &Call<'a>, tell: &'a mut dyn Tell) -> source::Fetcher<'a> {
    source::Fetcher { guard: process::Guard::this_program(), stop: call.stop, tell }
}

fn header(call: &Call<'_>) -> Result<release::Header, Failure> {
    let plan = call.plan;
    let base = call.host.steps.iter().find_map(|step| match &step.effect {
        Effect::EnsureSource(source) => source.base.clone(),
        _ => None,
    });
    Ok(release::Header {
        id: target_id(plan)?,
        build_id: plan.build_id.clone(),
        revision: plan.revision.clone(),
        spec: plan.spec,
        parent: base,
    })
}

fn target_id(plan: &Plan) -> Result<ReleaseId, Failure> {
    plan.release.clone().ok_or_else(|| Failure::new("bug::release", "the plan names no release"))
}

fn release_path(id: &ReleaseId) -> Result<RelPath, Failure> {
    rel(&format!("{}/{id}", App::RELEASES))
}

fn rel(text: &str) -> Result<RelPath, Failure> {
    RelPath::new(text).map_err(|e| Failure::new("bug::path", e.to_string()))
}

fn split(at: &HostPath) -> Result<(HostPath, RelPath), Failure> {
    let (parent, name) = at.as_str().rsplit_once('/').unwrap_or(("", at.as_str()));
    let parent = HostPath::new(if parent.is_empty() { "/" } else { parent });
    Ok((parent.map_err(|e| Failure::new("bug::path", e.to_string()))?, rel(name)?))
}

fn ensure_link(release: &Dir, path: &RelPath, to: &str) -> Result<(), Failure> {
    if let Some(parent) = path.parent() {
        release.create_dir_all(&parent, 0o755).map_err(|e| disk(&e))?;
    }
    match release.stat(path).map_err(|e| disk(&e))?.map(|stat| stat.kind) {
        None => release.symlink_new(path, to).map_err(|e| disk(&e)),
        Some(Kind::Symlink) => release.replace_symlink(path, to).map_err(|e| disk(&e)),
        Some(found) => {
            let message = format!("{path} of the release is {found}: a link cannot be made there");
            Err(Failure::new("link::occupied", message)
                .help("leave it out of the source, or name another path"))
        }
    }
}

fn remove(release: &Dir, path: &RelPath) -> Result<(), Failure> {
    release.remove_tree(path).map(|_| ()).map_err(|e| disk(&e))
}

fn unwritable(secret: &Name) -> Failure {
    let message =
        format!("the value of secret `{secret}` holds a character that an environment file cannot hold");
    Failure::new("secret::unwritable", message).help("encode it, for example in base64")
}
