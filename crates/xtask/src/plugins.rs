//! `cargo xtask plugins [--check|--bindings]`: builds the plugins that we ship, and the guests that tests need, from
//! source to components, `plugins/<name>/<name>.wasm`.
//!
//! Two routes lead there (hooks.md, "Building components on these machines"): the installed target `wasm32-wasip2`, or
//! Debian's `rustc-web` with its library source. Either is bit-identical with itself, not with the other, so
//! `plugins/BUILT-WITH` names the tools whose bytes are committed, and `--check` compares only what they made.
//! `--bindings` writes the bindings of the Rust SDK anew from `hook.wit`.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is built: folder and component have this name.
const PLUGINS: [&str; 2] = ["release-guard", "testguests"];
/// The target that rustup can install.
const WASIP2: &str = "wasm32-wasip2";
/// The target of the other route; the linker makes a component of it all the same.
const BARE: &str = "wasm32-unknown-unknown";
/// Makes components; rustup brings it along.
const LINKER: &str = "wasm-component-ld";
/// Debian's compiler for the web, and where its library source is.
const WEB_RUSTC: &str = "/usr/bin/rustc";
const WEB_SOURCE: &str = "/usr/lib/rustlib/src/rust";
/// The file that names the tools.
const BUILT_WITH: &str = "BUILT-WITH";

/// Does what the arguments say.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let root = root()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => write(&root),
        ["--check"] => check(&root),
        ["--bindings"] => bindings(&root),
        _ => Err("usage: cargo xtask plugins [--check|--bindings]".to_owned()),
    }
}

fn write(root: &Path) -> Result<(), String> {
    let route = Route::find()?;
    for (name, built) in build(root, &route)? {
        let to = committed(root, name);
        fs::copy(&built, &to).map_err(|error| format!("cannot write {}: {error}", to.display()))?;
        let bytes = fs::metadata(&to).map_or(0, |meta| meta.len());
        say(&format!("{name}: {bytes} bytes"));
    }
    let note = root.join("plugins").join(BUILT_WITH);
    fs::write(&note, &route.tools).map_err(|error| format!("cannot write {}: {error}", note.display()))
}

fn check(root: &Path) -> Result<(), String> {
    let route = Route::find()?;
    let note = root.join("plugins").join(BUILT_WITH);
    let with =
        fs::read_to_string(&note).map_err(|error| format!("cannot read {}: {error}", note.display()))?;
    if with != route.tools {
        return Err(format!(
            "the committed components cannot be compared: they were built with\n{with}and here is\n{}",
            route.tools
        ));
    }
    let mut differing = Vec::new();
    for (name, built) in build(root, &route)? {
        if read(&built)? != read(&committed(root, name))? {
            differing.push(name);
        }
    }
    if differing.is_empty() {
        say("all components are what their source makes");
        return Ok(());
    }
    Err(format!("not what their source makes: {}; run `cargo xtask plugins`", differing.join(", ")))
}

fn bindings(root: &Path) -> Result<(), String> {
    let plugins = root.join("plugins");
    let mut cargo = Command::new("cargo");
    cargo
        .args(["run", "--quiet", "--manifest-path"])
        .arg(plugins.join("bindgen/Cargo.toml"))
        .arg("--target-dir")
        .arg(target(root).join("bindgen"))
        .arg("--")
        .args([plugins.join("wit/hook.wit"), plugins.join("sdk-rust/src/bindings.rs")]);
    succeed(&mut cargo)
}

/// How components are made here.
struct Route {
    target: &'static str,
    /// Their versions, one a line.
    tools: String,
    /// For cargo.
    environment: Vec<(&'static str, OsString)>,
    arguments: &'static [&'static str],
}

impl Route {
    fn find() -> Result<Self, String> {
        Self::installed().or_else(Self::web).ok_or_else(|| {
            format!(
                "no compiler for {WASIP2} is here: run `rustup target add {WASIP2}`, or on Debian \
                 `apt-get install --no-install-recommends rustc-web rust-web-src`"
            )
        })
    }

    /// The compiler in use has the target.
    fn installed() -> Option<Self> {
        let library = PathBuf::from(said("rustc", &["--print", "target-libdir", "--target", WASIP2])?);
        let has_std = fs::read_dir(library)
            .ok()?
            .flatten()
            .any(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with("libstd-")));
        let tools = format!("{}\n{WASIP2}\n", said("rustc", &["--version"])?);
        has_std.then_some(Self { target: WASIP2, tools, environment: Vec::new(), arguments: &[] })
    }

    /// Debian's compiler builds the library for a target without one; rustup's linker makes the component.
    fn web() -> Option<Self> {
        let source = Path::new(WEB_SOURCE).join("library/std").exists();
        let version = said(WEB_RUSTC, &["--version"]).filter(|_| source)?;
        let host = said("rustc", &["-vV"])?
            .lines()
            .find_map(|line| Some(line.strip_prefix("host: ")?.to_owned()))?;
        let tools =
            PathBuf::from(said("rustc", &["--print", "sysroot"])?).join("lib/rustlib").join(host).join("bin");
        let linker = said(tools.join(LINKER), &["--version"])?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&path))).ok()?;
        Some(Self {
            target: BARE,
            tools: format!("{version}\n{linker}\n{BARE}\n"),
            environment: vec![
                ("RUSTC", WEB_RUSTC.into()),
                ("RUSTC_BOOTSTRAP", "1".into()),
                ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", LINKER.into()),
                ("PATH", path),
            ],
            arguments: &["-Zbuild-std=std,panic_abort"],
        })
    }
}

/// Builds all of them; the answer names each with its file.
fn build(root: &Path, route: &Route) -> Result<Vec<(&'static str, PathBuf)>, String> {
    let out = target(root).join("plugins");
    let hidden = hidden_paths(root, &out)?;
    let flags: Vec<String> =
        hidden.iter().map(|(path, shown)| format!("--remap-path-prefix={path}={shown}")).collect();
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--locked", "--target", route.target])
        .args(route.arguments)
        .arg("--manifest-path")
        .arg(root.join("plugins/Cargo.toml"))
        .arg("--target-dir")
        .arg(&out)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .envs(route.environment.iter().map(|(name, value)| (name, value)));
    for name in PLUGINS {
        cargo.args(["--package", name]);
    }
    succeed(&mut cargo)?;
    let mut built = Vec::new();
    for name in PLUGINS {
        let file = out.join(route.target).join("release").join(format!("{}.wasm", name.replace('-', "_")));
        keeps_no_path(&file, &hidden)?;
        built.push((name, file));
    }
    Ok(built)
}

/// The paths of this machine that could be in a binary, and what stands there instead.
fn hidden_paths(root: &Path, out: &Path) -> Result<Vec<(String, &'static str)>, String> {
    let home = |name: &str, under: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(under)))
    };
    // The compiler takes the last one that fits, so the deepest come last.
    let mut hidden = vec![(Some(root.to_owned()), "/deployfile"), (Some(root.join("plugins")), "/plugins")];
    let cargo = home("CARGO_HOME", ".cargo");
    hidden.push((cargo.clone(), "/cargo"));
    // The folders' names depend on where crates are fetched from.
    let registries = cargo.and_then(|cargo| fs::read_dir(cargo.join("registry/src")).ok());
    hidden.extend(registries.into_iter().flatten().flatten().map(|entry| (Some(entry.path()), "/crates")));
    hidden.push((home("RUSTUP_HOME", ".rustup"), "/rustup"));
    hidden.push((Some(out.to_owned()), "/target"));
    hidden.push((fs::canonicalize(WEB_SOURCE).ok(), "/rust"));
    hidden.push((Some(PathBuf::from(WEB_SOURCE)), "/rust"));
    let mut texts = Vec::new();
    for (path, shown) in hidden.into_iter().filter_map(|(path, shown)| Some((path?, shown))) {
        let text = path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
        texts.push((text.to_owned(), shown));
    }
    Ok(texts)
}

fn keeps_no_path(file: &Path, hidden: &[(String, &'static str)]) -> Result<(), String> {
    let bytes = read(file)?;
    for (path, _) in hidden {
        if bytes.windows(path.len()).any(|window| window == path.as_bytes()) {
            return Err(format!("{} names a path of this machine: {path}", file.display()));
        }
    }
    Ok(())
}

fn root() -> Result<PathBuf, String> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = here.ok_or("run this with `cargo xtask plugins`")?;
    let root = here.ancestors().find(|folder| folder.join("plugins/wit/hook.wit").exists());
    root.map(Path::to_owned).ok_or_else(|| format!("no plugins/ above {}", here.display()))
}

fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

fn committed(root: &Path, name: &str) -> PathBuf {
    root.join("plugins").join(name).join(format!("{name}.wasm"))
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

/// What a program prints, trimmed; `None` when it is not there or fails.
fn said(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| format!("cannot run {program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} {status}")) }
}

fn say(line: &str) {
    // A closed output is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{line}");
}
