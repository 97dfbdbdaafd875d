//! Drives a call on this thread, and tells meanwhile what it says: stops it at its deadline (also inside of a host
//! call), when the user asks, and when the journal cannot be written.

use crate::voice::{Said, Voice};
use deployfile_exec::{Stop, Tell};
use deployfile_record::Failure;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often it is looked whether the user asks to stop, while a host call waits.
const LOOK: Duration = Duration::from_millis(50);

/// Why a call was cut short by us.
#[derive(Debug)]
pub(crate) enum Cut {
    Deadline,
    Stop,
    Journal(Failure),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Deadline => f.write_str("its time is over"),
            Cut::Stop => f.write_str("the user asked to stop"),
            Cut::Journal(failure) => write!(f, "{failure}"),
        }
    }
}
impl std::error::Error for Cut {}

/// What a call is driven with.
pub(crate) struct Outside<'a, 'b> {
    pub(crate) voice: &'a Voice,
    pub(crate) told: mpsc::Receiver<Said>,
    pub(crate) tell: &'b mut dyn Tell,
    pub(crate) stop: &'a Stop,
    pub(crate) deadline: Instant,
}

/// Polls `guest` to its end or to a cut; then it is dropped, with whatever it waited for.
pub(crate) async fn drive<T>(
    guest: impl Future<Output = wasmtime::Result<T>>,
    outside: Outside<'_, '_>,
) -> wasmtime::Result<T> {
    let Outside { voice, mut told, tell, stop, deadline } = outside;
    // A hook of `revert` or `failed` runs because the user asked; it ends when they ask again.
    let was_asked = stop.asked();
    let stops = || if was_asked { stop.asked_twice() } else { stop.asked() };
    let mut guest = pin!(guest);
    let mut over = pin!(tokio::time::sleep_until(deadline.into()));
    let mut look = tokio::time::interval(LOOK);
    poll_fn(|cx| {
        let polled = guest.as_mut().poll(cx);
        tell_all(voice, tell).map_err(Cut::Journal)?;
        while let Poll::Ready(Some(said)) = told.poll_recv(cx) {
            tell_one(said, voice, tell).map_err(Cut::Journal)?;
        }
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(ended);
        }
        while look.poll_tick(cx).is_ready() {
            if stops() {
                return Poll::Ready(Err(Cut::Stop.into()));
            }
        }
        if over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Cut::Deadline.into()));
        }
        Poll::Pending
    })
    .await
}

/// Tells what was said since the last time.
pub(crate) fn tell_all(voice: &Voice, tell: &mut dyn Tell) -> Result<(), Failure> {
    voice.take().into_iter().try_for_each(|said| tell_one(said, voice, tell))
}

fn tell_one(said: Said, voice: &Voice, tell: &mut dyn Tell) -> Result<(), Failure> {
    match said {
        Said::Hook { level, message } => tell.hook(voice.plugin(), level, &message),
        Said::Warning { message, help } => tell.warning(&message, help.as_deref()),
        Said::Output { stream, line } => tell.output(stream, &line),
        Said::Spawned { pid, start_ticks, boot, answer } => {
            let journaled = tell.spawned(pid, start_ticks, &boot);
            // The program is gone when nobody waits for the answer.
            let _ = answer.send(journaled.is_ok());
            journaled?;
        }
    }
    Ok(())
}
