//! Files that crash parsers, or make them take for ever: each ends in an error with a place, within 5 s of processor
//! time and 256 MiB. Measured on the program itself, as the kernel counts what it took.

#![allow(unsafe_code, reason = "rustix has no call for wait4")]
#![allow(clippy::print_stdout, reason = "what each input took is worth to be seen")]

use deployfile_testkit::Sandbox;
use std::fmt::Write as _;
use std::fs;
use std::mem::MaybeUninit;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Processor time of one invocation.
const CPU: Duration = Duration::from_secs(5);
/// Memory of one invocation, in MiB.
const MEMORY: i64 = 256;
/// Wall clock, of a machine that does much else.
const WATCHDOG: Duration = Duration::from_secs(100);

/// What one invocation took, and how it ended.
#[derive(Debug)]
struct Took {
    /// `None`: a signal ended it.
    code: Option<i32>,
    cpu: Duration,
    /// The most that it had at once, in MiB.
    memory: i64,
    told: String,
}

impl Took {
    fn too_much(&self) -> Option<String> {
        match self {
            Self { cpu, .. } if *cpu > CPU => Some(format!("{cpu:?} of processor time")),
            Self { memory, .. } if *memory > MEMORY => Some(format!("{memory} MiB")),
            _ => None,
        }
    }
}

/// Runs it to its end. What it tells goes to a file, so that nobody has to read along.
fn measure(sandbox: &Sandbox, mut command: Command) -> Took {
    let output = sandbox.path().join("told");
    let file = fs::File::create(&output).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let (code, used) = wait(command.spawn().unwrap());
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    let told = String::from_utf8_lossy(&fs::read(output).unwrap()).into_owned();
    Took { code, cpu: time(used.ru_utime) + time(used.ru_stime), memory: used.ru_maxrss >> 10, told }
}

fn wait(mut child: Child) -> (Option<i32>, libc::rusage) {
    let pid = i32::try_from(child.id()).unwrap();
    let deadline = Instant::now() + WATCHDOG;
    let (mut status, mut used) = (0, MaybeUninit::zeroed());
    loop {
        // SAFETY: both are ours, and a child of ours that was not waited for has this number.
        match unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, used.as_mut_ptr()) } {
            0 => std::thread::sleep(Duration::from_millis(2)),
            waited => assert_eq!(waited, pid, "{}", std::io::Error::last_os_error()),
        }
        // SAFETY: zeroes are a rusage, and the kernel fills it in only once the child is waited for.
        let used = unsafe { used.assume_init() };
        if used.ru_maxrss > 0 {
            return (libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)), used);
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
    }
}

const HEAD: &str = "deployfile 1\napp a { root \"/srv/a\"; }\nsource dir \".\"\n";
const LOCAL: &str = "environment local { host localhost { roles web; connect local; }; }\n";

/// Runs `check`, `plan` and `fmt` on these files, the main one first.
#[track_caller]
fn ends<'f>(name: &str, code: &str, files: impl IntoIterator<Item = (&'f str, Vec<u8>)>) {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    for (path, content) in files {
        let path = sandbox.project().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    for args in [&["check"][..], &["plan"], &["fmt", "--check"]] {
        let took = measure(&sandbox, sandbox.command(args));
        let told: String = took.told.chars().take(600).collect();
        assert_eq!(took.too_much(), None, "{name}: {args:?}: {told}");
        // It knows neither settings nor what they mean, and says what it would change.
        if args[0] == "fmt" && matches!(took.code, Some(0 | 1)) {
            continue;
        }
        assert_eq!(took.code, Some(3), "{name}: {args:?}: {told}");
        assert!(
            args[0] == "fmt" || took.told.len() < 64 << 10,
            "{name}: {args:?}: it tells {} bytes",
            took.told.len()
        );
        let error = format!("error[{code}]: ");
        let is_first = took.told.starts_with(&error) || (args[0] == "fmt" && took.told.contains(&error));
        assert!(is_first, "{name}: {args:?}: {told}");
        assert!(took.told.contains("--> "), "{name}: no place: {told}");
    }
}

/// One file.
#[track_caller]
fn file(name: &str, code: &str, content: impl Into<Vec<u8>>) {
    ends(name, code, [("deployfile.kdl", content.into())]);
}

/// What follows the settings that every deployfile has.
#[track_caller]
fn rest(name: &str, code: &str, content: &str) {
    file(name, code, format!("{HEAD}{LOCAL}{content}"));
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        writeln!(text, "{}", line(n)).unwrap();
        text
    })
}

const MIB: usize = 1 << 20;
const MOST: usize = 16 * MIB;

#[test]
fn what_nests() {
    file("blocks", "config::depth", "a { ".repeat(100_000));
    file("closed blocks", "config::depth", "a { ".repeat(100_000) + &"}".repeat(100_000));
    file("blocks of 16 MiB", "config::depth", "a{".repeat(8 * MIB));
    file("slashdash", "config::slashdash", "/- a { ".repeat(100_000));
    file("slashdash blocks", "config::slashdash", "a /-{ ".repeat(100_000));
    file("slashdash runs", "config::slashdash", "/-".repeat(100_000) + "a");
    file("comments", "config::comment-depth", "/*".repeat(8 * MIB));
    file("stray braces", "config::brace", "}".repeat(100_000));
    file("open braces", "config::depth", "{".repeat(MOST));
    file("parentheses", "config::too-large", "(".repeat(MOST));
}

#[test]
fn what_is_large() {
    file("too large", "config::too-large", vec![b' '; MOST + 1]);
    let large = |name: &str, unit: &str| {
        let text = format!("deployfile 1\nvars {{ a {}; }}\n", unit.repeat((MOST - 100) / unit.len()));
        file(name, "config::too-large", text);
    };
    large("lines", "\n");
    large("semicolons", ";");
    large("settings", "\nb");
    large("values", " 1");
    large("properties", " b=1");
    large("annotations", "(t)");
    large("words", "x");
    large("digits", "9");
    large("quotes", "\"");
    large("hashes", "#");
    large("continued lines", "\\\n");
    large("slashes", "/ ");
    large("letters", "é");
    large("blocks", "{}");
    let string = |text: &str| format!("deployfile 1\nvars {{ a {text}; }}");
    let long = "x".repeat(MOST - 100);
    file("string", "config::too-large", string(&format!("\"{long}\"")));
    file("raw string", "config::too-large", string(&format!("#\"{long}\"#")));
    file("lines of text", "config::too-large", string(&format!("\"\"\"\n{}\n\"\"\"", "x\n".repeat(6 * MIB))));
    file("escapes", "config::too-large", string(&format!("\"{}\"", "\\u{41}".repeat(2 * MIB))));
}

#[test]
fn what_is_as_large_as_it_may_be() {
    // What comments and white space say is nothing, in any amount: what is missing is all the rest.
    let comment = format!("deployfile 1\n/*{}*/\nnobody", "é ".repeat(5 * MIB));
    file("comment", "config::unknown-node", comment);
    file("comments", "config::unknown-node", format!("deployfile 1\nnobody\n{}", "// x\n".repeat(190_000)));
    file("spaces", "config::unknown-node", format!("deployfile 1\n{}nobody", " ".repeat(MOST - 20)));
    rest("services", "config::unknown-node", &(lines(11_900, service) + "nobody"));
    let lists = lines(15_000, |n| format!("run a{n} b c d e f g"));
    rest("steps", "config::unknown-node", &format!("stage build {{ {lists} }}\nnobody"));
    rest(
        "arguments",
        "config::unknown-node",
        &format!("stage build {{ run {}; }}\nnobody", "a ".repeat(148_000)),
    );
    rest(
        "strings",
        "config::unknown-node",
        &format!("vars {{ a \"{}\"; }}\nnobody", "x".repeat(2 * MIB - 1000)),
    );
    let roles = lines(6_000, |n| format!("role r{n} {{ vars {{ a{n} 1; }}; }}"));
    let carried = lines(6_000, |n| format!("r{n} \\"));
    let host = format!("environment wide {{ host h {{ roles {carried}\n connect local; }}; }}\n");
    rest("roles", "config::too-large", &format!("{host}{roles}nobody"));
}

fn service(n: usize) -> String {
    format!("service s{n} {{ roles web; command \"x\"; }}")
}

#[test]
fn what_is_no_text() {
    file("NUL", "config::character", "deployfile 1\nvars { a \"\0\"; }");
    file("NULs", "config::character", vec![0; MIB]);
    file("BOM", "config::encoding", "\u{FEFF}deployfile 1\n");
    file("UTF-16", "config::encoding", b"\xff\xfed\0e\0".to_vec());
    file("CR", "config::encoding", "deployfile 1\rvars {}\r");
    file("CRs", "config::encoding", "\r".repeat(MOST));
    file("no UTF-8", "config::encoding", b"deployfile 1\nvars { a \"\xff\"; }".to_vec());
    let mut late = vec![b'x'; MOST - 1];
    late.push(0xff);
    file("no UTF-8 at the end", "config::encoding", late);
    file("direction", "config::character", "deployfile 1\nservice \"a\u{202E}b\" {}\n");
    file("direction in a word", "config::character", "deployfile 1\nservice a\u{202E}b {}\n");
    file("directions", "config::character", "x \"\u{202E}\"\n".repeat(20_000));
}

#[test]
fn numbers() {
    let number = |name: &str, digits: &str| {
        file(name, "config::syntax", format!("deployfile 1\nvars {{ a {digits}; }}"));
    };
    number("over i128", "170141183460469231731687303715884105728");
    number("digits", &"9".repeat(MIB));
    number("exponent", &format!("1e{}", "9".repeat(100_000)));
    number("hexadecimal", &format!("0x{}", "f".repeat(MIB)));
    number("fraction", &format!("0.{}", "3".repeat(MIB)));
}

#[test]
fn imports() {
    let import = |name: &str, code: &str, main: &str, parts: Vec<(String, String)>| {
        let main = ("deployfile.kdl", format!("{HEAD}{LOCAL}{main}").into_bytes());
        let parts = parts.iter().map(|(path, text)| (path.as_str(), text.clone().into_bytes()));
        ends(name, code, [main].into_iter().chain(parts));
    };
    let parts = |count: usize, text: &dyn Fn(usize) -> String| -> Vec<(String, String)> {
        (0..count).map(|n| (format!("p/{n}.kdl"), text(n))).collect()
    };
    let chain = parts(1000, &|n| format!("import \"{}.kdl\"", n + 1));
    import("chain", "config::import", "import \"p/0.kdl\"", chain);
    import("of itself", "config::import", "import \"*.kdl\"", vec![]);
    let all = || "import \"*.kdl\"\n".to_owned();
    import("of all by all", "config::import", "import \"p/*.kdl\"", parts(990, &|_| all()));
    import("again and again", "config::import", "import \"p/*.kdl\"", parts(990, &|_| all().repeat(50)));
    import("too many", "config::import", "import \"p/*.kdl\"", parts(3000, &|_| String::new()));
    import("lines", "config::import", &"import \"none*.kdl\"\n".repeat(40_000), vec![]);
    let large = parts(20, &|n| format!("//{}\nvars {{ a{n} 1; }}", "x".repeat(MIB)));
    import("large", "config::too-large", "import \"p/*.kdl\"", large);
    let long = parts(8, &|n| format!("vars {{ a{n} \"{}\"; }}", "x".repeat(MIB)));
    import("long", "config::too-large", "import \"p/*.kdl\"", long);
    let stars = format!("import \"p/{}.kdl\"", "*a".repeat(100));
    import("stars", "config::import", &stars, parts(500, &|n| format!("vars {{ a{n} 1; }}")));
    import("a long path", "config::import", &format!("import \"{}*.kdl\"", "a/".repeat(MIB / 4)), vec![]);
}

#[test]
fn ranges_of_hosts() {
    let hosts = |name: &str, code: &str, hosts: &str, more: &str| {
        file(name, code, format!("{HEAD}environment local {{ {hosts} }}\n{more}"));
    };
    let host = |range: &str| format!("host \"{range}\" {{ roles web; connect local; }}\n");
    hosts("10,000 × 10,000", "config::value", &host("a[1:10000]b[1:10000]"), "");
    hosts("nested", "config::value", &host(&"[1:9]".repeat(1000)), "");
    hosts("endless", "config::value", &host("a[1:99999999999999999999999]"), "");
    hosts("wide", "config::value", &host(&format!("a[{}1:2]", "0".repeat(MIB))), "");
    hosts("many", "config::too-large", &lines(1000, |n| host(&format!("h{n}-[1:10000]"))), "");
    let services = lines(1000, |n| format!("service s{n} {{ roles web; command \"x\"; }}"));
    hosts("with many services", "config::too-large", &host("a[1:10000]"), &services);
}

#[test]
fn many_of_a_kind() {
    rest("services", "config::too-large", &lines(100_000, service));
    rest("variables", "config::too-large", &format!("vars {{ {} }}", lines(200_000, |n| format!("v{n} 1"))));
    rest("conflicts", "config::duplicate", &lines(15_000, |n| format!("vars {{ a {n}; }}")));
    let environments = lines(10_000, |n| format!("environment e{n} {{ host localhost {{ roles web; }}; }}"));
    let services = lines(100, service);
    rest("environments", "config::too-large", &format!("{environments}{services}"));
    let few = lines(5, |n| format!("environment e{n} {{ host localhost {{ roles web; connect local; }}; }}"));
    rest("few environments", "config::unknown-node", &format!("{few}{}nobody", lines(11_900, service)));
    let when = |count: usize, glob: &str| {
        lines(count, |n| {
            format!("when host=\"{}\" {{ vars {{ x{n} {n}; }}; }}", glob.replace('N', &n.to_string()))
        })
    };
    let hosts = "environment all { host \"a[1:10000]\" { roles web; connect local; }; }\n";
    rest("conditions", "config::too-large", &format!("{hosts}{}", when(100_000, "aN")));
    rest("conditions of hosts", "config::too-large", &format!("{hosts}{}", when(20_000, "aN")));
    rest("conditions of all", "config::too-large", &format!("{hosts}{}", when(10_000, "*")));
    rest("conditions with stars", "config::too-large", &format!("{hosts}{}", when(10_000, "*a*a*N")));
    rest("steps", "config::too-large", &format!("stage build {{ {} }}", "run \"x\"\n".repeat(200_000)));
}

#[test]
fn what_takes_over_much() {
    let twice = |kind: &str| {
        lines(60, |n| {
            let (a, b) = (n, n + 1);
            format!("{kind} s{b}a {{ use s{a}a s{a}b; }}\n{kind} s{b}b {{ use s{a}a s{a}b; }}")
        })
    };
    let first =
        "profile s0a { vars { x 1; }; }\nprofile s0b { vars { y 1; }; }\nprofile last { use s60a nobody; }\n";
    rest("diamonds", "config::profile", &format!("{first}{}", twice("profile")));
    let chain = lines(10_000, |n| format!("service s{} {{ use s{n}; abstract; }}", n + 1));
    rest("a chain", "config::undeclared", &chain);
}

#[test]
fn long_strings_and_look_ups() {
    let command = |name: &str, code: &str, text: &str| {
        rest(name, code, &format!("service web {{ roles web; command \"x\" \"{text}\"; }}\n"));
    };
    command(
        "brackets",
        "config::look-up",
        &format!("{{{{ {}app{} }}}}", "(".repeat(MIB / 2), ")".repeat(MIB / 2)),
    );
    command("filters", "config::look-up", &format!("{{{{ app{} }}}}", " | upper".repeat(100_000)));
    command("dots", "config::look-up", &format!("{{{{ vars{} }}}}", ".a".repeat(MIB / 2)));
    command("unknown", "config::look-up", &"{{ nobody }}".repeat(50_000));
    command("opened", "config::look-up", &"{{ ".repeat(MIB / 4));
    let glob = format!("when host=\"{}x\" {{ vars {{ x 1; }}; }}\nnobody", "*l".repeat(MIB / 2));
    rest("a glob", "config::value", &glob);
    let main = format!("{HEAD}{LOCAL}stage build {{ template \"t.j2\" to=\"t\"; }}\n");
    for (name, template) in [
        ("filters", format!("{{{{ app{} }}}}", " | upper".repeat(7000))),
        ("sums", format!("{{{{ 1{} }}}}", "+1".repeat(30_000))),
        ("elifs", format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}\n".repeat(50_000))),
        ("ifs", "{% if 1 %}\n".repeat(80_000)),
        ("large", "x\n".repeat(MIB)),
    ] {
        let files = [("deployfile.kdl", main.clone().into_bytes()), ("t.j2", template.into_bytes())];
        ends(&format!("template: {name}"), "config::template", files);
    }
}

#[test]
fn the_measure_sees_what_is_taken() {
    let sandbox = Sandbox::new("python3");
    let run = |script: &str| measure(&sandbox, sandbox.command(&["-c", script]));
    let memory = run("x = bytearray(b'x' * (300 << 20)); raise SystemExit(3)");
    assert!(
        memory.code == Some(3) && memory.too_much().is_some_and(|said| said.ends_with(" MiB")),
        "{memory:?}"
    );
    let time = run("import time\nwhile time.process_time() < 5.5: pass");
    assert!(time.too_much().is_some_and(|said| said.ends_with("of processor time")), "{time:?}");
    let sleep = run("import time; time.sleep(1)");
    assert_eq!((sleep.code, sleep.too_much()), (Some(0), None));
    let crash = run("import os; os.abort()");
    assert_eq!(crash.code, None);
}
