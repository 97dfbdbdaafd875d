//! The one table is complete, and what it says is so.

mod memory;

use deployfile_config::{BlockKind, NodeSpec, Several, TOP, Type, schema};
use deployfile_model::units::{Bytes, Millis, parse_mode};
use memory::{Memory, said, with};

fn all() -> impl Iterator<Item = &'static NodeSpec> {
    schema().nodes()
}

#[test]
fn every_setting_has_documentation_default_and_example() {
    for node in all() {
        assert!(node.doc.ends_with('.') && node.doc.len() > 10, "{}: doc {:?}", node.name, node.doc);
        assert!(!node.default.is_empty(), "{}: default", node.name);
        assert!(node.example.starts_with(node.name), "{}: example {:?}", node.name, node.example);
        assert!(!node.parents.is_empty(), "{}: parents", node.name);
        for prop in node.props {
            assert!(prop.doc.ends_with('.'), "{} {}=: doc", node.name, prop.name);
        }
    }
    assert!(all().count() > 60);
}

#[test]
fn every_parent_is_a_block() {
    for node in schema().nodes() {
        for parent in node.parents.iter().filter(|p| **p != TOP) {
            let is_block = schema().named(parent).iter().any(|p| matches!(p.block, BlockKind::Settings));
            assert!(is_block || parent == &"connect", "{} stands in {parent}", node.name);
        }
    }
}

#[test]
fn defaults_of_properties_have_their_type() {
    let free = ["", "none", "any", "any 2xx or 3xx", "the whole answer", "the plugin's time", "HEAD"];
    for (node, prop) in all().flat_map(|n| n.props.iter().map(move |p| (n, p))) {
        let default = prop.default;
        if free.contains(&default) || default.contains(" or ") {
            continue;
        }
        let fits = match prop.ty {
            Type::Duration => Millis::parse(default).is_some(),
            Type::Size => Bytes::parse(default).is_some(),
            Type::Mode => parse_mode(default).is_some(),
            Type::Flag => default == "#false" || default == "#true",
            Type::Word { built, .. } => built.contains(&default),
            Type::Glob => default == "any",
            _ => true,
        };
        assert!(fits, "{} {}={default}", node.name, prop.name);
    }
}

/// `example` inside of blocks, so that it stands in `parent`.
fn within(parent: &str, example: &str) -> String {
    let wrap = |open: &str, inner: &str| format!("{open} {{\n{inner}\n}}");
    match parent {
        TOP => example.to_owned(),
        "role" => wrap("role web", example),
        "environment" => wrap("environment two", example),
        "host" => within("environment", &wrap("host h", example)),
        "before" | "after" => within("stage", &wrap(parent, example)),
        "location" => within("site", &wrap("location \"/\"", example)),
        "stage" => wrap("stage build", example),
        "template" => {
            let line = "template \"deploy/settings.j2\" to=x kind=env";
            within("stage", &wrap(line, example))
        }
        "connect" => wrap("connect ssh", example),
        "service" | "site" | "plugin" | "task" | "notify" => wrap(&format!("{parent} x"), example),
        "app" | "source" | "shared" | "retention" | "pull" | "report" => {
            wrap(parent, example).replace("app {", "app shop {")
        }
        "rollout" => wrap("rollout rolling", example),
        "when" => wrap("when environment=\"l*\"", example),
        "profile" => wrap("use p\nprofile p", example),
        other => panic!("no way into `{other}`"),
    }
}

#[test]
fn every_example_is_understood() {
    let declared = "secret db-url env DB_URL\nsecret s env S\nsecret chat-url env C\nsecret deploys-token env D\n\
         profile live { connect local; }\nservice django { abstract; }\nplugin guard { component \"g.wasm\"; }\nvars { a 1; }";
    for node in all() {
        for parent in node.parents {
            let text = match (node.name, *parent) {
                ("deployfile", _) => with(""),
                ("app" | "source", TOP) => format!("deployfile 1\n{}", within(parent, node.example)),
                _ => with(&within(parent, node.example)),
            };
            let main = format!("{text}\nimport \"declared.kdl\"\n");
            let files = Memory::of(&[
                ("deployfile.kdl", &main),
                ("declared.kdl", declared),
                ("roles/a.kdl", ""),
                ("deploy/settings.j2", "x"),
            ]);
            // An example shows one setting; what else its block would need is not its business, nor are values that
            // differ from those of the file around it.
            let around = |code: &str| {
                matches!(
                    code,
                    "config::missing"
                        | "config::no-hosts"
                        | "config::unused-role"
                        | "config::service"
                        | "config::duplicate"
                        | "config::conflict"
                        | "config::not-built"
                        | "config::unused-when"
                        | "config::unused-profile"
                )
            };
            let wrong: Vec<_> =
                said(&files).into_iter().filter(|d| !around(d.code)).map(|d| d.render(false)).collect();
            assert!(wrong.is_empty(), "{} in {parent:?}:\n{main}\n{}", node.name, wrong.join("\n"));
        }
    }
}

#[test]
fn a_setting_that_is_not_in_the_schema_would_fail_the_test_above() {
    let wrong = said(&Memory::of(&[("deployfile.kdl", &with(&within("service", "zzz 1")))]));
    assert!(wrong.iter().any(|d| d.code == "config::unknown-node"));
}

#[test]
fn it_prints_as_json_and_markdown() {
    let json = schema().to_json();
    let settings = json["settings"].as_array().unwrap();
    assert_eq!(settings.len(), schema().nodes().count());
    let numprocs = settings.iter().find(|s| s["name"] == "numprocs").unwrap();
    assert_eq!((&numprocs["default"], &numprocs["parents"][0]), (&"1".into(), &"service".into()));
    let markdown = schema().to_markdown();
    for node in all() {
        assert!(markdown.contains(&format!("### `{}`", node.name)), "{}", node.name);
        assert!(markdown.contains(node.example), "{}", node.name);
    }
    let not_built = all().filter(|node| !node.built).count();
    assert_eq!(markdown.matches("**Not built yet**").count(), not_built);
}

#[test]
fn lists_and_repetition() {
    let find = |parent: &str, name: &str| schema().find(parent, name).unwrap();
    assert!(find("service", "roles").is_list() && !find("service", "numprocs").is_list());
    assert_eq!(find("service", "health").several, Several::Repeats);
    assert_eq!(find(TOP, "service").several, Several::Named);
}
