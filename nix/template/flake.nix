{
  description = "A project that is deployed with deployfile";

  # Put the place here that you have deployfile from: a git URL, or `path:` and a checkout.
  inputs.deployfile.url = "git+https://git.example.com/deployfile.git";
  inputs.nixpkgs.follows = "deployfile/nixpkgs";

  outputs = { self, nixpkgs, deployfile }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
    in
    {
      devShells = nixpkgs.lib.genAttrs systems (system:
        let pkgs = nixpkgs.legacyPackages.${system}; in
        {
          default = pkgs.mkShell {
            packages = [ deployfile.packages.${system}.default pkgs.python3 ];
          };
        });
    };
}
