//! `plan`: what apply would do. Touches nothing.

use crate::args::{Global, PlanArgs, WishArgs};
use crate::error::{CliError, Stop, exit};
use crate::host::{self, LocalHost};
use crate::limits;
use crate::observing::{Aim, observation};
use crate::preview;
use crate::project::{self, Opened};
use crate::terminal::Terminal;
use deployfile_model::spec::{NotBuilt, SourceKind};
use deployfile_model::{Host, Name, Spec};
use deployfile_plan::{Request, Wish};
use deployfile_record::{Ledger, Plan};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

pub(crate) fn run(args: &PlanArgs, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let (opened, spec) = wanted(args.env.as_deref(), &args.wish, global, terminal)?;
    let plan = match applicable(&spec) {
        Ok(()) => {
            let local = host::open(&spec)?;
            local.expect_no_run()?;
            let plan = make(&opened, &spec, &local, &args.wish, None);
            // One that began meanwhile is no interrupted one either.
            plan.or_else(|why| local.expect_no_run().and(Err(why)))?
        }
        // What cannot be applied can be shown, and not kept for `apply --plan`.
        Err(why) if args.out.is_some() => return Err(why),
        Err(_) => preview::plan(&opened, &spec, args.wish.force)?,
    };
    if let Some(path) = &args.out {
        write(path, &plan)?;
    }
    if terminal.is_json() {
        terminal.document(&deployfile_report::plan::document(&plan))?;
    } else {
        terminal.answer(&deployfile_report::plan::text(&plan, terminal.tone))?;
    }
    Ok(if args.exit_code && plan.changes() { exit::SOMETHING_TO_DO } else { exit::DONE })
}

/// The deployfile and the specification that the wish is about.
pub(crate) fn wanted(
    word: Option<&str>,
    wish: &WishArgs,
    global: &Global,
    terminal: Terminal,
) -> Result<(Opened, Spec), Stop> {
    let opened = project::open(global, terminal)?;
    let environment: Name = opened.environment(word, global)?;
    let mut spec = opened.spec(&environment, &overrides(&wish.set)?, terminal)?;
    if let Some(rev) = &wish.rev {
        take_revision(&mut spec, rev)?;
    }
    take_hosts(&mut spec, wish)?;
    match limits::refusals(&spec) {
        none if none.is_empty() => Ok((opened, spec)),
        refused => Err(Stop::Errors(refused)),
    }
}

/// Refuses what no apply could do: settings whose machinery is not built, hosts that cannot be reached.
pub(crate) fn applicable(spec: &Spec) -> Result<(), Stop> {
    let unreachable = host::only_local(spec).err();
    if spec.not_built.is_empty() {
        return unreachable.map_or(Ok(()), Err);
    }
    let refusal = |it: &NotBuilt| {
        let message = format!("`{}` is part of the language but not built yet", it.what);
        let error = CliError::new("plan::not-built", exit::REFUSED, message);
        let error = error.help("leave it out until it is; `deployfile plan` shows what the rest would do");
        CliError { place: Some(it.place.clone()), ..error }
    };
    let mut errors: Vec<CliError> = spec.not_built.iter().map(refusal).collect();
    if let Some(Stop::Error(error)) = unreachable {
        errors.push(*error);
    }
    Err(Stop::Errors(errors))
}

/// `--set vars.x=value`.
fn overrides(set: &[String]) -> Result<BTreeMap<String, String>, Stop> {
    set.iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) if key.strip_prefix("vars.").is_some_and(|name| !name.is_empty()) => {
                Ok((key.to_owned(), value.to_owned()))
            }
            _ => {
                let message = format!("--set takes vars.NAME=VALUE, not `{text}`");
                Err(CliError::new("cli::set", exit::USAGE, message)
                    .help("for example: --set vars.port=8080")
                    .into())
            }
        })
        .collect()
}

/// `--host` and `--role`: what is left must be something.
fn take_hosts(spec: &mut Spec, wish: &WishArgs) -> Result<(), Stop> {
    if wish.host.is_none() && wish.role.is_none() {
        return Ok(());
    }
    let is_named = |host: &Host| wish.host.as_ref().is_none_or(|name| host.name.as_str() == name);
    let has_role = |host: &Host| {
        wish.role.as_ref().is_none_or(|role| host.roles.iter().any(|known| known.as_str() == role))
    };
    spec.hosts.retain(|host| is_named(host) && has_role(host));
    if !spec.hosts.is_empty() {
        return Ok(());
    }
    let asked = [("--host", &wish.host), ("--role", &wish.role)];
    let asked: Vec<String> = asked
        .iter()
        .filter_map(|(flag, value)| Some(format!("{flag} {}", value.as_ref()?.escape_debug())))
        .collect();
    let message = format!("environment `{}` has no host for {}", spec.environment, asked.join(" "));
    Err(CliError::new("cli::host", exit::USAGE, message).help("see the hosts of the deployfile").into())
}

fn take_revision(spec: &mut Spec, rev: &str) -> Result<(), Stop> {
    let is_option = rev.starts_with('-') || rev.is_empty() || rev.chars().any(char::is_control);
    match &mut spec.source.kind {
        _ if is_option => {
            let message = format!("`{}` is not a branch, tag or commit", rev.escape_debug());
            Err(CliError::new("cli::rev", exit::USAGE, message)
                .help("name one that the repository has")
                .into())
        }
        SourceKind::Git { reference, .. } => {
            // Braces would be a look-up; no git ref holds them.
            reference.raw = rev.replace("{{", "{{ '{{' }}");
            Ok(())
        }
        SourceKind::Dir { .. } | SourceKind::NotBuilt { .. } => {
            let message = "--rev names a revision of a git source; this source is none";
            Err(CliError::new("cli::rev", exit::USAGE, message).help("leave it out").into())
        }
    }
}

/// Observes and plans.
pub(crate) fn make(
    opened: &Opened,
    spec: &Spec,
    local: &LocalHost,
    wish: &WishArgs,
    ledger: Option<Ledger>,
) -> Result<Plan, Stop> {
    let aim = Aim { source: true, target: None, ledger };
    let seen = observation(opened, spec, local, aim)?;
    let observations = BTreeMap::from([(local.name.clone(), seen)]);
    let wish = Wish::Apply { force: wish.force };
    let request = Request { spec, observations: &observations, wish, at: host::now() };
    Ok(deployfile_plan::plan(&request)?)
}

/// A plan may name hosts and paths that are nobody else's business: mode 0600.
fn write(path: &Path, plan: &Plan) -> Result<(), Stop> {
    use std::os::unix::fs::OpenOptionsExt;
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(&plan.to_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|e| {
        CliError::new("plan::write", exit::FAILED, format!("write the plan to {}", path.display()))
            .because(e.to_string())
            .into()
    })
}
