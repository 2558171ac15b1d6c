//! The Unix socket: in a folder of mode 0700, itself 0600, open to processes of this user only.
//!
//! The boundary is the user id: any process of the same user may call the daemon.

use crate::authority::PlainAuthority;
use futures::{Stream, StreamExt as _};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

/// `sun_path` holds 104 bytes on macOS and 108 on Linux, its end mark included.
const LONGEST_SOCKET_PATH_BYTES: usize = 103;

/// The socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("the socket path {path} has {length} bytes; the system allows {LONGEST_SOCKET_PATH_BYTES}")]
    PathTooLong { path: PathBuf, length: usize },
    #[error("cannot {action} the socket {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl paintbox_domain::Classify for ListenError {
    fn class(&self) -> paintbox_domain::ErrorClass {
        paintbox_domain::ErrorClass::Precondition
    }
    fn reason(&self) -> &'static str {
        match self {
            Self::PathTooLong { .. } => paintbox_domain::reason::CONFIG_INVALID,
            Self::Io { .. } => paintbox_domain::reason::STORE_FAILED,
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::PathTooLong { .. } => Some("set PAINTBOX_HOME to a shorter path".to_owned()),
            Self::Io { .. } => None,
        }
    }
}

/// A bound socket that goes away with this value.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Binds `path`. The caller holds the home's lock, so a socket that is there already is a dead one's.
    ///
    /// # Errors
    /// When the path is too long or cannot be bound. Must be called inside a tokio runtime.
    pub fn bind(path: &Path) -> Result<Self, ListenError> {
        let length = path.as_os_str().len();
        if length > LONGEST_SOCKET_PATH_BYTES {
            return Err(ListenError::PathTooLong { path: path.to_owned(), length });
        }
        let io = |action| {
            let path = path.to_owned();
            move |source| ListenError::Io { action, path, source }
        };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("replace")(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(io("bind"))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(io("protect"))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Connections of this user's processes; others are closed unanswered. Ends never.
    pub(crate) fn incoming(self) -> (impl Stream<Item = io::Result<PlainAuthority>>, SocketFile) {
        let file = SocketFile(self.path);
        // The socket's own owner is the user we run as: asking the file avoids an unsafe getuid.
        let own_uid = std::fs::metadata(&file.0).map(|meta| std::os::unix::fs::MetadataExt::uid(&meta)).ok();
        let incoming = UnixListenerStream::new(self.listener).filter_map(move |connection| async move {
            match connection {
                Ok(stream) => match stream.peer_cred() {
                    Ok(peer) if Some(peer.uid()) == own_uid => Some(Ok(PlainAuthority::new(stream))),
                    Ok(peer) => {
                        tracing::warn!(uid = peer.uid(), "refused a connection of another user");
                        None
                    }
                    Err(error) => {
                        tracing::warn!(%error, "refused a connection whose user the system would not name");
                        None
                    }
                },
                Err(error) => Some(Err(error)),
            }
        });
        (incoming, file)
    }
}

/// Removes the socket's file when the server has ended.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever comes next replaces what could not be removed.
        drop(std::fs::remove_file(&self.0));
    }
}
