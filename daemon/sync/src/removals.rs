//! Files that people remove: into the trash, back out of it, and gone when its time has come.

use crate::error::SyncError;
use crate::service::Sync;
use crate::settle::blocking;
use paintbox_catalogue::{FileId, RemovalId, RemovalPage, RemovalRecord, RemovalState};
use paintbox_domain::ModelRef;
use std::path::PathBuf;

impl Sync {
    /// Puts into the trash what a reference names: a file, the files of a version, or those files of a model that are
    /// here. No follow fetches them again. With `only_tell` nothing is done.
    ///
    /// # Errors
    /// When the reference leads nowhere; `FILE_NOT_LOCAL` when nothing of it is here; when the catalogue fails.
    pub async fn remove(&self, reference: &str, only_tell: bool) -> Result<RemovalRecord, SyncError> {
        let parts = &self.inner.parts;
        let files = self.files_to_remove(reference).await?;
        let expires_at = parts.clock.now().plus(self.settings().care.trash_for);
        let store = parts.places.home().root();
        let removed = parts.catalogue.remove_files(reference, &files, store, expires_at, only_tell).await?;
        let removal = removed.ok_or_else(|| SyncError::NothingHere { reference: reference.to_owned() })?;
        if !only_tell {
            tracing::info!(reference, files = removal.files.len(), bytes = removal.trashed_bytes(), "into the trash");
            self.give_up_downloads_of(&files).await?;
        }
        Ok(removal)
    }

    async fn files_to_remove(&self, reference: &str) -> Result<Vec<FileId>, SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        let resolved = catalogue.resolve(&reference.parse::<ModelRef>()?).await?;
        if catalogue.model(resolved.model).await?.summary.hub.is_none() {
            return Err(SyncError::LibraryIsReadOnly { reference: reference.to_owned() });
        }
        if let Some(file) = resolved.file {
            return Ok(vec![file]);
        }
        let detail = catalogue.model(resolved.model).await?;
        let versions = detail.versions.iter().filter(|version| resolved.version.is_none_or(|id| id == version.id));
        let files: Vec<_> = versions.flat_map(|version| &version.files).collect();
        if !files.iter().any(|file| file.artifact.is_some()) {
            return Err(SyncError::NothingHere { reference: reference.to_owned() });
        }
        // Of a whole model, what is not here may still arrive some day; a version that was named is not wanted at all.
        let is_meant = |file: &&&paintbox_catalogue::FileRecord| resolved.version.is_some() || file.artifact.is_some();
        Ok(files.iter().filter(is_meant).map(|file| file.id).collect())
    }

    async fn give_up_downloads_of(&self, files: &[FileId]) -> Result<(), SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        let mut page_token = None;
        loop {
            let query = paintbox_catalogue::DownloadQuery { page_size: 500, page_token, ..Default::default() };
            let page = catalogue.downloads(&query).await?;
            for download in page.downloads.iter().filter(|download| files.contains(&download.file)) {
                self.cancel_download(download.id).await?;
            }
            match page.next_page_token {
                Some(next) => page_token = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Removals, the newest first: those that can be undone, or with `ended` all of them.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID`; when the catalogue cannot be read.
    pub async fn removals(
        &self,
        ended: bool,
        page_size: u32,
        page_token: Option<&str>,
    ) -> Result<RemovalPage, SyncError> {
        Ok(self.inner.parts.catalogue.removals(ended, page_size, page_token).await?)
    }

    /// Takes files out of the trash again.
    ///
    /// # Errors
    /// `REMOVAL_NOT_FOUND`; `TRASH_EMPTIED`; when the catalogue cannot be written.
    pub async fn undo_removal(&self, removal: RemovalId) -> Result<RemovalRecord, SyncError> {
        let parts = &self.inner.parts;
        let restored = parts.catalogue.undo_removal(removal).await?;
        // Somebody may have removed the bytes themselves by hand meanwhile; then the files are absent, and not in the trash.
        let (paths, places) = (restored.paths(), parts.places.clone());
        let is_lost = move |path: &PathBuf| path.try_exists().is_ok_and(|there| !there) && !places.is_away(path);
        for path in blocking(move || paths.into_iter().filter(is_lost).collect::<Vec<_>>()).await? {
            parts.catalogue.record_path_gone(&path).await?;
        }
        Ok(restored)
    }

    /// Empties the trash of what has been in it for long enough. Returns the bytes that were freed.
    ///
    /// # Errors
    /// When the catalogue fails. What cannot be removed stays in the trash, and is tried again.
    pub(crate) async fn empty_expired_trash(&self) -> Result<u64, SyncError> {
        let mut freed = 0;
        for removal in self.inner.parts.catalogue.expired_removals().await? {
            match self.empty(&removal).await {
                Ok(bytes) => freed += bytes,
                Err(SyncError::VolumeAway { label }) => {
                    tracing::debug!(volume = label, removal = %removal.id, "stays in the trash until its volume is back");
                }
                Err(error @ SyncError::Store { .. }) => {
                    tracing::warn!(removal = %removal.id, %error, "cannot empty the trash of it");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(freed)
    }

    /// Removes the bytes of a removal for good, but for those that are needed after all.
    pub(crate) async fn empty(&self, removal: &RemovalRecord) -> Result<u64, SyncError> {
        let parts = &self.inner.parts;
        let _naming = parts.places.naming.write().await;
        let (paths, places) = (removal.paths(), parts.places.clone());
        let away = blocking(move || paths.into_iter().find(|path| places.is_away(path))).await?;
        if let Some(path) = away {
            let label = parts.places.label_of(&path).unwrap_or_else(|| path.display().to_string());
            return Err(SyncError::VolumeAway { label });
        }
        let Some(paths) = parts.catalogue.begin_to_empty(removal).await? else { return Ok(0) };
        let mut freed = 0;
        for path in paths {
            freed += self.remove_blob_at(path).await?;
        }
        parts.catalogue.end_emptying(removal.id).await?;
        if freed > 0 {
            tracing::info!(removal = %removal.id, bytes = freed, state = RemovalState::Emptied.as_str(), "trash");
        }
        Ok(freed)
    }

    /// Removes a blob of ours. Whoever calls this holds the right to name, and has seen that nobody needs it.
    pub(crate) async fn remove_blob_at(&self, path: PathBuf) -> Result<u64, SyncError> {
        let places = self.inner.parts.places.clone();
        let shown = path.display().to_string();
        let removed = blocking(move || {
            let (Some(store), Some(sha256)) = (places.store_of(&path), digest_in_name(&path)) else { return Ok(0) };
            let bytes = store.has_blob(&sha256).unwrap_or(0);
            store.remove_blob(&sha256).map(|()| bytes)
        });
        removed.await?.map_err(|source| SyncError::Store { file: shown, source })
    }
}

fn digest_in_name(path: &std::path::Path) -> Option<paintbox_domain::Sha256> {
    path.file_name()?.to_str()?.parse().ok()
}
