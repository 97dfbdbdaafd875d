//! Threads that take items from a list until it is done.

use crate::fault;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Threads that a pool may have.
const MAX_THREADS: usize = 64;

/// Does `work` on every item, on up to `threads` threads; answers in the order of `items`. After the first error no
/// further item is begun, and of the errors the one of the earliest item is told.
pub(super) fn run<T: Sync, R: Send, E: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let threads = threads.clamp(1, MAX_THREADS).min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let (next, is_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let take_turns = || {
        let mut answers = Vec::new();
        while !is_failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            let answer = work(item);
            if answer.is_err() {
                is_failed.store(true, Ordering::Relaxed);
            }
            answers.push((index, answer));
        }
        answers
    };
    let mut answers = on_threads(threads, take_turns);
    answers.sort_unstable_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Runs `work` on each of `threads` threads, under the fault hook of this one.
pub(super) fn on_threads<R: Send>(threads: usize, work: impl Fn() -> Vec<R> + Sync) -> Vec<R> {
    let faults = fault::handle();
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let (faults, work) = (faults.clone(), &work);
                scope.spawn(move || {
                    let _installed = faults.enter();
                    work()
                })
            })
            .collect();
        handles.into_iter().flat_map(|h| h.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_order_and_the_earliest_error_wins() {
        let items: Vec<usize> = (0..1000).collect();
        let doubled: Result<Vec<_>, ()> = run(4, &items, |n| Ok(n * 2));
        assert_eq!(doubled, Ok((0..1000).map(|n| n * 2).collect()));
        let failed: Result<Vec<usize>, usize> = run(4, &items, |n| if *n == 0 { Err(*n) } else { Ok(*n) });
        assert_eq!(failed, Err(0));
    }

    #[test]
    fn a_crash_in_the_pool_is_a_crash_of_the_caller() {
        let crashed = fault::catch_crash(|| {
            run(2, &[1, 2, 3], |_| -> Result<(), ()> { resume_unwind(Box::new(fault::Crashed)) })
        });
        assert_eq!(crashed, Err(fault::Crashed));
    }
}
