//! A look at a library: walked, compared with what is on record, and what is otherwise put on record.
//!
//! The walk opens no file. Only the headers of files that were not seen before are read, and a few bytes of those in
//! doubt. New names come before names that are gone, so that a file which moved always has one.

use super::LastWalk;
use super::diff::{Arrival, Arrived, Difference, Known, Pairs, difference};
use super::inspect::{Source, inspect_all, sample_of};
use crate::error::SyncError;
use crate::service::Sync;
use crate::settle::blocking;
use paintbox_catalogue::{
    InspectedFile, LibraryChanges, LibraryFileId, LibraryPath, LibraryRecord, Placed, PlacedPath,
};
use paintbox_domain::FileLook;
use paintbox_store::StoreError;
use paintbox_store::library::layout::Layout;
use paintbox_store::library::{Parts, Root, SeenFile, Walked, walk, walk_parts};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc::channel;

/// Names that are put on record at once. Every lot costs a commit, and holds the writer for some two hundred milliseconds.
const NAMES_AT_ONCE: usize = 2_000;
/// Lots whose headers were read and that wait to be put on record, each some 4 MB.
const LOTS_AHEAD: usize = 2;

/// How far a look at a library is, and what it found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Names of files that may hold models.
    pub seen: u64,
    /// Names whose file is another one than on record, or that are new.
    pub arrived: u64,
    /// Of those, the names of files that were known before, under another name or none.
    pub known_again: u64,
    /// Names that are no more.
    pub gone: u64,
    /// Of `arrived`, those that are on record by now.
    pub recorded: u64,
    /// Files whose headers were read.
    pub inspected: u64,
}

impl Sync {
    /// Looks at a library. None when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be read or the catalogue fails.
    pub(crate) async fn scan_library(
        &self,
        library: &LibraryRecord,
        tell: &(dyn Fn(Scanned) + Send + std::marker::Sync),
    ) -> Result<Option<Scanned>, SyncError> {
        let _turn = self.inner.libraries.turn.lock().await;
        self.scan_everything(library, tell).await
    }

    /// Looks at parts of a library, or at all of it where they alone do not tell. None when it is not there.
    ///
    /// # Errors
    /// As [`Self::scan_library`].
    pub(crate) async fn scan_parts(
        &self,
        library: &LibraryRecord,
        parts: Parts,
        tell: &(dyn Fn(Scanned) + Send + std::marker::Sync),
    ) -> Result<Option<Scanned>, SyncError> {
        let _turn = self.inner.libraries.turn.lock().await;
        match self.scan_parts_alone(library, parts, tell).await? {
            Some(scanned) => Ok(Some(scanned)),
            None => self.scan_everything(library, tell).await,
        }
    }

    async fn scan_everything(
        &self,
        library: &LibraryRecord,
        tell: &(dyn Fn(Scanned) + Send + std::marker::Sync),
    ) -> Result<Option<Scanned>, SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        let root = library.path.clone();
        let walking = blocking(move || {
            let looked = Root::of(&root)?;
            let layout = Layout::of(&root);
            let roots = layout.roots(&root);
            let walked = walk(&root, layout)?;
            Ok::<_, StoreError>((looked, LastWalk { layout, roots, has_links: walked.has_links }, walked))
        });
        let (walked, known) = futures::join!(walking, catalogue.library_paths(library.id));
        let known = known?;
        let (root, last, walked) = match walked? {
            Ok((root, layout, walked)) if !is_empty_mount_point(library, root, &walked, !known.is_empty()) => {
                (root, layout, walked)
            }
            Ok(_) => return self.library_is_away(library).await,
            Err(error) => {
                tracing::info!(library = %library.path.display(), %error, "the library is not there");
                return self.library_is_away(library).await;
            }
        };
        catalogue.set_library_away(library.id, false).await?;
        let layout = last.layout;
        self.inner.libraries.remember(library.id, last);
        let scanned = self.record_walk(library, layout, &known, walked, tell).await?;
        catalogue.record_walked(library.id, layout.as_str(), root.device, root.inode).await?;
        Ok(Some(scanned))
    }

    /// None where only a look at everything tells.
    async fn scan_parts_alone(
        &self,
        library: &LibraryRecord,
        parts: Parts,
        tell: &(dyn Fn(Scanned) + Send + std::marker::Sync),
    ) -> Result<Option<Scanned>, SyncError> {
        // What happens behind a link is told where it leads to.
        let last = self.inner.libraries.last_walk(library.id).filter(|last| !last.has_links);
        let Some(last) = last.filter(|_| library.away_since.is_none()) else { return Ok(None) };
        let (root, folder) = (library.path.clone(), (library.device, library.inode));
        let layout = last.layout;
        let walking = blocking(move || {
            let looked = Root::of(&root).ok()?;
            let is_as_it_was = (looked.device, looked.inode) == folder
                && Layout::of(&root) == last.layout
                && last.layout.roots(&root) == last.roots;
            // What cannot be read is a matter for a look at everything.
            let walked = if is_as_it_was { walk_parts(&root, last.layout, &parts).ok()? } else { None };
            walked.map(|walked| (walked, parts))
        });
        let (walked, known) = futures::join!(walking, self.inner.parts.catalogue.library_paths(library.id));
        let (Some((walked, parts)), known) = (walked?, known?) else { return Ok(None) };
        let (inside, outside): (Vec<LibraryPath>, Vec<LibraryPath>) =
            known.into_iter().partition(|known| parts.holds(&known.path));
        // A file that was written to under one of its names is another one under all of them.
        let elsewhere: HashSet<LibraryFileId> = outside.iter().map(|known| known.file).collect();
        let looks: HashMap<&Path, &FileLook> =
            walked.files.iter().map(|file| (file.path.as_path(), &file.look)).collect();
        let is_another =
            |known: &&LibraryPath| looks.get(known.path.as_path()).is_some_and(|look| **look != known.look);
        if inside.iter().filter(is_another).any(|known| elsewhere.contains(&known.file)) {
            return Ok(None);
        }
        drop(looks);
        self.record_walk(library, layout, &inside, walked, tell).await.map(Some)
    }

    /// Puts on record what a walk found to be otherwise than `known`, which is what is on record of where it went.
    async fn record_walk(
        &self,
        library: &LibraryRecord,
        layout: Layout,
        known: &[LibraryPath],
        walked: Walked,
        tell: &(dyn Fn(Scanned) + Send + std::marker::Sync),
    ) -> Result<Scanned, SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        let pairs = Pairs::new(known, &walked);
        let like = Known::new(catalogue.library_files_like(&pairs.unfamiliar(&walked)).await?);
        let found = difference(&pairs, &walked, &like);
        let mut scanned = Scanned {
            seen: walked.files.len() as u64,
            arrived: found.arrivals.len() as u64,
            gone: found.gone.len() as u64,
            ..Scanned::default()
        };
        tell(scanned);
        let source = Arc::new(Source { root: library.path.clone(), layout, siblings: walked.siblings });
        let look = Look { library, source: &source, tell };
        let is_described = !found.described.is_empty();
        self.record_difference(&look, found, &mut scanned).await?;
        if scanned.arrived > 0 || is_described {
            self.inner.libraries.unread.notify_one();
        }
        Ok(scanned)
    }

    async fn library_is_away(&self, library: &LibraryRecord) -> Result<Option<Scanned>, SyncError> {
        if self.inner.parts.catalogue.set_library_away(library.id, true).await? {
            tracing::warn!(library = %library.path.display(), "the library went away; what is known of it stays");
        }
        Ok(None)
    }

    async fn record_difference(
        &self,
        look: &Look<'_>,
        found: Difference,
        scanned: &mut Scanned,
    ) -> Result<(), SyncError> {
        let Look { library, tell, .. } = *look;
        let catalogue = &self.inner.parts.catalogue;
        let (arrivals, mut looks) = self.without_doubt(library, found.arrivals).await?;
        looks.extend(found.looks);
        for looks in looks.chunks(NAMES_AT_ONCE) {
            let changes = LibraryChanges { looks: looks.to_vec(), ..LibraryChanges::default() };
            catalogue.record_library_changes(library, &changes).await?;
        }
        let (again, new): (Vec<Arrival>, Vec<Arrival>) =
            arrivals.into_iter().partition(|arrival| matches!(arrival.file, Arrived::Known(_)));
        scanned.known_again = again.len() as u64;
        for again in again.chunks(NAMES_AT_ONCE) {
            let placed = again.iter().filter_map(|arrival| match arrival.file {
                Arrived::Known(file) => Some(placed(arrival, Placed::Known(file))),
                Arrived::Doubtful(_) | Arrived::New => None,
            });
            let changes = LibraryChanges { placed: placed.collect(), ..LibraryChanges::default() };
            catalogue.record_library_changes(library, &changes).await?;
            scanned.recorded += again.len() as u64;
            tell(*scanned);
        }
        self.record_new_files(look, &new, scanned).await?;
        self.record_notes(look, &found.described).await?;
        for gone in found.gone.chunks(NAMES_AT_ONCE) {
            let changes = LibraryChanges { gone: gone.to_vec(), ..LibraryChanges::default() };
            catalogue.record_library_changes(library, &changes).await?;
        }
        Ok(())
    }

    /// Names of one file stay together, so that it is looked into once. While lots are put on record, the headers of the
    /// next are read.
    async fn record_new_files(&self, look: &Look<'_>, new: &[Arrival], scanned: &mut Scanned) -> Result<(), SyncError> {
        let mut order: Vec<&Arrival> = new.iter().collect();
        order.sort_by_key(|arrival| (arrival.look, arrival.path.as_os_str()));
        let by_file: Vec<&[&Arrival]> = order.chunk_by(|left, right| left.look == right.look).collect();
        let (inspected, mut lots) = channel(LOTS_AHEAD);
        let inspecting = async move {
            for files in by_file.chunks(NAMES_AT_ONCE) {
                let first_names: Vec<(PathBuf, FileLook)> =
                    files.iter().map(|names| (names[0].path.clone(), names[0].look)).collect();
                let source = Arc::clone(look.source);
                let new_files: Vec<InspectedFile> = blocking(move || inspect_all(&source, &first_names)).await?;
                let names = (0..).zip(files);
                let names = names.flat_map(|(at, names)| names.iter().map(move |name| placed(name, Placed::New(at))));
                let changes = LibraryChanges { placed: names.collect(), new_files, ..LibraryChanges::default() };
                if inspected.send(changes).await.is_err() {
                    break;
                }
            }
            Ok::<(), SyncError>(())
        };
        let recording = async {
            while let Some(changes) = lots.recv().await {
                self.inner.parts.catalogue.record_library_changes(look.library, &changes).await?;
                scanned.inspected += changes.new_files.len() as u64;
                scanned.recorded += changes.placed.len() as u64;
                (look.tell)(*scanned);
            }
            Ok(())
        };
        futures::try_join!(inspecting, recording).map(drop)
    }

    /// Files whose notes changed are described anew.
    async fn record_notes(&self, look: &Look<'_>, described: &[(LibraryFileId, SeenFile)]) -> Result<(), SyncError> {
        for lot in described.chunks(NAMES_AT_ONCE) {
            let files: Vec<(PathBuf, FileLook)> = lot.iter().map(|(_, seen)| (seen.path.clone(), seen.look)).collect();
            let source = Arc::clone(look.source);
            let inspected = blocking(move || inspect_all(&source, &files)).await?;
            let described = lot.iter().zip(inspected);
            let described = described.map(|((file, seen), now)| (*file, seen.path.clone(), seen.beside, now.page));
            let changes = LibraryChanges { described: described.collect(), ..LibraryChanges::default() };
            self.inner.parts.catalogue.record_library_changes(look.library, &changes).await?;
        }
        Ok(())
    }

    /// Decides doubts by a few bytes of the files; what they are known by now comes with it.
    async fn without_doubt(
        &self,
        library: &LibraryRecord,
        mut arrivals: Vec<Arrival>,
    ) -> Result<(Vec<Arrival>, Vec<(LibraryFileId, FileLook)>), SyncError> {
        let mut looks: HashMap<LibraryFileId, FileLook> = HashMap::new();
        let mut refuted: HashSet<(LibraryFileId, FileLook)> = HashSet::new();
        for arrival in &mut arrivals {
            let Arrived::Doubtful(file) = arrival.file else { continue };
            // A file that has another number by now has that one only.
            let is_settled = looks.get(&file).map(|look| *look == arrival.look);
            let is_same = match is_settled {
                Some(is_same) => is_same,
                None if refuted.contains(&(file, arrival.look)) => false,
                None => {
                    let (path, look) = (library.path.join(&arrival.path), arrival.look);
                    let now = blocking(move || sample_of(&path, &look)).await?;
                    let before = self.inner.parts.catalogue.library_sample(file).await?;
                    before.is_some() && before == now
                }
            };
            if is_same {
                looks.insert(file, arrival.look);
                arrival.file = Arrived::Known(file);
            } else {
                refuted.insert((file, arrival.look));
                arrival.file = Arrived::New;
            }
        }
        Ok((arrivals, looks.into_iter().collect()))
    }
}

/// What one look at a library is about.
#[derive(Clone, Copy)]
struct Look<'a> {
    library: &'a LibraryRecord,
    source: &'a Arc<Source>,
    tell: &'a (dyn Fn(Scanned) + Send + std::marker::Sync),
}

fn placed(arrival: &Arrival, file: Placed) -> PlacedPath {
    PlacedPath { path: arrival.path.clone(), file, beside: arrival.beside }
}

/// Where a disk was taken away an empty folder stays behind, which is another one than the library.
fn is_empty_mount_point(library: &LibraryRecord, root: Root, walked: &Walked, had_files: bool) -> bool {
    had_files
        && walked.files.is_empty()
        && walked.unreadable.is_empty()
        && (root.device, root.inode) != (library.device, library.inode)
}
