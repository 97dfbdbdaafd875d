//! The laws of merging, over generated deployfiles: who wins is what a second, much simpler reading of the rules says;
//! the order of imports and how text is spread over files change no value; saying nothing changes nothing; a conflict is
//! one whichever way round it is written; and a setting that is not named stays as it is.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod memory;

use deployfile_config::Loaded;
use deployfile_model::{EnvValue, Name};
use memory::Memory;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Where a definition stands. The host at hand is `h1` of environment `live`, with the role `web`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Top,
    Role,
    Environment,
    RoleInEnvironment,
    Range,
    Host,
    WhenEnvironment,
    WhenRole,
    WhenHost,
    ProfileOfTop,
    ProfileOfEnvironment,
    ProfileOfProfile,
    ProfileOfHost,
    RoleInProfile,
    OtherEnvironment,
    OtherRole,
    OtherProfile,
}

use Place::*;

const PLACES: [Place; 17] = [
    Top,
    Role,
    Environment,
    RoleInEnvironment,
    Range,
    Host,
    WhenEnvironment,
    WhenRole,
    WhenHost,
    ProfileOfTop,
    ProfileOfEnvironment,
    ProfileOfProfile,
    ProfileOfHost,
    RoleInProfile,
    OtherEnvironment,
    OtherRole,
    OtherProfile,
];

impl Place {
    /// The text of a definition there.
    fn text(self, inner: &str) -> String {
        match self {
            Top => inner.to_owned(),
            Role => format!("role web {{ {inner} }}"),
            Environment => format!("environment live {{ {inner} }}"),
            RoleInEnvironment => format!("environment live {{ role web {{ {inner} }}; }}"),
            Range => format!("environment live {{ host \"h[1:2]\" {{ {inner} }}; }}"),
            Host => format!("environment live {{ host h1 {{ {inner} }}; }}"),
            WhenEnvironment => format!("when environment=\"li*\" {{ {inner} }}"),
            WhenRole => format!("when role=\"w?b\" {{ {inner} }}"),
            WhenHost => format!("environment live {{ when host=\"h*\" {{ {inner} }}; }}"),
            ProfileOfTop => format!("profile of-top {{ {inner} }}"),
            ProfileOfEnvironment => format!("profile of-env {{ {inner} }}"),
            ProfileOfProfile => format!("profile deep {{ {inner} }}"),
            ProfileOfHost => format!("profile of-host {{ {inner} }}"),
            RoleInProfile => format!("profile of-env {{ role web {{ {inner} }}; }}"),
            OtherEnvironment => format!("environment other {{ {inner} }}"),
            OtherRole => format!("role db {{ {inner} }}"),
            OtherProfile => format!("profile idle {{ {inner} }}"),
        }
    }

    /// Rule 5 as a table: conditions, exactness, nearness. `None`: it does not apply to the host at hand.
    fn strength(self) -> Option<(u8, bool, i8)> {
        Some(match self {
            Top => (0, true, 0),
            Role => (2, true, 0),
            Environment => (1, true, 0),
            RoleInEnvironment => (3, true, 0),
            Range => (5, false, 0),
            Host => (5, true, 0),
            WhenEnvironment => (1, false, 0),
            WhenRole => (2, false, 0),
            WhenHost => (5, false, 0),
            ProfileOfTop => (0, true, -1),
            ProfileOfEnvironment => (1, true, -1),
            ProfileOfProfile => (1, true, -2),
            ProfileOfHost => (5, true, -1),
            RoleInProfile => (3, true, -1),
            OtherEnvironment | OtherRole | OtherProfile => return None,
        })
    }
}

/// One line `NAME VALUE` of an `env` block.
#[derive(Debug, Clone)]
struct Definition {
    place: Place,
    marker: &'static str,
    name: &'static str,
    value: u8,
    file: usize,
}

const NAMES: [&str; 3] = ["A", "B", "C"];
const FILES: usize = 4;

fn definitions() -> impl Strategy<Value = Vec<Definition>> {
    let one = (
        proptest::sample::select(&PLACES[..]),
        proptest::sample::select(&["", "", "", "(default)", "(force)"][..]),
        proptest::sample::select(&NAMES[..]),
        0..3_u8,
        0..FILES,
    );
    let one =
        one.prop_map(|(place, marker, name, value, file)| Definition { place, marker, name, value, file });
    proptest::collection::vec(one, 0..14).prop_map(|mut all| {
        // The same line twice in one block of one file is a paste mistake, which is another law.
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|d| seen.insert((d.place, d.name, d.file)));
        all
    })
}

/// Files with these definitions, imported in the order of `order`.
fn files(all: &[Definition], order: &[usize]) -> Memory {
    let imports: String = order.iter().map(|n| format!("import \"f{n}.kdl\"\n")).collect();
    let main = format!(
        "deployfile 1\n{imports}app shop {{ root \"/srv/shop\"; }}\nsource dir \".\"\nuse of-top\n\
         environment live {{ use of-env; host h1 {{ roles web; use of-host; }}; host h2; }}\n\
         environment other {{ host o; }}\nprofile of-env {{ use deep; }}\n\
         profile of-top {{ }}\nprofile of-host {{ }}\nprofile deep {{ }}\n"
    );
    let mut memory = Memory::of(&[("deployfile.kdl", &main)]);
    for n in 0..FILES {
        // One block for each place, as people write it.
        let mut blocks: BTreeMap<Place, String> = BTreeMap::new();
        for d in all.iter().filter(|d| d.file == n) {
            *blocks.entry(d.place).or_default() += &format!("{}{} v{}; ", d.marker, d.name, d.value);
        }
        // Blocks of one scope may not stand twice in one file, so each stands in a file of its own.
        let mut part = String::new();
        for (k, (place, lines)) in blocks.into_iter().enumerate() {
            let path = format!("f{n}-{k}.kdl");
            part += &format!("import \"{path}\"\n");
            memory.0.insert(path, place.text(&format!("env {{ {lines}}};")).into_bytes());
        }
        memory.0.insert(format!("f{n}.kdl"), part.into_bytes());
    }
    memory
}

/// The values on `h1`, or `None` when there is a conflict.
fn values(files: &Memory) -> Option<BTreeMap<String, String>> {
    let Loaded { project, diagnostics, .. } = files.load();
    let project = project.unwrap_or_else(|| panic!("{}", diagnostics.render(false)));
    match project.spec(&Name::new("live").unwrap(), &BTreeMap::new()) {
        Ok((spec, _)) => {
            let host = spec.host(&Name::new("h1").unwrap()).unwrap();
            let text = |value: &EnvValue| match value {
                EnvValue::Text(text) => text.raw.clone(),
                EnvValue::Secret(_) => unreachable!("none is written"),
            };
            Some(host.env.iter().map(|(name, value)| (name.clone(), text(value))).collect())
        }
        Err(why) => {
            assert!(why.errors().all(|d| d.code == "config::conflict"), "{}", why.render(false));
            None
        }
    }
}

/// What the rules say, worked out one name at a time from nothing but the list of definitions.
fn by_the_rules(all: &[Definition], on_h1: impl Fn(Place) -> bool) -> Option<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    for name in NAMES {
        let marker = |d: &Definition| ["(default)", "", "(force)"].iter().position(|m| *m == d.marker);
        let mut known: Vec<_> = all
            .iter()
            .filter(|d| d.name == name && on_h1(d.place))
            .filter_map(|d| Some(((marker(d)?, d.place.strength()?), d.value)))
            .collect();
        known.sort_unstable();
        let Some((strongest, value)) = known.last().copied() else { continue };
        if known.iter().any(|(strength, other)| *strength == strongest && *other != value) {
            return None;
        }
        out.insert(name.to_owned(), format!("v{value}"));
    }
    Some(out)
}

/// `h2` carries no role and stands in the range and the globs of hosts only.
fn of_h2(place: Place) -> bool {
    !matches!(place, Role | RoleInEnvironment | Host | WhenRole | ProfileOfHost | RoleInProfile)
}

/// What is said of an environment must hold of all of its hosts, so a tie on one of them is one of the whole.
fn expected(all: &[Definition]) -> Option<BTreeMap<String, String>> {
    by_the_rules(all, of_h2)?;
    by_the_rules(all, |_| true)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_wins_is_what_the_rules_say(all in definitions()) {
        prop_assert_eq!(values(&files(&all, &[0, 1, 2, 3])), expected(&all));
    }

    #[test]
    fn the_order_of_imports_decides_nothing(all in definitions(), order in Just(vec![0, 1, 2, 3]).prop_shuffle()) {
        prop_assert_eq!(values(&files(&all, &order)), values(&files(&all, &[0, 1, 2, 3])));
    }

    #[test]
    fn how_text_is_spread_over_files_decides_nothing(all in definitions(), other in proptest::collection::vec(0..FILES, 14)) {
        let mut moved = all.clone();
        for (d, file) in moved.iter_mut().zip(other) {
            d.file = file;
        }
        let mut seen = std::collections::BTreeSet::new();
        prop_assume!(moved.iter().all(|d| seen.insert((d.place, d.name, d.file))));
        prop_assert_eq!(values(&files(&all, &[0, 1, 2, 3])), values(&files(&moved, &[0, 1, 2, 3])));
    }

    #[test]
    fn what_is_not_named_is_not_changed(all in definitions(), more in definitions()) {
        let without_c: Vec<_> = all.into_iter().filter(|d| d.name != "C").collect();
        let only_c = more.into_iter().filter(|d| d.name == "C");
        let before = values(&files(&without_c, &[0, 1, 2, 3]));
        let both: Vec<_> = without_c.iter().cloned().chain(only_c).collect();
        if let (Some(before), Some(mut after)) = (before, values(&files(&both, &[0, 1, 2, 3]))) {
            after.remove("C");
            prop_assert_eq!(before, after);
        }
    }

    #[test]
    fn a_conflict_is_one_whichever_way_round(place in proptest::sample::select(&PLACES[..]), marker in proptest::sample::select(&["", "(default)", "(force)"][..])) {
        let one = |value, file| Definition { place, marker, name: "A", value, file };
        let (first, second) = (values(&files(&[one(0, 0), one(1, 1)], &[0, 1, 2, 3])), values(&files(&[one(1, 0), one(0, 1)], &[0, 1, 2, 3])));
        prop_assert_eq!(&first, &second);
        prop_assert_eq!(first.is_none(), place.strength().is_some(), "{:?}", place);
        let same = values(&files(&[one(1, 0), one(1, 1)], &[0, 1, 2, 3]));
        prop_assert!(same.is_some(), "equal values are no conflict");
    }

    #[test]
    fn saying_nothing_changes_nothing(all in definitions(), empty in proptest::sample::subsequence(&PLACES[..], 0..17)) {
        let plain = files(&all, &[0, 1, 2, 3]);
        let mut more = files(&all, &[0, 1, 2, 3]);
        let mut imports = more.0.remove("f3.kdl").unwrap();
        for (n, place) in empty.into_iter().enumerate() {
            let path = format!("empty{n}.kdl");
            imports.extend(format!("import \"{path}\"\n").bytes());
            more.0.insert(path, place.text("env { };").into_bytes());
        }
        more.0.insert("f3.kdl".to_owned(), imports);
        prop_assert_eq!(values(&plain), values(&more));
    }
}

/// A reading of the rules in which a role and an environment count the same must be found out.
#[test]
fn a_wrong_table_would_be_found() {
    let one = |place, value| Definition { place, marker: "", name: "A", value, file: usize::from(value) };
    let all = [one(Role, 0), one(Environment, 1)];
    assert_eq!(values(&files(&all, &[0, 1, 2, 3])).unwrap()["A"], "v0");
    let wrong = |d: &Definition| d.place.strength().map(|(conditions, ..)| conditions.min(1));
    assert_eq!(wrong(&all[0]), wrong(&all[1]), "by which this would be a conflict");
}
