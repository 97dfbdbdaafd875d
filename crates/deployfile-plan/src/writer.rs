//! Writes the steps of one host, stage by stage.

use crate::fill::HostContext;
use crate::listing::{Listing, setting};
use crate::retention::{Situation, victims};
use crate::tail::{self, Way};
use crate::{Refusal, files, hooks};
use deployfile_model::spec::{ShareMode, SourceKind};
use deployfile_model::stage::Item;
use deployfile_model::units::Bytes;
use deployfile_model::{Digest, HostPath, Phase, Stage};
use deployfile_record::effect::{Prerequisites, SealEffect, SourceEffect, SourceFrom};
use deployfile_record::{Effect, Step, Tail, Why};
use std::collections::{BTreeMap, BTreeSet};

/// Steps under construction.
pub(crate) struct Writer<'a> {
    pub(crate) context: &'a HostContext<'a>,
    /// `once` hooks are called on this host.
    pub(crate) is_first: bool,
    pub(crate) list: Listing,
    pub(crate) refusals: Vec<Refusal>,
    /// The items that an older release keeps of its own file, in place of today's.
    kept: Option<Vec<Step>>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(context: &'a HostContext<'a>, is_first: bool) -> Self {
        Self { context, is_first, list: Listing::default(), refusals: Vec::new(), kept: None }
    }

    /// Everything that changes nothing that is served.
    pub(crate) fn until_switch(&mut self, tail: &Tail) {
        self.stage(Stage::Check, |w| {
            let probe = w.prerequisites();
            w.list.main(
                Stage::Check,
                "prerequisites of the host",
                Why::Always,
                Effect::ProbePrerequisites(probe),
            );
        });
        self.stage(Stage::Fetch, Self::fetch);
        self.stage(Stage::Build, |_| {});
        self.stage(Stage::Link, Self::link);
        self.stage(Stage::Render, |w| w.render(tail));
        self.stage(Stage::Seal, Self::seal);
        self.stage(Stage::Migrate, |_| {});
    }

    /// The file's items in the stages of the tail, for the release to keep.
    pub(crate) fn tail_items(&mut self) -> Vec<Step> {
        for stage in [Stage::Switch, Stage::Restart, Stage::Verify, Stage::Commit] {
            self.stage(stage, |_| {});
        }
        self.take_steps()
    }

    /// The tail of an older release, with the items that it keeps: nothing of today's file takes part.
    pub(crate) fn kept_tail(&mut self, tail: &Tail) {
        self.kept = Some(tail.items.clone());
        self.tail(tail);
        self.kept = None;
    }

    /// The tail with its items.
    pub(crate) fn tail(&mut self, tail: &Tail) {
        let old = self.context.observation.current_release.as_ref();
        let old = old.map(|seen| (&seen.record.id, &seen.tail));
        let way = Way { to: Some((&self.context.release, tail)), from: old, back: false };
        self.stage(Stage::Switch, |w| tail::switch(&mut w.list, &way));
        self.stage(Stage::Restart, |w| tail::restart(&mut w.list, &way));
        self.stage(Stage::Verify, |w| tail::verify(&mut w.list, &way));
        self.stage(Stage::Commit, |w| tail::commit(&mut w.list));
    }

    /// Releases that go once this one is promised.
    pub(crate) fn after_commit(&mut self) {
        self.stage(Stage::Prune, Self::prune);
    }

    /// The way back from the release of `tail`, with the file's items of the stage `revert`.
    pub(crate) fn way_back(&mut self, tail: &Tail) -> Vec<Step> {
        let old = self.context.observation.current_release.as_ref();
        let old = old.map(|seen| (&seen.record.id, &seen.tail));
        self.stage(Stage::Revert, |w| {
            let way = Way { to: old, from: Some((&w.context.release, tail)), back: true };
            tail::append(&mut w.list, way);
        });
        self.take_steps()
    }

    /// Hooks of the stage `failed`.
    pub(crate) fn failed(&mut self) -> Vec<Step> {
        self.stage(Stage::Failed, |_| {});
        self.take_steps()
    }

    pub(crate) fn take_steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.list).steps()
    }

    /// A stage: its `before` block, what the product does in it, its own items, its `after` block.
    fn stage(&mut self, stage: Stage, own: impl FnOnce(&mut Self)) {
        self.items(stage, Phase::Before);
        own(self);
        self.items(stage, Phase::Main);
        self.items(stage, Phase::After);
    }

    fn items(&mut self, stage: Stage, phase: Phase) {
        if let Some(kept) = &self.kept {
            let why = Why::Release(self.context.release.clone());
            for step in kept.iter().filter(|step| (step.stage, step.phase) == (stage, phase)) {
                self.list.push(stage, phase, step.what.clone(), why.clone(), step.effect.clone());
            }
            return;
        }
        let Some(spec) = self.context.host.stages.get(&stage) else { return };
        let items = match phase {
            Phase::Before => &spec.before,
            Phase::Main => &spec.main,
            Phase::After => &spec.after,
        };
        for item in items {
            if let Err(refusal) = self.item(stage, phase, item) {
                self.refusals.push(refusal);
            }
        }
    }

    fn item(&mut self, stage: Stage, phase: Phase, item: &Item) -> Result<(), Refusal> {
        let context = self.context;
        match item {
            Item::Run(run) => {
                let argv = context.texts(&run.argv)?;
                let what = format!("run {}", argv.join(" "));
                let effect = Effect::RunCommand(context.command_in(stage, phase, argv, run.timeout)?);
                self.list.push(stage, phase, what, setting(&run.place), effect);
            }
            Item::Sh(script) => {
                let first = script.text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
                let what =
                    format!("sh {first}{}", if script.text.trim().lines().count() > 1 { " …" } else { "" });
                let effect = Effect::RunCommand(context.script_in(stage, phase, script)?);
                self.list.push(stage, phase, what, setting(&script.place), effect);
            }
            Item::Template(template) => {
                let effect = files::template(context, template)?;
                let what = format!("write {} from {}", effect.path, template.source);
                self.list.push(stage, phase, what, setting(&template.place), Effect::EnsureFile(effect));
            }
            Item::Hook(hook) if hook.once && !self.is_first => {}
            Item::Hook(hook) => {
                let what = format!("hook {}", hook.plugin);
                let effect = hooks::call(context, stage, phase, hook)?;
                self.list.push(stage, phase, what, setting(&hook.place), Effect::CallHook(effect));
            }
        }
        Ok(())
    }

    fn prerequisites(&self) -> Prerequisites {
        let context = self.context;
        let mut programs = BTreeMap::new();
        if matches!(context.spec.source.kind, SourceKind::Git { .. }) {
            programs.insert("git".to_owned(), "source git".to_owned());
        }
        let secrets: BTreeSet<_> = context.secrets_used().into_iter().collect();
        let (bytes, inodes) = self.room();
        Prerequisites { bytes: Bytes(bytes), inodes, programs, secrets: secrets.into_iter().collect() }
    }

    /// Bytes and inodes that the release takes at least. Sizes are not known of a commit that was not fetched yet: then
    /// it is taken to be as large as the current release.
    fn room(&self) -> (u64, u64) {
        let context = self.context;
        let (source, share) = (&context.source, context.spec.source.share);
        match &context.observation.current_release {
            // How much of it will be links to the current release is not known.
            Some(_) if share == ShareMode::Hardlink => (0, 0),
            Some(seen) if source.files == 0 => (seen.record.bytes, seen.record.entries),
            _ => (source.bytes, source.files),
        }
    }

    fn fetch(&mut self) {
        let source = &self.context.spec.source;
        let what = format!("directory releases/{}", self.context.release);
        self.list.main(Stage::Fetch, what, Why::Always, Effect::EnsureReleaseDir);
        match source_from(self.context) {
            Ok(None) => {}
            Ok(Some(from)) => {
                let what = match &from {
                    SourceFrom::Git { url, reference, .. } if self.context.observation.is_unseen => {
                        format!("{reference} of {url}")
                    }
                    SourceFrom::Git { url, commit, .. } => format!("commit {} of {url}", short(commit)),
                    SourceFrom::Dir { path, .. } => format!("files of {path}"),
                };
                let base = self.context.base();
                let effect = Effect::EnsureSource(SourceEffect { from, base, share: source.share });
                self.list.main(Stage::Fetch, what, setting(&source.place), effect);
            }
            Err(refusal) => self.refusals.push(refusal),
        }
    }

    fn link(&mut self) {
        let context = self.context;
        for shared in context.host.shared.iter() {
            let kind = if shared.directory { "directory" } else { "file" };
            let what = format!("shared {kind} {}", shared.path);
            let effect = Effect::EnsureShared {
                path: shared.path.clone(),
                directory: shared.directory,
                mode: shared.mode,
            };
            self.list.main(Stage::Link, what, setting(&shared.place), effect);
        }
        for link in context.host.links.iter().filter(|link| !link.at.raw.starts_with('/')) {
            match context.release_link(link) {
                Ok((path, to)) => {
                    let what = format!("link {path} to {to}");
                    self.list.main(Stage::Link, what, setting(&link.place), Effect::EnsureLink { path, to });
                }
                Err(refusal) => self.refusals.push(refusal),
            }
        }
    }

    fn render(&mut self, tail: &Tail) {
        match files::rendered(self.context, tail) {
            Ok(rendered) => {
                let nginx: Vec<_> = rendered
                    .iter()
                    .filter(|(file, _)| file.path.as_str().starts_with("services/nginx/"))
                    .map(|(file, _)| file.path.clone())
                    .collect();
                for (file, why) in rendered {
                    self.list.main(
                        Stage::Render,
                        format!("write {}", file.path),
                        why,
                        Effect::EnsureFile(file),
                    );
                }
                if self.context.observation.has_nginx && !nginx.is_empty() {
                    self.list.main(
                        Stage::Render,
                        "nginx -t",
                        Why::Always,
                        Effect::ProbeNginx { files: nginx },
                    );
                }
            }
            Err(more) => self.refusals.extend(more),
        }
    }

    fn seal(&mut self) {
        let secret_files = files::secret_paths(self.context);
        let plugins = hooks::digests(self.context);
        let overrides = self.context.spec.overrides.clone();
        let effect = Effect::EnsureSealed(SealEffect { secret_files, plugins, overrides });
        self.list.main(Stage::Seal, "manifest, tree digest, fsync", Why::Always, effect);
    }

    fn prune(&mut self) {
        let observation = self.context.observation;
        // What is current now is `previous` when the prune runs.
        let mut kept = observation.in_use.clone();
        kept.extend(observation.current.release().cloned());
        kept.insert(self.context.release.clone());
        let rule = &self.context.spec.retention;
        let mut after = observation.ledger.clone();
        // The release that this run commits counts: keep means what is left when the run is over.
        self.context.commit_into(&mut after);
        let situation = Situation { ledger: &after, rule, kept, at: self.context.at };
        for victim in victims(&situation) {
            let what = format!("remove release {} ({})", victim.release, victim.reason);
            let effect = Effect::EnsurePruned { release: victim.release };
            self.list.main(Stage::Prune, what, setting(&rule.place), effect);
        }
    }
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// `None`: a kind of source that is not built has no step.
fn source_from(context: &HostContext<'_>) -> Result<Option<SourceFrom>, Refusal> {
    let place = &context.spec.source.place;
    match &context.spec.source.kind {
        SourceKind::Git { reference, submodules, .. } => Ok(Some(SourceFrom::Git {
            url: context.source.location.clone(),
            reference: context.text(reference)?,
            commit: context.source.revision.clone(),
            submodules: *submodules,
        })),
        SourceKind::Dir { exclude, .. } => {
            let path = HostPath::new(context.source.location.clone())
                .map_err(|e| Refusal::new("config::path", e.to_string(), "name a directory").at(place))?;
            let tree = Digest::parse(&context.source.revision).ok_or_else(|| {
                Refusal::new("bug::tree-digest", "the source directory has no digest", "report this")
            })?;
            Ok(Some(SourceFrom::Dir { path, exclude: exclude.clone(), tree }))
        }
        SourceKind::NotBuilt { .. } => Ok(None),
    }
}
