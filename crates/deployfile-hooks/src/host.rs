//! The host: loads a component, calls it in a store of its own, and makes an answer or a failure of what came out.

use crate::area::Areas;
use crate::bindings::deployfile::hook::types::{Error, Outcome};
use crate::bindings::{Hook, HookPre};
use crate::broker::Broker;
use crate::component::cache::Cache;
use crate::component::code::{self, CodeError};
use crate::component::shelf;
use crate::drive::{self, Cut, Outside};
use crate::facts::Facts;
use crate::guest::Guest;
use crate::limiter::Limiter;
use crate::redact::Redactor;
use crate::secret::{SecretText, Secrets};
use crate::ticker::Ticker;
use crate::voice::Voice;
use crate::{Ids, answer, engine, trap, wasi};
use deployfile_disk::Dir;
use deployfile_exec::{Call, Hooks, Tell};
use deployfile_model::units::Bytes;
use deployfile_model::{Digest, Grant, Name, Phase, Stage};
use deployfile_record::hook::HookAnswer;
use deployfile_record::{Failure, Goal, HookCall};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use wasmtime::component::{Component, ResourceTable};
use wasmtime::{Engine, Store, UpdateDeadline};

/// Memory of a call unless the plugin's `limits` say otherwise.
const MEMORY: Bytes = Bytes(64 << 20);
/// The same for components that bring an interpreter along.
const MEMORY_OF_LARGE: Bytes = Bytes(256 << 20);
/// From this size on, in bytes, a component is taken to bring an interpreter along.
const LARGE: u64 = 4 << 20;
/// Data of one host call, in bytes.
const HOST_CALL: usize = 8 << 20;
/// Resources (requests, commands, releases) that a call may hold at once.
const RESOURCES: usize = 1_000;
/// Lines of programs that wait to be told.
const LINES: usize = 256;

/// What the host needs to know.
pub struct HostConfig {
    /// Where compiled code is kept; `None`: the user's cache directory.
    pub cache: Option<PathBuf>,
    /// Program and arguments that hand what follows to [`crate::helper_main`], such as `/proc/self/exe hook-helper`.
    /// `None`: components are compiled in this process, and `exec` is not available to hooks.
    pub helper: Option<Vec<OsString>>,
    /// Who programs of hooks run as, when not as this process does.
    pub user: Option<Ids>,
    /// Where the values of secrets come from.
    pub secrets: Box<dyn Secrets>,
}

/// Calls components as hooks. Costs nothing until the first call.
pub struct HookHost {
    config: HostConfig,
    helper: Option<Arc<[OsString]>>,
    machinery: Option<Machinery>,
}

/// One engine, its tick, and a runtime; made when first needed.
struct Machinery {
    engine: Engine,
    ticker: Ticker,
    runtime: Option<Runtime>,
    cache: Option<Cache>,
    loaded: BTreeMap<Digest, Loaded>,
}

/// A component that is ready to be instantiated.
struct Loaded {
    pre: HookPre<Guest>,
    /// Bytes of the component.
    size: u64,
}

type SecretValues = BTreeMap<Name, Result<SecretText, String>>;

impl Hooks for HookHost {
    fn call(&mut self, hook: &HookCall, call: &Call<'_>, tell: &mut dyn Tell) -> Result<HookAnswer, Failure> {
        let root = Dir::open_root(&call.host.root);
        let compiled = self.ready(&hook.plugin, &hook.component, || match &root {
            Ok(root) => shelf::read(root, &hook.plugin, &hook.component),
            Err(error) => Err(Failure::from_error("hook::component", error)),
        })?;
        let (values, redactor) = self.secrets(hook, call);
        let voice = Voice::new(hook.plugin.clone(), Arc::new(redactor));
        let deadline = Instant::now() + hook.limits.time.duration();
        let (lines, told) = mpsc::channel(LINES);
        let (machinery, memory) = self.loaded(hook)?;
        let guest = Guest {
            facts: Facts::of(hook, call, root.as_ref().ok(), deadline),
            broker: Arc::new(Broker::new(hook.grants.clone(), values, is_sealed(hook, call))),
            areas: Areas {
                root: root.ok(),
                release: call.plan.release.clone(),
                plugin: hook.plugin.clone(),
                environment: call.plan.environment.clone(),
            },
            lines,
            limiter: Limiter::new(memory),
            table: bounded_table(),
            wasi: wasi::context(&voice),
            voice: voice.clone(),
            helper: self.helper.clone(),
            user: self.config.user,
        };
        let outside = Outside { voice: &voice, told, tell, stop: call.stop, deadline };
        let ended = machinery.run(hook, guest, outside);
        let answer = ended.and_then(|ended| answer::answer(&hook.plugin, ended, voice.redactor()));
        let answer = answer.map_err(|failure| voice.clean(failure))?;
        Ok(HookAnswer { denied: voice.denials(), compiled: u32::from(compiled), ..answer })
    }
}

impl HookHost {
    /// A host; nothing is started yet.
    pub fn new(config: HostConfig) -> Self {
        let helper = config.helper.clone().map(Into::into);
        Self { config, helper, machinery: None }
    }

    /// Compiles a component into the cache and links it, so that no run has to, and what cannot be linked is found
    /// when planning. Tells whether it had to be compiled.
    pub fn precompile(&mut self, plugin: &Name, bytes: &[u8]) -> Result<bool, Failure> {
        self.ready(plugin, &Digest::of(bytes), || Ok(bytes.to_vec()))
    }

    /// Makes the component ready; tells whether it had to be compiled.
    fn ready(
        &mut self,
        plugin: &Name,
        digest: &Digest,
        read: impl FnOnce() -> Result<Vec<u8>, Failure>,
    ) -> Result<bool, Failure> {
        let machinery = match &mut self.machinery {
            Some(machinery) => machinery,
            None => self.machinery.insert(Machinery::new(self.config.cache.clone())?),
        };
        if machinery.loaded.contains_key(digest) {
            return Ok(false);
        }
        let read = || read().map_err(CodeError::Read);
        let made =
            code::make(&machinery.engine, machinery.cache.as_ref(), self.helper.as_ref(), digest, read)
                .map_err(|error| error.failure(plugin))?;
        let pre = machinery.link(plugin, &made.component)?;
        machinery.loaded.insert(*digest, Loaded { pre, size: made.size });
        Ok(made.compiled)
    }

    /// Where the call runs, and the memory that it may have.
    fn loaded(&self, hook: &HookCall) -> Result<(&Machinery, Bytes), Failure> {
        let found = self.machinery.as_ref().and_then(|m| Some((m, m.loaded.get(&hook.component)?)));
        let (machinery, loaded) =
            found.ok_or_else(|| Failure::new("hook::host", "the component is not loaded"))?;
        let usual = if loaded.size > LARGE { MEMORY_OF_LARGE } else { MEMORY };
        Ok((machinery, hook.limits.memory.unwrap_or(usual)))
    }

    /// The values that the call may need, and what hides all values that this plan knows.
    fn secrets(&mut self, hook: &HookCall, call: &Call<'_>) -> (SecretValues, Redactor) {
        let mut values = SecretValues::new();
        let granted = hook.grants.iter().filter_map(|grant| match grant {
            Grant::Secret { name, .. } => Some(name),
            _ => None,
        });
        // A hook may also meet the others: in a file that it reads, or in what a program prints.
        for name in granted.chain(call.plan.secrets.keys()) {
            if !values.contains_key(name) {
                let value = self.config.secrets.value(name).map_err(|failure| failure.to_string());
                values.insert(name.clone(), value);
            }
        }
        let known = values.iter().filter_map(|(name, value)| Some((name, value.as_ref().ok()?)));
        let redactor = Redactor::new(known);
        (values, redactor)
    }
}

impl Machinery {
    fn new(cache: Option<PathBuf>) -> Result<Self, Failure> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Failure::new("hook::host", format!("cannot start {what} for hooks: {error}"))
        };
        let engine = engine::engine().map_err(|error| failed("the engine", &format!("{error:#}")))?;
        let ticker = Ticker::start(&engine).map_err(|error| failed("the tick", &error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| failed("the runtime", &error))?;
        let cache = Cache::open(&engine, cache);
        Ok(Self { engine, ticker, runtime: Some(runtime), cache, loaded: BTreeMap::new() })
    }

    fn link(&self, plugin: &Name, component: &Component) -> Result<HookPre<Guest>, Failure> {
        engine::link(&self.engine, component).map_err(|error| {
            let message = format!("cannot link the component of plugin `{plugin}`: {error:#}");
            Failure::refused("hook::link", message)
                .help("it was made for another version of the hook contract: build it again with this one's hook.wit")
        })
    }

    /// Instantiates and calls, in a store that nothing else uses.
    fn run(
        &self,
        hook: &HookCall,
        guest: Guest,
        outside: Outside<'_, '_>,
    ) -> Result<Result<Outcome, Error>, Failure> {
        let (Some(loaded), Some(runtime)) = (self.loaded.get(&hook.component), &self.runtime) else {
            return Err(Failure::new("hook::host", "the component is not loaded"));
        };
        let (voice, deadline) = (guest.voice.clone(), outside.deadline);
        let mut store = self.store(guest, deadline);
        let Outside { voice: _, told, tell, stop, .. } = outside;
        let _ticking = self.ticker.ticking();
        let ended = runtime.block_on(drive::drive(
            async {
                let hook: Hook = loaded.pre.instantiate_async(&mut store).await?;
                hook.call_run(&mut store).await
            },
            Outside { voice: &voice, told, tell: &mut *tell, stop, deadline },
        ));
        let hit = store.data().limiter.hit;
        // A line that was printed without its end is told when the store goes.
        drop(store);
        drive::tell_all(&voice, tell)?;
        ended.map_err(|error| trap::failure(hook, hit, voice.panic(), &error))
    }

    fn store(&self, guest: Guest, deadline: Instant) -> Store<Guest> {
        let mut store = Store::new(&self.engine, guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(HOST_CALL);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            // Ticks drift under load: the clock decides.
            if Instant::now() >= deadline { Err(Cut::Deadline.into()) } else { Ok(UpdateDeadline::Yield(1)) }
        });
        store
    }
}

impl Drop for Machinery {
    fn drop(&mut self) {
        // A request that was cut short ends by its own timeout; nobody waits for it.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn bounded_table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(RESOURCES);
    table
}

/// From `seal` on the target release does not change, whatever was granted.
fn is_sealed(hook: &HookCall, call: &Call<'_>) -> bool {
    let is_made = call.plan.goal == Goal::Apply;
    !is_made || hook.stage > Stage::Seal || (hook.stage == Stage::Seal && hook.phase == Phase::After)
}
