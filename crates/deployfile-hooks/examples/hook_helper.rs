//! The program that hands its arguments to `helper_main`, as `deployfile` does with its hidden verb; tests use it.

fn main() -> std::process::ExitCode {
    deployfile_hooks::helper_main(std::env::args_os().skip(1).collect())
}
