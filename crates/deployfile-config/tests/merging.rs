//! The one rule: a line replaces a line, a block merges with a block, a repeated node adds. And its laws.

mod memory;

use deployfile_config::Project;
use deployfile_model::stage::Item;
use deployfile_model::{EnvValue, Name, Spec, Stage};
use memory::{Memory, project, said, spec, with};
use std::collections::BTreeMap;

fn local(more: &str) -> Spec {
    spec(&with(more), "local")
}

fn env(spec: &Spec, name: &str) -> Option<String> {
    match spec.hosts[0].env.get(name)? {
        EnvValue::Text(text) => Some(text.raw.clone()),
        EnvValue::Secret(_) => None,
    }
}

/// What conflicts, if anything does.
fn conflict(more: &str) -> bool {
    said(&Memory::of(&[("deployfile.kdl", &with(more))])).iter().any(|d| d.code == "config::conflict")
}

#[test]
fn a_line_replaces_a_line_whole() {
    let spec = local(
        "service web { command x; stop signal=INT timeout=\"5s\"; }\n\
         role web { service web { stop signal=HUP; }; }",
    );
    let stop = &spec.hosts[0].services[0].stop;
    assert_eq!(
        (stop.signal.name(), stop.timeout.to_string().as_str()),
        ("HUP", "10s"),
        "the timeout is the default again"
    );
}

#[test]
fn what_is_not_named_is_not_changed() {
    let spec = local("env { A 1; B 2; }\nrole web { env { B 3; }; }");
    assert_eq!((env(&spec, "A").as_deref(), env(&spec, "B").as_deref()), (Some("1"), Some("3")));
}

#[test]
fn conditions_decide() {
    let layers = [
        ("env { A top; }", "top"),
        ("environment local { env { A env; }; }", "env"),
        ("role web { env { A role; }; }", "role"),
        ("environment local { role web { env { A both; }; }; }", "both"),
        ("environment local { host localhost { env { A host; }; }; }", "host"),
    ];
    let base = "deployfile 1\napp shop { root \"/srv/shop\"; }\nsource dir \".\"\n\
                environment local { host localhost { roles web; connect local; }; }\n";
    for weaker in 0..layers.len() {
        for (text, wins) in &layers[weaker + 1..] {
            let one = Memory::of(&[
                ("deployfile.kdl", &format!("{base}import \"a.kdl\"\nimport \"b.kdl\"\n")),
                ("a.kdl", text),
                ("b.kdl", layers[weaker].0),
            ]);
            let project = one.load().project.unwrap();
            let spec = project.spec(&Name::new("local").unwrap(), &BTreeMap::new()).unwrap().0;
            assert_eq!(env(&spec, "A").as_deref(), Some(*wins), "{} against {text}", layers[weaker].0);
        }
    }
}

#[test]
fn markers_come_before_conditions() {
    assert_eq!(env(&local("env { (force)A 1; }\nrole web { env { A 2; }; }"), "A").as_deref(), Some("1"));
    assert_eq!(env(&local("env { A 1; }\nrole web { env { (default)A 2; }; }"), "A").as_deref(), Some("1"));
    assert_eq!(
        env(&local("(force)env { A 1; }\nrole web { env { A 2; }; }"), "A").as_deref(),
        Some("1"),
        "a block's"
    );
    assert_eq!(env(&local("env { A 1; }\nrole web { env { (remove)A; }; }"), "A"), None);
    assert_eq!(
        env(&local("env { (force)A 1; }\nrole web { env { (remove)A; }; }"), "A").as_deref(),
        Some("1")
    );
    let spec = local("service a { command x; }\nservice b { command y; }\nrole web { (remove)service a; }");
    assert_eq!(spec.hosts[0].services.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn lists_are_replaced_or_added_to() {
    let index = |more: &str| {
        let spec = local(&format!("site s {{ listen 80; index a b; }}\n{more}"));
        spec.hosts[0].sites[0].index.iter().map(|t| t.raw.clone()).collect::<Vec<_>>()
    };
    assert_eq!(index("role web { site s { index c; }; }"), ["c"]);
    assert_eq!(index("role web { site s { (add)index c; }; }"), ["a", "b", "c"]);
}

#[test]
fn repeated_nodes_add_weakest_scope_first() {
    let runs = |more: &str| {
        let spec = local(more);
        let item = |item: &Item| match item {
            Item::Run(run) => run.argv[0].raw.clone(),
            Item::Sh(script) => script.text.clone(),
            _ => String::new(),
        };
        spec.hosts[0].stages[&Stage::Build].main.iter().map(item).collect::<Vec<_>>()
    };
    let base = "role web { stage build { run b; sh c; }; }\nstage build { sh a; run a2; }";
    assert_eq!(runs(base), ["a", "a2", "b", "c"]);
    assert_eq!(runs("role web { stage build { (only)run b; }; }\nstage build { sh a; run a2; }"), ["a", "b"]);
}

#[test]
fn a_tie_of_different_values_is_a_conflict_whoever_comes_first() {
    assert!(conflict(
        "role web { env { A 1; }; }\nenvironment two { host h { roles web db; }; }\nrole db { env { A 2; }; }"
    ));
    assert!(conflict(
        "role web { env { A 2; }; }\nenvironment two { host h { roles web db; }; }\nrole db { env { A 1; }; }"
    ));
    assert!(!conflict(
        "role web { env { A 1; }; }\nenvironment two { host h { roles web db; }; }\nrole db { env { A 1; }; }"
    ));
    assert!(!conflict(
        "role web { env { A 1; }; }\nenvironment two { host h { roles web db; env { A 3; }; }; }\nrole db { env { A 2; }; }"
    ));
}

#[test]
fn import_order_never_decides_a_value() {
    let files = |order: &str| {
        let main = with(&order.chars().map(|c| format!("import \"{c}.kdl\"\n")).collect::<String>());
        Memory::of(&[
            ("deployfile.kdl", &main),
            ("a.kdl", "env { A 1; }\nservice x { command a; }\nretention { keep 7; }"),
            (
                "b.kdl",
                "env { B 2; }\nrole web { service x { command b; numprocs 3; }; }\nretention { grace \"1m\"; }",
            ),
            (
                "c.kdl",
                "env { (default)A 9; (default)B 8; }\nservice x { (force)directory \"/d\"; }\nretention { (default)keep 1; }",
            ),
        ])
    };
    let values = |order: &str| {
        let project = files(order).load().project.unwrap();
        let mut spec = project.spec(&Name::new("local").unwrap(), &BTreeMap::new()).unwrap().0;
        // Where something was first mentioned may differ, values may not.
        spec.retention.place = spec.app.place.clone();
        std::sync::Arc::make_mut(&mut spec.hosts[0].services)[0].place = spec.app.place.clone();
        spec
    };
    let first = values("abc");
    assert_eq!(first.retention.keep, 7);
    for order in ["acb", "bac", "bca", "cab", "cba"] {
        assert_eq!(values(order), first, "{order}");
    }
}

#[test]
fn merging_with_nothing_changes_nothing() {
    let text = with("env { A 1; }\nservice x { command a; }\nretention { keep 7; }");
    let more = format!("{text}import \"empty.kdl\"\n");
    let with_empty = Memory::of(&[
        ("deployfile.kdl", &more),
        ("empty.kdl", "deployfile 1\nenv { }\nservice x { }\nretention { }\nrole web { }"),
    ]);
    let project = with_empty.load().project.unwrap();
    let mut merged = project.spec(&Name::new("local").unwrap(), &BTreeMap::new()).unwrap().0;
    let plain = spec(&text, "local");
    merged.retention.place = plain.retention.place.clone();
    std::sync::Arc::make_mut(&mut merged.hosts[0].services)[0].place =
        plain.hosts[0].services[0].place.clone();
    assert_eq!(merged, plain);
}

#[test]
fn imported_files_come_first_in_what_repeats_and_are_sorted() {
    let files = Memory::of(&[
        ("deployfile.kdl", &with("link \"/main\" to=\"x\"\nimport \"d/*.kdl\"")),
        ("d/b.kdl", "link \"/b\" to=\"x\""),
        ("d/a.kdl", "link \"/a\" to=\"x\"\nimport \"sub/z.kdl\""),
        ("d/sub/z.kdl", "link \"/z\" to=\"x\""),
        ("d/.hidden.kdl", "link \"/hidden\" to=\"x\""),
        ("d/notes.txt", "no KDL {"),
    ]);
    let project = files.load().project.unwrap();
    let spec = project.spec(&Name::new("local").unwrap(), &BTreeMap::new()).unwrap().0;
    let links: Vec<_> = spec.hosts[0].links.iter().map(|l| l.at.raw.as_str()).collect();
    assert_eq!(links, ["/z", "/a", "/b", "/main"]);
    assert_eq!(spec.hosts[0].links[0].place.to_string(), "d/sub/z.kdl:1:1");
}

#[test]
fn services_run_where_their_roles_are() {
    let text = with(
        "environment two { host a { roles web; }; host b { roles db; }; host c; }\n\
         service everywhere { command x; }\n\
         service chosen { roles db; command x; }\n\
         role web { service inside { command x; }; }\n\
         environment two { service inside { numprocs 2; }; }",
    )
    .replace("environment two { service inside { numprocs 2; }; }", "");
    let spec = spec(&text, "two");
    let services: Vec<Vec<_>> =
        spec.hosts.iter().map(|h| h.services.iter().map(|s| s.name.as_str()).collect()).collect();
    assert_eq!(services, [vec!["everywhere", "inside"], vec!["chosen", "everywhere"], vec!["everywhere"]]);
}

#[test]
fn a_range_loses_to_an_exact_name_and_ranges_tie() {
    let hosts = |blocks: &str| with(&format!("environment two {{ {blocks} }}"));
    let spec = spec(
        &hosts("host \"w[1:3]\" { env { A range; }; roles web; }; host w2 { env { A exact; }; };"),
        "two",
    );
    let values: Vec<_> = spec.hosts.iter().map(|h| format!("{:?}", h.env["A"]).contains("exact")).collect();
    assert_eq!(values, [false, true, false]);
    assert_eq!(spec.hosts[1].roles.len(), 1, "the blocks of one host merge");
    let tied = hosts("host \"w[1:3]\" { env { A 1; }; }; host \"w[3:4]\" { env { A 2; }; };");
    assert!(said(&Memory::of(&[("deployfile.kdl", &tied)])).iter().any(|d| d.code == "config::conflict"));
}

#[test]
fn the_command_line_beats_all_and_only_knows_declared_variables() {
    let project: Project = project(&with("vars { (force)a 1; }\nenv { A \"{{ vars.a }}\"; }"));
    let env = Name::new("local").unwrap();
    let set = |key: &str| project.spec(&env, &BTreeMap::from([(key.to_owned(), "2".to_owned())]));
    assert_eq!(set("vars.a").unwrap().0.hosts[0].vars["a"].text.raw, "2");
    let unknown = set("vars.b").unwrap_err().render(false);
    assert!(unknown.contains("there is no variable `b`") && unknown.contains("--set:1:1"), "{unknown}");
    assert!(set("app.root").unwrap_err().render(false).contains("names no variable"));
}

#[test]
fn the_command_line_gives_what_the_file_says_that_a_variable_is() {
    let project: Project = project(&with("vars { debug #false; port 80; name x; version 3.10; mode 0750; }"));
    let env = Name::new("local").unwrap();
    let set = |key: &str, value: &str| {
        project.spec(&env, &BTreeMap::from([(format!("vars.{key}"), value.to_owned())]))
    };
    let kind = |key: &str, value: &str| set(key, value).unwrap().0.hosts[0].vars[key].kind;
    use deployfile_model::spec::VariableKind::{Flag, Text, Whole};
    assert_eq!((kind("debug", "true"), kind("port", "8080")), (Flag, Whole));
    assert_eq!((kind("name", "5"), kind("version", "3.11"), kind("mode", "0700")), (Text, Text, Text));
    let refused = set("debug", "yes").unwrap_err().render(false);
    assert!(refused.contains("`vars.debug` is a flag, which `yes` is not"), "{refused}");
    assert!(set("port", "http").is_err());
}

#[test]
fn an_environment_that_is_not_declared() {
    let project = project(&with(""));
    let text = project.spec(&Name::new("locla").unwrap(), &BTreeMap::new()).unwrap_err().render(false);
    assert!(text.contains("did you mean `local`?"), "{text}");
}

#[test]
fn every_value_says_where_it_came_from() {
    let project = project(&with(
        "service web { command x; numprocs 1; }\nrole web { service web { numprocs 4; }; }\n\
         environment two { host h { roles web; service web { (default)numprocs 8; }; }; }\n\
         retention { keep 9; }",
    ));
    let two = Name::new("two").unwrap();
    let provenance = project.provenance(&two, Some(&Name::new("h").unwrap()));
    let numprocs = provenance.get("service.web.numprocs").unwrap();
    assert_eq!(
        (numprocs.value.as_str(), numprocs.default, numprocs.ty.as_str()),
        ("4", "1", "a whole number from 1 to 64")
    );
    let said: Vec<_> = numprocs
        .definitions
        .iter()
        .map(|d| (d.value.as_str(), d.scope.as_str(), d.marker.as_deref(), d.wins, d.place.line))
        .collect();
    assert_eq!(
        said,
        [
            ("4", "role web", None, true, 6),
            ("1", "top level", None, false, 5),
            ("8", "host h, environment two", Some("default"), false, 7),
        ]
    );
    assert_eq!(numprocs.to_json("service.web.numprocs")["definitions"][0]["wins"], true);
    assert_eq!(provenance.get("app.root").unwrap().value, "\"/srv/shop\"");
    assert_eq!(provenance.get("retention.keep").unwrap().value, "9");
    let beneath: Vec<_> = provenance.beneath("service.web").map(|(path, _)| path).collect();
    assert_eq!(beneath, ["service.web.command", "service.web.numprocs"]);
}

#[test]
fn what_was_taken_away_is_told_with_what_took_it() {
    let project = project(&with(
        "service web { command x; env { A 1; B 2; }; }\nservice job { command y; }\n\
         stage build { run a; run b; }\n\
         environment two { host h { roles web; }\n (remove)service job\n service web { env { (remove)A; }; }\n\
         stage build { (only)run c; run d; }; }",
    ));
    let provenance = project.provenance(&Name::new("two").unwrap(), Some(&Name::new("h").unwrap()));
    let entry = |path: &str| provenance.get(path).unwrap_or_else(|| panic!("{path}"));
    let told = |path: &str| -> Vec<(&str, &str, u32)> {
        entry(path).definitions.iter().map(|d| (d.verdict(), d.value.as_str(), d.place.line)).collect()
    };
    assert_eq!(told("service.web.env.A"), [("removes", "", 10), ("overridden", "1", 5)]);
    assert_eq!(told("service.job"), [("removes", "", 9), ("overridden", "{ … }", 6)]);
    assert_eq!(told("service.job.command"), [("removes", "", 9), ("overridden", "y", 6)]);
    for path in ["service.web.env.A", "service.job", "service.job.command"] {
        assert!(entry(path).removed && entry(path).to_json(path)["value"].is_null(), "{path}");
    }
    assert_eq!(told("service.web.env.B"), [("wins", "2", 5)]);
    assert_eq!(
        told("stage.build.run.1"),
        [("wins", "c", 11), ("overridden", "a", 7), ("overridden", "b", 7)]
    );
    assert_eq!(told("stage.build.run.2"), [("wins", "d", 11)]);
}

#[test]
fn the_same_text_gives_the_same_specification() {
    let text = with("env { B 1; A 2; }\nservice b { command x; }\nservice a { command y; }");
    assert_eq!(format!("{:?}", spec(&text, "local")), format!("{:?}", spec(&text, "local")));
}

#[test]
fn names_for_completion() {
    let project = project(&with(
        "service b { command x; }\nrole web { service a { command x; }; }\nplugin p { component \"p.wasm\"; }",
    ));
    let text = |names: Vec<Name>| names.iter().map(Name::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(text(project.service_names()), "a b");
    assert_eq!(text(project.environments()), "local");
    assert_eq!(text(project.role_names()), "web");
    assert_eq!(text(project.plugin_names()), "p");
    assert_eq!(text(project.host_names(&Name::new("local").unwrap())), "localhost");
    assert_eq!(project.app_name().unwrap().as_str(), "shop");
}
