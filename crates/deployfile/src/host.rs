//! The hosts of an environment, opened. Until there is a fleet, every host is this machine.

use crate::error::{CliError, Stop, exit};
use deployfile_disk::lock::Holder;
use deployfile_disk::root::{Durability, RootError, check_root, create_root};
use deployfile_disk::{Dir, Lock, LockError, LockNote};
use deployfile_model::spec::{Connect, Layout};
use deployfile_model::units::{Millis, UnixTime};
use deployfile_model::{Host, Name, RunId, Spec};
use deployfile_plan::root_of;
use deployfile_record::Ledger;
use deployfile_system::{Store, observe};
use std::time::{Duration, Instant, SystemTime};

/// How often a waiting apply looks at the lock.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// A host of the environment on this machine.
pub(crate) struct LocalHost {
    pub(crate) name: Name,
    pub(crate) layout: Layout,
    /// `None`: the root is not there yet.
    pub(crate) root: Option<Dir>,
    /// It can be read, but nothing may be written.
    pub(crate) read_only: bool,
    /// What the user should know about the root.
    pub(crate) warnings: Vec<String>,
}

/// The only host of the environment, which must be this machine.
pub(crate) fn only_local(spec: &Spec) -> Result<&Host, Stop> {
    match spec.hosts.as_slice() {
        [host] if host.connect == Connect::Local => Ok(host),
        [] => Err(CliError::new(
            "config::no-hosts",
            exit::INVALID,
            format!("environment `{}` has no hosts", spec.environment),
        )
        .help("add `host localhost { connect local; }` to the environment")
        .into()),
        [host] => {
            Err(not_built(&format!("host `{}` is reached by ssh, which is not built yet", host.name)).into())
        }
        _ => Err(not_built(&format!(
            "environment `{}` has {} hosts; deploying to more than this machine is not built yet",
            spec.environment,
            spec.hosts.len()
        ))
        .into()),
    }
}

fn not_built(message: &str) -> CliError {
    CliError::new("plan::connect-not-built", exit::REFUSED, message)
        .help("run deployfile on the host itself, with one host and `connect local`")
}

/// Opens the root of a host, if it is there.
pub(crate) fn open(spec: &Spec) -> Result<LocalHost, Stop> {
    let host = only_local(spec)?;
    let layout = Layout { root: root_of(spec, host)?, current: spec.app.current.clone() };
    open_layout(host.name.clone(), layout)
}

/// As [`open`], for what another source than the deployfile names.
pub(crate) fn open_layout(name: Name, layout: Layout) -> Result<LocalHost, Stop> {
    let mut read_only = false;
    let (root, warnings) = match check_root(&layout.root, DURABILITY) {
        Ok(root) => (Some(root.dir), root.warnings.iter().map(ToString::to_string).collect()),
        Err(RootError::Missing { .. }) => (None, Vec::new()),
        // What a file system with errors became; what is served can still be told.
        Err(error @ RootError::ReadOnly { .. }) => {
            read_only = true;
            let root = Dir::open_root(&layout.root).map_err(|e| Stop::from(root_error(&e.into())))?;
            (Some(root), vec![error.to_string()])
        }
        Err(error) => return Err(root_error(&error).into()),
    };
    Ok(LocalHost { name, layout, root, read_only, warnings })
}

/// A file system without a journal is a warning (docs/decisions/0001): refusing it would refuse whole machines on which
/// everything but a power cut is as safe as elsewhere.
const DURABILITY: Durability = Durability::Waived;

fn root_error(error: &RootError) -> CliError {
    let help = match error {
        RootError::Slash => "give the app a directory of its own, for example \"/srv/shop\"",
        RootError::Missing { .. } => "deployfile apply makes it",
        // The message says it all.
        RootError::Symlink { .. } => return CliError::from_error("root::unusable", exit::REFUSED, error),
        RootError::NotADirectory { .. } => "move it away, or choose another root",
        RootError::NotOurs { .. } => "run deployfile as its owner, or choose another root",
        RootError::Writable { .. } => "take the right to write from group and others: chmod go-w",
        RootError::Unsuitable { .. } => "choose a root on ext4, XFS or btrfs",
        RootError::Split { .. } => "keep releases/ and .deployfile/ on the root's own file system",
        RootError::ReadOnly { .. } => "mount it for writing",
        RootError::Disk(_) => "mend what the message names",
    };
    CliError::from_error("root::unusable", exit::REFUSED, error).help(help)
}

impl LocalHost {
    /// Makes the root if it is not there, and its store.
    pub(crate) fn create(&mut self) -> Result<Store, Stop> {
        if self.read_only {
            return Err(root_error(&RootError::ReadOnly { root: self.layout.root.clone() }).into());
        }
        if self.root.is_none() {
            create_root(&self.layout.root).map_err(|e| Stop::from(root_error(&e)))?;
            let root = check_root(&self.layout.root, DURABILITY).map_err(|e| Stop::from(root_error(&e)))?;
            self.warnings = root.warnings.iter().map(ToString::to_string).collect();
            self.root = Some(root.dir);
        }
        let root = self.dir()?;
        Ok(Store::create(root).map_err(|e| e.failure())?)
    }

    /// The root's handle.
    pub(crate) fn dir(&self) -> Result<&Dir, Stop> {
        self.root.as_ref().ok_or_else(|| {
            let message = format!("{} is not there: nothing was ever applied", self.layout.root);
            CliError::new("root::missing", exit::REFUSED, message).help("run: deployfile apply").into()
        })
    }

    /// The store, when something was ever run here.
    pub(crate) fn store(&self) -> Result<Option<Store>, Stop> {
        let Some(root) = &self.root else { return Ok(None) };
        Ok(Store::open(root).map_err(|e| e.failure())?)
    }

    /// Who holds the lock now, if anybody does. The note is missing when its holder is just writing it.
    pub(crate) fn lock_holder(&self) -> Result<Option<Holder>, Stop> {
        let Some(store) = self.store()? else { return Ok(None) };
        let holder = store.lock_holder().map_err(|e| Stop::from(lock_unusable(&e)))?;
        Ok(holder.filter(|holder| holder.is_live))
    }

    /// What the journal says, and who is at work here. Without a holder, an open run is one that was interrupted:
    /// a run that ended, or began, between the two readings is not taken for one.
    pub(crate) fn ledger_and_holder(&self) -> Result<(Ledger, Option<Holder>), Stop> {
        let mut ledger = self.ledger()?;
        loop {
            let holder = self.lock_holder()?;
            if holder.is_some() || ledger.open.is_none() {
                return Ok((ledger, holder));
            }
            let again = self.ledger()?;
            if again.open == ledger.open {
                return Ok((again, None));
            }
            ledger = again;
        }
    }

    /// Refuses to go on while a run is under way: what could be said now would not be true when it is read.
    pub(crate) fn expect_no_run(&self) -> Result<(), Stop> {
        let (ledger, Some(holder)) = self.ledger_and_holder()? else { return Ok(()) };
        let Some(open) = ledger.open else { return Ok(()) };
        let path = format!("{}/lock", self.layout.state());
        let busy = busy(LockError::Busy { path, holder: holder.note });
        Err(busy.because(format!("run {} is under way", open.run)).help("wait until it is done").into())
    }

    /// What the journal says, read without changing anything.
    pub(crate) fn ledger(&self) -> Result<Ledger, Stop> {
        let Some(root) = &self.root else { return Ok(Ledger::default()) };
        Ok(observe::read_ledger(root).map_err(|e| e.failure())?)
    }
}

/// Takes the lock, waiting for at most `wait`.
pub(crate) fn lock(store: &Store, run: Option<&RunId>, wait: Millis) -> Result<Lock, Stop> {
    let note =
        LockNote { who: who(), from: machine(), since: now(), run: run.cloned(), pid: std::process::id() };
    let deadline = Instant::now() + wait.duration();
    loop {
        match store.lock(&note) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Busy { .. }) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
            Err(error @ LockError::Busy { .. }) => {
                return Err(busy(error).help("wait for it: --wait 5m; or stop its holder").into());
            }
            Err(LockError::Disk(error)) => return Err(lock_unusable(&error).into()),
        }
    }
}

/// The lock's file is not one that can be locked.
fn lock_unusable(error: &(dyn std::error::Error + 'static)) -> CliError {
    CliError::from_error("disk::failed", exit::FAILED, error).help(
        "mend what the causes name; what stands where the lock's file belongs may be moved away while no deployfile runs: \
         mv ROOT/.deployfile/lock ROOT/lock.before",
    )
}

/// Somebody else holds the lock: who, and for how long.
fn busy(error: LockError) -> CliError {
    let cli = CliError::from_error("lock::busy", exit::LOCKED, &error);
    match error {
        LockError::Busy { holder: Some(holder), .. } => {
            cli.because(format!("held for {}", holder.age(now())))
        }
        _ => cli,
    }
}

/// Seconds since 1970. `SOURCE_DATE_EPOCH` is not asked: Nix shells set it, mostly to 1980, and ids of releases and the ages
/// that retention counts are about what really happened.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The user that runs this, for people.
pub(crate) fn who() -> String {
    std::env::var("SUDO_USER")
        .or_else(|_| std::env::var("USER"))
        .unwrap_or_else(|_| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// The name of this machine, for people.
pub(crate) fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
