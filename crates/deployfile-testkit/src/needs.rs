//! What a test needs of the machine.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;

/// Whether a program is there. Missing locally: the test is skipped, loudly. Missing in CI: it fails.
pub fn needs(program: &str, test: &str) -> bool {
    let folders = std::env::var("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/sbin"];
    if folders.split(':').chain(extra).any(|folder| Path::new(folder).join(program).is_file()) {
        return true;
    }
    skip(test, &format!("`{program}` is not on this machine"))
}

/// Skips a test, loudly; in CI it fails instead. Gives false, so that `needs` can end with it.
pub fn skip(test: &str, why: &str) -> bool {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: {why}, and CI must not skip");
    // `cargo xtask ci` counts lines that start so.
    let line = format!("SKIPPED: {test}: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    false
}

/// A loopback port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
