//! The tick of the engine's epoch: every 10 ms while a hook runs, never otherwise.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use wasmtime::Engine;

/// How often a running hook looks at the clock.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Ticks while it exists.
pub(crate) struct Ticking<'a>(&'a Ticker);

/// One thread that sleeps until it is needed; it ends with this.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Ticking,
    Ended,
}

impl Ticker {
    /// Starts the thread, idle.
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::new(State::Idle), changed: Condvar::new() });
        let (theirs, engine) = (Arc::clone(&shared), engine.weak());
        std::thread::Builder::new().name("hook-ticker".to_owned()).spawn(move || {
            while theirs.await_tick() {
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            }
        })?;
        Ok(Self { shared })
    }

    /// Ticks until the answer is dropped.
    pub(crate) fn ticking(&self) -> Ticking<'_> {
        self.shared.set(State::Ticking);
        Ticking(self)
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.shared.set(State::Idle);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.set(State::Ended);
    }
}

impl Shared {
    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        // A thread that is ticking already looks at the state after its tick.
        self.changed.notify_one();
    }

    /// Waits one tick, or until there is something to tick for. `false`: it is over.
    fn await_tick(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while *state == State::Idle {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let waited = self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner);
        *waited.0 != State::Ended
    }
}
