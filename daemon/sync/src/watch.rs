//! Notices when blobs vanish by somebody else's hand, so that the catalogue never points at nothing and the next
//! sync fetches them again. Only a convenience: a plan looks at the disk itself and never relies on these events.

use crate::service::Sync;
use crate::settle::blocking;
use notify::event::{ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

impl Sync {
    /// Runs until shutdown. Where the system offers no watching, says so once and returns.
    pub async fn watch_store(&self) {
        let (sender, mut vanished) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            if matches!(
                event.kind,
                EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From | RenameMode::Any))
            ) {
                for path in event.paths {
                    // A closed channel means that nobody watches any more.
                    drop(sender.send(path));
                }
            }
        });
        let mut watched = match watcher {
            Ok(watcher) => Watched { watcher, roots: Vec::new() },
            Err(error) => {
                tracing::warn!(%error, "cannot watch the stores; plans still look for themselves");
                return;
            }
        };
        loop {
            let roots = self.inner.parts.places.present().iter().map(|store| store.blobs_folder().to_owned()).collect();
            watched.watch_only(roots);
            tokio::select! {
                path = vanished.recv() => match path {
                    Some(path) => self.record_vanished(&watched.as_recorded(&path)).await,
                    None => return,
                },
                () = self.inner.volumes_changed.notified() => {}
                () = self.inner.shutdown.cancelled() => return,
            }
        }
    }

    async fn record_vanished(&self, path: &Path) {
        // Moved away and back in one breath is not gone, and what is on a disk that was taken out is not either.
        let (places, at) = (self.inner.parts.places.clone(), path.to_owned());
        if blocking(move || at.exists() || places.is_away(&at)).await.unwrap_or(true) {
            return;
        }
        match self.inner.parts.catalogue.record_path_gone(path).await {
            Ok(true) => {
                tracing::warn!(path = %path.display(), "a file of the store was removed; the next sync fetches it again");
            }
            Ok(false) => {}
            Err(error) => tracing::error!(%error, path = %path.display(), "cannot record that a file is gone"),
        }
    }
}

/// The folders that are watched, each as we name it and as the system does: macOS names files below the real path of a
/// folder that was given through a link.
struct Watched {
    watcher: RecommendedWatcher,
    roots: Vec<(PathBuf, PathBuf)>,
}

impl Watched {
    fn watch_only(&mut self, roots: Vec<PathBuf>) {
        let watcher = &mut self.watcher;
        self.roots.retain(|(root, _)| {
            let stays = roots.contains(root);
            if !stays {
                // Of a disk that is gone there is nothing left to watch, which may be what it says.
                drop(watcher.unwatch(root));
            }
            stays
        });
        for root in roots {
            if self.roots.iter().any(|(known, _)| *known == root) {
                continue;
            }
            if let Err(error) = self.watcher.watch(&root, RecursiveMode::Recursive) {
                tracing::warn!(%error, folder = %root.display(), "cannot watch a store; plans still look for themselves");
            }
            let real_root = root.canonicalize().unwrap_or_else(|_| root.clone());
            self.roots.push((root, real_root));
        }
    }

    /// The path as the store named it.
    fn as_recorded(&self, path: &Path) -> PathBuf {
        let below = |(root, real_root): &(PathBuf, PathBuf)| Some(root.join(path.strip_prefix(real_root).ok()?));
        self.roots.iter().find_map(below).unwrap_or_else(|| path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Parts;
    use paintbox_catalogue::{Catalogue, NewArtifact};
    use paintbox_domain::clock::ManualClock;
    use paintbox_domain::{Architecture, Blake3, FileFormat, Hub, ModelKind};
    use paintbox_hub::{HubConfig, Hubs};
    use paintbox_store::Store;
    use paintbox_testkit::{FakeHub, wait_for};
    use std::sync::Arc;
    use std::time::Duration;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_blob_that_somebody_removes_is_no_longer_said_to_be_here() {
        let hub = FakeHub::with_sample_library().await;
        let home = tempfile::tempdir().unwrap();
        let catalogue =
            Catalogue::open(&home.path().join("catalogue.db"), Arc::new(ManualClock::default())).await.unwrap();
        let store = Store::open(&home.path().join("store")).unwrap();
        let hubs = Hubs::new(HubConfig {
            civitai_endpoint: hub.civitai_endpoint().parse().unwrap(),
            hf_endpoint: hub.hf_endpoint().parse().unwrap(),
            civitai_token: None,
            hf_token: None,
            user_agent: "paintbox/test".to_owned(),
            civitai_mature_endpoint: None,
            clock: Arc::new(ManualClock::default()),
        })
        .unwrap();
        let found = hubs.resolve(&"hf:tiny-emoji/tiny-emoji".parse().unwrap()).await.unwrap();
        assert_eq!(found.model.hub, Hub::HuggingFace);
        let model = catalogue.record_models(&[found.model], None).await.unwrap()[0];
        let file = catalogue.model(model).await.unwrap().versions[0].files[0].id;
        let blob = store.put_bytes(b"a small file").unwrap();
        let artifact = NewArtifact {
            sha256: blob.sha256,
            blake3: Blake3::from_bytes([0; 32]),
            auto_v3: None,
            size_bytes: blob.size_bytes,
            format: FileFormat::Text,
            kind: ModelKind::Other,
            architecture: Architecture::Unknown,
            precision: None,
            parameters: None,
            detail_json: None,
            path: blob.path.clone(),
        };
        catalogue.record_file(file, &artifact, true).await.unwrap();
        let clock = Arc::new(ManualClock::default());
        let parts = Parts {
            catalogue: catalogue.clone(),
            hubs,
            places: crate::Places::of(store),
            hf_cache: paintbox_store::hf_cache::HfCache::default(),
            clock,
            surroundings: Arc::<paintbox_domain::surroundings::Said>::default(),
        };
        let sync = Sync::new(parts, crate::Settings::default());
        let watching = tokio::spawn({
            let sync = sync.clone();
            async move { sync.watch_store().await }
        });
        // The watch begins on another task, so the file is removed until the removal was seen.
        wait_for("the removal to be recorded", Duration::from_secs(20), async || {
            drop(std::fs::create_dir_all(blob.path.parent().unwrap()));
            drop(std::fs::write(&blob.path, b"a small file"));
            std::fs::remove_file(&blob.path).unwrap();
            catalogue.artifact(&blob.sha256).await.unwrap().unwrap().paths.is_empty()
        })
        .await;
        sync.shut_down().await;
        watching.await.unwrap();
    }
}
