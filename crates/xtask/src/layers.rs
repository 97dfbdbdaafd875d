//! `cargo xtask layers`: holds the crate table of docs/ARCHITECTURE.md against the workspace.
//!
//! Two rules. A crate depends on what its row says and nothing else ([`edges`]); the source of a pure crate touches
//! no world ([`purity`]). The row is where an exception is asked for, so it is seen in review.
//! Not here: what `cargo clippy` holds already (ordered maps in edge crates, no printing).

mod edges;
mod purity;
mod table;

use crate::workspace::{Reach, Workspace};
use std::fmt;
use std::path::PathBuf;

/// One breach: where, what, and the way out.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    file: PathBuf,
    /// 0 where the whole file is meant.
    line: usize,
    what: String,
    remedy: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}\n  {}", self.what, self.remedy)
    }
}

/// Prints every breach; an error where there is one.
pub(crate) fn run() -> Result<(), String> {
    let workspace = Workspace::here(Reach::Members)?;
    let mut violations = edges::check(table::CRATES, &workspace);
    violations.extend(purity::check(table::CRATES, table::EXCUSES, &workspace)?);
    violations.sort();
    for violation in &violations {
        println!("{violation}\n");
    }
    match violations.len() {
        0 => {
            println!("layers: {} crates keep the table", table::CRATES.len());
            Ok(())
        }
        n => Err(format!("layers: {n} broken (the table is crates/xtask/src/layers/table.rs)")),
    }
}
