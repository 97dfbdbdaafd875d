//! Plans of small deployfiles on told hosts: what they hold, in which order, and what they never hold.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, loudly")]

use deployfile_config::{FileError, Files, load};
use deployfile_model::units::UnixTime;
use deployfile_model::{BuildId, Digest, HostPath, Name, ReleaseId, Spec, Stage};
use deployfile_plan::{Refusal, Request, Wish, plan};
use deployfile_record::ledger::{OpenRun, ReleaseFacts};
use deployfile_record::observation::{CurrentLink, SeenRelease, SourceFacts};
use deployfile_record::{Effect, FORMAT, Ledger, Observation, Plan, ReleaseRecord, ReleaseState, Tail};
use std::collections::BTreeMap;

const FILE: &str = r#"deployfile 1
app shop { root "/srv/shop"; }
source git "https://git.example.com/shop.git" ref=main
secret key env KEY
shared { dir "media"; }
link "/srv/www" to="{{ current }}"
stage build { run make "all" timeout="5m"; }
service web {
  command "{{ release }}/bin/web"
  env { API_KEY (secret)key; }
  health http="http://127.0.0.1:9010/healthz"
  running-build http="http://127.0.0.1:9010/version"
}
retention { keep 2; grace "0s"; }
environment live { host localhost { connect local; }; }
"#;

struct OneFile(String);
impl Files for OneFile {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        if path == "deployfile.kdl" { Ok(self.0.clone().into_bytes()) } else { Err(FileError::NotFound) }
    }
    fn list(&self, _: &str) -> Result<Vec<String>, FileError> {
        Err(FileError::NotFound)
    }
}

fn spec(text: &str) -> Spec {
    let loaded = load(&OneFile(text.to_owned()), "deployfile.kdl");
    let project = loaded.project.unwrap_or_else(|| panic!("{}", loaded.diagnostics.render(false)));
    project.spec(&Name::new("live").unwrap(), &BTreeMap::new()).unwrap().0
}

fn id(text: &str) -> ReleaseId {
    ReleaseId::new(text).unwrap()
}

fn host(commit: &str) -> Observation {
    Observation {
        host: Name::new("localhost").unwrap(),
        root: HostPath::new("/srv/shop").unwrap(),
        current: CurrentLink::Absent,
        ledger: Ledger::default(),
        current_release: None,
        target_release: None,
        source: Some(SourceFacts {
            revision: commit.repeat(40),
            natural_build_id: BuildId::new(commit.repeat(40)).unwrap(),
            bytes: 10,
            files: 1,
            location: "https://git.example.com/shop.git".into(),
        }),
        release_dirs: Default::default(),
        in_use: Default::default(),
        down: Default::default(),
        plugins: BTreeMap::new(),
        base_env: BTreeMap::from([("PATH".into(), "/bin".into())]),
        is_unseen: false,
        has_nginx: false,
    }
}

fn at(spec: &Spec, seen: &Observation, wish: Wish, time: i64) -> Result<Plan, Vec<Refusal>> {
    let observations = BTreeMap::from([(seen.host.clone(), seen.clone())]);
    plan(&Request { spec, observations: &observations, wish, at: UnixTime(time) })
}

fn apply(spec: &Spec, seen: &Observation) -> Result<Plan, Vec<Refusal>> {
    at(spec, seen, Wish::Apply { force: false }, 1_000_000)
}

/// What the host is after this plan's run was committed.
fn after(plan: &Plan, before: &Observation) -> Observation {
    let release = plan.release.clone().unwrap();
    let tail = plan.hosts[0].steps.iter().find_map(|step| match &step.effect {
        Effect::EnsureFile(file) if file.path.as_str() == Tail::PATH => {
            Some(deployfile_record::plan::shown(&file.content))
        }
        _ => None,
    });
    let tail: Tail = serde_json::from_str(&tail.unwrap()).unwrap();
    let record = ReleaseRecord {
        format: FORMAT,
        id: release.clone(),
        build_id: plan.build_id.clone(),
        revision: plan.revision.clone(),
        spec: plan.spec,
        parent: None,
        plugins: BTreeMap::new(),
        overrides: BTreeMap::new(),
        tree: Digest::of(b""),
        bytes: 10,
        entries: 1,
    };
    let mut seen = before.clone();
    seen.current = CurrentLink::Release(release.clone());
    seen.current_release = Some(SeenRelease { record, tail, drift: vec![], files: BTreeMap::new() });
    let facts = ReleaseFacts {
        state: ReleaseState::Good,
        build_id: plan.build_id.clone(),
        revision: plan.revision.clone(),
        spec: plan.spec,
        plan: plan.spec,
        created: plan.at,
        left: None,
        tree: None,
        bytes: Some(10),
        pinned: false,
        reason: None,
        notes: BTreeMap::new(),
    };
    seen.ledger.releases.insert(release.clone(), facts);
    seen.ledger.committed.push(release);
    seen
}

fn stages(plan: &Plan) -> Vec<&'static str> {
    let mut names: Vec<&str> = plan.hosts[0].steps.iter().map(|step| step.stage.name()).collect();
    names.dedup();
    names
}

fn codes(refused: Result<Plan, Vec<Refusal>>) -> Vec<&'static str> {
    refused
        .map(|plan| panic!("it should be refused: {:?}", plan.goal))
        .unwrap_err()
        .iter()
        .map(|r| r.code)
        .collect()
}

#[test]
fn a_first_plan_goes_through_the_stages_in_order() {
    let plan = apply(&spec(FILE), &host("a")).unwrap();
    assert_eq!(
        stages(&plan),
        ["check", "fetch", "build", "link", "render", "seal", "switch", "restart", "verify", "commit"]
    );
    let back: Vec<&Effect> = plan.hosts[0].unwind.iter().map(|step| &step.effect).collect();
    assert!(
        matches!(back[0], Effect::EnsureCurrent { release: None }),
        "with nothing to go back to, current is taken away"
    );
}

#[test]
fn the_way_back_switches_before_it_restarts_and_ends_in_a_probe_of_the_old_build() {
    let spec = spec(FILE);
    let first = apply(&spec, &host("a")).unwrap();
    let mut seen = after(&first, &host("a"));
    seen.source = host("b").source;
    let second = at(&spec, &seen, Wish::Apply { force: false }, 2_000_000).unwrap();
    let back = &second.hosts[0].unwind;
    let place = |wanted: fn(&Effect) -> bool| back.iter().position(|step| wanted(&step.effect)).unwrap();
    let switch = place(|e| matches!(e, Effect::EnsureCurrent { release: Some(_) }));
    let restart = place(|e| matches!(e, Effect::EnsureService(_)));
    let probe = place(|e| matches!(e, Effect::ProbeBuild { .. }));
    assert!(switch < restart && restart < probe && probe == back.len() - 1);
    let Effect::ProbeBuild { build_id, .. } = &back[probe].effect else { panic!() };
    assert_eq!(Some(build_id), first.build_id.as_ref());
    assert!(back.iter().all(|step| step.stage == Stage::Revert));
}

#[test]
fn the_same_input_gives_the_same_bytes_and_another_time_the_same_identity() {
    let (spec, seen) = (spec(FILE), host("a"));
    let (one, two) = (apply(&spec, &seen).unwrap(), apply(&spec, &seen).unwrap());
    assert_eq!(one.to_bytes(), two.to_bytes());
    let later = at(&spec, &seen, Wish::Apply { force: false }, 9_000_000).unwrap();
    assert_ne!(one.release, later.release);
    assert_eq!(one.identity, later.identity);
    let other = apply(&spec, &host("b")).unwrap();
    assert_ne!(one.identity, other.identity, "another commit is another plan");
    assert_eq!(Plan::from_bytes(&one.to_bytes()).unwrap(), one);
}

#[test]
fn what_is_already_true_takes_no_step_and_a_comment_is_no_change() {
    let first = apply(&spec(FILE), &host("a")).unwrap();
    let seen = after(&first, &host("a"));
    let moved = FILE.replace("app shop", "// a comment that moves every line\n\napp shop");
    let again = apply(&spec(&moved), &seen).unwrap();
    assert!(!again.changes() && again.hosts[0].steps.is_empty());
    let changed = apply(&spec(&FILE.replace("make \"all\"", "make \"more\"")), &seen).unwrap();
    assert!(changed.changes());
}

#[test]
fn a_secret_stands_in_a_plan_only_as_its_name() {
    let plan = apply(&spec(FILE), &host("a")).unwrap();
    let secret_file = plan.hosts[0].steps.iter().find_map(|step| match &step.effect {
        Effect::EnsureFile(file) if file.is_secret() => Some(file),
        _ => None,
    });
    let file = secret_file.unwrap();
    assert_eq!(file.mode, 0o600);
    assert!(deployfile_record::plan::shown(&file.content).contains("(secret)key"));
    let sealed = plan.hosts[0].steps.iter().find_map(|step| match &step.effect {
        Effect::EnsureSealed(seal) => Some(seal.secret_files.clone()),
        _ => None,
    });
    assert_eq!(sealed.unwrap(), std::slice::from_ref(&file.path), "it stays out of the tree digest");
    assert!(!plan.hosts[0].diffs.iter().any(|diff| diff.path == file.path.as_str()), "and out of diffs");
}

#[test]
fn refusals_are_collected_and_name_what_to_do() {
    let spec = spec(FILE);
    let first = apply(&spec, &host("a")).unwrap();
    let mut seen = after(&first, &host("a"));
    seen.source = host("b").source;
    seen.ledger.rolled_back_from =
        seen.source.as_ref().map(|s| s.natural_build_id.clone()).into_iter().collect();
    seen.current_release.as_mut().unwrap().drift.push("x (changed)".into());
    let run = deployfile_model::RunId::new("run").unwrap();
    seen.ledger.open = Some(OpenRun { run, plan: Digest::of(b""), facts: vec![] });
    assert_eq!(
        codes(apply(&spec, &seen)),
        ["plan::interrupted-run", "plan::drift", "plan::rolled-back-build"]
    );
    seen.ledger.open = None;
    assert!(at(&spec, &seen, Wish::Apply { force: true }, 2_000_000).is_ok());
    for (link, code) in [
        (CurrentLink::NotALink, "plan::current-not-a-link"),
        (CurrentLink::Foreign("/etc".into()), "plan::current-foreign"),
        (CurrentLink::Release(id("unknown")), "plan::current-unsealed"),
    ] {
        assert_eq!(codes(apply(&spec, &Observation { current: link, ..host("a") })), [code]);
    }
}

#[test]
fn what_look_ups_give_is_held_against_its_type_before_anything_runs() {
    let cases = [
        ("listen \"{{ vars.x }}\"", "nonsense", "`nonsense` is not `HOST:PORT` or `unix:PATH`"),
        ("listen \"unix:{{ vars.x }}\"", "run/a.sock", "is not a path"),
        ("health tcp=\"127.0.0.1:{{ vars.x }}\"", "70000", "`70000` of `127.0.0.1:70000` is not a port"),
        ("health http=\"{{ vars.x }}/health\"", "localhost", "not a URL that is taken here"),
        ("running-build http=\"http://a/{{ vars.x }}\"", "b c", "white space"),
    ];
    for (setting, value, message) in cases {
        let text =
            FILE.replace("service web {", &format!("vars {{ x \"{value}\"; }}\nservice web {{ {setting};"));
        let text = if setting.starts_with("running") {
            text.replace("  running-build http=\"http://127.0.0.1:9010/version\"\n", "")
        } else {
            text
        };
        let refused = apply(&spec(&text), &host("a")).unwrap_err();
        let [one] = refused.as_slice() else { panic!("{refused:?}") };
        assert_eq!(one.code, "config::value", "{setting}");
        assert!(one.message.contains(message), "{setting}: {}", one.message);
        assert!(one.place.is_some() && one.help.contains("{{ vars.x }}"), "{one:?}");
    }
}

#[test]
fn a_rollback_follows_the_tail_of_the_release_that_it_goes_to() {
    let old_spec = spec(FILE);
    let first = apply(&old_spec, &host("a")).unwrap();
    let seen = after(&first, &host("a"));
    let target = seen.current_release.clone();
    let new_file = FILE.replace("9010/healthz", "9010/other");
    let second = at(
        &spec(&new_file),
        &Observation { source: host("b").source, ..seen.clone() },
        Wish::Apply { force: false },
        2_000_000,
    );
    let mut seen = after(&second.unwrap(), &seen);
    seen.target_release = target;
    seen.source = None;
    let back = at(&spec(&new_file), &seen, Wish::Rollback { to: None, force: false }, 3_000_000).unwrap();
    assert_eq!(stages(&back), ["switch", "restart", "verify", "commit"]);
    assert_eq!(back.release, first.release);
    let asks_old = |step: &deployfile_record::Step| step.what.contains("9010/healthz");
    assert!(back.hosts[0].steps.iter().any(asks_old), "the old release's own probe is asked");
    let unknown =
        at(&spec(&new_file), &seen, Wish::Rollback { to: Some(id("nope")), force: false }, 3_000_000);
    assert_eq!(codes(unknown), ["plan::unknown-release"]);
}

#[test]
fn prune_keeps_what_the_rule_says_with_the_new_release_counted() {
    let spec = spec(FILE);
    let mut seen = host("a");
    let mut commits = ["a", "b", "c"].iter();
    for time in [1_000_000, 2_000_000] {
        seen.source = host(commits.next().unwrap()).source;
        let plan = at(&spec, &seen, Wish::Apply { force: false }, time).unwrap();
        seen = after(&plan, &seen);
    }
    seen.source = host(commits.next().unwrap()).source;
    let third = at(&spec, &seen, Wish::Apply { force: false }, 3_000_000).unwrap();
    let pruned: Vec<&Effect> =
        third.hosts[0].steps.iter().filter(|s| s.stage == Stage::Prune).map(|s| &s.effect).collect();
    let oldest = seen.ledger.committed[0].clone();
    assert_eq!(pruned, [&Effect::EnsurePruned { release: oldest }]);
}

#[test]
fn the_room_of_a_release_that_is_not_known_is_taken_to_be_that_of_the_current_one() {
    let room = |spec: &Spec, seen: &Observation| {
        let plan = apply(spec, seen).unwrap();
        let mut steps = plan.hosts[0].steps.iter();
        steps.find_map(|step| match &step.effect {
            Effect::ProbePrerequisites(wanted) => Some((wanted.bytes.0, wanted.inodes)),
            _ => None,
        })
    };
    let (copied, linked) = (spec(FILE), spec(&FILE.replace("ref=main", "ref=main share=hardlink")));
    let mut seen = host("a");
    assert_eq!(room(&copied, &seen), Some((10, 1)));
    assert_eq!(room(&linked, &seen), Some((10, 1)), "there is nothing yet to link to");
    seen = after(&apply(&copied, &seen).unwrap(), &seen);
    let record = &mut seen.current_release.as_mut().unwrap().record;
    (record.bytes, record.entries) = (700, 7);
    let source = seen.source.as_mut().unwrap();
    (source.revision, source.bytes, source.files) = ("b".repeat(40), 0, 0);
    assert_eq!(room(&copied, &seen), Some((700, 7)));
    assert_eq!(room(&linked, &seen), Some((0, 0)));
    let source = seen.source.as_mut().unwrap();
    (source.bytes, source.files) = (20, 2);
    assert_eq!(room(&copied, &seen), Some((20, 2)));
}
