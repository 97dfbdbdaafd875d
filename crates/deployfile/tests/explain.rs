//! `explain`: values and where they come from.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_testkit::Sandbox;

fn shop() -> Sandbox {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    sandbox.write("app/page", "one");
    sandbox.write("rules.kdl", "retention { keep 5; }\nvars { port 8080; }\n");
    sandbox.write(
        "deployfile.kdl",
        r#"deployfile 1
import "rules.kdl"
app shop { root "/srv/shop"; }
source dir "app"
secret token env TOKEN
role web {
  env { API_TOKEN (secret)token; }
  service web { command "./web"; numprocs 2; }
}
environment production {
  retention { keep 10; }
  host "web[1:2].example.com" { roles web; connect local; }
  host "web2.example.com" { service web { numprocs 8; }; }
}
environment staging { host localhost { roles web; connect local; }; }
"#,
    );
    sandbox
}

#[test]
fn every_definition_is_told_and_which_one_holds() {
    let sandbox = shop();
    let told = sandbox.expect(0, &["explain", "retention.keep", "production"]).out;
    let lines: Vec<&str> = told.lines().map(str::trim_end).collect();
    assert!(lines[0].starts_with("retention.keep = 10  ") && lines[0].contains("default"), "{told}");
    assert_eq!(lines[1], "  wins        10  deployfile.kdl:11  environment production");
    assert_eq!(lines[2], "  overridden  5   rules.kdl:1        top level");

    let json = sandbox.json(0, &["explain", "retention.keep", "staging"]);
    assert_eq!((json["value"].as_str(), json["definitions"].as_array().unwrap().len()), (Some("5"), 1));
    assert_eq!(json["definitions"][0]["file"], "rules.kdl");
}

#[test]
fn a_host_has_its_own_values() {
    let sandbox = shop();
    let on = |host: &str| {
        let json = sandbox.json(0, &["explain", "service.web.numprocs", "production", "--host", host]);
        json["value"].as_str().unwrap().to_owned()
    };
    assert_eq!((on("web1.example.com"), on("web2.example.com")), ("2".to_owned(), "8".to_owned()));
    let refused =
        sandbox.expect(2, &["explain", "retention.keep", "production", "--host", "web3.example.com"]);
    assert!(refused.err.contains("web1.example.com"), "{}", refused.err);
}

#[test]
fn a_prefix_is_everything_beneath_it_and_secrets_are_names() {
    let sandbox = shop();
    let told = sandbox.expect(0, &["explain", "service.web", "production", "--host", "web2.example.com"]).out;
    assert!(told.contains("service.web.command = ") && told.contains("service.web.numprocs = 8"), "{told}");
    let secret = sandbox.expect(0, &["explain", "env", "staging", "--host", "localhost"]).out;
    assert!(secret.contains("API_TOKEN") && secret.contains("token"), "{secret}");
    let refused = sandbox.expect(2, &["explain", "service.web", "production"]);
    assert!(refused.err.contains("--host web1.example.com"), "{}", refused.err);
    let json = sandbox.json(0, &["explain", "service.web", "staging"]);
    assert!(json["settings"].as_array().unwrap().len() >= 2, "{json}");
}

#[test]
fn what_nothing_sets_has_its_default_and_what_is_not_there_is_said() {
    let sandbox = shop();
    let told = sandbox.expect(0, &["explain", "retention.grace", "staging"]).out;
    assert!(told.contains("retention.grace = 10m") && told.contains("nothing sets it"), "{told}");
    let told = sandbox.expect(0, &["explain", "service.web.on-deploy", "staging"]).out;
    assert!(told.contains("restart") && told.contains("nothing sets it"), "{told}");
    let refused = sandbox.expect(2, &["explain", "retention.kep", "staging"]);
    assert!(refused.err.contains("did you mean `retention.keep`?"), "{}", refused.err);
    sandbox.expect(2, &["explain", "no.such.thing", "staging"]);
    sandbox.write("deployfile.kdl", "deployfile 1\nretention { kep 3; }\n");
    sandbox.expect(3, &["explain", "retention.keep"]);
}

#[test]
fn an_error_code_has_a_page_and_needs_no_deployfile() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    let told = sandbox.expect(0, &["explain", "config::conflict"]).out;
    assert!(
        told.starts_with("config::conflict\n\nOne setting has two values of the same strength"),
        "{told}"
    );
    assert!(
        told.contains("\n\nWhy: ") && told.contains("\n\nDo: ") && told.ends_with("\n\nExit: 3\n"),
        "{told}"
    );
    assert!(told.contains("`(force)`") && !told.contains("**"), "{told}");

    let json = sandbox.json(0, &["explain", "verify::health"]);
    assert_eq!((json["format"].as_u64(), json["code"].as_str()), (Some(1), Some("verify::health")));
    assert_eq!(json["exit"], serde_json::json!([6, 7]));
    let page = json["page"].as_str().unwrap();
    assert!(page.starts_with(json["summary"].as_str().unwrap()) && page.contains("Do: "), "{json}");
}

#[test]
fn the_code_of_an_error_is_one_that_can_be_explained() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    let error = sandbox.json(3, &["plan"]);
    let code = error["code"].as_str().unwrap();
    assert_eq!(sandbox.json(0, &["explain", code])["exit"], serde_json::json!([error["exit"]]));
}

#[test]
fn an_area_lists_its_codes_and_colons_alone_all() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    let area = sandbox.expect(0, &["explain", "seal::"]).out;
    assert!(area.lines().count() == 6 && area.lines().all(|line| line.starts_with("seal::")), "{area}");
    assert!(
        area.contains("seal::special-file    A socket, pipe or device stands in the release.\n"),
        "{area}"
    );
    let all = sandbox.json(0, &["explain", "::"]);
    let all = all["codes"].as_array().unwrap();
    assert!(all.len() > 200 && all.iter().any(|one| one["code"] == "hook::veto"), "{}", all.len());
}

#[test]
fn a_code_that_is_not_there_is_said_with_the_nearest() {
    let sandbox = shop();
    let help = |code: &str| {
        let refused = sandbox.expect(2, &["explain", code]).err;
        assert!(refused.starts_with("error[cli::code]: there is no error code"), "{refused}");
        refused.lines().find_map(|line| line.trim().strip_prefix("help: ")).unwrap().to_owned()
    };
    assert_eq!(help("config::conflit"), "did you mean `config::conflict`?");
    assert_eq!(help("hooks::veto"), "did you mean `hook::veto`?");
    assert_eq!(help("config::zzzzzzzz"), "see those of the area: deployfile explain config::");
    assert_eq!(help("zzz::"), "see all of them: deployfile explain ::");
    assert_eq!(help("x::\u{1b}[31m"), "see all of them: deployfile explain ::");
}

/// What is asked for is a setting wherever a block's name comes first.
#[test]
fn a_setting_may_hold_colons() {
    let sandbox = shop();
    let refused = sandbox.expect(2, &["explain", "service.web::x", "staging"]).err;
    assert!(refused.starts_with("error[cli::setting]"), "{refused}");
}

#[test]
fn a_value_that_hosts_do_not_share_is_asked_for_with_the_host() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    sandbox.write(
        "deployfile.kdl",
        "deployfile 1\napp a { root \"/srv/a\"; }\nsource dir \".\"\nservice x { command y; }\n\
         role web { service x { numprocs 3; env { A 1; }; }; }\nrole db { service x { env { A 2; }; }; }\n\
         environment e { host h1 { roles web; }; host h2 { roles db; }; }\n",
    );
    let told = sandbox.expect(2, &["explain", "service.x.numprocs"]).err;
    assert!(told.contains("settled for each host") && told.contains("--host h1"), "{told}");
    let told = sandbox.expect(2, &["explain", "service.x.env.A"]).err;
    assert!(told.contains("--host h1"), "{told}");
    assert!(sandbox.expect(2, &["explain", "service.x"]).err.contains("not the same on h1 and h2"));
    assert!(sandbox.expect(0, &["explain", "service.x.command"]).out.starts_with("service.x.command = y"));
    let on_h2 = sandbox.expect(0, &["explain", "service.x.numprocs", "--host", "h2"]).out;
    assert!(on_h2.contains("= 1") && on_h2.contains("nothing sets it"), "{on_h2}");
}
