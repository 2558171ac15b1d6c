//! Bytes that were set aside because they were not what was promised, and their way back when it turns out that they
//! are what somebody else promises: a hub that replaces a file lists its new digest a while after it sends the new bytes.

use crate::partial::PartialKey;
use crate::sidecar::Sidecar;
use crate::{Store, StoreError, durable};
use paintbox_domain::Sha256;
use std::fs;
use std::path::PathBuf;

impl Store {
    /// Makes bytes of this digest that were set aside the partial of `key`, whole, so that they need not be fetched
    /// again; whoever opens it checks them as any others. False when there are none, or when the key has a partial.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::DiskFull`]; the bytes are either still set aside or already the partial.
    pub fn reclaim(&self, key: &PartialKey, sha256: &Sha256) -> Result<bool, StoreError> {
        let _turn = self.lock_partials()?;
        let path = self.partials_folder().join(key.file_name()).with_extension("part");
        if path.exists() {
            return Ok(false);
        }
        let Some(aside) = self.set_aside(sha256)? else { return Ok(false) };
        let total_bytes = fs::metadata(&aside).map_err(StoreError::io("measure", &aside))?.len();
        // The note first: without bytes it promises nothing, and bytes without it would be nobody's.
        let note = Sidecar { total_bytes: Some(total_bytes), ..Sidecar::new(key.as_str()) };
        note.write(&path.with_extension("json"))?;
        durable::rename(&aside, &path)?;
        durable::sync_folder(self.partials_folder())?;
        let mut old_note = aside.into_os_string();
        old_note.push(".json");
        durable::remove(old_note.as_ref())?;
        durable::sync_folder(self.quarantine_folder())?;
        tracing::info!(key = key.as_str(), bytes = total_bytes, "bytes that were set aside are wanted after all");
        Ok(true)
    }

    fn set_aside(&self, sha256: &Sha256) -> Result<Option<PathBuf>, StoreError> {
        let folder = self.quarantine_folder();
        let ending = format!(".{sha256}");
        for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
            let entry = entry.map_err(StoreError::io("list", folder))?;
            if entry.file_name().to_string_lossy().ends_with(&ending) {
                return Ok(Some(entry.path()));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashing::sha256_of;
    use crate::{Expected, Partial};

    fn key(text: &str) -> PartialKey {
        PartialKey::new(text)
    }

    fn wrong(store: &Store, bytes: &[u8]) -> Partial {
        let mut partial = store.partial(&key("old")).unwrap();
        partial.begin(0, Some("\"v1\""), Some(bytes.len() as u64)).unwrap();
        partial.append(bytes).unwrap();
        partial
    }

    #[test]
    fn what_was_set_aside_comes_back_whole_under_its_own_digest() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let sha256 = sha256_of(b"abc");
        assert!(!store.reclaim(&key("new"), &sha256).unwrap(), "there is nothing yet");
        wrong(&store, b"abc").discard().unwrap();
        assert!(!store.reclaim(&key("new"), &sha256_of(b"abd")).unwrap(), "these are other bytes");

        assert!(store.reclaim(&key("new"), &sha256).unwrap());
        assert_eq!(fs::read_dir(store.quarantine_folder()).unwrap().count(), 0);
        let partial = store.partial(&key("new")).unwrap();
        assert_eq!((partial.len(), partial.total_bytes(), partial.validator()), (3, Some(3), None));
        let digests = partial.verify(&Expected { sha256: Some(sha256), ..Expected::default() }).unwrap();
        assert_eq!(fs::read(partial.place(&digests).unwrap().path).unwrap(), b"abc");
        assert!(!store.reclaim(&key("new"), &sha256).unwrap(), "it is taken once");
        assert!(store.partials().unwrap().is_empty());
    }

    #[test]
    fn a_partial_that_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        wrong(&store, b"abc").discard().unwrap();
        let open = store.partial(&key("new")).unwrap();
        assert!(!store.reclaim(&key("new"), &sha256_of(b"abc")).unwrap());
        assert!(open.is_empty());
        assert_eq!(fs::read_dir(store.quarantine_folder()).unwrap().count(), 2, "bytes and note");
    }

    #[test]
    fn damage_while_set_aside_is_found_when_it_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let sha256 = sha256_of(b"abc");
        wrong(&store, b"abc").discard().unwrap();
        fs::write(store.set_aside(&sha256).unwrap().unwrap(), b"abX").unwrap();
        assert!(store.reclaim(&key("new"), &sha256).unwrap());
        let partial = store.partial(&key("new")).unwrap();
        let error = partial.verify(&Expected { sha256: Some(sha256), ..Expected::default() }).unwrap_err();
        assert!(matches!(error, StoreError::DigestMismatch { .. }), "{error}");
    }
}
