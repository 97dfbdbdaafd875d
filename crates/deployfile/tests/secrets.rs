//! A secret that is encrypted with age, from the deployfile to the program that needs it, and nowhere else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use deployfile_testkit::{Done, Sandbox};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const VALUE: &str = "hunter2-hunter2";

/// A release whose build writes down what it got, in capitals.
fn sandbox(identity: &Identity) -> Sandbox {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_deployfile"));
    let (folder, root) = (sandbox.path(), sandbox.root());
    sandbox.write("src/a.txt", "a");
    sandbox.write(
        "deployfile.kdl",
        &format!(
            "deployfile 1\napp small {{ root {root:?}; }}\nsource dir \"src\"\n\
             secret token age {:?} identity={:?}\nenv {{ TOKEN (secret)token; }}\n\
             stage build {{ run sh \"-c\" \"echo $TOKEN; echo $TOKEN | tr a-z A-Z > found\"; }}\n\
             environment local {{ host localhost {{ connect local; }}; }}\n",
            folder.join("token.age"),
            folder.join("key.txt"),
        ),
    );
    let recipient = identity.to_public();
    let sealed = age::encrypt_and_armor(&recipient, format!("{VALUE}\n").as_bytes()).unwrap();
    fs::write(folder.join("token.age"), sealed).unwrap();
    key(&sandbox, identity);
    sandbox
}

fn key(sandbox: &Sandbox, identity: &Identity) {
    let path = sandbox.path().join("key.txt");
    fs::write(&path, format!("# a key\n{}\n", identity.to_string().expose_secret())).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

/// The value stands in no file of the root and was not told.
#[track_caller]
fn keeps_it(sandbox: &Sandbox, told: &[&Done]) {
    keeps_it_but_in(sandbox, told, "");
}

/// The same, but for files of this name.
#[track_caller]
fn keeps_it_but_in(sandbox: &Sandbox, told: &[&Done], name: &str) {
    for done in told {
        assert!(!done.out.contains(VALUE) && !done.err.contains(VALUE), "{}{}", done.out, done.err);
        assert!(!done.out.contains("AGE-SECRET") && !done.err.contains("AGE-SECRET"), "{}", done.err);
    }
    let mut folders = vec![sandbox.root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if entry.file_type().unwrap().is_file() && entry.file_name() != name {
                assert!(!holds(&path), "{} holds the secret", path.display());
            }
        }
    }
}

fn holds(path: &Path) -> bool {
    let bytes = fs::read(path).unwrap();
    // The environment file of a service is where it belongs; this app has none.
    [VALUE, "AGE-SECRET-KEY"].iter().any(|text| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
}

#[test]
fn it_is_decrypted_for_the_step_that_needs_it() {
    let sandbox = sandbox(&Identity::generate());
    let checked = sandbox.expect(0, &["check"]);
    let planned = sandbox.expect(0, &["plan"]);
    let applied = sandbox.expect(0, &["apply", "--yes"]);
    assert_eq!(fs::read_to_string(sandbox.root().join("current/found")).unwrap(), "HUNTER2-HUNTER2\n");
    assert!(applied.err.contains("[secret]") || applied.out.contains("[secret]"), "{}", applied.err);
    keeps_it(&sandbox, &[&checked, &planned, &applied]);
}

#[test]
fn a_key_that_does_not_fit_stops_the_run_before_anything_is_made() {
    let identity = Identity::generate();
    let sandbox = sandbox(&identity);
    key(&sandbox, &Identity::generate());
    // Neither plan nor check asks for it.
    sandbox.expect(0, &["plan"]);
    let refused = sandbox.expect(4, &["apply", "--yes"]);
    assert!(refused.err.contains("error[secret::unreadable]"), "{}", refused.err);
    assert!(refused.err.contains("encrypted for none of the identities"), "{}", refused.err);
    assert_eq!(sandbox.current(), None);
    key(&sandbox, &identity);
    let open = sandbox.path().join("key.txt");
    fs::set_permissions(&open, PermissionsExt::from_mode(0o644)).unwrap();
    let refused_again = sandbox.expect(4, &["apply", "--yes"]);
    assert!(refused_again.err.contains("chmod 0600 /"), "{}", refused_again.err);
    fs::set_permissions(&open, PermissionsExt::from_mode(0o600)).unwrap();
    sandbox.expect(0, &["apply", "--yes"]);
    keeps_it(&sandbox, &[&refused, &refused_again]);
}

#[test]
fn a_template_of_kind_env_may_hold_it() {
    let sandbox = sandbox(&Identity::generate());
    let text = fs::read_to_string(sandbox.project().join("deployfile.kdl")).unwrap();
    let template =
        "template \"env.j2\" to=\".env\" kind=env { env { TOKEN (secret)token; APP \"{{ app }}\"; }; }";
    sandbox.write("deployfile.kdl", &text.replace("stage build {", &format!("stage build {{ {template};")));
    sandbox.write("env.j2", "A={{ app }}");
    let planned = sandbox.expect(0, &["plan"]);
    let applied = sandbox.expect(0, &["apply", "--yes"]);
    let path = sandbox.root().join("current/.env");
    let expected = format!("A=\"small\"\nAPP=\"small\"\nTOKEN=\"{VALUE}\"\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // The listing of the tree, which others may read, does not have its digest.
    let id = sandbox.current().unwrap();
    sandbox.expect(0, &["release", "verify", &id]);
    fs::write(&path, expected.replace("hunter2", "hunter3")).unwrap();
    sandbox.expect(0, &["release", "verify", &id]);
    fs::write(&path, expected).unwrap();
    let again = sandbox.expect(0, &["apply", "--yes"]);
    assert_eq!(sandbox.current().as_ref(), Some(&id), "nothing is to do: {}", again.err);
    keeps_it_but_in(&sandbox, &[&planned, &applied, &again], ".env");
}
