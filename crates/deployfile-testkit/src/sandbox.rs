//! A folder with a deployfile, and the program run on it.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A folder of its own: `project/` with the deployfile, `root/` for the app. Everything that runs beneath it is ended
/// when it is dropped.
pub struct Sandbox {
    dir: tempfile::TempDir,
    program: PathBuf,
}

/// How an invocation ended.
#[derive(Debug, Clone)]
pub struct Done {
    /// The exit code; 256 + signal when a signal ended it.
    pub code: i32,
    /// stdout.
    pub out: String,
    /// stderr.
    pub err: String,
}

impl Sandbox {
    /// An empty one for this binary.
    pub fn new(program: &str) -> Self {
        Self::within(&std::env::temp_dir(), program)
    }

    /// One in memory, where there is such a place: thousands of small trees are made there in a third of the time.
    pub fn in_memory(program: &str) -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::within(memory, program) } else { Self::new(program) }
    }

    fn within(folder: &Path, program: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("deployfile-test-").tempdir_in(folder).unwrap();
        let sandbox = Self { dir, program: PathBuf::from(program) };
        fs::create_dir(sandbox.project()).unwrap();
        fs::create_dir(sandbox.path().join("home")).unwrap();
        sandbox
    }

    /// The whole folder, without symlinks in its path.
    pub fn path(&self) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap()
    }
    /// Where the deployfile is.
    pub fn project(&self) -> PathBuf {
        self.path().join("project")
    }
    /// Where the app's root is, or will be.
    pub fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    /// Writes a file of the project, and the folders above it.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.project().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Copies a folder of the repository into the project.
    pub fn copy(&self, from: &Path) {
        copy_tree(from, &self.project());
    }

    /// Replaces text in a file of the project; the text must be there.
    pub fn replace(&self, path: &str, from: &str, to: &str) {
        let file = self.project().join(path);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{path} does not contain {from:?}");
        fs::write(file, text.replace(from, to)).unwrap();
    }

    /// The program with a clean environment, in the project's folder, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .current_dir(self.project())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path().join("home"))
            .env("LANG", "C.UTF-8")
            .env("USER", "tester")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        done(self.command(args))
    }

    /// Runs it and asserts its exit code; the output is shown when it differs.
    #[track_caller]
    pub fn expect(&self, code: i32, args: &[&str]) -> Done {
        let done = self.run(args);
        assert_eq!(done.code, code, "{args:?}\n--- stdout\n{}\n--- stderr\n{}", done.out, done.err);
        done
    }

    /// Runs it with `--format json`, asserts its exit code and gives the last document.
    #[track_caller]
    pub fn json(&self, code: i32, args: &[&str]) -> Value {
        let mut all = vec!["--format", "json"];
        all.extend(args);
        let done = self.expect(code, &all);
        let last = done.out.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", done.out))
    }

    /// Starts it and does not wait.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The release that the current link names.
    pub fn current(&self) -> Option<String> {
        let target = fs::read_link(self.root().join("current")).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// Processes that belong to this sandbox: by command line, working directory or environment.
    pub fn processes(&self) -> Vec<u32> {
        let needle = self.path().to_string_lossy().into_owned();
        let mut out = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let has = |name: &str| {
                fs::read(entry.path().join(name))
                    .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&needle))
            };
            let cwd =
                fs::read_link(entry.path().join("cwd")).is_ok_and(|p| p.to_string_lossy().contains(&needle));
            if pid != std::process::id() && (cwd || has("cmdline") || has("environ")) {
                out.push(pid);
            }
        }
        out
    }

    /// Ends what still runs of it.
    pub fn end_processes(&self) {
        // A supervisor may start another process while its services are ended: again until none is left.
        for _ in 0..50 {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            for pid in left {
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.end_processes();
    }
}

/// Runs a command to its end and collects what it said.
pub fn done(mut command: Command) -> Done {
    use std::os::unix::process::ExitStatusExt;
    let output = command.output().unwrap();
    let code = output.status.code().unwrap_or_else(|| 256 + output.status.signal().unwrap_or(0));
    Done {
        code,
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
