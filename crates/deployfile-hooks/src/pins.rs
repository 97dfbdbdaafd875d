//! `deployfile.lock`: which component a plugin is, byte for byte, and what it was known to want when a person looked.
//!
//! Lines for people and for `git diff`: a block for each plugin, sorted by name.
//!
//! ```text
//! deployfile-lock 1
//!
//! plugin release-guard
//!   source "plugins/release-guard.wasm"
//!   digest sha256:…
//!   size 95488
//!   world hook
//!   import deployfile:hook/files@1.0.0
//!   request read "release:"
//! ```
//!
//! What is deliberately not here: fetching, and asking a person about what changed.

use crate::broker::quoted;
use crate::component::inspect::Inspection;
use deployfile_model::{Digest, Name};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The file's name; it lies beside the deployfile.
pub const FILE_NAME: &str = "deployfile.lock";
/// Its first line.
const HEADER: &str = "deployfile-lock 1";
/// Bytes of the file.
const SIZE_MAX: usize = 1 << 20;

/// All pins of a deployfile.
pub type Pins = BTreeMap<Name, Pin>;

/// One plugin's component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Where it came from, as the deployfile says.
    pub source: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Its world.
    pub world: String,
    /// The interfaces that it imports.
    pub imports: BTreeSet<String>,
    /// What it asks for: `read "release:"`.
    pub requests: BTreeSet<String>,
}

/// What is wrong with a lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinsError {
    /// The line, from 1.
    pub line: usize,
    /// What, as a lowercase fragment.
    pub message: String,
}

impl fmt::Display for PinsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FILE_NAME}:{}: {}", self.line, self.message)
    }
}
impl std::error::Error for PinsError {}

impl Pin {
    /// Pins a component as it was found. `None`: it cannot be used as a hook.
    pub fn of(source: &str, inspection: &Inspection) -> Option<Self> {
        let requests = inspection.requests.iter().flatten().map(|request| match &request.scope {
            Some(scope) => format!("{} {}", request.capability, quoted(scope)),
            None => request.capability.to_string(),
        });
        Some(Self {
            source: source.to_owned(),
            digest: inspection.digest,
            size: inspection.size,
            world: inspection.world.filter(|_| inspection.unusable.is_none())?.to_owned(),
            imports: inspection.imports.clone(),
            requests: requests.collect(),
        })
    }

    /// What another component of this plugin can or wants to do that this one did not, and the reverse: `+ import …`,
    /// `- request …`.
    pub fn capability_diff(&self, newer: &Pin) -> Vec<String> {
        let mut lines = Vec::new();
        let mut compare = |what: &str, old: &BTreeSet<String>, new: &BTreeSet<String>| {
            lines.extend(new.difference(old).map(|name| format!("+ {what} {name}")));
            lines.extend(old.difference(new).map(|name| format!("- {what} {name}")));
        };
        compare("import", &self.imports, &newer.imports);
        compare("request", &self.requests, &newer.requests);
        lines
    }
}

/// The text of a lock file. The same pins make the same bytes.
pub fn write(pins: &Pins) -> String {
    let mut text = format!("{HEADER}\n");
    for (name, pin) in pins {
        text.push_str(&format!(
            "\nplugin {name}\n  source {}\n  digest {}\n",
            quoted(&pin.source),
            pin.digest
        ));
        text.push_str(&format!("  size {}\n  world {}\n", pin.size, pin.world));
        pin.imports.iter().for_each(|import| text.push_str(&format!("  import {import}\n")));
        pin.requests.iter().for_each(|request| text.push_str(&format!("  request {request}\n")));
    }
    text
}

/// Reads a lock file; the first mistake ends it, for the file is not written by hand.
pub fn read(text: &str) -> Result<Pins, PinsError> {
    let wrong = |line: usize, message: String| PinsError { line, message };
    if text.len() > SIZE_MAX {
        return Err(wrong(1, "the file is longer than 1 MiB".to_owned()));
    }
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    match lines.next() {
        Some((_, HEADER)) => {}
        Some((_, line)) if line.starts_with("deployfile-lock ") => {
            return Err(wrong(1, format!("`{}` is a newer format: update deployfile", line.escape_debug())));
        }
        _ => return Err(wrong(1, format!("the first line must be `{HEADER}`"))),
    }
    let mut pins = Pins::new();
    let mut open: Option<Draft> = None;
    for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        match (line.strip_prefix("plugin "), line.strip_prefix("  ")) {
            (Some(name), _) => {
                close(&mut pins, open.take())?;
                let name = Name::new(name).map_err(|error| wrong(at, error.to_string()))?;
                if pins.contains_key(&name) {
                    return Err(wrong(at, format!("plugin `{name}` stands here twice")));
                }
                open = Some(Draft::new(at, name));
            }
            (None, Some(field)) => match &mut open {
                Some(draft) => draft.take(field).map_err(|message| wrong(at, message))?,
                None => return Err(wrong(at, "expected `plugin NAME`".to_owned())),
            },
            (None, None) => {
                return Err(wrong(
                    at,
                    format!("expected `plugin NAME` or a field, found `{}`", line.escape_debug()),
                ));
            }
        }
    }
    close(&mut pins, open)?;
    Ok(pins)
}

/// A block that is being read.
struct Draft {
    line: usize,
    name: Name,
    source: Option<String>,
    digest: Option<Digest>,
    size: Option<u64>,
    world: Option<String>,
    imports: BTreeSet<String>,
    requests: BTreeSet<String>,
}

impl Draft {
    fn new(line: usize, name: Name) -> Self {
        let (imports, requests) = (BTreeSet::new(), BTreeSet::new());
        Self { line, name, source: None, digest: None, size: None, world: None, imports, requests }
    }

    fn take(&mut self, field: &str) -> Result<(), String> {
        let (key, value) =
            field.split_once(' ').ok_or_else(|| format!("`{}` has no value", field.escape_debug()))?;
        let shown = value.escape_debug();
        let once = |is_there: bool| match is_there {
            true => Err(format!("`{key}` stands here twice")),
            false => Ok(()),
        };
        match key {
            "source" => {
                once(self.source.is_some())?;
                self.source = Some(unquoted(value).ok_or_else(|| format!("`{shown}` is not a quoted text"))?);
            }
            "digest" => {
                once(self.digest.is_some())?;
                self.digest = Some(Digest::parse(value).ok_or_else(|| format!("`{shown}` is not a digest"))?);
            }
            "size" => {
                once(self.size.is_some())?;
                self.size = Some(value.parse().map_err(|_| format!("`{shown}` is not a number of bytes"))?);
            }
            "world" => {
                once(self.world.is_some())?;
                self.world = Some(value.to_owned());
            }
            "import" => drop(self.imports.insert(value.to_owned())),
            "request" => drop(self.requests.insert(value.to_owned())),
            _ => return Err(format!("unknown field `{}`", key.escape_debug())),
        }
        Ok(())
    }
}

fn close(pins: &mut Pins, draft: Option<Draft>) -> Result<(), PinsError> {
    let Some(draft) = draft else { return Ok(()) };
    let lacks = |field: &str| PinsError {
        line: draft.line,
        message: format!("plugin `{}` lacks its {field}: run `deployfile plugin lock`", draft.name),
    };
    let pin = Pin {
        source: draft.source.clone().ok_or_else(|| lacks("source"))?,
        digest: draft.digest.ok_or_else(|| lacks("digest"))?,
        size: draft.size.ok_or_else(|| lacks("size"))?,
        world: draft.world.clone().ok_or_else(|| lacks("world"))?,
        imports: draft.imports.clone(),
        requests: draft.requests.clone(),
    };
    pins.insert(draft.name, pin);
    Ok(())
}

/// The reverse of [`quoted`], for what it writes.
fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut plain = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => match chars.next()? {
                c @ ('"' | '\\') => plain.push(c),
                'u' => {
                    let code: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    plain.push(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32)?);
                }
                _ => return None,
            },
            c => plain.push(c),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins() -> Pins {
        let pin = Pin {
            source: "plugins/a \"b\"\\\n.wasm".to_owned(),
            digest: Digest::of(b"x"),
            size: 7,
            world: "hook".to_owned(),
            imports: BTreeSet::from(["deployfile:hook/files@1.0.0".to_owned()]),
            requests: BTreeSet::from(["read \"release:\"".to_owned()]),
        };
        Pins::from([(Name::new("b").unwrap(), pin.clone()), (Name::new("a").unwrap(), pin)])
    }

    #[test]
    fn what_is_written_is_read() {
        let text = write(&pins());
        assert_eq!(read(&text), Ok(pins()));
        assert_eq!(write(&read(&text).unwrap()), text);
        assert_eq!(read(HEADER), Ok(Pins::new()));
    }

    #[test]
    fn mistakes_have_their_line() {
        let text = write(&pins());
        for (broken, line, says) in [
            (String::new(), 1, "first line"),
            ("deployfile-lock 2\n".to_owned(), 1, "newer format"),
            (text.replace("plugin b", "plugin a"), 11, "twice"),
            (text.replace("plugin b", "plugin ../b"), 11, "not a name"),
            (text.replace("  size 7", "  size seven"), 6, "not a number"),
            (text.replace("sha256:", "sha1:"), 5, "not a digest"),
            (text.replacen("  world hook\n", "", 1), 3, "lacks its world"),
            (text.replace("  world hook", "  planet hook"), 7, "unknown field"),
            (text.replacen("  world hook", "  world hook\n  world hook", 1), 8, "twice"),
            (text.replace("plugin a", "  size 1"), 3, "expected `plugin NAME`"),
            (text.replace("plugin a", "plugins"), 3, "expected `plugin NAME`"),
            (text.replacen("\\\"b", "\"b", 1), 4, "not a quoted text"),
        ] {
            let error = read(&broken).unwrap_err();
            assert!(error.line == line && error.message.contains(says), "{error} for\n{broken}");
        }
    }

    #[test]
    fn an_update_shows_what_it_can_do_more() {
        let old = pins().into_values().next().unwrap();
        let mut new = old.clone();
        new.imports = BTreeSet::from(["deployfile:hook/exec@1.0.0".to_owned()]);
        assert_eq!(
            old.capability_diff(&new),
            ["+ import deployfile:hook/exec@1.0.0", "- import deployfile:hook/files@1.0.0"]
        );
    }
}
