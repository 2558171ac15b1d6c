//! Notices what people do in their libraries while the daemon runs. The system tells that something happened in a
//! folder; a look at that folder then finds out what. A system that tells too much at once, or nothing at all, is made up
//! for by a look at everything.

use crate::service::Sync;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use paintbox_catalogue::{LibraryId, LibraryRecord};
use paintbox_store::library::Parts;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A library is looked at when nothing happened in it for this long, so that a copy of a thousand files is one look …
const QUIET: Duration = Duration::from_secs(1);
/// … but after this long in any case.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often it is looked whether the libraries' folders are there.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// How often libraries are looked at that the system does not watch.
const UNWATCHED_INTERVAL: Duration = Duration::from_secs(900);
/// With more parts than this, looking at everything is less work.
const MOST_PARTS: usize = 1000;

/// What the system told.
enum Told {
    Changed(Vec<PathBuf>),
    /// It may have left something out.
    Missed,
}

impl Sync {
    /// Looks at every library, and again whenever something happened in one. Runs until shutdown.
    pub(crate) async fn mind_libraries(&self) {
        let (sender, mut told) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let told = match event {
                Ok(event) if event.need_rescan() => Told::Missed,
                Ok(event) if changes_something(event.kind) => Told::Changed(event.paths),
                Ok(_) => return,
                Err(_) => Told::Missed,
            };
            // A closed channel means that nobody watches any more.
            drop(sender.send(told));
        });
        let mut watched = Watched { watcher: watcher.ok(), roots: BTreeMap::new() };
        let mut due: BTreeMap<LibraryId, Due> = BTreeMap::new();
        let mut is_first = true;
        let mut libraries = Vec::new();
        // Whether a folder is there, the folder tells: the catalogue is only asked when something happened.
        let mut are_known = false;
        loop {
            if !are_known {
                are_known = self.read_libraries(&mut libraries).await;
            }
            let now = Instant::now();
            let came = watched.watch_only(&libraries, now);
            let new = libraries.iter().filter(|library| is_first || came.contains(&library.id));
            new.for_each(|library| drop(due.insert(library.id, Due::everything(now))));
            for (id, at) in watched.unwatched() {
                due.entry(id).or_insert_with(|| Due::everything(at));
            }
            is_first = false;
            // A look begins with what the last one left on record.
            if due.values().any(|due| due.at <= now) {
                are_known = self.read_libraries(&mut libraries).await;
            }
            for library in &libraries {
                if due.get(&library.id).is_some_and(|due| due.at <= now)
                    && let Some(due) = due.remove(&library.id)
                {
                    self.look_at_library(library, due.what).await;
                    watched.looked_at(library.id, Instant::now());
                }
            }
            let next = due.values().map(|due| due.at).min();
            let look = Instant::now() + LOOK_INTERVAL;
            let may_rest = libraries.is_empty() && are_known;
            tokio::select! {
                first = told.recv() => match first {
                    Some(first) => {
                        watched.put_off(&libraries, first, &mut due);
                        // A copy of a thousand files tells a thousand times, and once is enough to ask what libraries there are.
                        while let Ok(more) = told.try_recv() {
                            watched.put_off(&libraries, more, &mut due);
                        }
                    }
                    None => return,
                },
                () = tokio::time::sleep_until(next.map_or(look, |next| next.min(look))), if !may_rest => {}
                () = self.inner.libraries.stale.notified() => {
                    let now = Instant::now();
                    libraries.iter().for_each(|library| drop(due.insert(library.id, Due::everything(now + QUIET))));
                }
                () = self.inner.libraries.changed.notified() => are_known = false,
                () = self.inner.shutdown.cancelled() => return,
            }
        }
    }

    /// Leaves the list as it is, and says so by false, when it cannot be read.
    async fn read_libraries(&self, libraries: &mut Vec<LibraryRecord>) -> bool {
        match self.inner.parts.catalogue.libraries().await {
            Ok(found) => *libraries = found,
            Err(error) => {
                tracing::error!(%error, "cannot read the libraries");
                return false;
            }
        }
        true
    }

    async fn look_at_library(&self, library: &LibraryRecord, what: What) {
        let looked = match what {
            What::Everything => self.scan_library(library, &|_| {}).await,
            What::Parts(parts) => self.scan_parts(library, parts, &|_| {}).await,
        };
        match looked {
            Ok(Some(scanned)) if scanned.arrived + scanned.gone > 0 => tracing::info!(
                library = %library.path.display(),
                arrived = scanned.arrived,
                known_again = scanned.known_again,
                gone = scanned.gone,
                "looked at a library"
            ),
            Ok(_) => {}
            Err(error) => tracing::error!(library = %library.path.display(), %error, "cannot look at a library"),
        }
    }
}

/// Opening and reading, which is what we do ourselves, change nothing.
fn changes_something(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

/// When a library is to be looked at, and when at the latest.
#[derive(Debug, Clone)]
struct Due {
    at: Instant,
    latest: Instant,
    what: What,
}

impl Due {
    fn everything(at: Instant) -> Self {
        Self { at, latest: at, what: What::Everything }
    }
}

/// What is to be looked at of a library.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Everything,
    Parts(Parts),
}

impl What {
    fn add(&mut self, root: &Path, path: &Path) {
        let Self::Parts(parts) = self else { return };
        parts.add(root, path);
        // What happened to the folder itself may have happened to all of it.
        if path.parent().is_none() || parts.count() > MOST_PARTS {
            *self = Self::Everything;
        }
    }
}

#[derive(Debug)]
struct Root {
    path: PathBuf,
    /// As the system names it.
    real_path: PathBuf,
    is_there: bool,
    is_watched: bool,
    looked_at: Instant,
}

/// The folders that are watched.
struct Watched {
    watcher: Option<RecommendedWatcher>,
    roots: BTreeMap<LibraryId, Root>,
}

impl Watched {
    /// Watches exactly these; which of them came, or came back, or went.
    fn watch_only(&mut self, libraries: &[LibraryRecord], now: Instant) -> BTreeSet<LibraryId> {
        let stays = |id: &LibraryId| libraries.iter().any(|library| library.id == *id);
        let (kept, dropped): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.roots).into_iter().partition(|(id, _)| stays(id));
        self.roots = kept;
        for root in dropped.values() {
            self.unwatch(root);
        }
        let mut came = BTreeSet::new();
        for library in libraries {
            let is_there = library.path.is_dir();
            let known = self.roots.get(&library.id).map(|root| root.is_there);
            if known == Some(is_there) {
                continue;
            }
            came.insert(library.id);
            if let Some(gone) = self.roots.remove(&library.id) {
                self.unwatch(&gone);
            }
            let is_watched = is_there && self.watch(library);
            let real_path = library.path.canonicalize().unwrap_or_else(|_| library.path.clone());
            let root = Root { path: library.path.clone(), real_path, is_there, is_watched, looked_at: now };
            self.roots.insert(library.id, root);
        }
        came
    }

    fn watch(&mut self, library: &LibraryRecord) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        match watcher.watch(&library.path, RecursiveMode::Recursive) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(library = %library.path.display(), %error, "cannot watch it; it is looked at now and then");
                false
            }
        }
    }

    fn unwatch(&mut self, root: &Root) {
        if let Some(watcher) = self.watcher.as_mut().filter(|_| root.is_watched) {
            // Of a disk that is gone there is nothing left to watch, which may be what it says.
            drop(watcher.unwatch(&root.path));
        }
    }

    /// Libraries that the system does not watch, and when they are to be looked at.
    fn unwatched(&self) -> Vec<(LibraryId, Instant)> {
        let unwatched = self.roots.iter().filter(|(_, root)| root.is_there && !root.is_watched);
        unwatched.map(|(id, root)| (*id, root.looked_at + UNWATCHED_INTERVAL)).collect()
    }

    fn looked_at(&mut self, id: LibraryId, now: Instant) {
        if let Some(root) = self.roots.get_mut(&id) {
            root.looked_at = now;
        }
    }

    /// Something happened: the library is looked at once it is quiet.
    fn put_off(&self, libraries: &[LibraryRecord], told: Told, due: &mut BTreeMap<LibraryId, Due>) {
        match told {
            Told::Missed => libraries.iter().for_each(|library| *put_off(due, library.id) = What::Everything),
            Told::Changed(paths) => {
                for (id, root) in &self.roots {
                    let below = |path: &PathBuf| {
                        let relative = path.strip_prefix(&root.path).or_else(|_| path.strip_prefix(&root.real_path));
                        relative.ok().map(Path::to_owned)
                    };
                    paths.iter().filter_map(below).for_each(|path| put_off(due, *id).add(&root.path, &path));
                }
            }
        }
    }
}

/// The library is looked at once it is quiet; at what, is to be added.
fn put_off(due: &mut BTreeMap<LibraryId, Due>, id: LibraryId) -> &mut What {
    let now = Instant::now();
    let nothing = || Due { at: now, latest: now + LONGEST_WAIT, what: What::Parts(Parts::default()) };
    let due = due.entry(id).or_insert_with(nothing);
    due.at = (now + QUIET).min(due.latest);
    &mut due.what
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_tells_which_folders_are_to_be_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("loras/new")).unwrap();
        std::fs::write(root.join("loras/a.safetensors"), "a").unwrap();
        let mut what = What::Parts(Parts::default());
        for path in ["loras/a.safetensors", "loras/a.safetensors", "loras/new", "vae/gone.safetensors"] {
            what.add(root, Path::new(path));
        }
        let set = |names: &[&str]| names.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
        // What is not there any more may have been a folder.
        let parts = Parts { folders: set(&["loras", "vae"]), trees: set(&["loras/new", "vae/gone.safetensors"]) };
        assert_eq!(what, What::Parts(parts.clone()));
        let mut root_itself = what.clone();
        root_itself.add(root, Path::new(""));
        assert_eq!(root_itself, What::Everything);
        for number in 0..=MOST_PARTS {
            what.add(root, Path::new(&format!("{number}/x.safetensors")));
        }
        assert_eq!(what, What::Everything);
        what.add(root, Path::new("loras/a.safetensors"));
        assert_eq!(what, What::Everything, "it stays so until it was looked at");
    }
}
