//! Which boundaries a lane tries: all of them, a sample that a seed moves, or the one that a replay names.

/// One boundary that a replay names: `DEPLOYFILE_ONLY=ROW:N` and what the lane adds to it, separated by colons.
pub(crate) struct Only(Option<Vec<String>>);

impl Only {
    /// As the environment says.
    pub(crate) fn read() -> Self {
        let text = std::env::var("DEPLOYFILE_ONLY").ok();
        Self(text.map(|text| text.split(':').map(str::to_owned).collect()))
    }

    /// Whether a case is to be tried: each word of the replay equals the case's.
    pub(crate) fn takes(&self, case: &[&dyn ToString]) -> bool {
        let Some(words) = &self.0 else { return true };
        words.iter().zip(case).all(|(word, case)| *word == case.to_string())
    }

    /// A replay is asked for.
    pub(crate) fn is_replay(&self) -> bool {
        self.0.is_some()
    }
}

/// Whether every boundary is tried.
pub(crate) fn is_long() -> bool {
    std::env::var("DEPLOYFILE_LONG").as_deref() == Ok("1")
}

/// What moves samples.
pub(crate) fn seed() -> usize {
    std::env::var("DEPLOYFILE_SEED").ok().map_or(0, |text| text.parse().unwrap())
}

/// The numbers from 1 to `all` that are tried: all, or about `sample` of them, spread evenly.
pub(crate) fn tried(all: usize, sample: usize) -> impl Iterator<Item = usize> {
    let step = if is_long() || Only::read().is_replay() { 1 } else { all.div_ceil(sample).max(1) };
    (1 + seed() % step..=all).step_by(step)
}

/// How a failure is replayed.
pub(crate) fn replay(test: &str, case: &[&dyn ToString]) -> String {
    let words: Vec<String> = case.iter().map(|word| word.to_string()).collect();
    format!("DEPLOYFILE_ONLY={} cargo nextest run -p deployfile --test faults {test}", words.join(":"))
}
