//! `path:` references: models that lie somewhere on this machine and are in no catalogue. Read, never written.

use crate::error::GenerationError;
use paintbox_domain::generation::ModelFile;
use paintbox_domain::{FileFormat, Sha256};
use sha2::Digest as _;
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// A diffusers folder has some twenty files in folders of one level; more is somebody's whole disk.
const DEEPEST_FOLDER: usize = 3;
const MOST_FILES: usize = 500;
const READ_BYTES: usize = 1 << 20;

/// What a file looked like when it was hashed; hashing gigabytes once is enough.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Look {
    path: PathBuf,
    size_bytes: u64,
    modified: Option<SystemTime>,
}

/// Digests of files outside the store, for as long as the daemon lives.
#[derive(Debug, Default)]
pub(crate) struct Digests(Mutex<HashMap<Look, Sha256>>);

impl Digests {
    /// The model at `path`: a weights file, or a folder in diffusers' layout. Blocking.
    pub(crate) fn model(&self, path: &Path) -> Result<Vec<ModelFile>, GenerationError> {
        let failed = |source| GenerationError::PathUnreadable { path: path.to_owned(), source };
        if !path.is_absolute() {
            return Err(GenerationError::Invalid {
                field: "model",
                problem: format!("the daemon runs elsewhere, so path:{} must be absolute", path.display()),
            });
        }
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if metadata.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(vec![self.file(name, path, &metadata).map_err(failed)?]);
        }
        let mut files = Vec::new();
        self.folder(path, "", 0, &mut files).map_err(failed)?;
        if files.is_empty() {
            return Err(GenerationError::NotLocal { model: format!("path:{}", path.display()) });
        }
        Ok(files)
    }

    fn folder(&self, folder: &Path, prefix: &str, depth: usize, files: &mut Vec<ModelFile>) -> io::Result<()> {
        let mut entries = std::fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let metadata = std::fs::metadata(entry.path())?;
            let relative = format!("{prefix}{name}");
            if metadata.is_dir() && depth < DEEPEST_FOLDER && !name.starts_with('.') {
                self.folder(&entry.path(), &format!("{relative}/"), depth + 1, files)?;
            } else if metadata.is_file() && is_of_a_model(&name) {
                if files.len() == MOST_FILES {
                    return Err(io::Error::other(format!("more than {MOST_FILES} files are no model")));
                }
                files.push(self.file(relative, &entry.path(), &metadata)?);
            }
        }
        Ok(())
    }

    fn file(&self, name: String, path: &Path, metadata: &Metadata) -> io::Result<ModelFile> {
        let look = Look { path: path.to_owned(), size_bytes: metadata.len(), modified: metadata.modified().ok() };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&look).copied();
        let sha256 = match known {
            Some(sha256) => sha256,
            None => {
                let sha256 = hash(path)?;
                self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(look, sha256);
                sha256
            }
        };
        Ok(ModelFile { name, path: path.to_owned(), sha256 })
    }
}

fn is_of_a_model(name: &str) -> bool {
    match FileFormat::from_file_name(name) {
        FileFormat::Safetensors | FileFormat::Gguf | FileFormat::Json | FileFormat::Text => true,
        FileFormat::Pickle | FileFormat::Archive | FileFormat::Image | FileFormat::Onnx | FileFormat::Other => false,
    }
}

fn hash(path: &Path) -> io::Result<Sha256> {
    let mut file = File::open(path)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Sha256::from_bytes(hasher.finalize().into())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::{Classify as _, reason};

    #[test]
    fn a_folder_gives_the_files_of_its_model_by_relative_name() {
        let home = tempfile::tempdir().unwrap();
        for (name, bytes) in
            [("model_index.json", "{}"), ("unet/config.json", "{}"), ("unet/m.safetensors", "x"), ("unet/m.bin", "p")]
        {
            std::fs::create_dir_all(home.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(home.path().join(name), bytes).unwrap();
        }
        let digests = Digests::default();
        let files = digests.model(home.path()).unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["model_index.json", "unet/config.json", "unet/m.safetensors"]);
        assert_eq!(
            files[2].sha256.to_hex(),
            "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
            "SHA-256 of `x`"
        );
        // Another content under the same name is another model.
        std::fs::write(home.path().join("unet/m.safetensors"), "longer").unwrap();
        assert_ne!(digests.model(home.path()).unwrap()[2].sha256, files[2].sha256);
    }

    #[test]
    fn says_what_is_wrong_with_a_path() {
        let digests = Digests::default();
        assert_eq!(digests.model(Path::new("a/b")).unwrap_err().reason(), reason::INVALID_ARGUMENT);
        let missing = digests.model(Path::new("/no/such/model.safetensors")).unwrap_err();
        assert_eq!(missing.reason(), reason::FILE_NOT_FOUND);
        assert!(missing.to_string().contains("/no/such/model.safetensors"));
    }
}
