//! What a source holds, entry by entry, and how that is written into a release as `.release/source`.
//!
//! The next release finds in it which of its files are in this one already: same blob, or same digest.

use super::line::{escape, fields, parse_hex, push_hex, unescape};
use deployfile_model::Digest;
use deployfile_model::spec::ShareMode;
use std::borrow::Cow;

/// Where the listing stands in a release.
pub(crate) const PATH: &str = ".release/source";
/// The longest listing that is read, in bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 30;
const TITLE: &str = "deployfile source 1";
/// The last line, so that a listing that a crash cut short is told.
const END: &str = "end\n";

/// A source whose every entry is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Commit id, or tree digest.
    pub revision: String,
    /// How its files were put into the release.
    pub share: ShareMode,
    /// Sorted by the bytes of their paths; directories are not listed.
    pub entries: Vec<Listed>,
}

/// A file or symlink of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Beneath the source, and beneath the release.
    pub path: String,
    /// git's object id of its content; empty for other sources.
    pub oid: String,
    /// What it is.
    pub what: What,
}

/// The content of a source's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A regular file.
    File {
        /// Its owner may execute it.
        is_executable: bool,
        /// Of its bytes.
        digest: Digest,
        /// In bytes.
        size: u64,
    },
    /// A symlink.
    Link {
        /// Where it leads, as written.
        target: String,
    },
}

/// The mode that a file of a source gets in a release.
pub fn file_mode(is_executable: bool, share: ShareMode) -> u32 {
    match (share, is_executable) {
        (ShareMode::Copy, false) => 0o644,
        (ShareMode::Copy, true) => 0o755,
        (ShareMode::Hardlink, false) => 0o444,
        (ShareMode::Hardlink, true) => 0o555,
    }
}

impl Listing {
    /// The entry at `path`.
    pub fn get(&self, path: &str) -> Option<&Listed> {
        let index = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        self.entries.get(index)
    }

    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(Listed::size).sum()
    }

    /// Digest over the content alone: paths, kinds, executable bits, digests and targets.
    pub fn tree_digest(&self) -> Digest {
        let mut hasher = Digest::hasher();
        let mut line = Vec::with_capacity(256);
        for entry in &self.entries {
            line.clear();
            match &entry.what {
                What::File { is_executable, digest, .. } => {
                    line.extend_from_slice(if *is_executable { b"x\t" } else { b"f\t" });
                    push_hex(&mut line, digest.bytes());
                }
                What::Link { target } => {
                    line.extend_from_slice(b"l\t");
                    line.extend_from_slice(escape(target).as_bytes());
                }
            }
            line.push(b'\t');
            line.extend_from_slice(escape(&entry.path).as_bytes());
            line.push(b'\n');
            hasher.update(&line);
        }
        hasher.finish()
    }

    /// The text of `.release/source`: a title, the revision, the share mode, then
    /// `kind TAB object-id TAB digest-or-target TAB size TAB path` for each entry.
    pub(crate) fn write(&self) -> Vec<u8> {
        let share = match self.share {
            ShareMode::Copy => "copy",
            ShareMode::Hardlink => "hardlink",
        };
        let mut text = format!("{TITLE}\n{}\n{share}\n", self.revision).into_bytes();
        text.reserve(self.entries.len() * 180);
        for entry in &self.entries {
            entry.write(&mut text);
        }
        text.extend_from_slice(END.as_bytes());
        text
    }

    /// Reads what [`Listing::write`] wrote; `None` when it is anything else (a crash can cut it short).
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.strip_suffix(END)?;
        let mut lines = text.split_terminator('\n');
        if lines.next()? != TITLE {
            return None;
        }
        let revision = lines.next()?.to_owned();
        let share = match lines.next()? {
            "copy" => ShareMode::Copy,
            "hardlink" => ShareMode::Hardlink,
            _ => return None,
        };
        let entries: Option<Vec<Listed>> = lines.map(Listed::read).collect();
        let entries = entries?;
        let is_sorted = entries.windows(2).all(|pair| pair[0].path < pair[1].path);
        is_sorted.then_some(Self { revision, share, entries })
    }
}

impl Listed {
    /// Bytes of its content; 0 for a symlink.
    pub fn size(&self) -> u64 {
        match self.what {
            What::File { size, .. } => size,
            What::Link { .. } => 0,
        }
    }

    fn write(&self, text: &mut Vec<u8>) {
        let (kind, size) = match &self.what {
            What::File { is_executable: false, size, .. } => (b'f', *size),
            What::File { is_executable: true, size, .. } => (b'x', *size),
            What::Link { .. } => (b'l', 0),
        };
        text.push(kind);
        text.push(b'\t');
        text.extend_from_slice(self.oid.as_bytes());
        text.push(b'\t');
        match &self.what {
            What::File { digest, .. } => push_hex(text, digest.bytes()),
            What::Link { target } => text.extend_from_slice(escape(target).as_bytes()),
        }
        text.push(b'\t');
        text.extend_from_slice(size.to_string().as_bytes());
        text.push(b'\t');
        text.extend_from_slice(escape(&self.path).as_bytes());
        text.push(b'\n');
    }

    fn read(line: &str) -> Option<Self> {
        let [kind, oid, content, size, path] = fields(line)?;
        let what = match kind {
            "f" | "x" => What::File {
                is_executable: kind == "x",
                digest: parse_hex(content)?,
                size: size.parse().ok()?,
            },
            "l" => What::Link { target: unescape(content).map(Cow::into_owned)? },
            _ => return None,
        };
        Some(Self { path: unescape(path)?.into_owned(), oid: oid.to_owned(), what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Listing {
        let file = |path: &str, is_executable| Listed {
            path: path.to_owned(),
            oid: "0123".to_owned(),
            what: What::File { is_executable, digest: Digest::of(path.as_bytes()), size: 7 },
        };
        let link = Listed {
            path: "line\nbreak\tand \\ back".to_owned(),
            oid: String::new(),
            what: What::Link { target: "to/ü\n".to_owned() },
        };
        Listing {
            revision: "abc".to_owned(),
            share: ShareMode::Hardlink,
            entries: vec![file("a", false), file("b/c", true), link],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let listing = sample();
        assert_eq!(Listing::read(&listing.write()), Some(listing));
    }

    #[test]
    fn a_listing_that_was_cut_short_is_none() {
        let text = sample().write();
        for len in 0..text.len() {
            assert_eq!(Listing::read(&text[..len]), None, "{len}");
        }
    }

    #[test]
    fn the_tree_digest_sees_modes_paths_targets_and_content_but_not_object_ids() {
        let listing = sample();
        let digest = listing.tree_digest();
        let mut other = listing.clone();
        other.entries[0].oid = "4567".to_owned();
        assert_eq!(other.tree_digest(), digest);
        let changes: [fn(&mut Listed); 4] = [
            |e| e.path.push('x'),
            |e| e.what = What::Link { target: "a".to_owned() },
            |e| e.what = What::File { is_executable: true, digest: Digest::of(b"a"), size: 7 },
            |e| e.what = What::File { is_executable: false, digest: Digest::of(b"z"), size: 7 },
        ];
        for change in changes {
            let mut other = listing.clone();
            change(&mut other.entries[0]);
            assert_ne!(other.tree_digest(), digest);
        }
    }
}
