//! What of a simulated host outlives a process: its files, its services, the journal's bytes.

use deployfile_journal::{Seq, bytes};
use deployfile_model::service::{Manager, OnDeploy};
use deployfile_model::{BuildId, Digest, HostPath, Name, RelPath, ReleaseId};
use deployfile_record::{Entry, Ledger, Plan, ReleaseRecord, Tail};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Everything that is left when a process is killed. Equal disks are equal worlds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Disk {
    /// The newest segment of the journal, as its bytes.
    pub journal: Vec<u8>,
    /// Stored plans, by digest.
    pub plans: BTreeMap<Digest, Rc<Plan>>,
    /// `releases/`.
    pub releases: BTreeMap<ReleaseId, Rc<Release>>,
    /// Releases that are gone from `releases/` and not deleted yet.
    pub trash: u32,
    /// What the current link names.
    pub current: Option<ReleaseId>,
    /// Links outside of the root.
    pub host_links: BTreeMap<HostPath, String>,
    /// Data that outlives releases, each with its content.
    pub shared: BTreeMap<RelPath, String>,
    /// Services that run, with what they run.
    pub services: BTreeMap<Name, Alive>,
    /// What steps of the stage `migrate` did to data.
    pub migrated: BTreeMap<String, u32>,
    /// Processes of steps that still run: their group leaders.
    pub left_running: Vec<u32>,
    /// How often the machine was started.
    pub boot: u32,
}

/// A service that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Alive {
    /// The release that its processes were started from.
    pub release: ReleaseId,
    /// Who keeps it running.
    pub manager: Manager,
    /// Whether it follows releases at all.
    pub on_deploy: OnDeploy,
}

/// A directory of `releases/`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Release {
    /// Its files and links, with their content or target.
    pub files: BTreeMap<String, String>,
    /// Files that hold a secret, which no digest covers.
    pub secret: Vec<String>,
    /// Its manifest, once sealed.
    pub sealed: Option<ReleaseRecord>,
    /// The start of the machine that it was filled in.
    pub boot: u32,
}

impl Release {
    /// The digest of what stands in it.
    pub fn tree(&self) -> Digest {
        let mut hasher = Digest::hasher();
        for (path, content) in &self.files {
            let content = if self.secret.contains(path) { "" } else { content };
            hasher.update(format!("{path}\0{content}\0").as_bytes());
        }
        hasher.finish()
    }

    /// Its tail, when it has one that can be read.
    pub fn tail(&self) -> Option<Tail> {
        serde_json::from_str(self.files.get(Tail::PATH)?).ok()
    }

    /// What its running code says it is.
    pub fn build(&self) -> Option<&BuildId> {
        self.sealed.as_ref()?.build_id.as_ref()
    }
}

impl Disk {
    /// What the journal says, as whoever opens it next will read it.
    pub fn ledger(&self) -> Rc<Ledger> {
        read(&self.journal).ledger.clone()
    }

    /// Opens the journal: what was torn is cut off. Gives what it says and the number of the next record.
    pub(crate) fn open_journal(&mut self) -> (Ledger, Seq) {
        let read = read(&self.journal);
        self.journal.truncate(read.whole);
        ((*read.ledger).clone(), read.next)
    }

    /// The release that a service's processes run, or that answers for it when nobody of ours keeps it.
    pub fn serving(&self, service: &Name) -> Option<&ReleaseId> {
        self.services.get(service).map(|alive| &alive.release)
    }

    pub(crate) fn release_mut(&mut self, id: &ReleaseId) -> &mut Release {
        Rc::make_mut(self.releases.entry(id.clone()).or_default())
    }

    pub(crate) fn is_sealed(&self, id: &ReleaseId) -> bool {
        self.releases.get(id).is_some_and(|release| release.sealed.is_some())
    }
}

/// A journal that was read.
struct Read {
    ledger: Rc<Ledger>,
    whole: usize,
    next: Seq,
}

/// Reads a journal. The same bytes come again and again: they are read once.
fn read(journal: &[u8]) -> Rc<Read> {
    const REMEMBERED: usize = 4_096;
    thread_local! {
        static READ: RefCell<BTreeMap<[u8; 32], Rc<Read>>> = const { RefCell::new(BTreeMap::new()) };
    }
    let key = *Digest::of(journal).bytes();
    if let Some(known) = READ.with(|read| read.borrow().get(&key).cloned()) {
        return known;
    }
    let (records, whole) = bytes::records::<Entry>(journal).expect("no crash damages a journal");
    let next = Seq(records.last().map_or(1, |record| record.seq.0 + 1));
    let ledger = Rc::new(Ledger::fold(records.iter().map(|record| &record.payload)));
    let new = Rc::new(Read { ledger, whole, next });
    READ.with(|read| {
        let mut read = read.borrow_mut();
        if read.len() >= REMEMBERED {
            read.clear();
        }
        read.insert(key, new.clone());
    });
    new
}
