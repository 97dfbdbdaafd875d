//! The language server: the protocol's life cycle, open documents, and who answers what.
//!
//! ```text
//! stdin ─reader thread─▶ events ─▶ this loop ─▶ stdout
//!                          ▲            │ open documents, when nothing was typed for a moment
//!                          └─ analysis ◀┘
//! ```
//!
//! One thread reads, one analyses, and this one never waits for either. Requests are answered from the text as it is
//! now; one that needs to know the project waits until it was read. stdout carries the protocol and nothing else.
//!
//! Deliberately not here: KDL and the schema (`deployfile-config`). Nothing is written and no program is run.

mod analysis;
mod client;
mod completion;
mod definition;
mod documents;
mod hover;
mod position;
mod symbols;
mod view;
mod wire;

use analysis::{Analysis, Job};
use client::Client;
use documents::Documents;
use lsp_server::{ErrorCode, Message, Notification, Request, RequestId, Response};
use lsp_types::{self as lsp, ClientCapabilities, CompletionParams, TextDocumentPositionParams, Url};
use position::{Encoding, Lines};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use view::View;
use wire::Incoming;

/// How long nothing must be typed until the text is analysed.
const QUIET: Duration = Duration::from_millis(100);
/// The id of the one request that the server makes.
const WATCH: &str = "watch-files";

/// What the loop hears of.
enum Event {
    Incoming(Incoming),
    Analysed(Result<Analysis, u64>),
}

/// Serves the client on stdin and stdout until it leaves. `main` is the main file of all that is beneath its folder,
/// where one is given. Gives whether the client said good-bye as it should.
///
/// # Errors
/// A thread that cannot be started.
pub(crate) fn serve(main: Option<PathBuf>) -> io::Result<bool> {
    let (sender, events) = channel();
    let to_loop = sender.clone();
    thread::Builder::new().name("reader".to_owned()).spawn(move || read(&to_loop))?;
    let worker = analysis::start(sender, Event::Analysed)?;
    Ok(Server::new(main, worker).run(&events))
}

/// Reads until the client closes its end. The thread is left behind when the server ends: nothing wakes it.
fn read(events: &Sender<Event>) {
    let mut input = io::stdin().lock();
    loop {
        let incoming = wire::read(&mut input);
        let is_end = matches!(incoming, Incoming::Closed);
        if events.send(Event::Incoming(incoming)).is_err() || is_end {
            return;
        }
    }
}

/// Where the protocol's life cycle is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    ShutDown,
}

/// The loop has ended; whether as it should.
struct End(bool);

/// What became of a request.
enum Answer {
    Value(Value),
    Error(ErrorCode, String),
    /// The project must be read first.
    Later,
}

/// What a request needs beside the text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// The project, of whatever moment: names are looked for in the texts as they are now.
    Project,
    /// The project as it is now.
    Values,
}

struct Server {
    phase: Phase,
    client: Client,
    documents: Documents,
    /// Counts what may change a mistake or a value.
    revision: u64,
    /// The last one that was made, of whatever revision.
    analysis: Option<Analysis>,
    /// The revision that was analysed last, also where that failed.
    analysed: u64,
    worker: Sender<Job>,
    /// An analysis is being made.
    busy: bool,
    /// When the next one is due.
    due: Option<Instant>,
    waiting: Vec<Request>,
    /// The files of which the client was told something that is wrong.
    told: BTreeSet<Url>,
}

impl Server {
    fn new(main: Option<PathBuf>, worker: Sender<Job>) -> Self {
        Self {
            phase: Phase::New,
            client: Client::of(&ClientCapabilities::default()),
            documents: Documents::new(main),
            revision: 0,
            analysis: None,
            analysed: 0,
            worker,
            busy: false,
            due: None,
            waiting: Vec::new(),
            told: BTreeSet::new(),
        }
    }

    fn run(mut self, events: &Receiver<Event>) -> bool {
        loop {
            let is_due = self.due.is_some_and(|due| !self.waiting.is_empty() || due <= Instant::now());
            if is_due && !self.busy {
                self.analyse();
            }
            let left =
                self.due.filter(|_| !self.busy).map(|due| due.saturating_duration_since(Instant::now()));
            let event = match left {
                Some(left) => events.recv_timeout(left),
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let handled = match event {
                Ok(event) => self.event(event),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => Err(End(false)),
            };
            if let Err(End(well)) = handled {
                return well;
            }
        }
    }

    fn event(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Incoming(Incoming::Message(Message::Request(request))) => self.request(request),
            Event::Incoming(Incoming::Message(Message::Notification(notification))) => {
                self.notified(notification)
            }
            // The answer to the request to watch files: who refuses it does not watch.
            Event::Incoming(Incoming::Message(Message::Response(_))) => Ok(()),
            Event::Incoming(Incoming::Wrong(answer)) => send(&answer),
            Event::Incoming(Incoming::Closed) => Err(End(self.phase == Phase::ShutDown)),
            Event::Analysed(result) => self.analysed(result),
        }
    }

    fn request(&mut self, request: Request) -> Result<(), End> {
        let answer = match (self.phase, request.method.as_str()) {
            (Phase::New, "initialize") => self.initialize(&request.params),
            (Phase::New, _) => error(ErrorCode::ServerNotInitialized, "the first request is `initialize`"),
            (Phase::ShutDown, _) => error(ErrorCode::InvalidRequest, "the server was shut down"),
            (Phase::Running, "initialize") => error(ErrorCode::InvalidRequest, "the server is initialized"),
            (Phase::Running, "shutdown") => {
                self.phase = Phase::ShutDown;
                for waiting in std::mem::take(&mut self.waiting) {
                    reply(waiting.id, error(ErrorCode::RequestCanceled, "the server was shut down"))?;
                }
                Answer::Value(Value::Null)
            }
            (Phase::Running, _) => {
                // A bug in one answer must not take the editor's server away.
                let answered = catch_unwind(AssertUnwindSafe(|| self.answer(&request)));
                answered.unwrap_or_else(|_| {
                    error(ErrorCode::InternalError, "a bug in deployfile; stderr says where")
                })
            }
        };
        match answer {
            Answer::Later => {
                self.waiting.push(request);
                Ok(())
            }
            answer => reply(request.id, answer),
        }
    }

    fn initialize(&mut self, params: &Value) -> Answer {
        let capabilities = params.get("capabilities").cloned().unwrap_or_default();
        let capabilities = serde_json::from_value(capabilities).unwrap_or_default();
        self.client = Client::of(&capabilities);
        self.phase = Phase::Running;
        let encoding = match self.client.encoding {
            Encoding::Utf8 => "utf-8",
            Encoding::Utf16 => "utf-16",
        };
        Answer::Value(json!({
            "capabilities": {
                "positionEncoding": encoding,
                // 1: a changed document is sent whole.
                "textDocumentSync": { "openClose": true, "change": 1, "save": true },
                "hoverProvider": true,
                "completionProvider": { "triggerCharacters": completion::TRIGGERS },
                "definitionProvider": true,
                "documentFormattingProvider": true,
                "documentSymbolProvider": true,
            },
            "serverInfo": { "name": "deployfile", "version": env!("CARGO_PKG_VERSION") },
        }))
    }

    fn notified(&mut self, notification: Notification) -> Result<(), End> {
        let Notification { method, params } = notification;
        if method == "exit" {
            return Err(End(self.phase == Phase::ShutDown));
        }
        if self.phase != Phase::Running {
            return Ok(());
        }
        match method.as_str() {
            "initialized" => return self.watch_files(),
            "$/cancelRequest" => return self.cancel(&params),
            "textDocument/didOpen" => {
                let Some(lsp::DidOpenTextDocumentParams { text_document: it }) = parse(params) else {
                    return Ok(());
                };
                self.documents.open(it.uri, &it.language_id, it.version, it.text);
            }
            "textDocument/didChange" => {
                let Some(it) = parse::<lsp::DidChangeTextDocumentParams>(params) else { return Ok(()) };
                let Some(change) = it.content_changes.into_iter().next_back() else { return Ok(()) };
                self.documents.change(&it.text_document.uri, it.text_document.version, change.text);
            }
            "textDocument/didClose" => {
                let Some(it) = parse::<lsp::DidCloseTextDocumentParams>(params) else { return Ok(()) };
                self.documents.close(&it.text_document.uri);
            }
            "textDocument/didSave" | "workspace/didChangeWatchedFiles" => {}
            _ => return Ok(()),
        }
        self.revision += 1;
        self.due = Some(Instant::now() + QUIET);
        Ok(())
    }

    /// Imported files and templates change on disk too.
    fn watch_files(&self) -> Result<(), End> {
        if !self.client.watches {
            return Ok(());
        }
        let watchers = json!([{ "globPattern": "**/*.kdl" }, { "globPattern": "**/*.j2" }]);
        let registration = json!({
            "id": WATCH,
            "method": "workspace/didChangeWatchedFiles",
            "registerOptions": { "watchers": watchers },
        });
        let params = json!({ "registrations": [registration] });
        send(
            &json!({ "jsonrpc": "2.0", "id": WATCH, "method": "client/registerCapability", "params": params }),
        )
    }

    fn cancel(&mut self, params: &Value) -> Result<(), End> {
        let Some(id) = params.get("id").and_then(|id| serde_json::from_value::<RequestId>(id.clone()).ok())
        else {
            return Ok(());
        };
        match self.waiting.iter().position(|request| request.id == id) {
            Some(at) => {
                self.waiting.remove(at);
                reply(id, error(ErrorCode::RequestCanceled, "as the client wished"))
            }
            None => Ok(()),
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        let params = request.params.clone();
        match request.method.as_str() {
            "textDocument/hover" => self.at(params, Needs::Values, |view, at| value(hover::of(view, at))),
            "textDocument/definition" => {
                self.at(params, Needs::Project, |view, at| value(definition::of(view, at)))
            }
            "textDocument/completion" => {
                let context = serde_json::from_value(params.clone()).ok();
                let context = context.and_then(|params: CompletionParams| params.context);
                let trigger = context.and_then(|context| context.trigger_character);
                self.at(params, Needs::Project, |view, at| {
                    value(completion::of(view, at, trigger.as_deref()))
                })
            }
            "textDocument/documentSymbol" if !self.client.symbol_tree => Answer::Value(Value::Null),
            "textDocument/documentSymbol" => self.of(params, Needs::Nothing, |view| value(symbols::of(view))),
            "textDocument/formatting" => self.of(params, Needs::Nothing, |view| value(formatted(view))),
            method => error(ErrorCode::MethodNotFound, &format!("there is no `{method}` here")),
        }
    }

    /// Answers what is asked of a position in a document.
    fn at(&self, params: Value, needs: Needs, answer: impl Fn(&View<'_>, lsp::Position) -> Answer) -> Answer {
        match parse::<TextDocumentPositionParams>(params.clone()) {
            Some(asked) => self.of(params, needs, |view| answer(view, asked.position)),
            None => error(ErrorCode::InvalidParams, "a document and a position are needed"),
        }
    }

    /// Answers what is asked of a document.
    fn of(&self, params: Value, needs: Needs, answer: impl Fn(&View<'_>) -> Answer) -> Answer {
        let Some(asked) = params.get("textDocument").cloned().and_then(parse::<lsp::TextDocumentIdentifier>)
        else {
            return error(ErrorCode::InvalidParams, "a document is needed");
        };
        let Some(document) = self.documents.get(&asked.uri) else { return Answer::Value(Value::Null) };
        let known = self.analysis.as_ref().filter(|analysis| analysis.versions.contains_key(&asked.uri));
        let is_behind = self.analysed < self.revision;
        let is_late = match needs {
            Needs::Nothing => false,
            // After a bug in the analysis there is nothing to wait for.
            Needs::Project => known.is_none() && is_behind,
            Needs::Values => is_behind,
        };
        if is_late {
            return Answer::Later;
        }
        let project = |path: &PathBuf| known?.project_of(path);
        let read = document.path.as_ref().and_then(project);
        answer(&View { client: self.client, documents: &self.documents, document, read })
    }

    fn analyse(&mut self) {
        let job = Job { revision: self.revision, documents: self.documents.clone(), client: self.client };
        self.due = None;
        // Only a thread that ended takes no jobs, and it ends with the server.
        self.busy = self.worker.send(job).is_ok();
    }

    fn analysed(&mut self, result: Result<Analysis, u64>) -> Result<(), End> {
        self.busy = false;
        self.analysed = result.as_ref().map_or_else(|revision| *revision, |analysis| analysis.revision);
        if self.phase != Phase::Running {
            return Ok(());
        }
        if let Ok(analysis) = result {
            // What is already typed over would be told at the wrong places; the next one is due anyway.
            if analysis.revision == self.revision {
                self.tell(&analysis)?;
            }
            self.analysis = Some(analysis);
        }
        for request in std::mem::take(&mut self.waiting) {
            self.request(request)?;
        }
        Ok(())
    }

    /// Tells what is wrong with every open document, and with every other file where that is or was something.
    fn tell(&mut self, analysis: &Analysis) -> Result<(), End> {
        let now: BTreeSet<Url> = analysis.mistakes.keys().cloned().collect();
        let open = analysis.versions.keys().cloned();
        let concerned: BTreeSet<Url> =
            open.chain(now.iter().cloned()).chain(self.told.iter().cloned()).collect();
        for uri in concerned {
            let mistakes = analysis.mistakes.get(&uri).map_or(&[][..], Vec::as_slice);
            let mut params = json!({ "uri": uri, "diagnostics": mistakes });
            if let Some(version) = analysis.versions.get(&uri) {
                params["version"] = json!(version);
            }
            send(
                &json!({ "jsonrpc": "2.0", "method": "textDocument/publishDiagnostics", "params": params }),
            )?;
        }
        self.told = now;
        Ok(())
    }
}

/// The canonical layout as one edit; nothing for what is laid out already, or is no KDL, as its mistakes tell.
fn formatted(view: &View<'_>) -> Option<Vec<lsp::TextEdit>> {
    let text = &view.document.text;
    let formatted = deployfile_config::format("document", text.as_bytes().to_vec()).ok()?;
    if !formatted.changes() {
        return Some(Vec::new());
    }
    let range = Lines::new(text, view.client.encoding).range(0..text.len());
    Some(vec![lsp::TextEdit { range, new_text: formatted.after }])
}

fn parse<T: DeserializeOwned>(params: Value) -> Option<T> {
    serde_json::from_value(params).ok()
}

fn value(answer: impl Serialize) -> Answer {
    match serde_json::to_value(answer) {
        Ok(value) => Answer::Value(value),
        Err(error) => Answer::Error(ErrorCode::InternalError, error.to_string()),
    }
}

fn error(code: ErrorCode, message: &str) -> Answer {
    Answer::Error(code, message.to_owned())
}

fn reply(id: RequestId, answer: Answer) -> Result<(), End> {
    let response = match answer {
        Answer::Value(value) => Response { id, response_result: Ok(value) },
        Answer::Error(code, message) => Response::new_err(id, code as i32, message),
        Answer::Later => return Ok(()),
    };
    let mut message = json!(response);
    message["jsonrpc"] = json!("2.0");
    send(&message)
}

/// Sends a message. A client that no longer listens is gone.
fn send(message: &Value) -> Result<(), End> {
    wire::write(&mut io::stdout().lock(), message).map_err(|_| End(false))
}
