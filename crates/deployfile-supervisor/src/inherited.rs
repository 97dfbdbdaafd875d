//! Descriptors that somebody left open for us.
//!
//! A descriptor that this program did not open has no owner in Rust, so the standard library and rustix reach it only
//! by its number, and that is `unsafe`. Beside `steer`, it is the one place of this crate that is.
#![allow(unsafe_code, reason = "an inherited descriptor has a number and no owner")]

use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};
use std::io;
use std::os::fd::BorrowedFd;

/// Marks every descriptor above stderr close-on-exec, so that the next program does not get it. To be called while
/// this process has one thread.
pub(crate) fn close_on_exec() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(number) = number.filter(|number| *number > 2) else { continue };
        // SAFETY: the kernel just named `number` as open, no other thread can have closed it since, and it is only
        // borrowed for these two calls, which do not close it.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        match fcntl_getfd(fd).and_then(|flags| fcntl_setfd(fd, flags | FdFlags::CLOEXEC)) {
            Ok(()) | Err(Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
