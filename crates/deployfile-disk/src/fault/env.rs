//! `DEPLOYFILE_FAULT`, for tests that start the real program. Not in release builds.

use super::{Errno, Op};
use rustix::process::{Signal, getpid, kill_process};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const VARIABLE: &str = "DEPLOYFILE_FAULT";

#[derive(Debug)]
enum Fault {
    Kill(u64),
    Fail(u64, Errno),
    Trace(File),
    /// The variable cannot be read.
    Unreadable,
}

static FAULTS: OnceLock<Vec<Fault>> = OnceLock::new();
static CALLS: AtomicU64 = AtomicU64::new(0);

pub(super) fn gate(op: Op, path: &dyn fmt::Display) -> Result<(), Errno> {
    let faults = FAULTS.get_or_init(|| std::env::var(VARIABLE).map_or_else(|_| Vec::new(), |v| parse(&v)));
    if faults.is_empty() {
        return Ok(());
    }
    let number = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    faults.iter().try_for_each(|fault| apply(fault, number, op, path))
}

fn apply(fault: &Fault, number: u64, op: Op, path: &dyn fmt::Display) -> Result<(), Errno> {
    match fault {
        Fault::Kill(at) if *at == number => {
            kill_process(getpid(), Signal::KILL)?;
            Err(Errno::IO)
        }
        Fault::Fail(at, errno) if *at == number => Err(*errno),
        Fault::Trace(file) => {
            let line = format!("{} {path}\n", op.name());
            (&*file).write_all(line.as_bytes()).map_err(|_| Errno::INVAL)
        }
        Fault::Unreadable => Err(Errno::INVAL),
        Fault::Kill(_) | Fault::Fail(..) => Ok(()),
    }
}

fn parse(text: &str) -> Vec<Fault> {
    text.split(',').map(|one| parse_one(one).unwrap_or(Fault::Unreadable)).collect()
}

fn parse_one(text: &str) -> Option<Fault> {
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "kill" => Some(Fault::Kill(rest.parse().ok()?)),
        "fail" => {
            let (number, errno) = rest.split_once(':')?;
            Some(Fault::Fail(number.parse().ok()?, parse_errno(errno)?))
        }
        "trace" => OpenOptions::new().append(true).create(true).open(rest).ok().map(Fault::Trace),
        _ => None,
    }
}

fn parse_errno(name: &str) -> Option<Errno> {
    match name {
        "EIO" => Some(Errno::IO),
        "ENOSPC" => Some(Errno::NOSPC),
        "EROFS" => Some(Errno::ROFS),
        "EDQUOT" => Some(Errno::DQUOT),
        "EACCES" => Some(Errno::ACCESS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cannot_be_read_fail_every_call() {
        for bad in ["", "kill", "kill:x", "fail:3", "fail:3:EWHAT", "boom:1", "kill:1,nonsense"] {
            assert!(parse(bad).iter().any(|f| matches!(f, Fault::Unreadable)), "{bad}");
        }
        assert!(matches!(parse("kill:7")[..], [Fault::Kill(7)]));
        assert!(matches!(parse("fail:7:ENOSPC")[..], [Fault::Fail(7, Errno::NOSPC)]));
    }
}
