//! Where a store's folders are.
//!
//! On a Mac they are called `blobs.noindex` and so on: Spotlight looks into no folder whose name ends like that, nor into
//! anything below it. There is no other way to say so that works: a file `.metadata_never_index` counts at the root of a
//! volume only (measured on macOS 27, github spatie/bloom#119 and #120; before that, r-lib/revdepcheck#77). Elsewhere the
//! names are plain.
//!
//! What is there stays as it is, on any system and under either name: a disk is carried from a Mac to another machine and
//! back, a store may be older than this rule, and the catalogue knows files by their paths. So each folder is looked for
//! by itself, which also makes a store whole of which a kill left only some folders.

use crate::{StoreError, durable};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What Spotlight passes by.
const HIDDEN_ENDING: &str = ".noindex";

/// The folders of one store, as they were found when it was opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Folders {
    pub(crate) blobs: PathBuf,
    /// In `blobs`: the folders of blobs, by the first two digits of their names.
    pub(crate) shards: PathBuf,
    pub(crate) partials: PathBuf,
    pub(crate) incoming: PathBuf,
    pub(crate) quarantine: PathBuf,
}

impl Folders {
    /// The folders below `root`: those that are there, and else where they are to be made. Of two with one purpose the
    /// hidden one counts: only something that did not know of it can have made the other.
    ///
    /// # Errors
    /// [`StoreError::Io`] when it cannot be seen what is there.
    pub(crate) fn find(root: &Path, hides_new: bool) -> Result<Self, StoreError> {
        let find = |name: &str| {
            let (plain, hidden) = (root.join(name), root.join(format!("{name}{HIDDEN_ENDING}")));
            Ok(if is_there(&hidden)? || (hides_new && !is_there(&plain)?) { hidden } else { plain })
        };
        let blobs = find("blobs")?;
        Ok(Self {
            shards: blobs.join("sha256"),
            blobs,
            partials: find("partials")?,
            incoming: find("incoming")?,
            quarantine: find("quarantine")?,
        })
    }

    /// Makes those that are not there.
    pub(crate) fn create(&self) -> Result<(), StoreError> {
        let folders = [&self.partials, &self.incoming, &self.quarantine, &self.shards];
        folders.into_iter().try_for_each(|folder| durable::create_folder(folder))
    }
}

/// Whether there is anything under a name, such as a link to a disk that is away: then nothing else takes its place.
fn is_there(path: &Path) -> Result<bool, StoreError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("look for", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    fn names(root: &Path) -> Vec<String> {
        let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn made(hides_new: bool) -> (tempfile::TempDir, Folders) {
        let root = tempfile::tempdir().unwrap();
        let folders = Folders::find(root.path(), hides_new).unwrap();
        folders.create().unwrap();
        (root, folders)
    }

    #[test]
    fn new_folders_are_hidden_where_that_is_wanted_and_found_again_everywhere() {
        let (mac, on_mac) = made(true);
        assert_eq!(names(mac.path()), ["blobs.noindex", "incoming.noindex", "partials.noindex", "quarantine.noindex"]);
        assert_eq!(on_mac.shards, mac.path().join("blobs.noindex/sha256"));
        let (linux, on_linux) = made(false);
        assert_eq!(names(linux.path()), ["blobs", "incoming", "partials", "quarantine"]);
        for hides_new in [true, false] {
            assert_eq!(Folders::find(mac.path(), hides_new).unwrap(), on_mac);
            assert_eq!(Folders::find(linux.path(), hides_new).unwrap(), on_linux);
        }
    }

    #[test]
    fn a_store_goes_on_under_the_names_that_it_has() {
        for hides_new in [true, false] {
            let (root, folders) = made(hides_new);
            let store = Store::open(root.path()).unwrap();
            let blob = store.put_bytes(b"abc").unwrap();
            assert!(blob.path.starts_with(&folders.shards) && store.blobs_folder() == folders.blobs);
            let listed = store.blobs_beginning(blob.sha256.as_bytes()[0]).unwrap();
            assert_eq!(listed.len(), 1);
            assert_eq!(names(root.path()).len(), 4, "no second folder with the same purpose");
        }
    }

    #[test]
    fn folders_of_which_a_kill_left_some_are_added_to() {
        let (root, _) = made(true);
        fs::remove_dir_all(root.path().join("blobs.noindex")).unwrap();
        fs::remove_dir(root.path().join("incoming.noindex")).unwrap();
        let folders = Folders::find(root.path(), false).unwrap();
        folders.create().unwrap();
        assert_eq!(names(root.path()), ["blobs", "incoming", "partials.noindex", "quarantine.noindex"]);
        assert_eq!(Folders::find(root.path(), true).unwrap(), folders);
        let blob = Store::open(root.path()).unwrap().put_bytes(b"abc").unwrap();
        assert!(blob.path.starts_with(root.path().join("blobs/sha256")));
    }

    #[test]
    fn a_link_to_a_disk_that_is_away_is_not_replaced() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", root.path().join("blobs")).unwrap();
        let folders = Folders::find(root.path(), true).unwrap();
        assert_eq!(folders.blobs, root.path().join("blobs"));
        assert!(folders.create().is_err());
    }

    #[test]
    fn of_two_folders_the_hidden_one_counts() {
        let (root, folders) = made(true);
        fs::create_dir(root.path().join("blobs")).unwrap();
        assert_eq!(Folders::find(root.path(), false).unwrap(), folders);
    }
}
