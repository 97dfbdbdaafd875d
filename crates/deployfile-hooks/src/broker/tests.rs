use super::*;
use deployfile_model::grant::Grant;

fn http(url: &str, methods: &[&str], private: bool) -> Grant {
    Grant::Http { url: url.to_owned(), methods: methods.iter().map(|m| (*m).to_owned()).collect(), private }
}

fn broker(grants: Vec<Grant>) -> Broker {
    Broker::new(grants, BTreeMap::new(), false)
}

fn asks(broker: &Broker, method: &str, url: &str) -> Option<Reach> {
    Target::parse(url).ok().and_then(|target| broker.http(method, &target).ok())
}

#[test]
fn urls_match_after_normalisation() {
    let broker = broker(vec![http("https://Hooks.example.com/services/*", &["POST"], false)]);
    for url in [
        "https://hooks.example.com/services/T1?x=1",
        "HTTPS://HOOKS.EXAMPLE.COM:443/services/",
        "https://hooks.example.com/a/../services/x",
        "https://hooks.example.com/%2e%2e/services/x#frag",
    ] {
        assert_eq!(asks(&broker, "POST", url), Some(Reach::Public), "{url}");
    }
    assert_eq!(asks(&broker, "GET", "https://hooks.example.com/services/T1"), None);
}

#[test]
fn tricks_with_urls_are_denied() {
    let broker = broker(vec![http("https://hooks.example.com/services/*", &[], false)]);
    for url in [
        "http://hooks.example.com/services/x",
        "https://hooks.example.com:8443/services/x",
        "https://hooks.example.com/servicesx",
        "https://hooks.example.com/services/../admin",
        "https://hooks.example.com/services/%2e%2e/admin",
        "https://hooks.example.com/services/..%2fadmin",
        "https://hooks.example.com/services/%2e%2e%2fadmin",
        "https://hooks.example.com/services/%252e%252e%252fadmin",
        "https://hooks.example.com/services/%25252e%25252e/admin",
        "https://hooks.example.com/services/..\\admin",
        "https://hooks.example.com@evil.test/services/x",
        "https://user:pw@hooks.example.com/services/x",
        "https://@hooks.example.com/services/x",
        "https://hooks.example.com.evil.test/services/x",
        "https://hooks.example.com\u{ff0e}evil.test/services/x",
        "https://hооks.example.com/services/x",
        "https://hooks.example.com./services/x",
        "https://evil.test/?https://hooks.example.com/services/x",
        "https://hooks.example.com/ser vices/x",
        "https:/\u{9}/hooks.example.com/services/x",
        "file:///services/x",
        "//hooks.example.com/services/x",
        "",
    ] {
        assert_eq!(asks(&broker, "POST", url), None, "{url}");
    }
    let long = format!("https://hooks.example.com/services/{}", "x".repeat(10_000));
    assert_eq!(asks(&broker, "POST", &long), None);
}

#[test]
fn addresses_are_one_however_they_are_written() {
    let broker =
        broker(vec![http("http://127.0.0.1:8080/*", &[], false), http("http://localhost/*", &[], false)]);
    for url in [
        "http://127.0.0.1:8080/x",
        "http://127.1:8080/x",
        "http://0x7f.0.0.1:8080/",
        "http://[::ffff:127.0.0.1]:8080/",
    ] {
        assert_eq!(asks(&broker, "GET", url), Some(Reach::Any), "{url}");
    }
    assert_eq!(asks(&broker, "GET", "http://localhost/x"), Some(Reach::Loopback));
    assert_eq!(asks(&broker, "GET", "http://127.0.0.2:8080/x"), None);
    assert_eq!(asks(&broker, "GET", "http://localhost:81/x"), None);
}

#[test]
fn patterns_that_mean_nothing_are_refused() {
    for bad in [
        "https://*.example.com/*",
        "https://example.com*",
        "*",
        "https://example.com/a*b",
        "ftp://x/*",
        "https://e.com/?q=*",
    ] {
        assert!(UrlPattern::parse(bad).is_err(), "{bad}");
    }
    let exact = broker(vec![http("https://e.com/a", &[], false)]);
    assert_eq!(asks(&exact, "GET", "https://e.com/a/b"), None);
    assert_eq!(asks(&exact, "GET", "https://e.com/a?x"), Some(Reach::Public));
}

#[test]
fn a_denied_request_names_the_missing_line() {
    let target = Target::parse("https://e.com/a?token=x").unwrap();
    let denied = broker(vec![]).http("POST", &target).unwrap_err();
    assert_eq!(denied.allow, "allow http=\"https://e.com/a\" methods=\"POST\"");
    assert_eq!(denied.what, "POST https://e.com/a");
}

#[test]
fn files_are_granted_by_component_and_direction() {
    let broker = broker(vec![
        Grant::Read { path: "release:public".to_owned() },
        Grant::Write { path: "state:".to_owned() },
    ]);
    let may = |how, text: &str| FilePath::parse(text).is_ok_and(|path| broker.file(how, &path).is_ok());
    assert!(may(Use::Read, "release:public"));
    assert!(may(Use::Read, "release:public/a/"));
    assert!(may(Use::Write, "state:x/y"));
    for text in [
        "release:",
        "release:publicly",
        "release:public/../x",
        "release:/public",
        "shared:public",
        "public",
        "release:public\0",
    ] {
        assert!(!may(Use::Read, text), "{text:?}");
    }
    assert!(!may(Use::Write, "release:public/a"));
    assert!(!may(Use::Read, "state:x"));
    assert!(!may(Use::Read, &format!("release:{}", "x/".repeat(5_000))));
}

#[test]
fn a_sealed_release_is_never_written() {
    let sealed = Broker::new(vec![Grant::Write { path: "release:".to_owned() }], BTreeMap::new(), true);
    let denied = sealed.file(Use::Write, &FilePath::parse("release:a").unwrap()).unwrap_err();
    assert!(denied.allow.contains("after `seal`"), "{denied:?}");
}

#[test]
fn a_secret_that_may_be_used_may_not_be_read() {
    let name = Name::new("token").unwrap();
    let values = BTreeMap::from([(name.clone(), Ok(SecretText::new("value")))]);
    let broker = Broker::new(vec![Grant::Secret { name, reveal: false }], values, false);
    assert!(broker.secret("token", false).is_ok());
    assert_eq!(broker.secret("token", true).unwrap_err().allow, "allow secret=\"token\" reveal=#true");
    assert!(broker.secret("other", false).is_err());
}

#[test]
fn programs_are_granted_by_their_whole_name() {
    let broker = broker(vec![Grant::Exec { program: "bin/console".to_owned(), timeout: Some(Millis(5)) }]);
    assert_eq!(broker.exec("bin/console").unwrap().1, Some(Millis(5)));
    for bad in
        ["console", "bin/console2", "bin/../bin/console", "/bin/sh", "./bin/console", "", "bin//console"]
    {
        assert!(broker.exec(bad).is_err(), "{bad}");
    }
}
