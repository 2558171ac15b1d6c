//! The verbs. One file each; what several share (following a job) lies in `sync_run.rs` and `painting.rs`.

mod bench;
mod catalogue;
mod completions;
mod config;
mod daemon;
mod doctor;
mod downloads;
mod dupes;
mod follow;
mod follows;
mod gc;
mod generate;
mod images;
mod job;
mod jobs;
mod library;
mod login;
mod logout;
mod logs;
mod man;
mod open;
mod painting;
mod plan;
mod pull;
mod rm;
mod search;
mod show;
mod stats;
mod sync;
mod sync_run;
mod token;
mod unfollow;
mod updates;
mod upscale;
mod verify;
mod volumes;
mod web;

use crate::error::CliError;
use crate::exit::Exit;
use crate::session::Session;
use clap::Subcommand;
pub(crate) use token::scope_name;

/// The names of `Model.kind` in `catalogue.proto`.
pub(crate) const KINDS: [&str; 10] = [
    "checkpoint",
    "lora",
    "textual_inversion",
    "vae",
    "controlnet",
    "upscaler",
    "text_encoder",
    "network",
    "other",
    "unknown",
];

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Follow a creator, tag, search, model or repository, so that new work arrives by itself
    Follow(follow::Arguments),
    /// Stop following; models and files stay
    Unfollow(unfollow::Arguments),
    /// List what is followed, or show one follow in full
    Follows(follows::Arguments),
    /// Say what a sync would do, and why
    Plan(plan::Arguments),
    /// Fetch what is wanted
    Sync(sync::Arguments),
    /// Fetch models, versions or files by reference, and wait for them
    Pull(pull::Arguments),
    /// Search the catalogue
    Search(search::Arguments),
    /// Show a model with its versions, files and example images
    Show(show::Arguments),
    /// Paint
    Generate(Box<generate::Arguments>),
    /// Make a picture larger
    Upscale(upscale::Arguments),
    /// List downloads; pause, resume, cancel or reorder them
    #[command(after_help = downloads::FILTERS)]
    Downloads(downloads::Arguments),
    /// List the folders that files lie in; add, change or forget one
    Volumes(volumes::Arguments),
    /// Adopt folders of models you already have, where they are
    Library(library::Arguments),
    /// List newer versions of what is here
    Updates(updates::Arguments),
    /// List content that lies at several places, and what one file of each would win
    Dupes(dupes::Arguments),
    /// Say how much there is of everything
    Stats,
    /// Read files again and compare them with their digests
    Verify(verify::Arguments),
    /// Put the files of a model, a version or a file into the trash, or take them out again
    Rm(rm::Arguments),
    /// Explain every byte that nobody needs, and free what you name
    Gc(gc::Arguments),
    /// Check, back up, restore, export or import the catalogue itself
    #[command(subcommand)]
    Catalogue(catalogue::Action),
    /// List generations and sync runs, newest first; look through generations, and at their queue
    #[command(after_help = jobs::FILTERS)]
    Jobs(jobs::Arguments),
    /// Show, watch, cancel, reorder or delete one generation or sync run
    Job(job::Arguments),
    /// Give the daemon a hub's token
    Login(login::Arguments),
    /// Make the daemon forget a hub's token
    Logout(logout::Arguments),
    /// Say which other programs may call the daemon: make, list or delete their tokens
    #[command(subcommand)]
    Token(token::Action),
    /// Sign a browser in at the daemon's web listener
    Web(web::Arguments),
    /// Run, start, stop, install, upgrade or look at the daemon
    #[command(subcommand)]
    Daemon(daemon::Action),
    /// Open a model's page, or the folder its files are in
    Open(open::Arguments),
    /// Print where everything is and which hubs are used
    Config,
    /// Check that everything is in order
    Doctor(doctor::Arguments),
    /// Measure how fast a model paints here
    Bench(bench::Arguments),
    /// Print a shell's completion script
    Completions(completions::Arguments),
    /// Write the man pages of all commands into a folder
    Man(man::Arguments),
}

/// Runs one verb to its end.
pub(crate) async fn run(verb: &Verb, session: &mut Session) -> Result<Exit, CliError> {
    match verb {
        Verb::Follow(arguments) => follow::run(arguments, session).await,
        Verb::Unfollow(arguments) => unfollow::run(arguments, session).await,
        Verb::Follows(arguments) => follows::run(arguments, session).await,
        Verb::Plan(arguments) => plan::run(arguments, session).await,
        Verb::Sync(arguments) => sync::run(arguments, session).await,
        Verb::Pull(arguments) => pull::run(arguments, session).await,
        Verb::Search(arguments) => search::run(arguments, session).await,
        Verb::Show(arguments) => show::run(arguments, session).await,
        Verb::Generate(arguments) => generate::run(arguments, session).await,
        Verb::Upscale(arguments) => upscale::run(arguments, session).await,
        Verb::Downloads(arguments) => downloads::run(arguments, session).await,
        Verb::Volumes(arguments) => volumes::run(arguments, session).await,
        Verb::Updates(arguments) => updates::run(arguments, session).await,
        Verb::Dupes(arguments) => dupes::run(arguments, session).await,
        Verb::Stats => stats::run(session).await,
        Verb::Library(arguments) => library::run(arguments, session).await,
        Verb::Verify(arguments) => verify::run(arguments, session).await,
        Verb::Rm(arguments) => rm::run(arguments, session).await,
        Verb::Gc(arguments) => gc::run(arguments, session).await,
        Verb::Catalogue(action) => catalogue::run(action, session).await,
        Verb::Jobs(arguments) => jobs::run(arguments, session).await,
        Verb::Job(arguments) => job::run(arguments, session).await,
        Verb::Login(arguments) => login::run(arguments, session).await,
        Verb::Logout(arguments) => logout::run(arguments, session).await,
        Verb::Token(action) => token::run(action, session).await,
        Verb::Web(arguments) => web::run(arguments, session).await,
        Verb::Daemon(action) => daemon::run(action, session).await,
        Verb::Open(arguments) => open::run(arguments, session).await,
        Verb::Config => config::run(session).await,
        Verb::Doctor(arguments) => doctor::run(arguments, session).await,
        Verb::Bench(arguments) => bench::run(arguments, session).await,
        Verb::Completions(arguments) => completions::run(arguments, session),
        Verb::Man(arguments) => man::run(arguments, session),
    }
}
