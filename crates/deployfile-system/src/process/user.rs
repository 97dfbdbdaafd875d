//! Who a program runs as. Names are resolved by `id`, so that every name service of the host counts.

use super::ProcessError;
use deployfile_model::Name;
use serde::{Deserialize, Serialize};
use std::process::{Command, Stdio};

/// A user as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ids {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

/// Whether we are that user.
pub(super) fn is_ours(user: &Name) -> Result<bool, ProcessError> {
    Ok(one(user, "-u")? == rustix::process::geteuid().as_raw())
}

/// The ids to change to; `None` when we are that user already.
pub(super) fn resolve(user: &Name) -> Result<Option<Ids>, ProcessError> {
    let refuse = |why: String| ProcessError::User { user: user.to_string(), why };
    let ids = Ids { uid: one(user, "-u")?, gid: one(user, "-g")?, groups: ask(user, "-G")? };
    let ours = rustix::process::geteuid();
    if ids.uid == ours.as_raw() {
        return Ok(None);
    }
    if !ours.is_root() {
        return Err(refuse(format!("only root can, and this runs as uid {}", ours.as_raw())));
    }
    Ok(Some(ids))
}

fn one(user: &Name, what: &str) -> Result<u32, ProcessError> {
    let numbers = ask(user, what)?;
    numbers.first().copied().ok_or_else(|| ProcessError::User {
        user: user.to_string(),
        why: format!("`id {what}` printed no number"),
    })
}

fn ask(user: &Name, what: &str) -> Result<Vec<u32>, ProcessError> {
    let refuse = |why: String| ProcessError::User { user: user.to_string(), why };
    let output = Command::new("/usr/bin/id")
        .args([what, "--", user.as_str()])
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| refuse(format!("cannot run /usr/bin/id: {e}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(refuse("there is no such user on this host".to_owned()));
    }
    text.split_whitespace()
        .map(|word| {
            word.parse().map_err(|_| refuse(format!("`id {what}` printed `{}`", word.escape_debug())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_resolved_or_refused() {
        let missing = Name::new("no-such-user-here").unwrap();
        assert_eq!(
            resolve(&missing).unwrap_err().to_string(),
            "cannot run as user `no-such-user-here`: there is no such user on this host"
        );
        let root = resolve(&Name::new("root").unwrap());
        match rustix::process::geteuid().is_root() {
            true => assert_eq!(root.unwrap(), None),
            false => assert!(root.unwrap_err().to_string().contains("only root can")),
        }
    }
}
