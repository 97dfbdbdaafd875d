//! Kill everywhere, simulated: plans of every example run through the real engine, loop and journal over a simulated
//! host that is cut off at every boundary, and at pairs of them.
//!
//! `DEPLOYFILE_LONG=1` tries all (of runs with very many boundaries a sample of pairs); otherwise boundaries and pairs are
//! a sample, which `DEPLOYFILE_SEED` moves. One story is told again by `DEPLOYFILE_ONLY=EXAMPLE:GOAL:FAULT:BOUNDARY:RECOVERY[:SECOND]`.

mod broken;
mod examples;
mod matrix;
mod real;
mod stop;
mod story;

use deployfile_testkit::world::{Fault, Injection};
use examples::Example;
use story::{Case, GOALS, Recovery};

/// What the stories of one example may cost when it is not all of them, in boundaries; and its pairs of kills.
const SINGLES: usize = 1_300_000;
const PAIRS: usize = 160_000;
/// What planning costs for each step of a plan, in boundaries.
const PLANNING: usize = 60;
/// Pairs of one run that are tried when it is all of them.
const ALL_PAIRS: usize = 60_000;

fn is_long() -> bool {
    std::env::var("DEPLOYFILE_LONG").as_deref() == Ok("1")
}

fn seed() -> usize {
    std::env::var("DEPLOYFILE_SEED").ok().map_or(0, |text| text.parse().unwrap())
}

/// One run that is cut off: the fault, what is done about it, and where that is killed in turn.
#[derive(Clone, Copy)]
struct Story {
    injection: Injection,
    recovery: Recovery,
    second: Option<usize>,
}

impl Story {
    /// The name by which it is told again.
    fn name(&self, case: &Case<'_>) -> String {
        let Injection { fault, at } = self.injection;
        let second = self.second.map(|second| format!(":{second}")).unwrap_or_default();
        format!("{}:{}:{fault}:{at}:{}{second}", case.example.name, case.goal, self.recovery)
    }

    fn parse(text: &str) -> Option<Story> {
        let mut parts = text.split(':').skip(2);
        let (fault, at, recovery) = (parts.next()?, parts.next()?, parts.next()?);
        let fault = Fault::ALL.into_iter().find(|known| known.to_string() == fault)?;
        let recovery = Recovery::ALL.into_iter().find(|known| known.to_string() == recovery)?;
        let second = parts.next().map(|second| second.parse().unwrap());
        Some(Story { injection: Injection { fault, at: at.parse().ok()? }, recovery, second })
    }

    fn tell(&self, case: &Case<'_>) {
        let found = case.tell(self.injection, self.recovery, self.second);
        if found.is_empty() {
            return;
        }
        let test = case.example.name.split('/').next().unwrap_or_default().replace('-', "_");
        panic!(
            "{}\nat {:?}\nagain: DEPLOYFILE_ONLY={} cargo nextest run -p deployfile --test faults simulated::{test}",
            found.join("\n"),
            case.passed.get(self.injection.at),
            self.name(case),
        );
    }
}

/// What was tried of an example.
#[derive(Default)]
struct Count {
    boundaries: usize,
    stories: usize,
    pairs: usize,
}

/// Every fault at every boundary, and pairs of kills.
fn example(name: &str) {
    let examples = examples::of(name);
    if let Ok(only) = std::env::var("DEPLOYFILE_ONLY") {
        return again(&examples, &only);
    }
    let mut count = Count::default();
    let cases = examples.len() * GOALS.len();
    for example in &examples {
        for case in GOALS.into_iter().filter_map(|goal| Case::new(example, goal)) {
            count.boundaries += case.passed.len();
            let (singles, pairs) = (singles(&case), pairs(&case));
            let step = |stories: &[Story], room: usize| {
                (stories.len() * (case.passed.len() + PLANNING * case.plan.hosts[0].steps.len()))
                    .div_ceil(room / cases)
            };
            let steps = match is_long() {
                true => (1, pairs.len().div_ceil(ALL_PAIRS)),
                false => (step(&singles, SINGLES), step(&pairs, PAIRS)),
            };
            count.stories += tell(&case, &singles, steps.0);
            count.pairs += tell(&case, &pairs, steps.1);
        }
    }
    let Count { boundaries, stories, pairs } = count;
    let covered = format!("{boundaries} boundaries, {stories} stories, {pairs} pairs of kills, 0 violations");
    deployfile_testkit::coverage(&format!("simulated-{name}"), &covered);
}

fn again(examples: &[Example], only: &str) {
    let mut parts = only.split(':');
    let (name, goal) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Some(example) = examples.iter().find(|example| example.name == name) else { return };
    let goal = GOALS.into_iter().find(|known| *known == goal).unwrap();
    Story::parse(only).unwrap().tell(&Case::new(example, goal).unwrap());
}

/// Tells every so-many-th of these.
fn tell(case: &Case<'_>, stories: &[Story], step: usize) -> usize {
    let told = stories.iter().skip(seed() % step).step_by(step);
    told.map(|story| story.tell(case)).count()
}

fn singles(case: &Case<'_>) -> Vec<Story> {
    let mut stories = Vec::new();
    for (at, passed) in case.passed.iter().enumerate() {
        for fault in Fault::ALL.into_iter().filter(|fault| fault.fits(passed.place)) {
            for (n, recovery) in Recovery::ALL.into_iter().enumerate() {
                if is_long() || (at + fault as usize + seed()) % 3 == n {
                    stories.push(Story { injection: Injection { fault, at }, recovery, second: None });
                }
            }
        }
    }
    stories
}

fn pairs(case: &Case<'_>) -> Vec<Story> {
    let boundaries = case.passed.len();
    let kill = |at| Injection { fault: Fault::Kill, at };
    let pair = |n: usize| {
        let recovery = Recovery::ALL[n % 3];
        Story { injection: kill(n / boundaries), recovery, second: Some(n % boundaries) }
    };
    (0..boundaries * boundaries).map(pair).collect()
}

/// One test an example, so that they run beside each other.
macro_rules! examples {
    ($($test:ident: $name:literal,)*) => {
        const NAMES: &[&str] = &[$($name),*];
        $(#[test] fn $test() { example($name); })*
    };
}

examples! {
    container: "container",
    django: "django",
    everything: "everything",
    hhvm_site: "hhvm-site",
    nix_pull: "nix-pull",
    php_never_reloaded: "php-never-reloaded",
    php_site: "php-site",
    quickstart: "quickstart",
    supervised: "supervised",
}

#[test]
fn every_example_has_its_test() {
    assert_eq!(examples::names(), NAMES);
}
