//! Becoming a process that belongs to nobody: a session of its own, nothing inherited, the root as its only argument.

use crate::{identity, inherited, layout};
use deployfile_disk::Dir;
use deployfile_model::HostPath;
use rustix::fs::Mode;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Set for the second of the two processes.
const MARK: &str = "DEPLOYFILE_DETACHED";

/// Which of the two processes this is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Detached {
    /// The first one: the second was started, and there is nothing left to do.
    Starter,
    /// The one that stays.
    Daemon,
}

/// Starts `verb` again as a process that is nobody's child, with only stderr inherited; in that process, and where a
/// service manager or cron made this one the leader of a session, gets it ready to stay.
pub(crate) fn detach(verb: &str, root: &HostPath) -> io::Result<Detached> {
    inherited::close_on_exec()?;
    let is_leader = identity::leads_a_session()?;
    if std::env::var_os(MARK).is_none() && !is_leader {
        let starting = Command::new(own_program())
            .arg0("deployfile")
            .args([verb, root.as_str()])
            .env_clear()
            .env(MARK, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        // Not waited for: it is to outlive this process.
        drop(starting);
        return Ok(Detached::Starter);
    }
    if !is_leader {
        rustix::process::setsid()?;
    }
    std::env::set_current_dir("/")?;
    // What is made must not depend on who happened to start us.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(Detached::Daemon)
}

/// Lets go of the stdio that whoever started us is waiting on: from now on stdin and stdout are `/dev/null`, and what is
/// written to stderr goes to `log`, or nowhere.
pub(crate) fn let_go_of_stdio(log: Option<(&Dir, &str)>) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    match log {
        Some((dir, name)) => {
            let name = layout::rel(name).map_err(io::Error::other)?;
            let log = crate::logs::open_append(dir, &name).map_err(io::Error::other)?;
            rustix::stdio::dup2_stderr(&log)?;
        }
        None => rustix::stdio::dup2_stderr(&null)?,
    }
    Ok(())
}

/// This program, also when its file was replaced or removed.
pub(crate) fn own_program() -> PathBuf {
    let by_kernel = PathBuf::from("/proc/self/exe");
    // By name where there is one, so that `ps` shows more than `exe`.
    std::env::current_exe().ok().filter(|path| path.is_file()).unwrap_or(by_kernel)
}
