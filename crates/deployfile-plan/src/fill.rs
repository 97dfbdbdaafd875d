//! One host with everything that its look-ups are filled from.

use crate::apply::root_path;
use crate::{Refusal, Request};
use deployfile_model::address::{NotAnAddress, PROBE_SCHEMES, check_address, check_url};
use deployfile_model::secret::SecretRef;
use deployfile_model::spec::{BuildIdRule, Layout, Link, Variable};
use deployfile_model::stage::{Script, StageSpec};
use deployfile_model::text::EnvValue;
use deployfile_model::units::{Millis, UnixTime};
use deployfile_model::{
    BuildId, Host, HostPath, Name, Phase, Place, RelPath, ReleaseId, Service, Spec, Stage, Text,
};
use deployfile_record::effect::{Call, Quoting};
use deployfile_record::ledger::ReleaseFacts;
use deployfile_record::observation::SourceFacts;
use deployfile_record::{Command, Ledger, Observation, Piece, ReleaseRecord, ReleaseState};
use deployfile_render::Values;
use deployfile_render::expr::{fill, lookups};
use std::collections::{BTreeMap, BTreeSet};

/// A host, what was seen on it, and the release that it gets.
pub(crate) struct HostContext<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) host: &'a Host,
    pub(crate) observation: &'a Observation,
    pub(crate) layout: Layout,
    pub(crate) release: ReleaseId,
    pub(crate) build_id: BuildId,
    pub(crate) source: SourceFacts,
    pub(crate) at: UnixTime,
    values: Values,
}

/// The root of the app on this host: what must be known before the host can be observed.
pub fn root_of(spec: &Spec, host: &Host) -> Result<HostPath, Refusal> {
    let mut values = Values::new();
    values.set("app", spec.app.name.as_str());
    values.set("environment", spec.environment.as_str());
    values.set("host", host.name.as_str());
    fill_vars(&mut values, host, &[&spec.app.root])?;
    let text = fill_with(&values, &spec.app.root)?;
    root_path(&text).map_err(|why| {
        Refusal::new("config::root", why, "give an absolute path of its own, for example \"/srv/shop\"")
            .at(&spec.app.root.place)
    })
}

/// The source's URL or directory on this host, and its reference: what must be known before it can be observed.
pub fn source_texts(spec: &Spec, host: &Host, texts: &[&Text]) -> Result<Vec<String>, Refusal> {
    let mut values = Values::new();
    values.set("app", spec.app.name.as_str());
    values.set("environment", spec.environment.as_str());
    values.set("host", host.name.as_str());
    fill_vars(&mut values, host, texts)?;
    texts.iter().map(|text| fill_with(&values, text)).collect()
}

/// The variables that these texts use. The others may name what is not known yet.
fn fill_vars(values: &mut Values, host: &Host, texts: &[&Text]) -> Result<(), Refusal> {
    let used: BTreeSet<String> = texts.iter().flat_map(|text| lookups(&text.raw)).collect();
    let used = host.vars.iter().filter(|(name, _)| used.contains(&format!("vars.{name}")));
    used.into_iter().try_for_each(|(name, variable)| fill_var(values, name, variable))
}

fn fill_all_vars(values: &mut Values, host: &Host) -> Result<(), Refusal> {
    host.vars.iter().try_for_each(|(name, variable)| fill_var(values, name, variable))
}

fn fill_var(values: &mut Values, name: &str, variable: &Variable) -> Result<(), Refusal> {
    let value = fill_with(values, &variable.text)?;
    values.set_var_as(name, &value, variable.kind);
    Ok(())
}

fn fill_with(values: &Values, text: &Text) -> Result<String, Refusal> {
    fill(&text.raw, values).map_err(|e| {
        Refusal::new("config::look-up", e.to_string(), "see the names that {{ }} knows: deployfile schema")
            .at(&text.place)
    })
}

impl<'a> HostContext<'a> {
    pub(crate) fn for_apply(
        request: &'a Request<'a>,
        host: &'a Host,
        observation: &'a Observation,
        pinned: Option<&ReleaseId>,
    ) -> Result<Self, Refusal> {
        let Some(source) = &observation.source else {
            return Err(Refusal::new("bug::no-source", "the source was not observed", "report this"));
        };
        let spec = request.spec;
        let values = values_without_release(request, host, source, observation)?;
        let build_id = build_id(spec, source, &values)?;
        let release = match pinned {
            Some(id) => id.clone(),
            None => release_id(spec, observation, &values)?,
        };
        Self::new(request, host, observation, source.clone(), build_id, release, values)
    }

    /// For a release that is sealed already.
    pub(crate) fn for_release(
        request: &'a Request<'a>,
        host: &'a Host,
        observation: &'a Observation,
        record: &ReleaseRecord,
    ) -> Result<Self, Refusal> {
        let revision = record.revision.clone().unwrap_or_default();
        let Some(build_id) = record.build_id.clone() else {
            let message = format!("release {} has no build id in its manifest", record.id);
            return Err(Refusal::new(
                "plan::no-build-id",
                message,
                "choose another one: deployfile releases",
            ));
        };
        let source = SourceFacts {
            revision,
            natural_build_id: build_id.clone(),
            bytes: record.bytes,
            files: record.entries,
            location: String::new(),
        };
        let values = values_without_release(request, host, &source, observation)?;
        Self::new(request, host, observation, source, build_id, record.id.clone(), values)
    }

    fn new(
        request: &'a Request<'a>,
        host: &'a Host,
        observation: &'a Observation,
        source: SourceFacts,
        build_id: BuildId,
        release: ReleaseId,
        mut values: Values,
    ) -> Result<Self, Refusal> {
        let spec = request.spec;
        let layout = Layout { root: root_of(spec, host)?, current: spec.app.current.clone() };
        values.set("build_id", build_id.as_str());
        values.set("release_id", release.as_str());
        values.set("release", layout.release(&release).as_str());
        // Variables may name the release; they are filled again now that it is known.
        fill_all_vars(&mut values, host)?;
        Ok(Self { spec, host, observation, layout, release, build_id, source, at: request.at, values })
    }

    pub(crate) fn text(&self, text: &Text) -> Result<String, Refusal> {
        fill_with(&self.values, text)
    }

    pub(crate) fn texts(&self, texts: &[Text]) -> Result<Vec<String>, Refusal> {
        texts.iter().map(|text| self.text(text)).collect()
    }

    /// The same with `{{ service }}` known.
    pub(crate) fn text_for(&self, service: &Service, text: &Text) -> Result<String, Refusal> {
        let mut values = self.values.clone();
        values.set("service", service.name.as_str());
        fill_with(&values, text)
    }

    /// `HOST:PORT`, or `unix:PATH` where `unix` says so.
    pub(crate) fn address_for(&self, service: &Service, text: &Text, unix: bool) -> Result<String, Refusal> {
        let filled = self.text_for(service, text)?;
        check_address(&filled, unix).map_err(|why| not_an_address(why, text))?;
        Ok(filled)
    }

    /// A URL that a probe can ask.
    pub(crate) fn url_for(&self, service: &Service, text: &Text) -> Result<String, Refusal> {
        let filled = self.text_for(service, text)?;
        check_url(&filled, PROBE_SCHEMES, &filled).map_err(|why| not_an_address(why, text))?;
        Ok(filled)
    }

    /// Where a site passes requests on to.
    pub(crate) fn upstream(&self, text: &Text) -> Result<String, Refusal> {
        let filled = self.text(text)?;
        check_address(&filled, true).map_err(|why| not_an_address(why, text))?;
        Ok(filled)
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// The values of all look-ups, flat, as hooks are told them.
    pub(crate) fn lookups(&self) -> BTreeMap<String, String> {
        self.values.flat()
    }

    /// Where unchanged files come from: the release that is current, if it is sealed.
    pub(crate) fn base(&self) -> Option<ReleaseId> {
        self.observation.current_release.as_ref().map(|seen| seen.record.id.clone())
    }

    /// What the ledger will say once this run committed its release.
    pub(crate) fn commit_into(&self, ledger: &mut Ledger) {
        let facts = ReleaseFacts {
            state: ReleaseState::Good,
            build_id: Some(self.build_id.clone()),
            revision: Some(self.source.revision.clone()),
            spec: crate::spec_digest(self.spec),
            plan: crate::spec_digest(self.spec),
            created: self.at,
            left: None,
            tree: None,
            bytes: Some(self.source.bytes),
            pinned: false,
            reason: None,
            notes: BTreeMap::new(),
        };
        if let Some(last) = ledger.committed.last().and_then(|last| ledger.releases.get_mut(last)) {
            last.left = Some(self.at);
        }
        ledger.releases.insert(self.release.clone(), facts);
        ledger.committed.push(self.release.clone());
    }

    pub(crate) fn command_in(
        &self,
        stage: Stage,
        phase: Phase,
        argv: Vec<String>,
        timeout: Millis,
    ) -> Result<Command, Refusal> {
        self.command(stage, phase, Call::Argv(argv), timeout)
    }

    pub(crate) fn script_in(&self, stage: Stage, phase: Phase, script: &Script) -> Result<Command, Refusal> {
        self.command(stage, phase, Call::Script(script.text.clone()), script.timeout)
    }

    fn command(&self, stage: Stage, phase: Phase, call: Call, timeout: Millis) -> Result<Command, Refusal> {
        // Before `fetch` has run there is no release to stand in.
        let early = stage == Stage::Check || (stage == Stage::Fetch && phase == Phase::Before);
        let directory = if early { self.layout.root.clone() } else { self.layout.release(&self.release) };
        Ok(Command { call, directory, env: self.environment(None, Quoting::Raw)?, timeout })
    }

    /// A command of a probe, in the release.
    pub(crate) fn probe_command(&self, argv: Vec<String>, timeout: Millis) -> Result<Command, Refusal> {
        self.command(Stage::Verify, Phase::Main, Call::Argv(argv), timeout)
    }

    /// The whole environment of a step or a service: the host's own four, what the file says, and `DEPLOY_…`.
    pub(crate) fn environment(
        &self,
        service: Option<&Service>,
        secret: Quoting,
    ) -> Result<BTreeMap<String, Vec<Piece>>, Refusal> {
        let mut env: BTreeMap<String, Vec<Piece>> = self
            .observation
            .base_env
            .iter()
            .map(|(name, value)| (name.clone(), vec![Piece::Text(value.clone())]))
            .collect();
        let own = service.map(|s| &s.env).into_iter().flatten();
        for (name, value) in self.host.env.iter().chain(own) {
            env.insert(name.clone(), vec![self.piece(service, value, secret)?]);
        }
        for (name, value) in self.deploy_variables() {
            env.insert(name.to_owned(), vec![Piece::Text(value)]);
        }
        Ok(env)
    }

    /// The value of a variable of an environment, that of a secret left open.
    pub(crate) fn piece(
        &self,
        service: Option<&Service>,
        value: &EnvValue,
        secret: Quoting,
    ) -> Result<Piece, Refusal> {
        Ok(match (value, service) {
            (EnvValue::Text(text), Some(service)) => Piece::Text(self.text_for(service, text)?),
            (EnvValue::Text(text), None) => Piece::Text(self.text(text)?),
            (EnvValue::Secret(name), _) => Piece::Secret(name.clone(), secret),
        })
    }

    fn deploy_variables(&self) -> [(&'static str, String); 10] {
        let roles: Vec<&str> = self.host.roles.iter().map(Name::as_str).collect();
        [
            ("DEPLOY_APP", self.spec.app.name.to_string()),
            ("DEPLOY_ENVIRONMENT", self.spec.environment.to_string()),
            ("DEPLOY_HOST", self.host.name.to_string()),
            ("DEPLOY_ROLES", roles.join(" ")),
            ("DEPLOY_RELEASE", self.layout.release(&self.release).to_string()),
            ("DEPLOY_RELEASE_ID", self.release.to_string()),
            ("DEPLOY_BUILD_ID", self.build_id.to_string()),
            ("DEPLOY_CURRENT", self.layout.current().to_string()),
            ("DEPLOY_SHARED", self.layout.shared().to_string()),
            ("DEPLOY_ROOT", self.layout.root.to_string()),
        ]
    }

    /// Secrets that a step, service or template of this host needs.
    pub(crate) fn secrets_used(&self) -> Vec<Name> {
        let services = self.host.services.iter().flat_map(|s| s.env.values());
        let templates = self.host.stages.values().flat_map(StageSpec::templates);
        let mut names: Vec<Name> = self
            .host
            .env
            .values()
            .chain(services)
            .chain(templates.flat_map(|file| file.env.values()))
            .filter_map(|value| match value {
                EnvValue::Secret(SecretRef(name)) => Some(name.clone()),
                EnvValue::Text(_) => None,
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// A link that stands in the release.
    pub(crate) fn release_link(&self, link: &Link) -> Result<(RelPath, String), Refusal> {
        Ok((self.rel_path(&link.at)?, self.text(&link.to)?))
    }

    /// A link that leaves the release.
    pub(crate) fn host_link(&self, link: &Link) -> Result<(HostPath, String), Refusal> {
        let at = self.text(&link.at)?;
        let at = HostPath::new(at).map_err(|e| bad_path(&e.to_string(), &link.place))?;
        Ok((at, self.text(&link.to)?))
    }

    pub(crate) fn rel_path(&self, text: &Text) -> Result<RelPath, Refusal> {
        RelPath::new(self.text(text)?).map_err(|e| bad_path(&e.to_string(), &text.place))
    }

    pub(crate) fn host_path_for(&self, service: &Service, text: &Text) -> Result<HostPath, Refusal> {
        HostPath::new(self.text_for(service, text)?).map_err(|e| bad_path(&e.to_string(), &text.place))
    }
}

fn bad_path(why: &str, place: &Place) -> Refusal {
    Refusal::new("config::path", why, "look at what its look-ups give").at(place)
}

/// Look-ups gave a text that is not what stands here.
fn not_an_address(NotAnAddress { message, help }: NotAnAddress, text: &Text) -> Refusal {
    let help = format!("{help}; look at what the look-ups of `{}` give", text.raw);
    Refusal::new("config::value", message, help).at(&text.place)
}

fn values_without_release(
    request: &Request<'_>,
    host: &Host,
    source: &SourceFacts,
    observation: &Observation,
) -> Result<Values, Refusal> {
    let (spec, at) = (request.spec, request.at);
    let layout = Layout { root: root_of(spec, host)?, current: spec.app.current.clone() };
    let roles: Vec<&str> = host.roles.iter().map(Name::as_str).collect();
    let mut values = Values::new();
    values.set("app", spec.app.name.as_str());
    values.set("environment", spec.environment.as_str());
    values.set("host", host.name.as_str());
    values.set("role", &roles.join(" "));
    values.set("current", layout.current().as_str());
    values.set("shared", layout.shared().as_str());
    values.set("root", layout.root.as_str());
    // Look-ups of the release inside variables are filled in a second pass; until then they are empty.
    for name in ["release", "release_id", "build_id"] {
        values.set(name, "");
    }
    values.set("source", &source.revision);
    values.set("previous", observation.ledger.committed.last().map_or("", |id| id.as_str()));
    values.set_time(at);
    fill_all_vars(&mut values, host)?;
    Ok(values)
}

fn build_id(spec: &Spec, source: &SourceFacts, values: &Values) -> Result<BuildId, Refusal> {
    match &spec.app.build_id {
        BuildIdRule::Git | BuildIdRule::Content => Ok(source.natural_build_id.clone()),
        BuildIdRule::Text(text) => BuildId::new(fill_with(values, text)?).map_err(|e| {
            Refusal::new("config::build-id", e.to_string(), "look at what its look-ups give").at(&text.place)
        }),
    }
}

/// The name that the spec's pattern gives, with `-2`, `-3`, … where it is taken.
fn release_id(spec: &Spec, observation: &Observation, values: &Values) -> Result<ReleaseId, Refusal> {
    const MOST: u32 = 10_000;
    let text = fill_with(values, &spec.app.release_id)?;
    let check = |text: String| {
        ReleaseId::new(text).map_err(|e| {
            let help = "a release id is one path component; look at what its look-ups give";
            Refusal::new("config::release-id", e.to_string(), help).at(&spec.app.release_id.place)
        })
    };
    let ledger = &observation.ledger;
    let taken = |id: &ReleaseId| {
        // Also one that was pruned since: an id is never used twice, so that ids go on sorting by age.
        let was_used = ledger.runs.iter().any(|run| run.release.as_ref() == Some(id));
        was_used || ledger.releases.contains_key(id) || observation.release_dirs.contains(id)
    };
    let plain = check(text.clone())?;
    if !taken(&plain) {
        return Ok(plain);
    }
    for n in 2..MOST {
        let id = check(format!("{text}-{n}"))?;
        if !taken(&id) {
            return Ok(id);
        }
    }
    let message = format!("{MOST} releases are already named `{text}`");
    let help = "let release-id differ from run to run, for example with {{ time }}";
    Err(Refusal::new("config::release-id", message, help).at(&spec.app.release_id.place))
}
