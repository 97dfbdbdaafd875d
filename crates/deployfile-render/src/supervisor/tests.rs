use super::*;
use crate::nasty::{for_all, nasty};
use proptest::strategy::Strategy;

fn program() -> Program {
    Program {
        name: "web".to_owned(),
        command: vec!["/srv/shop/current/bin/web".to_owned(), "--port=80".to_owned()],
        directory: "/srv/shop/releases/r 1".to_owned(),
        user: Some("deploy".to_owned()),
        numprocs: 1,
        environment: BTreeMap::from([
            ("A".to_owned(), "it's 100%".to_owned()),
            ("B".to_owned(), String::new()),
        ]),
        stop_signal: Signal::Quit,
        stop_wait_secs: 30,
        stdout_logfile: Some("/srv/shop/log/web.log".to_owned()),
    }
}

#[test]
fn a_program() {
    assert_eq!(
        program_conf(&program()).unwrap(),
        "[program:web]\ncommand=/srv/shop/current/bin/web --port=80\nnumprocs=1\ndirectory=/srv/shop/releases/r 1\n\
         user=deploy\nautostart=true\nautorestart=true\nstopsignal=QUIT\nstopwaitsecs=30\nkillasgroup=true\n\
         redirect_stderr=true\nstdout_logfile=/srv/shop/log/web.log\nenvironment=A=\"it's 100%%\",B=''\n"
    );
}

#[test]
fn several_processes_have_names_and_logs_of_their_own() {
    let text = program_conf(&Program { numprocs: 3, ..program() }).unwrap();
    assert!(text.contains("\nprocess_name=%(program_name)s_%(process_num)02d\nnumprocs=3\n"), "{text}");
    assert!(text.contains("\nstdout_logfile=/srv/shop/log/web_%(process_num)02d.log\n"), "{text}");
}

#[test]
fn words_with_spaces_and_quotes_stand_in_quotes() {
    let command = ["/bin/sh", "-c", "echo 'a  b' \"$HOME\" 5% #", "", "#x", ";"].map(str::to_owned).to_vec();
    let error = program_conf(&Program { command: command.clone(), ..program() }).unwrap_err().to_string();
    assert!(error.starts_with("command: it has a `;` or `#` after white space"), "{error}");
    let command = command.iter().map(|word| word.replace(" #", "")).collect();
    let text = program_conf(&Program { command, ..program() }).unwrap();
    assert!(
        text.contains("\ncommand=/bin/sh -c 'echo '\"'\"'a  b'\"'\"' \"$HOME\" 5%%' '' '#x' ';'\n"),
        "{text}"
    );
}

#[test]
fn refusals() {
    let broken = |change: &dyn Fn(&mut Program)| {
        let mut program = program();
        change(&mut program);
        program_conf(&program).unwrap_err().to_string()
    };
    let env = |value: &str| {
        let value = value.to_owned();
        broken(&move |p| p.environment = BTreeMap::from([("A".to_owned(), value.clone())]))
    };
    assert!(env("a\n[program:evil]\ncommand=x").contains("newline"));
    assert!(env("a ;b").contains("comment"));
    assert!(env("a\u{a0}#b").contains("comment"));
    assert!(env("it's \"x\" then").contains("both kinds of quotes"));
    assert!(env("\"x").contains("strip"));
    assert!(env("x'").contains("strip"));
    assert!(env("%(here)s").contains("%(here)s"));
    assert!(broken(&|p| p.environment = BTreeMap::from([("A,B".to_owned(), String::new())])).contains("A,B"));
    assert!(broken(&|p| p.name = "a]b".to_owned()).starts_with("name"));
    assert!(broken(&|p| p.user = Some("a b".to_owned())).starts_with("user"));
    assert!(broken(&|p| p.command.clear()).starts_with("command"));
    assert!(broken(&|p| p.directory = "srv".to_owned()).starts_with("directory"));
    assert!(broken(&|p| p.directory = "/srv ".to_owned()).starts_with("directory"));
    assert!(broken(&|p| p.numprocs = 0).starts_with("numprocs"));
    assert!(broken(&|p| p.numprocs = 1_001).starts_with("numprocs"));
    assert!(broken(&|p| p.stdout_logfile = Some("/log/100%.log".to_owned())).starts_with("log file"));
    assert!(broken(&|p| p.stdout_logfile = Some("AUTO".to_owned())).starts_with("log file"));
}

/// A program with nasty strings wherever one can stand.
fn nasty_program() -> impl Strategy<Value = Program> {
    (nasty(), nasty(), nasty(), nasty(), 1..3u32).prop_map(|(a, b, path, value, numprocs)| Program {
        command: vec!["/bin/x".to_owned(), a, b],
        directory: format!("/srv/{path}"),
        environment: BTreeMap::from([("A".to_owned(), value), ("B".to_owned(), "b".to_owned())]),
        numprocs,
        ..program()
    })
}

/// Refused with a reason, or written so that it reads back; `change` stands for a mistake in what is written.
fn holds(program: &Program, change: impl Fn(String) -> String) -> Result<(), String> {
    match program_conf(program) {
        Err(refused) if refused == Refused::internal("supervisor") => {
            Err(format!("not refused: {program:?}"))
        }
        Err(_) => Ok(()),
        Ok(text) => match syntax::read_program(&change(text)) {
            Ok(read) if read == as_read(program) => Ok(()),
            other => Err(format!("{program:?} reads as {other:?}")),
        },
    }
}

#[test]
fn every_program_is_refused_or_reads_back() {
    for_all(nasty_program(), |program| holds(&program, |text| text)).unwrap();
}

#[test]
fn the_property_catches_broken_quoting() {
    let mistakes: [fn(String) -> String; 4] = [
        |text| text.replace("%%", "%"),
        |text| text.replace("'\"'\"'", "'"),
        |text| text.replace('"', "'"),
        |text| text.replace("A=", "A= "),
    ];
    for mistake in mistakes {
        assert!(for_all(nasty_program(), |program| holds(&program, mistake)).is_err());
    }
}

#[test]
fn a_reader_that_knew_no_comments_would_be_no_reader() {
    let text = program_conf(&program()).unwrap().replace("--port=80", "'--name=a #b'");
    assert_ne!(syntax::read_program(&text).ok(), Some(as_read(&program())));
    assert!(syntax::read_program(&text).is_err(), "the comment cuts the closing quote off");
}
