//! The command line as clap reads it. What a verb does stands in `verb/`.

use crate::completing;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// Deployments that are declared in one file, switched atomically, verified, and undone when they fail.
#[derive(Debug, Parser)]
#[command(name = "deployfile", version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that may stand before or after the verb.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The deployfile; without it, `deployfile.kdl` is looked for here and in the parents
    #[arg(short = 'f', long = "file", global = true, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// What stdout carries: lines for people, or JSON documents and JSON lines
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// The environment; it may be left out where the file declares only one
    #[arg(short = 'e', long = "environment", global = true, value_name = "ENV", add = completing::environments())]
    pub(crate) environment: Option<String>,
    /// Answers every question with yes
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// Shows more: output of programs, every probe (twice: what hooks log for debugging)
    #[arg(short = 'v', long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Shows only warnings, errors and the end
    #[arg(short = 'q', long, global = true)]
    pub(crate) quiet: bool,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

/// What stdout carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    Human,
    /// JSON documents, and JSON lines for runs
    Json,
    /// Markdown, of `schema` only
    Md,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write a working deployfile here; never overwrites
    Init(InitArgs),
    /// Read the deployfile and say what is wrong with it; touches nothing
    Check(EnvArg),
    /// Bring the deployfile and what it imports into one layout; comments and values stay
    Fmt(FmtArgs),
    /// Show the value of a setting, what it means, and every line that had a say in it
    Explain(ExplainArgs),
    /// Show what apply would do: steps, reasons, diffs of rendered files; touches nothing
    Plan(PlanArgs),
    /// Make the deployfile true
    #[command(alias = "deploy")]
    Apply(ApplyArgs),
    /// Finish or undo an interrupted run
    Resume(ResumeArgs),
    /// Go back to the previous good release, or to another one
    Rollback(RollbackArgs),
    /// Say what is served, by which services, and what is left to do
    Status(EnvArg),
    /// List releases
    Releases(EnvArg),
    /// Show, pin, unpin or remove one release, or read it again against its manifest
    #[command(subcommand)]
    Release(ReleaseVerb),
    /// List runs
    History(HistoryArgs),
    /// Remove releases by the retention rules
    Clean(EnvArg),
    /// List, start, stop, restart or reload the services of this file, or show their output
    #[command(subcommand)]
    Service(ServiceVerb),
    /// Who holds the lock
    #[command(subcommand)]
    Lock(LockVerb),
    /// Pin and look at plugins
    #[command(subcommand)]
    Plugin(PluginVerb),
    /// Show what the machine lacks, and the line that starts services at boot
    Doctor(EnvArg),
    /// Print the settings reference
    Schema,
    /// Serve an editor: diagnostics, hover, completion and more for `deployfile.kdl`, over stdin and stdout
    Lsp {
        /// Taken and ignored: many editors say it, and there is no other way
        #[arg(long, hide = true)]
        stdio: bool,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Arguments of `explain`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainArgs {
    /// The setting, as `retention.keep` or `service.web.numprocs`; `service.web` is all that is set beneath it. Or an error
    /// code, as `config::conflict`; `config::` lists those of an area, `::` all
    #[arg(value_name = "PATH", add = completing::explained())]
    pub(crate) path: String,
    /// The environment
    #[arg(value_name = "ENV", add = completing::environments())]
    pub(crate) env: Option<String>,
    /// As it is on this host
    #[arg(long, value_name = "HOST", add = completing::hosts())]
    pub(crate) host: Option<String>,
}

/// An environment.
#[derive(Debug, Clone, Args)]
pub(crate) struct EnvArg {
    /// The environment
    #[arg(value_name = "ENV", add = completing::environments())]
    pub(crate) env: Option<String>,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// What to start from
    #[arg(long, value_enum, default_value_t = InitTemplate::Quickstart)]
    pub(crate) template: InitTemplate,
}

/// What `init` starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InitTemplate {
    /// A small web application that needs nothing but Python
    Quickstart,
    /// A PHP site behind nginx and php-fpm
    Php,
    /// A Python web application in a virtual environment
    Python,
    /// A Node.js web application
    Node,
    /// Static files behind nginx
    Static,
}

/// Arguments of `fmt`.
#[derive(Debug, Args)]
pub(crate) struct FmtArgs {
    /// The files; without them, the deployfile and what it imports. `-` reads stdin and writes to stdout
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Write nothing; show what would change, and exit with 1 if anything would
    #[arg(long)]
    pub(crate) check: bool,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The environment
    #[arg(value_name = "ENV", add = completing::environments())]
    pub(crate) env: Option<String>,
    /// Write the plan to this file, for `apply --plan`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Exit with 10 when there is something to do
    #[arg(long)]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) wish: WishArgs,
}

/// What `plan` and `apply` share.
#[derive(Debug, Clone, Args)]
pub(crate) struct WishArgs {
    /// Set a variable, over everything in the file
    #[arg(long = "set", value_name = "vars.NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// The branch, tag or commit to take, instead of the file's `ref`
    #[arg(long, value_name = "REV")]
    pub(crate) rev: Option<String>,
    /// Go over drift of current, a build that was rolled back from, and a run that is stuck or was interrupted before its
    /// switch
    #[arg(long)]
    pub(crate) force: bool,
    /// Only this host
    #[arg(long, value_name = "HOST", add = completing::hosts())]
    pub(crate) host: Option<String>,
    /// Only hosts with this role
    #[arg(long, value_name = "ROLE", add = completing::roles())]
    pub(crate) role: Option<String>,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// The environment
    #[arg(value_name = "ENV", add = completing::environments())]
    pub(crate) env: Option<String>,
    /// Run this plan, which `plan --out` wrote; refused when the host moved since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["set", "rev", "force"])]
    pub(crate) plan: Option<PathBuf>,
    /// Wait this long for the lock, for example 30s or 5m
    #[arg(long, value_name = "DURATION")]
    pub(crate) wait: Option<String>,
    #[command(flatten)]
    pub(crate) wish: WishArgs,
}

/// Arguments of `resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The environment
    #[arg(value_name = "ENV", conflicts_with = "root", add = completing::environments())]
    pub(crate) env: Option<String>,
    /// The app's root; no deployfile is read then, the stored plan says it all
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The environment
    #[arg(value_name = "ENV", add = completing::environments())]
    pub(crate) env: Option<String>,
    /// The release to go to
    #[arg(long, value_name = "ID", add = completing::good_releases())]
    pub(crate) to: Option<String>,
    /// Go over drift of the release, to one that was left as bad, and over a run that is stuck
    #[arg(long)]
    pub(crate) force: bool,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// `show RUN` prints the events of one run again; else the environment
    #[arg(value_name = "ENV | show RUN", num_args = 0..=3, add = completing::runs())]
    pub(crate) words: Vec<String>,
}

/// What to do with one release.
#[derive(Debug, Subcommand)]
pub(crate) enum ReleaseVerb {
    /// What is known of a release
    Show(ReleaseArg),
    /// Read a sealed release again against its manifest
    Verify(ReleaseArg),
    /// Exempt a release from retention
    Pin(ReleaseArg),
    /// No longer exempt it
    Unpin(ReleaseArg),
    /// Remove a release; never current, previous, pinned or in use
    Rm(ReleaseArg),
}

/// One release.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArg {
    /// The release
    #[arg(add = completing::releases())]
    pub(crate) id: String,
    /// The environment
    #[arg(value_name = "ENV", add = completing::environments())]
    pub(crate) env: Option<String>,
}

/// What to do with services.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceVerb {
    /// Their state
    List(ServiceArgs),
    /// Start what does not run
    Start(ServiceArgs),
    /// Stop what runs
    Stop(ServiceArgs),
    /// Stop and start
    Restart(ServiceArgs),
    /// Send the reload signal
    Reload(ServiceArgs),
    /// The last lines of their output
    Logs(ServiceArgs),
}

/// Which services.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServiceArgs {
    /// The environment, then names of services; without names, all
    #[arg(value_name = "ENV|NAME", add = completing::services())]
    pub(crate) words: Vec<String>,
    /// Only services of hosts with this role
    #[arg(long, add = completing::roles())]
    pub(crate) role: Option<String>,
}

/// What to do with the lock.
#[derive(Debug, Subcommand)]
pub(crate) enum LockVerb {
    /// Who holds it, and since when
    Status(EnvArg),
}

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginVerb {
    /// Pin the components of the file's plugins in deployfile.lock
    Lock {
        /// Names of plugins; without names, all
        #[arg(add = completing::plugins())]
        names: Vec<String>,
    },
    /// What a component is, imports and asks for
    Inspect {
        /// The component
        file: PathBuf,
    },
    /// The plugins of the file
    List,
}
