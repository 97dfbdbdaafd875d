//! What must hold of a host: always, and when nobody is at work on it and nothing is left to resume.

use super::{Disk, Done, World};
use deployfile_exec::Ended;
use deployfile_model::ReleaseId;
use deployfile_model::service::OnDeploy;
use deployfile_record::event::What;
use deployfile_record::{Effect, Goal, Ledger, Plan, ReleaseState, RunResult};
use deployfile_report::{Human, Tone};

/// The host before the run that is cut off, and the plan of that run.
pub struct Before<'a> {
    /// What was there.
    pub disk: &'a Disk,
    /// What was to be done.
    pub plan: &'a Plan,
}

/// Values that must stand nowhere but in the files that are made for them.
pub struct Secrets<'a>(pub &'a World);

impl Before<'_> {
    /// What does not hold although it must at every moment: also while a run is open.
    pub fn always(&self, world: &World) -> Vec<String> {
        let mut found = world.violations.clone();
        let (now, ledger) = (&world.disk, world.disk.ledger());
        let may_be = [self.disk.current.as_ref(), self.plan.release.as_ref()];
        if self.disk.current.is_some() && !may_be.contains(&now.current.as_ref()) {
            found.push(format!("current is {:?}", now.current));
        }
        if !ledger.committed.is_empty() && now.current.as_ref().is_none_or(|id| !now.is_sealed(id)) {
            found.push(format!("a run committed, and current is {:?}, which is not sealed", now.current));
        }
        for (id, release) in &now.releases {
            if !ledger.releases.contains_key(id) {
                found.push(format!("releases/{id} is unknown to the journal"));
            }
            if release.sealed.as_ref().is_some_and(|record| record.tree != release.tree()) {
                found.push(format!("release {id} is sealed and not as it was sealed"));
            }
        }
        for (path, content) in &self.disk.shared {
            if now.shared.get(path) != Some(content) {
                found.push(format!("shared/{path} is gone or changed"));
            }
        }
        for (name, alive) in &now.services {
            if alive.on_deploy != OnDeploy::None && !now.is_sealed(&alive.release) {
                found.push(format!("{name} runs from {}, which is no sealed release", alive.release));
            }
        }
        for plan in [&ledger.open, &ledger.resumable].into_iter().flatten().map(|open| open.plan) {
            if !now.plans.contains_key(&plan) {
                found.push(format!("the plan {} of the open run is gone", plan.short()));
            }
        }
        found
    }

    /// What does not hold although no run is open.
    pub fn at_rest(&self, world: &World) -> Vec<String> {
        let mut found = self.always(world);
        let (now, ledger) = (&world.disk, world.disk.ledger());
        if ledger.open.is_some() {
            found.push("a run is still open".to_owned());
        }
        if now.current.as_ref() != ledger.committed.last() {
            found.push(format!(
                "current is {:?}, the last commit {:?}",
                now.current,
                ledger.committed.last()
            ));
        }
        let good =
            |id: &ReleaseId| ledger.releases.get(id).is_some_and(|facts| facts.state == ReleaseState::Good);
        if now.current.as_ref().is_some_and(|id| !good(id) || world.sick.contains(id)) {
            found.push(format!("current is {:?}, which is not good", now.current));
        }
        for (name, alive) in &now.services {
            if alive.on_deploy != OnDeploy::None && Some(&alive.release) != now.current.as_ref() {
                found.push(format!("{name} runs {} while current is {:?}", alive.release, now.current));
            }
        }
        if !now.left_running.is_empty() {
            found.push("a process of a step still runs".to_owned());
        }
        if self.is_undone(&ledger) {
            found.extend(self.differs(now));
        }
        found
    }

    /// Whether nothing was committed since.
    fn is_undone(&self, ledger: &Ledger) -> bool {
        ledger.committed == self.disk.ledger().committed
    }

    /// How the world differs from the one before, besides the journal, what `migrate` did to data, the release that was
    /// made and kept for a look, and shared folders that are new.
    fn differs(&self, now: &Disk) -> Vec<String> {
        let mut now = now.clone();
        now.journal.clone_from(&self.disk.journal);
        now.plans.clone_from(&self.disk.plans);
        now.migrated.clone_from(&self.disk.migrated);
        (now.boot, now.trash) = (self.disk.boot, self.disk.trash);
        now.shared.retain(|path, _| self.disk.shared.contains_key(path));
        if let Some(id) = self.plan.release.as_ref().filter(|id| !self.disk.releases.contains_key(*id)) {
            now.releases.remove(id);
        }
        let mut before = self.disk.clone();
        // A clean promises nothing: each release that it meant to remove is there or gone.
        for step in
            self.plan.hosts.iter().filter(|_| self.plan.goal == Goal::Clean).flat_map(|host| &host.steps)
        {
            if let Effect::EnsurePruned { release } = &step.effect {
                before.releases.remove(release);
                now.releases.remove(release);
            }
        }
        if now == before { Vec::new() } else { vec![first_difference(&before, &now)] }
    }
}

fn first_difference(before: &Disk, now: &Disk) -> String {
    let kinds = [
        ("current", before.current == now.current),
        ("releases", before.releases == now.releases),
        ("links outside of the root", before.host_links == now.host_links),
        ("shared data", before.shared == now.shared),
        ("services", before.services == now.services),
        ("processes", before.left_running == now.left_running),
    ];
    let other = kinds.iter().filter(|(_, same)| !same).map(|(kind, _)| *kind).collect::<Vec<_>>().join(", ");
    format!("nothing was committed, and the world is not as it was before: {other}")
}

impl Secrets<'_> {
    /// Where a value stands although it must not.
    pub fn leaks(&self, done: &Done) -> Vec<String> {
        let world = self.0;
        let events = format!("{:?}", done.events);
        let journal = String::from_utf8_lossy(&world.disk.journal);
        let mut found = Vec::new();
        for (name, value) in &world.secrets {
            if journal.contains(value) {
                found.push(format!("the value of secret {name} stands in the journal"));
            }
            if events.contains(value) {
                found.push(format!("the value of secret {name} was said"));
            }
            if world.disk.plans.values().any(|plan| format!("{plan:?}").contains(value)) {
                found.push(format!("the value of secret {name} stands in a stored plan"));
            }
            for (id, release) in &world.disk.releases {
                let told = |(path, text): &(&String, &String)| {
                    text.contains(value) && !release.secret.contains(path)
                };
                if release.sealed.is_some() && release.files.iter().any(|file| told(&file)) {
                    found.push(format!("the value of secret {name} stands in an open file of release {id}"));
                }
            }
        }
        found
    }
}

impl Done {
    /// What is wrong with how it ended. A run is stuck only when its way back was refused, and then it names the step,
    /// the host and the next command.
    pub fn wrong(&self, was_way_back_refused: bool) -> Vec<String> {
        let Some(Ended::Over { result: RunResult::Stuck, .. }) = &self.ended else { return Vec::new() };
        let mut found = Vec::new();
        if !was_way_back_refused {
            found.push("it is stuck although no step of the way back was refused".to_owned());
        }
        let text = self.text();
        let step = self.events.iter().rev().find_map(|event| match &event.what {
            What::StepStarted { what, .. } => Some(what.clone()),
            _ => None,
        });
        let host = self.events.first().map(|event| event.host.to_string());
        for (what, wanted) in
            [("step", step), ("host", host), ("next command", Some("deployfile resume".to_owned()))]
        {
            if wanted.as_ref().is_none_or(|wanted| !text.contains(wanted.as_str())) {
                found.push(format!("it is stuck and does not name its {what}: {wanted:?} is not in\n{text}"));
            }
        }
        found
    }

    /// What a person reads.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        let mut human = Human::new(&mut out, Tone::PLAIN, false, 0);
        for event in &self.events {
            human.event(event).expect("memory takes everything");
        }
        drop(human);
        String::from_utf8_lossy(&out).into_owned()
    }
}
