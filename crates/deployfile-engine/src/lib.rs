//! The machine of one host: (plan, facts so far) → what to do next.
//!
//! What is here: every decision of a run that is left after planning, which is only: go on, go back, or end. What is
//! deliberately not here: acting, the journal, the clock. The machine is built anew from the facts by whoever
//! goes on with a run, so a crash loses nothing that it knew.

mod machine;

pub use machine::{Directive, Machine};
