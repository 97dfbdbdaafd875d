//! Templates and values to bytes, one quoting rule per target.
//!
//! Three ways lead from values to bytes. [`expr`] fills `{{ look-ups }}` in strings of the deployfile; [`template`]
//! renders whole files, each output quoted for its kind; [`nginx`], [`supervisor`], [`systemd`] and [`mod@env`] write
//! typed values, read their own output back and compare. What a target cannot represent is refused, never mangled.
//!
//! Deliberately not here: files, clocks, and values of secrets. A secret is quoted by `deployfile-system` on the host
//! that fills it in, with [`env::quote_inside`].

mod depth;
pub mod env;
pub mod expr;
mod filters;
#[cfg(test)]
mod nasty;
pub mod nginx;
mod quoting;
mod refused;
pub mod supervisor;
pub mod systemd;
pub mod template;
mod values;

pub use refused::Refused;
pub use values::Values;
