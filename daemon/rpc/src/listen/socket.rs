//! The Unix socket: in a folder of mode 0700, itself 0600, open to processes of this user only. It is our own, or one that a
//! supervisor holds and hands over, whose file is the supervisor's to remove.
//!
//! The boundary is the user id: any process of the same user may call the daemon.

use super::ListenError;
use crate::authority::PlainAuthority;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// `sun_path` holds 104 bytes on macOS and 108 on Linux, its end mark included.
pub(super) const LONGEST_SOCKET_PATH_BYTES: usize = 103;

/// A bound socket; our own goes away with this value.
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
        let io = |action| failed(action, path);
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("replace")(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(io("bind"))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(io("protect"))?;
        let own_uid = std::fs::metadata(path).map_err(io("look at"))?.uid();
        Ok(Self { listener, own_uid, file: SocketFile { path: path.to_owned(), is_own: true } })
    }

    /// Takes over a listener that is bound at `path` already.
    ///
    /// # Errors
    /// When it listens elsewhere, or is no listener. Must be called inside a tokio runtime.
    pub(super) fn take_over(path: &Path, held: StdListener) -> Result<Self, ListenError> {
        let other = |problem| ListenError::HandedOver { path: path.to_owned(), problem };
        let address = held.local_addr().map_err(|error| other(format!("is no Unix socket ({error})")))?;
        let bound = address.as_pathname().ok_or_else(|| other("has no name".to_owned()))?.to_owned();
        // One file, whatever links lead to it.
        let file = |path: &Path| std::fs::metadata(path).map(|data| (data.dev(), data.ino()));
        let (ours, theirs) = (file(path), file(&bound));
        if bound != path && !matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs) {
            return Err(other(format!("listens at {}", bound.display())));
        }
        let io = |action| failed(action, path);
        let own_uid = match std::fs::metadata(path) {
            Ok(found) => found.uid(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(other("was removed".to_owned())),
            Err(error) => return Err(io("look at")(error)),
        };
        held.set_nonblocking(true).map_err(io("take over"))?;
        let listener = UnixListener::from_std(held).map_err(io("take over"))?;
        Ok(Self { listener, own_uid, file: SocketFile { path: path.to_owned(), is_own: false } })
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.path
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

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ListenError {
    let path = path.to_owned();
    move |source| ListenError::Io { action, path, source }
}

/// The socket's file, which is removed with this value, if it is our own. For as long as it is there, callers know that the
/// daemon is still about to end: it is to be the last that goes.
#[derive(Debug)]
#[must_use]
pub struct SocketFile {
    path: PathBuf,
    is_own: bool,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_own {
            // Whoever comes next replaces what could not be removed.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_supervisor_holds_is_taken_over_and_left_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("paintbox.sock");
        let held = StdListener::bind(&path).unwrap();
        // By another name of the same place, as systems that link their folders have it.
        let linked = folder.path().join("linked");
        std::os::unix::fs::symlink(folder.path(), &linked).unwrap();
        for named in [path.clone(), linked.join("paintbox.sock")] {
            let socket = Socket::take_over(&named, held.try_clone().unwrap()).unwrap();
            let caller = tokio::net::UnixStream::connect(&path).await.unwrap();
            assert!(socket.accept().await.unwrap().is_some());
            drop((caller, socket.close()));
            assert!(path.exists(), "its file is the supervisor's");
        }
        // Who knocks while nobody is there is heard by the next.
        let waiting = tokio::net::UnixStream::connect(&path).await.unwrap();
        let next = Socket::take_over(&path, held.try_clone().unwrap()).unwrap();
        assert!(next.accept().await.unwrap().is_some());
        drop(waiting);
        // Our own goes with us.
        let own = folder.path().join("own.sock");
        drop(Socket::bind(&own).unwrap());
        assert!(!own.exists());
    }

    #[tokio::test]
    async fn what_listens_elsewhere_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("paintbox.sock"), folder.path().join("other.sock"));
        let held = StdListener::bind(&other).unwrap();
        let error = Socket::take_over(&path, held).unwrap_err().to_string();
        assert!(error.contains("listens at") && error.contains("other.sock"), "{error}");
        let held = StdListener::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let error = Socket::take_over(&path, held).unwrap_err().to_string();
        assert!(error.contains("was removed"), "{error}");
        let file = std::fs::File::create(folder.path().join("file")).unwrap();
        let no_socket = StdListener::from(std::os::fd::OwnedFd::from(file));
        let error = Socket::take_over(&path, no_socket).unwrap_err().to_string();
        assert!(error.contains("is no Unix socket"), "{error}");
    }
}
