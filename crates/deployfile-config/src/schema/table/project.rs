//! The application, its source, what it shares, its plugins and its retention.

use super::{SCOPES, SHARED_SCOPES};
use crate::schema::{NodeSpec, Prop, TOP, Type, arg, node, prop};

const SHARE: Type = Type::Word { built: &["copy", "hardlink"], planned: &[] };

const VARIABLE: NodeSpec =
    node("*", &["vars"], "One variable, read as `{{ vars.NAME }}`; NAME is snake_case.")
        .args(&[arg("value", Type::Scalar { secret: false })])
        .example("python_version \"3.11\"");

pub(super) const ENVIRONMENT_VARIABLE: NodeSpec = node("*", &["env"], "One environment variable.")
    .args(&[arg("value", Type::Scalar { secret: true })])
    .example("DATABASE_URL (secret)db-url");

const FILE_MODE: &[Prop] = &[prop("mode", Type::Mode, "", "Mode of what is made when it is missing.")];

pub(super) const ROWS: &[NodeSpec] = &[
    node("deployfile", &[TOP], "The version of the language; the first node of the main file.")
        .args(&[arg("version", Type::Any)])
        .default("none: it must be written")
        .example("deployfile 1"),
    node(
        "import",
        &[TOP],
        "Reads further files: a path relative to this file, its last part may hold `*` and `?`. It stays beneath the main file's folder, unless the main file says `outside=#true`. Import order never decides a value.",
    )
    .args(&[arg("path", Type::Plain)])
    .props(&[prop(
        "outside",
        Type::Flag,
        "#false",
        "In the main file: this one file may stand elsewhere, as `\"../shared/base.kdl\"` does.",
    )])
    .repeats()
    .default("none")
    .example("import \"roles/*.kdl\""),
    node("app", SHARED_SCOPES, "The application: its name, where it lives on a host, how releases are named.")
        .args(&[arg("name", Type::Name)])
        .named()
        .block()
        .default("none: it must be written")
        .example("app shop { root \"/srv/shop\"; }"),
    node(
        "root",
        &["app"],
        "The directory that holds `releases/ shared/ current .deployfile/`: absolute, not `/`. Look-ups: `app`, `environment`, `host`, `vars`.",
    )
    .args(&[arg("path", Type::Text)])
    .default("none: it must be written")
    .example("root \"/srv/{{ environment }}/shop\""),
    node("current", &["app"], "The name of the link that traffic follows.")
        .args(&[arg("name", Type::Name)])
        .default("current")
        .example("current \"current\""),
    node("user", &["app"], "Who owns releases.")
        .args(&[arg("user", Type::Name)])
        .default("whoever runs deployfile")
        .example("user deploy"),
    node(
        "build-id",
        &["app"],
        "What the running code says it is: `git` is the commit id, `content` the digest of the source tree, else a string with look-ups.",
    )
    .args(&[arg("rule", Type::WordOrText { built: &["git", "content"], planned: &["nix", "oci"] })])
    .default("by source: git for git, content for dir")
    .example("build-id content"),
    node(
        "release-id",
        &["app"],
        "The name of the next release: one path component of letters, digits, `.`, `_`, `-`. A collision gets `-2`.",
    )
    .args(&[arg("name", Type::Text)])
    .default("{{ time | date('%Y-%m-%d_%H.%M.%S') }}")
    .example("release-id \"{{ time | date('%Y-%m-%d_%H.%M.%S') }}\""),
    node(
        "source",
        SHARED_SCOPES,
        "Where the code comes from: a git repository (local path, `file://`, `ssh://`, `https://`, `user@host:path`) or a directory.",
    )
    .args(&[
        arg("kind", Type::Word { built: &["git", "dir"], planned: &["archive", "nix", "oci"] }),
        arg("location", Type::Text),
    ])
    .props(&[
        prop("ref", Type::Text, "HEAD", "git: branch, tag or commit."),
        prop("submodules", Type::Flag, "#false", "git: submodules are checked out too."),
        prop("share", SHARE, "copy", "As the setting `share`."),
    ])
    .block()
    .default("none: it must be written")
    .example("source git \"https://git.example.com/shop.git\" ref=main"),
    node("exclude", &["source"], "dir: globs of paths that are left out; `.git` always is.")
        .args(&[arg("glob", Type::Plain).many()])
        .repeats()
        .default("none")
        .example("exclude \"*.pyc\" \"node_modules\""),
    node(
        "share",
        &["source"],
        "How unchanged files come from the previous release: `copy` shares no inode (a reflink where the file system can), `hardlink` is for trees that no step writes.",
    )
    .args(&[arg("mode", SHARE)])
    .default("copy")
    .example("share hardlink"),
    node("vars", SCOPES, "Variables for look-ups, free names.")
        .free(&VARIABLE)
        .default("none")
        .example("vars { python_version \"3.11\"; workers 4; }"),
    node(
        "secret",
        SHARED_SCOPES,
        "A secret by name, read on the host when a run needs it: from an environment variable, a file that only its owner can read, what a program prints (30 seconds, no shell), or a file that is encrypted with age.",
    )
    .args(&[
        arg("name", Type::Name),
        arg("provider", Type::Word { built: &["env", "file", "command", "age"], planned: &[] }),
        arg("where", Type::Plain).many(),
    ])
    .props(&[prop(
        "identity",
        Type::Plain,
        "",
        "age: the file on the host with the X25519 identities that it is encrypted for; only its owner can read it.",
    )])
    .named()
    .default("none")
    .example("secret db-url env DB_URL"),
    node("env", SCOPES, "Environment of steps and services, free names. A service's own `env` lies on top.")
        .free(&ENVIRONMENT_VARIABLE)
        .default("none")
        .example("env { WEB_CONCURRENCY 4; }"),
    node("shared", SCOPES, "Data that outlives releases: each is a link in the release to the same path beneath `shared/`.")
        .block()
        .default("none")
        .example("shared { dir \"media\"; file \"localsettings.py\"; }"),
    node("dir", &["shared"], "A directory; it is made when it is missing.")
        .args(&[arg("path", Type::RelativePath)])
        .props(FILE_MODE)
        .repeats()
        .default("none")
        .example("dir \"media\" mode=\"0750\""),
    node("file", &["shared"], "A file; it must be there.")
        .args(&[arg("path", Type::RelativePath)])
        .props(FILE_MODE)
        .repeats()
        .default("none")
        .example("file \"localsettings.py\""),
    node(
        "link",
        SCOPES,
        "A link. An absolute path leaves the release and is made in `switch`, right after `current`; a relative one stands in the release.",
    )
    .args(&[arg("at", Type::Text)])
    .props(&[prop("to", Type::Text, "", "What it points to.").required()])
    .repeats()
    .default("none")
    .example("link \"/var/www\" to=\"{{ current }}/static\""),
    node("plugin", SHARED_SCOPES, "A WASM component whose hooks the stages may use. Nothing is allowed to it by default.")
        .args(&[arg("name", Type::Name)])
        .named()
        .block()
        .default("none")
        .example("plugin guard { component \"plugins/guard.wasm\"; }"),
    node("component", &["plugin"], "The component's path beneath the deployfile's folder; its digest is pinned in `deployfile.lock`.")
        .args(&[arg("path", Type::Plain)])
        .default("none: it must be written")
        .example("component \"plugins/guard.wasm\""),
    node(
        "allow",
        &["plugin"],
        "What the plugin may do: one or more of `http= exec= read= write= secret= state=`, or `plan`.",
    )
    .args(&[arg("plan", Type::Word { built: &["plan"], planned: &[] }).optional()])
    .props(&[
        prop("http", Type::Plain, "", "A URL; `*` at its end stands for the rest of the path."),
        prop("methods", Type::Plain, "any", "http: methods, separated by spaces."),
        prop("private", Type::Flag, "#false", "http: DNS names may answer private addresses."),
        prop("exec", Type::RelativePath, "", "A program beneath the release."),
        prop("timeout", Type::Duration, "the plugin's time", "exec: wall clock of one run."),
        prop("read", Type::Plain, "", "`release:PATH`, `shared:PATH` or `state:PATH`."),
        prop("write", Type::Plain, "", "`release:PATH`, `shared:PATH` or `state:PATH`."),
        prop("secret", Type::Name, "", "A secret; it can be put into a header."),
        prop("reveal", Type::Flag, "#false", "secret: its value can be read."),
        prop("state", Type::Word { built: &["run", "machine", "environment"], planned: &[] }, "", "State that is kept."),
    ])
    .repeats()
    .default("nothing")
    .example("allow http=\"https://hooks.example.com/*\" methods=\"POST\""),
    node("config", &["plugin"], "What the plugin is given as JSON; free names. A key that is set again is replaced whole.")
        .json()
        .default("none")
        .example("config { channel \"#deploys\"; }"),
    node("limits", &["plugin"], "What one call of the plugin may use.")
        .props(&[
            prop("memory", Type::Size, "64MiB, or 256MiB for components over 4 MiB", "Linear memory."),
            prop("time", Type::Duration, "30s", "Wall clock."),
        ])
        .default("memory=\"64MiB\" time=\"30s\"")
        .example("limits memory=\"64MiB\" time=\"5s\""),
    node("retention", SHARED_SCOPES, "Which releases are kept. Never pruned: current, previous, pinned, in use.")
        .block()
        .default("the defaults of its settings")
        .example("retention { keep 5; max-age \"30d\"; }"),
    node("keep", &["retention"], "Good releases that are kept, current included.")
        .args(&[arg("releases", Type::Integer { min: 1, max: 10_000 })])
        .default("5")
        .example("keep 5"),
    node("max-age", &["retention"], "Good releases older than this go, however few.")
        .args(&[arg("age", Type::Duration)])
        .default("none")
        .example("max-age \"30d\""),
    node("max-bytes", &["retention"], "The oldest go while all together take more than this.")
        .args(&[arg("size", Type::Size)])
        .default("none")
        .example("max-bytes \"20GiB\""),
    node("grace", &["retention"], "Nothing goes that was current, or was made, less than this ago.")
        .args(&[arg("age", Type::Duration)])
        .default("10m")
        .example("grace \"10m\""),
    node("private-keep-days", &["retention"], "Days that a private release is kept.")
        .args(&[arg("days", Type::Integer { min: 0, max: 36_500 })])
        .default("10")
        .example("private-keep-days 10"),
    node("keep-failed", &["retention"], "Failed and bad releases that are kept for a look.")
        .args(&[arg("releases", Type::Integer { min: 0, max: 10_000 })])
        .default("3")
        .example("keep-failed 3"),
    node("trust-key", SHARED_SCOPES, "A minisign key that signs plugins.")
        .args(&[arg("key", Type::Plain)])
        .repeats()
        .default("none: components are pinned by their digest")
        .example("trust-key \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"")
        .planned(),
    node(
        "rollout",
        SHARED_SCOPES,
        "How hosts move. `all-or-nothing`: when one host fails after its switch, all end on one release. `rolling`: in batches, within a budget of failures.",
    )
    .args(&[arg("policy", Type::Word { built: &["all-or-nothing", "rolling"], planned: &[] })])
    .block()
    .default("all-or-nothing")
    .example("rollout rolling { batch \"25%\"; max-failures 0; pause \"30s\"; }")
    .planned(),
    node("batch", &["rollout"], "Hosts that move at once.")
        .args(&[arg("hosts", Type::HostShare)])
        .default("all of them")
        .example("batch \"25%\"")
        .planned(),
    node("max-failures", &["rollout"], "Hosts that may be left behind; each is named at the end.")
        .args(&[arg("hosts", Type::Integer { min: 0, max: 10_000 })])
        .default("0")
        .example("max-failures 1")
        .planned(),
    node("pause", &["rollout"], "Between two batches.")
        .args(&[arg("time", Type::Duration)])
        .default("none")
        .example("pause \"30s\"")
        .planned(),
    node("task", SCOPES, "Commands of the release that are run by hand: `deployfile task NAME`. They start in the release, as the steps of a stage do.")
        .args(&[arg("name", Type::Name)])
        .named()
        .block()
        .default("none")
        .example("task manage { run \"{{ release }}/bin/manage\"; pass-args; once; }")
        .planned(),
    node("pass-args", &["task"], "What follows `--` on the command line is appended to the last `run`.")
        .args(&[arg("pass", Type::Flag).optional()])
        .default("#false")
        .example("pass-args")
        .planned(),
    node("once", &["task"], "On one host of those that have the task, not on each.")
        .args(&[arg("once", Type::Flag).optional()])
        .default("#false")
        .example("once")
        .planned(),
    node("pull", SHARED_SCOPES, "Machines that fetch their own deploys: each looks for a new revision of the source by itself.")
        .block()
        .default("none: deploys are pushed")
        .example("pull { every \"60s\"; jitter \"15s\"; }")
        .planned(),
    node("every", &["pull"], "Time between two looks.")
        .args(&[arg("time", Type::Duration)])
        .default("60s")
        .example("every \"60s\"")
        .planned(),
    node("jitter", &["pull"], "At most so much is added to it at random, so that machines do not look all at once.")
        .args(&[arg("time", Type::Duration)])
        .default("10s")
        .example("jitter \"15s\"")
        .planned(),
    node("notify", SHARED_SCOPES, "Who hears of runs: a JSON message is posted to its URL.")
        .args(&[arg("name", Type::Name)])
        .named()
        .block()
        .default("nobody")
        .example("notify chat { url (secret)chat-url; on applied rolled-back stuck; }")
        .planned(),
    node("on", &["notify"], "The results of which it hears.")
        .args(&[arg(
            "result",
            Type::Word { built: &["applied", "failed", "refused", "rolled-back", "stuck"], planned: &[] },
        )
        .many()])
        .default("all of them")
        .example("on applied rolled-back stuck")
        .planned(),
    node("report", SHARED_SCOPES, "Where the events of runs are sent as JSON Lines.")
        .block()
        .default("nowhere")
        .example("report { url \"https://deploys.example.com/runs\"; }")
        .planned(),
    node("url", &["notify", "report"], "Where it is sent.")
        .args(&[arg("url", Type::Url { schemes: &["https", "http"], secret: true })])
        .default("none: it must be written")
        .example("url \"https://deploys.example.com/runs\"")
        .planned(),
    node("headers", &["notify", "report"], "Headers of the request, free names.")
        .free(&HEADER)
        .default("none")
        .example("headers { Authorization (secret)deploys-token; }")
        .planned(),
];

const HEADER: NodeSpec = node("*", &["headers"], "One header.")
    .args(&[arg("value", Type::Scalar { secret: true })])
    .example("Authorization (secret)deploys-token");
