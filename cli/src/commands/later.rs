//! Verbs of the contract that this release does not have: known by name, refused in words.

use crate::error::CliError;
use std::ffi::OsString;

#[derive(Debug, clap::Args)]
pub(crate) struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) words: Vec<OsString>,
}

pub(crate) fn refusal(verb: &'static str) -> CliError {
    let instead =
        "`paintbox daemon run` under launchd or systemd does the same; other commands start the daemon by themselves";
    CliError::NotInThisRelease { verb, instead }
}
