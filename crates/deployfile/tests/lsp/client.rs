//! An editor, as small as one can be: it speaks the protocol to the real program.

use deployfile_testkit::Sandbox;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Far more than any answer takes; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client with a server of its own.
pub(crate) struct Client {
    pub(crate) sandbox: Sandbox,
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<Value>,
    /// Notifications and requests of the server that nobody asked for yet.
    heard: VecDeque<Value>,
    next: i64,
    version: i64,
}

impl Client {
    /// In a sandbox whose project has these files; initialized with these capabilities.
    pub(crate) fn new(files: &[(&str, &str)], capabilities: &Value) -> Self {
        let mut client = Self::started(files, &["lsp"]);
        let answer = client.request(
            "initialize",
            json!({ "processId": null, "rootUri": null, "capabilities": capabilities }),
        );
        assert_eq!(answer["serverInfo"]["name"], "deployfile", "{answer}");
        client.notify("initialized", json!({}));
        client
    }

    /// Like most editors.
    pub(crate) fn usual(files: &[(&str, &str)]) -> Self {
        let text = json!({
            "completion": { "completionItem": { "snippetSupport": true, "documentationFormat": ["markdown"] } },
            "hover": { "contentFormat": ["markdown", "plaintext"] },
            "publishDiagnostics": { "relatedInformation": true },
            "documentSymbol": { "hierarchicalDocumentSymbolSupport": true },
        });
        Self::new(files, &json!({ "textDocument": text }))
    }

    /// Not initialized yet.
    pub(crate) fn started(files: &[(&str, &str)], args: &[&str]) -> Self {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
        files.iter().for_each(|(path, text)| sandbox.write(path, text));
        let mut command = sandbox.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, output) = channel();
        thread::spawn(move || {
            while let Some(message) = read(&mut stdout) {
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        Self { sandbox, child, input, output, heard: VecDeque::new(), next: 1, version: 1 }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).and_then(|()| input.flush()).unwrap();
    }

    pub(crate) fn send(&mut self, message: &Value) {
        let body = message.to_string();
        self.raw(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    }

    pub(crate) fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Asks, and gives the number of the question.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> i64 {
        let id = self.next;
        self.next += 1;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    /// The whole answer to a question.
    pub(crate) fn answer(&mut self, id: &Value) -> Value {
        self.wait(|message| message.get("method").is_none() && message["id"] == *id)
    }

    /// The result of a request; an error fails the test.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        let mut answer = self.answer(&json!(id));
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// The code of the error with which a request is refused.
    pub(crate) fn refused(&mut self, method: &str, params: Value) -> i64 {
        let id = self.ask(method, params);
        let answer = self.answer(&json!(id));
        answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("{method} was not refused: {answer}"))
    }

    /// The next message for which this holds; others are kept.
    pub(crate) fn wait(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.heard.iter().position(&wanted) {
            return self.heard.remove(at).unwrap();
        }
        loop {
            let message = self.output.recv_timeout(PATIENCE).expect("the server says what is waited for");
            assert_eq!(message["jsonrpc"], "2.0", "{message}");
            if wanted(&message) {
                return message;
            }
            self.heard.push_back(message);
        }
    }

    pub(crate) fn uri(&self, path: &str) -> String {
        format!("file://{}", self.sandbox.project().join(path).display())
    }

    /// Opens a file with a text of its own, and gives what is wrong with it.
    pub(crate) fn open(&mut self, path: &str, text: &str) -> Vec<Value> {
        self.open_only(path, text);
        self.mistakes(path)
    }

    pub(crate) fn open_only(&mut self, path: &str, text: &str) {
        self.version += 1;
        let document =
            json!({ "uri": self.uri(path), "languageId": "kdl", "version": self.version, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
    }

    /// Types a whole new text, and gives what is wrong with it.
    pub(crate) fn change(&mut self, path: &str, text: &str) -> Vec<Value> {
        self.type_text(path, text);
        self.mistakes(path)
    }

    pub(crate) fn type_text(&mut self, path: &str, text: &str) {
        self.version += 1;
        let document = json!({ "uri": self.uri(path), "version": self.version });
        let params = json!({ "textDocument": document, "contentChanges": [{ "text": text }] });
        self.notify("textDocument/didChange", params);
    }

    pub(crate) fn close(&mut self, path: &str) {
        let params = json!({ "textDocument": { "uri": self.uri(path) } });
        self.notify("textDocument/didClose", params);
    }

    /// What is said to be wrong with a file that is open, in the text that was sent last.
    fn mistakes(&mut self, path: &str) -> Vec<Value> {
        let (uri, version) = (self.uri(path), self.version);
        let told = self.wait(|message| published(message, &uri) && message["params"]["version"] == version);
        told["params"]["diagnostics"].as_array().unwrap().clone()
    }

    /// What is said next to be wrong with any file.
    pub(crate) fn told(&mut self, path: &str) -> Vec<Value> {
        let uri = self.uri(path);
        let told = self.wait(|message| published(message, &uri));
        told["params"]["diagnostics"].as_array().unwrap().clone()
    }

    /// Whether anything was said of a file that nobody asked for yet.
    pub(crate) fn heard_of(&self, path: &str) -> bool {
        let uri = self.uri(path);
        self.heard.iter().any(|message| published(message, &uri))
    }

    /// Forgets all that the server said by itself.
    pub(crate) fn forget(&mut self) {
        self.heard.clear();
    }

    /// Opens a text in which `|` is the cursor, and asks something there.
    pub(crate) fn at(&mut self, method: &str, path: &str, marked: &str) -> Value {
        let (text, position) = cursor(marked);
        self.open(path, &text);
        self.request(method, json!({ "textDocument": { "uri": self.uri(path) }, "position": position }))
    }

    /// The labels that are offered at the `|`.
    pub(crate) fn offered(&mut self, path: &str, marked: &str) -> Vec<String> {
        let items = self.at("textDocument/completion", path, marked);
        items.as_array().unwrap().iter().map(|item| item["label"].as_str().unwrap().to_owned()).collect()
    }

    /// The text of the hover at the `|`.
    pub(crate) fn hover(&mut self, path: &str, marked: &str) -> String {
        let hover = self.at("textDocument/hover", path, marked);
        hover["contents"]["value"].as_str().unwrap_or_else(|| panic!("no hover: {hover}")).to_owned()
    }

    /// Where the definitions of what is at the `|` are: `file:line:column`, from 0.
    pub(crate) fn defined(&mut self, path: &str, marked: &str) -> Vec<String> {
        let found = self.at("textDocument/definition", path, marked);
        let folder = self.uri("");
        let place = |found: &Value| {
            let (file, start) = (found["uri"].as_str().unwrap(), &found["range"]["start"]);
            let file = file.strip_prefix(&folder).unwrap_or(file);
            format!("{file}:{}:{}", start["line"], start["character"])
        };
        found.as_array().unwrap().iter().map(place).collect()
    }

    /// Closes the server's stdin and waits for its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        drop(self.input.take());
        self.exit()
    }

    /// Waits for the server's exit code.
    pub(crate) fn exit(&mut self) -> Option<i32> {
        let mut code = None;
        deployfile_testkit::until("the server ends", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn published(message: &Value, uri: &str) -> bool {
    message["method"] == "textDocument/publishDiagnostics" && message["params"]["uri"] == uri
}

/// The text without its `|`, and where that was, as UTF-16 counts.
pub(crate) fn cursor(marked: &str) -> (String, Value) {
    let at = marked.find('|').expect("a cursor");
    let before = &marked[..at];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let position =
        json!({ "line": before.matches('\n').count(), "character": before[start..].encode_utf16().count() });
    (marked.replacen('|', "", 1), position)
}

/// One message of the server; anything else on stdout fails.
fn read(input: &mut impl BufRead) -> Option<Value> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        let line =
            line.strip_suffix("\r\n").unwrap_or_else(|| panic!("stdout carries something else: {line:?}"));
        if line.is_empty() {
            break;
        }
        length = Some(line.strip_prefix("Content-Length: ").expect("one header").parse::<usize>().unwrap());
    }
    let mut body = vec![0; length.unwrap()];
    input.read_exact(&mut body).unwrap();
    Some(serde_json::from_slice(&body).unwrap())
}
