//! `explain`: the value of a setting, and every line that had a say in it; or the page of an error code.

use crate::args::{ExplainArgs, Global};
use crate::error::{CliError, Stop, exit};
use crate::project;
use crate::terminal::Terminal;
use deployfile_config::{Entry, Provenance};
use deployfile_model::spec::NotBuilt;
use deployfile_model::{Host, Name, Spec};
use deployfile_record::FORMAT;
use deployfile_report::codes::{self, Page};
use deployfile_report::table::aligned;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) fn run(args: &ExplainArgs, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    match args.path.split_once("::") {
        // The path of a setting may hold colons too, but only after the name of a block.
        Some((area, name)) if !area.contains('.') => error_code(area, name, terminal),
        _ => setting(args, global, terminal),
    }
}

/// Hosts that are asked for a setting that the first one does not have.
const MOST_HOSTS: usize = 100;

/// `area::name` is a page, `area::` lists those of an area, `::` all. No deployfile is looked for.
fn error_code(area: &str, name: &str, terminal: Terminal) -> Result<u8, Stop> {
    let code = format!("{area}::{name}");
    if let Some(page) = codes::find(&code) {
        if terminal.is_json() {
            terminal.document(&document(page, Some(FORMAT)))?;
        } else {
            terminal.answer(&format!("{}\n\n{}", terminal.tone.strong(page.code), page.text()))?;
        }
        return Ok(exit::DONE);
    }
    let is_listed = |page: &Page| name.is_empty() && (area.is_empty() || page.code.starts_with(&code));
    let pages: Vec<Page> = codes::pages().filter(is_listed).collect();
    if pages.is_empty() {
        return Err(unknown_code(area, &code).into());
    }
    if terminal.is_json() {
        let pages: Vec<Value> = pages.into_iter().map(|page| document(page, None)).collect();
        terminal.document(&json!({ "format": FORMAT, "codes": pages }))?;
    } else {
        let row = |page: &Page| vec![page.code.to_owned(), page.summary().to_owned()];
        terminal.answer(&aligned(&pages.iter().map(row).collect::<Vec<_>>()))?;
    }
    Ok(exit::DONE)
}

fn document(page: Page, format: Option<u32>) -> Value {
    let mut document =
        json!({ "code": page.code, "summary": page.summary(), "page": page.text(), "exit": page.exits() });
    if let Some(format) = format {
        document["format"] = format.into();
    }
    document
}

fn unknown_code(area: &str, code: &str) -> CliError {
    let message = format!("there is no error code `{}`", code.escape_debug());
    let help = match codes::nearest(code) {
        Some(near) => format!("did you mean `{near}`?"),
        None if codes::areas().any(|known| known.name == area) => {
            format!("see those of the area: deployfile explain {area}::")
        }
        None => "see all of them: deployfile explain ::".to_owned(),
    };
    CliError::new("cli::code", exit::USAGE, message).help(help)
}

fn setting(args: &ExplainArgs, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    let opened = project::open_to_look(global, terminal)?;
    let environment = opened.environment(args.env.as_deref(), global)?;
    // What does not resolve is told as `check` tells it, and not explained.
    let spec = opened.spec(&environment, &BTreeMap::new(), terminal)?;
    let hosts = opened.project.host_names(&environment);
    let host = match (&args.host, hosts.as_slice()) {
        (Some(host), _) => Some(known_host(host, &hosts)?),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    };
    let provenance = opened.project.provenance(&environment, host.as_ref());
    let mut found: Vec<(&str, Entry)> =
        provenance.beneath(&args.path).map(|(path, entry)| (path, entry.clone())).collect();
    if found.is_empty() {
        let has_it = |host: &&Name| {
            opened.project.provenance(&environment, Some(host)).beneath(&args.path).next().is_some()
        };
        let elsewhere = hosts.iter().take(MOST_HOSTS).find(has_it);
        let unset = Provenance::unset(&args.path);
        let error = match (elsewhere, &host, unset) {
            (Some(first), None, _) => {
                let message = format!("`{}` is settled for each host", args.path.escape_debug());
                Some(
                    CliError::new("cli::setting", exit::USAGE, message)
                        .help(format!("name one: --host {first}")),
                )
            }
            (_, _, Some(entry)) => {
                found.push((args.path.as_str(), entry));
                None
            }
            (Some(other), Some(host), None) => {
                let message = format!("host `{host}` has no `{}`", args.path.escape_debug());
                Some(
                    CliError::new("cli::setting", exit::USAGE, message)
                        .help(format!("another one has it: --host {other}")),
                )
            }
            (None, _, None) => Some(unknown(&args.path, &provenance)),
        };
        if let Some(error) = error {
            return Err(error.into());
        }
    }
    if let Some((one, other)) =
        hosts_that_differ(&opened, &environment, &hosts, args).filter(|_| host.is_none())
    {
        let message = format!("`{}` is not the same on {one} and {other}", args.path.escape_debug());
        return Err(CliError::new("cli::setting", exit::USAGE, message)
            .help(format!("name the host that is meant: --host {one}"))
            .into());
    }
    let runs_on = runs_on(&spec, &args.path);
    if terminal.is_json() {
        let mut document = match found.as_slice() {
            [(path, entry)] if *path == args.path => entry.to_json(path),
            beneath => {
                let settings: Vec<_> = beneath.iter().map(|(path, entry)| entry.to_json(path)).collect();
                json!({ "format": FORMAT, "path": args.path, "settings": settings })
            }
        };
        if let Some(hosts) = &runs_on {
            document["runs_on"] = hosts.iter().map(|host| host.as_str()).collect();
        }
        terminal.document(&document)?;
    } else {
        let mut parts: Vec<String> = found.iter().map(|(path, entry)| text(path, entry)).collect();
        parts.extend(runs_on.map(|hosts| told(&environment, &hosts)));
        terminal.answer(&parts.join("\n"))?;
    }
    Ok(exit::DONE)
}

/// Two hosts on which something at or beneath the path has two values, of the first [`MOST_HOSTS`].
fn hosts_that_differ<'h>(
    opened: &project::Opened,
    environment: &Name,
    hosts: &'h [Name],
    args: &ExplainArgs,
) -> Option<(&'h Name, &'h Name)> {
    let values = |host: &Name| -> BTreeMap<String, String> {
        let provenance = opened.project.provenance(environment, Some(host));
        let found = provenance.beneath(&args.path);
        found.map(|(path, entry)| (path.to_owned(), entry.value.clone())).collect()
    };
    let mut known = hosts
        .iter()
        .take(MOST_HOSTS)
        .map(|host| (host, values(host)))
        .filter(|(_, values)| !values.is_empty());
    let (first, expected) = known.next()?;
    known.find(|(_, values)| *values != expected).map(|(other, _)| (first, other))
}

/// The hosts that have the service or site that a path is about.
fn runs_on<'s>(spec: &'s Spec, path: &str) -> Option<Vec<&'s Name>> {
    let (kind, rest) = path.split_once('.')?;
    let is_it = |name: &Name| {
        rest.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let has_it = |host: &&Host| match kind {
        "service" => host.services.iter().any(|service| is_it(&service.name)),
        _ => host.sites.iter().any(|site| is_it(&site.name)),
    };
    if !matches!(kind, "service" | "site") {
        return None;
    }
    let hosts: Vec<&Name> = spec.hosts.iter().filter(has_it).map(|host| &host.name).collect();
    // A service whose manager is not built is on no host of the specification, and not because nothing wants it.
    let is_manager = |it: &NotBuilt| it.what.contains(".manager ");
    Some(hosts).filter(|hosts| !hosts.is_empty() || !spec.not_built.iter().any(is_manager))
}

fn told(environment: &Name, hosts: &[&Name]) -> String {
    match hosts {
        [] => format!("on no host of {environment}\n"),
        [one] => format!("on {one}\n"),
        [first, .., last] => format!("on {} hosts of {environment}, {first} to {last}\n", hosts.len()),
    }
}

fn known_host(host: &str, hosts: &[Name]) -> Result<Name, Stop> {
    hosts.iter().find(|name| name.as_str() == host).cloned().ok_or_else(|| {
        let known: Vec<&str> = hosts.iter().take(5).map(Name::as_str).collect();
        let message = format!("the environment has no host `{}`", host.escape_debug());
        CliError::new("cli::host", exit::USAGE, message).help(format!("it has: {}", known.join(", "))).into()
    })
}

fn unknown(path: &str, provenance: &Provenance) -> CliError {
    let message = format!("there is no setting `{}`", path.escape_debug());
    let help = match provenance.nearest(path) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "name one as `retention.keep` or `service.web.numprocs`; `deployfile schema` lists them all"
            .to_owned(),
    };
    CliError::new("cli::setting", exit::USAGE, message).help(help)
}

fn text(path: &str, entry: &Entry) -> String {
    let mut about: Vec<String> = Vec::new();
    about.extend(Some(&entry.ty).filter(|ty| !ty.is_empty()).cloned());
    about.extend(Some(entry.default).filter(|text| !text.is_empty()).map(|text| format!("default {text}")));
    let about = about.join(", ");
    let doc = match (about.is_empty(), entry.doc.is_empty()) {
        (true, _) => entry.doc.to_owned(),
        (false, true) => about,
        (false, false) => format!("{about}: {}", entry.doc),
    };
    let equals = if entry.value.is_empty() { String::new() } else { format!(" = {}", entry.value) };
    let equals = if entry.removed { " is removed".to_owned() } else { equals };
    let head = format!("{path}{equals}        {doc}\n");
    if entry.definitions.is_empty() {
        return format!("{head}  nothing sets it\n");
    }
    let rows: Vec<Vec<String>> = entry
        .definitions
        .iter()
        .map(|one| {
            let marker = one.marker.as_ref().map(|marker| format!("({marker}) ")).unwrap_or_default();
            vec![
                format!("  {}", one.verdict()),
                format!("{marker}{}", one.value),
                format!("{}:{}", one.place.file, one.place.line),
                one.scope.clone(),
            ]
        })
        .collect();
    head + &aligned(&rows)
}
