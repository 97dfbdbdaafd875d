use super::*;
use crate::nasty::{for_all, nasty};
use proptest::strategy::Strategy;

fn location(pattern: &str, handler: FilledHandler) -> FilledLocation {
    FilledLocation { pattern: pattern.to_owned(), try_files: vec![], handler }
}

fn site() -> FilledSite {
    FilledSite {
        name: "shop".to_owned(),
        listen: vec!["8080".to_owned()],
        server_names: vec!["shop.example.com".to_owned()],
        root: Some("/srv/shop/current/public".to_owned()),
        index: vec!["index.php".to_owned()],
        locations: vec![
            location("/api/", FilledHandler::Proxy("127.0.0.1:9010".to_owned())),
            FilledLocation {
                try_files: vec!["$uri".to_owned(), "=404".to_owned()],
                ..location(r"~ \.php$", FilledHandler::Fastcgi("unix:/run/php/shop.sock".to_owned()))
            },
        ],
    }
}

#[test]
fn a_site_passes_real_paths() {
    assert_eq!(
        server_block(&site()).unwrap(),
        r#"map $realpath_root $deployfile_real_path {
    default $realpath_root;
}
server {
    listen 8080;
    server_name shop.example.com;
    root /srv/shop/current/public;
    set $rel $deployfile_real_path;
    index index.php;
    location /api/ {
        root $rel;
        proxy_pass http://127.0.0.1:9010;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
    }
    location ~ \.php$ {
        root $rel;
        try_files $uri =404;
        fastcgi_pass unix:/run/php/shop.sock;
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $rel$fastcgi_script_name;
        fastcgi_param DOCUMENT_ROOT $rel;
    }
    location / {
        root $rel;
    }
}
"#
    );
}

#[test]
fn regexes_with_braces_and_semicolons_stand_in_quotes() {
    let text = |pattern: &str| {
        server_block(&FilledSite { locations: vec![location(pattern, FilledHandler::Static)], ..site() })
            .unwrap()
    };
    assert!(text(r"~ ^/\d{3};x$").contains(r#"location ~ "^/\d{3};x$" {"#));
    assert!(text(r#"~* "\n\\"#).contains(r#"location ~* "\"\\n\\\\" {"#));
    assert!(text("= /a b").contains(r#"location = "/a b" {"#));
    assert!(text("^~ /static/").contains("location ^~ /static/ {"));
}

#[test]
fn refusals() {
    let broken = |change: &dyn Fn(&mut FilledSite)| {
        let mut site = site();
        change(&mut site);
        server_block(&site).expect_err("a refusal").to_string()
    };
    for root in ["srv", "/srv/$x", "/srv;", "/srv/{a", "/srv}", "/srv\n", "$realpath_root"] {
        assert!(broken(&|s| s.root = Some(root.to_owned())).starts_with("root"), "{root:?}");
    }
    for listen in ["", "0", "65536", "80 ssl", "80;", "unix:rel", "unix:/a:b", "host:", "[::1]", "+80"] {
        assert!(broken(&|s| s.listen = vec![listen.to_owned()]).starts_with("listen"), "{listen:?}");
    }
    assert!(broken(&|s| s.listen.clear()).starts_with("listen"));
    for name in ["", "a b", "a;", "~", "$host", "a/b", "~a\n"] {
        assert!(broken(&|s| s.server_names = vec![name.to_owned()]).starts_with("server-name"), "{name:?}");
    }
    for pattern in ["", "x", "@x", "~", "~ ", "= x", "=/x", "/a;b", "/{", "! /x", "/a\nb"] {
        assert!(
            broken(&|s| s.locations[0].pattern = pattern.to_owned()).starts_with("location"),
            "{pattern:?}"
        );
    }
    for values in
        [&["$uri"][..], &["=404", "$uri"], &["$uri", "@php"], &["$uri", "a;b"], &["$", "a"], &["a", "=4"]]
    {
        let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
        assert!(broken(&|s| s.locations[0].try_files = values.clone()).contains("try_files"), "{values:?}");
    }
    for upstream in ["", "9010", "http://a:1", "a:1/x", "unix:a", "unix:/a:b", "a b:1", "$host:1", "a:1;"] {
        let handler = FilledHandler::Fastcgi(upstream.to_owned());
        assert!(broken(&|s| s.locations[0].handler = handler.clone()).starts_with("fastcgi"), "{upstream:?}");
    }
    assert!(broken(&|s| s.root = None).contains("needs a root"));
    assert!(broken(&|s| s.index = vec!["$x".to_owned()]).starts_with("index"));
    assert!(broken(&|s| s.locations.push(s.locations[0].clone())).contains("twice"));
    assert!(broken(&|s| s.root = Some(format!("/{}", "x".repeat(2_000)))).contains("longer"));
}

#[test]
fn a_site_without_files_needs_no_root() {
    let locations = vec![location("/", FilledHandler::Proxy("unix:/run/web.sock".to_owned()))];
    let text = server_block(&FilledSite { root: None, locations, ..site() }).unwrap();
    assert!(text.contains("proxy_pass http://unix:/run/web.sock;") && !text.contains("root"), "{text}");
}

#[test]
fn the_reader_knows_what_nginx_refuses() {
    for bad in ["a", "a {", "}", "a; }", ";", "{}", "a \"b;", "a \"b\"c;", "a b\\", &"a {".repeat(40)] {
        assert!(syntax::parse(bad).is_err(), "{bad:?}");
    }
    let read = syntax::parse("# c ; {\na 'b\"c' \"\" x${y}z#d; b { c 1;}\n").unwrap();
    assert_eq!(read[0].words, ["a", "b\"c", "", "x${y}z#d"]);
    assert_eq!(read[1], Directive::block(["b"], vec![Directive::line(["c", "1"])]));
}

fn nasty_site() -> impl Strategy<Value = FilledSite> {
    (nasty(), nasty(), nasty(), nasty()).prop_map(|(root, path, regex, file)| FilledSite {
        root: Some(format!("/srv/{root}")),
        server_names: vec![format!("~{regex}")],
        index: vec![format!("i{file}")],
        locations: vec![
            location(&format!("/{path}"), FilledHandler::Static),
            location(&format!("~ {regex}x"), FilledHandler::Static),
        ],
        ..site()
    })
}

#[test]
fn every_site_is_refused_or_reads_back() {
    for_all(nasty_site(), |site| match server_block(&site) {
        Err(refused) if refused == Refused::internal("nginx") => Err(format!("not refused: {site:?}")),
        _ => Ok(()),
    })
    .unwrap();
}

/// One word among others, quoted by `quote`, reads back.
fn holds(word: &str, quote: impl Fn(&str) -> String) -> Result<(), String> {
    let expected = Directive::block(["a", word, "b"], vec![Directive::line(["c", word])]);
    let text = format!("a {} b {{ c {}; }}", quote(word), quote(word));
    match syntax::parse(&text) {
        Ok(read) if read == [expected] => Ok(()),
        other => Err(format!("{text} reads as {other:?}")),
    }
}

#[test]
fn every_word_reads_back_and_the_property_catches_broken_quoting() {
    for_all(nasty(), |word| holds(&word, syntax::quote)).unwrap();
    let mistakes: [fn(&str) -> String; 3] = [
        |word| syntax::quote(word).replace("\\\\", "\\"),
        |word| if word.is_empty() { String::new() } else { syntax::quote(word) },
        |word| word.replace(' ', "\\ "),
    ];
    for mistake in mistakes {
        assert!(for_all(nasty(), |word| holds(&word, mistake)).is_err());
    }
}

#[test]
fn a_test_wrapper_refuses_paths_that_are_patterns() {
    for bad in ["rel", "/a*", "/a;b", "/$x", "/a\n"] {
        assert!(test_wrapper(&[bad], "/tmp/x").is_err(), "{bad:?}");
        assert!(test_wrapper(&["/a"], bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_refused_port_is_no_refused_configuration() {
    let bind = "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)\nnginx: configuration file x test failed";
    assert!(only_binding_was_refused(bind));
    assert!(!only_binding_was_refused(""));
    assert!(!only_binding_was_refused(&format!("{bind}\nnginx: [emerg] unknown directive \"x\" in y:1")));
    assert!(!only_binding_was_refused(
        "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)"
    ));
}
