//! Diagnostics.

use crate::client::Client;
use crate::{PARTS, SHOP, long, shop};
use serde_json::{Value, json};

fn codes(mistakes: &[Value]) -> Vec<&str> {
    mistakes.iter().map(|one| one["code"].as_str().unwrap()).collect()
}

fn range(mistake: &Value) -> [i64; 4] {
    let at = |end: &str, what: &str| mistake["range"][end][what].as_i64().unwrap();
    [at("start", "line"), at("start", "character"), at("end", "line"), at("end", "character")]
}

#[test]
fn they_come_as_one_types_and_go() {
    let mut client = Client::usual(&PARTS);
    assert!(client.open("deployfile.kdl", SHOP).is_empty());
    let wrong = client.change("deployfile.kdl", &shop("keep 5", "kepp 5"));
    assert_eq!(codes(&wrong), ["config::unknown-node"]);
    assert_eq!((&wrong[0]["severity"], &wrong[0]["source"]), (&json!(1), &json!("deployfile")));
    assert_eq!(range(&wrong[0]), [7, 12, 7, 16]);
    let message = wrong[0]["message"].as_str().unwrap();
    assert!(
        message.contains("no setting `kepp`") && message.contains("help: did you mean `keep`?"),
        "{message}"
    );
    assert!(client.change("deployfile.kdl", SHOP).is_empty(), "mended");
    let open = client.change("deployfile.kdl", "deployfile 1\napp shop {\n");
    assert_eq!(codes(&open), ["config::brace"]);
    client.forget();
    client.close("deployfile.kdl");
    assert!(client.told("deployfile.kdl").is_empty(), "closed");
}

#[test]
fn what_is_typed_counts_and_not_what_is_on_disk() {
    let mut client = Client::usual(&PARTS);
    client.sandbox.write("deployfile.kdl", "rubbish {");
    assert!(client.open("deployfile.kdl", SHOP).is_empty());
    let part = client.open("parts/worker.kdl", "role worker { rubbish; }\n");
    assert_eq!(codes(&part), ["config::unknown-node"]);
    // A file that is not saved yet is imported all the same.
    let new = client.open("parts/new.kdl", "role web { service web { numprocs 0; }; }\n");
    assert_eq!(codes(&new), ["config::value"]);
    client.forget();
    client.close("parts/new.kdl");
    assert!(client.told("parts/new.kdl").is_empty());
}

#[test]
fn an_imported_file_is_checked_through_the_main_one() {
    let mut client = Client::usual(&PARTS);
    let good = "role worker { service worker { command \"{{ vars.port }}\"; }; }\n";
    assert!(client.open("parts/worker.kdl", good).is_empty(), "its variable is the main file's");
    let bad = client
        .change("parts/worker.kdl", "role worker { service worker { command \"{{ vars.prot }}\"; }; }\n");
    assert_eq!(codes(&bad), ["config::look-up"]);
    // The main file is not open, and is told about too.
    client.sandbox.write("deployfile.kdl", &shop("keep 5", "kepp 5"));
    client
        .notify("textDocument/didSave", json!({ "textDocument": { "uri": client.uri("parts/worker.kdl") } }));
    assert_eq!(codes(&client.told("deployfile.kdl")), ["config::unknown-node"]);
    client.forget();
    client.close("parts/worker.kdl");
    assert!(client.told("deployfile.kdl").is_empty());
}

#[test]
fn a_file_from_outside_is_part_of_the_project_that_imports_it() {
    let mut client = Client::usual(&[]);
    let main = "deployfile 1\nimport \"../shared/all.kdl\" outside=#true\nenv { A (secret)db; }\n";
    client.sandbox.write("shop/deployfile.kdl", main);
    client.sandbox.write("shared/all.kdl", "secret db env DB\nnonsense\n");
    client.open("shop/deployfile.kdl", main);
    assert_eq!(codes(&client.told("shared/all.kdl")), ["config::unknown-node"], "as it is on disk");
    assert!(client.open("shared/all.kdl", "secret db env DB\n").is_empty(), "as it is typed");
    let found = client.defined("shop/deployfile.kdl", &main.replacen("db;", "d|b;", 1));
    assert_eq!(found, ["shared/all.kdl:0:7"]);
    let found = client.defined("shop/deployfile.kdl", &main.replacen("all", "a|ll", 1));
    assert_eq!(found, ["shared/all.kdl:0:0"]);
    client.forget();
    let wrong = client.open("shared/all.kdl", "secret bd env DB\n");
    assert!(wrong.is_empty() && codes(&client.told("shop/deployfile.kdl")) == ["config::undeclared"]);
}

#[test]
fn a_file_that_nothing_imports_is_checked_alone() {
    let mut client = Client::usual(&PARTS);
    assert!(
        client
            .open(
                "other.kdl",
                "env { A (secret)elsewhere; }\nservice x { command \"{{ vars.elsewhere }}\"; }\n"
            )
            .is_empty()
    );
    assert_eq!(codes(&client.change("other.kdl", "service x { comand y; }\n")), ["config::unknown-node"]);
    let main = client.open("second.kdl", "deployfile 1\nenv { A (secret)nowhere; }\n");
    assert_eq!(codes(&main), ["config::undeclared"], "a main file of another name is a whole");
    assert!(client.open("conf/app.j2", "{{ vars.port }} { not kdl").is_empty(), "a template is no KDL");
}

#[test]
fn a_template_is_told_about_where_it_is_wrong() {
    let mut client = Client::usual(&PARTS);
    client.open("deployfile.kdl", SHOP);
    let wrong = client.open("conf/app.j2", "port = 1\nx = {{ vars.port\n");
    assert_eq!(codes(&wrong), ["config::template"]);
    assert_eq!(range(&wrong[0])[0], 1);
}

#[test]
fn kdl_of_others_is_none_of_ours() {
    let mut client = Client::usual(&[]);
    assert!(client.open("config.kdl", "keybinds { normal; }\n").is_empty());
    assert_eq!(
        codes(&client.change("config.kdl", "deployfile 1\nkeybinds { normal; }\n")),
        ["config::unknown-node"]
    );
}

#[test]
fn columns_are_utf_16_or_utf_8() {
    // Before the mistake stand one character of 2 bytes and 1 unit of UTF-16, and one of 4 bytes and 2 units.
    let text = shop("vars { port 9010; }", "vars { port 9010; a \"é𝄞\"; b (secret)x; }");
    let columns = |capabilities: &Value| {
        let wrong = Client::new(&PARTS, capabilities).open("deployfile.kdl", &text);
        let secret = wrong.iter().find(|one| one["code"] == "config::secret").unwrap();
        range(secret)
    };
    assert_eq!(columns(&json!({})), [4, 37, 4, 38]);
    let utf8 = json!({ "general": { "positionEncodings": ["utf-16", "utf-8"] } });
    assert_eq!(columns(&utf8), [4, 40, 4, 41]);
}

#[test]
fn other_places_are_named() {
    let twice = shop("source dir \".\"", "source dir \".\"\nsource dir \"x\"");
    let mut client = Client::usual(&PARTS);
    let wrong = client.open("deployfile.kdl", &twice);
    let related = &wrong[0]["relatedInformation"][0];
    assert_eq!((codes(&wrong), &related["message"]), (vec!["config::duplicate"], &json!("first here")));
    assert_eq!(related["location"]["uri"], client.uri("deployfile.kdl"));
    assert_eq!(related["location"]["range"]["start"], json!({ "line": 3, "character": 0 }));
    // Without the capability it stands in the message.
    let mut client = Client::new(&PARTS, &json!({}));
    let wrong = client.open("deployfile.kdl", &twice);
    assert!(wrong[0].get("relatedInformation").is_none());
    assert!(wrong[0]["message"].as_str().unwrap().contains("deployfile.kdl:4:1: first here"), "{}", wrong[0]);
}

#[test]
fn warnings_are_warnings_and_environments_are_resolved() {
    let mut client = Client::usual(&PARTS);
    let wrong = client.open("deployfile.kdl", &shop("role web {", "role wbe { env { A 1; }; }\nrole web {"));
    assert_eq!((codes(&wrong), &wrong[0]["severity"]), (vec!["config::unused-role"], &json!(2)));
    // That a service has no command is known only when an environment is put together.
    let wrong = client.change("deployfile.kdl", &shop("    command \"./web\" \"{{ vars.port }}\"\n", ""));
    assert!(!wrong.is_empty() && wrong.iter().all(|one| one["severity"] == 1), "{wrong:?}");
}

#[test]
fn what_is_typed_over_is_not_told_about() {
    let mut client = Client::usual(&PARTS);
    client.open_only("deployfile.kdl", &long());
    // Somebody who waits for the project makes it be read at once: the next text comes while that goes on.
    let params = json!({ "textDocument": { "uri": client.uri("deployfile.kdl") }, "position": { "line": 7, "character": 13 } });
    let hover = client.ask("textDocument/hover", params);
    for n in 0..50 {
        client.type_text("deployfile.kdl", &shop("keep 5", &format!("kepp{n} 5")));
    }
    assert!(client.change("deployfile.kdl", SHOP).is_empty());
    assert!(client.answer(&json!(hover))["result"].is_object());
    assert!(!client.heard_of("deployfile.kdl"), "only the last text was told about");
}

#[test]
fn a_hostile_text_keeps_nobody_from_typing() {
    let mut client = Client::usual(&PARTS);
    let deep = format!("deployfile 1\n{}", "a {".repeat(100_000));
    assert_eq!(codes(&client.open("deployfile.kdl", &deep)), ["config::depth"]);
    let symbols = json!({ "textDocument": { "uri": client.uri("deployfile.kdl") } });
    assert!(client.request("textDocument/documentSymbol", symbols).is_array());
    assert!(client.change("deployfile.kdl", SHOP).is_empty());
}
