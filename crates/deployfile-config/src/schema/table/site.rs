//! Sites: nginx server blocks.

use super::SCOPES;
use crate::schema::{NodeSpec, Type, arg, node};

pub(super) const ROWS: &[NodeSpec] = &[
    node("site", SCOPES, "An nginx server block, rendered into the release as `services/nginx/NAME.conf`.")
        .args(&[arg("name", Type::Name)])
        .named()
        .block()
        .default("none")
        .example("site shop { listen \"80\"; server-name \"shop.example.com\"; }"),
    node("listen", &["site"], "As nginx takes it: a port, `ADDRESS:PORT` or `unix:PATH`.")
        .args(&[arg("address", Type::Scalar { secret: false }).many()])
        .repeats()
        .default("none: one must be written")
        .example("listen \"80\""),
    node("server-name", &["site"], "The names it answers to.")
        .args(&[arg("name", Type::Text).many()])
        .default("none")
        .example("server-name \"shop.example.com\" \"www.shop.example.com\""),
    node("root", &["site"], "The document root as traffic sees it.")
        .args(&[arg("path", Type::Text)])
        .default("none")
        .example("root \"{{ current }}/public\""),
    node("index", &["site"], "File names that answer for a directory.")
        .args(&[arg("file", Type::Text).many()])
        .default("none")
        .example("index \"index.php\" \"index.html\""),
    node("location", &["site"], "What answers for a part of the site; the match as nginx writes it: `/`, `= /x`, `~ \\.php$`, `^~ /x`.")
        .args(&[arg("match", Type::Text)])
        .named()
        .block()
        .default("none")
        .example("location \"/\" { proxy \"127.0.0.1:9010\"; }"),
    node("proxy", &["location"], "An HTTP upstream: `HOST:PORT` or `unix:PATH`.")
        .args(&[arg("upstream", Type::Address { unix: true })])
        .default("none")
        .example("proxy \"127.0.0.1:9010\""),
    node("fastcgi", &["location"], "A FastCGI upstream; it always gets the real path of the release.")
        .args(&[arg("upstream", Type::Address { unix: true })])
        .default("none")
        .example("fastcgi \"unix:/run/php/shop.sock\""),
    node("static", &["location"], "Files beneath the root answer.")
        .args(&[arg("static", Type::Flag).optional()])
        .default("#true, when nothing else answers")
        .example("static"),
    node("try-files", &["location"], "As nginx's `try_files`.")
        .args(&[arg("file", Type::Text).many()])
        .default("none")
        .example("try-files \"$uri\" \"/index.php\""),
    node("snippet", &["site", "location"], "nginx configuration as it is.")
        .args(&[arg("text", Type::Text)])
        .repeats()
        .default("none")
        .example("snippet \"client_max_body_size 20m;\"")
        .planned(),
];
