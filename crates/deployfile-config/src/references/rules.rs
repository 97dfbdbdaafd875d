//! Rules for the values of single settings, beyond their type.

use crate::diagnostic::Findings;
use crate::resolve::plugin::{is_granted_path, is_remote};
use crate::schema::shape;
use crate::tree::{Node, Value};
use deployfile_model::{HostPath, RelPath, ReleaseId, Stage};

pub(super) fn check(node: &Node, parent: &str, findings: &mut Findings<'_>) {
    match (node.name.text.as_str(), parent) {
        ("root", "app") => root(node, findings),
        ("release-id", "app") => release_id(node, findings),
        ("source", _) => source(node, findings),
        ("secret", _) => secret(node, findings),
        ("component", _) => component(node, findings),
        ("allow", _) => allow(node, findings),
        ("health", _) => one_of(node, &["http", "tcp", "exec"], findings),
        ("running-build", _) => one_of(node, &["http", "exec"], findings),
        ("stage", _) => stage(node, findings),
        ("template", _) => template(node, findings),
        ("run", _) => run(node, findings),
        _ => {}
    }
}

/// Absolute and not `/`. A root that begins with a look-up is held against this when it is filled in.
fn root(node: &Node, findings: &mut Findings<'_>) {
    let Some((value, raw)) = first_text(node) else { return };
    if raw.starts_with("{{") {
        return;
    }
    match HostPath::new(shape(raw)) {
        Ok(path) if path.as_str() != "/" => {}
        Ok(_) => {
            findings
                .error("config::root", value.at, "the root must not be `/`")
                .help("give the application a directory of its own: `root \"/srv/NAME\"`");
        }
        Err(_) if !raw.starts_with('/') => {
            findings
                .error("config::root", value.at, format!("the root `{}` is not absolute", raw.escape_debug()))
                .help("it is a path on the host and starts with `/`: `root \"/srv/NAME\"`");
        }
        Err(error) => {
            findings
                .error("config::root", value.at, format!("the root is not a path: {error}"))
                .help("write the directory's own path, from `/` on");
        }
    }
}

fn release_id(node: &Node, findings: &mut Findings<'_>) {
    let Some((value, raw)) = first_text(node) else { return };
    if ReleaseId::new(shape(raw)).is_err() {
        findings
            .error("config::release-id", value.at, format!("`{}` cannot name a release", raw.escape_debug()))
            .help("a release id is one path component: letters, digits, `.`, `_`, `-`, beginning with a letter or digit");
    }
}

/// Nothing of a source may be taken for an option or for a transport that runs commands.
fn source(node: &Node, findings: &mut Findings<'_>) {
    let git = node.args.first().and_then(Value::text) == Some("git");
    if let Some((value, raw)) = node.args.get(1).and_then(|v| Some((v, v.text()?))) {
        location(value, raw, git, findings);
    }
    for (key, value) in &node.props {
        if !git && matches!(key.text.as_str(), "ref" | "submodules") {
            findings
                .error("config::source", key.at, format!("`{}=` is for `source git`", key.text))
                .help("delete it");
        }
        if let Some(raw) = value.text().filter(|_| key.text == "ref") {
            reference(value, raw, findings);
        }
    }
    if let Some(exclude) = node.children().iter().find(|n| n.name.text == "exclude").filter(|_| git) {
        findings
            .error("config::source", exclude.name.at, "`exclude` is for `source dir`")
            .help("what git does not track is left out already");
    }
    let child = node.children().iter().find(|n| n.name.text == "share");
    if let (Some(child), Some(prop)) = (child, node.props.iter().find(|(key, _)| key.text == "share")) {
        let first = findings.related(prop.0.at, "as a property");
        findings
            .error("config::duplicate", child.name.at, "`share` is set twice")
            .label("and in the block")
            .help("delete one")
            .related
            .push(first);
    }
}

fn location(value: &Value, raw: &str, git: bool, findings: &mut Findings<'_>) {
    let error = |findings: &mut Findings<'_>, message: String, help: &str| {
        findings.error("config::source", value.at, message).help(help);
    };
    let shown = raw.escape_debug();
    if raw.is_empty() {
        error(findings, "the location of the source is empty".to_owned(), "name a path or a URL");
    } else if raw.starts_with('-') {
        let help = "write a path that begins with `-` as `./-…`";
        error(findings, format!("`{shown}` would be taken for an option"), help);
    } else if git && raw.split_once("://").is_some_and(|(_, rest)| rest.starts_with('-')) {
        let help = "a host's name does not begin with `-`";
        error(findings, format!("the host of `{shown}` would be taken for an option"), help);
    } else if raw.chars().any(char::is_control) {
        error(findings, format!("`{shown}` contains a control character"), "delete it");
    } else if git && is_helper(raw) {
        let help = "use a local path, `file://`, `ssh://`, `https://` or `user@host:path`";
        error(findings, format!("`{shown}` would let git run a command"), help);
    } else if git
        && raw.split_once("://").is_some_and(|(scheme, _)| !matches!(scheme, "file" | "ssh" | "https"))
    {
        let help = "use a local path, `file://`, `ssh://`, `https://` or `user@host:path`";
        error(findings, format!("`{shown}` has a scheme that is not taken"), help);
    }
}

/// `ext::sh -c …`: git's syntax for remote helpers (gitremote-helpers(7)), whatever stands before the colons.
fn is_helper(raw: &str) -> bool {
    raw.split_once("::").is_some_and(|(name, _)| !name.contains('/') && !name.contains("{{"))
}

fn reference(value: &Value, raw: &str, findings: &mut Findings<'_>) {
    let shown = raw.escape_debug();
    let wrong = match raw {
        "" => "the ref is empty".to_owned(),
        _ if raw.starts_with('-') => format!("the ref `{shown}` would be taken for an option"),
        _ if shape(raw).chars().any(|c| c.is_control() || c == ' ') => {
            format!("the ref `{shown}` contains white space or a control character")
        }
        _ => return,
    };
    findings.error("config::source", value.at, wrong).help("name a branch, a tag or a commit");
}

fn secret(node: &Node, findings: &mut Findings<'_>) {
    let Some([_, provider, place]) = node.args.first_chunk::<3>() else { return };
    let Some(text) = place.text() else { return };
    if let (Some("env" | "file" | "age"), Some(extra)) = (provider.text(), node.args.get(3)) {
        findings
            .error("config::arguments", extra.at, "a variable or a file is one value")
            .label("one too many")
            .help(
                "a program with arguments is written like this: `secret NAME command pass show \"shop/db\"`",
            );
    }
    identity(node, provider.text() == Some("age"), findings);
    match provider.text() {
        Some("command") if text.is_empty() || (text.contains('/') && !text.starts_with('/')) => {
            findings
                .error("config::value", place.at, format!("`{}` is not a program", text.escape_debug()))
                .help("name it by its absolute path, or without `/` as it is found in PATH");
        }
        Some("env") if !crate::schema::is_variable(text) => {
            findings
                .error(
                    "config::value",
                    place.at,
                    format!("`{}` is not the name of an environment variable", text.escape_debug()),
                )
                .help("letters, digits and `_`, not beginning with a digit");
        }
        Some("file") => host_path(place, "`secret NAME file \"/etc/shop/db-url\"`", findings),
        Some("age") => host_path(place, AGE, findings),
        _ => {}
    }
}

const AGE: &str = "`secret NAME age \"/etc/shop/db-url.age\" identity=\"/etc/shop/key.txt\"`";

/// Both files are read on the host, so neither is beside the deployfile.
fn host_path(value: &Value, example: &str, findings: &mut Findings<'_>) {
    let Some(text) = value.text().filter(|text| HostPath::new(*text).is_err()) else { return };
    findings
        .error("config::value", value.at, format!("`{}` is not an absolute path", text.escape_debug()))
        .help(format!("name the file on the host: {example}"));
}

/// `identity=` goes with `age` and with nothing else.
fn identity(node: &Node, is_age: bool, findings: &mut Findings<'_>) {
    match node.props.iter().find(|(key, _)| key.text == "identity") {
        Some((key, _)) if !is_age => {
            findings
                .error("config::arguments", key.at, "`identity=` goes with `age`")
                .help("delete it; what is encrypted with age is written like this: ".to_owned() + AGE);
        }
        Some((_, value)) => host_path(value, AGE, findings),
        None if is_age => {
            findings
                .error("config::arguments", node.name.at, "this secret does not say what decrypts it")
                .help(format!("name the file with its identities: {AGE}"));
        }
        None => {}
    }
}

fn component(node: &Node, findings: &mut Findings<'_>) {
    let Some((value, raw)) = first_text(node) else { return };
    if !is_remote(raw) && RelPath::new(raw).is_err() {
        findings
            .error(
                "config::value",
                value.at,
                format!("`{}` is not a path beneath the deployfile's folder", raw.escape_debug()),
            )
            .help("write it like this: `component \"plugins/guard.wasm\"`");
    }
}

fn allow(node: &Node, findings: &mut Findings<'_>) {
    const GRANTS: [&str; 6] = ["http", "exec", "read", "write", "secret", "state"];
    if node.args.is_empty() && GRANTS.iter().all(|grant| node.prop(grant).is_none()) {
        findings
            .error("config::arguments", node.name.at, "this `allow` allows nothing")
            .help("name one or more of `http= exec= read= write= secret= state=`, or `plan`");
    }
    for (part, whole) in [("methods", "http"), ("private", "http"), ("timeout", "exec"), ("reveal", "secret")]
    {
        if let Some((key, _)) = node.props.iter().find(|(k, _)| k.text == part && node.prop(whole).is_none())
        {
            findings
                .error(
                    "config::arguments",
                    key.at,
                    format!("`{part}=` goes with `{whole}=`, which is not here"),
                )
                .help(format!("write both into one `allow`: `allow {whole}=… {part}=…`"));
        }
    }
    for (key, value) in node.props.iter().filter(|(k, _)| matches!(k.text.as_str(), "read" | "write")) {
        if !value.text().is_some_and(is_granted_path) {
            findings
                .error(
                    "config::value",
                    value.at,
                    format!("{} is not what `{}=` takes", value.show(), key.text),
                )
                .help("write `release:PATH`, `shared:PATH` or `state:PATH`; without PATH it is all of it");
        }
    }
    if let Some((value, url)) = node.prop("http").and_then(|v| Some((v, v.text()?)))
        && !url
            .strip_prefix("https://")
            .or(url.strip_prefix("http://"))
            .is_some_and(|rest| !rest.starts_with(['/', '*']) && !rest.is_empty())
    {
        findings
            .error("config::value", value.at, format!("`{}` is not a URL", url.escape_debug()))
            .help("write scheme, host and path: `http=\"https://hooks.example.com/*\"`");
    }
}

/// Exactly one target; arguments only for a program.
fn one_of(node: &Node, targets: &[&str], findings: &mut Findings<'_>) {
    let given: Vec<_> = node.props.iter().filter(|(key, _)| targets.contains(&key.text.as_str())).collect();
    let list: Vec<_> = targets.iter().map(|t| format!("`{t}=`")).collect();
    match given.as_slice() {
        [_] => {}
        [] => {
            findings
                .error(
                    "config::arguments",
                    node.name.at,
                    format!("`{}` does not say what is asked", node.name.text),
                )
                .help(format!("give it one of {}", list.join(", ")));
        }
        [_, (second, _), ..] => {
            findings
                .error(
                    "config::arguments",
                    second.at,
                    format!("`{}` asks more than one thing", node.name.text),
                )
                .help("write one line for each");
        }
    }
    if let Some(value) = node.args.first().filter(|_| node.prop("exec").is_none()) {
        findings
            .error(
                "config::arguments",
                value.at,
                format!("`{}` takes arguments only for `exec=`", node.name.text),
            )
            .help("they are the arguments of the program");
    }
    for (key, value) in &node.props {
        let wrong = match (key.text.as_str(), value.text()) {
            ("expect", _) if node.prop("http").is_none() => {
                "`expect=` is an HTTP status and goes with `http=`"
            }
            ("contains" | "json", _) if node.prop("tcp").is_some() => {
                "a TCP connection has no answer to look at"
            }
            ("json", Some(text)) if node.name.text == "health" && !text.contains('=') => {
                "`json=` of a health check is `key=value`"
            }
            _ => continue,
        };
        findings.error("config::value", value.at, wrong);
    }
}

/// What may stand in which stage.
fn stage(node: &Node, findings: &mut Findings<'_>) {
    let stage = node.args.first().and_then(Value::text).and_then(Stage::parse);
    let Some(stage) = stage else { return };
    for child in node.children() {
        let name = child.name.text.as_str();
        if name == "template" && !matches!(stage, Stage::Build | Stage::Link | Stage::Render) {
            findings
                .error(
                    "config::misplaced",
                    child.name.at,
                    format!("`template` may not stand in stage `{stage}`"),
                )
                .help("files of a release are rendered in `build`, `link` or `render`, before it is sealed");
        }
        if matches!(name, "run" | "sh") && stage == Stage::Failed {
            findings
                .error(
                    "config::misplaced",
                    child.name.at,
                    format!("`{name}` may not stand in stage `failed`"),
                )
                .help("`failed` is for hooks: `stage failed { after { hook NAME; }; }`");
        }
    }
}

fn template(node: &Node, findings: &mut Findings<'_>) {
    let Some((value, raw)) = node.prop("to").and_then(|v| Some((v, v.text()?))) else { return };
    if let Err(error) = RelPath::new(shape(raw)) {
        findings
            .error("config::value", value.at, format!("`to=` is not a path beneath the release: {error}"))
            .help("write it like this: `to=\"conf/settings.ini\"`");
    }
}

fn run(node: &Node, findings: &mut Findings<'_>) {
    let Some((value, program)) = first_text(node) else { return };
    if program.is_empty() {
        findings.error("config::value", value.at, "the program's name is empty").help("name a program");
    } else if node.args.len() == 1 && program.contains(' ') && !program.contains("{{") {
        findings
            .warning(
                "config::one-word",
                value.at,
                "this is one word, not a command with arguments: no shell splits it",
            )
            .help("write the arguments one by one: `run make assets`; for a script use `sh`");
    }
}

fn first_text(node: &Node) -> Option<(&Value, &str)> {
    node.args.first().and_then(|value| Some((value, value.text()?)))
}
