//! Scopes: roles, environments, hosts.

use super::{SCOPES, SHARED_SCOPES};
use crate::schema::{NodeSpec, TOP, Type, arg, node};

pub(super) const ROWS: &[NodeSpec] = &[
    node("role", &[TOP, "environment"], "What applies to the hosts that carry this role.")
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
    node("user", &["connect"], "The user at the host.").planned(),
    node("profile", &[TOP], "Settings that apply where they are `use`d.").named().planned(),
    node("use", &["environment", "role", "host", "service"], "Takes over profiles or services.").planned(),
    node("when", SHARED_SCOPES, "Settings that apply where conditions hold.").planned(),
];
