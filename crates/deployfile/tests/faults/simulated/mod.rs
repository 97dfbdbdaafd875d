//! Kill everywhere, simulated: plans of every example run through the real engine, loop and journal over a simulated
//! host that is cut off at every boundary, and at pairs of them.
//!
//! `DEPLOYFILE_LONG=1` tries all; otherwise pairs are a sample, which `DEPLOYFILE_SEED` moves. One story is told again by
//! `DEPLOYFILE_ONLY=EXAMPLE:GOAL:FAULT:BOUNDARY:RECOVERY[:SECOND]`.

mod examples;
mod story;

use deployfile_testkit::world::{Fault, Injection};
use story::{Case, GOALS, Recovery};

fn is_long() -> bool {
    std::env::var("DEPLOYFILE_LONG").as_deref() == Ok("1")
}

fn seed() -> usize {
    std::env::var("DEPLOYFILE_SEED").ok().map_or(0, |text| text.parse().unwrap())
}

/// What was tried of an example.
#[derive(Default)]
struct Count {
    boundaries: usize,
    stories: usize,
    pairs: usize,
}

fn tell(case: &Case<'_>, injection: Injection, recovery: Recovery, second: Option<usize>) {
    let found = case.tell(injection, recovery, second);
    if found.is_empty() {
        return;
    }
    let mut name =
        format!("{}:{}:{}:{}:{recovery}", case.example.name, case.goal, injection.fault, injection.at);
    if let Some(second) = second {
        name.push_str(&format!(":{second}"));
    }
    let example = case.example.name.split('/').next().unwrap_or_default().replace('-', "_");
    panic!(
        "{}\nat {:?}\nagain: DEPLOYFILE_ONLY={name} cargo nextest run -p deployfile --test faults simulated::{example}",
        found.join("\n"),
        case.passed.get(injection.at),
    );
}

/// Every fault at every boundary, and pairs of kills.
fn example(name: &str) {
    let mut count = Count::default();
    for example in examples::of(name) {
        for goal in GOALS {
            let Some(case) = Case::new(&example, goal) else { continue };
            count.boundaries += case.passed.len();
            singles(&case, &mut count);
            pairs(&case, &mut count);
        }
    }
    let Count { boundaries, stories, pairs } = count;
    println!("{name}: {boundaries} boundaries, {stories} stories, {pairs} pairs, 0 violations");
}

fn singles(case: &Case<'_>, count: &mut Count) {
    for at in 0..case.passed.len() {
        for fault in Fault::ALL.into_iter().filter(|fault| fault.fits(case.passed[at].place)) {
            for (n, recovery) in Recovery::ALL.into_iter().enumerate() {
                if is_long() || (at + fault as usize + seed()) % 3 == n {
                    tell(case, Injection { fault, at }, recovery, None);
                    count.stories += 1;
                }
            }
        }
    }
}

fn pairs(case: &Case<'_>, count: &mut Count) {
    let boundaries = case.passed.len();
    let step = if is_long() { 1 } else { (boundaries * boundaries).div_ceil(PAIRS) };
    for pair in (seed() % step..boundaries * boundaries).step_by(step) {
        let (at, second) = (pair / boundaries, pair % boundaries);
        let recovery = Recovery::ALL[pair % 3];
        tell(case, Injection { fault: Fault::Kill, at }, recovery, Some(second));
        count.pairs += 1;
    }
}

/// Pairs of one goal of one environment when it is not all of them.
const PAIRS: usize = 40;

#[test]
fn quickstart() {
    example("quickstart");
}
