//! `plugin lock|inspect|list`: pins of components, and what a component is.

use crate::args::{Global, PluginVerb};
use crate::error::{CliError, Stop, exit};
use crate::observing::{component, read_pins};
use crate::project::{self, Opened};
use crate::terminal::Terminal;
use crate::verb::hidden::HOOK_HELPER;
use deployfile_hooks::pins::{self, Pin};
use deployfile_hooks::{HookHost, HostConfig, Inspection, NoSecrets, inspect};
use deployfile_model::units::Bytes;
use deployfile_model::{Name, Plugin};
use deployfile_record::FORMAT;
use deployfile_report::table::{facts, table};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

pub(crate) fn run(what: &PluginVerb, global: &Global, terminal: Terminal) -> Result<u8, Stop> {
    match what {
        PluginVerb::Inspect { file } => show(file, terminal),
        PluginVerb::List => list(&project::open(global, terminal)?, terminal),
        PluginVerb::Lock { names } => lock(&project::open(global, terminal)?, names, terminal),
    }
}

/// Every plugin that an environment of the file declares.
fn declared(opened: &Opened, terminal: Terminal) -> Result<BTreeMap<Name, Plugin>, Stop> {
    let mut out = BTreeMap::new();
    for environment in opened.project.environments() {
        out.extend(opened.spec(&environment, &BTreeMap::new(), terminal)?.plugins);
    }
    Ok(out)
}

fn read(opened: &Opened, plugin: &Plugin) -> Result<Inspection, Stop> {
    let bytes = component(opened, &plugin.component).map_err(|why| unusable(plugin, &why))?;
    let found = inspect(&bytes);
    match &found.unusable {
        Some(why) => Err(unusable(plugin, why)),
        None => Ok(found),
    }
}

fn unusable(plugin: &Plugin, why: &str) -> Stop {
    let message = format!("plugin `{}`: {}: {why}", plugin.name, plugin.component);
    CliError::new("plugin::unusable", exit::REFUSED, message)
        .help("build it again: it must be a component of hook.wit")
        .into()
}

fn lock(opened: &Opened, names: &[String], terminal: Terminal) -> Result<u8, Stop> {
    let declared = declared(opened, terminal)?;
    if let Some(unknown) =
        names.iter().find(|name| !declared.keys().any(|known| known.as_str() == name.as_str()))
    {
        let message = format!("the deployfile declares no plugin `{}`", unknown.escape_debug());
        return Err(CliError::new("cli::plugin", exit::USAGE, message).into());
    }
    let mut pinned = read_pins(opened)?;
    pinned.retain(|name, _| declared.contains_key(name));
    for (name, plugin) in &declared {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name.as_str()) {
            continue;
        }
        let found = read(opened, plugin)?;
        let Some(pin) = Pin::of(&plugin.component, &found) else { continue };
        compile(opened, plugin)?;
        let old = pinned.insert(name.clone(), pin.clone());
        if !terminal.is_json() {
            terminal.answer(&told(name, old.as_ref(), &pin))?;
        }
    }
    let path = opened.folder.join(pins::FILE_NAME);
    write(&path, &pins::write(&pinned))?;
    if terminal.is_json() {
        let pins: BTreeMap<&Name, Value> =
            pinned.iter().map(|(name, pin)| (name, pin_document(pin))).collect();
        terminal.document(&json!({ "format": FORMAT, "lock_file": pins::FILE_NAME, "pins": pins }))?;
    }
    Ok(exit::DONE)
}

/// Compiles it into the cache, so that no apply has to, and finds now what cannot be linked.
fn compile(opened: &Opened, plugin: &Plugin) -> Result<(), Stop> {
    let bytes = component(opened, &plugin.component).map_err(|why| unusable(plugin, &why))?;
    let helper = Some(vec!["/proc/self/exe".into(), HOOK_HELPER.into()]);
    let config = HostConfig { cache: None, helper, user: None, secrets: Box::new(NoSecrets) };
    HookHost::new(config).precompile(&plugin.name, &bytes)?;
    Ok(())
}

/// What pinning changed, with what the component can or asks for that the one before did not.
fn told(name: &Name, old: Option<&Pin>, new: &Pin) -> String {
    let digest = new.digest.short();
    match old {
        None => format!("{name} {digest} pinned\n"),
        Some(old) if old == new => format!("{name} {digest} unchanged\n"),
        Some(old) => {
            let diff: String = old.capability_diff(new).iter().map(|line| format!("  {line}\n")).collect();
            format!("{name} {digest} pinned instead of {}\n{diff}", old.digest.short())
        }
    }
}

/// A pin as a document.
fn pin_document(pin: &Pin) -> Value {
    json!({
        "source": pin.source,
        "digest": pin.digest,
        "size": pin.size,
        "world": pin.world,
        "imports": pin.imports,
        "requests": pin.requests,
    })
}

/// Written beside it and renamed: a reader sees the old pins or the new ones.
fn write(path: &Path, text: &str) -> Result<(), Stop> {
    let new = path.with_extension("lock.new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).map_err(|e| {
        let message = format!("write {}", path.display());
        CliError::new("plugin::lock-file", exit::FAILED, message).because(e.to_string()).into()
    })
}

fn list(opened: &Opened, terminal: Terminal) -> Result<u8, Stop> {
    let pinned = read_pins(opened)?;
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for (name, plugin) in declared(opened, terminal)? {
        let found = component(opened, &plugin.component).map(|bytes| inspect(&bytes));
        let pin = pinned.get(&name).map(|pin| pin.digest);
        let state = match (&found, pin) {
            (Err(_), _) => "missing",
            (Ok(_), None) => "not pinned",
            (Ok(found), Some(pin)) if found.digest == pin => "pinned",
            (Ok(_), Some(_)) => "differs from its pin",
        };
        documents.push(json!({ "name": name, "component": plugin.component, "state": state, "pin": pin }));
        rows.push(vec![name.to_string(), state.to_owned(), plugin.component.clone()]);
    }
    if terminal.is_json() {
        terminal.document(&json!({ "format": FORMAT, "plugins": documents }))?;
    } else if rows.is_empty() {
        terminal.answer("the deployfile declares no plugins\n")?;
    } else {
        terminal.answer(&table(&["plugin", "state", "component"], &rows))?;
    }
    Ok(exit::DONE)
}

fn show(file: &Path, terminal: Terminal) -> Result<u8, Stop> {
    let bytes = fs::read(file).map_err(|e| {
        Stop::from(
            CliError::new("plugin::unreadable", exit::REFUSED, format!("read {}", file.display()))
                .because(e.to_string()),
        )
    })?;
    let found = inspect(&bytes);
    let requests: Vec<String> =
        Pin::of("", &found).map(|pin| pin.requests.into_iter().collect()).unwrap_or_default();
    let document = json!({
        "format": FORMAT,
        "digest": found.digest,
        "size": found.size,
        "world": found.world,
        "imports": found.imports,
        "exports": found.exports,
        "requests": requests,
        "unusable": found.unusable,
    });
    if terminal.is_json() {
        terminal.document(&document)?;
    } else {
        let lines = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join("\n");
        let asks = if requests.is_empty() { "nothing".to_owned() } else { requests.join("\n") };
        terminal.answer(&facts(&[
            ("component", file.display().to_string()),
            ("digest", found.digest.to_string()),
            ("size", Bytes(found.size).to_string()),
            ("world", found.world.unwrap_or_default().to_owned()),
            ("exports", lines(&found.exports)),
            ("imports", lines(&found.imports)),
            ("asks for", asks),
            ("unusable", found.unusable.clone().unwrap_or_default()),
        ]))?;
    }
    Ok(if found.unusable.is_some() { exit::REFUSED } else { exit::DONE })
}
