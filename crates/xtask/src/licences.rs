//! `cargo xtask licences`: every dependency comes under a licence that deny.toml allows.
//!
//! Reads what `cargo metadata` says, of our workspace and of the guests' in plugins/. Not here: advisories, sources
//! and duplicate versions, which cargo-deny can look at.

use crate::workspace::{Package, Reach, Workspace};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The workspaces whose dependencies we ship or build with, beneath the root.
const MANIFESTS: &[&str] =
    &["Cargo.toml", "plugins/Cargo.toml", "plugins/bindgen/Cargo.toml", "fuzz/Cargo.toml"];

/// Prints each package whose licence is not allowed; an error where there is one.
pub(crate) fn run() -> Result<(), String> {
    let root = Workspace::here(Reach::Members)?.root;
    let allowed = Allowed::read(&root.join("deny.toml"))?;
    let mut seen = BTreeSet::new();
    let mut refused = BTreeSet::new();
    for manifest in MANIFESTS.iter().map(|m| root.join(m)).filter(|m| m.is_file()) {
        for package in Workspace::at(&manifest, Reach::All)?.packages {
            refused.extend(allowed.refuse(&package));
            seen.insert((package.name, package.version));
        }
    }
    for line in &refused {
        println!("{line}");
    }
    if refused.is_empty() {
        println!("licences: {} packages come under what deny.toml allows", seen.len());
        return Ok(());
    }
    Err(format!(
        "licences: {} packages do not; use another crate, or allow the licence in deny.toml",
        refused.len()
    ))
}

/// The list of deny.toml.
struct Allowed(Vec<Licensee>);

impl Allowed {
    fn read(path: &Path) -> Result<Self, String> {
        let text =
            fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Self::parse(&text).map_err(|why| format!("cannot use {}: {why}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Deny {
            licenses: Licenses,
        }
        #[derive(Deserialize)]
        struct Licenses {
            allow: Vec<String>,
        }
        let deny: Deny = toml::from_str(text).map_err(|error| error.to_string())?;
        let parse =
            |name: &String| Licensee::parse(name).map_err(|error| format!("`{name}`: {}", error.reason));
        deny.licenses.allow.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// What is wrong with the package's licence.
    fn refuse(&self, package: &Package) -> Option<String> {
        let Package { name, version, license, .. } = package;
        let Some(license) = license else {
            return Some(format!("{name} {version}: names no licence"));
        };
        // Old manifests write `MIT/Apache-2.0` for OR.
        match Expression::parse_mode(license, ParseMode::LAX) {
            Err(error) => {
                Some(format!("{name} {version}: `{license}` is no SPDX expression: {}", error.reason))
            }
            Ok(expression) => {
                let held =
                    expression.evaluate(|wanted| self.0.iter().any(|licensee| licensee.satisfies(wanted)));
                (!held).then(|| format!("{name} {version}: `{license}` is not allowed"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const DENY: &str = r#"[licenses]
allow = ["MIT", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"]"#;

    fn refused(license: Option<&str>) -> Option<String> {
        Allowed::parse(DENY).unwrap().refuse(&Package {
            name: "a".to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
            manifest_path: PathBuf::new(),
            dependencies: Vec::new(),
        })
    }

    #[test]
    fn one_side_of_or_is_enough_and_both_of_and_are_needed() {
        for held in ["MIT", "GPL-3.0-only OR MIT", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert_eq!(refused(Some(held)), None, "{held}");
        }
        for broken in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "Apache-2.0", "(GPL-2.0-only OR ISC) AND MIT"]
        {
            assert_eq!(refused(Some(broken)), Some(format!("a 1.0.0: `{broken}` is not allowed")));
        }
    }

    #[test]
    fn an_exception_is_part_of_the_name() {
        assert_eq!(refused(Some("Apache-2.0 WITH LLVM-exception")), None);
    }

    #[test]
    fn what_names_no_licence_or_nonsense_is_refused() {
        assert_eq!(refused(None).unwrap(), "a 1.0.0: names no licence");
        assert!(refused(Some("do what you want")).unwrap().contains("is no SPDX expression"));
    }

    #[test]
    fn a_list_with_a_slip_is_refused() {
        assert!(Allowed::parse("[licenses]\nallow = [\"MITT\"]").is_err());
        assert!(Allowed::parse("[licences]\nallow = []").is_err());
    }
}
