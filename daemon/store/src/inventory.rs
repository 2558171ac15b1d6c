//! What lies in a store, for whoever wants to know which of it is needed, and how what is not goes.

use crate::partial::PartialInfo;
use crate::sidecar::Sidecar;
use crate::{Store, StoreError, durable};
use paintbox_domain::Sha256;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub path: PathBuf,
    pub size_bytes: u64,
    pub modified: Option<SystemTime>,
}

impl Store {
    /// The blobs whose digests begin with `first`, in no order. Files under any other name than a digest are none.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the folder cannot be read.
    pub fn blobs_beginning(&self, first: u8) -> Result<Vec<(Sha256, Stored)>, StoreError> {
        let files = files_in(&self.shard_folder(first))?.into_iter();
        Ok(files.filter_map(|file| Some((file.path.file_name()?.to_str()?.parse().ok()?, file))).collect())
    }

    /// What was set aside, with the key of the download that it came for, or the digest that it should have had.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the folder cannot be read.
    pub fn quarantined(&self) -> Result<Vec<(Option<String>, Stored)>, StoreError> {
        let is_note = |path: &Path| path.extension().is_some_and(|ending| ending == "json");
        let files = files_in(self.quarantine_folder())?.into_iter().filter(|file| !is_note(&file.path));
        Ok(files.map(|file| (Sidecar::read(&note_of(&file.path)).map(|note| note.key), file)).collect())
    }

    /// Sets a blob aside whose bytes are not what its name says.
    ///
    /// # Errors
    /// [`StoreError::Io`]; it is either still there or set aside.
    pub fn quarantine_blob(&self, sha256: &Sha256) -> Result<PathBuf, StoreError> {
        let path = self.blob_path(sha256);
        let folder = self.quarantine_folder();
        // Not under an ending that is a digest: nobody is to take these bytes for those of any.
        let aside = folder.join(format!("{sha256}.damaged"));
        Sidecar::new(&format!("sha256:{sha256}")).write(&note_of(&aside))?;
        // Before it is there: a kill between the two leaves a blob whose mark somebody will look at again.
        self.mark_sealed(&path, false);
        durable::rename(&path, &aside)?;
        durable::sync_folder(folder)?;
        self.sync_shard_of(&path)?;
        tracing::warn!(%sha256, path = %aside.display(), "damaged bytes set aside");
        Ok(aside)
    }

    /// Removes what [`Store::quarantined`] found.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove_quarantined(&self, path: &Path) -> Result<(), StoreError> {
        durable::remove(path)?;
        durable::remove(&note_of(path))?;
        durable::sync_folder(self.quarantine_folder())
    }

    /// Removes a partial that [`Store::partials`] found, if nobody has it open.
    ///
    /// # Errors
    /// [`StoreError::PartialBusy`]; [`StoreError::Io`].
    pub fn remove_partial(&self, partial: &PartialInfo) -> Result<(), StoreError> {
        let _turn = self.lock_partials()?;
        match fs::File::open(&partial.path) {
            Ok(file) => file.try_lock().map_err(|_| StoreError::PartialBusy {
                key: partial.key.clone().unwrap_or_default(),
                path: partial.path.clone(),
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("open", &partial.path)(error)),
        }
        durable::remove(&partial.path)?;
        durable::remove(&partial.path.with_extension("json"))?;
        durable::sync_folder(self.partials_folder())
    }
}

fn note_of(path: &Path) -> PathBuf {
    let mut note = path.as_os_str().to_owned();
    note.push(".json");
    note.into()
}

/// The plain files of a folder; of one that is not there, none.
fn files_in(folder: &Path) -> Result<Vec<Stored>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(StoreError::io("list", folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("list", folder))?;
        // One that went meanwhile is not there.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() {
            found.push(Stored { path: entry.path(), size_bytes: metadata.len(), modified: metadata.modified().ok() });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PartialKey, StoreError};

    #[test]
    fn a_store_tells_what_it_holds_and_lets_go_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let blob = store.put_bytes(b"abc").unwrap();
        fs::write(blob.path.with_file_name("notes.txt"), b"mine").unwrap();
        let found = store.blobs_beginning(blob.sha256.as_bytes()[0]).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0, found[0].1.size_bytes), (blob.sha256, 3));
        assert!(store.blobs_beginning(0).unwrap().is_empty());

        let aside = store.quarantine_blob(&blob.sha256).unwrap();
        assert_eq!(store.has_blob(&blob.sha256), None);
        let set_aside = store.quarantined().unwrap();
        assert_eq!(set_aside.len(), 1);
        assert_eq!((&set_aside[0].0, &set_aside[0].1.path), (&Some(format!("sha256:{}", blob.sha256)), &aside));
        store.remove_quarantined(&aside).unwrap();
        assert!(store.quarantined().unwrap().is_empty());
        assert_eq!(fs::read_dir(store.quarantine_folder()).unwrap().count(), 0);
    }

    #[test]
    fn a_partial_goes_unless_somebody_has_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut partial = store.partial(&PartialKey::new("a")).unwrap();
        partial.begin(0, None, Some(10)).unwrap();
        partial.append(b"abc").unwrap();
        let listed = store.partials().unwrap();
        assert!(matches!(store.remove_partial(&listed[0]), Err(StoreError::PartialBusy { .. })));
        drop(partial);
        store.remove_partial(&listed[0]).unwrap();
        assert!(store.partials().unwrap().is_empty());
        store.remove_partial(&listed[0]).unwrap();
    }
}
