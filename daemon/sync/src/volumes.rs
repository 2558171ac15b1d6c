//! Volumes as people see them: added, changed, forgotten, and looked at. One that went away is said once, and nothing
//! that lies there or belongs there is fetched elsewhere meanwhile.

use crate::downloads::Outcome;
use crate::error::SyncError;
use crate::places::HOME_LABEL;
use crate::service::Sync;
use crate::settle::blocking;
use paintbox_catalogue::{Held, NewVolume, VolumeRecord, VolumeRules};
use paintbox_domain::{DownloadState, Timestamp};
use paintbox_store::{Store, is_volume};
use std::path::{Component, Path, PathBuf};

/// A folder that holds files, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub label: String,
    pub path: PathBuf,
    pub rules: VolumeRules,
    pub held: Held,
    /// None while it is away.
    pub free_bytes: Option<u64>,
    pub away_since: Option<Timestamp>,
    /// None for the home's own.
    pub created_at: Option<Timestamp>,
}

const LONGEST_LABEL: usize = 32;

impl Sync {
    /// Looks which volumes are there, and lets go on what waited for one. To be called at the start, and whenever one may
    /// have come or gone; costs a small read each.
    ///
    /// # Errors
    /// When the catalogue fails.
    pub async fn look_at_volumes(&self) -> Result<(), SyncError> {
        let parts = &self.inner.parts;
        let records = parts.catalogue.volumes().await?;
        if records.is_empty() && !parts.places.has_volumes() {
            return Ok(());
        }
        let (places, known) = (parts.places.clone(), records.clone());
        let seen = blocking(move || places.mount(&known)).await?;
        let mut changed = false;
        for (record, (id, there)) in records.iter().zip(seen) {
            // Most looks find what is known, and then nothing needs to be written.
            let is_known = record.away_since.is_none() == there;
            if is_known || !parts.catalogue.set_volume_away(id, !there).await? {
                continue;
            }
            changed = true;
            if there {
                tracing::info!(volume = record.label, path = %record.path.display(), "the volume is back");
            } else {
                tracing::warn!(volume = record.label, path = %record.path.display(), "the volume went away");
            }
        }
        self.inner.volumes_changed.notify_one();
        if changed {
            self.hold_what_has_no_place().await?;
            self.inner.nudge.notify_one();
        }
        Ok(())
    }

    /// Tells those who wait for downloads without a place to go to that it may take long.
    pub(crate) async fn hold_what_has_no_place(&self) -> Result<(), SyncError> {
        let parts = &self.inner.parts;
        let awaited = parts.places.awaited_kinds();
        if awaited.is_empty() {
            return Ok(());
        }
        for record in parts.catalogue.downloads_by_id(&self.inner.downloads.ids()).await? {
            if record.state == DownloadState::Queued && awaited.contains(&record.kind) {
                self.inner.downloads.end_waiting(record.id, Outcome::Held);
            }
        }
        Ok(())
    }

    /// Every volume, the home's own first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn volumes(&self) -> Result<Vec<Volume>, SyncError> {
        self.look_at_volumes().await?;
        let parts = &self.inner.parts;
        let home = parts.places.home().clone();
        let held = parts.catalogue.held_below(home.root()).await?;
        let mut found = vec![Volume {
            label: HOME_LABEL.to_owned(),
            path: home.root().to_owned(),
            rules: VolumeRules {
                everything_else: true,
                keep_free_bytes: Some(home.kept_free_bytes()),
                ..VolumeRules::default()
            },
            held,
            free_bytes: blocking(move || home.free_bytes().ok()).await?,
            away_since: None,
            created_at: None,
        }];
        let records = parts.catalogue.volumes().await?;
        // Where another volume takes everything else, the home does not.
        found[0].rules.everything_else = !records.iter().any(|record| record.rules.everything_else);
        for record in records {
            found.push(self.volume_as_it_is(record).await?);
        }
        Ok(found)
    }

    async fn volume_as_it_is(&self, record: VolumeRecord) -> Result<Volume, SyncError> {
        let parts = &self.inner.parts;
        let store = parts.places.store(record.id);
        Ok(Volume {
            held: parts.catalogue.held_on_volume(record.id).await?,
            free_bytes: blocking(move || store.and_then(|store| store.free_bytes().ok())).await?,
            label: record.label,
            path: record.path,
            rules: record.rules,
            away_since: record.away_since,
            created_at: Some(record.created_at),
        })
    }

    /// Takes a folder for files. What lies there from an earlier time as a volume is known again at once, as far as it
    /// was ever recorded here; what hubs list of the rest is checked and used when it is wanted.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a label that is none, or a folder that is taken; `VOLUME_EXISTS`; `STORE_FAILED`.
    pub async fn create_volume(&self, label: &str, path: &Path, rules: VolumeRules) -> Result<Volume, SyncError> {
        let parts = &self.inner.parts;
        check_label(label)?;
        let path = self.checked_path(path).await?;
        let uid = uuid::Uuid::new_v4().to_string();
        let (root, shown) = (path.clone(), path.display().to_string());
        let kept = |source| SyncError::Store { file: shown, source };
        let uid = blocking(move || Store::create_volume(&root, &uid)).await?.map_err(kept)?;
        let new = NewVolume { uid, label: label.to_owned(), path, rules };
        let record = parts.catalogue.add_volume(&new).await?;
        self.look_at_volumes().await?;
        if let Some(store) = parts.places.store(record.id) {
            self.know_again(store).await?;
        }
        self.hand_out().await?;
        self.volume_as_it_is(parts.catalogue.volume(label).await?).await
    }

    /// Records where content that is known lies in a store that was just added.
    async fn know_again(&self, store: Store) -> Result<(), SyncError> {
        let mut found = 0u64;
        for first in 0..=u8::MAX {
            let (store, label) = (store.clone(), store.root().display().to_string());
            let blobs = blocking(move || store.blobs_beginning(first)).await?;
            let blobs = blobs.map_err(|source| SyncError::Store { file: label, source })?;
            let places: Vec<_> = blobs.into_iter().map(|(sha256, blob)| (sha256, blob.path)).collect();
            if !places.is_empty() {
                found += self.inner.parts.catalogue.observe_known(&places).await?;
            }
        }
        if found > 0 {
            tracing::info!(files = found, path = %store.root().display(), "files on a new volume are known already");
        }
        Ok(())
    }

    /// Changes what goes to a volume, or where it is mounted by now.
    ///
    /// # Errors
    /// `VOLUME_NOT_FOUND`; `VOLUME_AWAY` when the new path is not this volume; when the catalogue cannot be written.
    pub async fn update_volume(
        &self,
        label: &str,
        path: Option<&Path>,
        change: impl FnOnce(&mut VolumeRules),
    ) -> Result<Volume, SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        is_no_home(label)?;
        let record = catalogue.volume(label).await?;
        if let Some(path) = path.filter(|path| **path != record.path) {
            let path = self.checked_path(path).await?;
            let (root, uid) = (path.clone(), record.uid.clone());
            if !blocking(move || is_volume(&root, &uid)).await? {
                return Err(SyncError::NotThatVolume { label: label.to_owned(), path });
            }
            catalogue.move_volume(&record, &path).await?;
        }
        let mut rules = record.rules;
        change(&mut rules);
        catalogue.set_volume_rules(record.id, &rules).await?;
        self.look_at_volumes().await?;
        self.hand_out().await?;
        self.volume_as_it_is(catalogue.volume(label).await?).await
    }

    /// Forgets a volume; what lies there stays there, and is not known to be here any more.
    ///
    /// # Errors
    /// `VOLUME_NOT_FOUND`; `VOLUME_IN_USE` when files lie on it and it is not forced.
    pub async fn delete_volume(&self, label: &str, force: bool) -> Result<(), SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        is_no_home(label)?;
        let record = catalogue.volume(label).await?;
        let held = catalogue.held_on_volume(record.id).await?;
        if held.files > 0 && !force {
            return Err(SyncError::VolumeInUse { label: label.to_owned(), files: held.files });
        }
        catalogue.delete_volume(record.id).await?;
        self.look_at_volumes().await?;
        self.hand_out().await
    }

    /// The path in its plainest form. A volume inside another one, or around it, would be counted and watched twice.
    async fn checked_path(&self, path: &Path) -> Result<PathBuf, SyncError> {
        let parts = &self.inner.parts;
        let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        // No system takes a zero byte in a path.
        if !path.is_absolute() || !is_plain || path.as_os_str().as_encoded_bytes().contains(&0) {
            let problem = format!("{} is not an absolute path without detours", path.display());
            return Err(SyncError::Invalid { field: "path", problem });
        }
        // Without slashes that mean nothing: the catalogue compares paths byte by byte.
        let path: PathBuf = path.components().collect();
        let home = (HOME_LABEL.to_owned(), parts.places.home().root().to_owned());
        let others = parts.catalogue.volumes().await?.into_iter().map(|record| (record.label, record.path));
        for (label, root) in others.chain([home]) {
            if path != root && (path.starts_with(&root) || root.starts_with(&path)) {
                let problem = format!("{} and the volume {label} lie in one another", path.display());
                return Err(SyncError::Invalid { field: "path", problem });
            }
        }
        Ok(path)
    }
}

fn is_no_home(label: &str) -> Result<(), SyncError> {
    if label != HOME_LABEL {
        return Ok(());
    }
    let problem = "the home's own store cannot be changed or forgotten".to_owned();
    Err(SyncError::Invalid { field: "name", problem })
}

fn check_label(label: &str) -> Result<(), SyncError> {
    let is_plain = label.len() <= LONGEST_LABEL
        && label.starts_with(|first: char| first.is_ascii_lowercase())
        && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let problem = match label {
        HOME_LABEL => format!("`{HOME_LABEL}` is the home's own store"),
        _ if !is_plain => {
            "a label has lower-case letters, digits and hyphens, at most 32, and begins with a letter".to_owned()
        }
        _ => return Ok(()),
    };
    Err(SyncError::Invalid { field: "label", problem })
}
