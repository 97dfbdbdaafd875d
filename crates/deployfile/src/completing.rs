//! What a shell offers while a command line is written: names from the deployfile and releases from the journal.
//!
//! The shell asks this program, by an environment variable that its script sets. Everything is only read, what cannot be
//! read is not offered, and nothing is ever said: a completion is no place for errors.

use crate::args::{Cli, Color, Format, Global};
use crate::host;
use crate::project::{self, Opened};
use crate::terminal::Terminal;
use clap::CommandFactory;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::Shells;
use deployfile_model::Name;
use deployfile_record::ReleaseState;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Set by a shell that asks what goes on here; its value is the shell's name.
const ASKED_BY: &str = "DEPLOYFILE_COMPLETE";
/// A list that is longer helps nobody.
const MOST: usize = 1000;

/// Answers a shell that asks, and ends.
pub(crate) fn answer_a_shell() {
    CompleteEnv::with_factory(Cli::command)
        .var(ASKED_BY)
        .bin("deployfile")
        .completer("deployfile")
        .complete();
}

/// The script that makes a shell ask.
pub(crate) fn script(shell: &str) -> io::Result<Vec<u8>> {
    let shells = Shells::builtins();
    let completer = shells.completer(shell).ok_or(io::ErrorKind::NotFound)?;
    let mut script = Vec::new();
    completer.write_registration(ASKED_BY, "deployfile", "deployfile", "deployfile", &mut script)?;
    Ok(script)
}

pub(crate) fn environments() -> ArgValueCandidates {
    offer(|known| known.environments())
}
pub(crate) fn hosts() -> ArgValueCandidates {
    offer(|known| known.hosts())
}
pub(crate) fn roles() -> ArgValueCandidates {
    offer(|known| texts(known.opened.project.role_names()))
}
pub(crate) fn plugins() -> ArgValueCandidates {
    offer(|known| texts(known.opened.project.plugin_names()))
}
/// Environments and names of services.
pub(crate) fn services() -> ArgValueCandidates {
    offer(|known| [known.environments(), texts(known.opened.project.service_names())].concat())
}
/// Paths of settings that something sets, and error codes, which need no deployfile.
pub(crate) fn explained() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let settings = Known::read().map(|known| known.settings()).unwrap_or_default();
        let codes = deployfile_report::codes::pages().map(|page| page.code.to_owned());
        settings.into_iter().take(MOST).chain(codes).map(CompletionCandidate::new).collect()
    })
}
/// Releases that are there.
pub(crate) fn releases() -> ArgValueCandidates {
    offer(|known| known.releases(|_| true))
}
/// Releases that a rollback may go to.
pub(crate) fn good_releases() -> ArgValueCandidates {
    offer(|known| known.releases(|state| state == ReleaseState::Good))
}
/// Environments, `show`, and runs.
pub(crate) fn runs() -> ArgValueCandidates {
    offer(|known| [known.environments(), vec!["show".to_owned()], known.runs()].concat())
}

fn offer(names: impl Fn(&Known) -> Vec<String> + Send + Sync + 'static) -> ArgValueCandidates {
    ArgValueCandidates::new(move || {
        let found = Known::read().map(|known| names(&known)).unwrap_or_default();
        found.into_iter().take(MOST).map(CompletionCandidate::new).collect::<Vec<_>>()
    })
}

fn texts(names: Vec<Name>) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// The deployfile of the command line that is being written.
struct Known {
    opened: Opened,
    terminal: Terminal,
    environment: Option<Name>,
}

impl Known {
    fn read() -> Option<Self> {
        let words: Vec<String> = std::env::args().collect();
        let after = |flags: [&str; 2]| {
            let at = words.iter().position(|word| flags.contains(&word.as_str()))?;
            words.get(at + 1).cloned()
        };
        let global = Global {
            file: after(["-f", "--file"]).map(Into::into),
            // Warnings of the file are not told with it.
            format: Format::Json,
            environment: after(["-e", "--environment"]),
            yes: false,
            verbose: 0,
            quiet: true,
            color: Color::Never,
        };
        let terminal = Terminal::new(&global);
        let opened = project::open_to_look(&global, terminal).ok()?;
        // The environment may be any word of the line; else it is the only one, or not known yet.
        let named = words.iter().find(|word| opened.is_environment(word)).map(String::as_str);
        let environment = opened.environment(global.environment.as_deref().or(named), &global).ok();
        Some(Self { opened, terminal, environment })
    }

    fn environments(&self) -> Vec<String> {
        texts(self.opened.project.environments())
    }

    fn hosts(&self) -> Vec<String> {
        let all = self.opened.project.environments();
        let wanted = self.environment.iter().chain(all.iter().filter(|_| self.environment.is_none()));
        let hosts = wanted.flat_map(|environment| self.opened.project.host_names(environment));
        hosts.map(|host| host.to_string()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn settings(&self) -> Vec<String> {
        let project = &self.opened.project;
        let Some(environment) = self.environment.clone().or_else(|| project.environments().pop()) else {
            return Vec::new();
        };
        let host = project.host_names(&environment).into_iter().next();
        let provenance = project.provenance(&environment, host.as_ref());
        provenance.beneath("").map(|(path, _)| path.to_owned()).collect()
    }

    fn ledger(&self) -> Option<deployfile_record::Ledger> {
        let spec = self.opened.spec(self.environment.as_ref()?, &BTreeMap::new(), self.terminal).ok()?;
        host::open(&spec).ok()?.ledger().ok()
    }

    fn releases(&self, wanted: impl Fn(ReleaseState) -> bool) -> Vec<String> {
        let releases = self.ledger().map(|ledger| ledger.releases).unwrap_or_default();
        // The newest first.
        releases.iter().rev().filter(|(_, facts)| wanted(facts.state)).map(|(id, _)| id.to_string()).collect()
    }

    fn runs(&self) -> Vec<String> {
        let runs = self.ledger().map(|ledger| ledger.runs).unwrap_or_default();
        runs.iter().rev().map(|run| run.run.to_string()).collect()
    }
}
