//! Services.

use super::SCOPES;
use crate::schema::{NodeSpec, Prop, Type, arg, node, prop};
use deployfile_model::address::PROBE_SCHEMES;

const SIGNAL: Type =
    Type::Word { built: &["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "WINCH", "KILL"], planned: &[] };

/// What an HTTP check asks.
const PROBE: Type = Type::Url { schemes: PROBE_SCHEMES, secret: false };

/// Processes of one service, whoever keeps them: as many as the builtin manager (`deployfile-supervisor`) takes. More
/// would be refused only when a release is switched already.
const MOST_PROCESSES: i64 = 64;

const WITHIN: Prop = prop("within", Type::Duration, "60s", "The right answer must come within this time.");
const INTERVAL: Prop = prop("interval", Type::Duration, "1s", "Between two tries.");

pub(super) const ROWS: &[NodeSpec] = &[
    node(
        "service",
        SCOPES,
        "What keeps running between deploys. Inside `role NAME {}` it runs where that role is; at the top level on every host, or where `roles` says.",
    )
    .args(&[arg("name", Type::Name)])
    .named()
    .block()
    .default("none")
    .example("service web { command \"{{ release }}/bin/web\"; }"),
    node("roles", &["service", "site"], "The roles whose hosts have it.")
        .args(&[arg("role", Type::Name).many()])
        .default("every host, or the role in which it stands")
        .example("roles web worker"),
    node("manager", &["service"], "Who keeps it running; `external` is only verified.")
        .args(&[arg(
            "manager",
            Type::Word { built: &["builtin", "supervisor", "external"], planned: &["systemd", "container"] },
        )])
        .props(&[prop("socket", Type::AbsolutePath, "/run/supervisor.sock", "supervisor: the socket of `[unix_http_server]`.")])
        .default("builtin")
        .example("manager supervisor socket=\"/run/supervisor.sock\""),
    node("command", &["service"], "Program and arguments; no shell sees it.")
        .args(&[arg("argument", Type::Scalar { secret: false }).many()])
        .default("none: it must be written, except for `manager external`")
        .example("command \"{{ release }}/bin/web\" \"--port\" \"9010\""),
    node("directory", &["service"], "Working directory.")
        .args(&[arg("path", Type::Text)])
        .default("{{ release }}")
        .example("directory \"{{ release }}\""),
    node("numprocs", &["service"], "How many processes the manager runs.")
        .args(&[arg("processes", Type::Integer { min: 1, max: MOST_PROCESSES })])
        .default("1")
        .example("numprocs 2"),
    node("user", &["service"], "The user it runs as, when the manager runs as root.")
        .args(&[arg("user", Type::Name)])
        .default("the manager's user")
        .example("user www-data"),
    node("listen", &["service"], "`HOST:PORT` or `unix:PATH` on which the manager listens and which it hands over (`LISTEN_FDS`). `manager builtin` only.")
        .args(&[arg("address", Type::Address { unix: true }).many()])
        .repeats()
        .default("none")
        .example("listen \"127.0.0.1:9010\""),
    node(
        "on-deploy",
        &["service"],
        "What a deploy does with it: `restart`, `reload` (the reload signal), `handover` (start new, verify, then stop old; needs `listen`), `none`.",
    )
    .args(&[arg("action", Type::Word { built: &["restart", "reload", "handover", "none"], planned: &[] })])
    .default("restart")
    .example("on-deploy handover"),
    node("env", &["service"], "Its environment, over the environment that applies where it stands.")
        .free(&VARIABLE)
        .default("none")
        .example("env { DATABASE_URL (secret)db-url; }"),
    node("stop", &["service"], "How it is stopped: the signal, and how long until its process group is killed.")
        .props(&[
            prop("signal", SIGNAL, "TERM", "The first signal."),
            prop("timeout", Type::Duration, "10s", "Then KILL."),
        ])
        .default("signal=TERM timeout=\"10s\"")
        .example("stop signal=TERM timeout=\"30s\""),
    node("reload", &["service"], "How it is told to reload.")
        .props(&[prop("signal", SIGNAL, "HUP", "The signal.")])
        .default("signal=HUP")
        .example("reload signal=HUP"),
    node("drain", &["service"], "How it is taken out of traffic before it is stopped.")
        .props(&[
            prop("file", Type::Text, "none", "A file that is removed for the time, and put back afterwards."),
            prop("wait", Type::Duration, "10s", "How long in-flight work gets."),
        ])
        .default("none")
        .example("drain file=\"{{ shared }}/alive\" wait=\"10s\""),
    node("health", &["service"], "A check that must hold after a deploy: exactly one of `http=`, `tcp=`, `exec=`; all checks must hold.")
        .args(&[arg("argument", Type::Scalar { secret: false }).any()])
        .props(&[
            prop("http", PROBE, "", "A URL: `http://`, `https://` or `http+unix://SOCKET:/path`."),
            prop("tcp", Type::Address { unix: false }, "", "`HOST:PORT`."),
            prop("exec", Type::Text, "", "A program; the arguments of the line are its arguments. Exit 0 is health."),
            prop("expect", Type::Integer { min: 100, max: 599 }, "any 2xx or 3xx", "http: the status."),
            prop("contains", Type::Text, "", "A text that the answer contains."),
            prop("json", Type::Text, "", "`key=value` of a JSON answer; dots in the key for nesting."),
            WITHIN,
            INTERVAL,
        ])
        .repeats()
        .default("none")
        .example("health http=\"http://127.0.0.1:9010/healthz\" contains=\"ok\" within=\"60s\" interval=\"1s\""),
    node("running-build", &["service"], "How the running code is asked for its build id: exactly one of `http=`, `exec=`.")
        .args(&[arg("argument", Type::Scalar { secret: false }).any()])
        .props(&[
            prop("http", PROBE, "", "A URL, as for `health`."),
            prop("exec", Type::Text, "", "A program; the arguments of the line are its arguments."),
            prop("json", Type::Plain, "the whole answer", "The key of a JSON answer; dots for nesting."),
            WITHIN,
            INTERVAL,
        ])
        .default("none: the build id is not asked for")
        .example("running-build http=\"http://127.0.0.1:9010/version\" json=\"commit\""),
    node("abstract", &["service"], "It never runs itself; other services `use` it.")
        .args(&[arg("abstract", Type::Flag).optional()])
        .default("#false")
        .example("abstract"),
    node("allow", &["service"], "What the processes may do, where the manager can hold them to it: one or more of `read= write= network=`.")
        .props(&[
            prop("read", Type::Plain, "", "`release:PATH` or `shared:PATH`."),
            prop("write", Type::Plain, "", "`shared:PATH`."),
            prop("network", Type::Flag, "#false", "Connections to elsewhere."),
        ])
        .repeats()
        .default("what its user may do")
        .example("allow write=\"shared:media\" network=#true")
        .planned(),
    node("publish", &["service"], "container: an address of the host and the port in the container that it leads to.")
        .args(&[arg("address", Type::Address { unix: false }), arg("port", Type::Integer { min: 1, max: 65_535 })])
        .repeats()
        .default("none")
        .example("publish \"127.0.0.1:8080\" 80")
        .planned(),
];

const VARIABLE: NodeSpec = node("*", &["env"], "One environment variable of the service.")
    .args(&[arg("value", Type::Scalar { secret: true })])
    .example("PORT 9010");
