//! A deployfile of the usual size, to the last value of its specification.

mod memory;

use deployfile_model::grant::{Grant, StateScope};
use deployfile_model::probe::Target;
use deployfile_model::service::{Manager, OnDeploy, Signal};
use deployfile_model::site::Handler;
use deployfile_model::spec::{BuildIdRule, Connect, ShareMode, SourceKind};
use deployfile_model::stage::{Item, OnError, TemplateKind};
use deployfile_model::units::{Bytes, Millis};
use deployfile_model::{EnvValue, Name, Spec, Stage};
use memory::Memory;
use std::collections::BTreeMap;

const SHOP: &str = include_str!("shop.kdl");

fn shop() -> Spec {
    let files = Memory::of(&[
        ("deployfile.kdl", SHOP),
        ("deploy/settings.j2", "port={{ vars.port }}\n"),
        ("roles/worker.kdl", "role worker {\n  service celery {\n    command \"bin/celery\"\n  }\n}\n"),
    ]);
    let loaded = files.load();
    let project = loaded.project.unwrap_or_else(|| panic!("{}", loaded.diagnostics.render(false)));
    assert_eq!(loaded.diagnostics.render(false), "");
    let set = BTreeMap::from([("vars.port".to_owned(), "9999".to_owned())]);
    match project.spec(&Name::new("production").expect("a name"), &set) {
        Ok((spec, warnings)) => {
            assert!(warnings.is_empty(), "{}", warnings.render(false));
            spec
        }
        Err(diagnostics) => panic!("{}", diagnostics.render(false)),
    }
}

#[test]
fn app_and_source() {
    let spec = shop();
    assert_eq!(spec.app.name.as_str(), "shop");
    assert_eq!(spec.app.root.raw, "/srv/{{ environment }}/shop");
    assert_eq!((spec.app.root.place.line, spec.app.root.place.column), (5, 8));
    assert_eq!(spec.app.current.as_str(), "current");
    assert_eq!(spec.app.build_id, BuildIdRule::Git);
    assert_eq!(spec.app.release_id.raw, "{{ time | date('%Y-%m-%d_%H.%M.%S') }}");
    let SourceKind::Git { url, reference, submodules } = &spec.source.kind else { panic!() };
    assert_eq!(
        (url.raw.as_str(), reference.raw.as_str(), *submodules),
        ("https://git.example.com/shop.git", "main", true)
    );
    assert_eq!(spec.source.share, ShareMode::Hardlink);
    assert_eq!(spec.retention.keep, 3);
    assert_eq!(spec.retention.max_age, Some(Millis::from_secs(30 * 86_400)));
    assert_eq!(spec.retention.max_bytes, Some(Bytes(20 << 30)));
    assert_eq!((spec.retention.grace, spec.retention.keep_failed), (Millis::from_secs(600), 3));
    assert_eq!(spec.overrides["vars.port"], "9999");
}

#[test]
fn hosts_and_their_services() {
    let spec = shop();
    let names: Vec<_> = spec.hosts.iter().map(|h| h.name.as_str()).collect();
    assert_eq!(names, ["web1.example.com", "web2.example.com", "work"]);
    let services = |i: usize| spec.hosts[i].services.iter().map(|s| s.name.as_str()).collect::<Vec<_>>();
    assert_eq!(services(0), ["beat", "gunicorn"]);
    assert_eq!(services(2), ["beat", "celery"]);
    assert_eq!(spec.hosts[0].connect, Connect::Ssh);
    let gunicorn = &spec.hosts[0].services[1];
    assert_eq!(gunicorn.numprocs, 8, "the role in the environment beats the role");
    assert_eq!(spec.hosts[1].services[1].numprocs, 16, "the host beats the environment");
    assert_eq!(gunicorn.manager, Manager::Builtin);
    assert_eq!(gunicorn.on_deploy, OnDeploy::Handover);
    assert_eq!(gunicorn.directory.raw, "{{ release }}");
    assert_eq!((gunicorn.stop.signal, gunicorn.stop.timeout), (Signal::Int, Millis::from_secs(10)));
    assert_eq!(gunicorn.reload_signal, Signal::Hup);
    assert!(matches!(gunicorn.env["DATABASE_URL"], EnvValue::Secret(_)));
    let drain = gunicorn.drain.as_ref().unwrap();
    assert_eq!(
        (drain.file.as_ref().unwrap().raw.as_str(), drain.wait),
        ("{{ shared }}/alive", Millis::from_secs(10))
    );
    let health = &gunicorn.health;
    assert!(matches!(&health[0].target, Target::Http(url) if url.raw.ends_with("/healthz")));
    assert_eq!((health[0].within, health[0].interval), (Millis::from_secs(60), Millis::from_secs(1)));
    assert_eq!(health[0].expect.status, Some(200));
    let Target::Exec(argv) = &health[1].target else { panic!() };
    assert_eq!(
        argv.iter().map(|t| t.raw.as_str()).collect::<Vec<_>>(),
        ["{{ release }}/bin/check", "--fast"]
    );
    assert_eq!(gunicorn.running_build.as_ref().unwrap().json.as_deref(), Some("commit"));
    let beat = &spec.hosts[2].services[0];
    assert!(
        matches!(&beat.manager, Manager::Supervisor { socket } if socket.as_str() == "/run/supervisor.sock")
    );
}

#[test]
fn environment_and_variables() {
    let spec = shop();
    let text = |value: &EnvValue| match value {
        EnvValue::Text(text) => text.raw.clone(),
        EnvValue::Secret(secret) => format!("secret {}", secret.0),
    };
    let env: BTreeMap<_, _> = spec.hosts[0].env.iter().map(|(k, v)| (k.as_str(), text(v))).collect();
    assert_eq!(
        env,
        BTreeMap::from([
            ("LANG", "C".to_owned()),
            ("VERSION", "3.10".to_owned()),
            ("WEB_CONCURRENCY", "4".to_owned())
        ])
    );
    assert_eq!(spec.hosts[2].env.len(), 2);
    let vars: Vec<_> = spec.hosts[0].vars.iter().map(|(k, v)| (k.as_str(), v.text.raw.as_str())).collect();
    assert_eq!(vars, [("port", "9999"), ("python_version", "3.11")]);
    assert_eq!(&*spec.hosts[0].vars["port"].text.place.file, "--set");
}

#[test]
fn stages_in_order_of_text_and_scope() {
    let spec = shop();
    let show = |item: &Item| match item {
        Item::Run(run) => format!("run {} {}", run.argv[0].raw, run.timeout),
        Item::Sh(script) => format!("sh {:?} {}", script.text, script.timeout),
        Item::Template(t) => format!("template {} {:?} {:o} {}", t.to.raw, t.kind, t.mode, t.content),
        Item::Hook(hook) => {
            format!("hook {} {:?} {} {:?}", hook.plugin, hook.on_error, hook.once, hook.config)
        }
    };
    let build = &spec.hosts[0].stages[&Stage::Build];
    assert_eq!(
        build.main.iter().map(show).collect::<Vec<_>>(),
        [
            "run python3 30m",
            "sh \"make assets\\nmake docs\" 10m",
            "template conf/settings.ini Ini 644 port={{ vars.port }}\n",
            "run web-only 30m"
        ]
    );
    assert_eq!(build.before.iter().map(show).collect::<Vec<_>>(), ["hook guard Fail false {}"]);
    assert_eq!(
        build.after.iter().map(show).collect::<Vec<_>>(),
        ["hook guard Warn true {\"event\": String(\"built\")}"]
    );
    assert!(matches!(&build.after[0], Item::Hook(hook) if hook.on_error == OnError::Warn));
    assert!(matches!(&build.main[2], Item::Template(t) if t.kind == TemplateKind::Ini));
    assert_eq!(spec.hosts[2].stages[&Stage::Build].main.len(), 3);
}

#[test]
fn shared_links_and_sites() {
    let spec = shop();
    let host = &spec.hosts[0];
    let shared: Vec<_> = host.shared.iter().map(|s| (s.path.as_str(), s.directory, s.mode)).collect();
    assert_eq!(shared, [("localsettings.py", false, None), ("media", true, Some(0o750))]);
    assert_eq!(
        (host.links[0].at.raw.as_str(), host.links[0].to.raw.as_str()),
        ("/var/www", "{{ current }}/static")
    );
    let site = &host.sites[0];
    assert_eq!((site.listen[0].raw.as_str(), site.server_names.len()), ("80", 2));
    assert_eq!(site.root.as_ref().unwrap().raw, "{{ current }}/public");
    let locations: Vec<_> = site.locations.iter().map(|l| l.pattern.raw.as_str()).collect();
    assert_eq!(locations, ["/", "~ \\.php$", "/img/"]);
    assert!(
        matches!(&site.locations[1].handler, Handler::Fastcgi(at) if at.raw == "unix:/run/php/shop.sock")
    );
    assert_eq!(site.locations[2].handler, Handler::Static);
    assert!(spec.hosts[2].sites.is_empty(), "the site is for role web");
}

#[test]
fn plugins_that_are_used() {
    let spec = shop();
    assert_eq!(spec.plugins.keys().map(Name::as_str).collect::<Vec<_>>(), ["guard"]);
    let guard = &spec.plugins[&Name::new("guard").unwrap()];
    assert_eq!(guard.component, "plugins/guard.wasm");
    assert_eq!(guard.allow.len(), 6);
    assert_eq!(
        guard.allow[0],
        Grant::Http {
            url: "https://hooks.example.com/*".to_owned(),
            methods: vec!["GET".to_owned(), "POST".to_owned()],
            private: false
        }
    );
    assert_eq!(guard.allow[2], Grant::Write { path: "state:".to_owned() });
    assert_eq!(guard.allow[4], Grant::State { scope: StateScope::Machine });
    assert_eq!(guard.allow[5], Grant::Plan);
    assert_eq!(guard.limits.memory, Some(Bytes(64 << 20)));
    assert_eq!(guard.limits.time, Millis::from_secs(5));
    let config = serde_json::to_string(&guard.config).unwrap();
    assert_eq!(
        config,
        r##"{"channel":"#deploys","people":["ann","bob"],"quiet":true,"rule":[{"id":1,"max":2},{"id":2}],"size":{"limit":1.5}}"##
    );
}
