//! `paintbox web`: signs a browser in at the daemon's web listener.

use super::token::Scope;
use crate::client::{LOCAL_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::{SignedOutJson, WebJson};
use crate::render::units;
use crate::session::Session;
use paintbox_proto::v1;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What the browser may do; each includes those before it
    #[arg(long, value_enum, default_value_t = Scope::Generate)]
    scope: Scope,
    /// Print the address and open nothing
    #[arg(long)]
    no_open: bool,
    /// Sign every browser out instead
    #[arg(long, conflicts_with_all = ["scope", "no_open"])]
    sign_out: bool,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    if arguments.sign_out {
        let request = v1::EndWebSessionsRequest {};
        let ended = call("sign browsers out", LOCAL_DEADLINE, client.access().end_web_sessions(request)).await?;
        if session.json {
            session.out.json(&SignedOutJson { sessions: ended.sessions })?;
        } else {
            session.say(&format!("Signed out: {}.", units::count(ended.sessions.into(), "browser")))?;
        }
        return Ok(Exit::Done);
    }
    let scope = v1::AccessScope::from(arguments.scope).into();
    let request = v1::CreateWebSessionRequest { scope };
    let made = call("make a code", LOCAL_DEADLINE, client.access().create_web_session(request)).await?;
    // Browsers send no part of an address behind its `#`, so that the code gets into nobody's log.
    let address = format!("{}#code={}", made.uri, made.code);
    if !is_plain(&address) {
        return Err(CliError::Nonsense { problem: "the page's address is none" });
    }
    if session.json {
        session.out.json(&WebJson { address: &address, expire_time: units::rfc3339(made.expire_time.as_ref()) })?;
        return Ok(Exit::Done);
    }
    let may_open = !arguments.no_open && session.terminal.output && session.terminal.desktop;
    if may_open && super::open::open(&doorway(&session.paths.run, &address)?.display().to_string()) {
        session.note("Opened, for one browser and the next two minutes:")?;
    } else {
        session.note("Open this in one browser within the next two minutes:")?;
    }
    session.out.line(&address)?;
    Ok(Exit::Done)
}

/// An address of our own making and nothing else.
fn is_plain(address: &str) -> bool {
    (address.starts_with("http://") || address.starts_with("https://"))
        && address.chars().all(|c| c.is_ascii_alphanumeric() || ":/.#=_-[]".contains(c))
}

/// A page that only its owner can read and that leads to the address. The address itself would stand in the list of
/// processes for as long as the browser's start takes, where every user of the machine sees it.
fn doorway(folder: &Path, address: &str) -> Result<PathBuf, CliError> {
    let path = folder.join("web.html");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(CliError::io("replace", &path)(error));
        }
        _ => {}
    }
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        writeln!(file, "<!doctype html><meta charset=\"utf-8\"><title>Paintbox</title>")?;
        writeln!(file, "<meta http-equiv=\"refresh\" content=\"0; url={address}\">")
    };
    write().map_err(CliError::io("write", &path))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_an_address_of_our_own_making_is_opened() {
        assert!(is_plain("http://127.0.0.1:7860/#code=aB-_9") && is_plain("https://[::1]:7860/#code=x"));
        for address in ["file:///etc/passwd", "http://a/\"><script>", "http://a/ b", "javascript:1", ""] {
            assert!(!is_plain(address), "{address}");
        }
    }

    #[test]
    fn the_code_stands_in_a_file_of_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        for code in ["one", "two"] {
            let path = doorway(folder.path(), &format!("http://127.0.0.1:7860/#code={code}")).unwrap();
            assert!(std::fs::read_to_string(&path).unwrap().contains(&format!("#code={code}\"")));
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
