//! Everything that README.md and the book show is run here: each `console` block in a room of its page, each `kdl` block
//! by `deployfile check`, each generated reference against what the program prints now.
//!
//! `UPDATE_DOCS=1 cargo test -p deployfile --test docs` writes what the program prints into the pages: read the diff
//! before you commit it. How a page is written down for this test stands in `page.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should stop, loudly")]

mod book;
mod compare;
mod kdl;
mod page;
mod reference;
mod room;
mod run;

use std::path::PathBuf;

/// The repository.
fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Whether pages are rewritten instead of compared.
fn updating() -> bool {
    std::env::var("UPDATE_DOCS").as_deref() == Ok("1")
}

/// One test a page, so that pages run beside each other; `book.rs` holds the list against the folder.
macro_rules! pages {
    ($($test:ident: $path:literal,)*) => {
        /// The pages that are run.
        const PAGES: &[&str] = &[$($path),*];
        $(#[test] fn $test() { run::page($path); })*
    };
}

pages! {
    readme: "README.md",
    introduction: "docs/src/introduction.md",
    first_deploy: "docs/src/tutorial/first-deploy.md",
    php_site: "docs/src/how-to/php-site.md",
    supervisord: "docs/src/how-to/supervisord.md",
    git_source: "docs/src/how-to/git-source.md",
    shared_data: "docs/src/how-to/shared-data.md",
    going_back: "docs/src/how-to/going-back.md",
    plugins: "docs/src/how-to/plugins.md",
    services: "docs/src/how-to/services.md",
    retention: "docs/src/how-to/retention.md",
    explain: "docs/src/how-to/explain.md",
    large_projects: "docs/src/how-to/large-projects.md",
    layout: "docs/src/how-to/layout.md",
    editor: "docs/src/how-to/editor.md",
    secrets: "docs/src/how-to/secrets.md",
    ci: "docs/src/how-to/ci.md",
    release: "docs/src/explanation/release.md",
    one_rename: "docs/src/explanation/one-rename.md",
    crash_safety: "docs/src/explanation/crash-safety.md",
    hooks: "docs/src/explanation/hooks.md",
    not_built: "docs/src/explanation/not-built.md",
    language: "docs/src/reference/language.md",
    settings: "docs/src/reference/settings.md",
    command_line: "docs/src/reference/command-line.md",
    exit_codes: "docs/src/reference/exit-codes.md",
    errors: "docs/src/reference/errors.md",
    failures: "docs/src/reference/failures.md",
    hook_wit: "docs/src/reference/hook-wit.md",
}
