//! Bytes that nobody needs: every one is explained, and none goes unless its class was named.

use crate::error::SyncError;
use crate::fetch::partial_key;
use crate::service::Sync;
use crate::settle::blocking;
use futures::Stream;
use paintbox_catalogue::{RemovalRecord, RemovedPlace, UnusedPicture};
use paintbox_domain::{Failure, Timestamp};
use paintbox_store::{PartialInfo, Store, StoreError, Stored};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// What was written within this time may be about to be put on record.
const TOO_NEW: Duration = Duration::from_secs(3600);
/// Items that wait for a slow listener before looking on waits too.
const ITEMS: usize = 64;

macro_rules! classes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// Why bytes are not needed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum GarbageClass {
            $($(#[$doc])* $variant),+
        }

        impl GarbageClass {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name, as sent.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|class| class.as_str() == name)
            }
        }
    };
}

classes! {
    /// Removed, and the time to undo it has passed.
    ExpiredTrash = "expired_trash",
    /// Removed, and can be undone.
    Trash = "trash",
    /// The beginning of a file that no download goes on with.
    Partial = "partial",
    /// Bytes that were not what they should have been.
    Quarantine = "quarantine",
    /// Whole files that the catalogue does not name.
    Unrecorded = "unrecorded",
    /// Pictures that nothing shows any more.
    Picture = "picture",
}

/// Bytes that nobody needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Garbage {
    pub class: GarbageClass,
    pub path: PathBuf,
    pub size_bytes: u64,
    /// Label of the place that it is in.
    pub place: String,
    /// Why nobody needs it.
    pub detail: String,
    pub freed: bool,
    /// Why it could not be freed.
    pub failure: Option<Failure>,
}

impl Sync {
    /// Finds what nobody needs, and frees the classes in `free`.
    pub fn collect_garbage(
        &self,
        free: Vec<GarbageClass>,
    ) -> impl Stream<Item = Result<Garbage, SyncError>> + Send + use<> {
        let (sender, mut items) = mpsc::channel(ITEMS);
        let sweep = Sweep { sync: self.clone(), free, items: sender };
        self.inner.tasks.spawn(async move {
            if let Err(Stopped::By(error)) = sweep.all().await {
                // Whoever does not listen any more need not know.
                drop(sweep.items.send(Err(error)).await);
            }
        });
        async_stream::stream! {
            while let Some(item) = items.recv().await {
                yield item;
            }
        }
    }
}

impl Sync {
    /// Takes away what was painted or handed over here and nothing names any more, once the time to have it back has passed.
    ///
    /// # Errors
    /// When the catalogue fails. What cannot be removed is tried again.
    pub(crate) async fn forget_unused_pictures(&self) -> Result<(), SyncError> {
        let parts = &self.inner.parts;
        let made_before = parts.clock.now().minus(self.settings().care.trash_for);
        for picture in parts.catalogue.unused_pictures(Timestamp::from_unix_ms(0), made_before).await? {
            match self.forget_picture(&picture).await {
                Ok(_) => {}
                Err(error @ SyncError::Store { .. }) => tracing::warn!(%error, "cannot take a picture away"),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The row first: bytes without a row can be found again, a row without bytes would promise something.
    async fn forget_picture(&self, picture: &UnusedPicture) -> Result<bool, SyncError> {
        let parts = &self.inner.parts;
        let path = parts.places.home().blob_path(&picture.sha256);
        let _naming = parts.places.naming.write().await;
        let forgotten = parts.catalogue.forget_picture(picture.id).await?;
        let first = picture.sha256.as_bytes()[0];
        if forgotten && !parts.catalogue.digests_on_record(first).await?.contains(&picture.sha256) {
            self.remove_blob_at(path).await?;
        }
        Ok(forgotten)
    }
}

struct Sweep {
    sync: Sync,
    free: Vec<GarbageClass>,
    items: mpsc::Sender<Result<Garbage, SyncError>>,
}

enum Stopped {
    /// Nobody listens any more.
    Unheard,
    By(SyncError),
}

impl<E: Into<SyncError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::By(error.into())
    }
}

impl Sweep {
    async fn all(&self) -> Result<(), Stopped> {
        self.sync.look_at_volumes().await?;
        self.trash().await?;
        for store in self.sync.inner.parts.places.present() {
            self.partials(&store).await?;
            self.quarantine(&store).await?;
            self.unrecorded(&store).await?;
        }
        self.pictures().await
    }

    fn frees(&self, class: GarbageClass) -> bool {
        self.free.contains(&class)
    }

    /// Tells of an item, and what came of freeing it, if that was tried.
    async fn tell(
        &self,
        class: GarbageClass,
        path: PathBuf,
        size_bytes: u64,
        detail: String,
        freed: Option<Result<bool, SyncError>>,
    ) -> Result<(), Stopped> {
        let place = self.sync.inner.parts.places.label_of(&path).unwrap_or_default();
        let (freed, failure) = match freed {
            None => (false, None),
            Some(Ok(freed)) => (freed, None),
            Some(Err(error @ SyncError::Catalogue(_))) => return Err(Stopped::By(error)),
            Some(Err(error)) => (false, Some(Failure::of(&error))),
        };
        let item = Garbage { class, path, size_bytes, place, detail, freed, failure };
        self.items.send(Ok(item)).await.map_err(|_| Stopped::Unheard)
    }

    async fn trash(&self) -> Result<(), Stopped> {
        let mut page_token = None;
        loop {
            let page = self.sync.removals(false, 500, page_token.as_deref()).await?;
            for removal in &page.removals {
                self.removal(removal).await?;
            }
            match page.next_page_token {
                Some(next) => page_token = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn removal(&self, removal: &RemovalRecord) -> Result<(), Stopped> {
        let has_expired = removal.expires_at <= self.sync.inner.parts.clock.now();
        let class = if has_expired { GarbageClass::ExpiredTrash } else { GarbageClass::Trash };
        let emptied = match self.frees(class) {
            true => Some(self.sync.empty(removal).await),
            false => None,
        };
        for RemovedPlace { path, size_bytes } in removal.places.iter().cloned() {
            let at = path.clone();
            // What is needed again stays, though the trash was emptied of it.
            let is_gone = blocking(move || !at.exists()).await?;
            let freed = match &emptied {
                None => None,
                Some(Ok(_)) => Some(Ok(is_gone)),
                Some(Err(error)) => {
                    self.tell_of_failure(class, path, size_bytes, removal, error).await?;
                    continue;
                }
            };
            let detail = match freed {
                Some(Ok(true)) => format!("removed with {}", removal.reference),
                _ => trashed(removal),
            };
            self.tell(class, path, size_bytes, detail, freed).await?;
        }
        match emptied {
            Some(Err(error @ SyncError::Catalogue(_))) => Err(Stopped::By(error)),
            _ => Ok(()),
        }
    }

    async fn tell_of_failure(
        &self,
        class: GarbageClass,
        path: PathBuf,
        size_bytes: u64,
        removal: &RemovalRecord,
        error: &SyncError,
    ) -> Result<(), Stopped> {
        let place = self.sync.inner.parts.places.label_of(&path).unwrap_or_default();
        let failure = Some(Failure::of(error));
        let item = Garbage { class, path, size_bytes, place, detail: trashed(removal), freed: false, failure };
        self.items.send(Ok(item)).await.map_err(|_| Stopped::Unheard)
    }

    /// Partials whose key is that of no download that has not ended.
    async fn partials(&self, store: &Store) -> Result<(), Stopped> {
        let listing = store.clone();
        let partials = blocking(move || listing.partials()).await?.map_err(|source| at(store.root(), source))?;
        let wanted = self.wanted_partials().await?;
        let is_garbage = |partial: &PartialInfo, wanted: &HashSet<String>| {
            partial.key.as_ref().is_none_or(|key| !wanted.contains(key))
        };
        for partial in partials.into_iter().filter(|partial| is_garbage(partial, &wanted)) {
            let freed = match self.frees(GarbageClass::Partial) {
                // Somebody may want it by now.
                true if !is_garbage(&partial, &self.wanted_partials().await?) => continue,
                true => {
                    let (store, partial) = (store.clone(), partial.clone());
                    Some(freeing(partial.path.clone(), move || store.remove_partial(&partial)).await?)
                }
                false => None,
            };
            let of = partial.total_bytes.map_or_else(String::new, |total| format!(" of {total} bytes"));
            let detail = format!("the beginning{of} of a file that no download goes on with");
            self.tell(GarbageClass::Partial, partial.path, partial.size_bytes, detail, freed).await?;
        }
        Ok(())
    }

    /// The keys of what is being fetched, or will be.
    async fn wanted_partials(&self) -> Result<HashSet<String>, SyncError> {
        let open = self.sync.inner.parts.catalogue.files_of_open_downloads().await?;
        Ok(open.iter().map(|file| partial_key(file.hub, file.sha256, file.git_sha1, &file.locator)).collect())
    }

    async fn quarantine(&self, store: &Store) -> Result<(), Stopped> {
        let listing = store.clone();
        let set_aside = blocking(move || listing.quarantined()).await?.map_err(|source| at(store.root(), source))?;
        for (key, Stored { path, size_bytes, .. }) in set_aside {
            let freed = match self.frees(GarbageClass::Quarantine) {
                true => {
                    let (store, path) = (store.clone(), path.clone());
                    Some(freeing(path.clone(), move || store.remove_quarantined(&path)).await?)
                }
                false => None,
            };
            let of = key.unwrap_or_else(|| "an unknown file".to_owned());
            let detail = format!("not the bytes that they should have been, of {of}");
            self.tell(GarbageClass::Quarantine, path, size_bytes, detail, freed).await?;
        }
        Ok(())
    }

    async fn unrecorded(&self, store: &Store) -> Result<(), Stopped> {
        let catalogue = &self.sync.inner.parts.catalogue;
        for first in 0..=u8::MAX {
            let listing = store.clone();
            let blobs = blocking(move || listing.blobs_beginning(first)).await?;
            let blobs = blobs.map_err(|source| at(store.root(), source))?;
            if blobs.is_empty() {
                continue;
            }
            let on_record = catalogue.digests_on_record(first).await?;
            for (sha256, blob) in blobs {
                if on_record.contains(&sha256) || self.is_new(blob.modified) {
                    continue;
                }
                let freed = match self.frees(GarbageClass::Unrecorded) {
                    true => {
                        let _naming = self.sync.inner.parts.places.naming.write().await;
                        match catalogue.digests_on_record(first).await?.contains(&sha256) {
                            true => Some(Ok(false)),
                            false => Some(self.sync.remove_blob_at(blob.path.clone()).await.map(|_| true)),
                        }
                    }
                    false => None,
                };
                let detail = match catalogue.is_listed(&sha256).await? {
                    true => "a file that a hub lists, but that is on record as nowhere; a pull takes it into use",
                    false => "a file that nothing is on record of",
                };
                self.tell(GarbageClass::Unrecorded, blob.path, blob.size_bytes, detail.to_owned(), freed).await?;
            }
        }
        Ok(())
    }

    async fn pictures(&self) -> Result<(), Stopped> {
        let parts = &self.sync.inner.parts;
        let now = parts.clock.now();
        let unused =
            parts.catalogue.unused_pictures(now.minus(TOO_NEW), now.minus(self.sync.settings().care.trash_for)).await?;
        for picture in unused {
            let path = parts.places.home().blob_path(&picture.sha256);
            let freed = match self.frees(GarbageClass::Picture) {
                true => Some(self.sync.forget_picture(&picture).await),
                false => None,
            };
            let detail = "a picture that no preview and no generation has any more".to_owned();
            self.tell(GarbageClass::Picture, path, picture.size_bytes, detail, freed).await?;
        }
        Ok(())
    }

    fn is_new(&self, modified: Option<SystemTime>) -> bool {
        let written = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let written_ms = written.and_then(|since| i64::try_from(since.as_millis()).ok());
        let too_new = self.sync.inner.parts.clock.now().minus(TOO_NEW).unix_ms();
        written_ms.is_none_or(|written| written > too_new)
    }
}

fn trashed(removal: &RemovalRecord) -> String {
    format!(
        "removed with {}; `paintbox rm --undo {}` takes it back until the trash is emptied",
        removal.reference, removal.id
    )
}

fn at(path: &Path, source: StoreError) -> SyncError {
    SyncError::Store { file: path.display().to_string(), source }
}

async fn freeing(
    path: PathBuf,
    work: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
) -> Result<Result<bool, SyncError>, SyncError> {
    Ok(blocking(work).await?.map(|()| true).map_err(|source| at(&path, source)))
}
