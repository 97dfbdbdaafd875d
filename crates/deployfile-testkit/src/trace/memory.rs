//! The memory of a stopped process, read through `/proc`.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Longest path that the kernel takes.
const PATH_MAX: usize = 4096;
const PAGE: u64 = 4096;

fn open(thread: i32) -> io::Result<File> {
    File::open(format!("/proc/{thread}/mem"))
}

/// So many bytes.
pub(super) fn bytes(thread: i32, address: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    open(thread)?.read_exact_at(&mut bytes, address)?;
    Ok(bytes)
}

/// A number of 8 bytes.
pub(super) fn number(thread: i32, address: u64) -> Option<u64> {
    let bytes = bytes(thread, address, 8).ok()?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

/// A path that ends with a zero. The page after it need not be there, so it is read page by page.
pub(super) fn path(thread: i32, mut address: u64) -> Option<PathBuf> {
    if address == 0 {
        return None;
    }
    let file = open(thread).ok()?;
    let mut path = Vec::new();
    while path.len() < PATH_MAX {
        let len = usize::try_from(PAGE - address % PAGE).ok()?;
        let mut part = vec![0; len];
        file.read_exact_at(&mut part, address).ok()?;
        if let Some(end) = part.iter().position(|byte| *byte == 0) {
            path.extend(&part[..end]);
            return Some(std::ffi::OsString::from_vec(path).into());
        }
        path.extend(part);
        address += len as u64;
    }
    None
}
