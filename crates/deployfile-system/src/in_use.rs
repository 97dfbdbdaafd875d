//! Which releases a process uses: its working directory, executable, an open file or a mapped one stands beneath.
//!
//! Read from `/proc` (proc(5)). A process of somebody else cannot be looked into unless one is root; that it is left
//! out is the same as for `lsof` and `fuser`.

use deployfile_model::{HostPath, ReleaseId};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Releases beneath `<root>/releases/` that some process uses.
pub fn releases_in_use(root: &HostPath) -> BTreeSet<ReleaseId> {
    let prefix = format!("{}/releases/", root.as_str().trim_end_matches('/'));
    let mut out = BTreeSet::new();
    let Ok(processes) = fs::read_dir("/proc") else { return out };
    for process in processes.flatten() {
        let is_pid =
            process.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
        if is_pid {
            look_at(&process.path(), &prefix, &mut out);
        }
    }
    out
}

fn look_at(process: &Path, prefix: &str, out: &mut BTreeSet<ReleaseId>) {
    let mut add = |path: &str| out.extend(release_of(path, prefix));
    for link in ["cwd", "exe", "root"] {
        if let Ok(target) = fs::read_link(process.join(link)) {
            add(&target.to_string_lossy());
        }
    }
    for fd in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
        if let Ok(target) = fs::read_link(fd.path()) {
            add(&target.to_string_lossy());
        }
    }
    let maps = fs::read_to_string(process.join("maps")).unwrap_or_default();
    maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..])).for_each(add);
}

fn release_of(path: &str, prefix: &str) -> Option<ReleaseId> {
    let id = path.strip_prefix(prefix)?.split('/').next()?;
    ReleaseId::new(id.trim_end_matches(" (deleted)")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_working_directory_and_an_open_file_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("releases/r1")).unwrap();
        fs::create_dir_all(root.join("releases/r2")).unwrap();
        let host_path = HostPath::new(root.to_str().unwrap()).unwrap();
        assert!(releases_in_use(&host_path).is_empty());
        let mut sleeper =
            Command::new("sleep").arg("60").current_dir(root.join("releases/r1")).spawn().unwrap();
        let open = fs::File::create(root.join("releases/r2/x")).unwrap();
        let used = releases_in_use(&host_path);
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        drop(open);
        let used: Vec<&str> = used.iter().map(ReleaseId::as_str).collect();
        assert_eq!(used, ["r1", "r2"]);
    }
}
