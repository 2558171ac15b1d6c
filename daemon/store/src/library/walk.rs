//! Every file of a folder that may hold a model, with what the system says of it. Nothing is opened.

mod parts;

pub use parts::{Parts, walk_parts};

use super::beside::{Beside, Siblings, is_model_name};
use super::layout::Layout;
use super::look::look_of;
use crate::StoreError;
use paintbox_domain::FileLook;
use std::collections::{HashMap, HashSet};
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
    /// Another number when the notes and pictures beside it change.
    pub beside: u64,
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Walked {
    /// By the bytes of their paths.
    pub files: Vec<SeenFile>,
    /// Folders, relative like the files, that could not be read: of what was there before nothing is known.
    pub unreadable: Vec<PathBuf>,
    /// What lies beside the files, by folder.
    pub siblings: HashMap<PathBuf, Siblings>,
    /// Some file or folder is a link.
    pub has_links: bool,
}

impl Walked {
    /// Whether nothing can be said of what was at `path` before.
    #[must_use]
    pub fn is_uncertain(&self, path: &Path) -> bool {
        self.unreadable.iter().any(|folder| path.starts_with(folder))
    }
}

/// Walks what holds models in a folder of this layout, through links too, each folder once. Names that begin with a dot
/// are left out, as are files whose ending is not one of weights. A file that goes while it is looked at is not there.
///
/// # Errors
/// [`StoreError::Io`] when `root` itself cannot be read.
pub fn walk(root: &Path, layout: Layout) -> Result<Walked, StoreError> {
    drop(fs::read_dir(root).map_err(StoreError::io("list", root))?);
    let mut walk = Walk { root, layout, visited: HashSet::new(), found: Walked::default(), is_flat: false };
    for folder in layout.roots(root) {
        // What a program keeps elsewhere is a library of its own.
        if let Ok(relative) = folder.strip_prefix(root) {
            walk.folder(relative, 0);
        }
    }
    Ok(walk.finished())
}

struct Walk<'a> {
    root: &'a Path,
    layout: Layout,
    /// Device and inode of every folder that was walked.
    visited: HashSet<(u64, u64)>,
    found: Walked,
    /// Folders in folders are left out.
    is_flat: bool,
}

impl Walk<'_> {
    fn finished(self) -> Walked {
        let mut found = self.found;
        // Byte by byte, which is how the catalogue sorts too.
        found.files.sort_unstable_by(|left, right| left.path.as_os_str().cmp(right.path.as_os_str()));
        found.files.dedup_by(|left, right| left.path == right.path);
        found
    }

    fn folder(&mut self, relative: &Path, depth: usize) {
        let folder = self.root.join(relative);
        let listed = fs::metadata(&folder).and_then(|metadata| {
            if !self.visited.insert((metadata.dev(), metadata.ino())) {
                return Ok(Vec::new());
            }
            fs::read_dir(&folder)?.collect::<io::Result<Vec<DirEntry>>>()
        });
        match listed {
            Ok(entries) => self.entries(&entries, relative, depth),
            // One that went meanwhile, or a link that leads nowhere: what was there is gone.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "a folder of a library cannot be read");
                self.found.unreadable.push(relative.to_owned());
            }
        }
    }

    fn entries(&mut self, entries: &[DirEntry], folder: &Path, depth: usize) {
        let (mut models, mut others) = (Vec::new(), Vec::new());
        for entry in entries {
            let name = entry.file_name();
            if parts::is_hidden(&name) {
                continue;
            }
            // Behind a link is what counts; a link that leads nowhere is nothing, like what goes meanwhile.
            let metadata = match entry.file_type() {
                Ok(kind) if kind.is_symlink() => {
                    self.found.has_links = true;
                    fs::metadata(entry.path())
                }
                Ok(_) => entry.metadata(),
                Err(error) => Err(error),
            };
            let Ok(metadata) = metadata else { continue };
            if metadata.is_dir() {
                if !self.is_flat && depth < DEEPEST_FOLDER && !self.layout.passes_over(&name) {
                    self.folder(&folder.join(&name), depth + 1);
                }
            } else if metadata.is_file() {
                let look = look_of(&metadata);
                others.push((name.clone(), look.size_bytes, look.modified_ns));
                if is_model_name(&name) {
                    models.push((name, look));
                }
            }
        }
        if models.is_empty() {
            return;
        }
        let siblings = Siblings::of(others);
        let seen = models.into_iter().map(|(name, look)| SeenFile {
            beside: Beside::stamp(&name, &siblings),
            path: folder.join(name),
            look,
        });
        self.found.files.extend(seen);
        self.found.siblings.insert(folder.to_owned(), siblings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    fn everything(root: &Path) -> Walked {
        walk(root, Layout::Plain).unwrap()
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
        assert!(walk(&root.join("absent"), Layout::Plain).is_err());
    }

    #[test]
    fn a_picture_beside_a_file_is_seen_without_looking_at_any_other() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.safetensors", "b.safetensors"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        let besides = || everything(folder.path()).files.iter().map(|file| file.beside).collect::<Vec<_>>();
        let before = besides();
        fs::write(folder.path().join("a.preview.png"), b"picture").unwrap();
        let after = besides();
        assert_ne!(before[0], after[0]);
        assert_eq!(before[1], after[1]);
    }

    #[test]
    fn a_program_is_walked_where_it_keeps_models() {
        let folder = tempfile::tempdir().unwrap();
        let found = small_comfyui(folder.path());
        assert_eq!(Layout::of(folder.path()), Layout::ComfyUi);
        assert_eq!(paths(&walk(folder.path(), Layout::ComfyUi).unwrap()), [found.as_path()]);
    }

    /// ComfyUI as far as a walk is concerned: a model, and a file of weights of an extension.
    fn small_comfyui(root: &Path) -> PathBuf {
        for path in
            ["models/loras/a.safetensors", "models/vae/x.txt", "custom_nodes/x/b.safetensors", "folder_paths.py"]
        {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        PathBuf::from("models/loras/a.safetensors")
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
