//! Compiled code, kept between processes: `${XDG_CACHE_HOME:-~/.cache}/deployfile/components/`.
//!
//! An entry is believed only when the directory and the file belong to this user, nobody else may write them, nothing on
//! the way is a link, and the digest in its header is that of its code. Whatever else is found is a miss. A cache that
//! cannot be written is no error: it costs time.

use super::native::TrustedCode;
use deployfile_disk::{Dir, Kind};
use deployfile_model::{Digest, HostPath, RelPath};
use rustix::process::geteuid;
use std::hash::{Hash as _, Hasher};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use wasmtime::Engine;

/// The first line of an entry; another layout has another.
const MAGIC: &str = "deployfile-code 1";
/// Bytes of an entry.
const ENTRY_MAX: u64 = 1 << 30;
/// Permission bits of others, which must not be there.
const OTHERS: u32 = 0o022;

/// The cache of one engine.
pub(crate) struct Cache {
    dir: Dir,
    /// Names the compiler, its settings and this processor.
    engine: String,
}

impl Cache {
    /// Opens, and makes what is missing. `None`: there is none to be had, or it is not safe.
    pub(crate) fn open(engine: &Engine, at: Option<PathBuf>) -> Option<Self> {
        let path = at.or_else(default_place)?;
        let dir = open_own(&path)?;
        let mut hasher = Sha(Digest::hasher());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Some(Self { dir, engine: hasher.0.finish().hex() })
    }

    /// The code of the component of this digest, and the component's size.
    pub(crate) fn get(&self, component: &Digest) -> Option<(TrustedCode, u64)> {
        let rel = self.file(component)?;
        let stat = self.dir.stat(&rel).ok()??;
        if stat.kind != Kind::File || stat.uid != geteuid().as_raw() || stat.mode & OTHERS != 0 {
            return None;
        }
        let mut bytes = self.dir.read(&rel, ENTRY_MAX).ok()?;
        let end = bytes.iter().position(|b| *b == b'\n')?;
        let header = std::str::from_utf8(&bytes[..end]).ok()?.to_owned();
        let code = bytes.split_off(end + 1);
        let size = header.strip_prefix(&self.header(component, &code))?.strip_prefix(' ')?.parse().ok()?;
        Some((TrustedCode::vouched(code), size))
    }

    /// Keeps code. Not being able to is no error.
    pub(crate) fn put(&self, component: &Digest, size: u64, code: &TrustedCode) {
        let Some(rel) = self.file(component) else { return };
        let mut bytes = format!("{} {size}\n", self.header(component, code.bytes())).into_bytes();
        bytes.extend_from_slice(code.bytes());
        if let Err(_full_or_read_only) = self.dir.replace(&rel, &bytes, 0o600) {
            // The next process compiles again.
        }
    }

    fn header(&self, component: &Digest, code: &[u8]) -> String {
        format!("{MAGIC} {} {component} {}", self.engine, Digest::of(code))
    }

    fn file(&self, component: &Digest) -> Option<RelPath> {
        RelPath::new(format!("{}-{}", component.hex(), &self.engine[..16])).ok()
    }
}

fn default_place() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("deployfile/components"))
}

/// Opens the directory when it is this user's own and nobody else may write in it.
fn open_own(path: &std::path::Path) -> Option<Dir> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).ok()?;
    // The way there may lead through links of the user's own; the directory itself is looked at after it is open.
    let real = path.canonicalize().ok()?;
    let dir = Dir::open_root(&HostPath::new(real.to_str()?).ok()?).ok()?;
    let stat = dir.stat_self().ok()?;
    (stat.uid == geteuid().as_raw() && stat.mode & OTHERS == 0).then_some(dir)
}

/// A hash that is the same in every process.
struct Sha(deployfile_model::digest::Hasher);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(&self) -> u64 {
        let digest = self.0.clone().finish();
        u64::from_le_bytes(std::array::from_fn(|i| digest.bytes()[i]))
    }
}
