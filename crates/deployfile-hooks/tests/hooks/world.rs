//! A root in a temporary directory, a plan with one hook call, and ears.

use deployfile_exec::{Call, Hooks as _, Mode, Stop, Tell};
use deployfile_hooks::{HookHost, HostConfig, Ids, SecretText, Secrets, component_path};
use deployfile_model::grant::{Grant, Limits};
use deployfile_model::stage::OnError;
use deployfile_model::units::{Bytes, Millis, UnixTime};
use deployfile_model::{BuildId, Digest, HostPath, Name, Phase, ReleaseId, RunId, SecretProvider, Stage};
use deployfile_record::effect::Effect;
use deployfile_record::entry::StepList;
use deployfile_record::event::Stream;
use deployfile_record::hook::HookAnswer;
use deployfile_record::plan::{Bound, Goal, HostPlan, Plan, Step, Why};
use deployfile_record::{Failure, HookCall, StepKey};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(crate) const GUEST: &[u8] = include_bytes!("../../../../plugins/testguests/testguests.wasm");
pub(crate) const GUARD: &[u8] = include_bytes!("../../../../plugins/release-guard/release-guard.wasm");

/// Everything that a call needs.
pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) hook: HookCall,
    pub(crate) plan: Plan,
    pub(crate) host: HookHost,
    pub(crate) stop: Stop,
    pub(crate) mode: Mode,
    pub(crate) notes: BTreeMap<String, String>,
}

/// What was told.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) hook: Vec<(String, String)>,
    pub(crate) warnings: Vec<(String, Option<String>)>,
    pub(crate) output: Vec<(Stream, String)>,
    pub(crate) spawned: Vec<u32>,
    pub(crate) journal_is_full: bool,
}

/// An answer, or a failure, and what was told.
pub(crate) struct Called {
    pub(crate) result: Result<HookAnswer, Failure>,
    pub(crate) heard: Heard,
}

impl Called {
    /// The summary of a hook that went well.
    pub(crate) fn summary(&self) -> &str {
        match &self.result {
            Ok(answer) => answer.summary.as_deref().unwrap_or(""),
            Err(failure) => panic!("{failure:?}"),
        }
    }
    pub(crate) fn failure(&self) -> &Failure {
        match &self.result {
            Err(failure) => failure,
            Ok(answer) => panic!("it went well: {answer:?}"),
        }
    }
    /// The failure's code, message and help say all of these.
    pub(crate) fn fails(&self, code: &str, says: &[&str]) {
        let failure = self.failure();
        assert_eq!(failure.code, code, "{failure:?}");
        let text = format!("{failure} {}", failure.help.as_deref().unwrap_or(""));
        for part in says {
            assert!(text.contains(part), "`{part}` is not in: {text}");
        }
    }
    /// The hook failed because a call was denied, and the operator was told this line.
    pub(crate) fn is_denied(&self, allow: &str) {
        self.fails("hook::error", &["denied", allow]);
        let told =
            self.heard.warnings.iter().any(|(_, help)| help.as_ref().is_some_and(|h| h.contains(allow)));
        assert!(told, "`{allow}` was not told: {:?}", self.heard.warnings);
    }
    /// All that was told and answered, as one text.
    pub(crate) fn all(&self) -> String {
        format!("{:?} {:?}", self.result, self.heard)
    }
}

struct Known(BTreeMap<String, String>);

impl Secrets for Known {
    fn value(&mut self, name: &Name) -> Result<SecretText, Failure> {
        let value = self.0.get(name.as_str()).map(SecretText::new);
        value.ok_or_else(|| Failure::refused("secret::missing", format!("secret `{name}` is not set")))
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Where compiled code is kept between tests, so that each component is compiled once.
pub(crate) fn shared_cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("components")
}

/// The example that is a helper; cargo builds examples with the tests.
pub(crate) fn helper() -> Vec<OsString> {
    let tests = std::env::current_exe().unwrap();
    let helper = tests.ancestors().nth(2).unwrap().join("examples/hook_helper");
    assert!(helper.exists(), "{} is missing: run `cargo test -p deployfile-hooks`", helper.display());
    vec![helper.into()]
}

pub(crate) fn host_with(cache: PathBuf, helper: Option<Vec<OsString>>, secrets: &[(&str, &str)]) -> HookHost {
    host_as(cache, helper, None, secrets)
}

pub(crate) fn host_as(
    cache: PathBuf,
    helper: Option<Vec<OsString>>,
    user: Option<Ids>,
    secrets: &[(&str, &str)],
) -> HookHost {
    let secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    HookHost::new(HostConfig { cache: Some(cache), helper, user, secrets: Box::new(Known(secrets)) })
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(GUEST, "{}")
    }

    /// A world in which the guest does this deed.
    pub(crate) fn doing(config: &str) -> Self {
        Self::of(GUEST, config)
    }

    pub(crate) fn of(component: &[u8], config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["releases/r1", "releases/r0", "shared", ".deployfile/plugins"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        std::os::unix::fs::symlink("releases/r0", dir.path().join("current")).unwrap();
        let digest = Digest::of(component);
        std::fs::write(dir.path().join(component_path(&digest).as_str()), component).unwrap();
        let hook = HookCall {
            plugin: name("guest"),
            component: digest,
            grants: Vec::new(),
            config: config.to_owned(),
            limits: Limits { memory: None, time: Millis::from_secs(20) },
            on_error: OnError::Fail,
            once: false,
            stage: Stage::Seal,
            phase: Phase::Before,
            lookups: BTreeMap::from([("app".to_owned(), "shop".to_owned())]),
        };
        let plan = plan(&dir, &hook);
        Self {
            dir,
            hook,
            plan,
            host: host_with(shared_cache(), None, &[]),
            stop: Stop::new(),
            mode: Mode::Apply,
            notes: BTreeMap::from([("guard.files".to_owned(), "12".to_owned())]),
        }
    }

    pub(crate) fn allow(mut self, grant: Grant) -> Self {
        self.hook.grants.push(grant);
        self
    }
    pub(crate) fn read(self, path: &str) -> Self {
        self.allow(Grant::Read { path: path.to_owned() })
    }
    pub(crate) fn write(self, path: &str) -> Self {
        self.allow(Grant::Write { path: path.to_owned() })
    }
    pub(crate) fn secret(mut self, secret: &str, value: &str) -> Self {
        self.plan.secrets.insert(name(secret), SecretProvider::Env("UNUSED".to_owned()));
        self.host = host_with(shared_cache(), Some(helper()), &[(secret, value)]);
        self
    }
    pub(crate) fn limited(mut self, memory: Option<u64>, time_ms: u64) -> Self {
        self.hook.limits = Limits { memory: memory.map(Bytes), time: Millis(time_ms) };
        self
    }
    pub(crate) fn config(&mut self, config: &str) {
        config.clone_into(&mut self.hook.config);
    }
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }
    /// The same, with its root beneath this directory; as it was where that cannot be written.
    pub(crate) fn moved_beneath(mut self, directory: &Path) -> Self {
        let Ok(dir) = tempfile::tempdir_in(directory) else { return self };
        let copied =
            std::process::Command::new("cp").arg("-a").arg(self.root().join(".")).arg(dir.path()).status();
        assert!(copied.unwrap().success());
        self.plan.hosts[0].root = HostPath::new(dir.path().to_str().unwrap()).unwrap();
        self.dir = dir;
        self
    }
    /// A file beneath the root, made with this content.
    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn call(&mut self) -> Called {
        self.call_hearing(Heard::default())
    }

    pub(crate) fn call_hearing(&mut self, mut heard: Heard) -> Called {
        let host = self.plan.hosts[0].clone();
        let run = RunId::new("run-1").unwrap();
        let key = StepKey { list: StepList::Forward, n: 1 };
        let call = Call {
            run: &run,
            plan: &self.plan,
            host: &host,
            step: &host.steps[0],
            key,
            attempt: 2,
            mode: self.mode,
            notes: &self.notes,
            stop: &self.stop,
        };
        let result = self.host.call(&self.hook, &call, &mut heard);
        Called { result, heard }
    }
}

fn plan(dir: &tempfile::TempDir, hook: &HookCall) -> Plan {
    let id = |text: &str| ReleaseId::new(text).unwrap();
    let step = Step {
        n: 1,
        stage: hook.stage,
        phase: hook.phase,
        what: "call hook guest".to_owned(),
        why: Why::Always,
        effect: Effect::CallHook(hook.clone()),
        skipped: None,
    };
    let host = HostPlan {
        host: name("web1"),
        roles: vec![name("web")],
        root: HostPath::new(dir.path().to_str().unwrap()).unwrap(),
        current: name("current"),
        user: None,
        bound: Bound { current: Some(id("r0")), last_run: None },
        steps: vec![step],
        unwind: Vec::new(),
        failed: Vec::new(),
        diffs: Vec::new(),
    };
    Plan {
        format: deployfile_record::FORMAT,
        goal: Goal::Apply,
        app: name("shop"),
        environment: name("production"),
        at: UnixTime(1_700_000_000),
        release: Some(id("r1")),
        from: Some(id("r0")),
        build_id: Some(BuildId::new("build-7").unwrap()),
        revision: Some("abc".to_owned()),
        spec: Digest::of(b"spec"),
        identity: Digest::of(b"plan"),
        secrets: BTreeMap::new(),
        hosts: vec![host],
        findings: Vec::new(),
    }
}

impl Tell for Heard {
    fn output(&mut self, stream: Stream, line: &str) {
        self.output.push((stream, line.to_owned()));
    }
    fn probe(&mut self, _: &Name, _: u32, _: bool, _: &str) {}
    fn hook(&mut self, _: &Name, level: &str, message: &str) {
        self.hook.push((level.to_owned(), message.to_owned()));
    }
    fn warning(&mut self, message: &str, help: Option<&str>) {
        self.warnings.push((message.to_owned(), help.map(str::to_owned)));
    }
    fn spawned(&mut self, pid: u32, start_ticks: u64, boot: &str) -> Result<(), Failure> {
        assert!(start_ticks > 0 && !boot.is_empty());
        if self.journal_is_full {
            return Err(Failure::new("journal::write", "cannot write the journal"));
        }
        self.spawned.push(pid);
        Ok(())
    }
}
