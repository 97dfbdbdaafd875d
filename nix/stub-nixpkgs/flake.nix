# As much of nixpkgs as flake.nix asks for, so that `cargo xtask nix` can evaluate it without a network.
#
# Nothing is built: each function takes a closed set of arguments (a slip in a name is an error, where the
# real one would pass it on as an environment variable) and gives a derivation that names them.
{
  outputs = { self }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      genAttrs = names: value:
        builtins.listToAttrs (map (name: { inherit name; value = value name; }) names);

      lib = {
        inherit genAttrs;
        licenses.mit = { spdxId = "MIT"; };
        platforms.linux = systems;
      };

      packagesFor = system:
        let
          made = name: inputs: derivation {
            inherit name system inputs;
            builder = "/bin/sh";
            args = [ "-c" "exit 1" ];
          };
          plain = name: made name [ ];

          # What the real one refuses: a lock file with a source that needs a hash which is not given.
          lockedSources = lockFile:
            let
              packages = (builtins.fromTOML (builtins.readFile lockFile)).package;
              registry = "registry+https://github.com/rust-lang/crates.io-index";
              foreign = builtins.filter (p: p ? source && p.source != registry) packages;
            in
            if foreign == [ ] then map (p: "${p.name}-${p.version}") packages
            else throw "Cargo.lock: needs an outputHash: ${(builtins.head foreign).name}";
        in
        genAttrs [
          "cargo-nextest" "clippy" "git" "jq" "mdbook" "nginx" "python3" "rsync" "rustfmt" "strace"
        ] plain // {
          inherit lib;
          python3Packages.supervisor = plain "supervisor";

          rustPlatform.buildRustPackage =
            { pname, version, src, cargoLock, doCheck ? true, cargoBuildFlags ? [ ], nativeBuildInputs ? [ ]
            , buildPhase ? null, installPhase ? null, meta ? { } }:
            made "${pname}-${version}" (nativeBuildInputs ++ [ "${src}" ] ++ lockedSources cargoLock.lockFile)
            // { inherit meta; };

          mkShell = { inputsFrom ? [ ], packages ? [ ] }: made "shell" (inputsFrom ++ packages);
        };
    in
    {
      inherit lib;
      legacyPackages = genAttrs systems packagesFor;
    };
}
