//! Hub tokens: from the environment, the keychain, a file that only its owner can read, or, for Hugging Face, the file
//! in which its own tools keep theirs. The first that has one wins.

use crate::keychain::Keychain;
use paintbox_domain::{ErrorClass, Failure, Hub, Secret, reason};
use paintbox_rpc::CredentialStore;
use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Where tokens come from and where new ones go.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) civitai_from_environment: Option<Secret>,
    pub(crate) hf_from_environment: Option<Secret>,
    pub(crate) keychain: Option<Keychain>,
    pub(crate) files: CredentialFiles,
    /// Where `hf auth login` keeps a token; none if it is not to be used.
    pub(crate) hf_token_file: Option<PathBuf>,
}

impl Credentials {
    /// The token in use and where it came from.
    fn find(&self, hub: Hub) -> Option<(Secret, &'static str)> {
        let environment = match hub {
            Hub::Civitai => &self.civitai_from_environment,
            Hub::HuggingFace => &self.hf_from_environment,
        };
        let keychain = || self.keychain.as_ref().and_then(|keychain| keychain.load(hub));
        let of_other_tools = || {
            let file = self.hf_token_file.as_ref().filter(|_| hub == Hub::HuggingFace)?;
            Secret::new(&std::fs::read_to_string(file).ok()?)
        };
        environment
            .clone()
            .map(|token| (token, "environment"))
            .or_else(|| keychain().map(|token| (token, "keychain")))
            .or_else(|| self.files.load(hub).map(|token| (token, "stored")))
            .or_else(|| of_other_tools().map(|token| (token, "huggingface")))
    }
}

impl CredentialStore for Credentials {
    fn state(&self, hub: Hub) -> &'static str {
        self.find(hub).map_or("none", |(_, source)| source)
    }

    fn current(&self, hub: Hub) -> Option<Secret> {
        self.find(hub).map(|(token, _)| token)
    }

    fn save(&self, hub: Hub, token: &Secret) -> Result<(), Failure> {
        match &self.keychain {
            Some(keychain) => match keychain.save(hub, token) {
                // One place holds it: a file of an earlier day must not come back when the keychain is cleared.
                Ok(()) => self.files.remove(hub),
                Err(failure) => {
                    tracing::warn!("{failure}; it is kept in a file");
                    self.files.save(hub, token)
                }
            },
            None => self.files.save(hub, token),
        }
    }

    fn remove(&self, hub: Hub) -> Result<(), Failure> {
        let from_keychain = self.keychain.as_ref().map_or(Ok(()), |keychain| keychain.remove(hub));
        self.files.remove(hub).and(from_keychain)
    }
}

/// One file per hub under the state folder, mode 0600.
#[derive(Debug, Clone)]
pub(crate) struct CredentialFiles {
    folder: PathBuf,
}

impl CredentialFiles {
    pub(crate) fn new(state: &Path) -> Self {
        Self { folder: state.join("credentials") }
    }

    fn load(&self, hub: Hub) -> Option<Secret> {
        Secret::new(&std::fs::read_to_string(self.folder.join(hub.as_str())).ok()?)
    }

    fn save(&self, hub: Hub, token: &Secret) -> Result<(), Failure> {
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

    fn remove(&self, hub: Hub) -> Result<(), Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_that_has_a_token_wins() {
        let home = tempfile::tempdir().unwrap();
        let token_file = home.path().join("token");
        let mut credentials = Credentials {
            civitai_from_environment: None,
            hf_from_environment: None,
            keychain: None,
            files: CredentialFiles::new(home.path()),
            hf_token_file: Some(token_file.clone()),
        };
        assert_eq!(credentials.state(Hub::HuggingFace), "none");
        std::fs::write(&token_file, " hf_other \n").unwrap();
        assert_eq!(credentials.state(Hub::HuggingFace), "huggingface");
        assert_eq!(credentials.state(Hub::Civitai), "none", "it is Hugging Face's alone");
        credentials.save(Hub::HuggingFace, &Secret::new("hf_own").unwrap()).unwrap();
        assert_eq!(credentials.state(Hub::HuggingFace), "stored");
        assert_eq!(credentials.current(Hub::HuggingFace), Secret::new("hf_own"));
        let mode = std::fs::metadata(home.path().join("credentials/hf")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        credentials.hf_from_environment = Secret::new("hf_env");
        assert_eq!(credentials.state(Hub::HuggingFace), "environment");
        credentials.hf_from_environment = None;
        credentials.remove(Hub::HuggingFace).unwrap();
        assert_eq!(credentials.state(Hub::HuggingFace), "huggingface");
        assert_eq!(std::fs::read_to_string(&token_file).unwrap(), " hf_other \n", "other tools' files are only read");
    }
}
