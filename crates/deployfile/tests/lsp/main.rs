//! `deployfile lsp`, spoken to as editors do.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should stop, loudly")]

mod asking;
mod client;
mod life;
mod mistakes;
mod writing;

/// A project in which something of everything is.
const SHOP: &str = r#"deployfile 1
import "parts/*.kdl"
app shop { root "/srv/shop"; }
source dir "."
vars { port 9010; }
secret db-url env DB_URL
plugin guard { component "plugins/guard.wasm"; }
retention { keep 5; }
role web {
  service web {
    command "./web" "{{ vars.port }}"
    env { DATABASE_URL (secret)db-url; }
  }
}
stage build {
  template "conf/app.j2" to="conf/app.ini"
  before { hook guard; }
}
environment production {
  retention { keep 10; }
  host "web[1:2].example.com" { roles web; connect local; }
}
environment local { host localhost { roles web worker; connect local; }; }
"#;

/// Beside it.
const PARTS: [(&str, &str); 4] = [
    ("deployfile.kdl", SHOP),
    ("parts/worker.kdl", "role worker {\n  service worker { command \"./worker\"; numprocs 3; }\n}\n"),
    ("conf/app.j2", "port = {{ vars.port }}\n"),
    ("plugins/guard.wasm", "no component, but a file"),
];

/// The project with one text replaced by another, in which `|` is the cursor.
fn shop(from: &str, to: &str) -> String {
    assert_eq!(SHOP.matches(from).count(), 1, "{from}");
    SHOP.replacen(from, to, 1)
}

/// A project that takes a while to be read.
fn long() -> String {
    let lines: String = (0..30_000).map(|n| format!("  V{n} \"{{{{ vars.port }}}}\"\n")).collect();
    format!("{SHOP}env {{\n{lines}}}\n")
}
