//! Becomes another user. Names are resolved by `id`, so that every name service of the host counts.

use deployfile_model::Name;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::process::{Command, Stdio};

/// Takes on the user's ids and groups; does nothing when we are that user. Another user can only be become by root.
pub(super) fn become_user(user: &Name) -> Result<(), String> {
    let fail = |why: String| format!("cannot run as user `{user}`: {why}");
    let uid = first(user, "-u").map_err(fail)?;
    if uid == geteuid().as_raw() {
        return Ok(());
    }
    if !geteuid().is_root() {
        return Err(fail(format!("only root can, and this supervisor runs as uid {}", geteuid().as_raw())));
    }
    let gid = Gid::from_raw(first(user, "-g").map_err(fail)?);
    let groups: Vec<Gid> = ask(user, "-G").map_err(fail)?.into_iter().map(Gid::from_raw).collect();
    let uid = Uid::from_raw(uid);
    // This process has one thread, so the thread's ids are the process's. The order matters: last of all the right to
    // change any of them is given up.
    set_thread_groups(&groups)
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid))
        .map_err(|error| fail(error.to_string()))
}

fn first(user: &Name, what: &str) -> Result<u32, String> {
    ask(user, what)?.first().copied().ok_or_else(|| format!("`id {what}` printed no number"))
}

fn ask(user: &Name, what: &str) -> Result<Vec<u32>, String> {
    let output = Command::new("/usr/bin/id")
        .args([what, "--", user.as_str()])
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run /usr/bin/id: {error}"))?;
    if !output.status.success() {
        return Err("there is no such user on this host".to_owned());
    }
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .map(|word| word.parse().map_err(|_| format!("`id {what}` printed `{}`", word.escape_debug())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_that_cannot_be_become_are_refused() {
        let missing = Name::new("no-such-user-here").unwrap();
        let message = become_user(&missing).unwrap_err();
        assert_eq!(message, "cannot run as user `no-such-user-here`: there is no such user on this host");
        let root = become_user(&Name::new("root").unwrap());
        match geteuid().is_root() {
            true => root.unwrap(),
            false => assert!(root.unwrap_err().contains("only root can")),
        }
    }
}
