//! Stores that may come and go: each has a note with its identity in its folder, so that an empty mount point, or
//! another disk at the same path, is not taken for it.

use crate::{Store, StoreError, durable};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

const NOTE: &str = "volume.json";
/// A longer note was not written by us.
const LONGEST_NOTE_BYTES: u64 = 4 * 1024;

#[derive(Serialize, Deserialize)]
struct Note {
    uid: String,
}

impl Store {
    /// Makes `root` a volume with the identity `uid`, or finds that it is one already, whose identity then stays. The
    /// folder may be absent or empty; one with anything else in it is left alone. Returns the identity.
    ///
    /// # Errors
    /// [`StoreError::FolderInUse`]; [`StoreError::Io`] and [`StoreError::DiskFull`].
    pub fn create_volume(root: &Path, uid: &str) -> Result<String, StoreError> {
        if let Some(found) = volume_uid(root) {
            return Ok(found);
        }
        durable::create_folder(root)?;
        let io = StoreError::io("list", root);
        // macOS puts its own files onto every disk, under names that begin with a dot.
        let is_taken = |entry: &fs::DirEntry| !entry.file_name().to_string_lossy().starts_with('.');
        let entries = fs::read_dir(root).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(io)?;
        if entries.iter().any(is_taken) {
            return Err(StoreError::FolderInUse { path: root.to_owned() });
        }
        let text = serde_json::to_vec(&Note { uid: uid.to_owned() }).expect("a text always serialises");
        durable::replace(&root.join(NOTE), &text)?;
        durable::sync_folder(root)?;
        Ok(uid.to_owned())
    }

    /// Opens the volume `uid`, if it is what lies at `root`.
    ///
    /// # Errors
    /// [`StoreError::VolumeAway`]; otherwise as [`Store::open`].
    pub fn open_volume(root: &Path, uid: &str) -> Result<Self, StoreError> {
        if !is_volume(root, uid) {
            return Err(StoreError::VolumeAway { path: root.to_owned() });
        }
        Self::open(root)
    }
}

/// Whether the volume `uid` is what lies at `root` now. One small read.
#[must_use]
pub fn is_volume(root: &Path, uid: &str) -> bool {
    volume_uid(root).as_deref() == Some(uid)
}

fn volume_uid(root: &Path) -> Option<String> {
    let mut text = Vec::new();
    File::open(root.join(NOTE)).ok()?.take(LONGEST_NOTE_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice::<Note>(&text).ok().map(|note| note.uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::{Classify as _, reason};

    #[test]
    fn a_volume_is_known_again_and_nothing_else_is_taken_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("disk");
        assert_eq!(Store::create_volume(&root, "one").unwrap(), "one");
        assert_eq!(Store::create_volume(&root, "two").unwrap(), "one", "it keeps the identity that it has");
        let blob = Store::open_volume(&root, "one").unwrap().put_bytes(b"abc").unwrap();

        let moved = folder.path().join("mounted elsewhere");
        fs::create_dir(&moved).unwrap();
        let away = Store::open_volume(&moved, "one").unwrap_err();
        assert_eq!(away.reason(), reason::VOLUME_AWAY);
        assert_eq!(fs::read_dir(&moved).unwrap().count(), 0, "an empty mount point stays empty");
        assert!(!is_volume(&root, "two"));

        assert!(Store::open_volume(&root, "one").unwrap().has_blob(&blob.sha256).is_some());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a disk that is taken away is a folder that is renamed")]
    fn nothing_is_made_where_a_disk_was_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("disk");
        Store::create_volume(&root, "one").unwrap();
        let store = Store::open_volume(&root, "one").unwrap();
        let mut partial = store.partial(&crate::PartialKey::new("a")).unwrap();
        partial.begin(0, None, Some(3)).unwrap();
        partial.append(b"abc").unwrap();
        fs::rename(&root, folder.path().join("elsewhere")).unwrap();
        fs::create_dir(&root).unwrap();
        let digests = partial.verify(&crate::Expected::default()).unwrap();
        assert!(partial.place(&digests).is_err());
        assert!(store.put_bytes(b"picture").is_err());
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_with_something_in_it_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".DS_Store"), b"").unwrap();
        fs::write(folder.path().join("thesis.txt"), b"").unwrap();
        let error = Store::create_volume(folder.path(), "one").unwrap_err();
        assert_eq!(error.reason(), reason::INVALID_ARGUMENT);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        fs::remove_file(folder.path().join("thesis.txt")).unwrap();
        Store::create_volume(folder.path(), "one").unwrap();
    }
}
