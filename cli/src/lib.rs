//! `paintbox`: the command line of Paintbox.
//!
//! It speaks only the public API over the daemon's Unix socket, and starts the daemon when it is not running.
//! Results go to standard output, everything else to standard error; with `--json`, results are one object per
//! line and an error is one line of JSON.

mod client;
mod commands;
mod error;
mod exit;
mod moment;
mod paths;
mod render;
mod session;
mod size;
mod start;
mod supervisor;
mod terminal;
#[cfg(test)]
mod tests;

use crate::commands::Verb;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::output::Output;
use crate::session::Session;
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Keeps the models that people paint with, and paints with them.
#[derive(Debug, Parser)]
#[command(name = "paintbox", bin_name = "paintbox", version, after_help = exit::HELP, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Print results as JSON, one object per line
    #[arg(long, global = true)]
    json: bool,
    /// Connect to this socket instead of the home's own
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

/// The program: reads the process's arguments, runs one command, and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let mut notes = Output::new(Box::new(std::io::stderr()));
    let arguments = match parse(&words) {
        Parsed::Run(arguments) => *arguments,
        Parsed::Shown(help) => {
            // A reader of the help that left early is no failure.
            drop(help.print());
            return ExitCode::from(Exit::Done.code());
        }
        Parsed::Misread { shown, json } => {
            if json {
                session::report(true, &mut notes, &usage_error(&shown));
            } else {
                drop(shown.print());
            }
            return ExitCode::from(Exit::Usage.code());
        }
    };
    let json = arguments.json;
    let exit = match Session::of_process(json, arguments.socket.clone()) {
        Ok(mut session) => match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let exit = runtime.block_on(execute(&arguments, &mut session));
                // A read of standard input that nobody waits for any more must not keep the process alive.
                runtime.shutdown_background();
                exit
            }
            Err(source) => {
                let error = CliError::Stream { action: "start the asynchronous runtime", source };
                session.report(&error);
                error.exit()
            }
        },
        Err(error) => {
            session::report(json, &mut notes, &error);
            error.exit()
        }
    };
    ExitCode::from(exit.code())
}

/// Runs one command and says why it failed, if it did.
pub(crate) async fn execute(arguments: &Arguments, session: &mut Session) -> Exit {
    match commands::run(&arguments.verb, session).await {
        Ok(exit) => exit,
        Err(error) => {
            session.report(&error);
            error.exit()
        }
    }
}

pub(crate) enum Parsed {
    Run(Box<Arguments>),
    /// Help or version was asked for.
    Shown(clap::Error),
    Misread {
        shown: clap::Error,
        json: bool,
    },
}

pub(crate) fn parse(words: &[OsString]) -> Parsed {
    match Arguments::try_parse_from(words) {
        Ok(arguments) => Parsed::Run(Box::new(arguments)),
        Err(error) if !error.use_stderr() => Parsed::Shown(error),
        Err(shown) => {
            let json = words.iter().skip(1).take_while(|word| *word != "--").any(|word| word == "--json");
            Parsed::Misread { shown, json }
        }
    }
}

/// What clap says, in one line: its first paragraph without the usage that follows.
pub(crate) fn usage_error(error: &clap::Error) -> CliError {
    use clap::error::ErrorKind;
    if matches!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand) {
        return CliError::Usage { message: "no command was given".to_owned() };
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let message = render::sanitize::line(first.trim_start_matches("error: "));
    CliError::Usage { message }
}
