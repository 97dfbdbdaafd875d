//! The canonical layout of what can be parsed says the same, and is its own layout. `format` holds the trees and the tokens of
//! both against each other itself, and answers with a bug where they differ.

#![no_main]

use deployfile_config::{FormatError, format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let once = match format("a.kdl", input.to_vec()) {
        Ok(formatted) => formatted.after,
        Err(FormatError::Invalid(found)) => return assert!(found.has_errors()),
        Err(bug @ FormatError::Bug(_)) => panic!("{bug}"),
    };
    let again = format("a.kdl", once.clone().into_bytes()).expect("what was laid out can be parsed");
    assert_eq!(again.after, once, "a second pass changes it again");
});
