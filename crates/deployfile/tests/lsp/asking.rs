//! Hover, definitions and symbols.

use crate::client::{Client, cursor};
use crate::{PARTS, SHOP, shop};
use serde_json::{Value, json};

const MAIN: &str = "deployfile.kdl";

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} is missing in\n{text}"));
}

#[test]
fn a_setting_is_explained() {
    let mut client = Client::usual(&PARTS);
    let hover = client.hover(MAIN, &shop("retention { keep 5", "retention { ke|ep 5"));
    says(
        &hover,
        &[
            "**`retention.keep`**",
            "Good releases that are kept",
            "a whole number from 1 to 10000",
            "default: 5",
        ],
    );
    says(&hover, &["example: `keep 5`", "production = `10`", "local = `5`"]);
    says(
        &hover,
        &[
            "wins: `10`, deployfile.kdl:20, environment production",
            "overridden: `5`, deployfile.kdl:8, top level",
        ],
    );
    // Within one environment only that is shown.
    let hover = client.hover(MAIN, &shop("keep 10", "keep| 10"));
    assert!(hover.contains("production = `10`") && !hover.contains("local = "), "{hover}");
}

#[test]
fn what_is_settled_for_each_host_is_shown_for_hosts() {
    let mut client = Client::usual(&PARTS);
    let hover = client.hover(
        "parts/worker.kdl",
        "role worker {\n  service worker { command \"./worker\"; num|procs 3; }\n}\n",
    );
    says(&hover, &["`service.worker.numprocs`", "local = `3`", "parts/worker.kdl:2"]);
    let text = shop("    env { DATABASE", "    numprocs 2\n    env { DATABASE");
    let hover = client.hover(MAIN, &text.replacen("numprocs", "numpr|ocs", 1));
    says(&hover, &["local, web1.example.com, web2.example.com = `2`"]);
}

#[test]
fn what_repeats_is_told_by_its_place() {
    let mut client = Client::usual(&PARTS);
    let hover = client.hover(MAIN, &shop("  template \"conf", "  run first; ru|n second\n  template \"conf"));
    says(&hover, &["no shell sees it", "second"]);
    assert!(!hover.contains("first"), "{hover}");
}

#[test]
fn properties_markers_and_names_are_explained() {
    let mut client = Client::usual(&PARTS);
    let hover = client.hover(MAIN, &shop("app.j2\" to=", "app.j2\" t|o="));
    says(&hover, &["**`to=`**", "Where it goes, beneath the release.", "required"]);
    let hover = client.hover(MAIN, &shop("retention { keep 5", "(def|ault)retention { keep 5"));
    says(&hover, &["`(default)`", "loses to a definition without a marker"]);
    let hover = client.hover(MAIN, &shop("hook guard", "hook gu|ard"));
    says(&hover, &["plugin `guard`", "deployfile.kdl:7"]);
    let hover = client.hover(MAIN, &shop("roles web worker", "roles web wor|ker"));
    says(&hover, &["role `worker`", "parts/worker.kdl:1"]);
    let hover = client.hover(MAIN, &shop("{{ vars.port }}", "{{ vars.po|rt }}"));
    says(&hover, &["variable `port`", "deployfile.kdl:5"]);
}

#[test]
fn the_value_of_a_secret_is_never_shown() {
    let mut client = Client::usual(&PARTS);
    // The variable is set where the server runs: nobody may look.
    let hover = client.hover(MAIN, &shop("(secret)db-url", "(secret)db-u|rl"));
    says(&hover, &["secret `db-url`", "deployfile.kdl:6"]);
    let hover = client.hover(MAIN, &shop("DATABASE_URL (secret)", "DATABASE_|URL (secret)"));
    says(&hover, &["(secret)db-url"]);
    // What was put there by mistake may be the secret itself.
    let hover = client.hover(MAIN, &shop("(secret)db-url", "(secret)\"hunt|er2!\""));
    assert!(!hover.contains("hunter2"), "{hover}");
}

#[test]
fn without_a_valid_file_there_is_still_documentation() {
    let mut client = Client::usual(&PARTS);
    let hover = client.hover(MAIN, &(shop("retention { keep 5", "retention { ke|ep 5") + "nonsense {"));
    says(&hover, &["Good releases that are kept", "not known while something is wrong"]);
    for nothing in ["deployfile 1\n// com|ment\n", "deployfile 1\n  |\n", "deployfile 1\nnonsen|se\n"] {
        assert_eq!(client.at("textDocument/hover", MAIN, nothing), json!(null), "{nothing}");
    }
    let mut plain = Client::new(&PARTS, &json!({}));
    let hover = plain.hover(MAIN, &shop("retention { keep 5", "retention { ke|ep 5"));
    assert!(!hover.contains("**") && !hover.contains("`5`") && hover.contains("production = 10"), "{hover}");
}

#[test]
fn a_hover_waits_for_the_text_that_it_is_about() {
    let mut client = Client::usual(&PARTS);
    client.open(MAIN, SHOP);
    client.type_text(MAIN, &shop("keep 5", "keep 7"));
    let (_, position) = cursor(&shop("retention { keep 5", "retention { ke|ep 7"));
    let params = json!({ "textDocument": { "uri": client.uri(MAIN) }, "position": position });
    let hover = client.request("textDocument/hover", params);
    says(hover["contents"]["value"].as_str().unwrap(), &["local = `7`"]);
}

#[test]
fn names_lead_to_their_declarations() {
    let mut client = Client::usual(&PARTS);
    let mut goes = |from: &str, to: &str, where_: &[&str]| {
        assert_eq!(client.defined(MAIN, &shop(from, to)), where_, "{to}");
    };
    goes("hook guard", "hook gua|rd", &["deployfile.kdl:6:7"]);
    goes("(secret)db-url", "(secret)d|b-url", &["deployfile.kdl:5:7"]);
    goes("{{ vars.port }}", "{{ vars.p|ort }}", &["deployfile.kdl:4:7"]);
    goes("roles web worker", "roles web w|orker", &["parts/worker.kdl:0:5"]);
    goes("import \"parts/*.kdl\"", "import \"par|ts/*.kdl\"", &["parts/worker.kdl:0:0"]);
    goes("template \"conf/app.j2\"", "template \"conf/|app.j2\"", &["conf/app.j2:0:0"]);
    goes("component \"plugins", "component \"plug|ins", &["plugins/guard.wasm:0:0"]);
    goes("template \"conf/app.j2\"", "template \"conf/|none.j2\"", &[]);
    goes("keep 5", "ke|ep 5", &[]);
}

#[test]
fn use_leads_to_services_and_profiles_and_allow_to_secrets() {
    let mut client = Client::usual(&PARTS);
    let more = "profile live { env { A 1; }; }\nservice base { abstract; command \"x\"; }\n";
    let text = SHOP.to_owned() + more;
    let with = |from: &str, to: &str| text.replacen(from, to, 1);
    let live =
        client.defined(MAIN, &with("environment production {", "environment production {\n  use l|ive"));
    assert_eq!(live, ["deployfile.kdl:24:8"]);
    let base =
        client.defined(MAIN, &with("    command \"./web\"", "    use \"ba|se\"\n    command \"./web\""));
    assert_eq!(base, ["deployfile.kdl:25:8"]);
    let secret = client.defined(MAIN, &shop("guard.wasm\";", "guard.wasm\"; allow secret=d|b-url;"));
    assert_eq!(secret, ["deployfile.kdl:5:7"]);
}

#[test]
fn definitions_do_not_need_a_valid_file() {
    let mut client = Client::usual(&PARTS);
    let found = client.defined(MAIN, &shop("hook guard; }", "hook gua|rd; }\n  numpr"));
    assert_eq!(found, ["deployfile.kdl:6:7"]);
    // From the imported file to the main one, of which nothing but the disk is known.
    let mut client = Client::usual(&PARTS);
    let found = client
        .defined("parts/worker.kdl", "role worker { service worker { env { A (secret)db|-url; }; }; }\n");
    assert_eq!(found, ["deployfile.kdl:5:7"]);
}

#[test]
fn symbols_are_a_tree() {
    let mut client = Client::usual(&PARTS);
    client.open(MAIN, SHOP);
    let params = json!({ "textDocument": { "uri": client.uri(MAIN) } });
    let symbols = client.request("textDocument/documentSymbol", params);
    let named = |list: &Value, name: &str| -> Value {
        let found = list.as_array().unwrap().iter().find(|symbol| symbol["name"] == name);
        found.cloned().unwrap_or_else(|| panic!("{name} is missing in {list}"))
    };
    let local = named(&symbols, "local");
    assert_eq!((&local["detail"], &local["range"]["start"]["line"]), (&json!("environment"), &json!(22)));
    named(&local["children"], "localhost");
    named(&named(&symbols, "web")["children"], "web");
    named(&symbols, "retention");
    let mut old = Client::new(&PARTS, &json!({}));
    old.open(MAIN, SHOP);
    let params = json!({ "textDocument": { "uri": old.uri(MAIN) } });
    assert_eq!(old.request("textDocument/documentSymbol", params), json!(null));
}

#[test]
fn a_main_file_of_another_name_is_named_with_f() {
    let files = [("shop.kdl", SHOP), PARTS[1], PARTS[2], PARTS[3]];
    let mut client = Client::started(&files, &["-f", "shop.kdl", "lsp"]);
    client.request("initialize", json!({ "capabilities": {} }));
    client.notify("initialized", json!({}));
    let found = client
        .defined("parts/worker.kdl", "role worker { service worker { env { A (secret)db|-url; }; }; }\n");
    assert_eq!(found, ["shop.kdl:5:7"]);
}
