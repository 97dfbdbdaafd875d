//! Who depends on whom: the table against the manifests, and the table against itself.

use super::Violation;
use super::table::{ANYONE, Crate, Ring};
use crate::workspace::{Dependency, Package, Workspace};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every breach in `table` and in the manifests of `workspace`.
pub(super) fn check(table: &[Crate], workspace: &Workspace) -> Vec<Violation> {
    let mut found: Vec<_> = table_against_itself(table);
    found.extend(rows_without_crate(table, workspace));
    for package in &workspace.packages {
        let manifest = workspace.shown(&package.manifest_path);
        match table.iter().find(|row| row.name == package.name) {
            Some(row) => found.extend(manifest_against_row(table, row, package, manifest)),
            None => found.push(Violation {
                file: manifest.to_owned(),
                line: 0,
                what: format!("`{}` has no row in the crate table", package.name),
                remedy: "give it one: its ring, and what it may depend on".to_owned(),
            }),
        }
    }
    found
}

fn manifest_against_row(table: &[Crate], row: &Crate, package: &Package, manifest: &Path) -> Vec<Violation> {
    let acting: BTreeSet<&str> =
        package.dependencies.iter().filter(|d| !d.for_tests_only()).map(name_of).collect();
    acting
        .into_iter()
        .filter_map(|name| refused(table, row, name))
        .map(|(what, remedy)| Violation { file: manifest.to_owned(), line: 0, what, remedy })
        .collect()
}

fn name_of(dependency: &Dependency) -> &str {
    &dependency.name
}

/// What is wrong with `row` depending on `name`, and the way out; `None` when the row says so.
fn refused(table: &[Crate], row: &Crate, name: &str) -> Option<(String, String)> {
    let what = format!("`{}` depends on `{name}`", row.name);
    match table.iter().find(|other| other.name == name) {
        Some(_) if row.ours.contains(&name) => None,
        Some(other) if other.ring == Ring::Tool => {
            Some((what, "it is a tool for tests: move it to [dev-dependencies]".to_owned()))
        }
        Some(_) => Some((
            what,
            format!(
                "its row allows {}: take another way, or change the row and docs/ARCHITECTURE.md",
                list(row.ours)
            ),
        )),
        None if ANYONE.contains(&name) || row.theirs.iter().any(|pattern| covers(pattern, name)) => None,
        None => {
            let owners: Vec<_> = table
                .iter()
                .filter(|other| other.theirs.iter().any(|pattern| covers(pattern, name)))
                .map(|other| other.name)
                .collect();
            let remedy = if owners.is_empty() {
                "no row names it: add it to this crate's row, if it must come in here".to_owned()
            } else {
                format!("only {} may name it: ask there for what is needed", list(&owners))
            };
            Some((what, remedy))
        }
    }
}

fn covers(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

fn list(names: &[&str]) -> String {
    match names {
        [] => "none of our crates".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}

fn rows_without_crate(table: &[Crate], workspace: &Workspace) -> Vec<Violation> {
    table
        .iter()
        .filter(|row| !workspace.packages.iter().any(|package| package.name == row.name))
        .map(|row| of_table(format!("`{}` is not in the workspace", row.name), "delete its row"))
        .collect()
}

/// A row depends on rows above it only, and a pure one on pure ones only.
fn table_against_itself(table: &[Crate]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (place, row) in table.iter().enumerate() {
        for name in row.ours {
            let Some(other) = table[..place].iter().find(|above| above.name == *name) else {
                found.push(of_table(
                    format!("`{}` depends on `{name}`, which no row above it names", row.name),
                    "order the rows from the nouns outwards; where that cannot be done, the crates go in a circle",
                ));
                continue;
            };
            if row.ring == Ring::Pure && other.ring != Ring::Pure {
                found.push(of_table(
                    format!("pure `{}` depends on `{name}`, which acts", row.name),
                    "give it the fact as a value",
                ));
            }
        }
    }
    found
}

fn of_table(what: String, remedy: &str) -> Violation {
    Violation {
        file: PathBuf::from("crates/xtask/src/layers/table.rs"),
        line: 0,
        what,
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const TABLE: &[Crate] = &[
        Crate { name: "model", ring: Ring::Pure, ours: &[], theirs: &[] },
        Crate { name: "config", ring: Ring::Pure, ours: &["model"], theirs: &["kdl", "kdl-part*"] },
        Crate { name: "disk", ring: Ring::Edge, ours: &["model"], theirs: &["rustix"] },
        Crate { name: "testkit", ring: Ring::Tool, ours: &["model"], theirs: &[] },
    ];

    /// A dependency: name and kind.
    type Named<'a> = (&'a str, Option<&'a str>);

    /// A workspace of these crates and their dependencies.
    fn workspace(crates: &[(&str, &[Named<'_>])]) -> Workspace {
        let packages: Vec<Value> = crates
            .iter()
            .map(|(name, dependencies)| {
                json!({
                    "name": name,
                    "version": "0.1.0",
                    "license": "MIT",
                    "manifest_path": format!("/w/crates/{name}/Cargo.toml"),
                    "dependencies": dependencies
                        .iter()
                        .map(|(name, kind)| json!({ "name": name, "kind": kind }))
                        .collect::<Vec<_>>(),
                })
            })
            .collect();
        serde_json::from_value(json!({ "workspace_root": "/w", "packages": packages })).unwrap()
    }

    fn check_with(name: &str, dependencies: &[Named<'_>]) -> Vec<String> {
        let crates: Vec<_> =
            TABLE.iter().map(|row| (row.name, if row.name == name { dependencies } else { &[] })).collect();
        check(TABLE, &workspace(&crates)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_rows_say_passes() {
        let said = [("model", None), ("kdl", None), ("kdl-parts", None), ("serde", Some("build"))];
        assert_eq!(check_with("config", &said), [""; 0]);
    }

    #[test]
    fn tests_may_depend_on_anything() {
        let dev = [("disk", Some("dev")), ("rustix", Some("dev")), ("testkit", Some("dev"))];
        assert_eq!(check_with("config", &dev), [""; 0]);
    }

    #[test]
    fn an_edge_that_the_row_does_not_name_is_caught_with_its_file() {
        assert_eq!(
            check_with("config", &[("disk", None)]),
            [
                "crates/config/Cargo.toml: `config` depends on `disk`\n  its row allows `model`: take another way, or \
              change the row and docs/ARCHITECTURE.md"
            ]
        );
    }

    #[test]
    fn build_dependencies_act_too() {
        assert_eq!(check_with("config", &[("disk", Some("build"))]).len(), 1);
    }

    #[test]
    fn a_crate_that_belongs_to_another_row_is_caught() {
        let found = check_with("disk", &[("kdl", None), ("left-pad", None)]);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("only `config` may name it"), "{}", found[0]);
        assert!(found[1].contains("no row names it"), "{}", found[1]);
    }

    #[test]
    fn the_testkit_is_for_tests_only() {
        let found = check_with("disk", &[("testkit", None)]);
        assert!(found[0].contains("[dev-dependencies]"), "{}", found[0]);
    }

    #[test]
    fn crates_and_rows_belong_together() {
        let three = [("model", &[][..]), ("config", &[]), ("disk", &[]), ("stranger", &[])];
        let found: Vec<_> = check(TABLE, &workspace(&three)).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("`testkit` is not in the workspace"), "{}", found[0]);
        assert!(found[1].contains("`stranger` has no row"), "{}", found[1]);
    }

    #[test]
    fn a_table_that_goes_in_a_circle_or_lets_a_pure_crate_act_is_caught() {
        let table = [
            Crate { name: "disk", ring: Ring::Edge, ours: &["model"], theirs: &[] },
            Crate { name: "model", ring: Ring::Pure, ours: &["disk"], theirs: &[] },
        ];
        let found: Vec<_> = table_against_itself(&table).iter().map(|v| v.what.clone()).collect();
        assert_eq!(
            found,
            [
                "`disk` depends on `model`, which no row above it names",
                "pure `model` depends on `disk`, which acts"
            ]
        );
    }

    #[test]
    fn our_own_table_is_sound() {
        assert_eq!(table_against_itself(super::super::table::CRATES), []);
    }
}
