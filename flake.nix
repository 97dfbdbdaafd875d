{
  description = "deployfile: declarative, atomic deployments from one file";

  # A release of nixpkgs that has Rust 1.95 or later; the build refuses an older one by name.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      each = outputs: nixpkgs.lib.genAttrs systems (system: outputs (import ./nix/crate.nix {
        pkgs = nixpkgs.legacyPackages.${system};
        src = self;
      }));
    in
    {
      packages = each (crate: { default = crate.package; });
      checks = each (crate: { inherit (crate) fmt clippy tests; });
      devShells = each (crate: { default = crate.shell; });

      templates.default = {
        path = ./nix/template;
        description = "A project that is deployed with deployfile";
        welcomeText = ''
          Edit `deployfile.kdl`, then:

              nix develop --command deployfile plan
              nix develop --command deployfile apply
        '';
      };
    };
}
