//! Every folder of `examples/`: in one layout, valid, planned for every environment, and either appliable or refused by the
//! names of the settings that are not built yet. Those that are here for a kind of deployment and can be applied are.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should stop, loudly")]

use deployfile_testkit::{Background, Sandbox, free_port, get, needs, until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What `apply` refuses today, by example and environment. An empty list: it can be applied.
const REFUSED: &[(&str, &str, &[&str])] = &[
    ("container", "production", CONTAINER),
    ("container", "staging", CONTAINER),
    (
        "django",
        "india",
        &["stage.build.run if-changed=", "task.manage", "task.shell", "rollout", "notify.chat", "report"],
    ),
    ("django", "local", &["stage.build.run if-changed=", "task.manage", "task.shell"]),
    (
        "django",
        "production",
        &["stage.build.run if-changed=", "task.manage", "task.shell", "rollout", "notify.chat", "report"],
    ),
    ("django", "staging", &["stage.build.run if-changed=", "task.manage", "task.shell", "rollout", "report"]),
    ("hhvm-site", "local", &[]),
    ("hhvm-site", "production", &["site.forum.snippet", "rollout"]),
    ("hhvm-site", "staging", &["site.forum.snippet", "rollout"]),
    ("nix-pull", "canary", NIX),
    ("nix-pull", "production", NIX),
    ("php-never-reloaded", "local", &[]),
    ("php-never-reloaded", "production", PHP),
    ("php-never-reloaded", "staging", PHP),
    ("php-site", "local", &[]),
    ("quickstart", "local", &[]),
    ("supervised", "local", &[]),
];
const CONTAINER: &[&str] =
    &["source oci", "service.shop.manager container", "service.web.allow", "service.web.publish", "rollout"];
const NIX: &[&str] = &[
    "source nix",
    "pull",
    "service.edge-cache.manager systemd",
    "service.edge-cache.allow",
    "report",
    "notify.on-call",
];
const PHP: &[&str] = &["site.shop.snippet", r"site.shop.location.~ \.php$.snippet", "rollout", "notify.chat"];

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// The examples that are there.
fn names() -> Vec<String> {
    let entries = fs::read_dir(examples()).unwrap().flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A copy of an example that puts nothing outside of its sandbox.
fn copy(name: &str) -> Sandbox {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    sandbox.copy(&examples().join(name));
    let inside = format!("{}/", sandbox.path().display());
    for file in files(&sandbox.project(), "kdl") {
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("/var/tmp/", &inside)).unwrap();
    }
    sandbox
}

/// Files beneath a folder whose names end so.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}

/// The environments that an example declares.
fn environments(sandbox: &Sandbox) -> Vec<String> {
    let said = sandbox.expect(0, &["check"]).out;
    let list = said.trim_end().strip_prefix("the deployfile is valid: ").unwrap_or_else(|| panic!("{said}"));
    list.split(", ").map(str::to_owned).collect()
}

/// The documents of an invocation.
fn documents(sandbox: &Sandbox, code: i32, args: &[&str]) -> Vec<Value> {
    let args: Vec<&str> = ["--format", "json"].iter().chain(args).copied().collect();
    sandbox.expect(code, &args).out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What an error is about: the first thing in backticks.
fn subject(error: &Value) -> String {
    let message = error["message"].as_str().unwrap_or_default();
    message.split('`').nth(1).unwrap_or(message).to_owned()
}

#[test]
fn the_table_names_every_environment_of_every_example() {
    let mut declared = BTreeSet::new();
    for name in names() {
        declared
            .extend(environments(&copy(&name)).into_iter().map(|environment| (name.clone(), environment)));
    }
    let listed: Vec<_> = REFUSED.iter().map(|(name, of, _)| ((*name).to_owned(), (*of).to_owned())).collect();
    assert_eq!(declared.into_iter().collect::<Vec<_>>(), listed, "the table is sorted and complete");
}

#[test]
fn every_example_is_in_one_layout_and_valid() {
    for name in names() {
        let sandbox = copy(&name);
        sandbox.expect(0, &["fmt", "--check"]);
        let answer = sandbox.json(0, &["check"]);
        let warnings = answer["warnings"].as_array().unwrap();
        let others: Vec<_> = warnings.iter().filter(|w| w["code"] != "config::not-built").collect();
        assert!(others.is_empty(), "{name}: {others:?}");
        let not_built: BTreeSet<String> = warnings.iter().map(subject).collect();
        let of_this = REFUSED.iter().filter(|(of, ..)| *of == name).flat_map(|(.., settings)| *settings);
        let refused: BTreeSet<String> = of_this.map(|setting| (*setting).to_owned()).collect();
        assert_eq!(not_built, refused, "{name}: `check` warns of what `apply` refuses");
    }
}

/// A plan of every host, which also says what it has no steps for.
#[test]
fn every_environment_is_planned() {
    for (name, environment, settings) in REFUSED {
        let plan = copy(name).json(0, &["plan", environment]);
        let hosts = plan["hosts"].as_array().unwrap();
        let is_switched =
            |host: &Value| host["steps"].as_array().unwrap().iter().any(|s| s["stage"] == "switch");
        assert!(!hosts.is_empty() && hosts.iter().all(is_switched), "{name} {environment}: {hosts:?}");
        let findings = plan["findings"].to_string();
        for setting in *settings {
            let told = serde_json::to_string(setting).unwrap();
            assert!(findings.contains(told.trim_matches('"')), "{name} {environment}: {setting}\n{findings}");
        }
    }
}

#[test]
fn apply_refuses_what_is_not_built_by_name_and_changes_nothing() {
    for (name, environment, settings) in REFUSED.iter().filter(|(.., settings)| !settings.is_empty()) {
        let sandbox = copy(name);
        let before: BTreeSet<PathBuf> = everything(&sandbox.path());
        let errors = documents(&sandbox, 4, &["apply", environment, "--yes"]);
        // That the hosts cannot be reached is said too.
        let (of_settings, hosts): (Vec<&Value>, Vec<&Value>) =
            errors.iter().partition(|error| error["code"] == "plan::not-built");
        assert!(hosts.iter().all(|error| error["code"] == "plan::connect-not-built"), "{hosts:?}");
        let told: BTreeMap<String, &Value> =
            of_settings.into_iter().map(|error| (subject(error), error)).collect();
        let wanted: BTreeSet<&str> = settings.iter().copied().collect();
        assert_eq!(told.keys().map(String::as_str).collect::<BTreeSet<_>>(), wanted, "{name} {environment}");
        for error in told.values() {
            assert_eq!(error["changed"], "none");
            assert!(error["at"]["line"].is_u64(), "{error}");
        }
        assert_eq!(everything(&sandbox.path()), before, "{name} {environment}");
    }
}

fn everything(folder: &Path) -> BTreeSet<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { everything(&path) } else { BTreeSet::from([path]) }).collect()
}

/// These tests would be worth nothing if a mistake passed.
#[test]
fn a_misspelt_setting_fails() {
    for name in names() {
        let sandbox = copy(&name);
        sandbox.replace("deployfile.kdl", "retention {", "retentoin {");
        let answer = sandbox.json(3, &["check"]);
        let error = &answer["errors"][0];
        assert_eq!(error["code"], "config::unknown-node", "{name}: {error}");
        assert!(error["help"].as_str().unwrap().contains("`retention`"), "{name}: {error}");
    }
}

/// Names that lead from one file to another.
#[test]
fn a_misspelt_name_in_another_file_fails() {
    for (file, from, to, help) in [
        ("environments/india.kdl", "use live", "use lve", "`live`"),
        ("environments/production.kdl", "service celery-sms", "service celery-smss", "`celery-sms`"),
        ("services/celery.kdl", "celery-sms { use celery;", "celery-sms { use celry;", "`celery`"),
        ("services/web.kdl", "vars.server_name", "vars.servr_name", "`vars.server_name`"),
    ] {
        let sandbox = copy("django");
        sandbox.replace(file, from, to);
        let error = &sandbox.json(3, &["check"])["errors"][0];
        assert_eq!(error["at"]["file"], file, "{error}");
        assert!(error["help"].as_str().unwrap().contains(help), "{to}: {error}");
    }
    let sandbox = copy("django");
    sandbox.replace("templates/localsettings.py.j2", "vars.kafka", "vars.kafak");
    let error = &sandbox.json(3, &["check"])["errors"][0];
    assert_eq!(
        (&error["at"]["line"], &error["help"]),
        (&13.into(), &"did you mean `kafka`?".into()),
        "{error}"
    );
}

#[test]
fn what_an_example_plugs_in_is_pinned() {
    for name in names() {
        let folder = examples().join(&name);
        let texts = files(&folder, "kdl").into_iter().map(|file| fs::read_to_string(file).unwrap());
        let components: Vec<String> = texts
            .flat_map(|text| text.lines().map(str::trim).map(str::to_owned).collect::<Vec<_>>())
            .filter_map(|line| Some(line.strip_prefix("component \"")?.split('"').next()?.to_owned()))
            .collect();
        let lock = fs::read_to_string(folder.join("deployfile.lock")).unwrap_or_default();
        for component in components {
            assert!(
                lock.contains(&format!("source \"{component}\"")),
                "{name}: {component} is not in its lock"
            );
        }
    }
}

/// A port of the example, replaced by a free one.
fn own_port(sandbox: &Sandbox, port: &str) -> u16 {
    let free = free_port();
    sandbox.replace("deployfile.kdl", port, &free.to_string());
    free
}

/// A restart takes the machine out of traffic by the status file, and the admin port says which build runs.
#[test]
fn the_hhvm_site_is_drained_restarted_and_asked_at_its_admin_port() {
    if !needs("python3", "hhvm-site") {
        return;
    }
    let sandbox = copy("hhvm-site");
    let (port, admin) = (own_port(&sandbox, "8083"), own_port(&sandbox, "8084"));
    let first = sandbox.json(0, &["apply", "local", "--yes"]);
    assert_eq!((&first["result"], &first["served"]["verified"]), (&"done".into(), &true.into()));
    let old = get(admin, "/build-id").unwrap().body;
    assert!(old.starts_with("sha256:") && get(port, "/").unwrap().body.contains("Forum"));
    let alive = sandbox.path().join("deployfile-hhvm-site/shared/status/alive");
    assert!(!alive.exists(), "a machine that nobody put into traffic stays out of it");
    fs::write(&alive, "yes\n").unwrap();

    sandbox.replace("site/public/index.php", "Forum", "Agora");
    let (is_over, was_away) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                // Out of traffic, and still answering those that are under way.
                if !alive.exists() && get(port, "/").is_ok() {
                    was_away.store(true, Ordering::SeqCst);
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        let second = sandbox.run(&["apply", "local", "--yes"]);
        is_over.store(true, Ordering::SeqCst);
        assert_eq!(second.code, 0, "{}", second.err);
    });
    assert!(was_away.load(Ordering::SeqCst), "the status file is away while requests end");
    assert_eq!(fs::read_to_string(&alive).unwrap(), "yes\n");
    let new = get(admin, "/build-id").unwrap().body;
    assert!(new != old && get(port, "/").unwrap().body.contains("Agora"));
    sandbox.expect(0, &["rollback", "-e", "local", "--yes"]);
    assert_eq!(get(admin, "/build-id").unwrap().body, old);
}

/// Real nginx and php-fpm, with an opcache that never looks at a file again.
#[test]
fn the_php_site_is_never_reloaded() {
    let programs = ["nginx", "php-fpm8.2", "php"];
    if !programs.into_iter().all(|program| needs(program, "php-never-reloaded")) {
        return;
    }
    let sandbox = copy("php-never-reloaded");
    let (dir, port) = (sandbox.path(), own_port(&sandbox, "8085"));
    let reload = format!("nginx -p {0} -c {0}/nginx.conf -s reload", dir.display());
    sandbox.replace("deployfile.kdl", "nginx -s reload", &reload);
    let socket = dir.join("fpm.sock");
    sandbox.replace("deployfile.kdl", "/run/php/shop.sock", socket.to_str().unwrap());
    let fpm = start_fpm(&dir, &socket);
    let nginx = start_nginx(&dir, &dir.join("deployfile-php-never-reloaded/current"));

    sandbox.expect(0, &["apply", "local", "--yes"]);
    let first = get(port, "/").unwrap().body;
    assert!(first.contains("Shop (local)"), "{first}");
    fs::write(dir.join("deployfile-php-never-reloaded/shared/public/uploads/a.txt"), "kept").unwrap();
    // nginx read its block for the first time: from here on nobody is reloaded.
    let workers = || (children(&fpm), children(&nginx));
    until("old workers of nginx are gone", || children(&nginx).len() == 1);
    let before = workers();

    sandbox.replace("site/public/index.php", "Shop", "Store");
    let second = sandbox.json(0, &["apply", "local", "--yes"]);
    assert_eq!(second["served"]["verified"], true);
    assert!(get(port, "/").unwrap().body.contains("Store (local)"));
    assert_eq!(get(port, "/uploads/a.txt").unwrap().body, "kept");
    sandbox.expect(0, &["rollback", "-e", "local", "--yes"]);
    assert_eq!(get(port, "/").unwrap().body, first);
    assert_eq!(workers(), before, "nginx or php-fpm was reloaded");
}

fn start_fpm(dir: &Path, socket: &Path) -> Background {
    let user = Command::new("id").arg("-un").output().unwrap();
    let config = format!(
        "[global]\nerror_log = {0}/fpm.log\ndaemonize = no\n[shop]\nuser = {1}\nlisten = {2}\npm = static\n\
         pm.max_children = 2\n",
        dir.display(),
        String::from_utf8(user.stdout).unwrap().trim(),
        socket.display()
    );
    fs::write(dir.join("fpm.conf"), config).unwrap();
    let mut command = Command::new("php-fpm8.2");
    // `-n`: no php.ini of this machine; `-R`: a pool of root, when it is root that runs the tests.
    command.args([
        "-F",
        "-n",
        "-R",
        "-d",
        "zend_extension=opcache",
        "-d",
        "opcache.validate_timestamps=0",
        "-y",
    ]);
    let fpm = Background::start(with_sbin(command.arg(dir.join("fpm.conf"))).stderr(Stdio::null()));
    until("php-fpm listens", || socket.exists());
    fpm
}

fn start_nginx(dir: &Path, current: &Path) -> Background {
    let config = format!(
        "{user}worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log;\n\
         events {{ worker_connections 128; }}\n\
         http {{\n\
           access_log off; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;\n\
           uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;\n\
           include {current}/services/nginx/*.conf;\n\
         }}\n",
        user = if rustix::process::geteuid().is_root() { "user root; " } else { "" },
        dir = dir.display(),
        current = current.display(),
    );
    fs::write(dir.join("nginx.conf"), config).unwrap();
    fs::copy("/etc/nginx/fastcgi_params", dir.join("fastcgi_params")).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(dir).arg("-c").arg(dir.join("nginx.conf")).args(["-e", "stderr"]);
    let nginx = Background::start(with_sbin(&mut command).stderr(Stdio::null()));
    until("nginx runs", || !fs::read_to_string(dir.join("nginx.pid")).unwrap_or_default().is_empty());
    nginx
}

fn with_sbin(command: &mut Command) -> &mut Command {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"))
}

/// The workers of nginx or php-fpm: other ones after a reload.
fn children(of: &Background) -> Vec<u32> {
    let pid = of.pid();
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}
