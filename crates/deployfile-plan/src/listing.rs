//! A list of steps under construction: numbers them, and keeps stages in the order of a run.

use deployfile_model::{Phase, Place, Stage};
use deployfile_record::{Effect, Step, Why};

/// Steps in the order they run.
#[derive(Default)]
pub(crate) struct Listing(Vec<Step>);

impl Listing {
    pub(crate) fn push(
        &mut self,
        stage: Stage,
        phase: Phase,
        what: impl Into<String>,
        why: Why,
        effect: Effect,
    ) {
        let n = u32::try_from(self.0.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.0.push(Step { n, stage, phase, what: what.into(), why, effect, skipped: None });
    }

    pub(crate) fn main(&mut self, stage: Stage, what: impl Into<String>, why: Why, effect: Effect) {
        self.push(stage, Phase::Main, what, why, effect);
    }

    pub(crate) fn steps(self) -> Vec<Step> {
        self.0
    }
}

pub(crate) fn setting(place: &Place) -> Why {
    Why::Setting(place.clone())
}
