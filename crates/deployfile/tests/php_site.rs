//! `examples/php-site` behind a real nginx and a real php-fpm: applied twice, broken once, rolled back, and switched
//! under load without a failed or mixed answer, while neither nginx nor php-fpm is reloaded.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should stop, loudly")]

use deployfile_testkit::{Background, Sandbox, free_port, get, needs, until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};

/// A page that reads the build twice with a wait between, by way of what nginx passed as the document root. The wait is
/// a loop, as `usleep` ends early when php-fpm is signalled.
const SLOW_PAGE: &str = r#"<?php
function part() { return file_get_contents($_SERVER['DOCUMENT_ROOT'] . '/../build-id'); }
$first = part();
$until = hrtime(true) + 20000000;
while (hrtime(true) < $until) { usleep(1000); }
$body = $first . ' ' . part();
header('Content-Type: text/plain');
header('Content-Length: ' . strlen($body));
echo $body;
"#;

/// The example with nginx and php-fpm of its own.
struct Site {
    sandbox: Sandbox,
    /// Where the example's site answers.
    port: u16,
    /// Where the same files are served the wrong way: by `$document_root` of the link.
    wrong_port: u16,
    nginx: Background,
    fpm: Background,
}

fn php_site(test: &str) -> Option<Site> {
    if !(needs("nginx", test) && needs("php-fpm8.2", test)) {
        return None;
    }
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/php-site");
    sandbox.copy(&example);
    sandbox.write("site/public/slow.php", SLOW_PAGE);
    let (port, wrong_port, dir) = (free_port(), free_port(), sandbox.path());
    let socket = dir.join("fpm.sock");
    for (from, to) in [
        ("/var/tmp/deployfile-php-site", sandbox.root().display().to_string()),
        ("127.0.0.1:8081", format!("127.0.0.1:{port}")),
        ("/run/php/php8.2-fpm.sock", socket.display().to_string()),
        ("nginx -s reload", format!("nginx -p {0} -c {0}/nginx.conf -s reload", dir.display())),
    ] {
        sandbox.replace("deployfile.kdl", from, &to);
    }
    let fpm = start_fpm(&dir, &socket);
    let nginx = start_nginx(&sandbox, &socket, wrong_port);
    Some(Site { sandbox, port, wrong_port, nginx, fpm })
}

fn start_fpm(dir: &Path, socket: &Path) -> Background {
    // Enough children that nobody waits for one: every answer under way has its own.
    let config = format!(
        "[global]\nerror_log = {0}/fpm.log\ndaemonize = no\n[site]\nuser = {1}\nlisten = {2}\npm = static\n\
         pm.max_children = 24\n",
        dir.display(),
        whoami(),
        socket.display()
    );
    fs::write(dir.join("fpm.conf"), config).unwrap();
    let mut command = Command::new("php-fpm8.2");
    // `-n`: no php.ini of this machine; `-R`: a pool of root, when it is root that runs the tests. Without PHP's cache of
    // real paths, what is reached by way of the link moves at once, so the wrong way shows in a short test.
    command.args(["-F", "-n", "-R", "-d", "realpath_cache_size=0", "-y"]).arg(dir.join("fpm.conf"));
    command.current_dir(dir);
    let fpm = Background::start(with_sbin(&mut command).stderr(Stdio::null()));
    until("php-fpm listens", || socket.exists());
    fpm
}

fn start_nginx(sandbox: &Sandbox, socket: &Path, wrong_port: u16) -> Background {
    let (dir, current) = (sandbox.path(), sandbox.root().join("current"));
    let user = if whoami() == "root" { "user root;" } else { "" };
    let config = format!(
        "{user} worker_processes 2; daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log;\n\
         events {{ worker_connections 512; }}\n\
         http {{\n\
           access_log off; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;\n\
           uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;\n\
           include {current}/services/nginx/*.conf;\n\
           server {{\n\
             listen 127.0.0.1:{wrong_port}; root {current}/public;\n\
             location ~ \\.php$ {{\n\
               include fastcgi_params; fastcgi_pass unix:{socket};\n\
               fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;\n\
             }}\n\
           }}\n\
         }}\n",
        dir = dir.display(),
        current = current.display(),
        socket = socket.display(),
    );
    fs::write(dir.join("nginx.conf"), config).unwrap();
    // What nginx has of its own beside its prefix.
    fs::copy("/etc/nginx/fastcgi_params", dir.join("fastcgi_params")).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&dir).arg("-c").arg(dir.join("nginx.conf")).args(["-e", "stderr"]);
    let nginx = Background::start(with_sbin(&mut command).current_dir(&dir).stderr(Stdio::null()));
    until("nginx listens", || get(wrong_port, "/").is_ok());
    nginx
}

fn with_sbin(command: &mut Command) -> &mut Command {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"))
}

fn whoami() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Site {
    /// What the running code says it is.
    fn version(&self) -> String {
        let answer = get(self.port, "/version.php").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        // The page says no length, so it came in chunks.
        answer.body.lines().find(|line| line.starts_with("sha256:")).unwrap().to_owned()
    }

    /// Everything that nginx and php-fpm run: it stays the same as long as nobody reloads them.
    fn pids(&self) -> [Vec<String>; 2] {
        let children = |pid: u32| -> Vec<String> {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
            children.split_whitespace().map(str::to_owned).collect()
        };
        // The workers from before the first deploy's reload may take a moment to leave.
        until("nginx has its own workers only", || children(self.nginx.pid()).len() == 2);
        [children(self.nginx.pid()), children(self.fpm.pid())]
    }

    fn change(&self, n: usize) {
        self.sandbox.write("site/public/change.txt", &format!("change {n}"));
    }
}

#[test]
fn applied_twice_broken_once_and_rolled_back_without_a_reload() {
    let Some(mut site) = php_site("php-site") else { return };
    let sandbox = &site.sandbox;
    let done = sandbox.json(0, &["apply", "--yes"]);
    assert_eq!(done["served"]["verified"], true, "{done}");
    let (old, old_release, pids) = (site.version(), sandbox.current().unwrap(), site.pids());
    assert!(get(site.port, "/").unwrap().body.contains(&old), "index.php is the index");

    site.change(1);
    sandbox.expect(0, &["apply", "--yes"]);
    let (new, new_release) = (site.version(), sandbox.current().unwrap());
    assert_ne!(old, new);

    sandbox.replace("site/public/health.php", "\"ok\\n\"", "\"sick\\n\"");
    sandbox.replace("deployfile.kdl", "contains=\"ok\" within=\"10s\"", "contains=\"ok\" within=\"1s\"");
    let broken = sandbox.json(6, &["apply", "--yes"]);
    assert_eq!(broken["result"], "reverted", "{broken}");
    assert_eq!(broken["changed"], "reverted");
    assert_eq!(broken["served"]["release"], new_release.as_str());
    assert_eq!((site.version(), sandbox.current()), (new, Some(new_release)));

    sandbox.expect(0, &["rollback", "--yes"]);
    assert_eq!((site.version(), sandbox.current()), (old, Some(old_release)));
    assert_eq!(site.pids(), pids, "nginx or php-fpm was reloaded");
    assert!(site.nginx.runs() && site.fpm.runs());
}

#[test]
fn a_site_that_nginx_refuses_is_never_switched_to() {
    let Some(site) = php_site("php-site refused") else { return };
    let sandbox = &site.sandbox;
    sandbox.expect(0, &["apply", "--yes"]);
    let (served, release) = (site.version(), sandbox.current());
    // A regular expression that is none: only nginx knows.
    sandbox.replace("deployfile.kdl", "\"~ \\.php$\"", "\"~ (\\.php$\"");
    let refused = sandbox.expect(1, &["apply", "--yes"]);
    assert!(refused.err.contains("nginx::refused"), "{}", refused.err);
    assert!(refused.err.contains("services/nginx/php-site.conf:"), "file and line: {}", refused.err);
    assert_eq!((site.version(), sandbox.current()), (served, release));
    sandbox.replace("deployfile.kdl", "\"~ (\\.php$\"", "\"~ \\.php$\"");
    site.change(1);
    sandbox.expect(0, &["apply", "--yes"]);
}

/// What clients of one port saw.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    failed: Mutex<Vec<String>>,
    mixed: AtomicUsize,
    stop: AtomicBool,
}

/// Clients that ask the slow page in a loop, strictly: no retry, every answer whole.
fn clients(count: usize, port: u16, seen: &Arc<Seen>) -> Vec<JoinHandle<()>> {
    let client = |seen: Arc<Seen>| {
        move || {
            while !seen.stop.load(Ordering::SeqCst) {
                let counter = match get(port, "/slow.php") {
                    Ok(answer) if answer.status == 200 && is_of_one_build(&answer.body) => &seen.answered,
                    Ok(answer) if answer.status == 200 => &seen.mixed,
                    other => {
                        seen.failed.lock().unwrap().push(format!("{other:?}"));
                        continue;
                    }
                };
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    (0..count).map(|_| spawn(client(seen.clone()))).collect()
}

fn is_of_one_build(body: &str) -> bool {
    body.split_once(' ').is_some_and(|(first, second)| first == second && first.starts_with("sha256:"))
}

#[test]
fn no_request_fails_or_mixes_releases_while_they_are_switched() {
    let Some(site) = php_site("php-site under load") else { return };
    site.sandbox.expect(0, &["apply", "--yes"]);
    let pids = site.pids();
    // The deliberately wrong way is asked at the same time: if it looked clean, the question would be worthless.
    let (right, wrong) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    let mut all = clients(8, site.port, &right);
    all.extend(clients(8, site.wrong_port, &wrong));
    let mut switches = 0;
    while switches < 6 || right.answered.load(Ordering::SeqCst) < 2_000 {
        switches += 1;
        site.change(switches);
        site.sandbox.expect(0, &["apply", "--yes"]);
        assert!(switches < 200, "the load does not get anywhere");
    }
    site.sandbox.expect(0, &["rollback", "--yes"]);
    right.stop.store(true, Ordering::SeqCst);
    wrong.stop.store(true, Ordering::SeqCst);
    all.into_iter().for_each(|client| client.join().unwrap());
    let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    assert!(count(&right.answered) >= 2_000);
    let failed = right.failed.lock().unwrap();
    let log = fs::read_to_string(site.sandbox.path().join("nginx.log")).unwrap_or_default();
    assert!(failed.is_empty(), "{} failed of {}: {failed:?}\n{log}", failed.len(), count(&right.answered));
    assert_eq!(count(&right.mixed), 0, "of {}", count(&right.answered));
    assert!(count(&wrong.mixed) > 0, "{} answers by way of the link were all whole", count(&wrong.answered));
    assert_eq!(site.pids(), pids, "nginx or php-fpm was reloaded");
}

#[test]
fn the_page_shows_every_stage_of_the_example() {
    let read = |path: &str| {
        fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
    };
    let (example, page) = (read("examples/php-site/deployfile.kdl"), read("docs/src/how-to/php-site.md"));
    let stages: Vec<&str> = example.lines().filter(|line| line.starts_with("stage ")).collect();
    assert!(stages.contains(&"stage revert {"), "{stages:?}");
    for stage in stages {
        assert!(page.contains(stage), "the page lacks `{stage}`");
    }
}
