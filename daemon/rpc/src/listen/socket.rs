//! The Unix socket: in a folder of mode 0700, itself 0600, open to processes of this user only.
//!
//! The boundary is the user id: any process of the same user may call the daemon.

use super::ListenError;
use crate::authority::PlainAuthority;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// `sun_path` holds 104 bytes on macOS and 108 on Linux, its end mark included.
pub(super) const LONGEST_SOCKET_PATH_BYTES: usize = 103;

/// A bound socket that goes away with this value.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    /// Of the socket's own owner, who is the user we run as: asking the file avoids an unsafe getuid.
    own_uid: u32,
    file: SocketFile,
}

impl Socket {
    /// Binds `path`. The caller holds the home's lock, so a socket that is there already is a dead one's.
    ///
    /// # Errors
    /// When the path is too long or cannot be bound. Must be called inside a tokio runtime.
    pub(super) fn bind(path: &Path) -> Result<Self, ListenError> {
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
        let own_uid = std::fs::metadata(path).map_err(io("look at"))?.uid();
        Ok(Self { listener, own_uid, file: SocketFile(path.to_owned()) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.0
    }

    /// Takes no more connections. The file stays until the value is dropped, as a sign that the daemon still ends.
    pub(super) fn close(self) -> SocketFile {
        self.file
    }

    /// The next connection; none for one of another user, which is closed unanswered.
    pub(super) async fn accept(&self) -> io::Result<Option<PlainAuthority>> {
        let (stream, _) = self.listener.accept().await?;
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == self.own_uid => Ok(Some(PlainAuthority::new(stream))),
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), "refused a connection of another user");
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(%error, "refused a connection whose user the system would not name");
                Ok(None)
            }
        }
    }
}

/// Removes the socket's file when the server has ended.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever comes next replaces what could not be removed.
        drop(std::fs::remove_file(&self.0));
    }
}
