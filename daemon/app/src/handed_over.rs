//! The socket that a supervisor holds and hands over: systemd as an open file with a name (sd_listen_fds(3)), launchd for the
//! asking (launch_activate_socket(3)). None is normal: the daemon then binds its own.
//!
//! A supervisor that holds the socket starts the daemon when somebody knocks, and lets callers wait while one daemon makes room
//! for the next.

use crate::StartError;
use service_binding::{Binding, Listener};
use std::os::fd::RawFd;
use std::os::unix::net::UnixListener;

/// Under which it is handed over: `FileDescriptorName` in the socket's unit, the key under `Sockets` in the agent
/// (`cli/src/supervisor`).
const NAME: &str = "paintbox";

/// The listener that was handed to this process. Called once, before anything else is opened.
pub(crate) fn socket() -> Result<Option<UnixListener>, StartError> {
    let found = of_systemd()?;
    #[cfg(target_os = "macos")]
    let found = match found {
        Some(found) => Some(found),
        None => of_launchd()?,
    };
    found.map(listener).transpose()
}

/// Those that systemd left open, from number 3 on. Variables that are meant for another process are not looked at.
fn of_systemd() -> Result<Option<RawFd>, StartError> {
    let problem = |error: std::io::Error| StartError::HandedOver { problem: error.to_string() };
    chosen(&sd_notify::listen_fds_with_names().map_err(problem)?.collect::<Vec<_>>())
}

/// The one that is meant for the daemon's own socket: by its name, or the only one, whatever somebody's own unit calls it.
fn chosen(files: &[(RawFd, String)]) -> Result<Option<RawFd>, StartError> {
    let named: Vec<RawFd> = files.iter().filter(|(_, name)| name == NAME).map(|(file, _)| *file).collect();
    match (&named[..], files) {
        ([file], _) | ([], [(file, _)]) => Ok(Some(*file)),
        (_, []) => Ok(None),
        _ => {
            let problem = format!("it handed over {} sockets, and not exactly one named {NAME}", files.len());
            Err(StartError::HandedOver { problem })
        }
    }
}

/// What launchd holds under the agent's `Sockets`; a process that is not launchd's has none.
#[cfg(target_os = "macos")]
fn of_launchd() -> Result<Option<RawFd>, StartError> {
    match raunch::activate_socket(NAME) {
        Ok(files) => chosen(&files.into_iter().map(|file| (file, NAME.to_owned())).collect::<Vec<_>>()),
        Err(raunch::Error::NotManaged | raunch::Error::NotInPlist) => Ok(None),
        Err(error) => Err(StartError::HandedOver { problem: error.to_string() }),
    }
}

/// The file as a listener. That it is open was asked of the system, and that it is a Unix socket at the right place is found
/// out by whoever takes it over (`paintbox_rpc::Listeners::take_over`).
fn listener(file: RawFd) -> Result<UnixListener, StartError> {
    match Listener::try_from(Binding::FileDescriptor(file)) {
        Ok(Listener::Unix(listener)) => Ok(listener),
        Ok(other) => Err(StartError::HandedOver { problem: format!("it is {other:?}") }),
        Err(error) => Err(StartError::HandedOver { problem: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_handed_over_is_normal() {
        assert!(socket().unwrap().is_none());
    }

    #[test]
    fn the_socket_is_told_by_its_name_or_by_being_alone() {
        let files =
            |names: &[&str]| (3..).zip(names).map(|(file, name)| (file, (*name).to_owned())).collect::<Vec<_>>();
        assert_eq!(chosen(&files(&[])).unwrap(), None);
        assert_eq!(chosen(&files(&["other", "paintbox"])).unwrap(), Some(4));
        assert_eq!(chosen(&files(&["mine.socket"])).unwrap(), Some(3));
        for names in [&["a", "b"][..], &["paintbox", "paintbox"]] {
            let error = chosen(&files(names)).unwrap_err();
            assert!(error.to_string().contains("2 sockets"), "{error}");
        }
    }
}
