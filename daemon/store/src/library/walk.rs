//! Every file of a folder that may hold a model, with what the system says of it. Nothing is opened.

use super::look::look_of;
use crate::StoreError;
use paintbox_domain::{FileFormat, FileLook};
use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A folder that is deeper is no folder of models; loops of links end sooner, because a folder is walked once.
const DEEPEST_FOLDER: usize = 32;

/// A file that may hold a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenFile {
    /// Below the folder that was walked.
    pub path: PathBuf,
    pub look: FileLook,
}

/// What a walk found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walked {
    /// By the bytes of their paths.
    pub files: Vec<SeenFile>,
    /// Folders, relative like the files, that could not be read: of what was there before nothing is known.
    pub unreadable: Vec<PathBuf>,
}

impl Walked {
    /// Whether nothing can be said of what was at `path` before.
    #[must_use]
    pub fn is_uncertain(&self, path: &Path) -> bool {
        self.unreadable.iter().any(|folder| path.starts_with(folder))
    }
}

/// Walks `folders` below `root`, through links too, each folder once. Names that begin with a dot are left out, as are
/// files whose ending is not one of weights. A file that goes while it is looked at is not there.
///
/// # Errors
/// [`StoreError::Io`] when `root` itself cannot be read.
pub fn walk(root: &Path, folders: &[PathBuf]) -> Result<Walked, StoreError> {
    drop(fs::read_dir(root).map_err(StoreError::io("list", root))?);
    let mut walk = Walk { root, visited: HashSet::new(), found: Walked::default() };
    for folder in folders {
        walk.folder(folder, 0);
    }
    let mut found = walk.found;
    // Byte by byte, which is how the catalogue sorts too.
    found.files.sort_unstable_by(|left, right| left.path.as_os_str().cmp(right.path.as_os_str()));
    found.files.dedup_by(|left, right| left.path == right.path);
    Ok(found)
}

struct Walk<'a> {
    root: &'a Path,
    /// Device and inode of every folder that was walked.
    visited: HashSet<(u64, u64)>,
    found: Walked,
}

impl Walk<'_> {
    fn folder(&mut self, relative: &Path, depth: usize) {
        let folder = self.root.join(relative);
        let listed = fs::metadata(&folder).and_then(|metadata| {
            if !self.visited.insert((metadata.dev(), metadata.ino())) {
                return Ok(Vec::new());
            }
            fs::read_dir(&folder)?.collect::<io::Result<Vec<DirEntry>>>()
        });
        match listed {
            Ok(entries) => entries.iter().for_each(|entry| self.entry(entry, relative, depth)),
            // One that went meanwhile, or a link that leads nowhere: what was there is gone.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "a folder of a library cannot be read");
                self.found.unreadable.push(relative.to_owned());
            }
        }
    }

    fn entry(&mut self, entry: &DirEntry, folder: &Path, depth: usize) {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            return;
        }
        let Ok(kind) = entry.file_type() else { return };
        let may_hold_a_model = holds_weights(Path::new(&name));
        if kind.is_file() && !may_hold_a_model {
            return;
        }
        let path = folder.join(&name);
        // Behind a link is what counts; a link that leads nowhere is nothing.
        let metadata = if kind.is_symlink() { fs::metadata(entry.path()) } else { entry.metadata() };
        let Ok(metadata) = metadata else { return };
        if metadata.is_dir() {
            if depth < DEEPEST_FOLDER {
                self.folder(&path, depth + 1);
            }
        } else if metadata.is_file() && may_hold_a_model {
            self.found.files.push(SeenFile { path, look: look_of(&metadata) });
        }
    }
}

/// By its ending, which is what makes other tools take a file for a model; its bytes are asked afterwards.
fn holds_weights(name: &Path) -> bool {
    let Some(ending) = name.extension() else { return false };
    // Only the ending matters, and one that is not text is none.
    ending.to_str().is_some_and(|ending| {
        matches!(
            FileFormat::from_file_name(&format!(".{ending}")),
            FileFormat::Safetensors | FileFormat::Gguf | FileFormat::Pickle
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    fn everything(root: &Path) -> Walked {
        walk(root, &[PathBuf::new()]).unwrap()
    }

    fn paths(walked: &Walked) -> Vec<&Path> {
        walked.files.iter().map(|file| file.path.as_path()).collect()
    }

    #[test]
    fn weights_are_found_through_links_and_each_folder_once() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("models"), folder.path().join("outside"));
        for path in
            ["loras/a.safetensors", "loras/deep/b.SFT", "vae.pt", "a.txt", ".git/c.gguf", "loras/._a.safetensors"]
        {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("d.gguf"), b"xx").unwrap();
        symlink(&outside, root.join("linked")).unwrap();
        symlink(&root, root.join("loop")).unwrap();
        symlink(root.join("vae.pt"), root.join("again.pt")).unwrap();
        symlink(root.join("nothing"), root.join("dangling.pt")).unwrap();
        fs::create_dir(root.join("folder.safetensors")).unwrap();

        let walked = everything(&root);
        let wanted = ["again.pt", "linked/d.gguf", "loras/a.safetensors", "loras/deep/b.SFT", "vae.pt"];
        assert_eq!(paths(&walked), wanted.map(Path::new));
        assert_eq!(walked.files[0].look, walked.files[4].look, "two names of one file look the same");
        assert_eq!(walked.files[1].look.size_bytes, 2);
        assert_eq!(paths(&walk(&root, &["loras".into(), "absent".into()]).unwrap()).len(), 2);
        assert!(walk(&root.join("absent"), &[PathBuf::new()]).is_err());
    }

    #[test]
    fn names_may_be_anything() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(255 - ".safetensors".len());
        let names = ["line\nbreak.safetensors", "\u{202e}flow.gguf", "🖌️.safetensors", &format!("{long}.safetensors")];
        let mut names: Vec<&OsStr> = names.iter().map(OsStr::new).collect();
        names.push(OsStr::from_bytes(b"\xff\xfe.safetensors"));
        for name in &names {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        let walked = everything(folder.path());
        assert_eq!(walked.files.len(), names.len());
        assert!(names.iter().all(|name| paths(&walked).contains(&Path::new(name))));
    }

    #[test]
    fn what_cannot_be_read_is_said_and_not_taken_for_empty() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::write(folder.path().join("a.gguf"), b"x").unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let is_root = fs::read_dir(&closed).is_ok();
        let walked = everything(folder.path());
        assert_eq!(paths(&walked), [Path::new("a.gguf")]);
        // Root reads everything, and then nothing is uncertain.
        assert_eq!(walked.is_uncertain(Path::new("closed/b.gguf")), !is_root);
        assert!(!walked.is_uncertain(Path::new("a.gguf")));
    }
}
