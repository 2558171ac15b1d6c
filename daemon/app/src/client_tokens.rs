//! The file of client tokens: `state/clients.json`, readable by its owner alone. It holds digests, labels and scopes.

use paintbox_domain::{ErrorClass, Failure, reason};
use paintbox_rpc::TokenFile;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct ClientTokenFile {
    path: PathBuf,
}

impl ClientTokenFile {
    pub(crate) fn new(state: &Path) -> Self {
        Self { path: state.join("clients.json") }
    }

    fn failed(&self, action: &str, error: &std::io::Error) -> Failure {
        let message = format!("cannot {action} the file of client tokens {}: {error}", self.path.display());
        Failure::new(ErrorClass::Internal, reason::STORE_FAILED, message)
    }

    /// Gives a file another name, for good.
    #[expect(clippy::disallowed_methods, reason = "a small file of the state folder, which the store knows nothing of")]
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        std::fs::rename(from, to)?;
        File::open(self.path.parent().unwrap_or_else(|| Path::new("/")))?.sync_all()
    }
}

impl TokenFile for ClientTokenFile {
    fn load(&self) -> Result<Option<String>, Failure> {
        match std::fs::read(&self.path) {
            // What is no text makes no sense either, which the reader finds out.
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    fn save(&self, text: &str) -> Result<(), Failure> {
        let fresh = self.path.with_extension("json.new");
        let write = || -> std::io::Result<()> {
            // One that a crash left behind may have any mode.
            match std::fs::remove_file(&fresh) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            self.rename(&fresh, &self.path)
        };
        write().map_err(|error| self.failed("write", &error))
    }

    fn set_aside(&self) -> Result<(), Failure> {
        self.rename(&self.path, &self.path.with_extension("json.damaged"))
            .map_err(|error| self.failed("set aside", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_file_is_its_owners_alone_and_is_replaced_whole() {
        let home = tempfile::tempdir().unwrap();
        let file = ClientTokenFile::new(home.path());
        assert_eq!(file.load(), Ok(None));
        std::fs::write(home.path().join("clients.json.new"), "left behind by a crash").unwrap();
        for text in ["one", "another"] {
            file.save(text).unwrap();
            assert_eq!(file.load(), Ok(Some(text.to_owned())));
            let mode = std::fs::metadata(home.path().join("clients.json")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        file.set_aside().unwrap();
        assert_eq!(file.load(), Ok(None));
        assert_eq!(std::fs::read_to_string(home.path().join("clients.json.damaged")).unwrap(), "another");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_that_names_the_file() {
        let home = tempfile::tempdir().unwrap();
        let failure = ClientTokenFile::new(&home.path().join("absent")).save("x").unwrap_err();
        assert_eq!(failure.reason, reason::STORE_FAILED);
        assert!(failure.message.contains("clients.json"), "{failure}");
    }
}
