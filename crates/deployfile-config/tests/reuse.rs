//! Definitions that are written once and used in several places: profiles, `when`, services that take over others.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod memory;

use deployfile_config::Project;
use deployfile_model::{EnvValue, Host, Name, Spec};
use memory::{Memory, project, said, spec};
use std::collections::BTreeMap;

/// A file with two environments, hosts in both, and `more`.
fn file(more: &str) -> String {
    format!(
        "deployfile 1\napp shop {{ root \"/srv/shop\"; }}\nsource dir \".\"\n\
         environment staging {{ host s1 {{ roles web worker; }}; }}\n{more}\n"
    )
}

fn production(inside: &str) -> String {
    format!(
        "environment production {{ host \"web[1:3]\" {{ roles web; }}; host worker1 {{ roles worker; }}\n{inside}\n}}\n"
    )
}

fn host<'s>(spec: &'s Spec, name: &str) -> &'s Host {
    spec.host(&Name::new(name).unwrap()).unwrap()
}

fn env(spec: &Spec, on: &str, name: &str) -> Option<String> {
    match host(spec, on).env.get(name)? {
        EnvValue::Text(text) => Some(text.raw.clone()),
        EnvValue::Secret(_) => None,
    }
}

fn services<'s>(spec: &'s Spec, on: &str) -> Vec<&'s str> {
    host(spec, on).services.iter().map(|service| service.name.as_str()).collect()
}

fn codes(text: &str) -> Vec<&'static str> {
    said(&Memory::of(&[("deployfile.kdl", text)])).into_iter().map(|d| d.code).collect()
}

#[test]
fn a_profile_applies_where_it_is_used_with_the_conditions_of_its_user() {
    let text = file(
        "env { LEVEL top; SIZE top; }\nretention { keep 3; }\n\
         profile live { env { LEVEL live; SIZE live; }; retention { keep 9; }; }\n\
         role web { env { SIZE role; }; }\n",
    ) + &production("use live");
    let (live, staging) = (spec(&text, "production"), spec(&text, "staging"));
    assert_eq!(
        (live.retention.keep, staging.retention.keep),
        (9, 3),
        "it beats the top level where it is used"
    );
    assert_eq!(env(&live, "web1", "LEVEL").as_deref(), Some("live"));
    assert_eq!(env(&staging, "s1", "LEVEL").as_deref(), Some("top"));
    assert_eq!(env(&live, "web1", "SIZE").as_deref(), Some("role"), "a role is the stronger condition");
    assert_eq!(env(&live, "worker1", "SIZE").as_deref(), Some("live"));
}

#[test]
fn the_user_is_nearer_than_what_it_uses() {
    let text = file(
        "profile live { use base; env { A live; B live; }; }\nprofile base { env { A base; B base; C base; }; }",
    ) + &production("use live; env { A production; }");
    let spec = spec(&text, "production");
    let values = ["A", "B", "C"].map(|name| env(&spec, "web1", name).unwrap());
    assert_eq!(values, ["production", "live", "base"]);
}

#[test]
fn profiles_of_roles_and_hosts_are_theirs() {
    let text = file(
        "profile big { env { SIZE big; }; service extra { command x; }; }\nprofile small { env { SIZE small; }; }",
    ) + &production("use small; role worker { use big; }; host web2 { use big; }");
    let spec = spec(&text, "production");
    let sizes = ["web1", "web2", "web3", "worker1"].map(|on| env(&spec, on, "SIZE").unwrap());
    assert_eq!(sizes, ["small", "big", "small", "big"]);
    assert_eq!(services(&spec, "web2"), ["extra"]);
    assert_eq!(services(&spec, "worker1"), ["extra"]);
    assert!(services(&spec, "web1").is_empty());
}

#[test]
fn a_role_in_a_profile_has_both_conditions() {
    let text = file("role web { env { A role; }; }\nprofile live { role web { env { A live; B live; }; }; }")
        + &production("use live; env { B production; }");
    let live = spec(&text, "production");
    assert_eq!(env(&live, "web1", "A").as_deref(), Some("live"), "role and environment beat role");
    assert_eq!(env(&live, "web1", "B").as_deref(), Some("live"), "and environment");
    assert_eq!(env(&live, "worker1", "A"), None);
    assert_eq!(env(&spec(&text, "staging"), "s1", "A").as_deref(), Some("role"));
}

#[test]
fn a_circle_of_profiles_ends() {
    let text = file("profile a { use b; env { X a; }; }\nprofile b { use a; env { X b; Y b; }; }")
        + &production("use a");
    let spec = spec(&text, "production");
    assert_eq!(env(&spec, "web1", "X").as_deref(), Some("a"));
    assert_eq!(env(&spec, "web1", "Y").as_deref(), Some("b"));
}

/// Fifteen layers of two profiles that each use both of the next layer: 2¹⁵ ways, thirty profiles.
#[test]
fn many_ways_to_one_profile_are_one() {
    let mut text = file("");
    for n in 0..15 {
        let below = if n < 14 { format!("use a{} b{};", n + 1, n + 1) } else { String::new() };
        for side in ["a", "b"] {
            text += &format!("profile {side}{n} {{ {below} env {{ V{side}{n} 1; }}; }}\n");
        }
    }
    for n in 0..15 {
        let below = if n < 14 { format!("use s{} t{};", n + 1, n + 1) } else { "command x;".to_owned() };
        for side in ["s", "t"] {
            text += &format!(
                "service {side}{n} {{ abstract; {below} health tcp=\"127.0.0.1:{}\"; }}\n",
                1000 + n
            );
        }
    }
    text += &production("use a0 b0; service last { use s0 t0; }");
    let spec = spec(&text, "production");
    assert_eq!(host(&spec, "web1").env.len(), 30);
    let last = &host(&spec, "web1").services[0];
    assert_eq!((last.name.as_str(), last.health.len()), ("last", 30));
}

#[test]
fn what_repeats_comes_from_profiles_first() {
    let order = |text: &str| {
        let spec = spec(text, "production");
        let stage = &host(&spec, "web1").stages[&deployfile_model::Stage::Build];
        let word = |item: &deployfile_model::stage::Item| match item {
            deployfile_model::stage::Item::Run(run) => run.argv[0].raw.clone(),
            _ => String::new(),
        };
        stage.main.iter().map(word).collect::<Vec<_>>().join(" ")
    };
    let text = file(
        "stage build { run top; }\nrole web { use r; stage build { run role; }; }\n\
         profile r { stage build { run of-role; }; }\nprofile p { use deep; stage build { run of-p; }; }\n\
         profile q { stage build { run of-q; }; }\nprofile deep { stage build { run deep; }; }\n",
    ) + &production(
        "use q p; stage build { run environment; }; host web1 { stage build { run host; }; }",
    );
    assert_eq!(order(&text), "deep of-role of-q of-p top role environment host");
}

#[test]
fn use_is_a_line_of_its_scope() {
    let base = file("profile a { env { A 1; }; }\nprofile b { env { B 1; }; }\nprofile c { env { C 1; }; }");
    let has = |more: &str| {
        let spec = spec(&(base.clone() + more), "production");
        let of = |on: &str| {
            ["A", "B", "C"].into_iter().filter(|name| env(&spec, on, name).is_some()).collect::<String>()
        };
        (of("web1"), of("worker1"))
    };
    // An environment's profiles are not replaced by those of a role.
    let text = production("use a") + "role web { use b; }";
    assert_eq!(has(&text), ("AB".to_owned(), "A".to_owned()));
    // Two lines about one scope are one setting: the stronger holds, and `(add)` appends.
    let text =
        production("(default)use a; role web { use b; }") + "when environment=production { env { D 1; }; }";
    assert_eq!(has(&text).0, "AB");
    let files = Memory::of(&[
        ("deployfile.kdl", &(base.clone() + "import \"more.kdl\"\n" + &production("use a"))),
        ("more.kdl", "environment production { (add)use c; }"),
    ]);
    let spec =
        files.load().project.unwrap().spec(&Name::new("production").unwrap(), &BTreeMap::new()).unwrap().0;
    assert!(env(&spec, "web1", "A").is_some() && env(&spec, "web1", "C").is_some());
}

#[test]
fn conditions_of_when_are_globs_and_all_must_hold() {
    let text = file(
        "when environment=\"prod*\" { env { A 1; }; retention { keep 7; }; }\n\
         when role=\"w*\" host=\"*1\" { env { B 1; }; }\nwhen environment=staging role=web { env { C 1; }; }\n",
    ) + &production("when host=\"web?\" { service extra { command x; }; }");
    let (live, staging) = (spec(&text, "production"), spec(&text, "staging"));
    assert_eq!((live.retention.keep, staging.retention.keep), (7, 5));
    let set = |spec: &Spec, on: &str| {
        ["A", "B", "C"].into_iter().filter(|name| env(spec, on, name).is_some()).collect::<String>()
    };
    assert_eq!(
        (set(&live, "web1"), set(&live, "web2"), set(&staging, "s1")),
        ("AB".into(), "A".into(), "BC".into())
    );
    assert_eq!((services(&live, "web3"), services(&live, "worker1")), (vec!["extra"], vec![]));
}

#[test]
fn an_exact_name_beats_a_glob() {
    let text = file(
        "when environment=\"prod*\" { env { A glob; }; }\nwhen role=\"w*\" { env { B glob; }; }\nrole web { env { B exact; }; }",
    ) + &production(
        "env { A exact; }; when host=\"web*\" { env { C glob; }; }; host \"web[1:2]\" { env { C range; }; }; host web1 { env { C exact; }; }",
    );
    let told = codes(&text);
    assert_eq!(told, ["config::conflict"], "a range and a glob are tied");
    let text = text.replace("C range", "C glob");
    let spec = spec(&text, "production");
    assert_eq!(["A", "B", "C"].map(|name| env(&spec, "web1", name).unwrap()), ["exact", "exact", "exact"]);
    assert_eq!(env(&spec, "web2", "C").as_deref(), Some("glob"));
}

#[test]
fn a_service_takes_over_another_and_look_ups_are_filled_in_late() {
    let text = file(
        "service base {\n  abstract\n  command \"{{ release }}/bin/run\" \"{{ service }}\"\n  numprocs 2\n  env { A base; B base; }\n  health tcp=\"127.0.0.1:1\"\n  stop signal=INT\n}\n\
         service web { use base; numprocs 4; env { B web; }; health tcp=\"127.0.0.1:2\"; }\n\
         service queue { use web; command \"{{ release }}/bin/queue\"; }\n",
    ) + &production("service base { stop signal=QUIT; }; service queue { numprocs 8; }");
    let live = spec(&text, "production");
    assert_eq!(services(&live, "web1"), ["queue", "web"], "an abstract service never runs");
    let [queue, web] = host(&live, "web1").services.as_slice() else { panic!() };
    assert_eq!(web.command[1].raw, "{{ service }}");
    assert_eq!((web.numprocs, queue.numprocs), (4, 8));
    assert_eq!(
        web.stop.signal.name(),
        "QUIT",
        "what an environment says of the base beats the heir's top level"
    );
    let value = |service: &deployfile_model::service::Service, name: &str| match &service.env[name] {
        EnvValue::Text(text) => text.raw.clone(),
        EnvValue::Secret(_) => String::new(),
    };
    assert_eq!((value(queue, "A"), value(queue, "B")), ("base".to_owned(), "web".to_owned()));
    let health = |service: &deployfile_model::service::Service| service.health.len();
    assert_eq!((health(web), health(queue)), (2, 2), "the base's checks come first, the heir's add");
    assert_eq!(queue.command.len(), 1, "a line replaces a line");
}

#[test]
fn abstract_is_not_taken_over_and_can_be_taken_back() {
    let text = file("service base { abstract; command x; }\nservice web { use base; }") + &production("");
    assert_eq!(services(&spec(&text, "production"), "web1"), ["web"]);
    let text =
        file("service base { abstract; command x; }") + &production("service base { abstract #false; }");
    assert_eq!(services(&spec(&text, "production"), "web1"), ["base"]);
    assert!(services(&spec(&text, "staging"), "s1").is_empty());
    let names: Vec<_> = project(&text).service_names();
    assert_eq!(names.len(), 1);
}

#[test]
fn where_a_service_runs_is_taken_over_when_it_is_said_and_not_where_it_stands() {
    let text = file(
        "service a { abstract; command x; roles worker; }\nservice b { use a; }\nrole web { service c { use a; roles web; }; }",
    ) + &production("");
    let spec = spec(&text, "production");
    assert_eq!((services(&spec, "web1"), services(&spec, "worker1")), (vec!["c"], vec!["b"]));
}

#[test]
fn provenance_names_profile_and_base() {
    let text = file(
        "service base { abstract; command x; numprocs 1; }\nservice web { use base; }\nprofile live { retention { keep 9; }; }",
    ) + &production("use live; service web { numprocs 8; }");
    let project: Project = project(&text);
    let of = |path: &str| {
        let found = project.provenance(&Name::new("production").unwrap(), None);
        let entry = found.get(path).unwrap().clone();
        entry
            .definitions
            .into_iter()
            .map(|d| format!("{} {} {}", d.wins, d.value, d.scope))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("service.web.numprocs"),
        ["true 8 environment production", "false 1 top level, service base"]
    );
    assert_eq!(of("retention.keep"), ["true 9 environment production, profile live"]);
}

#[test]
fn what_is_not_built_is_named_where_it_takes_part() {
    let text = file(
        "role cache { service box { manager container; publish \"127.0.0.1:80\" 80; }; }\nprofile agents { pull { every \"1m\"; }; }\nservice base { abstract; manager systemd; command x; }",
    ) + &production("use agents; host c1 { roles cache; }");
    let names = |spec: &Spec| spec.not_built.iter().map(|it| it.what.clone()).collect::<Vec<_>>();
    assert_eq!(names(&spec(&text, "staging")), Vec::<String>::new());
    let live = spec(&text, "production");
    assert_eq!(names(&live), ["service.box.manager container", "service.box.publish", "pull"]);
    assert!(services(&live, "c1").is_empty(), "it is no part of what is planned");
}

#[test]
fn conditions_within_a_profile_hold_together_with_those_of_its_user() {
    let text = file(
        "service x { command y; numprocs 1; }\nprofile p { when host=\"web*\" { service x { numprocs 7; }; }; }\n\
         profile q { when role=web { env { Q 1; }; }; }\nrole worker { use q; }",
    ) + &production("host web1 { use p; }; host both { roles web worker; }");
    let spec = spec(&text, "production");
    let numprocs = |on: &str| host(&spec, on).services[0].numprocs;
    assert_eq!((numprocs("web1"), numprocs("web2")), (7, 1));
    assert_eq!((env(&spec, "web1", "Q"), env(&spec, "both", "Q").as_deref()), (None, Some("1")));
}

#[test]
fn a_profile_in_two_scopes_is_two_definitions() {
    let text = file(
        "service x { command y; }\nprofile p { service x { numprocs 7; }; }\nwhen host=\"web2\" { use p; }",
    ) + &production("host web1 { use p; }; when host=\"web*\" { service x { numprocs 3; }; }");
    let live = spec(&text, "production");
    // On web1 the host's own profile (5, exact) beats the glob (5); on web2 the glob (5) beats a `when` of the top level (4).
    let numprocs = |spec: &Spec, on: &str| host(spec, on).services[0].numprocs;
    assert_eq!((numprocs(&live, "web1"), numprocs(&live, "web2")), (7, 3));
    let text = file(
        "profile p { service base { numprocs 4; }; }\nservice base { abstract; command x; }\n\
         service heir { use base; roles web; }\nrole web { service base { numprocs 9; }; }",
    ) + &production("use p; host web1 { use p; }");
    let live = spec(&text, "production");
    assert_eq!((numprocs(&live, "web1"), numprocs(&live, "web2")), (4, 9), "the host's use of it counts");
}

#[test]
fn the_order_of_words_in_use_decides_nothing() {
    let of = |words: &str| {
        let text = file(&format!(
            "service b {{ abstract; command x; numprocs 2; }}\nservice c {{ abstract; use b; numprocs 3; }}\nservice d {{ use {words}; }}"
        )) + &production("");
        codes(&text)
    };
    // `b` is as near as `c`, and they differ.
    assert_eq!((of("b c"), of("c b")), (vec!["config::conflict"], vec!["config::conflict"]));
}

#[test]
fn use_of_services_is_a_line_like_others() {
    let text = file("service base { abstract; numprocs 4; }\nservice heir { command x; use base; }")
        + &production("service heir { (remove)use; (add)command \"--verbose\"; }");
    let live = spec(&text, "production");
    let heir = &host(&live, "web1").services[0];
    assert_eq!((heir.numprocs, heir.command.len()), (1, 2), "`(remove)use` and `(add)command` hold");
    assert_eq!(host(&spec(&text, "staging"), "s1").services[0].numprocs, 4);
}

#[test]
fn what_a_role_says_of_a_service_that_is_declared_elsewhere_does_not_keep_it_to_the_role() {
    let text = file("service x { command y; }\nrole web { service z { command y; }; }")
        + &production("role web { service x { numprocs 3; }; }; service z { numprocs 2; }");
    let live = spec(&text, "production");
    assert_eq!((services(&live, "web1"), services(&live, "worker1")), (vec!["x", "z"], vec!["x"]));
    let numprocs = |on: &str| host(&live, on).services[0].numprocs;
    assert_eq!((numprocs("web1"), numprocs("worker1")), (3, 1));
}

#[test]
fn locations_follow_scopes_and_not_imports() {
    let order = |first: &str, second: &str| {
        let main = file(&format!("import \"{first}\"\nimport \"{second}\"")) + &production("");
        let files = Memory::of(&[
            ("deployfile.kdl", &main),
            ("a.kdl", "site s { listen 80; location \"~ a\" { static; }; }"),
            ("b.kdl", "environment production { site s { location \"~ b\" { static; }; }; }"),
        ]);
        let project = files.load().project.unwrap();
        let spec = project.spec(&Name::new("production").unwrap(), &BTreeMap::new()).unwrap().0;
        let site = &host(&spec, "web1").sites[0];
        site.locations.iter().map(|location| location.pattern.raw.clone()).collect::<Vec<_>>()
    };
    assert_eq!(order("a.kdl", "b.kdl"), ["~ a", "~ b"]);
    assert_eq!(order("b.kdl", "a.kdl"), ["~ a", "~ b"]);
}

#[test]
fn chains_of_uses_have_an_end() {
    let chain = |kind: &str, n: usize| -> String {
        (0..n)
            .map(|i| {
                format!(
                    "{kind} n{i} {{ {} use n{}; }}\n",
                    if kind == "service" { "abstract;" } else { "" },
                    i + 1
                )
            })
            .collect()
    };
    let services = |n: usize| {
        file(&(chain("service", n) + &format!("service n{n} {{ command x; }}\nservice last {{ use n0; }}")))
            + &production("")
    };
    assert!(codes(&services(15)).is_empty());
    assert_eq!(codes(&services(17)), ["config::use"]);
    assert!(!codes(&services(20_000)).is_empty(), "and no stack overflows");
    let profiles = |n: usize| {
        file(&(chain("profile", n) + &format!("profile n{n} {{ env {{ A 1; }}; }}"))) + &production("use n0")
    };
    assert!(codes(&profiles(15)).is_empty());
    assert!(codes(&profiles(300)).contains(&"config::profile"));
}

#[test]
fn what_a_profile_says_within_when_is_looked_at_too() {
    let text = file("profile p { when environment=production { retention { keep 1; }; }; }")
        + &production("host web1 { use p; }");
    assert_eq!(codes(&text), ["config::profile"]);
}
