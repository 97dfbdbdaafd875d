//! Beginning, end, and messages that are not what they should be.

use crate::client::Client;
use crate::{PARTS, SHOP, long};
use serde_json::json;

const SERVER_NOT_INITIALIZED: i64 = -32002;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const PARSE_ERROR: i64 = -32700;
const REQUEST_CANCELLED: i64 = -32800;

#[test]
fn a_client_that_says_good_bye_gets_0() {
    let mut client = Client::usual(&PARTS);
    assert_eq!(client.request("shutdown", json!(null)), json!(null));
    assert_eq!(client.refused("textDocument/hover", json!({})), INVALID_REQUEST);
    client.notify("exit", json!(null));
    assert_eq!(client.exit(), Some(0));
}

#[test]
fn a_client_that_only_leaves_gets_1() {
    let mut client = Client::usual(&PARTS);
    client.notify("exit", json!(null));
    assert_eq!(client.exit(), Some(1));
    assert_eq!(Client::usual(&PARTS).ended(), Some(1));
    let mut client = Client::started(&[], &["lsp"]);
    client.notify("exit", json!(null));
    assert_eq!(client.exit(), Some(1));
    let mut client = Client::usual(&PARTS);
    client.request("shutdown", json!(null));
    assert_eq!(client.ended(), Some(0));
}

#[test]
fn nothing_is_answered_before_initialize() {
    let mut client = Client::started(&PARTS, &["lsp", "--stdio"]);
    assert_eq!(client.refused("textDocument/hover", json!({})), SERVER_NOT_INITIALIZED);
    client.notify("textDocument/didOpen", json!({}));
    let answer = client.request("initialize", json!({ "capabilities": {} }));
    assert_eq!(answer["capabilities"]["positionEncoding"], "utf-16");
    for provider in
        ["hoverProvider", "definitionProvider", "documentFormattingProvider", "documentSymbolProvider"]
    {
        assert_eq!(answer["capabilities"][provider], true, "{provider}");
    }
    assert_eq!(client.refused("initialize", json!({ "capabilities": {} })), INVALID_REQUEST);
}

#[test]
fn what_is_wrong_costs_one_message_and_not_the_session() {
    let mut client = Client::usual(&PARTS);
    assert_eq!(client.refused("textDocument/rename", json!({})), METHOD_NOT_FOUND);
    assert_eq!(client.refused("textDocument/hover", json!({ "textDocument": 7 })), INVALID_PARAMS);
    assert_eq!(client.refused("textDocument/formatting", json!([])), INVALID_PARAMS);
    client.notify("textDocument/didOpen", json!({ "textDocument": [] }));
    client.notify("textDocument/didChange", json!("?"));
    client.notify("$/nobodyKnowsThis", json!({}));
    client.raw(b"Content-Length: 9\r\n\r\n{\"json\": ");
    assert_eq!(client.answer(&json!(null))["error"]["code"], PARSE_ERROR);
    client.raw(b"Content-Length: 4\r\n\r\n\xff\xfe\xfd\xfc");
    assert_eq!(client.answer(&json!(null))["error"]["code"], PARSE_ERROR);
    client.send(&json!({ "id": "x" }));
    assert_eq!(client.answer(&json!("x"))["error"]["code"], INVALID_REQUEST);
    client.send(&json!([1, 2]));
    assert_eq!(client.answer(&json!(null))["error"]["code"], INVALID_REQUEST);
    let deep = "[".repeat(100_000);
    client.raw(format!("Content-Length: {}\r\n\r\n{deep}", deep.len()).as_bytes());
    assert_eq!(client.answer(&json!(null))["error"]["code"], PARSE_ERROR);
    let unknown = json!({ "textDocument": { "uri": client.uri("nowhere.kdl") }, "position": { "line": 0, "character": 0 } });
    assert_eq!(client.request("textDocument/hover", unknown), json!(null));
    assert!(client.open("deployfile.kdl", SHOP).is_empty(), "the session goes on");
}

#[test]
fn a_header_without_a_length_ends_it() {
    let mut client = Client::usual(&PARTS);
    client.raw(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.exit(), Some(1));
}

#[test]
fn a_request_that_waits_can_be_cancelled() {
    let mut client = Client::usual(&PARTS);
    client.open_only("deployfile.kdl", &long());
    let document = json!({ "uri": client.uri("deployfile.kdl") });
    let params = json!({ "textDocument": document, "position": { "line": 7, "character": 13 } });
    let cancelled = client.ask("textDocument/hover", params.clone());
    client.notify("$/cancelRequest", json!({ "id": cancelled }));
    assert_eq!(client.answer(&json!(cancelled))["error"]["code"], REQUEST_CANCELLED);
    assert!(client.request("textDocument/hover", params).is_object(), "others are answered");
}

#[test]
fn what_needs_no_project_does_not_wait_for_one() {
    let mut client = Client::usual(&PARTS);
    client.open_only("deployfile.kdl", &long());
    let params = json!({ "textDocument": { "uri": client.uri("deployfile.kdl") } });
    assert!(client.request("textDocument/documentSymbol", params).is_array());
    assert!(!client.heard_of("deployfile.kdl"), "it was answered while the project is read");
    assert!(client.told("deployfile.kdl").is_empty());
}

#[test]
fn files_are_watched_by_clients_that_can() {
    let capabilities = json!({ "workspace": { "didChangeWatchedFiles": { "dynamicRegistration": true } } });
    let mut client = Client::new(&PARTS, &capabilities);
    let request = client.wait(|message| message["method"] == "client/registerCapability");
    assert_eq!(request["params"]["registrations"][0]["method"], "workspace/didChangeWatchedFiles");
    client.send(&json!({ "jsonrpc": "2.0", "id": request["id"], "result": null }));
    assert!(client.open("deployfile.kdl", SHOP).is_empty());
    client.sandbox.write("parts/worker.kdl", "role worker { nonsense; }\n");
    let changes = json!([{ "uri": client.uri("parts/worker.kdl"), "type": 2 }]);
    client.notify("workspace/didChangeWatchedFiles", json!({ "changes": changes }));
    assert_eq!(client.told("parts/worker.kdl")[0]["code"], "config::unknown-node");
}
