//! The crate table, as data. Change it together with docs/ARCHITECTURE.md, and keep the direction.

/// Where a crate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ring {
    /// No I/O, no clock, no randomness, no async, no unordered maps.
    Pure,
    /// Acts on the world.
    Edge,
    /// Wires the others.
    Root,
    /// Never part of the product.
    Tool,
}

/// A row: who may be named in the crate's `[dependencies]` and `[build-dependencies]`. Dev-dependencies are free.
#[derive(Debug)]
pub(super) struct Crate {
    pub(super) name: &'static str,
    pub(super) ring: Ring,
    /// Crates of ours. Only rows above this one, so that there is no way round.
    pub(super) ours: &'static [&'static str],
    /// Other people's crates, beside [`ANYONE`]. What no row names is nobody's; `*` at the end is the rest of a name.
    pub(super) theirs: &'static [&'static str],
}

/// Other people's crates that every row may name.
pub(super) const ANYONE: &[&str] = &["serde", "serde_json", "strsim"];

/// Where a pure crate may use what pure crates may not.
#[derive(Debug)]
pub(super) struct Excuse {
    /// Beneath the workspace's folder.
    pub(super) file: &'static str,
    /// The forbidden path, as [`super::purity`] names it.
    pub(super) path: &'static str,
}

/// All excuses. One that nothing needs is a violation too.
pub(super) const EXCUSES: &[Excuse] = &[
    // The KDL parser recurses and can take exponential time: it runs on a thread with a big stack and a deadline.
    Excuse { file: "crates/deployfile-config/src/parse.rs", path: "std::thread" },
];

/// The table, from the nouns outwards.
pub(super) const CRATES: &[Crate] = &[
    Crate { name: "deployfile-model", ring: Ring::Pure, ours: &[], theirs: &["sha2"] },
    Crate {
        name: "deployfile-render",
        ring: Ring::Pure,
        ours: &["deployfile-model"],
        theirs: &["jiff", "minijinja"],
    },
    Crate {
        name: "deployfile-config",
        ring: Ring::Pure,
        ours: &["deployfile-model", "deployfile-render"],
        theirs: &["kdl", "miette"],
    },
    Crate { name: "deployfile-record", ring: Ring::Pure, ours: &["deployfile-model"], theirs: &[] },
    Crate {
        name: "deployfile-plan",
        ring: Ring::Pure,
        ours: &["deployfile-model", "deployfile-record", "deployfile-render"],
        theirs: &["similar"],
    },
    Crate {
        name: "deployfile-engine",
        ring: Ring::Pure,
        ours: &["deployfile-model", "deployfile-record"],
        theirs: &[],
    },
    Crate { name: "deployfile-disk", ring: Ring::Edge, ours: &["deployfile-model"], theirs: &["rustix"] },
    Crate {
        name: "deployfile-journal",
        ring: Ring::Edge,
        ours: &["deployfile-model", "deployfile-record", "deployfile-disk"],
        theirs: &["crc32c"],
    },
    Crate {
        name: "deployfile-exec",
        ring: Ring::Edge,
        ours: &["deployfile-model", "deployfile-record", "deployfile-engine"],
        theirs: &[],
    },
    Crate {
        name: "deployfile-supervisor",
        ring: Ring::Edge,
        ours: &["deployfile-model", "deployfile-record", "deployfile-disk"],
        theirs: &["libc", "rustix", "signal-hook"],
    },
    Crate {
        name: "deployfile-system",
        ring: Ring::Edge,
        ours: &[
            "deployfile-model",
            "deployfile-record",
            "deployfile-render",
            "deployfile-disk",
            "deployfile-journal",
            "deployfile-exec",
            "deployfile-supervisor",
        ],
        theirs: &["age", "globset", "quick-xml", "rustix", "ureq"],
    },
    Crate {
        name: "deployfile-hooks",
        ring: Ring::Edge,
        ours: &["deployfile-model", "deployfile-record", "deployfile-disk", "deployfile-exec"],
        theirs: &[
            "base64",
            "rustix",
            "tokio",
            "ureq",
            "url",
            "landlock",
            "wasmparser",
            "wasmtime",
            "wasmtime-wasi*",
        ],
    },
    Crate {
        name: "deployfile-report",
        ring: Ring::Edge,
        ours: &["deployfile-model", "deployfile-record"],
        theirs: &[],
    },
    Crate {
        name: "deployfile",
        ring: Ring::Root,
        ours: &[
            "deployfile-model",
            "deployfile-config",
            "deployfile-render",
            "deployfile-record",
            "deployfile-plan",
            "deployfile-engine",
            "deployfile-disk",
            "deployfile-journal",
            "deployfile-exec",
            "deployfile-system",
            "deployfile-supervisor",
            "deployfile-hooks",
            "deployfile-report",
        ],
        theirs: &["clap", "clap_complete", "lsp-server", "lsp-types", "rustix", "signal-hook", "similar"],
    },
    Crate {
        name: "deployfile-testkit",
        ring: Ring::Tool,
        ours: &["deployfile-model", "deployfile-record", "deployfile-engine", "deployfile-exec"],
        theirs: &["libc", "nix", "tempfile"],
    },
    Crate {
        name: "xtask",
        ring: Ring::Tool,
        ours: &[],
        theirs: &["proc-macro2", "quick-xml", "spdx", "tempfile", "toml"],
    },
];
