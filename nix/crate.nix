# How the workspace is built, checked and worked on with the Rust of a nixpkgs.
#
# Cargo.lock is the only source of dependencies: each is fetched by the checksum that stands there.
# Not here: the WASM components of plugins/, which are committed and compared by `cargo xtask plugins`.
{ pkgs, src }:

let
  workspace = (builtins.fromTOML (builtins.readFile ../Cargo.toml)).workspace.package;

  build = extra: pkgs.rustPlatform.buildRustPackage ({
    pname = "deployfile";
    inherit (workspace) version;
    inherit src;
    cargoLock.lockFile = ../Cargo.lock;
    doCheck = false;
  } // extra);

  # A build that only looks: `command` runs in the workspace, with its dependencies at hand and no network.
  check = name: tools: command: build {
    pname = "deployfile-${name}";
    nativeBuildInputs = tools;
    buildPhase = command;
    installPhase = "touch $out";
  };
in
rec {
  package = build {
    cargoBuildFlags = [ "--package" "deployfile" ];
    meta = {
      description = "Declarative, atomic deployments from one file";
      license = pkgs.lib.licenses.mit;
      mainProgram = "deployfile";
      platforms = pkgs.lib.platforms.linux;
    };
  };

  fmt = check "fmt" [ pkgs.rustfmt ] "cargo fmt --all --check";

  clippy = check "clippy" [ pkgs.clippy ]
    "cargo clippy --offline --workspace --all-targets -- -D warnings";

  # Tests whose tool is not in the sandbox say SKIPPED; `cargo xtask ci` is where none may.
  tests = check "tests" [ pkgs.git pkgs.python3 ] "cargo test --offline --workspace";

  shell = pkgs.mkShell {
    inputsFrom = [ package ];
    packages = [
      pkgs.cargo-nextest
      pkgs.clippy
      pkgs.git
      pkgs.jq
      pkgs.mdbook
      pkgs.nginx
      pkgs.python3
      pkgs.python3Packages.supervisor
      pkgs.rsync
      pkgs.rustfmt
      pkgs.strace
    ];
  };
}
