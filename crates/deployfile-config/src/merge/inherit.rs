//! `use NAME` in a service: it takes over what another service says, as the weaker word of the two. Look-ups are filled in
//! later, so `{{ service }}` in what was taken over is the heir's name.

use super::{Block, Definition, Scope, Setting};
use crate::resolve::MOST_USES;
use crate::tree::Value;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What a service says of itself only: it is not taken over.
const OWN: [&str; 2] = ["abstract", "use"];

/// A key of [`Block::settings`].
type Key<'p> = (&'p str, &'p str);

impl<'p> Block<'p> {
    /// Lets every service take over what it uses. Before [`Block::settle`], so that markers and strength decide as ever.
    pub(crate) fn inherit(&mut self) {
        let heirs: Vec<Key<'p>> = self
            .settings
            .iter()
            .filter(|((name, _), setting)| *name == "service" && setting.block.get("use").is_some())
            .map(|(key, _)| *key)
            .collect();
        let mut done: BTreeMap<Key<'p>, Setting<'p>> = BTreeMap::new();
        for heir in heirs {
            self.flatten(heir, &mut Vec::new(), &mut done);
        }
        self.settings.extend(done);
    }

    /// The service with all that it takes over. A service that is met again on its own way, or too deep in it, is left out: that
    /// is reported where services are resolved.
    fn flatten(&self, key: Key<'p>, open: &mut Vec<Key<'p>>, done: &mut BTreeMap<Key<'p>, Setting<'p>>) {
        if open.contains(&key) || done.contains_key(&key) {
            return;
        }
        let Some(own) = self.settings.get(&key) else { return };
        let mut whole = own.clone();
        open.push(key);
        let bases: Vec<&str> = if open.len() > MOST_USES { Vec::new() } else { own.bases().collect() };
        for base in bases {
            let base: Key<'p> = ("service", base);
            self.flatten(base, open, done);
            if let Some(setting) = done.get(&base).filter(|_| !open.contains(&base)) {
                whole.block.take_over(&setting.block, base.1);
            }
        }
        open.pop();
        done.insert(key, whole);
    }

    fn take_over(&mut self, base: &Block<'p>, name: &'p str) {
        let taken = |d: &Definition<'p>| d.taken_over(name);
        for (key, setting) in base.settings.iter().filter(|((name, _), _)| !OWN.contains(name)) {
            let own = self.settings.entry(*key).or_insert_with(|| Setting::new(setting.spec));
            for (mine, theirs) in [
                (&mut own.lines, &setting.lines),
                (&mut own.mentions, &setting.mentions),
                (&mut own.removals, &setting.removals),
            ] {
                add(mine, theirs.iter().map(taken));
            }
            own.block.take_over(&setting.block, name);
        }
        add(&mut self.items, base.items.iter().map(taken));
    }
}

/// What comes here by several ways is taken over once, by the nearest. A node of a profile is another definition in each scope
/// that uses the profile.
fn add<'p>(mine: &mut Vec<Definition<'p>>, theirs: impl Iterator<Item = Definition<'p>>) {
    let mut known: BTreeMap<(usize, Scope<'p>), usize> =
        mine.iter().enumerate().map(|(n, d)| (identity(d), n)).collect();
    for one in theirs {
        match known.get(&identity(&one)) {
            Some(n) if mine[*n].scope.used > one.scope.used => mine[*n] = one,
            Some(_) => {}
            None => {
                known.insert(identity(&one), mine.len());
                mine.push(one);
            }
        }
    }
}

/// The node and its scope, without the way on which it came.
fn identity<'p>(d: &Definition<'p>) -> (usize, Scope<'p>) {
    (std::ptr::from_ref(d.node) as usize, Scope { used: 0, base: None, ..d.scope })
}

impl<'p> Setting<'p> {
    /// The arguments that will hold once the block is settled.
    fn decided(&self) -> Vec<&'p Value> {
        let mut lines = self.clone();
        if let Some(removal) = self.removals.iter().map(|d| d.strength).max() {
            lines.lines.retain(|d| d.strength >= removal);
        }
        lines.arguments()
    }

    /// The services that this one uses.
    pub(crate) fn bases(&self) -> impl Iterator<Item = &'p str> {
        let line = self.block.get("use").map(Setting::decided).unwrap_or_default();
        line.into_iter().filter_map(|value| value.text())
    }
}

impl<'p> Definition<'p> {
    fn taken_over(&self, service: &'p str) -> Self {
        let mut scope = self.scope;
        scope.used = scope.used.saturating_add(1);
        scope.base = scope.base.or(Some(service));
        let mut strength = self.strength;
        strength.near = Reverse(scope.used);
        Self { scope, strength, ..*self }
    }
}
