//! The guard's settings, as its `config` block gives them.

use deployfile_hook::{Error, Result};
use serde::Deserialize;

/// The `config` block.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Largest sum of all files, `"500MiB"`.
    pub max_size: Option<String>,
    /// Largest number of files.
    pub max_files: Option<u64>,
    /// Largest size of one file.
    pub max_file_size: Option<String>,
    /// What must not be there; `None`: [`FORBIDDEN`].
    pub forbid: Option<Names>,
    /// What `forbid` does not concern.
    pub except: Names,
    /// Paths that must be there.
    pub require: Names,
}

/// Files that hold secrets by convention.
const FORBIDDEN: [&str; 5] = [".env", "*.pem", "*.key", "id_rsa", "id_ed25519"];

/// One name or several: KDL's `forbid "a"` becomes a string, `forbid "a" "b"` a list.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// Nothing.
    #[default]
    None,
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Names {
    /// Each name, in the order written.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (one, several) = match self {
            Names::None => (None, [].as_slice()),
            Names::One(name) => (Some(name.as_str()), [].as_slice()),
            Names::Several(names) => (None, names.as_slice()),
        };
        one.into_iter().chain(several.iter().map(String::as_str))
    }
}

/// The limits in bytes.
pub struct Limits {
    /// Of all files.
    pub size: Option<u64>,
    /// Of one file.
    pub file_size: Option<u64>,
}

impl Settings {
    /// Reads the sizes.
    pub fn limits(&self) -> Result<Limits> {
        Ok(Limits {
            size: size("max-size", self.max_size.as_deref())?,
            file_size: size("max-file-size", self.max_file_size.as_deref())?,
        })
    }

    /// What must not be there.
    pub fn forbidden(&self) -> Vec<&str> {
        match &self.forbid {
            Some(names) => names.iter().collect(),
            None => FORBIDDEN.to_vec(),
        }
    }
}

fn size(setting: &str, text: Option<&str>) -> Result<Option<u64>> {
    const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];
    let Some(text) = text else { return Ok(None) };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let bytes = number.parse::<u64>().ok().zip(factor).and_then(|(n, factor)| n.checked_mul(factor));
    match bytes {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(Error::config(format!("{setting} `{text}` is not a size"))
            .hint("write a whole number with B, KiB, MiB or GiB, such as \"500MiB\"")),
    }
}
