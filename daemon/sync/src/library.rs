//! Libraries: folders of models that people keep themselves, adopted where they are and never written to.
//!
//! ```text
//! walk (stat alone) ─► diff (pure) ─► inspect (headers of new files) ─► record ─► read to the end ─► ask the hubs
//! ```
//!
//! - `scan` does the first four for one library; `watch` has it done at the start, and for the folders in which something
//!   happened whenever something did.
//! - `pictures` makes thumbnails of what lies beside files, for the pages of these.
//! - `read` goes through the files that no digest is known of, in the background; `identify` asks the hubs about what
//!   was read.
//!
//! A file is known again by what the system says of it (`diff`), so that moving, renaming and linking cost nothing.

mod diff;
mod identify;
mod inspect;
mod pictures;
mod read;
mod repositories;
mod scan;
mod watch;

pub use scan::Scanned;

pub(crate) use read::ReadTo;

use crate::error::SyncError;
use crate::service::Sync;
use crate::settle::blocking;
use futures::Stream;
use paintbox_catalogue::{LibraryCounts, LibraryId, LibraryRecord};
use paintbox_store::library::Root;
use paintbox_store::library::layout::Layout;
use read::AT_REST_AFTER;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// When hubs that could not be asked are asked again.
const ASK_INTERVAL: Duration = Duration::from_secs(3600);
/// When it is looked what is due to be asked about, which is counted in days.
const LONGEST_REST: Duration = Duration::from_secs(6 * 3600);
/// States that wait for a slow listener; the newest counts.
const EVENTS: usize = 16;

/// What libraries share while the daemon runs.
#[derive(Debug, Default)]
pub(crate) struct Libraries {
    /// Held by whoever looks at a library.
    turn: tokio::sync::Mutex<()>,
    /// There may be files to read.
    unread: tokio::sync::Notify,
    /// Libraries were added or removed.
    changed: tokio::sync::Notify,
    /// What is on record may be old.
    pub(crate) stale: tokio::sync::Notify,
    /// How everything was walked last, by library.
    walked: Mutex<HashMap<LibraryId, LastWalk>>,
    /// Files that were opened to be read to their end.
    files_read: AtomicU64,
}

/// How all of a library was walked last: parts of it are walked alike or not at all.
#[derive(Debug, Clone)]
struct LastWalk {
    layout: Layout,
    roots: Vec<PathBuf>,
    has_links: bool,
}

impl Libraries {
    fn remember(&self, library: LibraryId, walk: LastWalk) {
        self.walked.lock().unwrap_or_else(PoisonError::into_inner).insert(library, walk);
    }

    fn last_walk(&self, library: LibraryId) -> Option<LastWalk> {
        self.walked.lock().unwrap_or_else(PoisonError::into_inner).get(&library).cloned()
    }
}

/// A library as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    pub record: LibraryRecord,
    pub counts: LibraryCounts,
}

/// Something that a look at libraries tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanEvent {
    Progress {
        library: LibraryId,
        scanned: Scanned,
    },
    /// A library was looked at; none: it is not there.
    Done {
        library: Library,
        scanned: Option<Scanned>,
    },
}

impl Sync {
    /// Looks at libraries at the start and whenever something happens in them, reads what was not read, and asks the hubs
    /// about it. Runs until shutdown.
    pub async fn keep_libraries(&self) {
        futures::join!(self.mind_libraries(), self.mind_unread_files());
    }

    async fn mind_unread_files(&self) {
        loop {
            let mut pause = LONGEST_REST;
            let read = async {
                self.read_library_pictures().await?;
                match self.read_library_files().await? {
                    ReadTo::TheEnd => {}
                    ReadTo::WhatRests => pause = AT_REST_AFTER,
                    ReadTo::Shutdown => return Ok(()),
                }
                self.identify_library_files().await
            };
            tokio::select! {
                read = read => if let Err(error) = read {
                    tracing::warn!(%error, "cannot find out about the files of libraries now");
                    pause = ASK_INTERVAL.min(pause);
                },
                () = self.inner.shutdown.cancelled() => return,
            }
            tokio::select! {
                () = self.inner.libraries.unread.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = self.inner.shutdown.cancelled() => return,
            }
        }
    }

    /// Every library, the oldest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn libraries(&self) -> Result<Vec<Library>, SyncError> {
        let mut found = Vec::new();
        for record in self.inner.parts.catalogue.libraries().await? {
            found.push(self.counted(record).await?);
        }
        Ok(found)
    }

    async fn library_as_it_is(&self, id: LibraryId) -> Result<Library, SyncError> {
        self.counted(self.inner.parts.catalogue.library(id).await?).await
    }

    async fn counted(&self, record: LibraryRecord) -> Result<Library, SyncError> {
        let counts = self.inner.parts.catalogue.library_counts(record.id).await?;
        Ok(Library { record, counts })
    }

    /// Takes a folder for a library. It is looked at by [`Self::scan_libraries`] and by itself.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a path that is not absolute; `LIBRARY_AWAY` when there is no such folder; `LIBRARY_EXISTS`
    /// when it is one, or lies in one or around one, or is Paintbox's own.
    pub async fn add_library(&self, path: &Path) -> Result<Library, SyncError> {
        let parts = &self.inner.parts;
        let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !path.is_absolute() || !is_plain {
            let problem = format!("{} is not an absolute path without detours", path.display());
            return Err(SyncError::Invalid { field: "path", problem });
        }
        let path: PathBuf = path.components().collect();
        let at = path.clone();
        let looked = blocking(move || Ok::<_, std::io::Error>((at.canonicalize()?, at.is_dir()))).await?;
        let Ok((real_path, true)) = looked else { return Err(SyncError::LibraryAway { path }) };
        let volumes = parts.catalogue.volumes().await?.into_iter().map(|volume| volume.path);
        let ours = volumes.chain([parts.places.home().root().to_owned()]);
        let theirs = parts.catalogue.libraries().await?.into_iter().map(|library| library.path);
        for (taken, whose) in
            ours.map(|path| (path, "Paintbox's own folder")).chain(theirs.map(|path| (path, "the library")))
        {
            let real = taken.canonicalize().unwrap_or_else(|_| taken.clone());
            let problem = match () {
                () if real == real_path => format!("is {whose} {}", taken.display()),
                () if real_path.starts_with(&real) => format!("lies in {whose} {}", taken.display()),
                () if real.starts_with(&real_path) => format!("has {whose} {} in it", taken.display()),
                () => continue,
            };
            return Err(SyncError::LibraryExists { path, problem: problem.clone() });
        }
        let at = path.clone();
        let root = blocking(move || Root::of(&at)).await?;
        let root = root.map_err(|_| SyncError::LibraryAway { path: path.clone() })?;
        let added = parts.catalogue.add_library(&path, Layout::Plain.as_str(), root.device, root.inode).await?;
        let problem = "became a library just now".to_owned();
        let id = added.ok_or_else(|| SyncError::LibraryExists { path: path.clone(), problem })?;
        tracing::info!(library = %path.display(), "a library was added");
        self.inner.libraries.changed.notify_one();
        self.library_as_it_is(id).await
    }

    /// Forgets a library and what is known of its files. The files themselves are not touched.
    ///
    /// # Errors
    /// `LIBRARY_NOT_FOUND`; when the catalogue cannot be written.
    pub async fn remove_library(&self, id: LibraryId) -> Result<(), SyncError> {
        let _turn = self.inner.libraries.turn.lock().await;
        let record = self.inner.parts.catalogue.library(id).await?;
        self.inner.parts.catalogue.delete_library(record.id).await?;
        tracing::info!(library = %record.path.display(), "a library was forgotten; its files stay");
        self.inner.libraries.changed.notify_one();
        Ok(())
    }

    /// Looks at libraries, all of them if none is named, and tells how far it is. What was found is on record at once;
    /// whoever stops listening does not stop it.
    ///
    /// # Errors
    /// `LIBRARY_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn scan_libraries(
        &self,
        ids: &[LibraryId],
    ) -> Result<impl Stream<Item = Result<ScanEvent, SyncError>> + Send + use<>, SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        let mut libraries = catalogue.libraries().await?;
        if !ids.is_empty() {
            libraries = Vec::new();
            for id in ids {
                libraries.push(catalogue.library(*id).await?);
            }
        }
        let (sender, mut events) = mpsc::channel(EVENTS);
        let sync = self.clone();
        self.inner.tasks.spawn(async move {
            for library in libraries {
                let id = library.id;
                // A listener who is slow misses states in between.
                let tell = |scanned| drop(sender.try_send(Ok(ScanEvent::Progress { library: id, scanned })));
                let scanned = sync.scan_library(&library, &tell).await;
                let event = match scanned {
                    Ok(scanned) => sync.library_as_it_is(id).await.map(|library| ScanEvent::Done { library, scanned }),
                    Err(error) => Err(error),
                };
                // Whoever does not listen any more need not know.
                drop(sender.send(event).await);
            }
        });
        Ok(async_stream::stream! {
            while let Some(event) = events.recv().await {
                yield event;
            }
        })
    }

    /// Files that were opened to be read to their end since the start.
    #[must_use]
    pub fn library_files_read(&self) -> u64 {
        self.inner.libraries.files_read.load(Ordering::Relaxed)
    }
}
