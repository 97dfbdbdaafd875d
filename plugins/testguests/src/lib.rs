//! A hook that behaves, and misbehaves, as its configuration says. Only the host's tests run it.

use deployfile_hook::log::{Level, log};
use deployfile_hook::state::Scope;
use deployfile_hook::{Answer, Error, Result, context, exec, files, http, metrics, secrets, state};
use serde::Deserialize;
use std::hint::black_box;

deployfile_hook::hook!(run);
deployfile_hook::manifest!("../manifest.json");

/// What to do.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
enum Deed {
    Nothing,
    Facts,
    Loop,
    LoopCalls,
    Allocate { bytes: u64 },
    Recurse,
    Panic { say: String },
    Bug,
    Fail { say: String },
    Halt { say: String },
    LogFlood { lines: u64, width: usize },
    Huge { bytes: usize },
    Read { path: String },
    Write { path: String, text: String },
    List { path: String },
    Remove { path: String },
    Fetch { method: String, url: String, header: Option<(String, String)>, secret: Option<String> },
    Exec { program: String, args: Vec<String>, secret: Option<String>, timeout_ms: Option<u64> },
    Reveal { name: String },
    Leak { name: String },
    State { scope: String, key: String, value: String },
    StateFill { scope: String, bytes: usize },
    Count,
}

fn run() -> Result<Answer> {
    let said = match deployfile_hook::config()? {
        Deed::Nothing => String::new(),
        Deed::Facts => facts(),
        Deed::Loop => spin(),
        Deed::LoopCalls => loop {
            black_box(context::remaining_ms());
        },
        Deed::Allocate { bytes } => allocate(bytes),
        Deed::Recurse => recurse(&mut [0; 64], 0).to_string(),
        Deed::Panic { say } => panic!("{say}"),
        Deed::Bug => stray(),
        Deed::Fail { say } => return Err(Error::failed(say).hint("do as the test says")),
        Deed::Halt { say } => return Ok(Answer::halt(say).note("seen", "yes")),
        Deed::LogFlood { lines, width } => flood(lines, width),
        Deed::Huge { bytes } => "x".repeat(bytes),
        Deed::Read { path } => String::from_utf8_lossy(&files::read(&path, 0, 1 << 20)?).into_owned(),
        Deed::Write { path, text } => files::write(&path, text.as_bytes()).map(|()| "written".to_owned())?,
        Deed::List { path } => list(&path)?,
        Deed::Remove { path } => files::remove(&path).map(|()| "removed".to_owned())?,
        Deed::Fetch { method, url, header, secret } => fetch(&method, &url, header, secret)?,
        Deed::Exec { program, args, secret, timeout_ms } => start(&program, &args, secret, timeout_ms)?,
        Deed::Reveal { name } => secrets::reveal(&name).map(|value| format!("{} bytes", value.len()))?,
        Deed::Leak { name } => return leak(&name),
        Deed::State { scope, key, value } => keep(&scope, &key, &value)?,
        Deed::StateFill { scope, bytes } => {
            state::set(scope_of(&scope), "fill", &vec![7; bytes]).map(|()| "filled".to_owned())?
        }
        Deed::Count => {
            metrics::counter("deploys", 1, &[("app".to_owned(), "shop".to_owned())]);
            metrics::gauge("free", 0.5, &[]);
            metrics::timing_ms("took", 12.5, &[]);
            String::new()
        }
    };
    Ok(Answer::proceed().summary(said))
}

fn facts() -> String {
    let release = context::target_release().map(|r| format!("{} {:?}", r.id(), r.build_id()));
    let current = context::current_release().map(|r| r.id());
    log(Level::Info, &context::facts(), &[]);
    format!(
        "{} {} {} {} {:?} {:?} attempt {} target {release:?} current {current:?} app {:?} note {:?} machine {:?}",
        context::run_id(),
        context::environment(),
        context::goal(),
        context::stage(),
        context::current_phase(),
        context::current_mode(),
        context::attempt(),
        context::lookup("app"),
        context::lookup("hook.guard.files"),
        context::machine(),
    )
}

fn spin() -> String {
    let mut n = 0u64;
    loop {
        n = black_box(n).wrapping_add(1);
    }
}

fn allocate(bytes: u64) -> String {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut total = 0;
    while total < bytes {
        kept.push(black_box(vec![1; 1 << 20]));
        total += 1 << 20;
    }
    kept.len().to_string()
}

/// Never ends by itself; the work after the call keeps it from becoming a loop.
#[allow(unconditional_recursion)]
fn recurse(room: &mut [u8; 64], depth: u64) -> u64 {
    room[(depth % 64) as usize] = depth as u8;
    let below = recurse(&mut black_box(*room), depth + 1);
    below + u64::from(room[0])
}

/// Calls through an address that is no function: a fault that is neither a panic nor a limit.
fn stray() -> String {
    let address: usize = black_box(0x00ff_ffff);
    // SAFETY: it is not safe; the sandbox is what is tested.
    let function: fn() -> u32 = unsafe { std::mem::transmute(address) };
    function().to_string()
}

fn flood(lines: u64, width: usize) -> String {
    let line = "y".repeat(width);
    for _ in 0..lines {
        log(Level::Info, &line, &[]);
    }
    String::new()
}

fn list(path: &str) -> Result<String> {
    let entries = files::entries(path)?;
    let shown = entries.iter().map(|e| format!("{} {:?} {}", e.name, e.kind, e.size));
    Ok(shown.collect::<Vec<_>>().join(", "))
}

fn fetch(
    method: &str,
    url: &str,
    header: Option<(String, String)>,
    secret: Option<String>,
) -> Result<String> {
    let request = http::Request::new(method, url);
    if let Some((name, value)) = header {
        request.header(&name, &value);
    }
    if let Some(secret) = secret {
        request.header_secret("authorization", "Bearer {}", &secret);
    }
    if method == "POST" {
        request.body(b"{\"text\":\"deployed\"}");
    }
    let response = request.send()?;
    Ok(format!("{} {}", response.status(), String::from_utf8_lossy(&response.body()?)))
}

fn start(program: &str, args: &[String], secret: Option<String>, timeout_ms: Option<u64>) -> Result<String> {
    let command = exec::Command::new(program);
    args.iter().for_each(|arg| command.arg(arg));
    command.env("FROM_HOOK", "1");
    if let Some(secret) = secret {
        command.env_secret("TOKEN", &secret);
    }
    if let Some(ms) = timeout_ms {
        command.timeout_ms(ms);
    }
    let output = command.run()?;
    let text = String::from_utf8_lossy(&output.stdout()).into_owned();
    Ok(format!(
        "status {} truncated {} {} bytes: {:.400}",
        output.status(),
        output.truncated(),
        text.len(),
        text
    ))
}

fn leak(name: &str) -> Result<Answer> {
    let value = secrets::reveal(name)?;
    let coded: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
    log(Level::Warn, &format!("plain {value}"), &[("field".to_owned(), value.clone())]);
    state::set(Scope::Run, "leak", value.as_bytes())?;
    Ok(Answer::proceed().summary(format!("sum {value}\u{1b}[31m")).note("note", format!("{value} {coded}")))
}

fn keep(scope: &str, key: &str, value: &str) -> Result<String> {
    let scope = scope_of(scope);
    let before = state::get(scope, key)?;
    let swapped = state::swap(scope, key, before.as_deref(), value.as_bytes())?;
    let lost = state::swap(scope, key, Some(b"surely not this"), b"x")?;
    let keys = state::keys(scope, "")?;
    let before = before.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(format!("before {before:?} swapped {swapped} lost {lost} keys {keys:?}"))
}

fn scope_of(name: &str) -> Scope {
    match name {
        "run" => Scope::Run,
        "machine" => Scope::Machine,
        _ => Scope::Environment,
    }
}
