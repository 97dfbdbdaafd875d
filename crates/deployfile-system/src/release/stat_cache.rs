//! Digests of files that are known without reading the files again, because their inode has not changed since.
//!
//! A file whose change time and size are those that were recorded holds what it held then: no call can set a change
//! time. But time moves in ticks of some milliseconds, so a file that was changed in the very tick in which it was
//! recorded could be changed again without a trace. Each cache therefore says when it was taken, by the clock of the file
//! system itself, and tells nothing of files that changed at that moment or later.
//!
//! A cache is a convenience. One that is missing, damaged or came with a copied root only means reading files again.

use crate::source::line::{escape, fields, parse_hex, push_hex, unescape};
use deployfile_disk::tree::Entry;
use deployfile_disk::{Dir, DiskError, Kind};
use deployfile_model::spec::App;
use deployfile_model::{Digest, RelPath, ReleaseId};

const TITLE: &str = "deployfile stat 1\n";
const MAX_BYTES: u64 = 1 << 30;

/// What was known of the files of a release at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatCache {
    /// The file system's clock before the first of them was looked at, in nanoseconds.
    pub(crate) taken_ns: i64,
    /// Sorted by path.
    pub(crate) known: Vec<Known>,
}

/// What was known of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) path: String,
    pub(crate) ctime_ns: i64,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

/// The clock of a file system.
pub(crate) struct Moment {
    /// In nanoseconds since 1970-01-01 UTC.
    pub(crate) ns: i64,
}

impl Moment {
    /// Now, told by a file that is made for it in `cache`.
    pub(crate) fn now(cache: &Dir) -> Result<Self, DiskError> {
        let path = rel("moment");
        cache.remove_file(&path)?;
        cache.write_new(&path, b"", 0o600)?;
        let stat = cache.stat(&path)?;
        // Gone again already: then nothing is known to be older.
        Ok(Self { ns: stat.map_or(i64::MIN, |stat| stat.ctime_ns) })
    }
}

/// `<root>/.deployfile/cache`, made if it is missing. It stays after a power cut, as one of its files must (`boot`).
pub(crate) fn cache_dir(root: &Dir) -> Result<Dir, DiskError> {
    if root.create_dir(&rel(App::STATE), 0o700)? {
        root.sync()?;
    }
    let state = root.open_dir(&rel(App::STATE))?;
    if state.create_dir(&rel("cache"), 0o700)? {
        state.sync()?;
    }
    state.open_dir(&rel("cache"))
}

/// `<root>/.deployfile/cache`; `None` when nothing was ever put there.
pub(crate) fn cache_dir_if_there(root: &Dir) -> Result<Option<Dir>, DiskError> {
    match root.open_dir(&rel(App::STATE).join(&rel("cache"))) {
        Ok(cache) => Ok(Some(cache)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn rel(path: &'static str) -> RelPath {
    deployfile_record::release::rel(path)
}

/// The name of a release's cache. An id is at most 128 bytes of plain characters, so this is always a name.
fn name(release: &ReleaseId) -> RelPath {
    RelPath::new(format!("stat-{release}")).unwrap_or_else(|_| rel("stat"))
}

impl StatCache {
    /// The digest of a file, if it certainly has not changed since.
    pub(crate) fn digest_of(&self, entry: &Entry) -> Option<Digest> {
        let index = self.known.binary_search_by(|known| known.path.as_str().cmp(&entry.path)).ok()?;
        let known = self.known.get(index)?;
        let is_same = entry.stat.kind == Kind::File
            && known.ctime_ns == entry.stat.ctime_ns
            && known.size == entry.stat.size
            && known.ctime_ns < self.taken_ns;
        is_same.then_some(known.digest)
    }

    /// Reads a release's cache; `None` when there is none that can be used.
    pub(crate) fn load(cache: &Dir, release: &ReleaseId) -> Result<Option<Self>, DiskError> {
        match cache.read(&name(release), MAX_BYTES) {
            Ok(text) => Ok(Self::read(&text)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a release's cache. Not durable: a crash may leave the one before, or one that does not add up.
    pub(crate) fn store(&self, cache: &Dir, release: &ReleaseId) -> Result<(), DiskError> {
        let incoming = rel("stat.new");
        cache.remove_file(&incoming)?;
        cache.write_new(&incoming, &self.write(), 0o600)?;
        cache.rename(&incoming, &name(release))
    }

    /// Removes a release's cache.
    pub(crate) fn forget(cache: &Dir, release: &ReleaseId) -> Result<(), DiskError> {
        cache.remove_file(&name(release)).map(drop)
    }

    /// A title, the digest of what follows, the moment, then `ctime TAB size TAB digest TAB path` for each file.
    fn write(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.known.len() * 150);
        body.extend_from_slice(format!("{}\n", self.taken_ns).as_bytes());
        for known in &self.known {
            body.extend_from_slice(format!("{}\t{}\t", known.ctime_ns, known.size).as_bytes());
            push_hex(&mut body, known.digest.bytes());
            body.push(b'\t');
            body.extend_from_slice(escape(&known.path).as_bytes());
            body.push(b'\n');
        }
        let mut text = TITLE.as_bytes().to_vec();
        push_hex(&mut text, Digest::of(&body).bytes());
        text.push(b'\n');
        text.extend_from_slice(&body);
        text
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (sum, body) = std::str::from_utf8(text).ok()?.strip_prefix(TITLE)?.split_once('\n')?;
        if parse_hex(sum)? != Digest::of(body.as_bytes()) {
            return None;
        }
        let mut lines = body.split_terminator('\n');
        let taken_ns = lines.next()?.parse().ok()?;
        let known: Option<Vec<Known>> = lines.map(Known::read).collect();
        Some(Self { taken_ns, known: known? })
    }
}

impl Known {
    fn read(line: &str) -> Option<Self> {
        let [ctime, size, digest, path] = fields(line)?;
        Some(Self {
            path: unescape(path)?.into_owned(),
            ctime_ns: ctime.parse().ok()?,
            size: size.parse().ok()?,
            digest: parse_hex(digest)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deployfile_disk::Stat;

    fn entry(ctime_ns: i64, size: u64) -> Entry {
        let stat = Stat {
            kind: Kind::File,
            mode: 0o644,
            size,
            uid: 0,
            gid: 0,
            mtime_ns: 0,
            ctime_ns,
            nlink: 1,
            dev: 1,
            ino: 1,
        };
        Entry { path: "a\tb".to_owned(), stat, target: None }
    }

    fn cache() -> StatCache {
        let known = Known { path: "a\tb".to_owned(), ctime_ns: 90, size: 3, digest: Digest::of(b"abc") };
        StatCache { taken_ns: 100, known: vec![known] }
    }

    #[test]
    fn only_an_untouched_file_is_known() {
        let cache = cache();
        assert_eq!(cache.digest_of(&entry(90, 3)), Some(Digest::of(b"abc")));
        assert_eq!(cache.digest_of(&entry(91, 3)), None);
        assert_eq!(cache.digest_of(&entry(90, 4)), None);
    }

    #[test]
    fn a_file_that_changed_in_the_tick_of_its_recording_is_not_known() {
        let mut cache = cache();
        cache.taken_ns = 90;
        assert_eq!(cache.digest_of(&entry(90, 3)), None);
    }

    #[test]
    fn a_damaged_cache_is_none() {
        let text = cache().write();
        assert_eq!(StatCache::read(&text), Some(cache()));
        for index in 0..text.len() {
            let mut damaged = text.clone();
            damaged[index] ^= 1;
            assert_eq!(StatCache::read(&damaged), None, "{index}");
            assert_eq!(StatCache::read(&text[..index]), None, "{index}");
        }
    }
}
