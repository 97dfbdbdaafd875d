//! What a component is, read from its bytes; nothing is compiled or run.

use super::SIZE_MAX;
use super::manifest::{Manifest, Request, SECTION};
use deployfile_model::Digest;
use deployfile_model::units::Bytes;
use std::collections::BTreeSet;
use wasmparser::{ComponentTypeRef, Encoding, Parser, Payload};

/// The package of our interfaces.
const PACKAGE: &str = "deployfile:hook/";
/// Interfaces of that package that this host has.
const INTERFACES: [&str; 9] =
    ["context", "exec", "files", "http", "log", "metrics", "secrets", "state", "types"];
/// The version of them.
const VERSION: (u64, u64) = (1, 0);
/// The packages of WASI p2 that this host links.
const WASI: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
/// What wasmtime begins its compiled code with: an ELF file.
const ELF: &[u8] = b"\x7fELF";

/// What is found in a component.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// Of its bytes.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// Interfaces that it imports, with their versions, sorted.
    pub imports: BTreeSet<String>,
    /// Names that it exports, sorted.
    pub exports: BTreeSet<String>,
    /// `hook`, `reversible-hook`, `check` or `policy`.
    pub world: Option<&'static str>,
    /// What it asks for; `None`: it has no manifest.
    pub requests: Option<Vec<Request>>,
    /// Its manifest.
    pub manifest: Option<Manifest>,
    /// Why it cannot be used as a hook, as a lowercase fragment; `None`: it can.
    pub unusable: Option<String>,
}

/// Reads a component.
pub fn inspect(bytes: &[u8]) -> Inspection {
    let mut found = Inspection {
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        imports: BTreeSet::new(),
        exports: BTreeSet::new(),
        world: None,
        requests: None,
        manifest: None,
        unusable: None,
    };
    found.unusable = look(bytes, &mut found).err();
    found
}

impl Inspection {
    /// Whether it imports this interface of ours, whatever the version.
    pub fn imports_interface(&self, name: &str) -> bool {
        let ours = format!("{PACKAGE}{name}@");
        self.imports.iter().any(|import| import.starts_with(&ours))
    }
}

fn look(bytes: &[u8], found: &mut Inspection) -> Result<(), String> {
    if bytes.len() as u64 > SIZE_MAX {
        let (size, most) = (Bytes(bytes.len() as u64), Bytes(SIZE_MAX));
        return Err(format!("it is too large: {size}, the most is {most}"));
    }
    if bytes.starts_with(ELF) {
        return Err(
            "it is compiled code, not a component: give the .wasm file that it was made of".to_owned()
        );
    }
    if !bytes.starts_with(b"\0asm") {
        return Err("it is not a WebAssembly file".to_owned());
    }
    let mut depth = 0u32;
    let mut sections = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| format!("it is not a valid component: {error}"))?;
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err("it is a core module, not a component: build it for wasm32-wasip2, or make it a component \
                            with `wasm-tools component new`"
                    .to_owned());
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(reader) if depth == 0 => {
                for import in reader {
                    let import = import.map_err(|error| format!("it is not a valid component: {error}"))?;
                    // A world's own types are imported too; they are names for what an interface has.
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        found.imports.insert(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(reader) if depth == 0 => {
                for export in reader {
                    let export = export.map_err(|error| format!("it is not a valid component: {error}"))?;
                    found.exports.insert(export.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if section.name() == SECTION => sections.push(section.data()),
            _ => {}
        }
    }
    judge(found, &sections)
}

fn judge(found: &mut Inspection, sections: &[&[u8]]) -> Result<(), String> {
    let has = |name: &str| found.exports.contains(name);
    found.world = match (has("run"), has("undo"), has("check"), has("evaluate")) {
        (true, true, ..) => Some("reversible-hook"),
        (true, false, ..) => Some("hook"),
        (false, _, true, _) => Some("check"),
        (false, _, false, true) => Some("policy"),
        _ => None,
    };
    match sections {
        [] => {}
        [section] => {
            let manifest = Manifest::parse(section)?;
            found.requests = Some(manifest.requests.clone());
            found.manifest = Some(manifest);
        }
        _ => return Err(format!("it has {} manifests, where one is enough", sections.len())),
    }
    if let Some(why) = found.imports.iter().find_map(|import| foreign(import)) {
        return Err(why);
    }
    match found.world {
        Some("hook" | "reversible-hook") => Ok(()),
        Some(world) => {
            Err(format!("it is of the world `{world}`: a `hook` line needs one that exports `run`"))
        }
        None => Err("it exports none of `run`, `check` and `evaluate`: it is no hook".to_owned()),
    }
}

/// Why this host cannot provide an import.
fn foreign(import: &str) -> Option<String> {
    if WASI.iter().any(|package| import.starts_with(package)) && import.contains("@0.2.") {
        return None;
    }
    let lacks = || Some(format!("it imports `{}`, which this host does not have", import.escape_debug()));
    let Some((interface, version)) = import.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@'))
    else {
        return lacks();
    };
    let mut numbers = version.split('.').map(|number| number.parse::<u64>().ok());
    let (major, minor) = (numbers.next().flatten(), numbers.next().flatten());
    if major != Some(VERSION.0) || minor.is_none_or(|minor| minor > VERSION.1) {
        let (major, minor) = VERSION;
        return Some(format!(
            "it imports `{import}`: this deployfile has version {major}.{minor} of the hook contract; update deployfile"
        ));
    }
    if INTERFACES.contains(&interface) { None } else { lacks() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_judged_by_name_and_version() {
        for known in ["deployfile:hook/log@1.0.0", "deployfile:hook/types@1.0.9", "wasi:io/streams@0.2.6"] {
            assert_eq!(foreign(known), None, "{known}");
        }
        for (import, says) in [
            ("deployfile:hook/kernel@1.0.0", "does not have"),
            ("deployfile:hook/log@1.1.0", "update deployfile"),
            ("deployfile:hook/log@2.0.0", "update deployfile"),
            ("deployfile:hook/log", "does not have"),
            ("wasi:http/types@0.2.6", "does not have"),
            ("wasi:io/streams@0.3.0", "does not have"),
            ("env", "does not have"),
        ] {
            assert!(foreign(import).is_some_and(|why| why.contains(says)), "{import}");
        }
    }

    #[test]
    fn what_is_no_component_is_told_apart() {
        let why = |bytes: &[u8]| inspect(bytes).unusable.unwrap();
        assert!(why(b"#!/bin/sh").contains("not a WebAssembly file"));
        assert!(why(b"").contains("not a WebAssembly file"));
        assert!(why(b"\x7fELF....").contains("compiled code"));
        assert!(why(b"\0asm\x01\0\0\0").contains("core module"));
        assert!(why(b"\0asm\x0d\0\x01\0").contains("no hook"));
        assert!(why(b"\0asm\x0d\0\x01\0\xff\xff").contains("not a valid component"));
        let mut large = b"\0asm\x0d\0\x01\0".to_vec();
        large.resize(SIZE_MAX as usize + 1, 0);
        assert!(why(&large).contains("too large: 32.0 MiB, the most is 32 MiB"));
    }
}
