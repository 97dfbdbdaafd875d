//! `kdl` blocks: a whole deployfile, or a fragment in the least file that it can stand in.

use crate::page::Block;
use crate::room::Room;
use serde_json::Value;
use std::fs;

/// What a fragment's surroundings may lack: that is not the fragment's business.
const OF_SURROUNDINGS: [&str; 6] = [
    "config::missing",
    "config::no-hosts",
    "config::unused-role",
    "config::service",
    "config::duplicate",
    "config::conflict",
];
/// The components that a block names are not beside it.
const WITHOUT_COMPONENT: &str = "plugin::unusable";

/// Checks a block with the program.
pub(crate) fn check(room: &Room, page: &str, block: &Block) -> Result<(), String> {
    let is_whole = block.body.trim_start().starts_with("deployfile ");
    let stands_in = block.marks.get("in").cloned().or_else(|| stands_in(page, block)).unwrap_or_default();
    let text = if is_whole { block.body.clone() } else { wrapped(&stands_in, &block.body)? };
    let folder = room.folder(&format!("check-{}", block.line));
    fs::create_dir_all(folder.join("roles")).unwrap();
    fs::create_dir_all(folder.join("deploy")).unwrap();
    fs::write(folder.join("roles/a.kdl"), "").unwrap();
    fs::write(folder.join("deploy/settings.j2"), "x\n").unwrap();
    fs::write(folder.join("deploy/env.j2"), "x\n").unwrap();
    fs::write(folder.join("deployfile.kdl"), &text).unwrap();
    let output = room.program(&folder, &["check", "--format", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|e| format!("check: {e}\n{text}"))?;
    let codes: Vec<&str> =
        answer["errors"].as_array().into_iter().flatten().filter_map(|e| e["code"].as_str()).collect();
    let codes: Vec<&str> = codes.into_iter().filter(|code| *code != WITHOUT_COMPONENT).collect();
    match block.marks.get("fails") {
        Some(wanted) if codes.is_empty() => {
            Err(format!("it should fail with {wanted}, and is valid\n{text}"))
        }
        Some(wanted) if codes.iter().all(|code| code == wanted) => Ok(()),
        None if codes.iter().all(|code| !is_whole && OF_SURROUNDINGS.contains(code)) => Ok(()),
        _ => Err(format!("check says {codes:?}\n{answer}\n{text}")),
    }
}

/// In the generated reference a line above the example says where the setting stands.
fn stands_in(page: &str, block: &Block) -> Option<String> {
    let above = &page[..block.range.start];
    let line = above.rsplit("\n\n").nth(1)?.lines().find_map(|line| line.strip_prefix("- stands in: "))?;
    let first = line.split(", ").next()?;
    Some(if first == "top level" { String::new() } else { first.trim_matches('`').to_owned() })
}

/// The fragment in a file that has everything else.
fn wrapped(stands_in: &str, fragment: &str) -> Result<String, String> {
    let mut text = within(stands_in, fragment.trim_end())?;
    let least = [
        ("app ", "app example { root \"/srv/example\"; }"),
        ("source ", "source dir \".\""),
        ("environment ", "environment local { host localhost { roles web; connect local; }; }"),
        ("secret db-url", "secret db-url env DB_URL"),
        ("secret chat-url", "secret chat-url env CHAT_URL"),
        ("secret deploys-token", "secret deploys-token env DEPLOYS_TOKEN"),
        ("profile live", "profile live { connect local; }"),
        ("service django", "service django { abstract; }"),
        ("plugin guard", "plugin guard { component \"guard.wasm\"; }"),
    ];
    for (node, line) in least {
        if !text.lines().any(|line| line.starts_with(node)) {
            text.push_str(&format!("\n{line}"));
        }
    }
    if fragment.starts_with("deployfile ") { Ok(text) } else { Ok(format!("deployfile 1\n{text}\n")) }
}

fn within(parent: &str, text: &str) -> Result<String, String> {
    let wrap = |open: &str| format!("{open} {{\n{text}\n}}");
    Ok(match parent {
        "" => text.to_owned(),
        "app" => wrap("app example"),
        "role" => wrap("role web"),
        "environment" => wrap("environment two"),
        "host" => within("environment", &wrap("host h"))?,
        "stage" => wrap("stage build"),
        "before" | "after" => within("stage", &wrap(parent))?,
        "location" => within("site", &wrap("location \"/\""))?,
        "connect" => wrap("connect ssh"),
        "source" => wrap("source dir \".\""),
        "shared" | "retention" | "pull" | "report" => wrap(parent),
        "rollout" => wrap("rollout rolling"),
        "service" | "site" | "plugin" | "task" | "notify" => wrap(&format!("{parent} example")),
        "template" => within("stage", &wrap("template \"deploy/env.j2\" to=\".env\" kind=env"))?,
        other => return Err(format!("no fragment can stand in `{other}`")),
    })
}
