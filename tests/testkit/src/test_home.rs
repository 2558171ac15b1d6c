//! A private, short-lived `PAINTBOX_HOME`, so that tests never meet the models of the person who runs them.

use crate::FakeHub;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Longest path of a Unix socket that both Linux (108) and macOS (104) take, its closing zero byte included.
const SOCKET_PATH_BYTES: usize = 104;

/// Variables that would let a test see the accounts, caches or settings of the person who runs it.
const FOREIGN_VARIABLES: &[&str] = &[
    "PAINTBOX_CIVITAI_TOKEN",
    "PAINTBOX_LOG",
    "PAINTBOXD",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// A temporary folder that becomes `PAINTBOX_HOME`. It is removed when this is dropped.
#[derive(Debug)]
pub struct TestHome {
    folder: TempDir,
}

impl TestHome {
    /// Makes an empty home.
    ///
    /// # Errors
    /// When no temporary folder can be made whose path leaves room for a socket.
    pub fn new() -> io::Result<Self> {
        let prefix = |parent: &Path| tempfile::Builder::new().prefix("pb").rand_bytes(6).tempdir_in(parent);
        // macOS gives each user a temporary folder with a long name, which would leave a socket no room.
        let folder = prefix(Path::new("/tmp")).or_else(|_| prefix(&std::env::temp_dir()))?;
        let home = Self { folder };
        let longest = home.path().join("home/run/paintbox.sock");
        if longest.as_os_str().len() >= SOCKET_PATH_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, format!("{} is too long", longest.display())));
        }
        Ok(home)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the daemon's socket is when this folder is `PAINTBOX_HOME`.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path().join("run/paintbox.sock")
    }

    /// The variables for a child process: this home and, with a hub, its endpoints.
    #[must_use]
    pub fn environment(&self, hub: Option<&FakeHub>) -> Vec<(String, String)> {
        let mut variables = vec![("PAINTBOX_HOME".to_owned(), self.path().display().to_string())];
        if let Some(hub) = hub {
            variables.push(("PAINTBOX_CIVITAI_ENDPOINT".to_owned(), hub.civitai_endpoint()));
            variables.push(("HF_ENDPOINT".to_owned(), hub.hf_endpoint()));
        }
        variables
    }

    /// The variables that a child process must not inherit.
    #[must_use]
    pub fn cleared_variables() -> &'static [&'static str] {
        FOREIGN_VARIABLES
    }

    /// Sets [`Self::environment`] on `command` and removes [`Self::cleared_variables`].
    pub fn prepare(&self, command: &mut std::process::Command, hub: Option<&FakeHub>) {
        for name in FOREIGN_VARIABLES {
            command.env_remove(name);
        }
        command.envs(self.environment(hub));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_fits_below_a_home() {
        let home = TestHome::new().unwrap();
        assert!(home.socket().as_os_str().len() < SOCKET_PATH_BYTES);
        std::fs::create_dir(home.path().join("run")).unwrap();
        std::os::unix::net::UnixListener::bind(home.socket()).unwrap();
    }

    #[test]
    fn a_home_is_gone_when_its_owner_is() {
        let home = TestHome::new().unwrap();
        let path = home.path().to_owned();
        assert!(path.is_dir());
        drop(home);
        assert!(!path.exists());
    }

    #[test]
    fn a_prepared_command_carries_no_token() {
        let home = TestHome::new().unwrap();
        let mut command = std::process::Command::new("true");
        command.env("HF_TOKEN", "of somebody");
        home.prepare(&mut command, None);
        let set: Vec<_> = command.get_envs().filter(|(_, value)| value.is_some()).map(|(name, _)| name).collect();
        assert_eq!(set, ["PAINTBOX_HOME"]);
    }
}
