//! Scopes: roles, environments, hosts.

use super::SCOPES;
use crate::schema::{NodeSpec, TOP, Type, arg, node, prop};

pub(super) const ROWS: &[NodeSpec] = &[
    node("role", &[TOP, "profile", "environment"], "What applies to the hosts that carry this role.")
        .args(&[arg("name", Type::Name)])
        .named()
        .block()
        .default("none")
        .example("role web { env { WEB_CONCURRENCY 4; }; }"),
    node("environment", &[TOP], "A place to deploy to: its hosts, and what applies only there.")
        .args(&[arg("name", Type::Name)])
        .named()
        .block()
        .default("none")
        .example("environment staging { host localhost { roles web; }; }"),
    node(
        "host",
        &["environment"],
        "A host, or a range of them (`web[01:40].example.com`), and what applies only there. An exact name beats a range.",
    )
    .args(&[arg("name", Type::HostRange)])
    .named()
    .block()
    .default("none")
    .example("host \"web[1:4].example.com\" { roles web; }"),
    node("roles", &["host"], "The roles that the host carries.")
        .args(&[arg("role", Type::Name).many()])
        .default("none")
        .example("roles web worker"),
    node("connect", SCOPES, "How hosts are reached. `ssh` is checked, and refused when a plan is made.")
        .args(&[arg("how", Type::Word { built: &["local", "ssh"], planned: &[] })])
        .block()
        .default("local for `localhost`, else ssh")
        .example("connect local"),
    node("user", &["connect"], "The user at the host.")
        .args(&[arg("user", Type::Name)])
        .default("whoever runs deployfile")
        .example("user deploy")
        .planned(),
    node(
        "profile",
        &[TOP],
        "Settings that apply where they are `use`d, with the conditions of their user and as the weaker word of the two.",
    )
    .args(&[arg("name", Type::Name)])
    .named()
    .block()
    .default("none")
    .example("profile live { env { LOG_LEVEL warn; }; }"),
    node(
        "use",
        SCOPES,
        "The profiles that apply here. What all hosts share (`app`, `source`, `secret`, `plugin`, `retention`, …) may stand in one that is used at the top level or by an environment.",
    )
    .args(&[arg("profile", Type::Name).many()])
    .default("none")
    .example("use live"),
    node("use", &["service"], "The services that this one takes over; what it says itself is the stronger word.")
        .args(&[arg("service", Type::Name).many()])
        .default("none")
        .example("use django"),
    node(
        "when",
        &[TOP, "profile", "environment"],
        "Settings that apply where all of its conditions hold. An exact name beats a glob.",
    )
    .props(&[
        prop("environment", Type::Glob, "any", "Environments."),
        prop("role", Type::Glob, "any", "Roles; one that the host carries must match."),
        prop("host", Type::Glob, "any", "Hosts."),
    ])
    .repeats()
    .block()
    .default("none")
    .example("when role=web host=\"web*.example.com\" { env { DEBUG 1; }; }"),
];
