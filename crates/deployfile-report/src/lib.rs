//! What people and programs are told: events of a run as lines or JSON, plans and tables as text, pages of error codes.
//!
//! What is here: words and layout, into any writer. What is deliberately not here: what happens, and who decides;
//! reading a terminal; exit codes (they are the CLI's).

pub mod codes;
pub mod live;
pub mod plan;
pub mod table;
pub mod tone;
pub mod verdict;

pub use live::Human;
pub use tone::Tone;

/// One event as one line of JSON Lines.
pub fn json_line(event: &deployfile_record::Event) -> String {
    serde_json::to_string(event).unwrap_or_default()
}

/// Milliseconds for people: `7 ms`, `1.24 s`, `3 m 05 s`.
pub fn took(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10),
        _ => format!("{} m {:02} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}
