//! The room of a page: a folder of its own in which the paths and ports that the page shows are others.
//!
//! A page says `/var/tmp/…`, `/srv/…`, `/home/you` and port 8080. Here all of them are replaced, in commands and in every
//! deployfile, by paths beneath the room and by free ports; what is printed is translated back.

use crate::compare::PORTS;
use crate::repository;
use deployfile_testkit::{Sandbox, free_port};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Seconds that one command may take.
const COMMAND_SECONDS: &str = "240";

/// A warning that only some machines deserve: pages do not show it.
const OF_THIS_MACHINE: &str = "warning: the root is on ";

/// Where pages put things; beneath the room they keep their names.
const PLACES: [&str; 5] = ["/srv/", "/var/tmp/", "/var/www", "/run/", "/home/you"];

/// A room, and all processes in it for as long as it is there.
pub(crate) struct Room {
    sandbox: Sandbox,
    ports: Vec<(String, String)>,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    /// stdout and stderr as they came, in the page's words.
    pub(crate) printed: Vec<String>,
}

impl Room {
    pub(crate) fn new() -> Self {
        let program = env!("CARGO_BIN_EXE_deployfile");
        let sandbox = Sandbox::new(program);
        for place in ["bin", "srv", "var/tmp", "run", "home/you"] {
            fs::create_dir_all(sandbox.path().join(place)).unwrap();
        }
        std::os::unix::fs::symlink(program, sandbox.path().join("bin/deployfile")).unwrap();
        let mut ports: Vec<(String, String)> = Vec::new();
        for port in PORTS {
            let free = std::iter::repeat_with(free_port).map(|free| free.to_string());
            let free = free.into_iter().find(|free| !ports.iter().any(|(_, taken)| taken == free)).unwrap();
            ports.push((port.to_owned(), free));
        }
        let room = Self { sandbox, ports };
        fs::write(room.path("here"), room.home().to_str().unwrap()).unwrap();
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sandbox.path().join(name)
    }
    fn home(&self) -> PathBuf {
        self.path("home/you")
    }
    /// The folder that the page's commands have gone to.
    fn here(&self) -> PathBuf {
        PathBuf::from(fs::read_to_string(self.path("here")).unwrap().trim_end())
    }

    /// Writes a file of the page beneath the folder that its commands have gone to.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.here().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.inside(text)).unwrap();
    }

    /// Runs a command of a page. The folder that it goes to is kept.
    pub(crate) fn run(&self, command: &str) -> Ended {
        let here = self.path("here");
        let here = here.to_str().unwrap();
        // The page's ones; `cargo run` would build what is built already.
        let command = self.inside(&command.replace("cargo run -p deployfile --", "deployfile"));
        let script = format!("cd \"$(cat {here})\"\n{command}\ncode=$?\npwd > {here}\nexit $code\n");
        let (file, printed) = (self.path("command.sh"), self.path("printed"));
        fs::write(&file, script).unwrap();
        // A file and not a pipe: what a command leaves running must not be waited for.
        let out = fs::File::create(&printed).unwrap();
        let status = self
            .command("timeout")
            .args(["--kill-after=5", COMMAND_SECONDS, "sh"])
            .arg(file)
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .status()
            .unwrap();
        self.adapt(&self.home());
        let printed = self.outside(&String::from_utf8_lossy(&fs::read(printed).unwrap()));
        let lines = printed.lines().filter(|line| !line.starts_with(OF_THIS_MACHINE));
        Ended { code: status.code().unwrap_or(-1), printed: lines.map(str::to_owned).collect() }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.home())
            .env("USER", "you")
            .env("LANG", "C.UTF-8")
            .env("REPOSITORY", repository())
            .envs([("GIT_AUTHOR_NAME", "you"), ("GIT_COMMITTER_NAME", "you")])
            .envs([("GIT_AUTHOR_EMAIL", "you@example.com"), ("GIT_COMMITTER_EMAIL", "you@example.com")])
            .stdin(Stdio::null());
        command
    }

    /// The program, in a folder of this room.
    pub(crate) fn program(&self, folder: &Path, args: &[&str]) -> std::process::Output {
        self.command(env!("CARGO_BIN_EXE_deployfile")).current_dir(folder).args(args).output().unwrap()
    }

    /// An empty folder, for one check.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Deployfiles that a command wrote name the page's paths and ports.
    fn adapt(&self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                self.adapt(&entry.path());
            } else if kind.is_file() && entry.path().extension().is_some_and(|e| e == "kdl") {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                let adapted = self.inside(&text);
                if adapted != text {
                    fs::write(entry.path(), adapted).unwrap();
                }
            }
        }
    }

    /// A text of the page as it is in this room.
    pub(crate) fn inside(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for place in PLACES {
            text = replace(&text, place, &format!("{}{place}", self.sandbox.path().display()), Kind::Path);
        }
        for (shown, free) in &self.ports {
            text = replace(&text, shown, free, Kind::Port);
        }
        text
    }

    /// What was printed in this room, in the page's words.
    fn outside(&self, text: &str) -> String {
        let mut text = text.replace(env!("CARGO_BIN_EXE_deployfile"), "/usr/local/bin/deployfile");
        text = text.replace(self.sandbox.path().to_str().unwrap(), "");
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        text = text.replace(&format!("@{machine}"), "@host");
        for (shown, free) in &self.ports {
            text = replace(&text, free, shown, Kind::Port);
        }
        text
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Path,
    Port,
}

/// Replaces whole occurrences: not the end of a longer path, not digits of a longer number.
fn replace(text: &str, from: &str, to: &str, kind: Kind) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(from) {
        out.push_str(before);
        let joined = |c: char| match kind {
            Kind::Path => c.is_alphanumeric() || "._-/}".contains(c),
            Kind::Port => c.is_alphanumeric(),
        };
        let whole =
            !out.ends_with(joined) && (kind == Kind::Path || !after.starts_with(char::is_alphanumeric));
        out.push_str(if whole { to } else { from });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_paths_and_ports_are_replaced() {
        let path = |text: &str| replace(text, "/srv/", "/x/srv/", Kind::Path);
        assert_eq!(path("root \"/srv/a\" /srv/b"), "root \"/x/srv/a\" /x/srv/b");
        assert_eq!(path("/x/srv/a"), "/x/srv/a");
        let port = |text: &str| replace(text, "8080", "5", Kind::Port);
        assert_eq!(port("port 8080; :8080/ 18080 80801 a8080"), "port 5; :5/ 18080 80801 a8080");
    }
}
