//! What the real nginx makes of our server blocks: `nginx -t`, the words it reads, and the release it serves.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so and ends")]

mod fastcgi;
mod tool;

use deployfile_model::stage::TemplateKind;
use deployfile_render::nginx::{FilledHandler, FilledLocation, FilledSite, server_block, test_wrapper};
use deployfile_render::{Values, template};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

const NGINX: &str = "/usr/sbin/nginx";

/// nginx with one server block on `<folder>/http.sock`; ended when dropped.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn prepare(folder: &Path, conf: &str) {
    let path = folder.join("site.conf");
    std::fs::write(&path, conf).unwrap();
    for (name, text) in test_wrapper(&[path.to_str().unwrap()], folder.to_str().unwrap()).unwrap() {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn test(folder: &Path, conf: &str) -> Result<(), String> {
    prepare(folder, conf);
    let output = Command::new(NGINX).args(["-t", "-c"]).arg(folder.join("nginx.conf")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(stderr) }
}

fn start(folder: &Path, conf: &str) -> Nginx {
    test(folder, conf).unwrap();
    let mut command = Command::new(NGINX);
    command.args(["-g", "master_process off;", "-c"]).arg(folder.join("nginx.conf"));
    let child = command.stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..1_000 {
        if UnixStream::connect(folder.join("http.sock")).is_ok() {
            return Nginx(child);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(Nginx(child));
    panic!("nginx did not come up");
}

/// The body of a GET.
fn get(folder: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(folder.join("http.sock")).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: shop.example.com\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer}")).1.to_owned()
}

fn location(pattern: &str, handler: FilledHandler) -> FilledLocation {
    FilledLocation { pattern: pattern.to_owned(), try_files: vec![], handler }
}

fn site(folder: &Path) -> FilledSite {
    let php = FilledHandler::Fastcgi(format!("unix:{}/php.sock", folder.display()));
    FilledSite {
        name: "shop".to_owned(),
        listen: vec![format!("unix:{}/http.sock", folder.display())],
        server_names: ["shop.example.com", "*.shop.example.com", r"~^www\d{1,3};\.x$"]
            .map(str::to_owned)
            .to_vec(),
        root: Some(format!("{}/current/public", folder.display())),
        index: vec!["index.html".to_owned()],
        locations: vec![
            location("= /exact path", FilledHandler::Static),
            location("^~ /static/", FilledHandler::Static),
            location("/api/", FilledHandler::Proxy("127.0.0.1:9010".to_owned())),
            location("/socket/", FilledHandler::Proxy("unix:/run/web.sock".to_owned())),
            location(r#"~* "\d{3};'}$"#, FilledHandler::Static),
            FilledLocation {
                try_files: vec!["$uri".to_owned(), "=404".to_owned()],
                ..location(r"~ \.php$", php)
            },
        ],
    }
}

fn release(folder: &Path, id: &str) {
    let public = folder.join("releases").join(id).join("public");
    std::fs::create_dir_all(&public).unwrap();
    std::fs::write(public.join("a.txt"), id).unwrap();
    std::fs::write(public.join("index.php"), id).unwrap();
}

fn switch(folder: &Path, id: &str) {
    let new = folder.join("new");
    symlink(format!("releases/{id}"), &new).unwrap();
    std::fs::rename(new, folder.join("current")).unwrap();
}

#[test]
fn nginx_accepts_every_kind_of_location() {
    if !tool::is_here(NGINX) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = server_block(&site(folder.path())).unwrap();
    test(folder.path(), &text).unwrap();
    // Two sites beside one another say the same map.
    let other = text.replace("http.sock", "other.sock").replace("shop.example.com", "other.example.com");
    test(folder.path(), &format!("{text}{other}")).unwrap();
    for (right, wrong) in [("set $rel", "set rel"), ("try_files", "try_file"), ("\"~^www", "~^www")] {
        let broken = text.replacen(right, wrong, 1);
        assert_ne!(broken, text);
        assert!(test(folder.path(), &broken).is_err(), "{wrong} is seen");
    }
}

#[test]
fn one_request_sees_one_release_by_its_real_path() {
    if !tool::is_here(NGINX) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().canonicalize().unwrap();
    release(&real, "r1");
    release(&real, "r2");
    switch(&real, "r1");
    let php = fastcgi::serve(&real.join("php.sock"));
    let _nginx = start(&real, &server_block(&site(&real)).unwrap());
    for id in ["r1", "r2", "r1"] {
        switch(&real, id);
        assert_eq!(get(&real, "/a.txt"), id);
        let public = format!("{}/releases/{id}/public", real.display());
        assert_eq!(get(&real, "/index.php"), format!("{public}/index.php\n{public}"));
    }
    drop(php);
}

/// Asks `times` times for a file of the release while `current` goes to and fro as fast as it can; the answers that were not
/// one whole release's.
fn bad_answers(text: &str, folder: &Path, times: usize) -> Vec<String> {
    const IDS: [&str; 2] = ["r1", "a-release-with-a-name-that-is-much-longer-than-that-of-the-other"];
    IDS.iter().for_each(|id| release(folder, id));
    switch(folder, IDS[0]);
    let _nginx = start(folder, text);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let switching = scope.spawn(|| {
            let mut n = 0_usize;
            while !over.load(Ordering::SeqCst) {
                n += 1;
                switch(folder, IDS[n % 2]);
            }
            n
        });
        let answers = (0..times).map(|_| get(folder, "/a.txt"));
        let bad: Vec<String> = answers.filter(|answer| !IDS.contains(&answer.as_str())).collect();
        over.store(true, Ordering::SeqCst);
        assert!(switching.join().unwrap() > times / 10, "hardly anything was switched");
        bad
    })
}

/// nginx works out the length of what `set` sets, and then the value: a switch in between must not matter.
#[test]
fn no_switch_is_too_fast() {
    if !tool::is_here(NGINX) {
        return;
    }
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [right, wrong] = folders.each_ref().map(|folder| folder.path().canonicalize().unwrap());
    let text = |folder: &Path| server_block(&site(folder)).unwrap();
    let bad = bad_answers(&text(&right), &right, 5_000);
    assert!(bad.is_empty(), "{} bad answers: {:?}", bad.len(), bad.first());
    let read_twice = text(&wrong).replace("set $rel $deployfile_real_path", "set $rel $realpath_root");
    assert!(!bad_answers(&read_twice, &wrong, 20_000).is_empty(), "reading it twice is not caught");
}

#[test]
fn words_are_read_as_they_were_meant() {
    if !tool::is_here(NGINX) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut values = Values::new();
    let mut source = format!("server {{ listen unix:{}/http.sock;\n", folder.path().display());
    let mut meant = Vec::new();
    for word in tool::nasty() {
        values.set_var("word", &word);
        if template::render("word", "{{ vars.word }}", TemplateKind::Nginx, &values).is_ok() {
            values.set_var(&format!("v{}", meant.len()), &word);
            source.push_str(&format!("location /{0}/ {{ return 200 {{{{ vars.v{0} }}}}; }}\n", meant.len()));
            meant.push(word);
        }
    }
    source.push_str("}\n");
    assert!(meant.len() > 300, "many nasty strings can be written: {}", meant.len());
    let conf = template::render("site", &source, TemplateKind::Nginx, &values).unwrap();
    let _nginx = start(folder.path(), &conf);
    for (n, word) in meant.iter().enumerate() {
        assert_eq!(get(folder.path(), &format!("/{n}/")), *word);
    }
}
