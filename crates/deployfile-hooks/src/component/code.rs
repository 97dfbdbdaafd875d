//! Makes native code of a component: from the cache, else by compiling it.

use super::cache::Cache;
use super::native::TrustedCode;
use super::{SIZE_MAX, inspect};
use deployfile_model::{Digest, Name};
use deployfile_record::Failure;
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes of native code that the helper may send: about 20 for each of the component.
const CODE_MAX: u64 = 20 * SIZE_MAX;

/// A component that can be linked, and what it took to have it.
pub(crate) struct Made {
    pub(crate) component: Component,
    /// Bytes of the component itself.
    pub(crate) size: u64,
    /// It was not in the cache.
    pub(crate) compiled: bool,
}

/// Why there is no code.
#[derive(Debug)]
pub(crate) enum CodeError {
    /// It cannot be read.
    Read(Failure),
    /// It is nothing that can be compiled, and why.
    Unusable(String),
    /// The compiler says no, or hit its limits.
    Compile(String),
}

impl CodeError {
    /// As the failure of a step, or of planning.
    pub(crate) fn failure(self, plugin: &Name) -> Failure {
        let why = match self {
            CodeError::Read(failure) => return failure,
            CodeError::Unusable(why) => why,
            CodeError::Compile(why) => format!("it cannot be compiled: {why}"),
        };
        Failure::refused("hook::component", format!("cannot use the component of plugin `{plugin}`: {why}"))
    }
}

/// Code for the component of this digest; `read` gives its bytes when the cache has none.
pub(crate) fn make(
    engine: &Engine,
    cache: Option<&Cache>,
    helper: Option<&Arc<[OsString]>>,
    digest: &Digest,
    read: impl FnOnce() -> Result<Vec<u8>, CodeError>,
) -> Result<Made, CodeError> {
    if let Some((code, size)) = cache.and_then(|cache| cache.get(digest))
        && let Ok(component) = code.load(engine)
    {
        return Ok(Made { component, size, compiled: false });
    }
    let bytes = read()?;
    if let Some(why) = inspect::inspect(&bytes).unusable {
        return Err(CodeError::Unusable(why));
    }
    let code = compile(engine, helper, &bytes)?;
    let component = code.load(engine).map_err(|error| CodeError::Compile(format!("{error:#}")))?;
    if let Some(cache) = cache {
        cache.put(digest, bytes.len() as u64, &code);
    }
    Ok(Made { component, size: bytes.len() as u64, compiled: true })
}

fn compile(
    engine: &Engine,
    helper: Option<&Arc<[OsString]>>,
    bytes: &[u8],
) -> Result<TrustedCode, CodeError> {
    let code = match helper {
        Some(helper) => compile_apart(helper, bytes),
        None => engine.precompile_component(bytes).map_err(|error| format!("{error:#}")),
    };
    code.map(TrustedCode::vouched).map_err(CodeError::Compile)
}

/// In a process of its own, whose limits the helper sets.
fn compile_apart(helper: &[OsString], bytes: &[u8]) -> Result<Vec<u8>, String> {
    let (program, args) = helper.split_first().ok_or("there is no helper")?;
    let mut child = Command::new(program)
        .args(args)
        .arg(crate::helper::COMPILE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start the compiler: {error}"))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut code = Vec::new();
    let read = std::thread::scope(|scope| {
        scope.spawn(|| {
            // One that stopped reading says why on its error output.
            stdin.map(|mut pipe| pipe.write_all(bytes))
        });
        stdout.map_or(Ok(0), |pipe| pipe.take(CODE_MAX + 1).read_to_end(&mut code))
    });
    let ended = child.wait_with_output().map_err(|error| format!("cannot wait for the compiler: {error}"))?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        let said = said.lines().next().unwrap_or("it was stopped by its limits of memory or processor time");
        return Err(format!("{} ({said})", ended.status));
    }
    read.map_err(|error| format!("cannot read from the compiler: {error}"))?;
    if code.len() as u64 > CODE_MAX {
        return Err("it makes more native code than is allowed".to_owned());
    }
    Ok(code)
}
