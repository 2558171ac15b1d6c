//! `paintbox login`. The token never stands on the command line, where other processes and the shell's history see it.

use crate::client::{HUB_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::progress::spin;
use crate::render::sanitize;
use crate::session::Session;
use paintbox_proto::v1;
use serde::Serialize;
use std::io::Read as _;

/// Tokens have some dozens of characters.
const LONGEST_TOKEN_BYTES: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Hub {
    Civitai,
    #[value(alias = "huggingface")]
    Hf,
}

impl Hub {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Civitai => "civitai",
            Self::Hf => "hf",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Civitai => "CivitAI",
            Self::Hf => "Hugging Face",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The hub. Its token is asked for, or read from standard input when that is a pipe or a file
    hub: Hub,
}

#[derive(Serialize)]
pub(crate) struct CredentialJson<'a> {
    pub(crate) hub: &'a str,
    pub(crate) account: Option<&'a str>,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let token = read_token(arguments.hub, session)?;
    let client = session.connect().await?;
    let request = v1::SetHubCredentialRequest { hub: arguments.hub.as_str().to_owned(), token };
    let mut daemon = client.daemon();
    let asked = call("check the token", HUB_DEADLINE, daemon.set_hub_credential(request));
    let credential = spin(session.watched(), "asking the hub", asked).await?;
    let account = sanitize::line(&credential.account);
    if session.json {
        let account = Some(credential.account.as_str()).filter(|account| !account.is_empty());
        session.out.json(&CredentialJson { hub: arguments.hub.as_str(), account })?;
    } else if account.is_empty() {
        session.out.line(&format!("Signed in to {}.", arguments.hub.title()))?;
    } else {
        session.out.line(&format!("Signed in to {} as {account}.", arguments.hub.title()))?;
    }
    Ok(Exit::Done)
}

fn read_token(hub: Hub, session: &mut Session) -> Result<String, CliError> {
    let failed = |source| CliError::Stream { action: "read the token", source };
    let text = if session.terminal.input {
        rpassword::prompt_password(format!("{} token (not shown): ", hub.title())).map_err(failed)?
    } else {
        let mut text = String::new();
        let limit = LONGEST_TOKEN_BYTES as u64 + 1;
        session.input.by_ref().take(limit).read_to_string(&mut text).map_err(failed)?;
        text
    };
    let token = text.trim();
    // The token itself is never repeated, not even in an error.
    let refuse = |problem: &str| {
        let given = "from standard input".to_owned();
        Err(CliError::Argument { argument: "the token", given, problem: problem.to_owned() })
    };
    if token.is_empty() {
        return refuse("it is empty");
    }
    if token.len() > LONGEST_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse("it is too long for a token, or holds characters that no token has");
    }
    Ok(token.to_owned())
}
