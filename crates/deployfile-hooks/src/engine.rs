//! The engine of the process, and what every component may import.

use crate::bindings::{Hook, HookPre};
use crate::guest::Guest;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, Result};

/// Stack of the guest's own calls, in bytes.
pub(crate) const STACK: usize = 512 << 10;
/// Stack of host functions that a guest calls, in bytes, on the same fiber.
const HOST_STACK: usize = 512 << 10;
/// Address space that is reserved for each memory, in bytes; a larger memory moves when it grows.
const RESERVATION: u64 = 64 << 20;

/// An engine; one a process. Its settings decide which compiled code is compatible.
pub(crate) fn engine() -> Result<Engine> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .async_stack_size(STACK + HOST_STACK)
        .memory_reservation(RESERVATION)
        .memory_may_move(true)
        .memory_init_cow(true);
    Engine::new(&config)
}

/// Links a component: all of `hook.wit`, and WASI p2 when its language's runtime needs it. What a call may do with
/// either is the broker's to say.
pub(crate) fn link(engine: &Engine, component: &Component) -> Result<HookPre<Guest>> {
    let mut linker = Linker::new(engine);
    // Most components import none of WASI's 200 functions; naming them takes longer than a call.
    if component.component_type().imports(engine).any(|(name, _)| name.starts_with("wasi:")) {
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    }
    Hook::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    HookPre::new(linker.instantiate_pre(component)?)
}
