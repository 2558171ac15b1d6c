//! `paintboxd`: reads the configuration, builds every part, runs them, and ends them in order.
//!
//! The only place that reads the environment, the home directory and the wall clock. It decides nothing that a
//! library could decide.

mod announce;
mod client_tokens;
mod clock;
mod config;
mod credentials;
mod daemon;
mod handed_over;
mod home;
mod keychain;
mod logging;
mod machine;
mod memory;
mod notify;
mod open_files;
mod priority;
mod reload;
mod surroundings;

use clap::{CommandFactory as _, Parser, Subcommand};
use paintbox_domain::{Classify, Failure};
use std::process::ExitCode;

/// CivitAI answers a browser with pages instead of errors, so this says who we are.
const USER_AGENT: &str = concat!("paintbox/", env!("CARGO_PKG_VERSION"));
/// Exit code of a daemon that found another one holding its home; whoever started it can just connect.
pub const EXIT_ALREADY_RUNNING: u8 = 5;

#[derive(Debug, Parser)]
#[command(name = "paintboxd", version, about = "The Paintbox daemon; normally started by `paintbox`")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run in the foreground until SIGTERM, SIGINT or `paintbox daemon stop`.
    Run {
        /// End in order when another daemon keeps this home, instead of failing: launchd would start a failed one again and again.
        #[arg(long)]
        give_way: bool,
    },
    /// Put a backup in the catalogue's place while no daemon runs; `paintbox catalogue restore` does it in any case.
    RestoreCatalogue {
        /// The name of a backup, or the path of any file that is a catalogue.
        backup: std::path::PathBuf,
    },
    /// Read and check the configuration, print it as it is understood, and exit.
    CheckConfig,
    /// Print the man page.
    #[command(hide = true)]
    Man,
}

/// The daemon's `main`. Exit codes: 0 ended in order, 1 failed, 2 usage, 5 another daemon holds this home (0 with `--give-way`).
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let gives_way = matches!(arguments.command, Command::Run { give_way: true });
    let result = match arguments.command {
        Command::Run { .. } => {
            memory::keep_little();
            daemon::run()
        }
        Command::RestoreCatalogue { backup } => daemon::restore(&backup).map(|path| logging::say(&path)),
        Command::Man => man_page().map(|page| logging::say(page.trim_end())),
        Command::CheckConfig => config::Config::load().map(|config| logging::say(&config.describe())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::complain(&error);
            match error {
                StartError::HomeLocked { .. } if gives_way => ExitCode::SUCCESS,
                StartError::HomeLocked { .. } => ExitCode::from(EXIT_ALREADY_RUNNING),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn man_page() -> Result<String, StartError> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(Arguments::command()).render(&mut page);
    rendered.map_err(|source| StartError::Io { action: "write", path: "the man page".into(), source })?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn part(error: &dyn Classify) -> StartError {
    StartError::Part(Failure::of(error))
}

fn fault(what: &str) -> StartError {
    StartError::Part(Failure::new(paintbox_domain::ErrorClass::Internal, paintbox_domain::reason::INTERNAL, what))
}

/// Why the daemon did not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("cannot find this user's home directory")]
    NoHome,
    #[error("cannot read the configuration {path}")]
    ConfigUnreadable {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the configuration {path} is not valid")]
    ConfigInvalid {
        path: std::path::PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("{setting} is not valid: {problem}")]
    Setting { setting: &'static str, problem: String },
    #[error("the configuration's [follow] table is not valid: {problem}")]
    FollowPolicy { problem: String },
    #[error("cannot {action} {path}")]
    Io {
        action: &'static str,
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("another paintboxd (process {pid}) already keeps {home}")]
    HomeLocked { home: std::path::PathBuf, pid: String },
    /// What systemd or launchd says about sockets makes no sense.
    #[error("cannot take over the socket that the supervisor holds: {problem}")]
    HandedOver { problem: String },
    #[error("cannot start the asynchronous runtime")]
    Runtime(#[source] std::io::Error),
    #[error(transparent)]
    Part(#[from] Failure),
}

impl Classify for StartError {
    fn class(&self) -> paintbox_domain::ErrorClass {
        use paintbox_domain::ErrorClass as Class;
        match self {
            Self::NoHome
            | Self::ConfigUnreadable { .. }
            | Self::Io { .. }
            | Self::HomeLocked { .. }
            | Self::HandedOver { .. } => Class::Precondition,
            Self::ConfigInvalid { .. } | Self::Setting { .. } | Self::FollowPolicy { .. } => Class::InvalidInput,
            Self::Runtime(_) => Class::Internal,
            Self::Part(failure) => failure.class,
        }
    }

    fn reason(&self) -> &'static str {
        use paintbox_domain::reason;
        match self {
            Self::NoHome | Self::Runtime(_) | Self::Part(_) => reason::INTERNAL,
            Self::ConfigUnreadable { .. }
            | Self::ConfigInvalid { .. }
            | Self::HandedOver { .. }
            | Self::Setting { .. }
            | Self::FollowPolicy { .. } => reason::CONFIG_INVALID,
            Self::Io { .. } => reason::STORE_FAILED,
            Self::HomeLocked { .. } => reason::HOME_LOCKED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoHome => Some("set PAINTBOX_HOME to the folder that should hold everything".to_owned()),
            Self::ConfigInvalid { .. } | Self::FollowPolicy { .. } => {
                Some("`paintboxd check-config` prints the settings it understands".to_owned())
            }
            Self::HandedOver { .. } => Some("`paintbox daemon install` tells the supervisor anew".to_owned()),
            Self::Part(failure) => failure.hint.clone(),
            Self::ConfigUnreadable { .. }
            | Self::Setting { .. }
            | Self::Io { .. }
            | Self::HomeLocked { .. }
            | Self::Runtime(_) => None,
        }
    }
}
