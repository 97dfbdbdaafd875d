//! The launcher: the process that becomes the program. It waits until its existence is journaled, then changes user,
//! directory and image.

use super::wire::{GO, Launch, Word, receive_frame, send_word};
use rustix::process::{Gid, Signal, Uid, set_parent_process_death_signal};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Only returns when there is nothing to become. Stdin is the guard's socket.
pub(super) fn main() -> i32 {
    let Ok(guard) = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else { return 1 };
    match become_program(&guard) {
        Err(word) => {
            // If the guard is gone there is nobody to tell.
            let _ = send_word(&guard, &word);
            1
        }
        Ok(never) => match never {},
    }
}

fn become_program(mut guard: &UnixStream) -> Result<std::convert::Infallible, Word> {
    die_with_guard()?;
    let start = |error: io::Error| Word::failed("read what to start", &error);
    let frame = receive_frame(guard).map_err(start)?;
    let launch: Launch = serde_json::from_slice(&frame).map_err(|error| start(error.into()))?;
    let mut go = [0];
    guard.read_exact(&mut go).map_err(start)?;
    if go != [GO] {
        return Err(start(io::ErrorKind::InvalidData.into()));
    }
    change_user(&launch)?;
    std::env::set_current_dir(&launch.directory)
        .map_err(|error| Word::failed(format!("enter directory {}", launch.directory.display()), &error))?;
    let error = Command::new(&launch.program)
        .arg0(launch.argv.first().map_or("", String::as_str))
        .args(launch.argv.iter().skip(1))
        .env_clear()
        .envs(&launch.env)
        .stdin(Stdio::null())
        .exec();
    Err(Word::failed(format!("start {}", launch.program.display()), &error))
}

/// If the guard is killed, the program goes too (what it forked has to be found by its group).
fn die_with_guard() -> Result<(), Word> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| Word::failed("bind the program to its guard", &error.into()))
}

fn change_user(launch: &Launch) -> Result<(), Word> {
    let Some(ids) = &launch.user else { return Ok(()) };
    let failed = |error: rustix::io::Errno| Word::failed(format!("change to uid {}", ids.uid), &error.into());
    let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
    let groups: Vec<Gid> = ids.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    set_thread_groups(&groups).map_err(failed)?;
    set_thread_res_gid(gid, gid, gid).map_err(failed)?;
    set_thread_res_uid(uid, uid, uid).map_err(failed)?;
    // The kernel forgets the death signal when credentials change (prctl(2)).
    die_with_guard()
}
