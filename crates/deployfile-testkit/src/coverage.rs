//! What a lane of faults covered, kept in a file so that a summary can be printed after all of them.

use std::fs;
use std::path::PathBuf;

/// The folder of the lines: `DEPLOYFILE_COVERAGE`, else `faults/` in the build folder of the test that runs.
fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("DEPLOYFILE_COVERAGE") {
        return folder.into();
    }
    // A test is `target/PROFILE/deps/NAME`.
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().join("faults")
}

/// Writes what a lane covered in this run over what an earlier run wrote, and prints it.
pub fn coverage(lane: &str, line: &str) {
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{lane}.txt")), format!("{lane}: {line}\n")).unwrap();
    #[allow(clippy::print_stdout, reason = "it is part of what a test tells")]
    {
        println!("COVERED {lane}: {line}");
    }
}
