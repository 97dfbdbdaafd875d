//! The states that a cut may leave, at every point of a recorded run.

use super::{Disk, Op, Random, Tear, Tree};
use std::collections::BTreeSet;

/// What of the pending a cut keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// Every name, and no content: files are empty.
    Names,
    /// Every content, and no name.
    Content,
    /// The newest change only.
    Newest,
    /// Everything but the newest change.
    AllButNewest,
    /// Everything but one change.
    AllButOne(usize),
    /// What a seed says.
    Subset(u64),
    /// Everything, the newest write in part.
    Torn(u8),
    /// Names only, and the newest write in part.
    TornOnly(u8),
}

/// A state that a cut may leave.
#[derive(Debug, Clone)]
pub struct Cut {
    /// After so many calls of the run.
    pub after: usize,
    /// What is kept.
    pub kind: Kind,
    /// What stands on the disk.
    pub tree: Tree,
}

/// How many states there are to be.
#[derive(Debug, Clone, Copy)]
pub struct Volume {
    /// Random subsets at each point.
    pub random: u64,
    /// At most so many "everything but one" at each point, spread over the pending.
    pub dropped: usize,
    /// Moves what is random.
    pub seed: u64,
}

const TEARS: [Tear; 3] = [Tear::Half, Tear::Zeros, Tear::HalfZeros];

/// The distinct states of a run from `start`, in the order of its calls. Two that show the same are one, unless the run
/// was over for one of them: then more was promised, so that one is there, too.
pub fn cuts(start: &Tree, ops: &[Op], volume: Volume, mut each: impl FnMut(Cut)) {
    let mut disk = Disk::new(start.clone());
    let mut seen = BTreeSet::new();
    for after in 0..=ops.len() {
        if after > 0 {
            disk.call(&ops[after - 1]);
        }
        for kind in kinds(&disk, after, volume) {
            let tree = disk.cut(kind);
            if seen.insert((after == ops.len(), tree.digest())) {
                each(Cut { after, kind, tree });
            }
        }
    }
}

fn kinds(disk: &Disk, after: usize, volume: Volume) -> Vec<Kind> {
    use Kind::{
        AllButNewest, AllButOne, Content, Everything, Names, Newest, Nothing, Subset, Torn, TornOnly,
    };
    let count = disk.pending.len();
    let mut all = vec![Nothing, Everything, Names, Content, Newest, AllButNewest];
    let step = count.div_ceil(volume.dropped.max(1)).max(1);
    all.extend((after % step..count).step_by(step).take(volume.dropped).map(AllButOne));
    if disk.newest_write().is_some() {
        all.extend([0, 1, 2].map(Torn));
        all.extend([0, 1, 2].map(TornOnly));
    }
    let base = volume.seed.wrapping_mul(1 << 32).wrapping_add((after as u64) << 12);
    all.extend((0..volume.random).map(|n| Subset(base + n)));
    all
}

impl Disk {
    fn newest_write(&self) -> Option<usize> {
        self.pending.iter().rposition(super::disk::Change::is_bytes)
    }

    /// What a cut leaves.
    pub fn cut(&self, kind: Kind) -> Tree {
        let newest = self.pending.len().wrapping_sub(1);
        let torn = |how: u8| self.newest_write().map(|index| (index, TEARS[usize::from(how) % TEARS.len()]));
        let is_names = |index: usize| self.pending[index].is_names();
        match kind {
            Kind::Nothing => self.left(|_| false, None),
            Kind::Everything => self.left(|_| true, None),
            Kind::Names => self.left(is_names, None),
            Kind::Content => self.left(|index| !is_names(index), None),
            Kind::Newest => self.left(|index| index == newest, None),
            Kind::AllButNewest => self.left(|index| index != newest, None),
            Kind::AllButOne(one) => self.left(|index| index != one, None),
            Kind::Torn(how) => self.left(|_| true, torn(how)),
            Kind::TornOnly(how) => self.left(is_names, torn(how)),
            Kind::Subset(seed) => {
                let mut random = Random::new(seed);
                // From few to nearly all.
                let share = 1 + random.below(15);
                let kept: Vec<bool> = self.pending.iter().map(|_| random.below(16) < share).collect();
                let bytes: Vec<usize> =
                    (0..kept.len()).filter(|index| self.pending[*index].is_bytes()).collect();
                let torn = (!bytes.is_empty() && random.below(3) == 0)
                    .then(|| (bytes[random.below(bytes.len())], TEARS[random.below(3)]));
                self.left(|index| kept[index], torn)
            }
        }
    }
}
