//! The places where files lie: the home's own store, and volumes on other disks that may come and go. Which of them a
//! file goes to is decided by its model's kind.

use paintbox_catalogue::{VolumeId, VolumeRecord};
use paintbox_domain::{ModelKind, Sha256};
use paintbox_store::{Partial, PartialKey, Store, StoreError, is_volume};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Every place. Clones share what is known of them. What looks at a disk blocks.
#[derive(Debug, Clone)]
pub struct Places {
    home: Store,
    volumes: Arc<RwLock<Vec<Mounted>>>,
    leaves_out: Arc<AtomicBool>,
    /// Shared by whoever gives bytes their name and puts them on record; alone by whoever takes named bytes away, so that
    /// bytes do not go between the two.
    pub(crate) naming: Arc<tokio::sync::RwLock<()>>,
}

/// A volume as it was last seen.
#[derive(Debug, Clone)]
struct Mounted {
    record: VolumeRecord,
    /// None while it is away.
    store: Option<Store>,
}

/// Where the files of each kind go, and how much room is there. The default: all to one place with room for everything.
#[derive(Debug, Clone, Default)]
pub struct Destinations {
    /// Bytes that each place still takes; none: no matter.
    rooms: Vec<Option<u64>>,
    /// Indexes of `rooms`, or the label of the volume that is away.
    by_kind: HashMap<ModelKind, Result<usize, String>>,
}

impl Destinations {
    #[cfg(test)]
    pub(crate) fn one_with_room(bytes: Option<u64>) -> Self {
        Self { rooms: vec![bytes], by_kind: HashMap::new() }
    }

    /// Says that what goes to a kind's place has to wait for a volume.
    #[cfg(test)]
    pub(crate) fn away(mut self, kind: ModelKind, label: &str) -> Self {
        self.by_kind.insert(kind, Err(label.to_owned()));
        self
    }

    /// What the place for `kind` still takes; none: no matter.
    pub(crate) fn room(&self, kind: ModelKind) -> Option<u64> {
        self.index(kind).and_then(|index| self.rooms.get(index).copied().flatten())
    }

    /// Takes room for a file that is to go there.
    pub(crate) fn take(&mut self, kind: ModelKind, bytes: u64) {
        if let Some(room) = self.index(kind).and_then(|index| self.rooms.get_mut(index)) {
            *room = room.map(|room| room.saturating_sub(bytes));
        }
    }

    /// The volume that files of `kind` have to wait for.
    pub(crate) fn awaited(&self, kind: ModelKind) -> Option<&str> {
        self.by_kind.get(&kind).and_then(|place| place.as_ref().err()).map(String::as_str)
    }

    fn index(&self, kind: ModelKind) -> Option<usize> {
        self.by_kind.get(&kind).map_or(Some(0), |place| place.as_ref().ok().copied())
    }
}

impl Places {
    /// The home's own store alone.
    #[must_use]
    pub fn of(home: Store) -> Self {
        Self { home, volumes: Arc::default(), leaves_out: Arc::default(), naming: Arc::default() }
    }

    /// The home's own store, where pictures are too.
    #[must_use]
    pub fn home(&self) -> &Store {
        &self.home
    }

    /// Has downloads leave so many bytes free from now on, but on volumes with a rule of their own.
    pub(crate) fn keep_free(&self, bytes: u64) {
        self.home.keep_free(bytes);
        let without_rule = |mounted: &Mounted| mounted.record.rules.keep_free_bytes.is_none();
        let volumes = self.volumes().into_iter().filter(without_rule).filter_map(|mounted| mounted.store);
        volumes.for_each(|store| store.keep_free(bytes));
    }

    /// Says whether the system's backups leave out what can be fetched again.
    pub(crate) fn set_leave_out_of_backups(&self, leaves_out: bool) {
        self.leaves_out.store(leaves_out, Ordering::Relaxed);
    }

    pub(crate) fn leave_out_of_backups(&self) -> bool {
        self.leaves_out.load(Ordering::Relaxed)
    }

    fn volumes(&self) -> Vec<Mounted> {
        self.volumes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn has_volumes(&self) -> bool {
        !self.volumes.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Looks which of `records` are there, and takes them for all the volumes there are.
    pub(crate) fn mount(&self, records: &[VolumeRecord]) -> Vec<(VolumeId, bool)> {
        let mut before: HashMap<VolumeId, Mounted> =
            self.volumes().into_iter().map(|mounted| (mounted.record.id, mounted)).collect();
        let mut mounted = Vec::with_capacity(records.len());
        for record in records {
            let known = before.remove(&record.id).filter(|known| {
                let same = |known: &VolumeRecord| (known.path.clone(), known.rules.keep_free_bytes);
                same(&known.record) == same(record)
            });
            let store = match known.and_then(|known| known.store) {
                Some(store) if is_volume(&record.path, &record.uid) => Some(store),
                _ => self.open(record),
            };
            mounted.push(Mounted { record: record.clone(), store });
        }
        let seen = mounted.iter().map(|volume| (volume.record.id, volume.store.is_some())).collect();
        *self.volumes.write().unwrap_or_else(PoisonError::into_inner) = mounted;
        seen
    }

    fn open(&self, record: &VolumeRecord) -> Option<Store> {
        let kept_free = record.rules.keep_free_bytes.unwrap_or(self.home.kept_free_bytes());
        // Whatever was being written when its disk went away is of no use, and nobody is writing yet.
        let opened = Store::open_volume(&record.path, &record.uid);
        match opened.and_then(|store| store.sweep_incoming().map(|_| store)) {
            Ok(store) => Some(store.keeping_free(kept_free)),
            Err(StoreError::VolumeAway { .. }) => None,
            Err(error) => {
                tracing::warn!(volume = record.label, %error, "a volume is there but cannot be used");
                None
            }
        }
    }

    /// The stores that are there, the home's own first.
    pub(crate) fn present(&self) -> Vec<Store> {
        let volumes = self.volumes().into_iter().filter_map(|volume| volume.store);
        [self.home.clone()].into_iter().chain(volumes).collect()
    }

    /// The store of a volume, while it is there.
    pub(crate) fn store(&self, volume: VolumeId) -> Option<Store> {
        self.volumes().into_iter().find(|mounted| mounted.record.id == volume)?.store
    }

    /// The store that a path is in, if it is in one of ours and that is there.
    pub(crate) fn store_of(&self, path: &Path) -> Option<Store> {
        self.present().into_iter().rev().find(|store| path.starts_with(store.root()))
    }

    /// The store of ours whose blob lies at a path under this digest.
    pub(crate) fn holder_at(&self, path: &Path, sha256: &Sha256) -> Option<Store> {
        self.store_of(path).filter(|store| store.blob_path(sha256) == path)
    }

    /// The name of the place that a path is in; none outside of ours.
    pub(crate) fn label_of(&self, path: &Path) -> Option<String> {
        let on_volume = self.volumes().into_iter().find(|volume| path.starts_with(&volume.record.path));
        let home = || path.starts_with(self.home.root()).then(|| HOME_LABEL.to_owned());
        on_volume.map(|volume| volume.record.label).or_else(home)
    }

    /// Whether a path is on a volume that is not there now, whatever was last seen of it.
    pub(crate) fn is_away(&self, path: &Path) -> bool {
        let on_it = |volume: &&Mounted| path.starts_with(&volume.record.path);
        self.volumes().iter().find(on_it).is_some_and(|volume| !is_volume(&volume.record.path, &volume.record.uid))
    }

    /// The stores that have a blob.
    pub(crate) fn holders(&self, sha256: &Sha256) -> Vec<Store> {
        self.present().into_iter().filter(|store| store.has_blob(sha256).is_some()).collect()
    }

    /// The volumes that files of `kind` belong on; none of them means the home's own store.
    fn named_for(&self, kind: ModelKind) -> Vec<Mounted> {
        let mut volumes = self.volumes();
        let by_kind = volumes.iter().any(|volume| volume.record.rules.kinds.contains(&kind));
        volumes.retain(|volume| match by_kind {
            true => volume.record.rules.kinds.contains(&kind),
            false => volume.record.rules.everything_else,
        });
        volumes
    }

    /// Where a new file of `kind` goes: of several places the one with the most room; or the label of the volume that has
    /// to come back first. Another disk is not filled in its stead.
    pub(crate) fn destination(&self, kind: ModelKind) -> Result<Store, String> {
        let named = self.named_for(kind);
        let Some(first) = named.first() else { return Ok(self.home.clone()) };
        let label = first.record.label.clone();
        let there = named.into_iter().filter_map(|volume| volume.store);
        there.max_by_key(|store| store.room_bytes().unwrap_or(0)).ok_or(label)
    }

    /// Kinds whose files have no place to go to now.
    pub(crate) fn awaited_kinds(&self) -> Vec<ModelKind> {
        if !self.has_volumes() {
            return Vec::new();
        }
        let is_awaited = |kind: &ModelKind| {
            let named = self.named_for(*kind);
            !named.is_empty() && named.iter().all(|volume| volume.store.is_none())
        };
        ModelKind::ALL.iter().copied().filter(is_awaited).collect()
    }

    /// Where the files of `kinds` go now.
    pub(crate) fn destinations(&self, kinds: impl IntoIterator<Item = ModelKind>) -> Destinations {
        let mut found = Destinations::default();
        let mut roots = Vec::new();
        for kind in kinds {
            if found.by_kind.contains_key(&kind) {
                continue;
            }
            let place = self.destination(kind).map(|store| {
                let known = roots.iter().position(|root| root == store.root());
                known.unwrap_or_else(|| {
                    roots.push(store.root().to_owned());
                    found.rooms.push(store.room_bytes().ok());
                    roots.len() - 1
                })
            });
            found.by_kind.insert(kind, place);
        }
        found
    }

    /// The partial of `key`, wherever it was begun, or else where a new file of `kind` goes. Bytes of the digest `listed`
    /// that were set aside become it. The label of the volume that it has to wait for, if there is none.
    pub(crate) fn partial(
        &self,
        key: &PartialKey,
        listed: Option<&Sha256>,
        kind: ModelKind,
    ) -> Result<Result<Partial, StoreError>, String> {
        let is_begun = |store: &Store| {
            let reclaimed = listed.map_or(Ok(false), |listed| store.reclaim(key, listed));
            reclaimed.unwrap_or_else(|error| {
                // A disk that cannot be written to is no reason not to use another one.
                tracing::debug!(place = %store.root().display(), %error, "cannot take back what was set aside");
                false
            }) || store.has_partial(key)
        };
        let store = match self.present().into_iter().find(is_begun) {
            Some(store) => store,
            None => self.destination(kind)?,
        };
        Ok(store.partial(key))
    }
}

/// What the home's own store is called among volumes.
pub(crate) const HOME_LABEL: &str = "home";

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_catalogue::VolumeRules;
    use paintbox_domain::Timestamp;
    use std::path::PathBuf;

    struct Disks {
        folder: tempfile::TempDir,
        places: Places,
        records: Vec<VolumeRecord>,
    }

    impl Disks {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let home = Store::open(&folder.path().join("home")).unwrap();
            Self { folder, places: Places::of(home), records: Vec::new() }
        }

        fn path(&self, label: &str) -> PathBuf {
            self.folder.path().join(label)
        }

        fn add(&mut self, label: &str, kinds: &[ModelKind], everything_else: bool) {
            Store::create_volume(&self.path(label), label).unwrap();
            self.records.push(VolumeRecord {
                id: VolumeId::new(i64::try_from(self.records.len()).unwrap()),
                uid: label.to_owned(),
                label: label.to_owned(),
                path: self.path(label),
                rules: VolumeRules { kinds: kinds.to_vec(), everything_else, keep_free_bytes: None },
                created_at: Timestamp::from_unix_ms(0),
                away_since: None,
            });
            self.look();
        }

        fn look(&self) -> Vec<bool> {
            self.places.mount(&self.records).into_iter().map(|(_, there)| there).collect()
        }

        fn goes_to(&self, kind: ModelKind) -> Result<PathBuf, String> {
            self.places.destination(kind).map(|store| store.root().to_owned())
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a disk that is taken away is a folder that is renamed")]
    fn files_go_where_the_rules_say_and_wait_for_a_disk_that_is_away() {
        use ModelKind::{Checkpoint, Lora, Vae};
        let mut disks = Disks::new();
        assert_eq!(disks.goes_to(Lora), Ok(disks.path("home")));
        disks.add("big", &[Checkpoint], false);
        assert_eq!((disks.goes_to(Checkpoint), disks.goes_to(Lora)), (Ok(disks.path("big")), Ok(disks.path("home"))));
        disks.add("rest", &[], true);
        assert_eq!((disks.goes_to(Checkpoint), disks.goes_to(Vae)), (Ok(disks.path("big")), Ok(disks.path("rest"))));
        assert!(disks.places.awaited_kinds().is_empty());

        std::fs::rename(disks.path("big"), disks.path("elsewhere")).unwrap();
        // An empty mount point is what stays behind.
        std::fs::create_dir(disks.path("big")).unwrap();
        let blob = disks.path("big").join("blobs/x");
        assert!(disks.places.is_away(&blob), "it is noticed before anybody looked");
        assert_eq!(disks.look(), [false, true]);
        assert_eq!(disks.goes_to(Checkpoint), Err("big".to_owned()), "no other disk is filled in its stead");
        assert_eq!(disks.places.awaited_kinds(), [Checkpoint]);
        let places = disks.places.destinations([Checkpoint, Lora, Vae]);
        assert_eq!((places.awaited(Checkpoint), places.awaited(Lora)), (Some("big"), None));
        assert_eq!(std::fs::read_dir(disks.path("big")).unwrap().count(), 0, "nothing is written to the mount point");

        // A second disk for the same kind takes over.
        disks.add("second", &[Checkpoint], false);
        assert_eq!(disks.goes_to(Checkpoint), Ok(disks.path("second")));
        std::fs::remove_dir(disks.path("big")).unwrap();
        std::fs::rename(disks.path("elsewhere"), disks.path("big")).unwrap();
        assert_eq!(disks.look(), [true; 3]);
        assert_eq!(disks.places.label_of(&blob).as_deref(), Some("big"));
        assert_eq!(disks.places.label_of(Path::new("/elsewhere")), None);
    }

    #[test]
    fn a_file_that_was_begun_goes_on_where_it_was_begun() {
        let mut disks = Disks::new();
        let key = PartialKey::new("a");
        let write = |partial: &mut Partial| partial.begin(0, None, Some(4)).and_then(|()| partial.append(b"ab"));
        write(&mut disks.places.partial(&key, None, ModelKind::Lora).unwrap().unwrap()).unwrap();
        disks.add("loras", &[ModelKind::Lora], false);
        let partial = disks.places.partial(&key, None, ModelKind::Lora).unwrap().unwrap();
        assert!(partial.path().starts_with(disks.path("home")) && partial.len() == 2);
        let other = disks.places.partial(&PartialKey::new("b"), None, ModelKind::Lora).unwrap().unwrap();
        assert!(other.path().starts_with(disks.path("loras")));
    }

    #[test]
    fn room_is_taken_from_the_place_that_a_file_goes_to() {
        let mut rooms = Destinations::one_with_room(Some(100)).away(ModelKind::Vae, "big");
        rooms.take(ModelKind::Lora, 60);
        rooms.take(ModelKind::Vae, 60);
        assert_eq!((rooms.room(ModelKind::Checkpoint), rooms.room(ModelKind::Vae)), (Some(40), None));
        assert_eq!(Destinations::default().room(ModelKind::Lora), None);
    }
}
