//! Asks services how they are: health checks, and the build id that the running code says.
//!
//! A probe is one reading ([`try_once`]); a check is a probe that holds within a time ([`hold`]). What is deliberately not
//! here: deciding what follows from an answer, and following redirects (a redirect is the answer).

mod address;
mod ask;
pub(crate) mod connect;
mod judge;

use crate::process::ProcessSpec;
use deployfile_exec::{Stop, Tell};
use deployfile_model::{BuildId, Name};
use deployfile_record::effect::{Probe, ProbeTarget};
use deployfile_record::{Failure, FailureKind};
use std::time::{Duration, Instant};

/// How long one try of HTTP or TCP may take at most.
const TRY_MAX: Duration = Duration::from_secs(5);
/// How long the last try gets when the time is nearly over.
const TRY_MIN: Duration = Duration::from_millis(250);
/// How often `stop` is looked at between two tries.
const TICK: Duration = Duration::from_millis(50);

/// A probe that can be asked: where it is a program, with the process that it runs as.
#[derive(Clone)]
pub struct Asked<'a> {
    probe: &'a Probe,
    process: Option<ProcessSpec>,
    /// Its connections are marked as those that mean the new processes of a hand-over.
    means_new: bool,
}

impl<'a> Asked<'a> {
    /// A probe that is a program, with its command filled in.
    pub fn program(probe: &'a Probe, process: ProcessSpec) -> Self {
        Self { probe, process: Some(process), means_new: false }
    }

    /// The same, asked of the new processes of a hand-over; `None` when its connections do not go to one of the
    /// addresses at which they `listen`.
    pub fn of_new(&self, listen: &[String]) -> Option<Self> {
        let goes_there = match &self.probe.target {
            ProbeTarget::Http(url) => match ask::unix_socket(url) {
                Some((socket, _)) => listen.iter().any(|at| at.strip_prefix("unix:") == Some(socket)),
                None => address::of_url(url).is_some_and(|at| address::is_one_of(&at, listen)),
            },
            ProbeTarget::Tcp(at) => address::is_one_of(at, listen),
            ProbeTarget::Exec(_) => false,
        };
        goes_there.then(|| Self { means_new: true, ..self.clone() })
    }
}

/// A probe that is no program; one that is, is refused.
pub fn plain(probe: &Probe) -> Result<Asked<'_>, Failure> {
    match &probe.target {
        ProbeTarget::Exec(command) => {
            let program = crate::process::argv(&command.call).first().cloned().unwrap_or_default();
            Err(Failure::refused("verify::exec", format!("the check `{program}` cannot be a program here")))
        }
        ProbeTarget::Http(_) | ProbeTarget::Tcp(_) => Ok(Asked { probe, process: None, means_new: false }),
    }
}

/// Why a try gave no good answer.
#[derive(Debug)]
pub enum Trouble {
    /// Another try may.
    NotYet(String),
    /// No other try will.
    Never(Failure),
}

/// What was answered.
struct Reply {
    /// Status of an HTTP answer.
    status: Option<u16>,
    text: String,
}

/// Tries until the answer is good: as the probe expects and, with `build`, naming that build. Gives the good answer in a few
/// words.
///
/// After the probe's `within` the failure is `verify::health` or, with `build`, `verify::build`, with the last answer.
pub fn hold(
    service: &Name,
    asked: &Asked<'_>,
    build: Option<&BuildId>,
    stop: &Stop,
    tell: &mut dyn Tell,
) -> Result<String, Failure> {
    let probe = asked.probe;
    let deadline = Instant::now() + probe.within.duration();
    let left = || deadline.saturating_duration_since(Instant::now());
    for attempt in 1.. {
        let is_last = left().is_zero();
        let timeout = left().max(TRY_MIN);
        let why = match try_once(asked, build, timeout, stop, tell) {
            Ok(answer) => {
                tell.probe(service, attempt, true, &answer);
                return Ok(answer);
            }
            Err(Trouble::Never(failure)) => return Err(failure),
            Err(Trouble::NotYet(why)) => why,
        };
        tell.probe(service, attempt, false, &why);
        if is_last {
            return Err(failed(service, probe, build, attempt, &why));
        }
        pause(left().min(probe.interval.duration()), stop)?;
    }
    Err(failed(service, probe, build, u32::MAX, "no try was made"))
}

/// One try, within `timeout`, and within 5 seconds where it is no program.
pub fn try_once(
    asked: &Asked<'_>,
    build: Option<&BuildId>,
    timeout: Duration,
    stop: &Stop,
    tell: &mut dyn Tell,
) -> Result<String, Trouble> {
    let reply = ask(asked, timeout, stop, tell)?;
    judge::judge(asked.probe, build, &reply).map_err(Trouble::NotYet)
}

/// What is answered now, whatever it should be: for `status`, which reports and does not judge.
pub fn answer(
    asked: &Asked<'_>,
    timeout: Duration,
    stop: &Stop,
    tell: &mut dyn Tell,
) -> Result<String, Trouble> {
    let reply = ask(asked, timeout, stop, tell)?;
    judge::answer(asked.probe, &reply).map(|text| text.trim().to_owned()).map_err(Trouble::NotYet)
}

fn ask(asked: &Asked<'_>, timeout: Duration, stop: &Stop, tell: &mut dyn Tell) -> Result<Reply, Trouble> {
    let short = timeout.min(TRY_MAX);
    match (&asked.probe.target, &asked.process) {
        (_, Some(process)) => ask::exec(process.clone(), timeout, stop, tell),
        (ProbeTarget::Http(url), None) => ask::http(url, short, asked.means_new),
        (ProbeTarget::Tcp(address), None) => ask::tcp(address, short, asked.means_new),
        (ProbeTarget::Exec(_), None) => {
            Err(Trouble::Never(Failure::new("bug::probe", "a program is asked without its process")))
        }
    }
}

fn pause(time: Duration, stop: &Stop) -> Result<(), Failure> {
    let end = Instant::now() + time;
    loop {
        if stop.asked() {
            let interrupted = Failure::new("verify::interrupted", "the check was interrupted");
            return Err(Failure { kind: FailureKind::Interrupted, ..interrupted });
        }
        match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => return Ok(()),
            left => std::thread::sleep(left.min(TICK)),
        }
    }
}

fn failed(service: &Name, probe: &Probe, build: Option<&BuildId>, tries: u32, why: &str) -> Failure {
    let (asked, within) = (target(probe), probe.within);
    let tries = if tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") };
    match build {
        Some(build) => Failure::new(
            "verify::build",
            format!("service `{service}` did not say within {within} that it runs build `{build}` ({tries} of {asked})"),
        )
        .because(why)
        .help("the old code may still run: check `on-deploy`, caches of bytecode, and who answers at that address"),
        None => Failure::new(
            "verify::health",
            format!("service `{service}` was not healthy within {within} ({tries} of {asked})"),
        )
        .because(why),
    }
}

fn target(probe: &Probe) -> String {
    match &probe.target {
        ProbeTarget::Http(url) => url.clone(),
        ProbeTarget::Tcp(address) => format!("tcp {address}"),
        ProbeTarget::Exec(command) => {
            let argv = crate::process::argv(&command.call);
            format!("`{}`", judge::shown(&argv.join(" ")))
        }
    }
}
