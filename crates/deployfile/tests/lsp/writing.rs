//! Completion and formatting.

use crate::client::Client;
use crate::{PARTS, SHOP, shop};
use serde_json::{Value, json};

const MAIN: &str = "deployfile.kdl";

#[track_caller]
fn has(offered: &[String], wanted: &[&str], not: &[&str]) {
    wanted.iter().for_each(|one| assert!(offered.iter().any(|o| o == one), "{one} is missing: {offered:?}"));
    not.iter().for_each(|one| assert!(!offered.iter().any(|o| o == one), "{one} is too much: {offered:?}"));
}

#[test]
fn settings_of_the_block_at_hand() {
    let mut client = Client::usual(&PARTS);
    let offered = client.offered(MAIN, &shop("    env { DATABASE", "    |\n    env { DATABASE"));
    has(&offered, &["numprocs", "on-deploy", "health"], &["command", "env", "retention", "keep"]);
    has(
        &client.offered(MAIN, &(SHOP.to_owned() + "|")),
        &["environment", "service"],
        &["numprocs", "deployfile"],
    );
}

#[test]
fn a_half_typed_line_is_completed() {
    let mut client = Client::usual(&PARTS);
    let text = shop(
        "    env { DATABASE_URL (secret)db-url; }\n  }\n}\n",
        "    env { DATABASE_URL (secret)db-url; }\n    num|",
    );
    has(&client.offered(MAIN, &text), &["numprocs"], &["retention"]);
    has(&client.offered(MAIN, &shop("hook guard; }", "hook |")), &["guard"], &["db-url"]);
    has(&client.offered(MAIN, &shop("hook guard; }", "hook \"gu|")), &["guard"], &[]);
    has(&client.offered(MAIN, &shop("(secret)db-url; }", "(secret)|")), &["db-url"], &["guard"]);
}

#[test]
fn words_properties_and_names() {
    let mut client = Client::usual(&PARTS);
    let line = |line: &str| shop("    env { DATABASE", &format!("    {line}\n    env {{ DATABASE"));
    has(&client.offered(MAIN, &line("on-deploy |")), &["restart", "handover"], &[]);
    has(&client.offered(MAIN, &line("stop |")), &["signal=", "timeout="], &[]);
    has(&client.offered(MAIN, &line("stop signal=|")), &["TERM", "QUIT"], &["timeout="]);
    has(&client.offered(MAIN, &line("use |")), &["worker"], &["live"]);
    let text =
        shop("environment production {", "profile live { env { A 1; }; }\nenvironment production {\n  use |");
    has(&client.offered(MAIN, &text), &["live"], &["worker"]);
    has(&client.offered(MAIN, &shop("roles web worker", "roles web |")), &["web", "worker"], &["guard"]);
    has(&client.offered(MAIN, &shop("guard.wasm\";", "guard.wasm\"; allow secret=|")), &["db-url"], &[]);
    has(&client.offered(MAIN, &shop("{ DATABASE_URL (secret)db-url", "{ A |")), &["(secret)db-url"], &[]);
    has(
        &client.offered(MAIN, &shop("retention { keep 5", "(|)retention { keep 5")),
        &["default", "force"],
        &["keep"],
    );
}

#[test]
fn look_ups_in_strings() {
    let mut client = Client::usual(&PARTS);
    let command = client.offered(MAIN, &shop("\"{{ vars.port }}\"", "\"{{ |"));
    has(&command, &["release", "service", "vars.port"], &["numprocs"]);
    let root = client.offered(MAIN, &shop("\"/srv/shop\"", "\"/srv/{{ | }}\""));
    has(&root, &["environment", "app"], &["release", "service"]);
    // From an imported file, the main file's variables.
    let worker = client.offered("parts/worker.kdl", "role worker { service worker { command \"{{ vars.|");
    has(&worker, &["vars.port"], &[]);
}

/// The item of this label.
fn item(items: &Value, label: &str) -> Value {
    items.as_array().unwrap().iter().find(|item| item["label"] == label).unwrap().clone()
}

#[test]
fn an_item_replaces_what_is_typed_and_says_what_it_is() {
    let mut client = Client::usual(&PARTS);
    let text = shop("    env { DATABASE", "    num|p\n    env { DATABASE");
    let items = client.at("textDocument/completion", MAIN, &text);
    let numprocs = item(&items, "numprocs");
    let range = json!({ "start": { "line": 11, "character": 4 }, "end": { "line": 11, "character": 8 } });
    assert_eq!(numprocs["textEdit"], json!({ "range": range, "newText": "numprocs ${1:processes}" }));
    assert_eq!(numprocs["insertTextFormat"], 2);
    assert!(numprocs["documentation"]["value"].as_str().unwrap().contains("processes"), "{numprocs}");
    let items = client.at("textDocument/completion", MAIN, &(SHOP.to_owned() + "|"));
    assert_eq!(item(&items, "service")["textEdit"]["newText"], "service ${1:name} {\n  $0\n\\}");
    assert_eq!(
        item(&items, "rollout")["detail"].as_str().map(|text| text.contains("not built yet")),
        Some(true)
    );
    // A line that goes on gets its name only.
    let items = client.at("textDocument/completion", MAIN, &shop("keep 5", "ke| 5"));
    assert_eq!(item(&items, "keep")["textEdit"]["newText"], "keep");
}

#[test]
fn a_client_without_snippets_gets_none() {
    let mut client = Client::new(&PARTS, &json!({}));
    let items = client.at("textDocument/completion", MAIN, &(SHOP.to_owned() + "|"));
    for item in items.as_array().unwrap() {
        assert_eq!(
            (&item["textEdit"]["newText"], item.get("insertTextFormat")),
            (&item["label"], None),
            "{item}"
        );
    }
}

#[test]
fn columns_of_items_are_utf_16() {
    let mut client = Client::usual(&PARTS);
    let text = shop("\"{{ vars.port }}\"", "\"é𝄞\" \"{{ vars.p| }}\"");
    let items = client.at("textDocument/completion", MAIN, &text);
    let range = &item(&items, "vars.port")["textEdit"]["range"];
    // `    command "./web" "é𝄞" "{{ ` is 30 units of UTF-16, 29 characters and 33 bytes.
    assert_eq!((&range["start"]["character"], &range["end"]["character"]), (&json!(30), &json!(36)));
}

#[test]
fn a_list_that_opens_by_itself_does_not_take_the_enter() {
    let mut client = Client::usual(&PARTS);
    let mut triggered = |marked: &str, trigger: &str| {
        let (text, position) = crate::client::cursor(marked);
        client.open(MAIN, &text);
        let context = json!({ "triggerKind": 2, "triggerCharacter": trigger });
        let document = json!({ "uri": client.uri(MAIN) });
        let params = json!({ "textDocument": document, "position": position, "context": context });
        client.request("textDocument/completion", params).as_array().unwrap().len()
    };
    assert_eq!(triggered(&(SHOP.to_owned() + "service x {|"), "{"), 0);
    assert_eq!(triggered(&shop("command \"./web\"", "stop |"), " "), 0);
    assert!(triggered(&shop("hook guard", "hook |"), " ") > 0);
    assert!(triggered(&shop("{{ vars.port }}", "{{|"), "{") > 0);
}

#[test]
fn the_layout_is_one_edit() {
    let mut client = Client::usual(&PARTS);
    let options = json!({ "tabSize": 8, "insertSpaces": false });
    let params = json!({ "textDocument": { "uri": client.uri(MAIN) }, "options": options });
    client.open(MAIN, "deployfile 1\n\n\n\n  vars {\na \"é\"  \n}");
    let edits = client.request("textDocument/formatting", params.clone());
    let range = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 6, "character": 1 } });
    assert_eq!(edits, json!([{ "range": range, "newText": "deployfile 1\n\nvars {\n  a \"é\"\n}\n" }]));
    client.change(MAIN, "deployfile 1\n\nvars {\n  a \"é\"\n}\n");
    assert_eq!(client.request("textDocument/formatting", params.clone()), json!([]));
    client.change(MAIN, "deployfile 1\n  vars {\n");
    assert_eq!(client.request("textDocument/formatting", params), json!(null));
}
