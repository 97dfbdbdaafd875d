//! Runs a program, shows what it prints while it prints it, and keeps the lines.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// How a program ended, and what it printed on both of its outputs, as it came.
pub(super) struct Ended {
    pub(super) success: bool,
    pub(super) lines: Vec<String>,
}

/// How long a program that has ended may still be heard of: a child that it left behind can hold the pipe for ever.
const SILENCE: Duration = Duration::from_millis(500);

/// Runs the program to its end.
pub(super) fn run(mut command: Command) -> Result<Ended, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let cannot = |error| format!("cannot run {program}: {error}");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(cannot)?;
    let (sender, lines) = mpsc::channel();
    child.stdout.take().into_iter().for_each(|pipe| forward(pipe, sender.clone(), |line| println!("{line}")));
    child
        .stderr
        .take()
        .into_iter()
        .for_each(|pipe| forward(pipe, sender.clone(), |line| eprintln!("{line}")));
    drop(sender);
    let mut kept = Vec::new();
    loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) => kept.push(line),
            Err(RecvTimeoutError::Timeout) if child.try_wait().map_err(cannot)?.is_none() => {}
            Err(_) => break,
        }
    }
    let status = child.wait().map_err(cannot)?;
    Ok(Ended { success: status.success(), lines: kept })
}

fn forward(pipe: impl Read + Send + 'static, to: Sender<String>, show: fn(&str)) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            show(&line);
            // Nobody waits for lines any more: the program has ended.
            if to.send(line).is_err() {
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Ended {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command).unwrap()
    }

    #[test]
    fn both_outputs_are_kept_and_the_end_is_told() {
        let mut ended = sh("echo one; echo two >&2; printf three; exit 3");
        ended.lines.sort();
        assert_eq!(ended.lines, ["one", "three", "two"]);
        assert!(!ended.success);
        assert!(sh("true").success);
    }

    #[test]
    fn a_child_that_was_left_behind_is_not_waited_for() {
        let ended = sh("sleep 30 & echo $!");
        assert!(ended.success);
        // Still there: had we waited for the pipe, it would be gone.
        let stopped = Command::new("kill").args(["--", &ended.lines[0]]).status().unwrap();
        assert!(stopped.success());
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let why = run(Command::new("no-such-program-as-this")).err().unwrap();
        assert!(why.starts_with("cannot run no-such-program-as-this"), "{why}");
    }
}
