//! A walk through parts of a folder, for when it is known where something happened.
//!
//! It finds there what a walk through the whole would, or says that only the whole tells: where links are, what happens
//! behind one is told elsewhere, and a folder may have been found under its other name.

use super::{DEEPEST_FOLDER, Walk, Walked};
use crate::StoreError;
use crate::library::layout::Layout;
use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Parts of a folder, below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// What lies directly in these.
    pub folders: BTreeSet<PathBuf>,
    /// These, if they are folders or were, with everything below.
    pub trees: BTreeSet<PathBuf>,
}

impl Parts {
    /// Something happened to what is called `path` below `root`: the folder that it is in may hold something else now, and
    /// so may everything below it, unless it is a file. Of what is not there any more nobody knows what it was.
    pub fn add(&mut self, root: &Path, path: &Path) {
        self.folders.extend(path.parent().map(Path::to_owned));
        if !root.join(path).symlink_metadata().is_ok_and(|found| found.is_file()) {
            self.trees.insert(path.to_owned());
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.folders.len() + self.trees.len()
    }

    /// Where a path is in it.
    #[must_use]
    pub fn holds(&self, path: &Path) -> bool {
        path.parent().is_some_and(|folder| self.folders.contains(folder))
            || path.ancestors().any(|above| self.trees.contains(above))
    }
}

/// Walks parts of what [`super::walk`] walks; none where only the whole tells.
///
/// # Errors
/// [`StoreError::Io`] when `root` itself cannot be read.
pub fn walk_parts(root: &Path, layout: Layout, parts: &Parts) -> Result<Option<Walked>, StoreError> {
    drop(fs::read_dir(root).map_err(StoreError::io("list", root))?);
    let mut walk = Walk { root, layout, visited: HashSet::new(), found: Walked::default(), is_flat: false };
    let roots: Vec<PathBuf> =
        layout.roots(root).iter().filter_map(|folder| folder.strip_prefix(root).ok().map(Path::to_owned)).collect();
    let top = |path: &Path| roots.iter().find(|top| path.starts_with(top));
    for tree in &parts.trees {
        match top(tree) {
            Some(top) => match walk.way(top, tree) {
                Way::Clear(depth) => walk.folder(tree, depth),
                Way::PassedOver => {}
                Way::Link => return Ok(None),
            },
            None => roots.iter().filter(|top| top.starts_with(tree)).for_each(|top| walk.folder(top, 0)),
        }
    }
    walk.is_flat = true;
    for folder in &parts.folders {
        let Some(top) = top(folder) else { continue };
        match walk.way(top, folder) {
            Way::Clear(depth) => walk.folder(folder, depth),
            Way::PassedOver => {}
            Way::Link => return Ok(None),
        }
    }
    let found = walk.finished();
    Ok((!found.has_links).then_some(found))
}

/// What is on the way to a folder.
enum Way {
    /// So many folders.
    Clear(usize),
    /// One that is passed over, or nothing that is still there.
    PassedOver,
    Link,
}

impl Walk<'_> {
    /// The way from `top`, where a walk through everything begins, to `folder`.
    fn way(&self, top: &Path, folder: &Path) -> Way {
        let mut path = self.root.join(top);
        let mut depth = 0;
        for part in folder.strip_prefix(top).into_iter().flat_map(Path::components) {
            let Component::Normal(name) = part else { return Way::PassedOver };
            if is_hidden(name) || self.layout.passes_over(name) || depth == DEEPEST_FOLDER {
                return Way::PassedOver;
            }
            path.push(name);
            depth += 1;
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_symlink() => return Way::Link,
                Ok(found) if found.is_dir() => {}
                _ => return Way::PassedOver,
            }
        }
        Way::Clear(depth)
    }
}

/// Names that no walk looks at.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::super::walk;
    use super::*;
    use std::os::unix::fs::symlink;

    fn parts(folders: &[&str], trees: &[&str]) -> Parts {
        let set = |names: &[&str]| names.iter().map(PathBuf::from).collect();
        Parts { folders: set(folders), trees: set(trees) }
    }

    fn put(root: &Path, names: &[&str]) {
        for name in names {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), name).unwrap();
        }
    }

    #[test]
    fn parts_hold_what_a_walk_through_everything_finds_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(
            root,
            &[
                "top.safetensors",
                "a/one.safetensors",
                "a/one.preview.png",
                "a/deep/er/two.gguf",
                "b/three.safetensors",
                ".hidden/four.safetensors",
                "venv/five.safetensors",
            ],
        );
        let everything = walk(root, Layout::Plain).unwrap();
        for (parts, wanted) in [
            (parts(&[], &[]), vec![]),
            (parts(&[""], &[]), vec!["top.safetensors"]),
            (parts(&["a"], &[]), vec!["a/one.safetensors"]),
            (parts(&["a"], &["a"]), vec!["a/deep/er/two.gguf", "a/one.safetensors"]),
            (parts(&[], &["a/deep", "a/deep/er"]), vec!["a/deep/er/two.gguf"]),
            (parts(&["b", ".hidden", "venv", "gone"], &["gone/too", ".hidden", "venv/x"]), vec!["b/three.safetensors"]),
            (parts(&[], &[""]), everything.files.iter().map(|file| file.path.to_str().unwrap()).collect()),
        ] {
            let found = walk_parts(root, Layout::Plain, &parts).unwrap().unwrap();
            assert_eq!(
                found.files.iter().map(|file| file.path.to_str().unwrap()).collect::<Vec<_>>(),
                wanted,
                "{parts:?}"
            );
            assert!(found.files.iter().all(|file| everything.files.contains(file) && parts.holds(&file.path)));
            let outside = everything.files.iter().filter(|file| !found.files.contains(file));
            assert!(outside.into_iter().all(|file| !parts.holds(&file.path)), "{parts:?}");
        }
    }

    #[test]
    fn where_links_are_only_the_whole_tells() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, &["a/one.safetensors", "b/c/two.safetensors"]);
        assert!(!walk(root, Layout::Plain).unwrap().has_links);
        symlink(root.join("a"), root.join("b/link")).unwrap();
        assert!(walk(root, Layout::Plain).unwrap().has_links);
        for (parts, is_told) in [
            (parts(&["b/c"], &[]), true),
            (parts(&["b"], &[]), false),
            (parts(&[], &["b"]), false),
            (parts(&["b/link"], &[]), false),
        ] {
            assert_eq!(walk_parts(root, Layout::Plain, &parts).unwrap().is_some(), is_told, "{parts:?}");
        }
    }

    #[test]
    fn a_folder_above_those_that_are_walked_stands_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, &["folder_paths.py", "models/loras/one.safetensors", "output/two.safetensors"]);
        let layout = Layout::of(root);
        assert_eq!(layout, Layout::ComfyUi);
        for (parts, wanted) in
            [(parts(&["", "output"], &["output"]), 0), (parts(&[], &["models"]), 1), (parts(&[], &[""]), 1)]
        {
            assert_eq!(walk_parts(root, layout, &parts).unwrap().unwrap().files.len(), wanted, "{parts:?}");
        }
    }
}
