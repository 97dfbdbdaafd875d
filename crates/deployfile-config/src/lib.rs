//! KDL text to fragments to one merged [`Spec`](deployfile_model::Spec), with the place of every value.
//!
//! ```text
//! bytes ─guard─▶ text ─lexer, slips, kdl─▶ tree ─check (schema)─▶ fragments ─references─▶ Project
//! Project + environment ─layers─▶ merge ─settle─▶ resolve ─▶ Spec
//! ```
//!
//! [`load`] reads everything through a [`Files`] that it is handed; [`Project::spec`] works out one environment. The
//! [`schema`] is the one table of settings behind validation, hints, documentation and completions. All mistakes of a
//! run are collected as [`Diagnostics`]. Editors ask an [`Outline`], which is made of any text, however incomplete.
//!
//! Deliberately not here: files and clocks (this crate is told), what a look-up or template means
//! (`deployfile-render`), and what a host looks like. The one thread is the parser's: its recursion and its time are
//! held to limits.

mod check;
mod diagnostic;
mod extent;
mod files;
mod format;
mod guard;
mod lexer;
mod load;
mod lookups;
mod merge;
mod outline;
mod overrides;
mod parse;
mod project;
mod provenance;
mod references;
mod resolve;
mod schema;
mod slips;
mod sources;
mod suggest;
mod tree;

pub use diagnostic::{Diagnostic, Diagnostics, PRINTED, Related, Severity};
pub use files::{FileError, Files};
pub use format::{FormatError, Formatted, INDENT, format};
pub use guard::{MAX_COMMENT, MAX_DEPTH, MAX_FILE, MAX_SLASHDASH, MAX_TOKENS, MAX_WORD_BYTES, MAX_WORDS};
pub use load::{Loaded, load, load_part};
pub use outline::{
    Declared, Offer, OfferKind, Outline, OutlineNode, Part, Piece, Refers, Spot, Word, files_meant,
};
pub use project::Project;
pub use provenance::{Entry, Origin, Provenance};
pub use schema::{Arg, BlockKind, Count, NodeSpec, Prop, Schema, Several, TOP, Type, schema};
