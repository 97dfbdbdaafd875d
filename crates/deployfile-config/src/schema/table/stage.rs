//! Stages and what stands in them.

use super::SCOPES;
use super::project::ENVIRONMENT_VARIABLE;
use crate::schema::{NodeSpec, Prop, Type, arg, node, prop};

const NAMES: &[&str] = &[
    "check", "fetch", "build", "link", "render", "seal", "migrate", "switch", "restart", "verify", "commit",
    "prune", "revert", "failed",
];

const ITEMS: &[&str] = &["stage", "before", "after", "task"];

const STEP: &[Prop] = &[
    prop("timeout", Type::Duration, "30m", "Wall clock; then the step's process group is killed."),
    prop("if-changed", Type::Plain, "", "Skipped, its result carried over, when this input is the same.")
        .planned(),
];

pub(super) const ROWS: &[NodeSpec] = &[
    node(
        "stage",
        SCOPES,
        "What this file puts into a stage of a run. Of `run`, `sh` and `template` the order is the order of text, weakest scope first.",
    )
    .args(&[arg("name", Type::Word { built: NAMES, planned: &[] })])
    .named()
    .block()
    .default("empty")
    .example("stage build { run make assets; }"),
    node("before", &["stage"], "What runs before the stage: `hook`, `run`, `sh`.")
        .block()
        .default("empty")
        .example("before { run date; }"),
    node("after", &["stage"], "What runs after the stage: `hook`, `run`, `sh`.")
        .block()
        .default("empty")
        .example("after { run date; }"),
    node("run", ITEMS, "A program with its arguments; no shell sees it. It starts in the release.")
        .args(&[arg("argument", Type::Scalar { secret: false }).many()])
        .props(STEP)
        .repeats()
        .default("none")
        .example("run python3 \"-m\" venv \"{{ release }}/python_env\" timeout=\"10m\""),
    node("sh", ITEMS, "A script for `sh -eu`, never interpolated: use `$DEPLOY_RELEASE` and the like.")
        .args(&[arg("script", Type::Script)])
        .props(STEP)
        .repeats()
        .default("none")
        .example("sh \"make assets\" timeout=\"10m\""),
    node(
        "template",
        &["stage"],
        "A file that is rendered into the release from a template beside the deployfile. In `build`, `link` or `render`.",
    )
    .args(&[arg("source", Type::RelativePath)])
    .props(&[
        prop("to", Type::Text, "", "Where it goes, beneath the release.").required(),
        prop(
            "kind",
            Type::Word {
                built: &["text", "ini", "json", "env", "nginx", "supervisor", "systemd", "sh"],
                planned: &[],
            },
            "text",
            "How look-ups are quoted.",
        ),
        prop("mode", Type::Mode, "0644", "Mode of the rendered file."),
    ])
    .repeats()
    .block()
    .default("none")
    .example("template \"deploy/settings.j2\" to=\"conf/settings.ini\" kind=ini"),
    node(
        "env",
        &["template"],
        "Lines after what the template gives, free names; of `kind=env`. The one place of a template for `(secret)name`: the file is 0600 then, and in no digest and no diff.",
    )
    .free(&ENVIRONMENT_VARIABLE)
    .default("none")
    .example("env { DATABASE_URL (secret)db-url; }"),
    node("hook", &["before", "after"], "Calls a plugin. Further properties are laid over its `config`.")
        .args(&[arg("plugin", Type::Name)])
        .props(&[
            prop(
                "on-error",
                Type::Word { built: &["fail", "warn"], planned: &[] },
                "fail",
                "What an error or a trap of it means; its `halt` always stops.",
            ),
            prop("once", Type::Flag, "#false", "Once per run instead of on every host."),
        ])
        .free_props()
        .repeats()
        .default("none")
        .example("hook guard event=built on-error=warn"),
];
