//! The listing of a sealed release, `.release/tree`: every entry of it, one a line. Its digest is the tree digest.

use crate::source::line::{escape, fields, parse_hex, push_hex, unescape};
use deployfile_disk::tree::Entry;
use deployfile_model::Digest;

/// The longest listing that is read, in bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 30;
const TITLE: &str = "deployfile tree 1\n";

/// Every entry of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Sorted by the bytes of their paths.
    pub(crate) nodes: Vec<Node>,
}

/// An entry of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Beneath the release.
    pub(crate) path: String,
    /// Permission bits; 0 for a symlink, which has none of its own.
    pub(crate) mode: u32,
    /// What it is.
    pub(crate) what: What,
}

/// What an entry of a release is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A directory.
    Dir,
    /// A file with its content.
    File {
        /// Of its bytes.
        digest: Digest,
        /// In bytes.
        size: u64,
    },
    /// A file that holds a secret: neither digest nor size may tell of it.
    Secret,
    /// A symlink.
    Link {
        /// Where it leads, as written.
        target: String,
    },
}

impl Tree {
    /// The entry at `path`.
    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        let index = self.nodes.binary_search_by(|node| node.path.as_str().cmp(path)).ok()?;
        self.nodes.get(index)
    }

    /// Bytes of its files, those with secrets left out.
    pub(crate) fn bytes(&self) -> u64 {
        let sizes = self.nodes.iter().map(|node| match node.what {
            What::File { size, .. } => size,
            _ => 0,
        });
        sizes.sum()
    }

    /// The text of `.release/tree`: a title, then `kind TAB mode TAB size TAB digest-or-target TAB path` for each entry.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.nodes.len() * 150);
        text.extend_from_slice(TITLE.as_bytes());
        for node in &self.nodes {
            node.write(&mut text);
        }
        text
    }

    /// Reads what [`Tree::write`] wrote; `None` when it is anything else.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.strip_prefix(TITLE)?;
        if !text.is_empty() && !text.ends_with('\n') {
            return None;
        }
        let nodes: Option<Vec<Node>> = text.split_terminator('\n').map(Node::read).collect();
        let nodes = nodes?;
        nodes.windows(2).all(|pair| pair[0].path < pair[1].path).then_some(Self { nodes })
    }
}

impl Node {
    /// Whether an entry on disk still is this one, its content aside.
    pub(crate) fn has_shape_of(&self, entry: &Entry) -> bool {
        use deployfile_disk::Kind;
        match (&self.what, entry.stat.kind) {
            (What::Dir, Kind::Dir) | (What::Secret, Kind::File) => true,
            (What::File { size, .. }, Kind::File) => entry.stat.size == *size,
            (What::Link { target }, Kind::Symlink) => entry.target.as_deref() == Some(target),
            _ => false,
        }
    }

    fn write(&self, text: &mut Vec<u8>) {
        let (kind, size) = match self.what {
            What::Dir => (b'd', 0),
            What::File { size, .. } => (b'f', size),
            What::Secret => (b's', 0),
            What::Link { .. } => (b'l', 0),
        };
        text.push(kind);
        text.extend_from_slice(format!("\t{:o}\t{size}\t", self.mode).as_bytes());
        match &self.what {
            What::File { digest, .. } => push_hex(text, digest.bytes()),
            What::Link { target } => text.extend_from_slice(escape(target).as_bytes()),
            What::Dir | What::Secret => {}
        }
        text.push(b'\t');
        text.extend_from_slice(escape(&self.path).as_bytes());
        text.push(b'\n');
    }

    fn read(line: &str) -> Option<Self> {
        let [kind, mode, size, content, path] = fields(line)?;
        let what = match kind {
            "d" => What::Dir,
            "f" => What::File { digest: parse_hex(content)?, size: size.parse().ok()? },
            "s" => What::Secret,
            "l" => What::Link { target: unescape(content)?.into_owned() },
            _ => return None,
        };
        let mode = u32::from_str_radix(mode, 8).ok()?;
        Some(Self { path: unescape(path)?.into_owned(), mode, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_any_other_text_is_not() {
        let node = |path: &str, mode, what| Node { path: path.to_owned(), mode, what };
        let tree = Tree {
            nodes: vec![
                node("a\n", 0o755, What::Dir),
                node("a\n/b", 0o4755, What::File { digest: Digest::of(b"x"), size: 1 }),
                node("l", 0, What::Link { target: "a\\\tb".to_owned() }),
                node("s", 0o600, What::Secret),
            ],
        };
        let text = tree.write();
        assert_eq!(Tree::read(&text).as_ref(), Some(&tree));
        assert_eq!(tree.bytes(), 1);
        assert_eq!(tree.get("s").map(|n| n.mode), Some(0o600));
        let reversed = Tree { nodes: tree.nodes.into_iter().rev().collect() };
        assert_eq!(Tree::read(&reversed.write()), None);
        assert_eq!(Tree::read(&text[..text.len() - 1]), None);
        assert_eq!(Tree::read(b"something else\n"), None);
    }
}
