//! Tells apart why a component did not come to its end, and says which limit it met and how to raise it.

use crate::drive::Cut;
use crate::engine::STACK;
use crate::limiter::Hit;
use deployfile_model::units::{Bytes, Millis};
use deployfile_record::{Failure, FailureKind, HookCall};
use wasmtime::{Error, Trap, WasmBacktrace};

/// A stack that grows down out of the linear memory meets its end from below: addresses wrap to just under 4 GiB.
const BELOW_ZERO: u64 = (1 << 32) - (16 << 20);
/// Frames of the component that are told.
const FRAMES: usize = 5;
/// Characters of a frame's name.
const FRAME_NAME: usize = 200;

/// The failure of a call that ended with `error`.
pub(crate) fn failure(hook: &HookCall, hit: Option<Hit>, panic: Option<String>, error: &Error) -> Failure {
    let plugin = &hook.plugin;
    if let Some(cut) = error.downcast_ref::<Cut>() {
        return was_cut(hook, cut);
    }
    if let Some(hit) = hit {
        return too_much(hook, hit);
    }
    let author = "this is a mistake in the plugin: report it to its author";
    let failure = match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => overflow(hook),
        Some(Trap::MemoryOutOfBounds) if is_below_stack(error) => overflow(hook),
        Some(Trap::Interrupt) => was_cut(hook, &Cut::Deadline),
        Some(Trap::UnreachableCodeReached) => {
            let said = panic.unwrap_or_else(|| "panicked or aborted".to_owned());
            Failure::new("hook::panic", format!("hook `{plugin}` {said}")).help(author)
        }
        Some(trap) => Failure::new("hook::bug", format!("hook `{plugin}` ended: {trap}")).help(author),
        None if is_too_much_data(error) => {
            let message =
                format!("hook `{plugin}` was stopped: it passed more than 8 MiB to the host in one call");
            Failure::new("hook::output", message).help("this limit cannot be raised: pass the data in parts")
        }
        None => {
            Failure::new("hook::bug", format!("hook `{plugin}` ended: {}", root_cause(error))).help(author)
        }
    };
    with_frames(failure, error)
}

fn was_cut(hook: &HookCall, cut: &Cut) -> Failure {
    let plugin = &hook.plugin;
    match cut {
        Cut::Deadline => {
            let time = hook.limits.time;
            let more = Millis(time.0.saturating_mul(2));
            let message = format!("hook `{plugin}` was stopped: it took longer than {time}, its limit");
            Failure::new("hook::deadline", message)
                .help(format!("when it needs longer, write in `plugin {plugin}`: limits time=\"{more}\""))
        }
        Cut::Stop => {
            let message = format!("hook `{plugin}` was stopped: the run was interrupted");
            Failure { kind: FailureKind::Interrupted, ..Failure::new("hook::interrupted", message) }
        }
        Cut::Journal(failure) => failure.clone(),
    }
}

fn too_much(hook: &HookCall, hit: Hit) -> Failure {
    let plugin = &hook.plugin;
    let failure = Failure::new("hook::memory", format!("hook `{plugin}` was stopped: {hit}"));
    match hit {
        Hit::Memory { limit, .. } => {
            let more = (limit.0 >> 20).saturating_mul(2).max(1);
            failure
                .help(format!("when it needs more, write in `plugin {plugin}`: limits memory=\"{more}MiB\""))
        }
        Hit::Table => failure.help("this limit cannot be raised"),
    }
}

fn overflow(hook: &HookCall) -> Failure {
    let (plugin, limit) = (&hook.plugin, Bytes(STACK as u64));
    Failure::new(
        "hook::stack",
        format!("hook `{plugin}` was stopped: it ran out of stack, its limit is {limit}"),
    )
    .help("it most likely calls itself without end; this limit cannot be raised")
}

/// The address is told only in the text of the error: `WasmFault` is private to wasmtime.
fn is_below_stack(error: &Error) -> bool {
    error.chain().any(|cause| {
        let text = cause.to_string();
        let address = text.split_once("wasm address 0x").and_then(|(_, rest)| rest.split(' ').next());
        address.and_then(|hex| u64::from_str_radix(hex, 16).ok()).is_some_and(|at| at >= BELOW_ZERO)
    })
}

/// wasmtime tells it only by its text (`LiftContext::consume_fuel`).
fn is_too_much_data(error: &Error) -> bool {
    error.chain().any(|cause| cause.to_string().contains("fuel allocated for hostcalls"))
}

fn root_cause(error: &Error) -> String {
    error.chain().last().map_or_else(|| error.to_string(), ToString::to_string)
}

fn with_frames(mut failure: Failure, error: &Error) -> Failure {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return failure };
    for name in trace.frames().iter().filter_map(|frame| frame.func_name()).take(FRAMES) {
        failure.causes.push(format!("in {}", name.chars().take(FRAME_NAME).collect::<String>()));
    }
    failure
}
