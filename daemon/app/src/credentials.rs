//! Hub tokens in files that only their owner can read.

use paintbox_domain::{ErrorClass, Failure, Hub, Secret, reason};
use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// One file per hub under the state folder, mode 0600.
#[derive(Debug, Clone)]
pub(crate) struct CredentialFiles {
    folder: PathBuf,
}

impl CredentialFiles {
    pub(crate) fn new(state: &Path) -> Self {
        Self { folder: state.join("credentials") }
    }

    pub(crate) fn load(&self, hub: Hub) -> Option<Secret> {
        Secret::new(&std::fs::read_to_string(self.folder.join(hub.as_str())).ok()?)
    }

    pub(crate) fn save(&self, hub: Hub, token: &Secret) -> Result<(), Failure> {
        let path = self.folder.join(hub.as_str());
        let write = || -> std::io::Result<()> {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            // An older file keeps its mode when it is opened again, so it is set once more.
            file.set_permissions(Permissions::from_mode(0o600))?;
            writeln!(file, "{}", token.expose())?;
            file.sync_all()
        };
        write().map_err(|error| failure("keep", &path, &error))
    }

    pub(crate) fn remove(&self, hub: Hub) -> Result<(), Failure> {
        let path = self.folder.join(hub.as_str());
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failure("forget", &path, &error)),
            _ => Ok(()),
        }
    }
}

fn failure(action: &str, path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("cannot {action} the token file {}: {error}", path.display());
    Failure::new(ErrorClass::Internal, reason::STORE_FAILED, message)
}
