//! Which releases go.

use deployfile_model::units::UnixTime;
use deployfile_model::{ReleaseId, spec::Retention};
use deployfile_record::ledger::ReleaseFacts;
use deployfile_record::{Ledger, ReleaseState};
use std::collections::BTreeSet;

/// A release that goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Victim {
    pub(crate) release: ReleaseId,
    pub(crate) reason: String,
}

/// What retention is decided from.
pub(crate) struct Situation<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) rule: &'a Retention,
    /// Never pruned: what is current when the prune runs, what was before it, what a process uses.
    pub(crate) kept: BTreeSet<ReleaseId>,
    pub(crate) at: UnixTime,
}

/// Releases that go, sorted by id. Good ones are counted newest commit first; failed and bad ones have a quota of their
/// own; a sealed one that no run committed is private and has its days.
pub(crate) fn victims(situation: &Situation<'_>) -> Vec<Victim> {
    let Situation { ledger, kept, .. } = situation;
    let exempt =
        |id: &ReleaseId, facts: &ReleaseFacts| facts.pinned || kept.contains(id) || situation.is_young(facts);
    let mut victims: Vec<Victim> = Vec::new();
    victims.extend(good(situation));
    victims.extend(spoiled(situation));
    victims.extend(private(situation));
    victims.retain(|victim| {
        ledger.releases.get(&victim.release).is_some_and(|facts| !exempt(&victim.release, facts))
    });
    victims.sort_by(|a, b| a.release.cmp(&b.release));
    victims
}

impl Situation<'_> {
    /// Seconds since the release was begun. A clock that was set back makes releases younger than they are, never older;
    /// for one from its future no age counts at all.
    fn age_secs(&self, facts: &ReleaseFacts) -> Option<i64> {
        (self.at >= facts.created).then(|| self.at.0.saturating_sub(facts.created.0))
    }
    /// Whether what was begun with it may still be under way: a request, a worker's job. So it counts from when it was
    /// left, not from when it was made.
    fn is_young(&self, facts: &ReleaseFacts) -> bool {
        let grace = i64::try_from(self.rule.grace.0 / 1000).unwrap_or(i64::MAX);
        let left_for = facts.left.map(|left| self.at.0.saturating_sub(left.0));
        self.age_secs(facts).is_none_or(|age| left_for.unwrap_or(age) < grace)
    }
    fn is_older_than(&self, facts: &ReleaseFacts, secs: u64) -> bool {
        self.age_secs(facts).is_some_and(|age| age > i64::try_from(secs).unwrap_or(i64::MAX))
    }
    fn in_state<'b>(
        &'b self,
        states: &'b [ReleaseState],
    ) -> impl Iterator<Item = (&'b ReleaseId, &'b ReleaseFacts)> + 'b {
        self.ledger.releases.iter().filter(|(_, facts)| states.contains(&facts.state))
    }
}

fn good(situation: &Situation<'_>) -> Vec<Victim> {
    let rule = situation.rule;
    let mut newest_first: Vec<_> = situation.in_state(&[ReleaseState::Good]).collect();
    let rank = |id: &ReleaseId| situation.ledger.committed.iter().rposition(|c| c == id);
    newest_first.sort_by_key(|(id, _)| std::cmp::Reverse(rank(id)));
    let mut bytes: u64 = 0;
    let mut out = Vec::new();
    for (position, (id, facts)) in newest_first.into_iter().enumerate() {
        bytes = bytes.saturating_add(facts.bytes.unwrap_or(0));
        let keep = usize::try_from(rule.keep).unwrap_or(usize::MAX);
        let reason = match (rule.max_age, rule.max_bytes) {
            _ if position >= keep => format!("more than keep {}", rule.keep),
            (Some(age), _) if situation.is_older_than(facts, age.0 / 1000) => {
                format!("older than max-age {age}")
            }
            (_, Some(limit)) if bytes > limit.0 => format!("releases take more than max-bytes {limit}"),
            _ => continue,
        };
        out.push(Victim { release: id.clone(), reason });
    }
    out
}

fn spoiled(situation: &Situation<'_>) -> Vec<Victim> {
    let mut newest_first: Vec<_> = situation.in_state(&[ReleaseState::Failed, ReleaseState::Bad]).collect();
    newest_first.sort_by_key(|(id, facts)| std::cmp::Reverse((facts.created, (*id).clone())));
    let keep = usize::try_from(situation.rule.keep_failed).unwrap_or(usize::MAX);
    let reason = format!("failed or bad, more than keep-failed {}", situation.rule.keep_failed);
    newest_first
        .into_iter()
        .skip(keep)
        .map(|(id, _)| Victim { release: id.clone(), reason: reason.clone() })
        .collect()
}

fn private(situation: &Situation<'_>) -> Vec<Victim> {
    let days = situation.rule.private_keep_days;
    situation
        .in_state(&[ReleaseState::Sealed])
        .filter(|(_, facts)| situation.is_older_than(facts, u64::from(days) * 86_400))
        .map(|(id, _)| Victim { release: id.clone(), reason: format!("private for more than {days} days") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use deployfile_model::units::{Bytes, Millis};
    use deployfile_model::{Digest, Place};
    use std::collections::BTreeMap;

    fn id(n: usize) -> ReleaseId {
        ReleaseId::new(format!("r{n:02}")).unwrap()
    }
    fn facts(state: ReleaseState, created: i64) -> ReleaseFacts {
        ReleaseFacts {
            state,
            build_id: None,
            revision: None,
            spec: Digest::of(b""),
            plan: Digest::of(b""),
            created: UnixTime(created),
            left: None,
            tree: None,
            bytes: Some(10),
            pinned: false,
            reason: None,
            notes: BTreeMap::new(),
        }
    }
    fn rule() -> Retention {
        Retention {
            keep: 3,
            max_age: None,
            max_bytes: None,
            grace: Millis(0),
            private_keep_days: 10,
            keep_failed: 1,
            place: Place::new("x", 1, 1),
        }
    }
    /// Six good releases, committed in order, one a day.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for n in 1..=6 {
            ledger.releases.insert(id(n), facts(ReleaseState::Good, n as i64 * 86_400));
            ledger.committed.push(id(n));
        }
        ledger
    }
    fn gone(ledger: &Ledger, rule: &Retention, kept: &[usize], at: i64) -> Vec<String> {
        let kept = kept.iter().map(|n| id(*n)).collect();
        let situation = Situation { ledger, rule, kept, at: UnixTime(at) };
        victims(&situation).into_iter().map(|v| v.release.to_string()).collect()
    }
    const LATER: i64 = 7 * 86_400;

    #[test]
    fn keeps_the_newest_commits() {
        assert_eq!(gone(&ledger(), &rule(), &[], LATER), ["r01", "r02", "r03"]);
    }

    #[test]
    fn never_what_is_kept_or_pinned() {
        let mut ledger = ledger();
        ledger.releases.get_mut(&id(2)).unwrap().pinned = true;
        assert_eq!(gone(&ledger, &rule(), &[1], LATER), ["r03"]);
    }

    #[test]
    fn a_rollback_makes_an_old_release_the_newest_commit() {
        let mut ledger = ledger();
        ledger.committed.push(id(1));
        assert_eq!(gone(&ledger, &rule(), &[], LATER), ["r02", "r03", "r04"]);
    }

    #[test]
    fn a_clock_that_jumped_back_prunes_nothing() {
        let aged = Retention { max_age: Some(Millis(1000)), ..rule() };
        assert!(gone(&ledger(), &aged, &[], 0).is_empty());
        assert_eq!(gone(&ledger(), &aged, &[6], LATER).len(), 5);
    }

    /// One release that a wrong clock dated into the future is young for ever; the others go as they would.
    #[test]
    fn a_release_from_the_future_keeps_itself_only() {
        let mut ledger = ledger();
        ledger.releases.insert(id(7), facts(ReleaseState::Good, i64::from(i32::MAX)));
        ledger.committed.insert(0, id(7));
        assert_eq!(gone(&ledger, &rule(), &[], LATER), ["r01", "r02", "r03"]);
    }

    /// 2028-02-28 12:00, a day and two over the leap day; and over the end of 32-bit time.
    #[test]
    fn ages_count_seconds_over_a_leap_day_and_over_2038() {
        const NOON: i64 = 1_835_352_000;
        let aged = Retention { keep: 10, max_age: Some(Millis(86_400_000)), ..rule() };
        for begun in [NOON, NOON + 86_400, i64::from(i32::MAX) - 10] {
            let mut ledger = Ledger::default();
            ledger.releases.insert(id(1), facts(ReleaseState::Good, begun));
            ledger.committed.push(id(1));
            assert!(gone(&ledger, &aged, &[], begun + 86_400).is_empty());
            assert_eq!(gone(&ledger, &aged, &[], begun + 86_401), ["r01"]);
            assert!(gone(&ledger, &aged, &[], begun - 400 * 86_400).is_empty());
        }
    }

    #[test]
    fn grace_and_bytes() {
        let graceful = Retention { grace: Millis(86_400_000 * 30), ..rule() };
        assert!(gone(&ledger(), &graceful, &[], LATER).is_empty());
        let small = Retention { keep: 10, max_bytes: Some(Bytes(25)), ..rule() };
        assert_eq!(gone(&ledger(), &small, &[], LATER), ["r01", "r02", "r03", "r04"]);
    }

    #[test]
    fn grace_counts_from_when_a_release_was_left() {
        let mut ledger = ledger();
        ledger.releases.get_mut(&id(1)).unwrap().left = Some(UnixTime(LATER - 10));
        let graceful = Retention { grace: Millis(60_000), ..rule() };
        assert_eq!(gone(&ledger, &graceful, &[], LATER), ["r02", "r03"]);
        assert_eq!(gone(&ledger, &graceful, &[], LATER + 60), ["r01", "r02", "r03"]);
    }

    #[test]
    fn failed_ones_have_their_own_quota_and_private_ones_their_days() {
        let mut ledger = ledger();
        ledger.releases.insert(id(7), facts(ReleaseState::Failed, 1));
        ledger.releases.insert(id(8), facts(ReleaseState::Bad, 2));
        ledger.releases.insert(id(9), facts(ReleaseState::Sealed, 3));
        ledger.releases.insert(id(10), facts(ReleaseState::Unsealed, 4));
        let wide = Retention { keep: 10, ..rule() };
        assert_eq!(gone(&ledger, &wide, &[], LATER), ["r07"]);
        assert_eq!(gone(&ledger, &wide, &[], 30 * 86_400), ["r07", "r09"]);
    }
}
